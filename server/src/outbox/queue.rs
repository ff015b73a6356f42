//! What do frames look like while they wait for the kernel?
//!
//! A header of ours and a body that is shared with every other receiver; handed over in batches, without a copy.

use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Frames handed to the kernel at a time: enough for everything a step has for one peer.
pub(crate) const BATCH: usize = 16;

/// Who a frame comes from, and so whose account it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A room.
    Room,
    /// The connection itself: answers, refusals, pongs.
    Connection,
}

/// Frames on their way out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<OutFrame>,
    /// How much of the first one the kernel has.
    written: usize,
}

/// A header of ours and a body that is shared. Frames that tungstenite wrote are all body.
#[derive(Debug)]
pub(super) struct OutFrame {
    header: [u8; 10],
    header_len: u8,
    from: From,
    body: Bytes,
}

/// What has left by one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Whole messages, and the bytes in them.
    pub(super) messages: usize,
    pub(super) message_bytes: usize,
    /// Those of them that were on the rooms' account.
    pub(super) from_rooms: usize,
    pub(super) room_bytes: usize,
    /// Whole frames of the connection's own.
    pub(super) own: usize,
}

impl OutFrame {
    /// A binary message.
    pub(super) fn message(body: Bytes, from: From) -> Self {
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut bytes = [0; 10];
        let mut rest = bytes.as_mut_slice();
        header
            .format(body.len() as u64, &mut rest)
            .expect("an unmasked header is at most 10 bytes");
        let left = rest.len();
        let header_len = u8::try_from(bytes.len() - left).unwrap_or(0);
        Self { header: bytes, header_len, from, body }
    }

    /// A frame that is written already.
    pub(super) fn raw(bytes: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(bytes);
        Self { header: [0; 10], header_len: 0, from: From::Connection, body }
    }

    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.header_len) + self.body.len()
    }
}

impl Queue {
    pub(super) fn push(&mut self, frame: OutFrame) {
        self.frames.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The first bytes that wait; says how many slices are used.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; BATCH * 2]) -> usize {
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

    /// The kernel has taken so many bytes more.
    pub(super) fn advance(&mut self, written: usize) -> Left {
        let mut left = Left::default();
        self.written += written;
        while let Some(front) = self.frames.front().filter(|front| front.len() <= self.written) {
            self.written -= front.len();
            if front.header_len > 0 {
                left.messages += 1;
                left.message_bytes += front.body.len();
            }
            match front.from {
                From::Room => {
                    left.from_rooms += 1;
                    left.room_bytes += front.body.len();
                }
                From::Connection => left.own += 1,
            }
            self.frames.pop_front();
        }
        // A burst has left; what held it need not stay.
        if self.frames.is_empty() && self.frames.capacity() > BATCH * 2 {
            self.frames = VecDeque::new();
        }
        left
    }

    /// Forgets what rooms have said, but for the first frames, which may have begun to leave.
    pub(super) fn forget_rooms(&mut self) {
        let mut place = 0;
        self.frames.retain(|frame| {
            place += 1;
            place <= BATCH || frame.from == From::Connection
        });
    }
}
