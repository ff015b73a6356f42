//! Which WebSockets are open, and how are they all told to go?

use crate::outbox::Outbox;
use commonplace_protocol::close::CloseCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// At shutdown this many sockets a second are closed, so that the next process is not met by everyone in the same instant …
const CLOSED_PER_SECOND: usize = 500;

/// … unless there are so many that it would take longer than this.
const CLOSING_WINDOW: Duration = Duration::from_secs(12);

/// How often a batch of sockets is closed.
const BATCH_EVERY: Duration = Duration::from_millis(100);

/// All WebSockets of one server.
#[derive(Debug)]
pub(crate) struct Registry {
    most: usize,
    // Held for one insertion or removal; never over an await.
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    next: u64,
    outboxes: HashMap<u64, Outbox>,
    is_closing: bool,
}

/// The right to be one of the connections. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    /// The connection's number in this server.
    pub(crate) number: u64,
}

impl Registry {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, places: Mutex::default() })
    }

    /// A place, if there is one.
    pub(crate) fn take_place(self: &Arc<Self>) -> Option<Place> {
        let mut places = self.places();
        if places.taken >= self.most || places.is_closing {
            return None;
        }
        places.taken += 1;
        places.next += 1;
        Some(Place { registry: Arc::clone(self), number: places.next })
    }

    /// Closes every socket with 1012, a few at a time, in no particular order. Those that open meanwhile are closed at once.
    pub(crate) async fn close_all(&self) {
        let outboxes: Vec<Outbox> = {
            let mut places = self.places();
            places.is_closing = true;
            places.outboxes.drain().map(|(_, outbox)| outbox).collect()
        };
        let batches_a_second =
            usize::try_from(Duration::from_secs(1).as_millis() / BATCH_EVERY.as_millis())
                .unwrap_or(1);
        let batches =
            usize::try_from(CLOSING_WINDOW.as_millis() / BATCH_EVERY.as_millis()).unwrap_or(1);
        let batch = (CLOSED_PER_SECOND / batches_a_second).max(outboxes.len().div_ceil(batches));
        let mut first = true;
        for batch in outboxes.chunks(batch) {
            if !std::mem::take(&mut first) {
                tokio::time::sleep(BATCH_EVERY).await;
            }
            batch.iter().for_each(say_goodbye);
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Nothing panics while the lock is held, and if it did, the map would still be a map.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Makes the connection known to `close_all`.
    pub(crate) fn register(&self, outbox: &Outbox) {
        let mut places = self.registry.places();
        if places.is_closing {
            say_goodbye(outbox);
        } else {
            places.outboxes.insert(self.number, outbox.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.registry.places();
        places.taken -= 1;
        places.outboxes.remove(&self.number);
    }
}

fn say_goodbye(outbox: &Outbox) {
    if outbox.close(CloseCode::RESTART, "the server is restarting").is_err() {
        tracing::trace!("a connection has gone before it could be told to");
    }
}

#[cfg(test)]
mod tests;
