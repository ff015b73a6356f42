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

use crate::bus::{Ear, Heard, Speaker};
use crate::clock::Clock;
use crate::metrics;
use crate::outbox::Outbox;
use crate::rooms::{JoinError, Seat};
use crate::shutdown::Tasks;
use crate::store::crash::CrashMarkers;
use crate::store::{Bookmark, EntryId, Expect, LogName, Snapshot, Store, StoreError};
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
    pub(crate) speaker: Speaker,
    /// Hears the other instances from before the log is read on, so that no change of rights is missed by those who wait for it.
    pub(crate) ear: Ear,
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
    /// Something was queued for it since the last flush.
    is_unflushed: bool,
    /// How many of its updates were refused.
    refusals: u32,
}

/// The task's own state beside the room's.
struct Carrier {
    log: LogName,
    store: Arc<dyn Store>,
    speaker: Speaker,
    tasks: Tasks,
    status: watch::Sender<Status>,
    clock: Clock,
    seats: BTreeMap<PeerId, SeatState>,
    /// Those for whom something was queued. All that one turn has for a peer leaves in one write.
    unflushed: Vec<PeerId>,
    framer: Framer,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Where the room wants the log followed from. Read by the follower, which goes on from there without being made anew.
    follow_from: watch::Sender<Option<Bookmark>>,
    /// Whether there is a follower among the work.
    following: bool,
    wake: Option<Instant>,
    /// Events that the effects themselves gave rise to; at most one for each peer and effect.
    echoes: VecDeque<Event>,
    failure: Option<JoinError>,
    /// What the gauge of waiting updates holds for this room.
    waiting: usize,
    /// What the gauge of those present elsewhere holds for this room.
    elsewhere: usize,
}

impl RoomTask {
    /// Runs the room until it has nothing left to do.
    pub(crate) async fn run(mut self) {
        let mut carrier = Carrier {
            log: self.log,
            store: self.store,
            speaker: self.speaker,
            tasks: self.tasks,
            status: self.status,
            clock: Clock::default(),
            seats: BTreeMap::new(),
            unflushed: Vec::new(),
            framer: Framer::default(),
            work: FuturesUnordered::new(),
            follow_from: watch::Sender::new(None),
            following: false,
            wake: None,
            echoes: VecDeque::new(),
            failure: None,
            waiting: 0,
            elsewhere: 0,
        };
        let mut ear = self.ear;
        let (mut room, effects) = Room::new(rand::random());
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
                // Cancel safety: `next` takes nothing unless it completes. Before the inbox, so that whose rights are taken away says nothing more.
                heard = ear.next() => {
                    if let Some(event) = carrier.heard(heard) {
                        ended = carrier.step(&mut room, self.markers.as_ref(), event);
                    }
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
            carrier.flush();
            carrier.framer.clear();
        }
        // Those who still wait to join hear that the room has ended, by their dropped answers, and open it anew.
        self.inbox.close();
        carrier.count(0, 0);
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
                    SeatState {
                        outbox,
                        dialect,
                        address,
                        seating: Seating::Arriving,
                        is_unflushed: false,
                        refusals: 0,
                    },
                );
                self.step(room, markers, Event::Join(Join { peer, dialect, principal, scope }))
            }
            Inbox::Event(event) => {
                if let Event::Leave(peer) = event
                    && let Some(seat) = self.seats.remove(&peer)
                {
                    // What was queued for it is the connection's now: other documents may go on there.
                    seat.outbox.flush();
                    metrics::peers(-1);
                }
                self.step(room, markers, event)
            }
        }
    }

    /// One step and all it gives rise to. Returns whether the room has ended.
    fn step(&mut self, room: &mut Room, markers: Option<&Arc<CrashMarkers>>, event: Event) -> bool {
        if matches!(event, Event::Followed) {
            self.following = false;
        }
        let ended = self.step_and_carry(room, markers, event);
        self.count(room.waiting(), room.present_elsewhere());
        self.follow(room.follows());
        ended
    }

    /// What another instance has said.
    fn heard(&self, heard: Heard) -> Option<Event> {
        match heard {
            Heard::Message(said) => self.speaker.understand(&self.log, &said).map(Event::Heard),
            Heard::Missed => {
                metrics::bus_missed();
                Some(Event::Missed)
            }
        }
    }

    /// Keeps the gauges of all rooms together level with this one.
    fn count(&mut self, waiting: usize, elsewhere: usize) {
        let before = std::mem::replace(&mut self.waiting, waiting);
        if before != waiting {
            metrics::updates_waiting(waiting as i64 - before as i64);
        }
        let before = std::mem::replace(&mut self.elsewhere, elsewhere);
        if before != elsewhere {
            metrics::present_elsewhere(elsewhere as i64 - before as i64);
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
                Effect::Append { id, entry, seen } => self.append(id, entry, seen),
                Effect::Compact { up_to, state } => self.compact(up_to, state),
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
                Effect::CloseAll(code, reason) => {
                    for seat in self.seats.values_mut() {
                        seat.seating = Seating::Behind;
                        // A connection that has gone needs no closing.
                        seat.outbox.close(code, reason.clone()).ok();
                    }
                }
                Effect::Say(message) => self.speaker.say(&self.log, message),
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

    fn read(&self, after: Bookmark) {
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        self.work.push(Box::pin(async move { Event::Read(store.read(&log, after).await) }));
    }

    fn append(&self, id: EntryId, entry: Bytes, seen: Bookmark) {
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        let since = Instant::now();
        self.work.push(Box::pin(async move {
            let outcome = store.append(&log, Some(Expect::Seen(seen)), id, entry).await;
            if outcome.is_ok() {
                metrics::append_seconds(since.elapsed().as_secs_f64());
            }
            Event::Stored(outcome)
        }));
    }

    /// Follows the log from where the room is. Own entries move that place all the time, and are what the store hears of first: the follower looks
    /// at the place again before it says anything, and goes on from the new one.
    fn follow(&mut self, from: Option<Bookmark>) {
        self.follow_from.send_if_modified(|place| std::mem::replace(place, from) != from);
        if self.following || from.is_none() {
            return;
        }
        self.following = true;
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        let mut from = self.follow_from.subscribe();
        self.work.push(Box::pin(async move {
            loop {
                let wanted = from.wait_for(Option::is_some).await.ok().and_then(|place| *place);
                // Without a wish the room is ending, and this with it.
                let Some(place) = wanted else { return std::future::pending().await };
                store.follow(&log, place).await;
                if *from.borrow() == Some(place) {
                    return Event::Followed;
                }
            }
        }));
    }

    fn compact(&self, up_to: Bookmark, state: Bytes) {
        let (store, log, tasks) = (Arc::clone(&self.store), self.log.clone(), self.tasks.clone());
        self.work.push(Box::pin(async move {
            let bytes = state.clone();
            let Bookmark { position: covers, id: last } = up_to;
            let checked = tasks.spawn_blocking(move || document::reload_check(&state)).await;
            let outcome = match checked {
                Ok(Ok(())) => store
                    .compact(&log, Snapshot { covers, last, bytes })
                    .await
                    .map(|()| covers)
                    .map_err(CompactFailure::Store),
                Ok(Err(difference)) => Err(CompactFailure::Differs(difference)),
                Err(panic) => Err(CompactFailure::Differs(panic.to_string())),
            };
            match &outcome {
                // Another instance was faster: that is as good.
                Ok(_) | Err(CompactFailure::Store(StoreError::Stale { .. })) => {}
                Err(failure) => {
                    tracing::error!(document = %log, ?failure, "a snapshot was not taken; the log stays as it is");
                }
            }
            Event::Compacted(outcome)
        }));
    }

    fn send(&mut self, peer: PeerId, message: &ToPeer) {
        let Some(seat) = self.seats.get_mut(&peer) else { return };
        let Some(frames) = self.framer.frames(seat.dialect, &seat.address, message) else { return };
        for sent in 0..frames.times {
            if seat.seating != Seating::Behind && seat.outbox.queue(frames.frame.clone()).is_ok() {
                mark_unflushed(peer, seat, &mut self.unflushed);
            } else {
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
        // What goes past the document reaches also those who have not been told the document yet.
        let is_presence = matches!(message, ToPeer::Awareness(_) | ToPeer::Stateless(_));
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
            if seat.outbox.queue(frames.frame).is_ok() {
                mark_unflushed(peer, seat, &mut self.unflushed);
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

    /// Hands everything that was queued to the kernel, or to the connections whose sockets are full.
    fn flush(&mut self) {
        for peer in self.unflushed.drain(..) {
            if let Some(seat) = self.seats.get_mut(&peer) {
                seat.is_unflushed = false;
                seat.outbox.flush();
            }
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
            Note::Reloaded(reason) => {
                tracing::info!(document = %self.log, reason, "the document is loaded anew");
            }
            Note::Rewound(how) => {
                tracing::warn!(document = %self.log, how, "the log went back in time; what it lost is put back from memory");
            }
            Note::Healed { parts, bytes, refused, head } => {
                metrics::log_healed();
                if refused > 0 {
                    tracing::error!(document = %self.log, refused, "some of what the log lost contradicts what was written since, and is lost");
                }
                tracing::warn!(document = %self.log, parts, bytes, head = head.0, "what the log lost and was still here goes back into it; everyone is asked for what they have");
            }
            Note::Unread(malformed) => {
                metrics::bus_unread();
                tracing::debug!(document = %self.log, %malformed, "what another instance said cannot be read");
            }
            Note::PassedOver(position, reason) => {
                tracing::error!(document = %self.log, position = position.0, reason, "a stored edit was passed over");
            }
        }
    }
}

fn mark_unflushed(peer: PeerId, seat: &mut SeatState, unflushed: &mut Vec<PeerId>) {
    if !std::mem::replace(&mut seat.is_unflushed, true) {
        unflushed.push(peer);
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
        | Event::Followed
        | Event::OutOfTouch
        | Event::Heard(_)
        | Event::Missed
        | Event::Command(_)
        | Event::Tick
        | Event::Stop => false,
    }
}
