//! Which answers does the one port give?
//!
//! - `/sync` and `/sync/{document}`: WebSockets ([`upgrade`]), handed to [`crate::connection`].
//! - `/healthz`, `/readyz`, `/metrics` ([`health`]).
//! - `/api/notes/recent`, in the sandbox only ([`api`]).
//! - everything else: the web client that is built into the program ([`pages`]).

mod api;
mod budget;
mod health;
pub(crate) mod listen;
mod origin;
mod pages;
mod upgrade;

use crate::Edge;
use crate::config::Door;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use budget::UpgradeBudget;
pub(crate) use pages::prepare as prepare_pages;

/// Who is at the other end of the TCP connection. Put into every request by [`listen`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) SocketAddr);

/// What a page of ours may do: load from here, connect to here, and nothing else. Nothing inline, nothing framed, nothing from a third party.
const CONTENT_POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// Sent with every answer.
const SAFE_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ),
];

/// The routes of the main port.
pub(crate) fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/sync", any(upgrade::many_documents))
        .route("/sync/", any(upgrade::many_documents))
        .route("/sync/{*document}", any(upgrade::one_document))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics_for_this_computer))
        .route("/api/notes/recent", get(api::recent_notes))
        .fallback(pages::page)
        .layer(from_fn_with_state(Arc::clone(&edge), this_computer))
        .with_state(edge)
        .layer(from_fn(safe_headers))
}

/// The routes of `--metrics-listen`: whoever can reach that port may read.
pub(crate) fn metrics_router() -> Router {
    Router::new().route("/metrics", get(health::metrics)).layer(from_fn(safe_headers))
}

async fn this_computer(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let options = &edge.options;
    let is_local = options.door == Door::Sandbox && options.listens_on_loopback;
    if is_local && !origin::is_this_computer(request.headers(), &options.allow_origins) {
        crate::metrics::refusal("host");
        return refuse(
            StatusCode::FORBIDDEN,
            "A sandbox on this computer answers only under this computer's own names; its operator can allow another with --allow-origin.",
        );
    }
    next.run(request).await
}

async fn safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        for (name, value) in SAFE_HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

/// A refusal in one sentence, for people who look at what their client got.
fn refuse(status: StatusCode, sentence: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], format!("{sentence}\n")).into_response()
}
