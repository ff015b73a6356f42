//! What time is it? The only place of the server that asks.

use crate::room::event::Now;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::{Duration, Instant};

/// Clocks for the task layer. The monotonic one follows tokio's, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    /// Both clocks, now.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            mono: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall: wall_millis(),
        }
    }

    /// The instant that stands for a time of [`Now::mono`].
    #[must_use]
    pub fn instant(&self, mono: u64) -> Instant {
        self.start + Duration::from_millis(mono)
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn wall_millis() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the task layer's one look at the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
