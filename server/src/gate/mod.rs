//! Which updates may pass?
//!
//! Stands between the network and everything else. Pure, safe Rust, no yrs.

use commonplace_protocol::update::{Measured, StateVector};
use commonplace_protocol::Malformed;

/// The gate of one document: what is known (shadow index), and the rules.
#[derive(Debug, Default)]
pub struct Gate {}

/// An update that passed.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What merging and splitting need to know about its bytes.
    pub measured: Measured,
    /// Whether it adds any insertion or deletion that was not known before.
    pub news: bool,
}

/// Why an update did not pass. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not a strict V1 update. Never retry.
    #[error("not an update the server can store")]
    Malformed(#[source] Malformed),
    /// It depends on something not known here. Ask for everything: `SyncStep1`.
    #[error("it depends on edits that have not arrived")]
    Gap,
    /// It contradicts what is known. Never retry.
    #[error("it contradicts the document: {0}")]
    Contradiction(&'static str),
    /// It uses somebody else's client id. Never retry under that id.
    #[error("it writes as a client that belongs to someone else")]
    NotYours,
    /// A published limit. Never retry as it is.
    #[error("it exceeds the limit of {0}")]
    Limit(&'static str),
}

/// Decides whether a client id may be written as. Asked for blocks beyond what is known.
pub trait Ownership {
    /// May the sender write new blocks as `client`?
    fn may_write_as(&mut self, client: commonplace_protocol::ids::ClientId) -> bool;
}
