//! What may the web client ask besides documents?

use super::refuse;
use crate::Edge;
use crate::config::Door;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Names on the sandbox's front page: more than a screen.
const RECENT_NOTES: usize = 50;

/// The log names of documents begin with this.
const DOCUMENT_LOGS: &str = "doc/";

/// `GET /api/notes/recent`: what was written last. Only in the sandbox, where every name is public.
pub(super) async fn recent_notes(State(edge): State<Arc<Edge>>) -> Response {
    if edge.options.door != Door::Sandbox {
        return refuse(StatusCode::NOT_FOUND, "There is no list of notes here.");
    }
    let recent = match edge.store.recent(DOCUMENT_LOGS, RECENT_NOTES).await {
        Ok(recent) => recent,
        Err(error) => {
            tracing::warn!(%error, "the recent notes cannot be listed");
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "The storage does not answer; try again.",
            );
        }
    };
    let note = |log: &crate::store::LogInfo| {
        let name = log.name.as_str().strip_prefix(DOCUMENT_LOGS)?;
        Some(serde_json::json!({ "name": name, "changedAt": log.changed_at }))
    };
    let body = serde_json::json!({ "notes": recent.iter().filter_map(note).collect::<Vec<_>>() });
    (
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
        body.to_string(),
    )
        .into_response()
}
