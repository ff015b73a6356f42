//! How do frames reach a socket without costing memory or losing an edit?
//!
//! One bounded queue per connection, and whoever holds its lock may write what waits: a room right after it has put its frames there, as long
//! as the socket takes them, which saves a thousand wake-ups for a thousand peers; the connection's own task whenever the socket was full,
//! and for what it has to say itself. Rooms never wait. Over the limit nothing is queued and the pusher is told: a room then marks its peer
//! *behind* and sends one diff once the connection says that it has drained.
//!
//! - **O1** A frame is queued whole or not at all, and the pusher learns which.
//! - **O2** A frame that comes to an empty outbox is always taken, however large, so that a first sync can leave.
//! - **O3** A refused push is always followed by a drain that the connection sees ([`OutboxTail::take_refusal`]): whoever writes the last of
//!   what waited wakes it.
//! - **O4** A close is never refused: when there is no room for it, it overtakes what waits.
//! - **O5** Frames leave whole and in the order in which they were queued, whoever writes them.
//! - **O6** What a room cannot write at once is the connection's task to write: it is woken, and rooms do not try again before the socket has
//!   taken something.
//! - **O7** Nothing behind a close is written before the connection has dealt with it.

mod queue;

use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
pub(crate) use queue::BATCH;
use queue::{From, OutFrame, Queue};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// Frames waiting for one socket: about four seconds of a busy plenary.
pub const OUTBOX_FRAMES: usize = 1024;

/// Bytes waiting for one socket before its peers are marked behind. A frame that comes to an empty outbox is always taken, so that a large
/// first sync can leave.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// Which seat of a connection something concerns: the connection numbers its documents.
pub type SeatNumber = u32;

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

/// A socket that can be written to by whoever holds it, for as long as it takes something at once. Other transports have none, and their
/// connections' tasks write everything.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Takes what it can without waiting. `WouldBlock` when that is nothing.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// The rooms' end.
#[derive(Clone, Debug)]
pub struct Outbox {
    line: Arc<Mutex<Line>>,
    seat: Option<SeatNumber>,
}

/// The connection's end.
#[derive(Debug)]
pub struct OutboxTail {
    line: Arc<Mutex<Line>>,
}

/// What both ends share. The lock is held for a push or for one round of writes that do not wait; never over an await.
#[derive(Debug, Default)]
struct Line {
    /// What may leave, in order.
    queue: Queue,
    /// A close that waits for the connection's task, and everything behind it.
    held: VecDeque<Held>,
    /// The task has taken a close and is dealing with it.
    is_dealing: bool,
    /// Where rooms write to.
    wire: Option<Arc<dyn Wire>>,
    /// The socket took less than was offered: the task goes on when it takes more.
    is_blocked: bool,
    /// The connection takes nothing from rooms any more.
    is_gone: bool,
    /// Frames of rooms, and closes, that wait.
    frames: usize,
    /// The bytes of the frames among them.
    bytes: usize,
    /// Frames of the connection's own that wait.
    own: usize,
    /// Whether a push was refused since the tail last asked.
    was_refused: bool,
    /// A close that found no room. The first one stays.
    overtaking: Option<Closing>,
    /// The connection's task, when it is not awake.
    waker: Option<Waker>,
    /// When a message last left.
    sent_at: Option<Instant>,
    /// While the socket takes nothing: since when.
    stuck_since: Option<Instant>,
}

#[derive(Debug)]
enum Held {
    Frame(OutFrame),
    Close(Closing),
}

/// The outbox had no room, or its connection has gone: nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A new outbox. With a `wire` rooms write by themselves.
#[must_use]
pub fn outbox(wire: Option<Arc<dyn Wire>>) -> (Outbox, OutboxTail) {
    let line = Arc::new(Mutex::new(Line { wire, ..Line::default() }));
    (Outbox { line: Arc::clone(&line), seat: None }, OutboxTail { line })
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    // A panic inside could only be out of memory, and ends in a queue that is whole: a frame is pushed or popped by one call.
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// The same outbox for one seat: a close through it concerns that seat and not the whole socket.
    #[must_use]
    pub fn for_seat(&self, seat: SeatNumber) -> Self {
        Self { seat: Some(seat), ..self.clone() }
    }

    /// Queues one frame and has it written, or says that there is no room (O1).
    pub fn push(&self, frame: Bytes) -> Result<(), Full> {
        self.queue(frame)?;
        self.flush();
        Ok(())
    }

    /// Queues one frame, or says that there is no room (O1). What is queued leaves with the next [`Outbox::flush`]: several frames then share
    /// a write.
    pub fn queue(&self, frame: Bytes) -> Result<(), Full> {
        let (queued, waker) = lock(&self.line).queue(frame);
        if let Some(waker) = waker {
            waker.wake();
        }
        queued
    }

    /// Writes what waits, as far as the socket takes it now. The rest is the connection's (O6).
    pub fn flush(&self) {
        // Woken without the lock, which it will want.
        let waker = lock(&self.line).flush();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks the connection to close this seat, or without one the socket. Only a connection that has gone cannot be asked (O4).
    pub fn close(&self, code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Result<(), Full> {
        let closing = Closing { seat: self.seat, code, reason: reason.into() };
        let waker = {
            let mut line = lock(&self.line);
            if line.is_gone {
                return Err(Full);
            }
            if line.frames < OUTBOX_FRAMES {
                line.held.push_back(Held::Close(closing));
                line.frames += 1;
            } else {
                line.overtaking.get_or_insert(closing);
            }
            line.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Asks for the drain that follows a refused push (O3) although nothing was refused. `true` when nothing waits even now: there will be no
    /// drain then, and the asker goes on by itself.
    #[must_use]
    pub fn tell_when_drained(&self) -> bool {
        let mut line = lock(&self.line);
        let is_empty = line.is_empty();
        line.was_refused |= !is_empty;
        is_empty
    }

    /// Bytes waiting now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.line).bytes
    }

    /// Whether the connection has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.line).is_gone
    }
}

impl OutboxTail {
    /// The next thing to close, and only then what is behind it (O7). Registers the task's waker.
    pub fn take_close(&mut self, cx: &Context<'_>) -> Option<Closing> {
        let mut line = lock(&self.line);
        line.register(cx);
        if let Some(closing) = line.overtaking.take() {
            line.is_gone = true;
            return Some(Closing { seat: None, ..closing });
        }
        line.is_dealing = false;
        while let Some(next) = line.held.pop_front() {
            match next {
                Held::Frame(frame) => line.queue.push(frame),
                Held::Close(closing) => {
                    line.frames -= 1;
                    line.is_dealing = true;
                    return Some(closing);
                }
            }
        }
        None
    }

    /// Writes until nothing waits. Registers the task's waker, with the socket too when it is full.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut S,
    ) -> Poll<io::Result<()>> {
        let mut line = lock(&self.line);
        line.register(cx);
        while !line.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); BATCH * 2];
            let count = line.queue.slices(&mut slices);
            match Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(written @ 1..)) => line.advance(written),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    line.is_blocked = true;
                    line.stuck_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
        line.is_blocked = false;
        Poll::Ready(Ok(()))
    }

    /// Queues a message of the connection's own.
    pub fn say(&mut self, message: Bytes) {
        lock(&self.line).push_own(OutFrame::message(message, From::Connection));
    }

    /// Queues a frame that is written already.
    pub fn say_raw(&mut self, frame: &[u8]) {
        lock(&self.line).push_own(OutFrame::raw(frame));
    }

    /// How many frames of the connection's own wait.
    #[must_use]
    pub fn own_waiting(&self) -> usize {
        lock(&self.line).own
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.line).is_empty()
    }

    /// When a message last left.
    #[must_use]
    pub fn sent_at(&self) -> Option<Instant> {
        lock(&self.line).sent_at
    }

    /// If the socket takes nothing of what waits: since when.
    #[must_use]
    pub fn stuck_since(&self) -> Option<Instant> {
        lock(&self.line).stuck_since
    }

    /// Whether a push was refused since this was last asked, and all that waited then has been written (O3).
    pub fn take_refusal(&mut self) -> bool {
        let mut line = lock(&self.line);
        let was_refused = line.was_refused && line.is_empty();
        line.was_refused &= !was_refused;
        was_refused
    }

    /// The refusal could not be reported now: [`OutboxTail::take_refusal`] will say so again.
    pub fn put_refusal_back(&mut self) {
        lock(&self.line).was_refused = true;
    }

    /// From now on nothing is taken from rooms, and what they have said leaves only as far as it is next in line anyway.
    pub fn shut(&mut self) {
        let mut line = lock(&self.line);
        line.is_gone = true;
        line.held = VecDeque::new();
        line.queue.forget_rooms();
    }
}

impl Drop for OutboxTail {
    fn drop(&mut self) {
        // Rooms hold their end a little longer; nothing else of the connection stays with it.
        *lock(&self.line) = Line { is_gone: true, ..Line::default() };
    }
}

impl Line {
    fn queue(&mut self, frame: Bytes) -> (Result<(), Full>, Option<Waker>) {
        let mut waker = None;
        if !self.is_gone && !self.has_room(frame.len()) {
            waker = self.flush();
        }
        if self.is_gone || !self.has_room(frame.len()) {
            self.was_refused = true;
            return (Err(Full), waker);
        }
        self.frames += 1;
        self.bytes += frame.len();
        let frame = OutFrame::message(frame, From::Room);
        if self.held.is_empty() && !self.is_dealing {
            self.queue.push(frame);
        } else {
            self.held.push_back(Held::Frame(frame));
        }
        (Ok(()), waker)
    }

    fn has_room(&self, len: usize) -> bool {
        // O2.
        self.frames < OUTBOX_FRAMES && (self.bytes == 0 || self.bytes + len <= OUTBOX_BYTES)
    }

    fn push_own(&mut self, frame: OutFrame) {
        self.own += 1;
        self.queue.push(frame);
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.held.is_empty()
    }

    /// Writes what the socket takes. Returns whom to wake for the rest.
    fn flush(&mut self) -> Option<Waker> {
        if !self.is_blocked
            && let Some(wire) = self.wire.take()
        {
            while !self.queue.is_empty() {
                let mut slices = [IoSlice::new(&[]); BATCH * 2];
                let count = self.queue.slices(&mut slices);
                match wire.try_write(&slices[..count]) {
                    Ok(written @ 1..) => self.advance(written),
                    // Full, or broken: the connection's task finds out which.
                    Ok(0) | Err(_) => {
                        self.is_blocked = true;
                        break;
                    }
                }
            }
            self.wire = Some(wire);
        }
        // O3, O6.
        let has_work = !self.is_empty() || self.was_refused || self.overtaking.is_some();
        if has_work { self.waker.take() } else { None }
    }

    fn advance(&mut self, written: usize) {
        let left = self.queue.advance(written);
        self.stuck_since = None;
        self.frames -= left.from_rooms;
        self.bytes -= left.room_bytes;
        self.own -= left.own;
        if left.messages > 0 {
            self.sent_at = Some(Instant::now());
            crate::metrics::frames_sent(left.messages, left.message_bytes);
        }
    }

    fn register(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests;
