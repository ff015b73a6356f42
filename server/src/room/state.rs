//! What does a room do next?
//!
//! The pure step: `(state, event, now) -> effects`. No await, no clock, no socket, so a seeded simulation can run thousands of rooms in virtual
//! time. The path of one edit is always the same: gate, record, apply, show, acknowledge.
//!
//! Several instances may have a room for the same document; what they share is the log. Each applies its entries in log order, so all come to the
//! same document:
//!
//! - **R1** An entry of one's own is applied, shown and acknowledged when everything before it in the log has been applied.
//! - **R2** An entry of another instance passes the gate in log order, is applied and shown to everyone.
//! - **R3** An own entry that is met in the log before the store has said that it is written is not gone past.
//! - **R4** An entry of others that the gate refuses is passed over if nothing of one's own was let in that is not in the log yet. Otherwise that may
//!   be why: the document is loaded from the log, whose order decides, and what is one's own passes the gate again.
//! - **R5** A void that another instance recorded for an edit that was applied here loads the document without it.
//! - **R6** When the log went back in time, the document is loaded anew; what the old one has and the new one lacks goes back into the log, and
//!   every peer that may write is asked for everything. Nothing acknowledged is lost while a room or a client has it.
//! - **R7** A room whose place was trimmed away loads the document anew, and loses nothing either.
//! - **R8** The instance whose own entry makes a compaction due does it; the others only when it is long overdue.
//! - **R9** Out of touch with the store, a room sends its peers away, and does not close before it has read the log again.
//!
//! [`opening`] loads the log, [`follow`] reads on, [`edits`] takes updates in, [`storing`] stores and answers them, [`heal`] puts back what a log lost,
//! [`place`] knows where the log is and when it is compacted, [`sync`] brings peers up to date, [`show`] paces broadcasts, [`trouble`] tells people why
//! nothing is saved, [`others`] does what other instances and the server itself want.

mod edits;
mod follow;
mod heal;
mod opening;
mod others;
mod place;
mod show;
mod storing;
mod sync;
mod trouble;

use super::document::{Document, LONGEST_APPLY};
use super::event::{
    Dialect, Effect, Event, FromPeer, Join, Millis, Note, Now, PeerId, Seating, ToPeer,
};
use super::presence::Presence;
use crate::access::{Principal, Scope};
use crate::bus::message::Message;
use crate::store::Bookmark;
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::limits::MAX_AWARENESS_MESSAGE;
use commonplace_protocol::presence;
use commonplace_protocol::update::StateVector;
use edits::Edits;
use opening::{Opening, Reload};
use others::Rights;
use place::LogPlace;
pub use place::{COMPACT_BYTES, COMPACT_ENTRIES, COMPACT_ON_CLOSE_ENTRIES};
use show::Show;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use sync::Transfer;
use trouble::Storage;

/// An empty room is kept this long, so that a reload of the page finds it warm.
pub const IDLE_CLOSE: Millis = 30_000;

/// How often presence is looked through for states nobody renews.
const PRESENCE_SWEEP: Millis = 10_000;

/// One room: everything it knows.
#[derive(Debug)]
pub struct Room {
    phase: Phase,
    document: Document,
    /// In boxes: a map of thousands keeps half of its places empty.
    peers: BTreeMap<PeerId, Box<Peer>>,
    presence: Presence,
    rights: Rights,
    edits: Edits,
    show: Show,
    log: LogPlace,
    /// What peers were told last of the store.
    told_storage: Storage,
    /// Wanted while peers are here, and until what waits is stored.
    idle_since: Option<Millis>,
    next_sweep: Millis,
    wake_at: Option<Millis>,
    /// How long one update may keep the document engine busy.
    patience: Duration,
    /// Peers whose `to_ask` is set.
    asking: BTreeSet<PeerId>,
    /// Peers whose `answered` is set.
    answered_peers: Vec<PeerId>,
    effects: Vec<Effect>,
}

#[derive(Debug)]
enum Phase {
    /// The log is being read: for the first time, or again after the document engine failed.
    Opening(Opening),
    /// At work.
    Open,
    /// Storing what waits; no new peers.
    Stopping,
    /// Done. Nothing more happens.
    Ended,
}

#[derive(Debug)]
struct Peer {
    dialect: Dialect,
    principal: Principal,
    scope: Scope,
    /// What reaches it. What a peer that is behind lacks is in `unsent`.
    seating: Seating,
    /// Its outbox was full; it is caught up when that has drained.
    waits_for_drain: bool,
    /// What it had before the answer of this very step, which may still be lost to a full outbox.
    answered: Option<Had>,
    /// A large answer on its way.
    transfer: Option<Transfer>,
    /// The version of the document that the last answer brought it to.
    told_version: Option<u64>,
    /// Received updates that were not taken in and will be answered with its next full sync.
    owed: u32,
    /// Questions for everything it has not answered yet, in order.
    questions: VecDeque<Question>,
    /// What it must be asked as soon as there is room.
    to_ask: Option<Question>,
    /// How often in a row it answered with a gap of its own.
    own_gaps: u32,
    /// When it may be asked again after that.
    ask_after: Option<Millis>,
    /// Whether it has handed in all it had when it came: an answer to our question was taken in, or added nothing.
    handed_in: bool,
    /// A y-sweet status that must wait until it has.
    held_status: Option<Bytes>,
    /// What to say once its outbox has drained.
    unsent: Unsent,
}

impl Peer {
    /// Whether it has, or may have, edits that the room was not given yet.
    fn has_more_to_bring(&self) -> bool {
        !self.handed_in || self.owed > 0 || self.to_ask.is_some() || !self.questions.is_empty()
    }
}

/// Why a peer was asked for everything. A Hocuspocus provider counts its answer as one unsaved change only when it began the sync itself, so that
/// one status too many would let it say *saved* too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// It sent `SyncStep1`: its answer gets a status of its own.
    Counted,
    /// The room wants what it could not take in: only the updates left over are answered.
    Uncounted,
}

/// What a peer had before it was sent something.
#[derive(Clone, Debug)]
struct Had {
    state: StateVector,
    /// It asked by `SyncStep1`, so it must get a `SyncStep2` and the question back.
    asked: bool,
}

/// What a peer that is behind must be told when it can listen again.
#[derive(Debug, Default)]
struct Unsent {
    /// What it is known to have; `None` while it has not begun to sync.
    had: Option<Had>,
    scope: Option<Scope>,
    applied: u32,
    refused: u32,
    status: Option<Bytes>,
}

impl Room {
    /// A room about to open; asks for its log. The nonce, random, is what makes its entries' ids its own.
    #[must_use]
    pub fn new(nonce: u64) -> (Self, Vec<Effect>) {
        let mut room = Self {
            phase: Phase::Opening(Opening::default()),
            document: Document::new(),
            peers: BTreeMap::new(),
            presence: Presence::default(),
            rights: Rights::default(),
            edits: Edits::new(nonce),
            show: Show::default(),
            log: LogPlace::new(),
            told_storage: Storage::Well,
            idle_since: None,
            next_sweep: 0,
            wake_at: None,
            patience: LONGEST_APPLY,
            asking: BTreeSet::new(),
            answered_peers: Vec::new(),
            effects: Vec::new(),
        };
        room.read_from_the_start();
        let effects = std::mem::take(&mut room.effects);
        (room, effects)
    }

    /// Takes one event, and returns what is to be done, in order.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        if matches!(self.phase, Phase::Ended) {
            return Vec::new();
        }
        // Messages of the step before that found no room are reported first; only then may anything new be sent.
        if let Event::Behind(peer, message) = event {
            self.behind(peer, message);
            return std::mem::take(&mut self.effects);
        }
        for peer in self.answered_peers.drain(..) {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.answered = None;
            }
        }
        match event {
            Event::Read(page) => self.read(now, page),
            Event::Join(join) => self.join(now, join),
            Event::Leave(peer) => self.leave(now, peer),
            Event::Received(peer, message) => self.received(now, peer, message),
            Event::Scope(peer, scope) => {
                self.set_scope(peer, scope);
            }
            Event::Heard(said) => self.heard(now, said),
            Event::Missed => self.presence.missed(),
            Event::Command(command) => self.command(now, command),
            Event::Behind(..) => {}
            Event::Drained(peer) => self.drained(peer),
            Event::Stored(outcome) => self.stored(now, outcome),
            Event::Compacted(outcome) => self.compacted(outcome),
            Event::Followed => self.followed(),
            Event::OutOfTouch => self.out_of_touch(),
            // Whatever is wanted next has to be asked for, also when it is this very moment.
            Event::Tick => self.wake_at = None,
            Event::Stop => self.stop(),
        }
        self.after(now);
        std::mem::take(&mut self.effects)
    }

    /// Whether the document can be joined.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// From where the caller is to follow the log, if it is; it says [`Event::Followed`] when the log is known to be elsewhere.
    #[must_use]
    pub const fn follows(&self) -> Option<Bookmark> {
        if self.is_loaded() { self.log.follows() } else { None }
    }

    /// The last entry applied.
    #[must_use]
    pub const fn head(&self) -> Bookmark {
        self.log.head
    }

    /// The document, for checks.
    pub const fn document(&mut self) -> &mut Document {
        &mut self.document
    }

    /// How many peers are here.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// How many are present by way of other instances.
    #[must_use]
    pub const fn present_elsewhere(&self) -> usize {
        self.presence.elsewhere()
    }

    /// How many received updates wait to be stored.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.edits.waiting()
    }

    /// What every step ends with: everything whose time has come, and the next wake-up.
    fn after(&mut self, now: Now) {
        self.read_if_due(now.mono);
        if matches!(self.phase, Phase::Open | Phase::Stopping) {
            self.store_waiting(now);
            self.tell_trouble(now);
            self.ask_whose_time_has_come(now.mono);
            self.show_edits(now);
            self.sweep(now);
            self.show_presence(now);
            self.compact_if_due();
            self.close_if_idle(now);
        }
        if matches!(self.phase, Phase::Stopping) && self.edits.is_idle() && self.show.is_idle() {
            self.end();
        }
        self.plan_wake(now);
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.effects.push(Effect::Say(Message::Bye));
        self.effects.push(Effect::Finished);
    }

    fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }

    fn join(&mut self, now: Now, join: Join) {
        self.idle_since = None;
        let peer = Peer {
            dialect: join.dialect,
            principal: join.principal,
            scope: join.scope,
            seating: Seating::Arriving,
            waits_for_drain: false,
            answered: None,
            transfer: None,
            told_version: None,
            owed: 0,
            questions: VecDeque::new(),
            to_ask: None,
            own_gaps: 0,
            ask_after: None,
            handed_in: false,
            held_status: None,
            unsent: Unsent::default(),
        };
        self.peers.insert(join.peer, Box::new(peer));
        self.tell_who_is_here(join.peer);
        self.tell_trouble_to(join.peer);
        self.set_rights_of_newcomer(now, join.peer);
    }

    fn leave(&mut self, now: Now, peer: PeerId) {
        self.peers.remove(&peer);
        self.asking.remove(&peer);
        self.presence.leave(peer, now.mono);
    }

    fn received(&mut self, now: Now, peer: PeerId, message: FromPeer) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match message {
            FromPeer::SyncStep1(has) => self.answer_sync(peer, has),
            FromPeer::SyncStep2(update) => self.update(now, peer, update, edits::Kind::FullSync),
            FromPeer::Update(update) => self.update(now, peer, update, edits::Kind::Edit),
            FromPeer::Awareness(bytes) => self.awareness(now, peer, &bytes),
            FromPeer::QueryAwareness => self.tell_who_is_here(peer),
            FromPeer::SyncStatus(status) => self.status(now, peer, status),
            // There is nobody to take an application's text: clients do not speak to each other past the document.
            FromPeer::Stateless(_) => {}
        }
    }

    fn awareness(&mut self, now: Now, peer: PeerId, bytes: &[u8]) {
        debug_assert!(bytes.len() <= MAX_AWARENESS_MESSAGE, "the connection has checked the size");
        match presence::decode(bytes) {
            Ok(entries) => {
                let corrections = self.presence.receive(peer, &entries, now.mono);
                self.correct(corrections);
            }
            Err(malformed) => {
                self.note(Note::Refused {
                    peer,
                    reason: "awareness",
                    detail: malformed.to_string(),
                });
                self.effects.push(Effect::Close(
                    peer,
                    CloseCode::PROTOCOL_ERROR,
                    "awareness is malformed",
                ));
            }
        }
    }

    fn tell_who_is_here(&mut self, peer: PeerId) {
        for message in self.presence.everyone() {
            self.send(peer, ToPeer::Awareness(message.into()));
        }
    }

    fn sweep(&mut self, now: Now) {
        if now.mono >= self.next_sweep {
            self.presence.expire(now.mono);
            self.next_sweep = now.mono + PRESENCE_SWEEP;
        }
    }

    /// The document must not be served: everyone is sent away, the store keeps what there is.
    fn set_aside(&mut self, reason: String) {
        for &peer in self.peers.keys() {
            self.effects.push(Effect::Close(
                peer,
                CloseCode::SET_ASIDE,
                "this document is set aside",
            ));
        }
        self.effects.push(Effect::Quarantine(reason));
        self.end();
    }

    fn close_if_idle(&mut self, now: Now) {
        let busy = !self.peers.is_empty()
            || !self.edits.is_idle()
            || self.log.compacting()
            || self.log.is_reading();
        if busy {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now.mono);
        if now.mono < since + IDLE_CLOSE {
            return;
        }
        if !self.compact_on_close() {
            self.end();
        }
    }

    fn plan_wake(&mut self, now: Now) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if matches!(self.phase, Phase::Opening(_)) {
            if let Some(next) = self.log.read_again_at() {
                self.wake(next.max(now.mono));
            }
            return;
        }
        let mut next = self.next_sweep;
        let wishes = [
            self.edits.wake_at(self.told_storage),
            self.show.wake_at(self.presence.has_changes()),
            if self.edits.is_idle() { None } else { self.show.gather_until(now.mono) },
            self.idle_since.map(|since| since + IDLE_CLOSE),
            self.log.read_again_at(),
            self.presence_wake(),
        ];
        let asks = self.next_ask();
        for wish in wishes.into_iter().flatten().chain(asks) {
            next = next.min(wish);
        }
        self.wake(next.max(now.mono));
    }

    fn wake(&mut self, at: Millis) {
        if self.wake_at != Some(at) {
            self.wake_at = Some(at);
            self.effects.push(Effect::WakeAt(at));
        }
    }

    /// R9. What is in memory may be all that is left of what a failover loses, so the room itself stays.
    fn out_of_touch(&mut self) {
        for &peer in self.peers.keys() {
            self.effects.push(Effect::Close(
                peer,
                CloseCode::STORAGE_AWAY,
                "the server has lost touch with its storage",
            ));
        }
        if self.is_loaded() {
            self.look();
        } else {
            self.give_up_opening();
        }
    }
}

#[cfg(test)]
mod tests;
