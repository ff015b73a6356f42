//! Which updates may pass?
//!
//! Stands between the network and everything else. Pure, safe Rust, no yrs. `GATE.md` beside this file numbers the rules
//! (G1 …), says why each is there, what it costs, and what is not promised; tests carry the numbers.

mod admit;
mod chain;
mod index;
mod intervals;

use commonplace_protocol::Malformed;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::update::{
    BLOCK_KIND, BLOCK_SKIP, Measured, StateVector, parse, parse_own,
};

/// Types around each other (G9). Editors stay below twenty; yrs and Yjs recurse per level.
pub const MAX_DEPTH: u32 = 256;

/// Root types of one document (G10). Applications use a handful; each is kept for ever.
pub const MAX_ROOTS: usize = 64;

/// Ranges of one update that delete something not deleted before (G12). yrs takes quadratic time: 10,000 cost it a few ms.
pub const MAX_NEW_DELETIONS: usize = 10_000;

/// The gate of one document: what is known of it, and the rules.
#[derive(Debug, Default)]
pub struct Gate {
    index: index::Index,
}

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

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        // U5: whoever writes a hole is itself missing something, and will have it in the end.
        if malformed == (Malformed::UnknownTag { what: BLOCK_KIND, tag: u64::from(BLOCK_SKIP) }) {
            Self::Gap
        } else {
            Self::Malformed(malformed)
        }
    }
}

/// Decides whether a client id may be written as. Asked for blocks beyond what is known, after every other rule (G13).
pub trait Ownership {
    /// May the sender write new blocks as `client`?
    fn may_write_as(&mut self, client: ClientId) -> bool;
}

/// Every client id belongs to everybody: for readers of the log, whose entries were judged when they were written.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Ownership for Anyone {
    fn may_write_as(&mut self, _: ClientId) -> bool {
        true
    }
}

impl Gate {
    /// The gate of an empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an update pass and remembers it, or refuses it and changes nothing.
    pub fn admit(&mut self, bytes: &[u8], owner: &mut dyn Ownership) -> Result<Admitted, Refusal> {
        let update = parse(bytes)?;
        let news = admit::admit(&mut self.index, &update, owner, MAX_NEW_DELETIONS)?;
        Ok(Admitted { measured: update.measure(), news })
    }

    /// Whether an update adds nothing to what is known: every block and every deletion is there already.
    #[must_use]
    pub fn knows(&self, bytes: &[u8]) -> bool {
        parse(bytes).is_ok_and(|update| admit::knows(&self.index, &update))
    }

    /// Begins anew from a state the server wrote itself. From then on it decides as the gate did that saw every update.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Refusal> {
        *self = Self::new();
        let update = parse_own(state)?;
        admit::admit(&mut self.index, &update, &mut Anyone, usize::MAX).map(drop)
    }

    /// What is known of each client.
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        self.index.state_vector()
    }
}

#[cfg(test)]
mod tests;
