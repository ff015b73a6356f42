//! How do frames wait for a socket without costing memory or losing an edit?
//!
//! One bounded queue per connection. Rooms push and never wait; the connection's task takes. Over the limit nothing is queued and the
//! pusher is told: a room then marks its peer *behind* and sends one diff once the connection says that it has drained.

use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Frames waiting for one socket: about four seconds of a busy plenary.
pub const OUTBOX_FRAMES: usize = 1024;

/// Bytes waiting for one socket before its peers are marked behind. A frame that comes to an empty outbox is always taken, so that a large
/// first sync can leave.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// What a connection's task takes from its outbox.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// One binary WebSocket message.
    Frame(Bytes),
    /// Close the socket after what came before.
    Close(CloseCode, &'static str),
}

/// The rooms' end.
#[derive(Clone, Debug)]
pub struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The connection's end.
#[derive(Debug)]
pub struct OutboxTail {
    frames: mpsc::Receiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The outbox had no room, or its connection has gone: nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A new outbox.
#[must_use]
pub fn outbox() -> (Outbox, OutboxTail) {
    let (tx, rx) = mpsc::channel(OUTBOX_FRAMES);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { frames: tx, bytes: Arc::clone(&bytes) }, OutboxTail { frames: rx, bytes })
}

impl Outbox {
    /// Queues one frame, or says that there is no room.
    pub fn push(&self, frame: Bytes) -> Result<(), Full> {
        let len = frame.len();
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        let fits = before == 0 || before + len <= OUTBOX_BYTES;
        if fits && self.frames.try_send(Outgoing::Frame(frame)).is_ok() {
            return Ok(());
        }
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        Err(Full)
    }

    /// Asks the connection to close its socket.
    pub fn close(&self, code: CloseCode, reason: &'static str) -> Result<(), Full> {
        self.frames.try_send(Outgoing::Close(code, reason)).map_err(|_| Full)
    }

    /// Bytes waiting now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl OutboxTail {
    /// The next thing to send. `None` when every room has let go.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Outgoing> {
        let taken = self.frames.recv().await;
        self.taken(taken.as_ref());
        taken
    }

    /// The next thing to send, if there is one now.
    pub fn try_next(&mut self) -> Option<Outgoing> {
        let taken = self.frames.try_recv().ok();
        self.taken(taken.as_ref());
        taken
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn taken(&self, taken: Option<&Outgoing>) {
        if let Some(Outgoing::Frame(frame)) = taken {
            self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        }
    }
}
