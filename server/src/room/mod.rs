//! The unit of sync in memory: one document, its presence, its peers.
//!
//! The task here only carries: events into the pure step ([`state`]), effects out of it, to the store, the outboxes and the clock. It waits for nobody but
//! its own inbox.

pub mod document;
pub mod event;
mod frames;
pub mod pace;
pub mod presence;
pub mod record;
pub mod state;

use crate::clock::Clock;
use crate::metrics;
use crate::outbox::Outbox;
use crate::rooms::{JoinError, Seat};
use crate::shutdown::Tasks;
use crate::store::crash::CrashMarkers;
use crate::store::{Bookmark, EntryId, LogName, Position, Snapshot, Store, StoreError};
use bytes::Bytes;
use event::{CompactFailure, Dialect, Effect, Event, Join, Note, PeerId, Seating, ToPeer};
use frames::Framer;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use state::Room;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Messages that wait for a room. Full, the senders' own connections wait, and nobody else.
pub(crate) const INBOX: usize = 1_024;

/// Messages taken from the inbox in one go, between two looks at everything else.
const INBOX_BATCH: usize = 64;

/// Refused updates of one peer that get a line in the log; further ones are counted, and logged at debug: a hostile peer must not fill the disk.
const LOGGED_REFUSALS: u32 = 32;

/// What reaches a room's task.
#[derive(Debug)]
pub(crate) enum Inbox {
    /// A peer takes a seat; answered when it has.
    Join(Seat, oneshot::Sender<()>),
    /// Anything else.
    Event(Event),
}

/// What others can see of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Opening,
    Open,
    Ended(Option<JoinError>),
}

/// What a room's task is made of.
pub(crate) struct RoomTask {
    pub(crate) log: LogName,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) markers: Option<Arc<CrashMarkers>>,
    pub(crate) tasks: Tasks,
    pub(crate) inbox: mpsc::Receiver<Inbox>,
    pub(crate) status: watch::Sender<Status>,
}

struct SeatState {
    outbox: Outbox,
    dialect: Dialect,
    address: Bytes,
    seating: Seating,
    /// How many of its updates were refused.
    refusals: u32,
}

/// The task's own state beside the room's.
struct Carrier {
    log: LogName,
    store: Arc<dyn Store>,
    tasks: Tasks,
    status: watch::Sender<Status>,
    clock: Clock,
    seats: BTreeMap<PeerId, SeatState>,
    framer: Framer,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    /// The id of the entry in flight: the same number is the same entry, tried again.
    entry_id: Option<(u64, EntryId)>,
    wake: Option<Instant>,
    /// Events that the effects themselves gave rise to; at most one for each peer and effect.
    echoes: VecDeque<Event>,
    failure: Option<JoinError>,
    /// What the gauge of waiting updates holds for this room.
    waiting: usize,
}

impl RoomTask {
    /// Runs the room until it has nothing left to do.
    pub(crate) async fn run(mut self) {
        let mut carrier = Carrier {
            log: self.log,
            store: self.store,
            tasks: self.tasks,
            status: self.status,
            clock: Clock::default(),
            seats: BTreeMap::new(),
            framer: Framer::default(),
            work: FuturesUnordered::new(),
            entry_id: None,
            wake: None,
            echoes: VecDeque::new(),
            failure: None,
            waiting: 0,
        };
        let (mut room, effects) = Room::new();
        let mut ended = carrier.carry(effects);
        let mut batch = Vec::with_capacity(INBOX_BATCH);
        while !ended {
            let wake = carrier.wake;
            tokio::select! {
                // Outcomes of the store first: they let others go on.
                biased;
                // Cancel safety: the futures stay in the set.
                Some(event) = carrier.work.next(), if !carrier.work.is_empty() => {
                    ended = carrier.step(&mut room, self.markers.as_ref(), event);
                }
                // Cancel safety: `recv_many` takes nothing unless it completes. Before the log is read nobody is let in.
                count = self.inbox.recv_many(&mut batch, INBOX_BATCH) => {
                    if count == 0 {
                        // The registry is gone: the process is ending.
                        ended = true;
                    }
                    for message in batch.drain(..) {
                        if !ended {
                            ended = carrier.take(&mut room, self.markers.as_ref(), message);
                        }
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    carrier.wake = None;
                    ended = carrier.step(&mut room, self.markers.as_ref(), Event::Tick);
                }
            }
            carrier.framer.clear();
        }
        // Those who still wait to join hear that the room has ended, by their dropped answers, and open it anew.
        self.inbox.close();
        carrier.count_waiting(0);
        metrics::peers(-i32::try_from(carrier.seats.len()).unwrap_or(i32::MAX));
        carrier.status.send_replace(Status::Ended(carrier.failure.take()));
    }
}

impl Carrier {
    fn take(
        &mut self,
        room: &mut Room,
        markers: Option<&Arc<CrashMarkers>>,
        message: Inbox,
    ) -> bool {
        match message {
            Inbox::Join(seat, answer) => {
                let Seat { peer, dialect, address, principal, scope, outbox } = seat;
                if answer.send(()).is_err() {
                    // The connection has gone while it waited.
                    return false;
                }
                metrics::peers(1);
                self.seats.insert(
                    peer,
                    SeatState { outbox, dialect, address, seating: Seating::Arriving, refusals: 0 },
                );
                self.step(room, markers, Event::Join(Join { peer, dialect, principal, scope }))
            }
            Inbox::Event(event) => {
                if let Event::Leave(peer) = event
                    && self.seats.remove(&peer).is_some()
                {
                    metrics::peers(-1);
                }
                self.step(room, markers, event)
            }
        }
    }

    /// One step and all it gives rise to. Returns whether the room has ended.
    fn step(&mut self, room: &mut Room, markers: Option<&Arc<CrashMarkers>>, event: Event) -> bool {
        let ended = self.step_and_carry(room, markers, event);
        self.count_waiting(room.waiting());
        ended
    }

    /// Keeps the gauge of all rooms together level with this one.
    fn count_waiting(&mut self, waiting: usize) {
        let before = std::mem::replace(&mut self.waiting, waiting);
        if before != waiting {
            metrics::updates_waiting(waiting as i64 - before as i64);
        }
    }

    fn step_and_carry(
        &mut self,
        room: &mut Room,
        markers: Option<&Arc<CrashMarkers>>,
        event: Event,
    ) -> bool {
        // While the document engine works, a mark on disk names the document: if the process dies, the next one knows which.
        let mark =
            markers.filter(|_| touches_engine(&event)).map(|markers| markers.begin(&self.log));
        let effects = room.step(self.clock.now(), event);
        drop(mark);
        if self.carry(effects) {
            return true;
        }
        while let Some(event) = self.echoes.pop_front() {
            let effects = room.step(self.clock.now(), event);
            if self.carry(effects) {
                return true;
            }
        }
        false
    }

    /// Does what the room wants. Returns whether it has ended.
    fn carry(&mut self, effects: Vec<Effect>) -> bool {
        let mut ended = false;
        for effect in effects {
            match effect {
                Effect::Read(after) => self.read(after),
                Effect::Append { number, entry } => self.append(number, entry),
                Effect::Compact { covers, state } => self.compact(covers, state),
                Effect::Send(peer, message) => self.send(peer, &message),
                Effect::Broadcast(not_to, message) => self.broadcast(not_to, &message),
                Effect::Seat(peer, seating) => {
                    if let Some(seat) = self.seats.get_mut(&peer) {
                        seat.seating = seat.seating.then(seating);
                    }
                }
                Effect::TellWhenDrained(peer) => {
                    if self.seats.get(&peer).is_some_and(|seat| seat.outbox.tell_when_drained()) {
                        self.echoes.push_back(Event::Drained(peer));
                    }
                }
                Effect::Close(peer, code, reason) => {
                    if let Some(seat) = self.seats.get(&peer) {
                        // A connection that has gone needs no closing.
                        seat.outbox.close(code, reason).ok();
                    }
                }
                Effect::WakeAt(at) => self.wake = Some(self.clock.instant(at)),
                Effect::Quarantine(reason) => self.quarantine(reason),
                Effect::OpenFailed(error) => {
                    tracing::warn!(document = %self.log, %error, "the document cannot be opened now");
                    self.failure = Some(JoinError::StorageAway(error.to_string()));
                }
                Effect::Note(note) => self.note(note),
                Effect::Finished => ended = true,
            }
        }
        ended
    }

    fn read(&self, after: Position) {
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        self.work.push(Box::pin(async move {
            Event::Read(store.read(&log, Bookmark::at(after)).await)
        }));
    }

    fn append(&mut self, number: u64, entry: Bytes) {
        let id = match self.entry_id {
            Some((last, id)) if last == number => id,
            _ => EntryId(rand::random()),
        };
        self.entry_id = Some((number, id));
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        let since = Instant::now();
        self.work.push(Box::pin(async move {
            let outcome = store.append(&log, None, id, entry).await;
            if outcome.is_ok() {
                metrics::append_seconds(since.elapsed().as_secs_f64());
            }
            Event::Stored(outcome)
        }));
    }

    fn compact(&self, covers: Position, state: Bytes) {
        let (store, log, tasks) = (Arc::clone(&self.store), self.log.clone(), self.tasks.clone());
        self.work.push(Box::pin(async move {
            let bytes = state.clone();
            let checked = tasks.spawn_blocking(move || document::reload_check(&state)).await;
            let outcome = match checked {
                Ok(Ok(())) => match store.compact(&log, Snapshot { covers, last: None, bytes }).await {
                    // Another compaction was faster: that is as good.
                    Ok(()) | Err(StoreError::Stale { .. }) => Ok(covers),
                    Err(error) => Err(CompactFailure::Store(error)),
                },
                Ok(Err(difference)) => Err(CompactFailure::Differs(difference)),
                Err(panic) => Err(CompactFailure::Differs(panic.to_string())),
            };
            if let Err(failure) = &outcome {
                tracing::error!(document = %log, ?failure, "a snapshot was not taken; the log stays as it is");
            }
            Event::Compacted(outcome)
        }));
    }

    fn send(&mut self, peer: PeerId, message: &ToPeer) {
        let Some(seat) = self.seats.get_mut(&peer) else { return };
        let Some(frames) = self.framer.frames(seat.dialect, &seat.address, message) else { return };
        for sent in 0..frames.times {
            if seat.seating == Seating::Behind || seat.outbox.push(frames.frame.clone()).is_err() {
                seat.seating = Seating::Behind;
                metrics::outbox_refused();
                let unsent = match message {
                    ToPeer::Applied(_) => ToPeer::Applied(frames.times - sent),
                    other => other.clone(),
                };
                self.echoes.push_back(Event::Behind(peer, unsent));
                return;
            }
        }
    }

    fn broadcast(&mut self, not_to: Option<PeerId>, message: &ToPeer) {
        let is_presence = matches!(message, ToPeer::Awareness(_));
        let mut frames_sent = 0;
        for (&peer, seat) in &mut self.seats {
            let reaches = match seat.seating {
                Seating::Live => true,
                Seating::Arriving => is_presence,
                Seating::Behind => false,
            };
            if !reaches || Some(peer) == not_to {
                continue;
            }
            let Some(frames) = self.framer.frames(seat.dialect, &seat.address, message) else {
                continue;
            };
            if seat.outbox.push(frames.frame).is_ok() {
                frames_sent += 1;
            } else {
                seat.seating = Seating::Behind;
                metrics::outbox_refused();
                self.echoes.push_back(Event::Behind(peer, message.clone()));
            }
        }
        if !is_presence {
            metrics::update_frames_sent(frames_sent);
        }
    }

    fn quarantine(&mut self, reason: String) {
        tracing::error!(document = %self.log, reason, "the document is set aside");
        let (store, log, why) = (Arc::clone(&self.store), self.log.clone(), reason.clone());
        self.failure = Some(JoinError::SetAside(reason));
        // The room ends now; the mark in the store may take longer than it.
        drop(self.tasks.spawn(async move {
            if let Err(error) = store.quarantine(&log, &why).await {
                tracing::error!(document = %log, %error, "the document could not be marked as set aside");
            }
        }));
    }

    /// S17.
    fn forget_crashes(&self) {
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        drop(self.tasks.spawn(async move {
            if let Err(error) = store.loaded(&log).await {
                tracing::warn!(document = %log, %error, "earlier crashes with it are still remembered");
            }
        }));
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Opened { entries } => {
                tracing::info!(document = %self.log, entries, "room open");
                self.status.send_replace(Status::Open);
                self.forget_crashes();
            }
            Note::Refused { peer, reason, detail } => {
                metrics::refusal(reason);
                let refusals = self.seats.get_mut(&peer).map_or(1, |seat| {
                    seat.refusals = seat.refusals.saturating_add(1);
                    seat.refusals
                });
                if refusals <= LOGGED_REFUSALS {
                    tracing::info!(document = %self.log, peer = peer.0, reason, detail, refusals, "update refused");
                } else {
                    tracing::debug!(document = %self.log, peer = peer.0, reason, detail, refusals, "update refused");
                }
            }
            Note::AskedAgain(peer) => {
                metrics::refusal("asked_again");
                tracing::debug!(document = %self.log, peer = peer.0, "asked for everything");
            }
            Note::Shown { updates, frames } => {
                metrics::shown(updates, frames);
                tracing::trace!(document = %self.log, updates, frames, "shown")
            }
            Note::Acknowledged { waited, .. } => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "milliseconds of a wait are far below 2^52"
                )]
                metrics::ack_seconds(waited as f64 / 1_000.0);
            }
            Note::FellBehind(peer) => {
                let Some(seat) = self.seats.get(&peer) else { return };
                // A connection that has gone takes nothing either, but nobody is waiting there.
                if !seat.outbox.is_closed() {
                    let waiting = seat.outbox.bytes();
                    tracing::warn!(document = %self.log, peer = peer.0, waiting, "a peer is behind; it will be caught up by one diff");
                }
            }
            Note::StoreAway(error) => {
                tracing::warn!(document = %self.log, %error, "the store did not take an entry; it is tried again")
            }
            Note::Rebuilt(reason) => {
                tracing::error!(document = %self.log, reason, "the document engine failed; the document is loaded anew")
            }
            Note::PassedOver(position, reason) => {
                tracing::error!(document = %self.log, position = position.0, reason, "a stored edit was passed over");
            }
        }
    }
}

/// Events whose step may run the document engine. Updates are only gated when they arrive; they are applied when they are stored.
const fn touches_engine(event: &Event) -> bool {
    match event {
        Event::Read(_) | Event::Stored(_) | Event::Drained(_) => true,
        Event::Received(_, message) => matches!(message, event::FromPeer::SyncStep1(_)),
        Event::Join(_)
        | Event::Leave(_)
        | Event::Scope(..)
        | Event::Behind(..)
        | Event::Compacted(_)
        | Event::Tick
        | Event::Stop => false,
    }
}
