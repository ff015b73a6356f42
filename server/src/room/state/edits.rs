//! What becomes of an update that a peer sends?
//!
//! The gate first; what passes waits for the store. Every received update is answered exactly once: applied, refused, or covered by the full sync
//! it was asked for.

use super::storing::InFlight;
use super::trouble::{Storage, TROUBLE_AFTER};
use super::{Question, Room};
use crate::access::{Principal, Scope};
use crate::gate::{Admitted, Anyone, Refusal};
use crate::room::event::{Dialect, Effect, Millis, Note, Now, PeerId, ToPeer};
use crate::room::record::EditPlace;
use crate::store::EntryId;
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::update::Measured;
use std::collections::VecDeque;

/// Bytes that may wait for the store in one room. Beyond, updates stay with their authors, who are asked for everything once there is room.
pub(super) const MAX_WAITING_BYTES: usize = 24 * 1024 * 1024;

/// The same as a number of updates: a store that is away for seconds while a plenary types.
pub(super) const MAX_WAITING: usize = 16 * 1024;

/// Bytes of updates in one entry, unless a single one is larger.
pub(super) const MAX_ENTRY_UPDATES: usize = 4 * 1024 * 1024;

/// A document that has grown to this encoded size takes no more: loading and joining it would begin to hurt everyone in it. Bytes.
const MAX_DOCUMENT: usize = 100 * 1024 * 1024;

/// y-sweet clients give up a socket that is silent for 3 s after they asked for a status.
pub(super) const STATUS_PATIENCE: Millis = 2_000;

/// How often a client whose own state has a hole is asked again before it is refused.
const MAX_OWN_GAPS: u32 = 5;

/// The first wait before that; doubles each time.
const OWN_GAP_PATIENCE: Millis = 250;

/// Whether an update is an edit or the answer to our question for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Edit,
    FullSync,
}

/// Updates between the gate and the store.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    pub(super) in_flight: Option<InFlight>,
    /// The store has been asked to append and has not answered. What it was asked may have been given up meanwhile.
    pub(super) calling: bool,
    /// Edits found impossible to apply, to be recorded as such.
    pub(super) voids: VecDeque<EditPlace>,
    /// Makes the ids of entries unlike those of other rooms.
    nonce: u64,
    entries_made: u64,
    pub(super) retry_at: Option<Millis>,
    pub(super) failures: u32,
    /// What the store said to the entry in flight when it last failed.
    pub(super) trouble: Option<Storage>,
    /// When a peer that waits for a status must hear something again.
    pub(super) status_patience: Option<Millis>,
}

/// Something that is answered when everything before it is durable.
#[derive(Debug)]
pub(super) enum Waiting {
    Edit(Part),
    /// y-sweet's question whether all before it is safe.
    Status(PeerId, Bytes),
}

/// One received update, with the answer it is waiting for.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) peer: PeerId,
    /// Who the peer was when it sent this: it may leave before its words are stored.
    pub(super) principal: Principal,
    pub(super) update: Bytes,
    /// How many received updates it answers: itself, and those that its full sync covers.
    pub(super) answers: u32,
    pub(super) since: Millis,
}

/// One received update that passed the gate.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) offer: Offer,
    pub(super) measured: Measured,
    /// Whether it must be stored at all.
    pub(super) news: bool,
    /// Whether its sender must see it come back although it is no news.
    pub(super) comes_back: bool,
}

impl Edits {
    pub(super) fn new(nonce: u64) -> Self {
        Self { nonce, ..Self::default() }
    }

    /// An id that no other entry has.
    pub(super) fn next_id(&mut self) -> EntryId {
        let number = self.entries_made;
        self.entries_made += 1;
        EntryId(u128::from(self.nonce) << 64 | u128::from(number))
    }
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.in_flight.as_ref().map_or(0, |entry| entry.items.len())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none() && self.voids.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes <= MAX_WAITING_BYTES / 2 && self.waiting.len() <= MAX_WAITING / 2
    }

    pub(super) fn wake_at(&self, told: Storage) -> Option<Millis> {
        let trouble = self.in_flight.as_ref().map(|entry| entry.since + TROUBLE_AFTER);
        let trouble = trouble.filter(|_| told == Storage::Well);
        self.retry_at.into_iter().chain(self.status_patience).chain(trouble).min()
    }

    /// How the store fares with the entry in flight. A short failure is no news.
    pub(super) fn storage(&self, now: Millis) -> Storage {
        match (&self.in_flight, self.trouble) {
            (Some(_), Some(Storage::Full)) => Storage::Full,
            (Some(entry), trouble) if now >= entry.since + TROUBLE_AFTER => {
                trouble.unwrap_or(Storage::Away)
            }
            _ => Storage::Well,
        }
    }

    pub(super) fn record_voids(&mut self, voids: impl IntoIterator<Item = EditPlace>) {
        self.voids.extend(voids);
    }

    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn push(&mut self, item: Waiting) {
        if let Waiting::Edit(part) = &item {
            self.waiting_bytes += part.offer.update.len();
        }
        self.waiting.push_back(item);
    }

    /// What the next entry answers, within the limit of one entry.
    pub(super) fn take_batch(&mut self) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let mut size = 0;
        while let Some(item) = self.waiting.front() {
            let len = match item {
                Waiting::Edit(part) => part.offer.update.len(),
                Waiting::Status(..) => 0,
            };
            if !batch.is_empty() && size + len > MAX_ENTRY_UPDATES {
                break;
            }
            size += len;
            batch.extend(self.waiting.pop_front());
        }
        self.waiting_bytes = self.waiting_bytes.saturating_sub(size);
        batch
    }
}

impl Room {
    /// Takes in an update: the gate first.
    pub(super) fn update(&mut self, now: Now, id: PeerId, update: Bytes, kind: Kind) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.scope == Scope::ReadOnly {
            self.update_of_reader(now, id, &update, kind);
            return;
        }
        let mut answers = 1;
        if kind == Kind::FullSync {
            let is_counted = peer.questions.pop_front() != Some(Question::Uncounted);
            answers = u32::from(is_counted) + std::mem::take(&mut peer.owed);
        }
        let principal = peer.principal.clone();
        let offer = Offer { peer: id, principal, update, answers, since: now.mono };
        self.take_in(now.mono, offer, kind);
    }

    pub(super) fn take_in(&mut self, now: Millis, offer: Offer, kind: Kind) {
        let (id, answers) = (offer.peer, offer.answers);
        let is_full = self.edits.waiting_bytes + offer.update.len() > MAX_WAITING_BYTES
            || self.edits.waiting.len() >= MAX_WAITING;
        if is_full || !self.is_loaded() {
            self.owe(id, answers);
            return;
        }
        let size = self.document.size_hint() + self.edits.waiting_bytes + offer.update.len();
        if size > MAX_DOCUMENT && !self.document.knows(&offer.update) {
            let detail = format!("the document would grow past {MAX_DOCUMENT} bytes");
            self.refuse(id, answers, "document_full", detail);
            return;
        }
        match self.document.admit(&offer.update, &mut Anyone) {
            Ok(admitted) => {
                let Admitted { measured, news } = admitted;
                let comes_back = kind == Kind::Edit || measured.blocks() > 0 || !self.is_told(id);
                self.edits.push(Waiting::Edit(Part { offer, measured, news, comes_back }));
                if kind == Kind::FullSync {
                    self.handed_in(id);
                }
            }
            Err(Refusal::Gap) if kind == Kind::Edit => self.owe(id, answers),
            Err(Refusal::Gap) => self.own_gap(now, id, answers),
            Err(refusal) => self.refuse(id, answers, refusal_name(&refusal), describe(&refusal)),
        }
    }

    /// Whether the answer to this peer's `SyncStep1` held all that the room knows even now. What a client deleted may be known without any
    /// update that says so, where another value has taken its place: only the state as a whole tells it.
    fn is_told(&self, id: PeerId) -> bool {
        let told = self.peers.get(&id).and_then(|peer| peer.told_version);
        told == Some(self.document.version()) && self.edits.is_idle()
    }

    /// The peer's full sync is on its way into the store, or was there already: a status that waited for it now waits behind it.
    fn handed_in(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.own_gaps = 0;
        peer.handed_in = true;
        if !peer.has_more_to_bring()
            && let Some(status) = peer.held_status.take()
        {
            self.edits.push(Waiting::Status(id, status));
        }
    }

    /// A client that itself waits for something (another tab passed it on, say) offers what it cannot place yet. It will have been told the
    /// rest in a moment, so it is asked again, a few times.
    fn own_gap(&mut self, now: Millis, id: PeerId, answers: u32) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.own_gaps += 1;
        if peer.own_gaps > MAX_OWN_GAPS {
            self.refuse(id, answers, refusal_name(&Refusal::Gap), Refusal::Gap.to_string());
            return;
        }
        peer.ask_after = Some(now + (OWN_GAP_PATIENCE << peer.own_gaps));
        self.owe(id, answers);
    }

    /// The update stays with its author, who is asked for everything when that can help.
    pub(super) fn owe(&mut self, id: PeerId, answers: u32) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.owed += answers;
        if peer.questions.is_empty() {
            peer.to_ask.get_or_insert(Question::Uncounted);
            self.asking.insert(id);
            self.note(Note::AskedAgain(id));
            self.ask_if_possible(id);
        }
    }

    fn update_of_reader(&mut self, now: Now, id: PeerId, update: &Bytes, kind: Kind) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let dialect = peer.dialect;
        // What it brings stays with it, unless it is here already.
        peer.handed_in = false;
        if kind == Kind::FullSync {
            peer.questions.pop_front();
        }
        let adds_nothing =
            kind == Kind::FullSync && self.is_loaded() && self.document.knows(update);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match (dialect, kind) {
            _ if adds_nothing => {
                let (principal, owed) = (peer.principal.clone(), std::mem::take(&mut peer.owed));
                let (update, since) = (update.clone(), now.mono);
                let offer = Offer { peer: id, principal, update, answers: 1 + owed, since };
                // What is known may still be on its way to the store: the answer waits in line with it.
                match self.document.admit(&offer.update, &mut Anyone) {
                    Ok(Admitted { measured, news }) => {
                        let part = Part { offer, measured, news, comes_back: false };
                        self.edits.push(Waiting::Edit(part));
                        self.handed_in(id);
                    }
                    Err(refusal) => {
                        self.refuse(id, 1 + owed, refusal_name(&refusal), describe(&refusal));
                    }
                }
            }
            // A reader that offers what it has: nothing is taken, nothing is wrong.
            (Dialect::YWebsocket, Kind::FullSync) => {}
            (Dialect::YWebsocket, Kind::Edit) => {
                self.note(Note::Refused {
                    peer: id,
                    reason: "read_only",
                    detail: "an edit over a read-only connection".to_owned(),
                });
                self.effects.push(Effect::Close(
                    id,
                    CloseCode::FORBIDDEN,
                    "you may read this document, not change it",
                ));
            }
            (Dialect::Hocuspocus, _) => {
                self.refuse(id, 1, "read_only", "an edit over a read-only connection".to_owned())
            }
        }
    }

    /// A typed answer, nothing stored, and the room lives on.
    pub(super) fn refuse(
        &mut self,
        id: PeerId,
        answers: u32,
        reason: &'static str,
        detail: String,
    ) {
        self.note(Note::Refused { peer: id, reason, detail });
        if let Some(peer) = self.peers.get_mut(&id) {
            // What was refused it still has.
            peer.handed_in = false;
        }
        match self.peers.get(&id).map(|peer| peer.dialect) {
            Some(Dialect::Hocuspocus) => {
                for _ in 0..answers {
                    self.send(id, ToPeer::Refused);
                }
            }
            Some(Dialect::YWebsocket) => {
                self.effects.push(Effect::Close(
                    id,
                    CloseCode::UPDATE_REFUSED,
                    "the server cannot store this update",
                ));
            }
            None => {}
        }
    }

    /// y-sweet asks whether everything before is safe. It is not before the peer has handed in all it has: a client that comes back counts the
    /// edits it made offline, or was refused, before it has sent them. Readers are asked for everything only here: what they have and the room
    /// has not will never be safe.
    pub(super) fn status(&mut self, now: Now, id: PeerId, status: Bytes) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.has_more_to_bring() {
            peer.held_status = Some(status);
            let is_asked = peer.to_ask.is_some() || !peer.questions.is_empty();
            if !is_asked {
                peer.to_ask = Some(Question::Uncounted);
                self.asking.insert(id);
                self.ask_if_possible(id);
            }
        } else {
            // The latest speaks for those before it.
            peer.held_status = None;
            self.edits.push(Waiting::Status(id, status));
        }
        self.edits.status_patience.get_or_insert(now.mono + STATUS_PATIENCE);
    }
}

pub(super) fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_) => "malformed",
        Refusal::Gap => "gap",
        Refusal::Contradiction(_) => "contradiction",
        Refusal::NotYours => "not_yours",
        Refusal::Limit(_) => "limit",
    }
}

pub(super) fn describe(refusal: &Refusal) -> String {
    match std::error::Error::source(refusal) {
        Some(source) => format!("{refusal}: {source}"),
        None => refusal.to_string(),
    }
}
