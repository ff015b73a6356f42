//! When does a crowd get its next frame?
//!
//! The first change after a quiet moment goes out at once; after that at most one frame per interval, which follows the size of the
//! crowd. Sends then cost people × frames and not people × keystrokes.

use super::event::Millis;

/// The shortest interval: two people typing see each other within a display frame.
pub const MIN_INTERVAL: Millis = 4;

/// The longest interval: beyond it typing in a plenary would feel late.
pub const MAX_INTERVAL: Millis = 50;

/// One more millisecond of interval for each of that many peers: 1,000 peers reach [`MAX_INTERVAL`].
const PEERS_PER_MILLI: usize = 20;

/// Presence is looked at, not read: a caret ten times a second looks alive.
pub const MIN_PRESENCE_INTERVAL: Millis = 30;

/// In a crowd carets are a blur anyway: five times a second.
pub const MAX_PRESENCE_INTERVAL: Millis = 200;

/// One pacer: for document frames, or for presence.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    next: Millis,
    min: Millis,
    max: Millis,
}

impl Pace {
    /// For document frames.
    #[must_use]
    pub const fn document() -> Self {
        Self { next: 0, min: MIN_INTERVAL, max: MAX_INTERVAL }
    }

    /// For presence.
    #[must_use]
    pub const fn presence() -> Self {
        Self { next: 0, min: MIN_PRESENCE_INTERVAL, max: MAX_PRESENCE_INTERVAL }
    }

    /// When something that waits now may be sent.
    #[must_use]
    pub const fn due(&self) -> Millis {
        self.next
    }

    /// Notes that a frame was sent to `peers`.
    pub fn sent(&mut self, now: Millis, peers: usize) {
        self.next = now + self.interval(peers);
    }

    fn interval(&self, peers: usize) -> Millis {
        let for_crowd = (peers / PEERS_PER_MILLI) as Millis;
        (self.min + for_crowd * self.max / MAX_INTERVAL).min(self.max)
    }
}

#[cfg(test)]
mod tests;
