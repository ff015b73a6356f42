//! How do WebSocket messages get in and out of a byte stream, both at once, in one task, with little memory?
//!
//! Reading is tungstenite's: the hostile half of RFC 6455 is in good hands there. Bytes come through a buffer that lives as long as a poll, so
//! that a quiet connection holds next to nothing. Writing is the outbox' queue, which rooms write as well; what tungstenite itself has to say
//! (pongs, close frames) joins it.

use super::ending::{Fault, shortened};
use super::meter::Meter;
use crate::outbox::{Closing, OutboxTail};
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::frame::{Frame, Utf8Bytes};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// What every connection holds for reading, from its first byte to its last: an edit or a caret fits. Larger messages get a buffer of their
/// size, for as long as they take.
const READ_BUFFER: usize = 256;

/// What is read from the kernel in one go. On the stack, and not touched beyond what comes.
const READ_AT_ONCE: usize = 16 * 1024;

/// Only pongs and close frames pass through tungstenite's writing half, and leave it at once.
const WRITE_BUFFER: usize = 0;

/// Room for a few of them.
const MAX_WRITE_BUFFER: usize = 4 * 1024;

/// Answers of ours (pongs, refusals, …) that may wait to be written. From here on the peer is not read any more until it takes some.
const OWN_WITHOUT_READING: usize = 64;

/// After a message of this size the buffer that took it is given back.
const BIG_MESSAGE: usize = 64 * 1024;

/// What arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A binary message.
    Message(Bytes),
    /// The client said goodbye, and has been answered.
    Goodbye,
}

/// One WebSocket, server side.
#[derive(Debug)]
pub(super) struct Socket<S> {
    io: S,
    codec: WebSocketContext,
    meter: Meter,
    outbox: OutboxTail,
    /// What came in one go with the message before and was not looked at yet.
    ahead: Bytes,
    /// When any byte last came.
    heard_at: Instant,
    /// When the socket opened: no message has been sent before.
    opened_at: Instant,
    took_big_message: bool,
    /// Whether tungstenite has given up on what comes in; it must not be asked again.
    is_broken: bool,
}

fn config(max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
        .accept_unmasked_frames(false)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// After the handshake. `early` is what the client sent too soon, already read.
    pub(super) fn new(
        io: S,
        early: &[u8],
        max_message: usize,
        outbox: OutboxTail,
    ) -> Result<Self, Fault> {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        meter.saw(early, now)?;
        Ok(Self {
            io,
            codec: WebSocketContext::new(Role::Server, Some(config(max_message))),
            meter,
            outbox,
            ahead: Bytes::copy_from_slice(early),
            heard_at: now,
            opened_at: now,
            took_big_message: false,
            is_broken: false,
        })
    }

    /// From now on messages up to this size are taken. A frame above it is refused when its header arrives, before it is buffered.
    pub(super) fn set_max_message(&mut self, max_message: usize) {
        self.codec.set_config(|limits| {
            limits.max_message_size = Some(max_message);
            limits.max_frame_size = Some(max_message);
        });
    }

    /// The next message. Pongs are answered and counted by the way.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Fault>> {
        let now = Instant::now();
        let mut scratch = [const { MaybeUninit::uninit() }; READ_AT_ONCE];
        let mut pipe = Pipe {
            io: &mut self.io,
            cx,
            now,
            meter: &mut self.meter,
            outbox: &mut self.outbox,
            heard_at: &mut self.heard_at,
            ahead: std::mem::take(&mut self.ahead),
            fresh: ReadBuf::uninit(&mut scratch),
            taken: 0,
            fault: None,
        };
        loop {
            let read = self.codec.read(&mut pipe);
            match read {
                Ok(Message::Binary(message)) => {
                    self.took_big_message |= message.len() >= BIG_MESSAGE;
                    self.ahead = pipe.rest();
                    crate::metrics::frame_received(message.len());
                    return Poll::Ready(Ok(Incoming::Message(message)));
                }
                // The next turn writes the answer.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
                Ok(Message::Text(_) | Message::Frame(_)) => return Poll::Ready(Err(Fault::Text)),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Poll::Ready(Ok(Incoming::Goodbye));
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.give_back_buffer();
                    return Poll::Pending;
                }
                Err(error) => {
                    self.is_broken = true;
                    return Poll::Ready(Err(pipe.fault.unwrap_or_else(|| fault_of(&error))));
                }
            }
        }
    }

    /// tungstenite keeps the largest buffer it ever needed. Between messages nothing is in it, so a new one can take its place.
    fn give_back_buffer(&mut self) {
        if self.took_big_message && self.meter.is_between_messages() && self.codec.can_write() {
            self.took_big_message = false;
            self.codec = WebSocketContext::new(Role::Server, Some(*self.codec.get_config()));
        }
    }

    /// Whether another message would find room for its answer.
    pub(super) fn may_read(&self) -> bool {
        self.outbox.own_waiting() < OWN_WITHOUT_READING
    }

    /// Queues a binary message.
    pub(super) fn send(&mut self, message: Bytes) {
        self.outbox.say(message);
    }

    /// Queues a ping, unless something waits already: then the peer has other things to answer to.
    pub(super) fn ping(&mut self) {
        if self.outbox.is_empty() {
            let mut bytes = Vec::with_capacity(2);
            Frame::ping(Bytes::new()).format(&mut bytes).expect("writing to memory cannot fail");
            self.outbox.say_raw(&bytes);
        }
    }

    /// What rooms, or the server, want closed next (O7).
    pub(super) fn take_close(&mut self, cx: &Context<'_>) -> Option<Closing> {
        self.outbox.take_close(cx)
    }

    /// Whether a room waits to hear that everything has been written, which it has.
    pub(super) fn take_refusal(&mut self) -> bool {
        self.outbox.take_refusal()
    }

    /// The rooms could not be told now.
    pub(super) fn put_refusal_back(&mut self) {
        self.outbox.put_refusal_back();
    }

    /// What rooms still say is not taken any more.
    pub(super) fn shut_out_rooms(&mut self) {
        self.outbox.shut();
    }

    /// Writes until nothing waits.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.outbox.poll_write(cx, &mut self.io).map_err(|_| Fault::Vanished)
    }

    /// Begins to say goodbye: a close frame behind what waits.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame { code: code.0.into(), reason: Utf8Bytes::from(shortened(reason)) };
        let mut control = Control(&mut self.outbox);
        if let Err(error) = self.codec.close(&mut control, Some(frame)) {
            tracing::trace!(%error, "a close frame could not be queued");
        }
    }

    /// After our close frame has left: takes what still comes, until the client has answered or gone.
    pub(super) fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_broken {
            match ready!(self.poll_read(cx)) {
                Ok(Incoming::Message(_)) => {}
                Ok(Incoming::Goodbye) => {
                    // The close frame that answers the client's.
                    ready!(self.poll_write(cx)).ok();
                    return Pin::new(&mut self.io).poll_shutdown(cx).map(|_| ());
                }
                Err(_) => self.is_broken = true,
            }
        }
        // What comes cannot be told apart any more. The end of our half tells the client that nothing follows; then it ends its own.
        if ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut scrap = [0; 1024];
        loop {
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut scrap)) {
                Ok(()) if !scrap.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// When any byte last came.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Nobody listened meanwhile, so that nothing was heard says nothing.
    pub(super) fn excuse_silence(&mut self) {
        self.heard_at = Instant::now();
        self.meter.excuse_slowness(self.heard_at);
    }

    /// When a message was last sent.
    pub(super) fn sent_at(&self) -> Instant {
        self.outbox.sent_at().unwrap_or(self.opened_at)
    }

    /// If something waits to be written: since when nothing of it has been.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.outbox.stuck_since()
    }

    /// When the message in progress is too late.
    pub(super) fn message_deadline(&self) -> Option<Instant> {
        self.meter.deadline()
    }
}

fn fault_of(error: &Error) -> Fault {
    match error {
        Error::Capacity(_) => Fault::TooBig,
        Error::Utf8(_) => Fault::Text,
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
        | Error::Io(_) => Fault::Vanished,
        _ => Fault::NotWebSocket,
    }
}

/// What tungstenite takes for a socket during one poll.
struct Pipe<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
    now: Instant,
    meter: &'a mut Meter,
    outbox: &'a mut OutboxTail,
    heard_at: &'a mut Instant,
    /// What came before, and has been metered.
    ahead: Bytes,
    /// What comes now …
    fresh: ReadBuf<'a>,
    /// … and how much of it has been passed on.
    taken: usize,
    fault: Option<Fault>,
}

impl<S> Pipe<'_, '_, S> {
    /// What was not passed on.
    fn rest(&mut self) -> Bytes {
        if self.ahead.is_empty() {
            Bytes::copy_from_slice(&self.fresh.filled()[self.taken..])
        } else {
            std::mem::take(&mut self.ahead)
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Pipe<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let passed = self.ahead.len().min(buffer.len());
            return self.ahead.split_to(passed).as_ref().read(buffer);
        }
        if self.taken == self.fresh.filled().len() {
            self.fresh.clear();
            self.taken = 0;
            match Pin::new(&mut *self.io).poll_read(self.cx, &mut self.fresh) {
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Ready(read) => read?,
            }
            *self.heard_at = self.now;
            if let Err(fault) = self.meter.saw(self.fresh.filled(), self.now) {
                self.fault = Some(fault);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let passed = (&self.fresh.filled()[self.taken..]).read(buffer)?;
        self.taken += passed;
        Ok(passed)
    }
}

impl<S> Write for Pipe<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Control(self.outbox).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where tungstenite writes: the queue always has room, and [`OWN_WITHOUT_READING`] bounds how much can come.
struct Control<'a>(&'a mut OutboxTail);

impl Write for Control<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.say_raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Control<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests;
