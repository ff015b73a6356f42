//! Which updates may pass?
//!
//! Stands between the network and everything else. Pure, safe Rust, no yrs.

use commonplace_protocol::Malformed;
use commonplace_protocol::update::{self, Measured, StateVector};

/// The gate of one document: what is known (shadow index), and the rules.
#[derive(Debug, Default)]
pub struct Gate {
    known: StateVector,
}

impl Gate {
    /// The gate of an empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds the gate of a stored state.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Refusal> {
        let measured = update::parse(state).map_err(Refusal::Malformed)?.measure();
        self.learn(&measured);
        Ok(())
    }

    /// Lets an update pass, or says why not.
    pub fn admit(&mut self, bytes: &[u8], owner: &mut dyn Ownership) -> Result<Admitted, Refusal> {
        let measured = update::parse(bytes).map_err(Refusal::Malformed)?.measure();
        for section in measured.sections() {
            if section.clocks.start > self.known.get(section.client) {
                return Err(Refusal::Gap);
            }
            if !owner.may_write_as(section.client) {
                return Err(Refusal::NotYours);
            }
        }
        let news = self.adds(&measured);
        self.learn(&measured);
        Ok(Admitted { measured, news })
    }

    /// Whether an update adds nothing.
    #[must_use]
    pub fn knows(&self, bytes: &[u8]) -> bool {
        update::parse(bytes).is_ok_and(|update| !self.adds(&update.measure()))
    }

    fn adds(&self, measured: &Measured) -> bool {
        let inserts = measured
            .sections()
            .iter()
            .any(|section| section.clocks.end > self.known.get(section.client));
        inserts || measured.deletes().next().is_some()
    }

    fn learn(&mut self, measured: &Measured) {
        for section in measured.sections() {
            self.known.advance(section.client, section.clocks.end);
        }
    }
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

/// Decides whether a client id may be written as. Asked for blocks beyond what is known.
pub trait Ownership {
    /// May the sender write new blocks as `client`?
    fn may_write_as(&mut self, client: commonplace_protocol::ids::ClientId) -> bool;
}
