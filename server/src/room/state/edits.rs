//! What becomes of an update that a peer sends?
//!
//! Gate, record, apply, show, acknowledge. What waits in the room is stored as one entry; one entry is in flight at a time, and what comes
//! meanwhile forms the next. Every received update is answered exactly once: applied, refused, or covered by the full sync it was asked for.

use super::show::Shown;
use super::trouble::{Storage, TROUBLE_AFTER};
use super::{Question, Room};
use crate::access::{Principal, Scope};
use crate::gate::{Admitted, Anyone, Refusal};
use crate::room::event::{Dialect, Effect, Millis, Note, Now, PeerId, ToPeer};
use crate::room::record::{Edit, EditPlace, Record};
use crate::store::{Position, StoreError};
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::update::Measured;
use std::collections::{BTreeMap, VecDeque};

/// Bytes that may wait for the store in one room. Beyond, updates stay with their authors, who are asked for everything once there is room.
pub(super) const MAX_WAITING_BYTES: usize = 24 * 1024 * 1024;

/// The same as a number of updates: a store that is away for seconds while a plenary types.
pub(super) const MAX_WAITING: usize = 16 * 1024;

/// Bytes of updates in one entry, unless a single one is larger.
pub(super) const MAX_ENTRY_UPDATES: usize = 4 * 1024 * 1024;

/// A document that has grown to this encoded size takes no more: loading and joining it would begin to hurt everyone in it. Bytes.
const MAX_DOCUMENT: usize = 100 * 1024 * 1024;

/// First wait before an entry is offered to the store again; doubles up to [`MAX_STORE_RETRY`].
const MIN_STORE_RETRY: Millis = 50;

/// The longest wait: a store that is back is noticed within this time.
const MAX_STORE_RETRY: Millis = 2_000;

/// y-sweet clients give up a socket that is silent for 3 s after they asked for a status.
const STATUS_PATIENCE: Millis = 2_000;

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
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    in_flight: Option<InFlight>,
    /// Edits found impossible to apply, to be recorded as such.
    voids: VecDeque<EditPlace>,
    entries_made: u64,
    retry_at: Option<Millis>,
    failures: u32,
    /// What the store said to the entry in flight when it last failed.
    trouble: Option<Storage>,
    /// When a peer that waits for a status must hear something again.
    status_patience: Option<Millis>,
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
    principal: Principal,
    pub(super) update: Bytes,
    /// How many received updates it answers: itself, and those that its full sync covers.
    pub(super) answers: u32,
    since: Millis,
}

/// One received update that passed the gate.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) offer: Offer,
    measured: Measured,
    /// Whether it must be stored at all.
    pub(super) news: bool,
    /// Whether its sender must see it come back although it is no news.
    comes_back: bool,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    entry: Bytes,
    items: Vec<Waiting>,
    /// When it was first offered.
    since: Millis,
}

impl Edits {
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

    fn push(&mut self, item: Waiting) {
        if let Waiting::Edit(part) = &item {
            self.waiting_bytes += part.offer.update.len();
        }
        self.waiting.push_back(item);
    }

    /// What the next entry answers, within the limit of one entry.
    fn take_batch(&mut self) -> Vec<Waiting> {
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

    /// Offers the store what waits, one entry at a time.
    pub(super) fn store_waiting(&mut self, now: Now) {
        self.calm_status_askers(now.mono);
        if let Some(entry) = &self.edits.in_flight {
            if self.edits.retry_at.is_some_and(|at| now.mono >= at) {
                self.edits.retry_at = None;
                self.effects
                    .push(Effect::Append { number: entry.number, entry: entry.entry.clone() });
            }
            return;
        }
        if let Some(place) = self.edits.voids.pop_front() {
            self.append(now, &Record::Void(place), Vec::new());
            return;
        }
        while !self.edits.waiting.is_empty() {
            let batch = self.edits.take_batch();
            let edits: Vec<Edit> = batch.iter().filter_map(stored_edit).collect();
            if !edits.is_empty() {
                self.append(now, &Record::Edits { at: now.wall, edits }, batch);
                return;
            }
            // Nothing new in it, and everything before it is durable.
            self.complete(now, self.log.head, batch);
        }
    }

    fn append(&mut self, now: Now, record: &Record, items: Vec<Waiting>) {
        let entry = record.encode();
        let number = self.edits.entries_made;
        self.edits.entries_made += 1;
        self.effects.push(Effect::Append { number, entry: entry.clone() });
        self.edits.in_flight = Some(InFlight { number, entry, items, since: now.mono });
    }

    pub(super) fn stored(&mut self, now: Now, outcome: Result<Position, StoreError>) {
        match outcome {
            Ok(position) => {
                self.edits.failures = 0;
                self.edits.trouble = None;
                self.edits.retry_at = None;
                let Some(entry) = self.edits.in_flight.take() else { return };
                self.log.head = position;
                self.log.bytes_since_snapshot += entry.entry.len() as u64;
                self.complete(now, position, entry.items);
                self.ask_all_that_wait();
            }
            Err(error) if error.is_retryable() => {
                let wait = (MIN_STORE_RETRY << self.edits.failures.min(10)).min(MAX_STORE_RETRY);
                self.edits.failures += 1;
                self.edits.trouble = Some(Storage::of(&error));
                self.edits.retry_at = Some(now.mono + wait);
                self.note(Note::StoreAway(error));
            }
            Err(error) => self.set_aside(error.to_string()),
        }
    }

    /// Everything in `items` is durable: apply it, show it, acknowledge it.
    fn complete(&mut self, now: Now, position: Position, items: Vec<Waiting>) {
        let mut index = 0;
        for item in &items {
            let Waiting::Edit(part) = item else { continue };
            if !part.news {
                continue;
            }
            let patience = self.patience;
            let applied = self.document.apply_within(&part.offer.update, &part.measured, patience);
            if let Err(broken) = applied {
                self.rebuild(EditPlace { position, index }, &broken, items);
                return;
            }
            index += 1;
        }
        let mut waited = 0;
        let mut answers: BTreeMap<PeerId, u32> = BTreeMap::new();
        let mut statuses = Vec::new();
        for item in items {
            match item {
                Waiting::Edit(part) => {
                    waited = waited.max(now.mono.saturating_sub(part.offer.since));
                    *answers.entry(part.offer.peer).or_default() += part.offer.answers;
                    self.show_part(part);
                }
                Waiting::Status(peer, status) => statuses.push((peer, status)),
            }
        }
        self.show_edits(now);
        let count = answers.values().sum();
        if count > 0 {
            self.note(Note::Acknowledged { count, waited });
        }
        for (peer, count) in answers {
            self.acknowledge(peer, count);
        }
        for (peer, status) in statuses {
            self.send(peer, ToPeer::SyncStatus(status));
        }
    }

    pub(super) fn acknowledge(&mut self, id: PeerId, count: u32) {
        if count > 0 {
            self.send(id, ToPeer::Applied(count));
        }
    }

    fn show_part(&mut self, part: Part) {
        let Part { offer: Offer { peer, update, .. }, measured, news, comes_back } = part;
        let dialect = self.peers.get(&peer).map(|peer| peer.dialect);
        if news {
            // A Hocuspocus provider is told by its status; y-websocket clients count an edit as safe when it comes back to them.
            let not_to = (dialect == Some(Dialect::Hocuspocus)).then_some(peer);
            self.show.push(Shown { update, measured, not_to });
        } else if dialect == Some(Dialect::YWebsocket) && comes_back {
            // Everyone else has it already; its sender still waits to see it come back.
            self.send(peer, ToPeer::Update(update));
        }
    }

    fn calm_status_askers(&mut self, now: Millis) {
        if self.edits.status_patience.is_none_or(|at| now < at) {
            return;
        }
        let in_flight = self.edits.in_flight.as_ref().map_or(&[][..], |entry| &entry.items);
        let asking = in_flight.iter().chain(&self.edits.waiting).filter_map(|item| match item {
            Waiting::Status(peer, _) => Some(*peer),
            Waiting::Edit(_) => None,
        });
        let held =
            self.peers.iter().filter(|(_, peer)| peer.held_status.is_some()).map(|(&id, _)| id);
        let mut asking: Vec<PeerId> = asking.chain(held).collect();
        asking.sort_unstable();
        asking.dedup();
        self.edits.status_patience = (!asking.is_empty()).then_some(now + STATUS_PATIENCE);
        for peer in asking {
            self.send(peer, ToPeer::KeepAlive);
        }
    }
}

/// The part of an entry that stands for it, if it must be stored at all.
fn stored_edit(item: &Waiting) -> Option<Edit> {
    match item {
        Waiting::Edit(part) if part.news => Some(Edit {
            principal: part.offer.principal.0.clone(),
            connection: part.offer.peer.0,
            update: part.offer.update.clone(),
        }),
        Waiting::Edit(_) | Waiting::Status(..) => None,
    }
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_) => "malformed",
        Refusal::Gap => "gap",
        Refusal::Contradiction(_) => "contradiction",
        Refusal::NotYours => "not_yours",
        Refusal::Limit(_) => "limit",
    }
}

fn describe(refusal: &Refusal) -> String {
    match std::error::Error::source(refusal) {
        Some(source) => format!("{refusal}: {source}"),
        None => refusal.to_string(),
    }
}
