//! Which rooms are open, and how does a connection get into one?

use crate::access::{DocumentName, Principal, Scope};
use crate::outbox::Outbox;
use crate::room::event::{Dialect, FromPeer, PeerId};
use crate::shutdown::Tasks;
use crate::store::Store;
use bytes::Bytes;
use std::sync::Arc;

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
    /// The store is away, or the server has no room now. Retry later.
    #[error("the document cannot be opened now: {0}")]
    Later(String),
    /// The server is stopping. Retry; another instance, or the next process, will answer.
    #[error("the server is stopping")]
    Stopping,
}

/// The room has ended under its peers (a fault, or stopping): the connection should be closed so that the client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomGone;

/// All rooms of this instance.
#[derive(Clone, Debug)]
pub struct Rooms {}

impl Rooms {
    /// No rooms yet.
    #[must_use]
    pub fn new(_store: Arc<dyn Store>, _tasks: Tasks) -> Self {
        Self {}
    }

    /// Takes a seat, opening the room first if need be. Opening is single flight.
    pub async fn join(&self, _document: &DocumentName, _seat: Seat) -> Result<Joined, JoinError> {
        Err(JoinError::Stopping)
    }

    /// Takes no new peers, makes every room store what it holds, and resolves when all have. The sockets stay: closing them is the
    /// connections' part.
    pub async fn stop(&self) {}
}

/// A seat taken. Dropping it leaves the room.
#[derive(Debug)]
pub struct Joined {}

impl Joined {
    /// Hands a message to the room. Waits while the room's inbox is full: the only place in the path of an edit that may wait.
    pub async fn send(&self, _message: FromPeer) -> Result<(), RoomGone> {
        Err(RoomGone)
    }

    /// The peer's rights have changed.
    pub async fn set_scope(&self, _scope: Scope) -> Result<(), RoomGone> {
        Err(RoomGone)
    }

    /// The connection's outbox has drained after it refused a frame; cheap to call at every drain, the room knows who was behind.
    pub fn drained(&self) {}

    /// Resolves when the room has ended, so that the connection can close.
    pub async fn gone(&self) {}
}
