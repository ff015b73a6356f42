//! Which rooms are open, and how does a connection get into one?
//!
//! Opening is single flight: the first to ask starts the room, everybody waits for the same one. A room leaves the registry before its task ends, so
//! that nobody is let into a room that is closing; whoever was on the way in opens it anew.

use crate::access::{DocumentName, Principal, Scope};
use crate::bus::message::{Command, Message};
use crate::bus::{Bus, Speaker};
use crate::metrics;
use crate::outbox::Outbox;
use crate::room::event::{Dialect, Event, FromPeer, PeerId};
use crate::room::{INBOX, Inbox, RoomTask, Status};
use crate::shutdown::Tasks;
use crate::store::crash::CrashMarkers;
use crate::store::{BadLogName, LogName, OUT_OF_TOUCH, Store};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Documents' logs are named `doc/` and the document's name.
pub const DOCUMENT_PREFIX: &str = "doc/";

/// Rooms open at once: beyond it memory is better spent on those that are.
pub const MAX_ROOMS: usize = 100_000;

/// How often a join may meet a room that is just closing before the client is told to come back.
const JOIN_ATTEMPTS: usize = 8;

/// A connection's wish to join a room.
#[derive(Debug)]
pub struct Seat {
    /// Unique in the process.
    pub peer: PeerId,
    /// Its family of clients.
    pub dialect: Dialect,
    /// For Hocuspocus, the address exactly as the client wrote it (with its session part); empty for y-websocket.
    pub address: Bytes,
    /// Who it is.
    pub principal: Principal,
    /// What it may do.
    pub scope: Scope,
    /// Where its frames go.
    pub outbox: Outbox,
}

/// Why a room could not be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The document is set aside (damaged, or it crashed the process twice). Permanent until an operator acts.
    #[error("this document is set aside: {0}")]
    SetAside(String),
    /// The document cannot be read now. Retry later.
    #[error("the document cannot be read now: {0}")]
    StorageAway(String),
    /// The server has no room now. Retry later.
    #[error("the document cannot be opened now: {0}")]
    Later(String),
    /// The server is stopping. Retry; another instance, or the next process, will answer.
    #[error("the server is stopping")]
    Stopping,
}

/// A text, a name or a reason does not fit a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text, a name or a reason is too long")]
pub struct TooLong;

/// The room has ended under its peers (a fault, or stopping): the connection should be closed so that the client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomGone;

/// Why a room has not taken a message.
#[derive(Clone, Debug)]
pub enum NotTaken {
    /// Its inbox is full: here is the message again, to wait with.
    Full(FromPeer),
    /// As [`RoomGone`].
    Gone,
}

/// All rooms of this instance.
#[derive(Clone, Debug)]
pub struct Rooms {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    speaker: Speaker,
    markers: Option<Arc<CrashMarkers>>,
    tasks: Tasks,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    rooms: HashMap<DocumentName, Handle>,
    is_stopping: bool,
}

#[derive(Clone, Debug)]
struct Handle {
    inbox: mpsc::Sender<Inbox>,
    status: watch::Receiver<Status>,
}

impl Shared {
    /// Held for a look-up or an insertion, never over an await. A panic inside could only be out of memory; the map is sound after it.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    /// No rooms yet. By way of `bus` they hear those of other instances; `markers` name the document on disk while the engine works on it.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        markers: Option<Arc<CrashMarkers>>,
        tasks: Tasks,
    ) -> Self {
        let speaker = Speaker::new(bus);
        let registry = Mutex::default();
        Self { shared: Arc::new(Shared { store, speaker, markers, tasks, registry }) }
    }

    /// Takes a seat, opening the room first if need be.
    pub async fn join(&self, document: &DocumentName, seat: Seat) -> Result<Joined, JoinError> {
        let mut seat = Some(seat);
        for _ in 0..JOIN_ATTEMPTS {
            let mut handle = self.open(document)?;
            let status = match handle.status.wait_for(|status| *status != Status::Opening).await {
                Ok(status) => status.clone(),
                // The task has panicked.
                Err(_) => continue,
            };
            match status {
                Status::Ended(Some(error)) => return Err(error),
                Status::Ended(None) => continue,
                Status::Open | Status::Opening => {}
            }
            let Some(wish) = seat.take() else { break };
            let peer = wish.peer;
            let (answer, seated) = oneshot::channel();
            if let Err(mpsc::error::SendError(message)) =
                handle.inbox.send(Inbox::Join(wish, answer)).await
            {
                if let Inbox::Join(wish, _) = message {
                    seat = Some(wish);
                }
                continue;
            }
            // The guard leaves the room if this future is dropped while it waits.
            let joined = Joined {
                peer,
                inbox: handle.inbox,
                status: handle.status,
                tasks: self.shared.tasks.clone(),
            };
            return match seated.await {
                Ok(()) => Ok(joined),
                // The room ended with this join in its inbox: the client comes back to a new one.
                Err(_) => Err(JoinError::Later("it is being reopened".to_owned())),
            };
        }
        Err(JoinError::Later("it is being reopened".to_owned()))
    }

    /// Has this done in the document's room, here and on every other instance that has it open. Best effort, as far as others are concerned: rights are
    /// for whoever decides about access to remember, and are asked for anew at every join and every renewal.
    pub async fn command(&self, document: &DocumentName, command: Command) -> Result<(), TooLong> {
        if !command.fits() {
            return Err(TooLong);
        }
        // A document that cannot be a log is open nowhere.
        let Ok(log) = log_of(document) else { return Ok(()) };
        self.shared.speaker.say(&log, Message::Command(command.clone()));
        let room = self.shared.registry().rooms.get(document).cloned();
        if let Some(room) = room {
            // A room that has ended has nobody to tell.
            room.inbox.send(Inbox::Event(Event::Command(command))).await.ok();
        }
        Ok(())
    }

    /// How many rooms are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.registry().rooms.len()
    }

    /// Whether no room is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the store has not answered for so long that nobody may be served: rights may have changed meanwhile.
    #[must_use]
    pub fn is_out_of_touch(&self) -> bool {
        self.shared.store.out_of_touch().is_some_and(|silence| silence >= OUT_OF_TOUCH)
    }

    /// Makes every room send its peers away, if the store has been silent for too long. Cheap to call often: a room without peers has nothing to do.
    pub fn part_if_out_of_touch(&self) {
        if !self.is_out_of_touch() {
            return;
        }
        let rooms: Vec<Handle> = self.shared.registry().rooms.values().cloned().collect();
        for room in rooms {
            // A full inbox is tried again at the next call, a room that has ended has no peers.
            room.inbox.try_send(Inbox::Event(Event::OutOfTouch)).ok();
        }
    }

    /// Takes no new peers, makes every room store what it holds, and resolves when all have. The sockets stay: closing them is the
    /// connections' part.
    pub async fn stop(&self) {
        let rooms: Vec<Handle> = {
            let mut registry = self.shared.registry();
            registry.is_stopping = true;
            registry.rooms.values().cloned().collect()
        };
        for room in &rooms {
            // A room that has ended needs no stopping.
            room.inbox.send(Inbox::Event(Event::Stop)).await.ok();
        }
        for mut room in rooms {
            room.status.wait_for(|status| matches!(status, Status::Ended(_))).await.ok();
        }
    }

    fn open(&self, document: &DocumentName) -> Result<Handle, JoinError> {
        if self.is_out_of_touch() {
            return Err(JoinError::StorageAway("it does not answer".to_owned()));
        }
        let mut registry = self.shared.registry();
        if registry.is_stopping {
            return Err(JoinError::Stopping);
        }
        if let Some(handle) =
            registry.rooms.get(document).filter(|handle| !handle.inbox.is_closed())
        {
            return Ok(handle.clone());
        }
        if registry.rooms.len() >= MAX_ROOMS {
            return Err(JoinError::Later("too many documents are open".to_owned()));
        }
        let log = log_of(document).map_err(|error| JoinError::SetAside(error.to_string()))?;
        let (inbox, messages) = mpsc::channel(INBOX);
        let (status, watch) = watch::channel(Status::Opening);
        let handle = Handle { inbox, status: watch };
        let task = RoomTask {
            ear: self.shared.speaker.listen(&log),
            speaker: self.shared.speaker.clone(),
            log,
            store: Arc::clone(&self.shared.store),
            markers: self.shared.markers.clone(),
            tasks: self.shared.tasks.clone(),
            inbox: messages,
            status,
        };
        let entry = RegistryEntry {
            shared: Arc::clone(&self.shared),
            document: document.clone(),
            inbox: handle.inbox.clone(),
        };
        metrics::room_opened();
        drop(self.shared.tasks.spawn(async move {
            // Dropped when the task ends, also by a panic.
            let _entry = entry;
            task.run().await;
        }));
        registry.rooms.insert(document.clone(), handle.clone());
        Ok(handle)
    }
}

fn log_of(document: &DocumentName) -> Result<LogName, BadLogName> {
    LogName::new(&format!("{DOCUMENT_PREFIX}{document}"))
}

/// A room's place in the registry, given up when its task ends.
#[derive(Debug)]
struct RegistryEntry {
    shared: Arc<Shared>,
    document: DocumentName,
    inbox: mpsc::Sender<Inbox>,
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        metrics::room_closed();
        tracing::info!(document = %self.document, "room closed");
        let mut registry = self.shared.registry();
        // A new room may already stand in its place.
        if registry
            .rooms
            .get(&self.document)
            .is_some_and(|handle| handle.inbox.same_channel(&self.inbox))
        {
            registry.rooms.remove(&self.document);
        }
    }
}

/// A seat taken. Dropping it leaves the room.
#[derive(Debug)]
pub struct Joined {
    peer: PeerId,
    inbox: mpsc::Sender<Inbox>,
    status: watch::Receiver<Status>,
    tasks: Tasks,
}

impl Joined {
    /// Hands a message to the room, if its inbox has room.
    pub fn offer(&self, message: FromPeer) -> Result<(), NotTaken> {
        let is_update = matches!(message, FromPeer::Update(_) | FromPeer::SyncStep2(_));
        let message = Inbox::Event(Event::Received(self.peer, message));
        match self.inbox.try_send(message) {
            Ok(()) => {
                if is_update {
                    metrics::update_received();
                }
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(Inbox::Event(Event::Received(_, message)))) => {
                Err(NotTaken::Full(message))
            }
            Err(mpsc::error::TrySendError::Closed(_) | mpsc::error::TrySendError::Full(_)) => {
                Err(NotTaken::Gone)
            }
        }
    }

    /// Hands a message to the room. Waits while the room's inbox is full: the only place in the path of an edit that may wait.
    ///
    /// Cancel safety: a dropped call has handed nothing over.
    pub async fn send(&self, message: FromPeer) -> Result<(), RoomGone> {
        if matches!(message, FromPeer::Update(_) | FromPeer::SyncStep2(_)) {
            metrics::update_received();
        }
        self.tell(Event::Received(self.peer, message)).await
    }

    /// The peer's rights have changed.
    pub async fn set_scope(&self, scope: Scope) -> Result<(), RoomGone> {
        self.tell(Event::Scope(self.peer, scope)).await
    }

    /// The connection's outbox has drained after it refused a frame; cheap to call at every drain, the room knows who was behind.
    pub fn drained(&self) {
        self.tell_surely(Event::Drained(self.peer));
    }

    /// Resolves when the room has ended, so that the connection can close.
    pub async fn gone(&self) {
        // An error means that the task has panicked: gone as well.
        self.status.clone().wait_for(|status| matches!(status, Status::Ended(_))).await.ok();
    }

    async fn tell(&self, event: Event) -> Result<(), RoomGone> {
        let message = match self.inbox.try_send(Inbox::Event(event)) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(RoomGone),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        metrics::inbox_full();
        self.inbox.send(message).await.map_err(|_| RoomGone)
    }

    /// For what must arrive although the caller cannot wait: at most one such message is under way for each of its causes.
    fn tell_surely(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(message)) =
            self.inbox.try_send(Inbox::Event(event))
        {
            let inbox = self.inbox.clone();
            drop(self.tasks.spawn(async move {
                // A room that has ended needs no telling.
                inbox.send(message).await.ok();
            }));
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.tell_surely(Event::Leave(self.peer));
    }
}

#[cfg(test)]
mod tests;
