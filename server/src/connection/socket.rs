//! How do WebSocket messages get in and out of a byte stream, both at once, in one task, with little memory?
//!
//! Reading is tungstenite's: the hostile half of RFC 6455 is in good hands there. Writing is a queue of frames whose bodies are shared with
//! every other receiver and handed to the kernel in batches, without a copy. What tungstenite itself has to say (pongs, close frames) joins
//! that queue.

use super::ending::{Fault, shortened};
use super::meter::Meter;
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader, Utf8Bytes};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// What every connection holds for reading, from its first byte to its last: a few edits fit.
const READ_BUFFER: usize = 4 * 1024;

/// Only pongs and close frames pass through tungstenite's writing half, and leave it at once.
const WRITE_BUFFER: usize = 0;

/// Room for a few of them.
const MAX_WRITE_BUFFER: usize = 4 * 1024;

/// Frames taken from the outbox at a time. More would hide them from the outbox' accounts; fewer would mean more system calls.
const BATCH: usize = 16;

/// Answers of ours (pongs, refusals, …) may join the queue beyond a batch. From here on the peer is not read any more until it takes some.
const QUEUE_WITHOUT_READING: usize = 64;

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
    queue: Queue,
    /// When any byte last came.
    heard_at: Instant,
    /// When a message was last sent.
    sent_at: Instant,
    /// While something waits to be written: when some of it last was.
    moved_at: Instant,
    took_big_message: bool,
    /// Whether tungstenite has given up on what comes in; it must not be asked again.
    is_broken: bool,
}

/// Frames on their way out.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<OutFrame>,
    /// How much of the first one the kernel has.
    written: usize,
}

/// A header of ours and a body that is shared. Frames that tungstenite wrote are all body.
#[derive(Debug)]
struct OutFrame {
    header: [u8; 10],
    header_len: u8,
    body: Bytes,
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
    pub(super) fn new(io: S, early: &[u8], max_message: usize) -> Result<Self, Fault> {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        meter.saw(early, now)?;
        let codec = WebSocketContext::from_partially_read(
            early.to_vec(),
            Role::Server,
            Some(config(max_message)),
        );
        let queue = Queue::default();
        Ok(Self {
            io,
            codec,
            meter,
            queue,
            heard_at: now,
            sent_at: now,
            moved_at: now,
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
        loop {
            let mut pipe = Pipe {
                io: &mut self.io,
                cx,
                now,
                meter: &mut self.meter,
                queue: &mut self.queue,
                heard_at: &mut self.heard_at,
                fault: None,
            };
            let read = self.codec.read(&mut pipe);
            let fault = pipe.fault;
            match read {
                Ok(Message::Binary(message)) => {
                    self.took_big_message |= message.len() >= BIG_MESSAGE;
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
                    return Poll::Ready(Err(fault.unwrap_or_else(|| fault_of(&error))));
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
        self.queue.frames.len() < QUEUE_WITHOUT_READING
    }

    /// Whether the outbox should hand over the next frame.
    pub(super) fn wants_frame(&self) -> bool {
        self.queue.frames.len() < BATCH
    }

    /// Queues a binary message.
    pub(super) fn send(&mut self, message: Bytes) {
        let now = Instant::now();
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut bytes = [0; 10];
        let mut rest = bytes.as_mut_slice();
        header
            .format(message.len() as u64, &mut rest)
            .expect("an unmasked header is at most 10 bytes");
        let left = rest.len();
        crate::metrics::frame_sent(message.len());
        self.sent_at = now;
        self.push(
            OutFrame {
                header: bytes,
                header_len: u8::try_from(bytes.len() - left).unwrap_or(0),
                body: message,
            },
            now,
        );
    }

    /// Queues a ping, unless something waits already: then the peer has other things to answer to.
    pub(super) fn ping(&mut self) {
        if self.queue.frames.is_empty() {
            let mut bytes = Vec::with_capacity(2);
            Frame::ping(Bytes::new()).format(&mut bytes).expect("writing to memory cannot fail");
            self.push(OutFrame::raw(&bytes), Instant::now());
        }
    }

    fn push(&mut self, frame: OutFrame, now: Instant) {
        if self.queue.frames.is_empty() {
            self.moved_at = now;
        }
        self.queue.frames.push_back(frame);
    }

    /// Writes until nothing waits.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while !self.queue.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); BATCH * 2];
            let count = self.queue.slices(&mut slices);
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]));
            match written {
                Ok(written @ 1..) => {
                    self.queue.advance(written);
                    self.moved_at = Instant::now();
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Vanished)),
            }
        }
        // A burst has left; what held it need not stay.
        if self.queue.frames.capacity() > BATCH * 2 {
            self.queue.frames.shrink_to(BATCH);
        }
        Poll::Ready(Ok(()))
    }

    /// Begins to say goodbye: a close frame behind what waits.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame { code: code.0.into(), reason: Utf8Bytes::from(shortened(reason)) };
        let mut control = Control(&mut self.queue);
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
        self.sent_at
    }

    /// If something waits to be written: since when nothing of it has been.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        (!self.queue.frames.is_empty()).then_some(self.moved_at)
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

impl OutFrame {
    fn raw(bytes: &[u8]) -> Self {
        Self { header: [0; 10], header_len: 0, body: Bytes::copy_from_slice(bytes) }
    }

    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.header_len) + self.body.len()
    }
}

impl Queue {
    /// Fills `slices` from the front; says how many are used.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        let parts = self.frames.iter().flat_map(|frame| [frame.header(), &frame.body]);
        for part in parts {
            if count == slices.len() {
                break;
            }
            let skipped = skip.min(part.len());
            skip -= skipped;
            if skipped < part.len() {
                slices[count] = IoSlice::new(&part[skipped..]);
                count += 1;
            }
        }
        count
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(front) = self.frames.front().filter(|front| front.len() <= self.written) {
            self.written -= front.len();
            self.frames.pop_front();
        }
    }
}

/// What tungstenite takes for a socket during one poll.
struct Pipe<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
    now: Instant,
    meter: &'a mut Meter,
    queue: &'a mut Queue,
    heard_at: &'a mut Instant,
    fault: Option<Fault>,
}

impl<S: AsyncRead + Unpin> Read for Pipe<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(read) => read?,
        }
        *self.heard_at = self.now;
        if let Err(fault) = self.meter.saw(buffer.filled(), self.now) {
            self.fault = Some(fault);
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(buffer.filled().len())
    }
}

impl<S> Write for Pipe<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Control(self.queue).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where tungstenite writes: the queue always has room, and [`QUEUE_WITHOUT_READING`] bounds how much can come.
struct Control<'a>(&'a mut Queue);

impl Write for Control<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.frames.push_back(OutFrame::raw(bytes));
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
