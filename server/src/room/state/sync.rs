//! How is one peer brought up to date: at first, and after it fell behind?
//!
//! A small answer is one message. A large one goes out in causally closed parts, a window at a time, each window when the one before has
//! left: it never fills an outbox, and the client's watchdog sees something all the while. Live broadcasts begin when the last part is on
//! its way.

use super::{Had, Peer, Question, Room};
use crate::access::Scope;
use crate::room::event::{Dialect, Effect, Millis, Note, PeerId, Seating, ToPeer};
use bytes::Bytes;
use commonplace_protocol::update::StateVector;
use std::collections::VecDeque;

/// One part of a large answer. Bytes; a browser takes a frame of this size in a few milliseconds.
pub(super) const SYNC_PART: usize = 256 * 1024;

/// How many parts may wait in an outbox at once: a window well below the outbox' budget.
const WINDOW_PARTS: usize = 4;

/// A large answer on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// What the peer had before it.
    had: Had,
    /// What it has after it: as a state, and as the version of the document.
    to: StateVector,
    version: u64,
    parts: VecDeque<Bytes>,
}

impl Peer {
    /// What was under way to this peer will not arrive: from now on it is behind. `told` is what a live peer has been sent.
    pub(super) fn interrupt(&mut self, told: &StateVector) {
        if self.seating == Seating::Behind {
            return;
        }
        // The earliest state counts: of what was sent since, nobody knows what arrived.
        let under_way = self.transfer.take().map(|transfer| transfer.had);
        self.unsent.had = self.answered.take().or(under_way).or_else(|| {
            let is_live = self.seating == Seating::Live;
            is_live.then(|| Had { state: told.clone(), asked: false })
        });
        self.seating = Seating::Behind;
    }
}

impl Room {
    /// Answers `SyncStep1`: what the peer lacks, and the question what the room lacks.
    pub(super) fn answer_sync(&mut self, id: PeerId, has: StateVector) {
        let is_loaded = self.is_loaded();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if wants_question(peer) {
            peer.to_ask = Some(Question::Counted);
            self.asking.insert(id);
        }
        let had = Had { state: has, asked: true };
        if is_loaded && peer.seating != Seating::Behind {
            self.begin_transfer(id, had);
        } else {
            // Its outbox is full, or the document is being loaded anew after a fault: the answer waits until that is over.
            peer.seating = Seating::Behind;
            peer.transfer = None;
            peer.unsent.had = Some(had);
        }
    }

    fn begin_transfer(&mut self, id: PeerId, had: Had) {
        let parts = VecDeque::from(self.document.parts(&had.state, SYNC_PART));
        let to = self.document.state_vector().clone();
        let version = self.document.version();
        // Hocuspocus providers expect the question before the answer; in a large answer the question comes last, or they would call themselves
        // synced at its status, before all parts have come.
        if parts.len() == 1 {
            self.ask_if_possible(id);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.transfer = Some(Transfer { had, to, version, parts });
        }
        self.continue_transfer(id);
    }

    fn continue_transfer(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(transfer) = &mut peer.transfer else { return };
        let answers_step1 = transfer.had.asked;
        let window: Vec<Bytes> =
            transfer.parts.drain(..transfer.parts.len().min(WINDOW_PARTS)).collect();
        let is_last = transfer.parts.is_empty();
        let count = window.len();
        for (n, part) in window.into_iter().enumerate() {
            let ends = is_last && n + 1 == count;
            self.effects.push(Effect::Send(
                id,
                if ends && answers_step1 { ToPeer::SyncStep2(part) } else { ToPeer::Update(part) },
            ));
        }
        if !is_last {
            self.effects.push(Effect::TellWhenDrained(id));
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(transfer) = peer.transfer.take() else { return };
        peer.answered.get_or_insert(transfer.had);
        self.answered_peers.push(id);
        peer.told_version = Some(transfer.version);
        if transfer.version == self.document.version() {
            peer.seating = Seating::Live;
            self.effects.push(Effect::Seat(id, Seating::Live));
            self.ask_if_possible(id);
        } else {
            // The document has changed meanwhile: once more from there, until the peer is level.
            self.begin_transfer(id, Had { state: transfer.to, asked: false });
        }
    }

    /// A message found no room in a peer's outbox. Nothing is lost: what it would have said is remembered, as state and not as messages.
    pub(super) fn behind(&mut self, id: PeerId, message: ToPeer) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.seating != Seating::Behind {
            // A live peer has had everything but the last broadcast; one in the middle of a sync starts it again from what it had.
            peer.interrupt(&self.show.told_before);
            self.note(Note::FellBehind(id));
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.waits_for_drain = true;
        }
        self.remember_unsent(id, message);
    }

    fn remember_unsent(&mut self, id: PeerId, message: ToPeer) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let unsent = &mut peer.unsent;
        match message {
            ToPeer::Applied(count) => unsent.applied += count,
            ToPeer::Refused => unsent.refused += 1,
            ToPeer::SyncStatus(status) => unsent.status = Some(status),
            ToPeer::Scope(scope) => unsent.scope = Some(scope),
            ToPeer::SyncStep1(_) => {
                let unasked = peer.questions.pop_back();
                peer.to_ask = match (peer.to_ask, unasked) {
                    (Some(Question::Counted), _) | (_, Some(Question::Counted)) => {
                        Some(Question::Counted)
                    }
                    (Some(Question::Uncounted), _) | (None, _) => Some(Question::Uncounted),
                };
                self.asking.insert(id);
            }
            // Covered by the diff, by the presence table, or not worth repeating.
            ToPeer::SyncStep2(_)
            | ToPeer::Update(_)
            | ToPeer::Awareness(_)
            | ToPeer::Stateless(_)
            | ToPeer::KeepAlive => {}
        }
    }

    /// Sends to one peer, or remembers it for a peer that is behind.
    pub(super) fn send(&mut self, id: PeerId, message: ToPeer) {
        match self.peers.get(&id) {
            Some(peer) if peer.seating == Seating::Behind => self.remember_unsent(id, message),
            Some(_) => self.effects.push(Effect::Send(id, message)),
            None => {}
        }
    }

    pub(super) fn drained(&mut self, id: PeerId) {
        let is_loaded = self.is_loaded();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.waits_for_drain = false;
        if !is_loaded {
            return;
        }
        if peer.transfer.is_some() {
            self.continue_transfer(id);
        } else if peer.seating == Seating::Behind {
            self.catch_up(id);
        }
    }

    /// One diff from the state the peer had, and everything else it missed.
    pub(super) fn catch_up(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let unsent = std::mem::take(&mut peer.unsent);
        peer.seating = Seating::Arriving;
        self.effects.push(Effect::Seat(id, Seating::Arriving));
        self.tell_who_is_here(id);
        if let Some(scope) = unsent.scope {
            self.send(id, ToPeer::Scope(scope));
        }
        if let Some(had) = unsent.had {
            self.begin_transfer(id, had);
        }
        self.ask_if_possible(id);
        if unsent.applied > 0 {
            self.send(id, ToPeer::Applied(unsent.applied));
        }
        for _ in 0..unsent.refused {
            self.send(id, ToPeer::Refused);
        }
        if let Some(status) = unsent.status {
            self.send(id, ToPeer::SyncStatus(status));
        }
    }

    /// Asks a peer for everything the room lacks.
    fn ask_for_everything(&mut self, id: PeerId, question: Question) {
        let state_vector = Bytes::from(self.document.state_vector().encode());
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.questions.push_back(question);
            peer.to_ask = None;
            peer.ask_after = None;
        }
        self.asking.remove(&id);
        self.send(id, ToPeer::SyncStep1(state_vector));
    }

    /// Asks now if nothing speaks against it: no transfer under way, and room for what comes.
    pub(super) fn ask_if_possible(&mut self, id: PeerId) {
        let has_room = self.edits.has_room() && self.is_loaded();
        let Some(peer) = self.peers.get(&id) else { return };
        let waits =
            peer.transfer.is_some() || peer.ask_after.is_some() || peer.seating == Seating::Behind;
        if let Some(question) = peer.to_ask
            && has_room
            && !waits
        {
            self.ask_for_everything(id, question);
        }
    }

    pub(super) fn ask_all_that_wait(&mut self) {
        for peer in self.asking.iter().copied().collect::<Vec<_>>() {
            self.ask_if_possible(peer);
        }
    }

    pub(super) fn ask_whose_time_has_come(&mut self, now: Millis) {
        for id in self.asking.iter().copied().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.ask_after.is_some_and(|at| now >= at) {
                peer.ask_after = None;
                self.ask_if_possible(id);
            }
        }
    }

    /// When the next peer that may be asked again later may be.
    pub(super) fn next_ask(&self) -> Option<Millis> {
        self.asking.iter().filter_map(|id| self.peers.get(id)?.ask_after).min()
    }
}

/// A y-websocket reader has no way to hear that its answer was not stored, so it is not asked; a Hocuspocus reader counts on the question.
fn wants_question(peer: &Peer) -> bool {
    peer.scope == Scope::ReadWrite || peer.dialect == Dialect::Hocuspocus
}
