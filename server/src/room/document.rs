//! How is the content of a document kept, and how is yrs kept from harm?
//!
//! The only file that imports yrs for sync. An update is first *admitted* by the gate (which then counts it as known), later, once it is
//! durable, *applied* to yrs. yrs is fed small transactions; an `Err` or a panic of it makes the document [`Broken`]: the caller throws
//! it away and loads it anew from the log.

use crate::gate::{Admitted, Gate, Ownership, Refusal};
use bytes::Bytes;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::update::{self, Measured, MeasuredSection, StateVector};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, Transact};

/// Blocks in one yrs transaction: 100,000 one-character items in one transaction take 7.4 GB, in small ones 4 MB.
pub const MAX_BLOCKS_PER_TRANSACTION: usize = 1_000;

/// How long one received update may keep the engine busy before it is given up. Thousands of blocks that were put in one place by people who
/// have not seen each other's cost it the product of their numbers; an honest update of the largest size takes about a second.
pub const LONGEST_APPLY: Duration = Duration::from_secs(8);

/// yrs takes this id for itself; nothing is ever written under it.
const SERVER_CLIENT: u64 = 0;

/// yrs failed on a document that passed the gate. The document in memory must not be used any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document engine failed: {0}")]
pub struct Broken(pub String);

/// One document in memory.
#[derive(Debug)]
pub struct Document {
    gate: Gate,
    doc: ManuallyDrop<Doc>,
    applied: StateVector,
    version: u64,
    /// Encoded whole, shared by every join until the next change.
    state: Option<Bytes>,
    /// The same in parts, and how large they were to be.
    state_parts: Option<(usize, Vec<Bytes>)>,
    size_hint: usize,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self {
            gate: Gate::new(),
            doc: ManuallyDrop::new(empty_doc()),
            applied: StateVector::default(),
            version: 0,
            state: None,
            state_parts: None,
            size_hint: 0,
        }
    }

    /// Loads a state this server has encoded before.
    pub fn restore(state: &Bytes) -> Result<Self, Broken> {
        let mut document = Self::new();
        document.gate.restore(state).map_err(|refusal| {
            Broken(format!("a stored state does not pass the gate: {refusal}"))
        })?;
        let measured = update::parse(state)
            .map_err(|malformed| Broken(format!("a stored state is damaged: {malformed}")))?
            .measure();
        document.apply(state, &measured)?;
        Ok(document)
    }

    /// Asks the gate. On `Ok` the gate counts the update as known; it must then be stored and applied, in this order.
    pub fn admit(&mut self, update: &[u8], owner: &mut dyn Ownership) -> Result<Admitted, Refusal> {
        self.gate.admit(update, owner)
    }

    /// Whether the update adds nothing.
    #[must_use]
    pub fn knows(&self, update: &[u8]) -> bool {
        self.gate.knows(update)
    }

    /// Applies an admitted update, however long it takes: what a log holds was applied in time once.
    pub fn apply(&mut self, update: &[u8], measured: &Measured) -> Result<(), Broken> {
        self.apply_within(update, measured, Duration::MAX)
    }

    /// Applies an admitted update, and gives up between two transactions when it takes longer than `patience`.
    pub fn apply_within(
        &mut self,
        update: &[u8],
        measured: &Measured,
        patience: Duration,
    ) -> Result<(), Broken> {
        if measured.blocks() <= MAX_BLOCKS_PER_TRANSACTION {
            self.apply_part(update)?;
        } else {
            let parts = update::split(update, MAX_BLOCKS_PER_TRANSACTION, usize::MAX).map_err(
                |malformed| Broken(format!("an admitted update does not parse: {malformed}")),
            )?;
            let begun = now();
            for part in &parts {
                if begun.elapsed() > patience {
                    return Err(Broken(format!("it takes longer than {patience:?}")));
                }
                self.apply_part(part)?;
            }
        }
        self.state = None;
        self.state_parts = None;
        self.version += 1;
        self.size_hint += update.len();
        for section in measured.sections() {
            self.applied.advance(section.client, section.clocks.end);
        }
        debug_assert_eq!(
            self.applied,
            self.engine_state_vector(),
            "what was admitted is what yrs holds"
        );
        Ok(())
    }

    fn apply_part(&mut self, update: &[u8]) -> Result<(), Broken> {
        // The transaction is leaked if yrs panics: dropping it would commit what is half applied, and a second panic would end the process.
        let mut transaction = ManuallyDrop::new(self.doc.transact_mut());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let update = yrs::Update::decode_v1(update).map_err(|error| error.to_string())?;
            transaction.apply_update(update).map_err(|error| error.to_string())?;
            transaction.commit();
            Ok::<(), String>(())
        }));
        match outcome {
            Ok(Ok(())) => {
                drop(ManuallyDrop::into_inner(transaction));
                Ok(())
            }
            Ok(Err(error)) => Err(Broken(error)),
            Err(panic) => Err(Broken(panic_text(panic.as_ref()))),
        }
    }

    /// Whether the blocks of an admitted update go on from what is applied.
    #[must_use]
    pub fn continues(&self, measured: &Measured) -> bool {
        let applied = |section: &MeasuredSection| self.applied.get(section.client);
        measured.sections().iter().all(|section| section.clocks.start <= applied(section))
    }

    /// What is applied, and so may be shown.
    #[must_use]
    pub const fn state_vector(&self) -> &StateVector {
        &self.applied
    }

    /// Another one after each update. A state vector stays the same where something was only deleted.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The whole document as one update, shared until the next change.
    pub fn state(&mut self) -> Bytes {
        if let Some(state) = &self.state {
            return state.clone();
        }
        let state = Bytes::from(
            self.doc.transact().encode_state_as_update_v1(&yrs::StateVector::default()),
        );
        self.size_hint = state.len();
        self.state = Some(state.clone());
        state
    }

    /// What a client that has `known` lacks, and all deletions.
    pub fn diff(&mut self, known: &StateVector) -> Bytes {
        if known.is_empty() {
            return self.state();
        }
        let known = yrs::StateVector::new(
            known.iter().map(|(client, clock)| (yrs_client(client), clock)).collect(),
        );
        Bytes::from(self.doc.transact().encode_state_as_update_v1(&known))
    }

    /// The same in parts of about `size` bytes, to be applied one after the other. Those of the whole document are shared until the next change.
    pub fn parts(&mut self, known: &StateVector, size: usize) -> Vec<Bytes> {
        if !known.is_empty() {
            return split(self.diff(known), size);
        }
        if let Some((of_size, parts)) = &self.state_parts
            && *of_size == size
        {
            return parts.clone();
        }
        let parts = split(self.state(), size);
        self.state_parts = Some((size, parts.clone()));
        parts
    }

    /// Roughly how large the encoded document is. Bytes.
    #[must_use]
    pub const fn size_hint(&self) -> usize {
        self.size_hint
    }

    fn engine_state_vector(&self) -> StateVector {
        StateVector::decode(&self.doc.transact().state_vector().encode_v1()).unwrap_or_default()
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        // A document yrs has panicked on may be locked or inconsistent: freeing it could panic again, so only a sound one is freed.
        if self.doc.try_transact().is_ok() {
            let doc = std::mem::replace(&mut self.doc, ManuallyDrop::new(empty_doc()));
            drop(ManuallyDrop::into_inner(doc));
        }
    }
}

fn split(update: Bytes, size: usize) -> Vec<Bytes> {
    if update.len() <= size {
        return vec![update];
    }
    match update::split(&update, usize::MAX, size) {
        Ok(parts) => parts.into_iter().map(Bytes::from).collect(),
        // What yrs encodes always parses; if it ever does not, the client can still read it whole.
        Err(_) => vec![update],
    }
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "measures the engine, which no virtual time makes faster"
    )]
    Instant::now()
}

fn empty_doc() -> Doc {
    let mut options = Options::with_client_id(yrs::block::ClientID::new(SERVER_CLIENT));
    // Yjs counts UTF-16 units.
    options.offset_kind = OffsetKind::Utf16;
    // Nobody else deletes dangling marks: with `true` server and clients drift apart.
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

fn yrs_client(client: ClientId) -> yrs::block::ClientID {
    yrs::block::ClientID::new(client.get())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panic".to_owned())
}

/// Whether `state`, loaded anew, is the same document: the check before a snapshot may replace the log.
pub fn reload_check(state: &Bytes) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let before = update::fingerprint(state).map_err(|malformed| malformed.to_string())?;
        let mut reloaded = Document::restore(state).map_err(|broken| broken.to_string())?;
        let again = reloaded.state();
        let after = update::fingerprint(&again).map_err(|malformed| malformed.to_string())?;
        if before == after { Ok(()) } else { Err("the reloaded document differs".to_owned()) }
    }));
    outcome.unwrap_or_else(|panic| Err(panic_text(panic.as_ref())))
}

#[cfg(test)]
mod tests;
