//! When does a crowd get its next frame?
//!
//! The first change after a quiet moment goes out at once; after that at most one frame per interval, which follows the size of the
//! crowd. Sends then cost people × frames and not people × keystrokes; and where an interval is long enough, what comes within it is stored as
//! one entry shortly before its end, so that commits cost frames and not keystrokes either.

use super::event::Millis;

/// The shortest interval: two people typing see each other within a display frame.
pub const MIN_INTERVAL: Millis = 4;

/// The longest interval: beyond it typing in a plenary would feel late.
pub const MAX_INTERVAL: Millis = 50;

/// One more millisecond for each of that many peers …
const PEERS_PER_MILLI: usize = 10;

/// … up to this, which a class or an assembly does not notice …
const CLASS_INTERVAL: Millis = 14;

/// … and in a plenary this for each thousand peers: a frame for everyone takes the server some milliseconds.
const PER_THOUSAND: usize = 36;

/// From this interval on edits gather before they are stored. In shorter ones there is nothing to gather.
const GATHER_FROM: Millis = 8;

/// So long before the next frame what has gathered is stored: a commit and its way there and back, on a busy disk.
const STORED_AHEAD: Millis = 3;

/// Presence is looked at, not read: a caret ten times a second looks alive.
pub const MIN_PRESENCE_INTERVAL: Millis = 30;

/// In a crowd carets are a blur anyway: five times a second.
pub const MAX_PRESENCE_INTERVAL: Millis = 200;

/// One more millisecond between presence messages for each of that many peers, four times.
const PEERS_PER_PRESENCE_STEP: usize = 20;

/// A caret that comes while words of anybody's are on their way waits for them, but not longer than this: storing may take its time.
pub const PRESENCE_PATIENCE: Millis = MAX_INTERVAL;

/// Which of the two.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Document,
    Presence,
}

/// One pacer: for document frames, or for presence.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    kind: Kind,
    next: Millis,
    /// How long the last interval was.
    interval: Millis,
}

impl Pace {
    /// For document frames.
    #[must_use]
    pub const fn document() -> Self {
        Self { kind: Kind::Document, next: 0, interval: 0 }
    }

    /// For presence.
    #[must_use]
    pub const fn presence() -> Self {
        Self { kind: Kind::Presence, next: 0, interval: 0 }
    }

    /// When something that waits now may be sent.
    #[must_use]
    pub const fn due(&self) -> Millis {
        self.next
    }

    /// Until when edits that have come by `now` gather before they are stored, if they do.
    #[must_use]
    pub const fn gather_until(&self, now: Millis) -> Option<Millis> {
        let until = self.next.saturating_sub(STORED_AHEAD);
        if self.interval >= GATHER_FROM && now < until { Some(until) } else { None }
    }

    /// Notes that a frame was sent to `peers`.
    pub fn sent(&mut self, now: Millis, peers: usize) {
        self.interval = self.interval_for(peers);
        self.next = now + self.interval;
    }

    fn interval_for(&self, peers: usize) -> Millis {
        match self.kind {
            Kind::Document => {
                let class =
                    (MIN_INTERVAL + (peers / PEERS_PER_MILLI) as Millis).min(CLASS_INTERVAL);
                class.max((peers * PER_THOUSAND / 1_000) as Millis).min(MAX_INTERVAL)
            }
            Kind::Presence => {
                let for_crowd = 4 * (peers / PEERS_PER_PRESENCE_STEP) as Millis;
                (MIN_PRESENCE_INTERVAL + for_crowd).min(MAX_PRESENCE_INTERVAL)
            }
        }
    }
}

#[cfg(test)]
mod tests;
