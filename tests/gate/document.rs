//! A document as the server holds it: the gate, and yrs behind it.

use commonplace::gate::{Anyone, Gate, Refusal};
use commonplace_protocol::update::{Fingerprint, fingerprint, split};
use std::panic::{AssertUnwindSafe, catch_unwind};
use yrs::updates::decoder::Decode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, Update};

/// As the server feeds yrs.
pub(crate) const MAX_BLOCKS: usize = 1000;

pub(crate) fn new_doc() -> Doc {
    let mut options = Options::with_client_id(yrs::block::ClientID::new(u64::from(u32::MAX)));
    options.offset_kind = OffsetKind::Utf16;
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

/// Feeds yrs as the server does. The error is yrs' own, or its panic.
pub(crate) fn feed(doc: &Doc, bytes: &[u8], max_blocks: usize) -> Result<(), String> {
    let apply = || -> Result<(), String> {
        for part in split(bytes, max_blocks, 1 << 20).map_err(|error| format!("split: {error}"))? {
            let update = Update::decode_v1(&part).map_err(|error| format!("decode: {error}"))?;
            doc.transact_mut().apply_update(update).map_err(|error| format!("apply: {error}"))?;
        }
        Ok(())
    };
    catch_unwind(AssertUnwindSafe(apply)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("?")))
    })
}

pub(crate) fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

pub(crate) fn state_fingerprint(doc: &Doc) -> Fingerprint {
    fingerprint(&state(doc)).expect("yrs writes what the parser reads")
}

/// The gate and yrs together.
pub(crate) struct Guarded {
    pub(crate) gate: Gate,
    pub(crate) doc: Doc,
    pub(crate) admitted: Vec<Vec<u8>>,
    pub(crate) contained: usize,
    /// Blocks in one transaction of yrs. Small ones put the ends of transactions in between the blocks of an update.
    pub(crate) max_blocks: usize,
}

impl Guarded {
    pub(crate) fn new() -> Self {
        Self {
            gate: Gate::new(),
            doc: new_doc(),
            admitted: Vec::new(),
            contained: 0,
            max_blocks: MAX_BLOCKS,
        }
    }

    /// What the server does with an update. A panic of yrs costs the update: the document is rebuilt without it.
    pub(crate) fn offer(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let news = self.gate.admit(bytes, &mut Anyone)?.news;
        if let Err(error) = feed(&self.doc, bytes, self.max_blocks) {
            if !(error.starts_with("panic") && error.contains("overflow")) {
                let history: String =
                    self.admitted.iter().map(|bytes| show(bytes) + "\n").collect();
                panic!("yrs: {error}\n{history}then\n{}", show(bytes));
            }
            self.contained += 1;
            self.doc = new_doc();
            self.gate = Gate::new();
            for bytes in &self.admitted {
                self.gate.admit(bytes, &mut Anyone).expect("admitted before");
                feed(&self.doc, bytes, self.max_blocks).expect("applied before");
            }
            return Ok(false);
        }
        self.admitted.push(bytes.to_vec());
        Ok(news)
    }

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        assert!(!self.doc.transact().has_missing_updates(), "nothing is ever pending");
        let state = state(&self.doc);
        let again = new_doc();
        feed(&again, &state, self.max_blocks).expect("the server's own state loads");
        assert_eq!(
            state_fingerprint(&again),
            fingerprint(&state).unwrap(),
            "the state is the same after a reload"
        );
        let known: commonplace_protocol::update::StateVector = self
            .doc
            .transact()
            .state_vector()
            .iter()
            .map(|(client, clock)| {
                (commonplace_protocol::ids::ClientId::new(client.get()).unwrap(), *clock)
            })
            .collect();
        assert_eq!(known, self.gate.state_vector(), "the gate knows what yrs knows");
        let mut restored = Gate::new();
        restored.restore(&state).expect("the gate opens for the server's own state");
        assert!(self.gate.knows(&state), "the state is no news");
        for bytes in &self.admitted {
            assert!(restored.knows(bytes), "what was admitted is known after a reload");
        }
    }
}

/// What an update says, for a person to read.
pub(crate) fn show(bytes: &[u8]) -> String {
    use commonplace_protocol::update::parse;
    use std::fmt::Write;
    let mut out = String::new();
    let Ok(update) = parse(bytes) else { return format!("{bytes:02x?}") };
    for section in update.sections() {
        for block in update.blocks(section) {
            writeln!(out, "  {:?}..{} {:?}", block.id, block.end(), block.body).unwrap();
        }
    }
    for (client, ranges) in update.deletes() {
        writeln!(out, "  delete {client:?} {ranges:?}").unwrap();
    }
    out
}
