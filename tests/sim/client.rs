//! A client as the room sees one: a real CRDT replica that counts unsaved changes the way a Hocuspocus provider does.

use crate::world::Departed;
use bytes::Bytes;
use commonplace::room::event::{FromPeer, ToPeer};
use commonplace_protocol::update::{self, StateVector};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, Map, MapRef, OffsetKind, Options, ReadTxn, Text, TextRef, Transact};

/// One replica and what its user has been told.
pub(crate) struct Client {
    /// Its Yjs client id.
    pub(crate) id: u64,
    /// Whether it may write.
    pub(crate) is_reader: bool,
    doc: Doc,
    text: TextRef,
    marks: MapRef,
    made: u64,
    /// Own marks: `true` while they stand, `false` once taken back; with what the user was told when.
    facts: BTreeMap<String, Fact>,
    /// What the provider counts: unsaved changes.
    unsaved: u32,
    synced: bool,
    /// Own clock when the page last said *saved*.
    saved_clock: u32,
}

/// What became of one mark.
#[derive(Clone, Copy)]
pub(crate) struct Fact {
    /// Whether its author has not taken it back.
    pub(crate) stands: bool,
    /// What the user was last told to be safe.
    pub(crate) saved: Option<bool>,
}

impl Client {
    /// A replica without content.
    pub(crate) fn new(id: u64, is_reader: bool) -> Self {
        let mut options = Options::with_client_id(yrs::block::ClientID::new(id));
        options.offset_kind = OffsetKind::Utf16;
        options.cleanup_formatting = false;
        let doc = Doc::with_options(options);
        let (text, marks) = (doc.get_or_insert_text("text"), doc.get_or_insert_map("marks"));
        let facts = BTreeMap::new();
        Self {
            id,
            is_reader,
            doc,
            text,
            marks,
            made: 0,
            facts,
            unsaved: 0,
            synced: false,
            saved_clock: 0,
        }
    }

    /// What it says when its socket opens.
    pub(crate) fn hello(&mut self) -> FromPeer {
        self.unsaved = 1;
        self.synced = false;
        FromPeer::SyncStep1(self.state_vector())
    }

    /// Types, deletes, sets a mark or takes one back. Returns the update for the wire.
    pub(crate) fn edit(&mut self, random: &mut StdRng, online: bool) -> Bytes {
        let mut transaction = self.doc.transact_mut();
        let len = self.text.len(&transaction);
        match random.random_range(0..10) {
            0..=1 if len > 4 => {
                let at = random.random_range(0..len - 3);
                let count = random.random_range(1..3);
                // No editor cuts a character in two.
                let text = self.text.get_string(&transaction);
                if !splits_a_pair(&text, at) && !splits_a_pair(&text, at + count) {
                    self.text.remove_range(&mut transaction, at, count);
                }
            }
            2 if !self.facts.is_empty() => {
                let nth = random.random_range(0..self.facts.len());
                if let Some((mark, fact)) =
                    self.facts.iter_mut().nth(nth).filter(|(_, fact)| fact.stands)
                {
                    self.marks.remove(&mut transaction, mark);
                    fact.stands = false;
                }
            }
            _ => {}
        }
        let at = if len == 0 { 0 } else { random.random_range(0..=len) };
        let words = ["a", "be", "see", "ŵy", "🦀", " "];
        let at = at.min(self.text.len(&transaction));
        if !splits_a_pair(&self.text.get_string(&transaction), at) {
            self.text.insert(&mut transaction, at, words[random.random_range(0..words.len())]);
        }
        let mark = format!("{}.{}", self.id, self.made);
        self.made += 1;
        self.marks.insert(&mut transaction, mark.as_str(), true);
        self.facts.insert(mark, Fact { stands: true, saved: None });
        if online {
            self.unsaved += 1;
        }
        transaction.encode_update_v1().into()
    }

    /// Takes a message of the room; returns the answer, if there is one. Fails when the room says what it must never say.
    pub(crate) fn hear(&mut self, message: ToPeer) -> Result<Option<FromPeer>, String> {
        match message {
            ToPeer::SyncStep1(has) => {
                let has = yrs::StateVector::decode_v1(&has).map_err(|error| error.to_string())?;
                return Ok(Some(FromPeer::SyncStep2(
                    self.doc.transact().encode_state_as_update_v1(&has).into(),
                )));
            }
            ToPeer::SyncStep2(update) => {
                self.apply(&update)?;
                self.synced = true;
            }
            ToPeer::Update(update) => self.apply(&update)?,
            ToPeer::Applied(count) => {
                if count > self.unsaved {
                    return Err(format!("{count} changes acknowledged of {}", self.unsaved));
                }
                self.unsaved -= count;
                if self.unsaved == 0 {
                    self.told_saved();
                }
            }
            ToPeer::Refused if !self.is_reader => {
                return Err("an honest edit was refused".to_owned());
            }
            ToPeer::Refused
            | ToPeer::Awareness(_)
            | ToPeer::SyncStatus(_)
            | ToPeer::Stateless(_)
            | ToPeer::Scope(_)
            | ToPeer::KeepAlive => {}
        }
        if self.doc.transact().has_missing_updates() {
            return Err(format!(
                "client {} was sent something that depends on what it was not sent: {:?}",
                self.id,
                self.state_vector()
            ));
        }
        Ok(None)
    }

    /// Whether the page says *saved*.
    pub(crate) fn says_saved(&self) -> bool {
        self.unsaved == 0 && self.synced
    }

    fn told_saved(&mut self) {
        for fact in self.facts.values_mut() {
            fact.saved = Some(fact.stands);
        }
        self.saved_clock =
            self.doc.transact().state_vector().get(&yrs::block::ClientID::new(self.id));
    }

    fn apply(&self, update: &[u8]) -> Result<(), String> {
        let update = yrs::Update::decode_v1(update).map_err(|error| error.to_string())?;
        self.doc.transact_mut().apply_update(update).map_err(|error| error.to_string())
    }

    /// What it has.
    pub(crate) fn state_vector(&self) -> StateVector {
        let bytes = self.doc.transact().state_vector().encode_v1();
        StateVector::decode(&bytes).expect("a state vector of yrs decodes")
    }

    /// All of its content, comparable.
    pub(crate) fn content(&self) -> (String, Vec<String>) {
        let transaction = self.doc.transact();
        let mut marks: Vec<String> = self.marks.keys(&transaction).map(str::to_owned).collect();
        marks.sort();
        (self.text.get_string(&transaction), marks)
    }

    /// Checks what its user was told against what is durable. What a log that went back in time lost, and only a reader has, is lost: nobody takes a
    /// reader's word for it.
    pub(crate) fn check_promises(&self, durable: &Client, rewound: bool) -> Result<(), String> {
        let (mine, stored) = (self.state_vector(), durable.state_vector());
        for (client, clock) in mine.iter() {
            let stored = stored.get(client);
            if client.get() == self.id {
                if self.saved_clock > stored {
                    return Err(format!(
                        "client {} was told that {} is saved, and {stored} is",
                        self.id, self.saved_clock
                    ));
                }
            } else if clock > stored && !(rewound && self.is_reader) {
                return Err(format!(
                    "client {} was shown {client} up to {clock}, and {stored} is saved",
                    self.id
                ));
            }
        }
        let (_, marks) = durable.content();
        for (mark, fact) in &self.facts {
            let is_there = marks.binary_search(mark).is_ok();
            match fact.saved {
                Some(true) if !is_there && fact.stands => {
                    return Err(format!("the saved mark {mark} is gone"));
                }
                Some(false) if is_there => return Err(format!("the deleted mark {mark} is back")),
                _ => {}
            }
        }
        Ok(())
    }

    /// It will not come back; what it was told remains.
    pub(crate) fn depart(self) -> Departed {
        Departed { id: self.id, facts: self.facts, saved_clock: self.saved_clock }
    }

    /// All it has.
    pub(crate) fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&yrs::StateVector::default())
    }

    /// Takes in a whole state.
    pub(crate) fn learn(&self, state: &[u8]) -> Result<(), String> {
        self.apply(state)
    }

    /// How far it knows the edits of a client.
    pub(crate) fn clock_of(&self, client: u64) -> u32 {
        self.doc.transact().state_vector().get(&yrs::block::ClientID::new(client))
    }

    /// Loads a whole state.
    pub(crate) fn load(state: &[u8]) -> Self {
        let client = Self::new(1, true);
        client.apply(state).expect("a stored state loads");
        client
    }

    /// Bytes that look like an update of this client, and mostly are none. Whoever may write may also delete, and in the sandbox write as anyone:
    /// that would be vandalism, of which no promise speaks, so it stays with words under its own id.
    pub(crate) fn nonsense(&self, random: &mut StdRng) -> Bytes {
        let mut transaction = self.doc.transact_mut();
        let at = random.random_range(0..=self.text.len(&transaction));
        self.text.insert(&mut transaction, at, "nonsense ");
        let mut bytes = transaction.encode_state_as_update_v1(&yrs::StateVector::default());
        match random.random_range(0..4) {
            0 => bytes.truncate(random.random_range(0..bytes.len())),
            1 => {
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] ^= 1 << random.random_range(0..8);
                }
                if update::parse(&bytes).is_ok() {
                    bytes.pop();
                }
            }
            2 => {
                bytes.resize(random.random_range(0..64), 0);
                random.fill_bytes(&mut bytes);
            }
            _ => {}
        }
        // What still parses may be in an order of its own making, which the gate does not promise to find (`GATE.md`): that is for its own tests.
        let is_vandalism = update::parse(&bytes).is_ok_and(|update| {
            let measured = update.measure();
            measured.deletes().next().is_some()
                || measured.sections().iter().any(|section| section.client.get() != self.id)
        });
        if is_vandalism {
            bytes.pop();
        }
        bytes.into()
    }
}

/// Whether a UTF-16 offset lies inside a surrogate pair.
fn splits_a_pair(text: &str, at: u32) -> bool {
    let at = at as usize;
    let mut unit = 0;
    for character in text.chars() {
        if unit >= at {
            return false;
        }
        unit += character.len_utf16();
        if unit > at {
            return true;
        }
    }
    false
}
