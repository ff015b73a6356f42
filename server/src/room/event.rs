//! What can happen to a room, and what can it want?
//!
//! Closed enums: everything that reaches the pure step of a room, and everything the step asks for. Nothing in here is a
//! socket, a task or a clock, so a seeded simulation can play every part.

use crate::access::{Principal, Scope};
use crate::bus::message::{Command, Envelope, Message};
use crate::store::{Bookmark, EntryId, Page, Position, StoreError};
use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::update::StateVector;

/// Milliseconds on a monotonic clock of the caller's.
pub type Millis = u64;

/// A connection that has joined this room, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl PeerId {
    /// No connection: what the server itself puts back into a log.
    pub const NOBODY: Self = Self(0);
}

/// Which family of clients a peer belongs to. Decides how it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// y-websocket and y-sweet: an edit is confirmed by seeing it come back.
    YWebsocket,
    /// Hocuspocus providers: an edit is confirmed by `SyncStatus`.
    Hocuspocus,
}

/// A peer that takes a seat.
#[derive(Clone, Debug)]
pub struct Join {
    /// Its name here.
    pub peer: PeerId,
    /// Its family.
    pub dialect: Dialect,
    /// Who it is.
    pub principal: Principal,
    /// What it may do.
    pub scope: Scope,
}

/// A message of a peer, framing taken off and checked.
#[derive(Clone, Debug)]
pub enum FromPeer {
    /// "This is what I have; send me the rest."
    SyncStep1(StateVector),
    /// The answer to our `SyncStep1`: an update, perhaps large, perhaps nothing new.
    SyncStep2(Bytes),
    /// An edit.
    Update(Bytes),
    /// An awareness update (the inner bytes, not yet decoded).
    Awareness(Bytes),
    /// "Tell me who is here."
    QueryAwareness,
    /// An application's own text.
    Stateless(String),
    /// y-sweet's "tell me when all I sent before this is safe": comes back as it is.
    SyncStatus(Bytes),
}

/// A message to one peer or to many, before framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPeer {
    /// "This is what I have; send me the rest." An encoded state vector.
    SyncStep1(Bytes),
    /// The last (or only) part of an answer to `SyncStep1`.
    SyncStep2(Bytes),
    /// An edit, or an earlier part of a large answer.
    Update(Bytes),
    /// An awareness update (the inner bytes).
    Awareness(Bytes),
    /// That many received updates are durable. One status each for Hocuspocus, nothing for y-websocket.
    Applied(u32),
    /// One received update will not be stored. Status 0 for Hocuspocus; the room also closes peers whose dialect has no status.
    Refused,
    /// y-sweet's status, back as it came.
    SyncStatus(Bytes),
    /// An application's own text.
    Stateless(String),
    /// What it may do from now on. Told to Hocuspocus; y-websocket has no words for it.
    Scope(Scope),
    /// The smallest message that feeds a client's watchdog.
    KeepAlive,
}

/// The caller's clocks at the moment of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For everything that waits.
    pub mono: Millis,
    /// For records: milliseconds since the Unix epoch.
    pub wall: u64,
}

/// What can happen to a room.
#[derive(Clone, Debug)]
pub enum Event {
    /// A page of the log, asked for by [`Effect::Read`].
    Read(Result<Page, StoreError>),
    /// A peer takes a seat.
    Join(Join),
    /// A peer has left.
    Leave(PeerId),
    /// A peer sent something.
    Received(PeerId, FromPeer),
    /// A peer's rights have changed.
    Scope(PeerId, Scope),
    /// This message found no room in the peer's outbox and was not queued. Until the room seats the peer anew it gets no broadcast.
    Behind(PeerId, ToPeer),
    /// The peer's outbox is empty: it was behind, or the room asked by [`Effect::TellWhenDrained`].
    Drained(PeerId),
    /// The append asked for by [`Effect::Append`] has an outcome.
    Stored(Result<Position, StoreError>),
    /// The compaction asked for by [`Effect::Compact`] has an outcome.
    Compacted(Result<Position, CompactFailure>),
    /// The log is said to be elsewhere than at the bookmark that the room follows. Only a hint.
    Followed,
    /// The store has not answered for so long that nobody may be served any more.
    OutOfTouch,
    /// Another instance has said this.
    Heard(Envelope),
    /// Other instances may have said something that was not heard.
    Missed,
    /// The server itself wants this.
    Command(Command),
    /// The time asked for by [`Effect::WakeAt`] has come.
    Tick,
    /// The server is stopping: no new peers, store what waits, say goodbye.
    Stop,
}

/// Why a snapshot did not replace the entries it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactFailure {
    /// The snapshot does not read back as the same document: the log stays.
    Differs(String),
    /// The store would not.
    Store(StoreError),
}

/// Which broadcasts reach a peer. The caller keeps one for each, [`Seating::Arriving`] at first, and sets [`Seating::Behind`] itself when
/// a message finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seating {
    /// Presence only: it has not been told the document yet.
    Arriving,
    /// Everything.
    Live,
    /// Nothing, until it has drained.
    Behind,
}

impl Seating {
    /// What [`Effect::Seat`] makes of it. A peer that fell behind within the same effects does not become live by them: the room has yet to hear
    /// of it, and will let it arrive again.
    #[must_use]
    pub const fn then(self, wanted: Self) -> Self {
        match (self, wanted) {
            (Self::Behind, Self::Live) => Self::Behind,
            _ => wanted,
        }
    }
}

/// Something worth counting, and in part worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The document is loaded.
    Opened {
        /// How many entries were read after the snapshot.
        entries: usize,
    },
    /// An update will not be stored.
    Refused {
        /// Who sent it.
        peer: PeerId,
        /// A short name for counting.
        reason: &'static str,
        /// In full.
        detail: String,
    },
    /// An update came too early; its sender was asked for everything.
    AskedAgain(PeerId),
    /// Frames went out that hold this many received updates.
    Shown {
        /// Received updates.
        updates: usize,
        /// Encoded frames.
        frames: usize,
    },
    /// Received updates were acknowledged.
    Acknowledged {
        /// How many.
        count: u32,
        /// Milliseconds since the oldest of them came.
        waited: Millis,
    },
    /// A peer could not be kept up with; it will be caught up by one diff.
    FellBehind(PeerId),
    /// The store did not take an entry; it is tried again.
    StoreAway(StoreError),
    /// The document engine failed, and the document was loaded anew.
    Rebuilt(String),
    /// A stored update was passed over: at that place the gate refuses it, here as everywhere.
    PassedOver(Position, String),
    /// The document is loaded anew because of what other instances wrote.
    Reloaded(&'static str),
    /// The log went back in time; what it lost is put back.
    Rewound(&'static str),
    /// The log holds again what it had lost and this room still had.
    Healed {
        /// How many entries' worth of it was put back; it is on its way into the log.
        parts: usize,
        /// The same in bytes.
        bytes: usize,
        /// How many of them contradict what others have written since, and are lost.
        refused: usize,
        /// Where the log was found.
        head: Position,
    },
    /// What another instance said could not be read.
    Unread(Malformed),
}

/// What a room wants done. The caller does them in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the page after this place; answer with [`Event::Read`]. One at a time.
    Read(Bookmark),
    /// Append this entry, unless the log does not hold any more what the room has seen; answer with [`Event::Stored`]. One at a time. The same id
    /// means the same entry again, after an error.
    Append {
        /// Made by the room: nobody else uses it.
        id: EntryId,
        /// What to store.
        entry: Bytes,
        /// Where the room is.
        seen: Bookmark,
    },
    /// Send to one peer.
    Send(PeerId, ToPeer),
    /// Send to every seated peer but this one, who needs no copy: encode once for each dialect.
    Broadcast(Option<PeerId>, ToPeer),
    /// From now on these broadcasts reach the peer.
    Seat(PeerId, Seating),
    /// Answer with [`Event::Drained`] when the peer's outbox is empty.
    TellWhenDrained(PeerId),
    /// Verify this state by loading it anew, then compact the log up to there; answer with [`Event::Compacted`].
    Compact {
        /// The last entry the state contains.
        up_to: Bookmark,
        /// The encoded document.
        state: Bytes,
    },
    /// Close a peer's seat: the document for a Hocuspocus peer that can be told, else the socket.
    Close(PeerId, CloseCode, &'static str),
    /// Close every seat in this way, and let nothing more of the room through.
    CloseAll(CloseCode, String),
    /// Tell the other instances.
    Say(Message),
    /// Wake the room at this time, if nothing happens before. Replaces the wish before it.
    WakeAt(Millis),
    /// The document must be set aside, because of this. Its peers have been closed.
    Quarantine(String),
    /// The document cannot be opened now.
    OpenFailed(StoreError),
    /// Count this, and perhaps log it.
    Note(Note),
    /// Nothing is left to do: the room may be forgotten.
    Finished,
}
