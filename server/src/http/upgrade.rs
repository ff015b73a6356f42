//! Who may turn a request into a WebSocket?
//!
//! All that can be refused is refused here, before a socket costs anything: foreign pages, too many connections, too many at once, and clients
//! that have been told "no" a moment ago.

use super::{Remote, origin, refuse};
use crate::Edge;
use crate::access::DocumentName;
use crate::connection::{self, Line, Tcp};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use commonplace_protocol::limits::MAX_TOKEN;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tracing::debug;

/// Told to clients that find the server full or stopping. Seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotAnUpgrade,
    WrongVersion,
    ForeignPage,
    BadName,
    RefusedAMomentAgo,
    Stopping,
    Full,
    TooFast,
}

impl Refusal {
    /// Status, the reason in the counters, and a sentence for people.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotAnUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "not_an_upgrade",
                "This address is for Yjs clients, which speak WebSocket (RFC 6455, version 13): give it to your provider as its URL.",
            ),
            Self::WrongVersion => (
                StatusCode::UPGRADE_REQUIRED,
                "websocket_version",
                "Only version 13 of the WebSocket protocol is spoken here.",
            ),
            Self::ForeignPage => (
                StatusCode::FORBIDDEN,
                "origin",
                "Pages of this web site may not connect; the server's operator can allow it with --allow-origin.",
            ),
            Self::BadName => (
                StatusCode::BAD_REQUEST,
                "document_name",
                "A document name is 1 to 512 bytes of UTF-8 without control characters, and a token at most 8 KiB.",
            ),
            Self::RefusedAMomentAgo => (
                StatusCode::FORBIDDEN,
                "refused_before",
                "You have been refused a moment ago; nothing has changed since.",
            ),
            Self::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping; try again.")
            }
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "full",
                "The server has as many connections as it may; try again later.",
            ),
            Self::TooFast => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_fast",
                "Too many clients connect at this moment; try again.",
            ),
        }
    }

    fn response(self) -> Response {
        let (status, reason, sentence) = self.parts();
        crate::metrics::refusal(reason);
        debug!(reason, "an upgrade is refused");
        let mut response = refuse(status, sentence);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

/// `/sync`: the Hocuspocus framing, many documents on one socket.
pub(super) async fn many_documents(
    State(edge): State<Arc<Edge>>,
    Extension(remote): Extension<Remote>,
    request: Request,
) -> Response {
    upgrade(&edge, remote, request, Line::Hocuspocus).unwrap_or_else(Refusal::response)
}

/// `/sync/{document}`: y-websocket, one document a socket. The name is all that follows, slashes included, decoded once.
pub(super) async fn one_document(
    State(edge): State<Arc<Edge>>,
    Extension(remote): Extension<Remote>,
    query: Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let document = document_name(request.uri());
    let token = query
        .0
        .into_iter()
        .find_map(|(name, value)| (name == "token").then_some(value))
        .unwrap_or_default();
    match document.filter(|_| token.len() <= MAX_TOKEN) {
        Some(document) => upgrade(&edge, remote, request, Line::YWebsocket { document, token })
            .unwrap_or_else(Refusal::response),
        None => Refusal::BadName.response(),
    }
}

fn document_name(uri: &Uri) -> Option<DocumentName> {
    let written = uri.path().strip_prefix("/sync/")?;
    DocumentName::new(&percent_encoding::percent_decode_str(written).decode_utf8().ok()?)
}

fn upgrade(
    edge: &Arc<Edge>,
    remote: Remote,
    mut request: Request,
    line: Line,
) -> Result<Response, Refusal> {
    let answer = handshake(&request)?;
    if !origin::is_allowed(request.headers(), &edge.options.allow_origins) {
        return Err(Refusal::ForeignPage);
    }
    if edge.tasks.is_stopping() {
        return Err(Refusal::Stopping);
    }
    let ip = remote.0.ip();
    if let Line::YWebsocket { document, token } = &line
        && edge.budget.was_refused(ip, document.as_str(), token)
    {
        return Err(Refusal::RefusedAMomentAgo);
    }
    let place = edge.registry.take_place().ok_or(Refusal::Full)?;
    edge.budget.take().map_err(|_| Refusal::TooFast)?;
    let on_upgrade = hyper::upgrade::on(&mut request);
    let task_edge = Arc::clone(edge);
    edge.tasks.spawn(async move {
        if let Some((stream, early)) = raw_socket(on_upgrade, ip).await {
            let stream = Tcp::new(stream);
            let wire = Some(stream.wire());
            connection::serve(task_edge, place, stream, early, ip, line, wire).await;
        }
    });
    Ok(answer)
}

/// The TCP socket itself, with what hyper has read ahead: from here on its buffers are ours alone.
async fn raw_socket(on_upgrade: OnUpgrade, remote: IpAddr) -> Option<(TcpStream, bytes::Bytes)> {
    let upgraded =
        on_upgrade.await.map_err(|error| debug!(%error, %remote, "an upgrade failed")).ok()?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf)),
        Err(_) => {
            debug_assert!(false, "the listener serves nothing but TCP");
            None
        }
    }
}

/// RFC 6455, section 4.2: checks what the client sent, and makes the 101.
fn handshake(request: &Request) -> Result<Response, Refusal> {
    let headers = request.headers();
    let is_upgrade = request.method() == Method::GET
        && has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket");
    if !is_upgrade {
        return Err(Refusal::NotAnUpgrade);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::WrongVersion);
    }
    // 16 bytes in base64 are 24 characters.
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24)
        .ok_or(Refusal::NotAnUpgrade)?;
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::try_from(accept).expect("base64 fits a header"),
    );
    // Browsers give up when they offered subprotocols and none is chosen. They mean nothing here, so the first will do.
    let offered = headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|offered| offered.to_str().ok()?.split(',').next());
    if let Some(Ok(first)) = offered.map(|first| HeaderValue::from_str(first.trim())) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, first);
    }
    Ok(response)
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests;
