//! What is going on below the messages?
//!
//! tungstenite puts fragments together and answers pings by itself, so a flood of either never shows above it: of empty fragments it shows
//! nothing at all. The meter watches the same bytes on their way in, keeps no copy, and knows three things: how many control frames come, how
//! long the message in progress has been coming, and whether the stream stands between two messages.

use super::ending::Fault;
use std::time::Duration;
use tokio::time::Instant;

/// Pings, pongs and closes a second. Browsers send one pong for each of our pings, every 25 s.
const CONTROL_FRAMES_PER_SECOND: u32 = 10;

/// A message has to arrive within this …
const ASSEMBLY: Duration = Duration::from_secs(10);

/// … and one more second for so many bytes of it: whoever uploads a large document over a slow line is making progress, and only that counts.
const SLOWEST_UPLOAD_PER_SECOND: u64 = 8 * 1024;

/// Fragments of one message that nobody minds, however small.
const FREE_FRAGMENTS: u32 = 1024;

/// Beyond those, fragments smaller than this on average have no honest reason.
const SMALLEST_FRAGMENT: u64 = 256;

/// The longest frame header: two bytes, a long length, a mask.
const LONGEST_HEADER: usize = 14;

#[derive(Debug)]
pub(super) struct Meter {
    header: [u8; LONGEST_HEADER],
    /// Bytes of the header in progress.
    header_len: u8,
    /// Bytes of the frame's body that are still to come.
    body_left: u64,
    /// Whether the frame in progress ends its message. Control frames end none.
    ends_message: bool,
    message: Option<InProgress>,
    /// When the first byte of the last frame came.
    frame_since: Instant,
    control_frames: u32,
    control_since: Instant,
}

/// A message whose first byte has come and whose last has not.
#[derive(Clone, Copy, Debug)]
struct InProgress {
    since: Instant,
    bytes: u64,
    fragments: u32,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            header: [0; LONGEST_HEADER],
            header_len: 0,
            body_left: 0,
            ends_message: false,
            message: None,
            frame_since: now,
            control_frames: 0,
            control_since: now,
        }
    }

    /// Watches what has arrived.
    pub(super) fn saw(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let mut verdict = Ok(());
        while let Some((&first, rest)) = bytes.split_first() {
            if self.body_left > 0 {
                let len = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
                self.body_left -= len as u64;
                if !self.is_control()
                    && let Some(message) = &mut self.message
                {
                    message.bytes += len as u64;
                }
                bytes = &bytes[len..];
            } else {
                if self.header_len == 0 {
                    self.frame_since = now;
                }
                self.header[usize::from(self.header_len)] = first;
                self.header_len += 1;
                bytes = rest;
                match self.body_len() {
                    Some(len) => verdict = verdict.and(self.frame_begins(len, now)),
                    None => continue,
                }
            }
            if self.body_left == 0 {
                self.frame_ends();
            }
        }
        verdict
    }

    /// The length of the frame's body, once the header is whole (RFC 6455, section 5.2).
    fn body_len(&self) -> Option<u64> {
        let header = self.header.get(..usize::from(self.header_len))?;
        let second = *header.get(1)?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (len, len_bytes) = match second & 0x7f {
            126 => (
                header
                    .get(2..4)
                    .map(|bytes| bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte))),
                2,
            ),
            127 => (
                header
                    .get(2..10)
                    .map(|bytes| bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte))),
                8,
            ),
            short => (Some(u64::from(short)), 0),
        };
        len.filter(|_| header.len() == 2 + len_bytes + mask)
    }

    fn is_control(&self) -> bool {
        self.header[0] & 0x08 != 0
    }

    fn frame_begins(&mut self, len: u64, now: Instant) -> Result<(), Fault> {
        self.body_left = len;
        if self.is_control() {
            self.ends_message = false;
            if now.duration_since(self.control_since) >= Duration::from_secs(1) {
                (self.control_since, self.control_frames) = (now, 0);
            }
            self.control_frames += 1;
            return if self.control_frames > CONTROL_FRAMES_PER_SECOND {
                Err(Fault::ControlFlood)
            } else {
                Ok(())
            };
        }
        self.ends_message = self.header[0] & 0x80 != 0;
        let message = self.message.get_or_insert(InProgress { since: now, bytes: 0, fragments: 0 });
        message.fragments += 1;
        let needless = message.fragments > FREE_FRAGMENTS
            && message.bytes < u64::from(message.fragments) * SMALLEST_FRAGMENT;
        if needless { Err(Fault::Fragments) } else { Ok(()) }
    }

    fn frame_ends(&mut self) {
        self.header_len = 0;
        if self.ends_message {
            self.message = None;
            self.ends_message = false;
        }
    }

    /// When the message (or, between messages, the frame) in progress is too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.message {
            Some(message) => {
                let for_progress = Duration::from_secs(message.bytes / SLOWEST_UPLOAD_PER_SECOND);
                Some(message.since + ASSEMBLY + for_progress)
            }
            None => (!self.is_between_messages()).then(|| self.frame_since + ASSEMBLY),
        }
    }

    /// We have not been reading, so the message in progress could not come.
    pub(super) fn excuse_slowness(&mut self, now: Instant) {
        self.frame_since = now;
        if let Some(message) = &mut self.message {
            message.since = now;
        }
    }

    /// Whether every message that has begun has also ended.
    pub(super) fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.body_left == 0 && self.message.is_none()
    }
}

#[cfg(test)]
mod tests;
