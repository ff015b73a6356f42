//! How many WebSockets may begin, and who has been told "no" already?
//!
//! Refusing at the upgrade costs a few microseconds; accepting and closing costs a WebSocket, and makes older y-websocket clients come back
//! every 100 ms, because they reset their delay when a socket opens.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// New WebSockets a second when everybody comes back at once: 5,000 clients are in within ten seconds, and joins keep up.
const UPGRADES_PER_SECOND: u32 = 500;

/// New WebSockets that may come at once after a quiet time: a full plenary.
const UPGRADE_BURST: u32 = 1000;

/// How long a permanent refusal is remembered. A person who fixes the cause (a new token, a released document) waits no longer than this.
const REFUSAL_REMEMBERED: Duration = Duration::from_secs(30);

/// Refusals remembered at once. When there are more, the oldest memory is worth the least, and all that have expired are dropped; if none
/// has, the new one is not remembered and its client is simply refused again the long way.
const REFUSALS_REMEMBERED: usize = 4096;

/// Who may start a WebSocket now.
#[derive(Debug)]
pub(crate) struct UpgradeBudget {
    // Locks are held for a few instructions, never over an await.
    bucket: Mutex<Bucket>,
    refused: Mutex<HashMap<u64, Instant>>,
    /// Keys of `refused` are hashes under a secret, so that nobody can make them collide.
    hasher: RandomState,
}

#[derive(Debug)]
struct Bucket {
    /// When the bucket will be full again if nothing is taken.
    full_at: Instant,
}

impl UpgradeBudget {
    pub(crate) fn new() -> Self {
        Self {
            bucket: Mutex::new(Bucket { full_at: Instant::now() }),
            refused: Mutex::new(HashMap::new()),
            hasher: RandomState::new(),
        }
    }

    /// Takes one upgrade from the budget, or says how long to wait.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / UPGRADES_PER_SECOND;
        let now = Instant::now();
        let mut bucket = held(&self.bucket);
        let full_at = bucket.full_at.max(now) + each;
        let empty_for = full_at.saturating_duration_since(now + each * UPGRADE_BURST);
        if !empty_for.is_zero() {
            return Err(empty_for);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    /// Remembers a refusal that coming back will not change.
    pub(crate) fn remember_refusal(&self, remote: IpAddr, document: &str, token: &str) {
        let key = self.key(remote, document, token);
        let now = Instant::now();
        let mut refused = held(&self.refused);
        if refused.len() >= REFUSALS_REMEMBERED {
            refused.retain(|_, until| *until > now);
        }
        if refused.len() < REFUSALS_REMEMBERED {
            refused.insert(key, now + REFUSAL_REMEMBERED);
        }
    }

    /// Whether this was refused a moment ago.
    pub(crate) fn was_refused(&self, remote: IpAddr, document: &str, token: &str) -> bool {
        let mut refused = held(&self.refused);
        if refused.is_empty() {
            return false;
        }
        let key = self.key(remote, document, token);
        match refused.get(&key) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                refused.remove(&key);
                false
            }
            None => false,
        }
    }

    fn key(&self, remote: IpAddr, document: &str, token: &str) -> u64 {
        self.hasher.hash_one((remote, document, token))
    }
}

/// A panic while one of these locks is held would leave nothing half done: the data are plain numbers.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
