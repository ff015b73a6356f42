//! Is the server alive, can it take work, and what has it counted?

use super::{Remote, refuse};
use crate::Edge;
use crate::config::is_loopback;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The process answers. For a supervisor that would restart it.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// New clients are welcome. For a load balancer, and for people who wonder why nothing is saved.
pub(super) async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let durability = edge.store.durability().to_string();
    let reason = if edge.tasks.is_stopping() {
        Some("the server is stopping".to_owned())
    } else {
        edge.store.health().err().map(|error| error.to_string())
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": reason.is_none(), "reason": reason, "durability": durability });
    (
        status,
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
        body.to_string(),
    )
        .into_response()
}

/// On the main port only this computer may read the counters. A reverse proxy on this computer would make everybody look local, so a request
/// that was passed on is refused.
pub(super) async fn metrics_for_this_computer(
    Extension(remote): Extension<Remote>,
    headers: axum::http::HeaderMap,
) -> Response {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    if passed_on || !is_loopback(remote.0.ip()) {
        return refuse(
            StatusCode::FORBIDDEN,
            "Metrics are for this computer; start the server with --metrics-listen to read them from elsewhere.",
        );
    }
    metrics().await
}

/// The counters, in Prometheus' text format.
pub(super) async fn metrics() -> Response {
    match crate::metrics::render() {
        Some(text) => (
            [
                (header::CONTENT_TYPE, "text/plain; version=0.0.4"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            text,
        )
            .into_response(),
        None => refuse(StatusCode::NOT_FOUND, "Another recorder collects this process' metrics."),
    }
}
