//! Edits to send, and eyes to read them with.

use commonplace_protocol::sync::Sync;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

const ROOT: &str = "content";

/// A client's copy of a document.
pub(crate) struct Copy(Doc);

impl Copy {
    pub(crate) fn new(client: u64) -> Self {
        Self(Doc::with_client_id(client))
    }

    /// Writes at the end; returns the update.
    pub(crate) fn write(&self, words: &str) -> Vec<u8> {
        let text = self.0.get_or_insert_text(ROOT);
        let mut transaction = self.0.transact_mut();
        let end = text.len(&transaction);
        text.insert(&mut transaction, end, words);
        transaction.encode_update_v1()
    }

    pub(crate) fn read(&self) -> String {
        let text = self.0.get_or_insert_text(ROOT);
        text.get_string(&self.0.transact())
    }

    pub(crate) fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).expect("an update");
        self.0.transact_mut().apply_update(update).expect("a causal update");
    }

    pub(crate) fn state_vector(&self) -> Vec<u8> {
        self.0.transact().state_vector().encode_v1()
    }

    pub(crate) fn diff(&self, state_vector: &[u8]) -> Vec<u8> {
        let state_vector = StateVector::decode_v1(state_vector).expect("a state vector");
        self.0.transact().encode_state_as_update_v1(&state_vector)
    }

    /// Takes in what a server says about the document; the answer, if one is due.
    pub(crate) fn take(&self, sync: Sync<'_>) -> Option<Vec<u8>> {
        match sync {
            Sync::SyncStep1(state_vector) => Some(self.diff(state_vector)),
            Sync::SyncStep2(update) | Sync::Update(update) => {
                self.apply(update);
                None
            }
        }
    }
}
