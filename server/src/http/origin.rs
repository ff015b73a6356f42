//! Under which name is the server addressed, and which page asks?
//!
//! Browsers say both, and do not let pages lie about them. Without these checks any web site could use what its visitor's browser can reach.

use crate::config::{Origin, is_loopback};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

/// Whether a page of this origin may open a WebSocket: one of our own, or of an allowed site. Programs other than browsers send no origin and
/// have no visitor to betray.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[Origin]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let origin = origin.to_str().ok().and_then(Origin::parse);
    let Some(origin) = origin.filter(|_| origins.next().is_none()) else { return false };
    let host = host(headers);
    // A proxy may have taken TLS off, so the scheme of the request is not known. The port that a scheme implies may be written or not.
    let as_origin = Origin::parse(&format!("http://{host}"));
    host == origin.authority()
        || as_origin.is_some_and(|own| own.authority() == origin.authority())
        || allowed.contains(&origin)
}

/// Whether a sandbox on this computer is meant. A foreign site can make its own name point to this computer, and its pages would then be of
/// the sandbox' "own" origin.
pub(super) fn is_this_computer(headers: &HeaderMap, allowed: &[Origin]) -> bool {
    let host = host(headers);
    is_local_name(&host) || allowed.iter().any(|origin| origin.authority() == host)
}

fn host(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or_default().to_ascii_lowercase()
}

fn is_local_name(host: &str) -> bool {
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || address.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests;
