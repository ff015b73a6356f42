//! How do frames wait for a socket without costing memory or losing an edit?
//!
//! One bounded queue per connection. Rooms push and never wait; the connection's task takes. Over the limit nothing is queued and the
//! pusher is told: a room then marks its peer *behind* and sends one diff once the connection says that it has drained.
//!
//! - **O1** A frame is queued whole or not at all, and the pusher learns which.
//! - **O2** A frame that comes to an empty outbox is always taken, however large, so that a first sync can leave.
//! - **O3** A refused push is always followed by a drain that the connection sees ([`OutboxTail::take_refusal`]): either the queue was not
//!   empty, and its emptying is the drain, or the push is tried again.
//! - **O4** A close is never refused: when there is no room for it, it overtakes what waits.

use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Frames waiting for one socket: about four seconds of a busy plenary.
pub const OUTBOX_FRAMES: usize = 1024;

/// Bytes waiting for one socket before its peers are marked behind. A frame that comes to an empty outbox is always taken, so that a large
/// first sync can leave.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// Which seat of a connection something concerns: the connection numbers its documents.
pub type SeatNumber = u32;

/// What a connection's task takes from its outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// One binary WebSocket message.
    Frame(Bytes),
    /// Close after what came before.
    Close(Closing),
}

/// A wish that something be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// One seat (the connection decides whether its client can be told about that, or the socket has to go), or the whole socket.
    pub seat: Option<SeatNumber>,
    /// Why, for the client's machine.
    pub code: CloseCode,
    /// Why, in words.
    pub reason: Cow<'static, str>,
}

/// The rooms' end.
#[derive(Clone, Debug)]
pub struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    counts: Arc<Counts>,
    seat: Option<SeatNumber>,
}

/// The connection's end.
#[derive(Debug)]
pub struct OutboxTail {
    frames: mpsc::Receiver<Outgoing>,
    counts: Arc<Counts>,
}

/// What both ends count.
#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the frames in the queue.
    bytes: AtomicUsize,
    /// Whether a push was refused since the tail last asked.
    refused: AtomicBool,
    /// A close that found no room in the queue. The first one stays.
    overtaking: OnceLock<Closing>,
}

/// The outbox had no room, or its connection has gone: nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A new outbox.
#[must_use]
pub fn outbox() -> (Outbox, OutboxTail) {
    let (tx, rx) = mpsc::channel(OUTBOX_FRAMES);
    let counts = Arc::new(Counts::default());
    (
        Outbox { frames: tx, counts: Arc::clone(&counts), seat: None },
        OutboxTail { frames: rx, counts },
    )
}

impl Outbox {
    /// The same outbox for one seat: a close through it concerns that seat and not the whole socket.
    #[must_use]
    pub fn for_seat(&self, seat: SeatNumber) -> Self {
        Self { seat: Some(seat), ..self.clone() }
    }

    /// Queues one frame, or says that there is no room (O1).
    pub fn push(&self, frame: Bytes) -> Result<(), Full> {
        let refused = match self.try_push(frame) {
            Ok(()) => return Ok(()),
            Err(frame) => frame,
        };
        self.counts.refused.store(true, Ordering::SeqCst);
        // O3: if the queue ran empty between the refusal and the mark, nobody would ever see the mark. But then there is room now.
        if self.counts.bytes.load(Ordering::SeqCst) == 0 {
            self.try_push(refused).map_err(|_| Full)
        } else {
            Err(Full)
        }
    }

    fn try_push(&self, frame: Bytes) -> Result<(), Bytes> {
        let len = frame.len();
        let before = self.counts.bytes.fetch_add(len, Ordering::SeqCst);
        // O2.
        let fits = before == 0 || before + len <= OUTBOX_BYTES;
        let refused = if fits {
            match self.frames.try_send(Outgoing::Frame(frame)) {
                Ok(()) => return Ok(()),
                Err(
                    mpsc::error::TrySendError::Full(refused)
                    | mpsc::error::TrySendError::Closed(refused),
                ) => refused,
            }
        } else {
            Outgoing::Frame(frame)
        };
        self.counts.bytes.fetch_sub(len, Ordering::SeqCst);
        match refused {
            Outgoing::Frame(frame) => Err(frame),
            Outgoing::Close(_) => Err(Bytes::new()),
        }
    }

    /// Asks the connection to close this seat, or without one the socket. Only a connection that has gone cannot be asked (O4).
    pub fn close(&self, code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Result<(), Full> {
        let closing = Closing { seat: self.seat, code, reason: reason.into() };
        match self.frames.try_send(Outgoing::Close(closing.clone())) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Full),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counts.overtaking.get_or_init(|| closing);
                Ok(())
            }
        }
    }

    /// Asks for the drain that follows a refused push (O3) although nothing was refused. `true` when nothing waits even now: the connection
    /// may then have nothing left to notice the question by, and the asker goes on by itself.
    #[must_use]
    pub fn tell_when_drained(&self) -> bool {
        self.counts.refused.store(true, Ordering::SeqCst);
        self.counts.bytes.load(Ordering::SeqCst) == 0
    }

    /// Bytes waiting now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Whether the connection has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

impl OutboxTail {
    /// The next thing to send. Registers the task's waker when there is nothing. `None` when every room has let go.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let taken = std::task::ready!(self.frames.poll_recv(cx));
        if let Some(closing) = self.counts.overtaking.get().cloned() {
            self.frames.close();
            return Poll::Ready(Some(Outgoing::Close(Closing { seat: None, ..closing })));
        }
        if let Some(Outgoing::Frame(frame)) = &taken {
            self.counts.bytes.fetch_sub(frame.len(), Ordering::SeqCst);
        }
        Poll::Ready(taken)
    }

    /// Whether a push was refused since this was last asked. Asked when everything has been written (O3).
    pub fn take_refusal(&mut self) -> bool {
        self.counts.refused.load(Ordering::SeqCst)
            && self.counts.refused.swap(false, Ordering::SeqCst)
    }

    /// The refusal could not be reported now: [`OutboxTail::take_refusal`] will say so again.
    pub fn put_refusal_back(&mut self) {
        self.counts.refused.store(true, Ordering::SeqCst);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[cfg(test)]
mod tests;
