//! How does an instance notice what others append?
//!
//! A hint comes with every append, over pub/sub, and may get lost. So the end of every log that is followed is also asked for every
//! [`FOLLOW_POLL`], all of them in a few pipelines, and at once when a hint may have been missed. What is found wakes whoever has read
//! something else.

use super::hub::{Heard, Hub, Listening};
use super::keys::Keys;
use super::link::Line;
use super::record::id_of;
use super::scripts::number;
use crate::store::{Bookmark, EntryId, FOLLOW_POLL, LogName, Position};
use redis::{Pipeline, Value};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant};

/// How many ends are asked for together.
const TOGETHER: usize = 256;

/// How many of our own last appends are remembered for each log, so that they are no news: as many as are in flight for one log, and some.
const OWN_IDS: usize = 64;

/// How long a log stays followed after the last follower: one that reads a page comes back.
const LINGER: Duration = Duration::from_secs(30);

/// Follows logs.
#[derive(Clone)]
pub(crate) struct Tails(Arc<Inner>);

struct Inner {
    keys: Keys,
    hub: Hub,
    /// Which hints are our own.
    instance: String,
    /// A short critical section.
    tails: Mutex<HashMap<LogName, Arc<Tail>>>,
    /// Some tail wants to be looked at now.
    due: Arc<Notify>,
    /// How many polls have begun: an end that was asked for before a reader looked proves nothing to it.
    polls: AtomicU64,
}

struct Tail {
    end: watch::Sender<End>,
    is_due: AtomicBool,
    /// Since when nobody follows. The sender's receivers are the followers.
    idle_since: Mutex<Option<Instant>>,
    /// Stops listening with the tail.
    listening: Mutex<Option<Listening>>,
}

/// The end of a log, as far as is known here.
#[derive(Clone, Debug, Default)]
struct End {
    latest: Option<Bookmark>,
    /// The poll that found it; 0 for a hint.
    poll: u64,
    own: VecDeque<EntryId>,
}

impl End {
    /// Whether a reader at `seen`, who began to follow when `polls` had begun, has something to read.
    fn is_elsewhere(&self, seen: Bookmark, polls: u64) -> bool {
        let Some(latest) = self.latest else { return false };
        if latest.position > seen.position {
            // Our own appends are told to whoever made them, with their positions. But whoever made one may have given it up before it was written,
            // and still lack it when somebody looks again.
            return !latest.id.is_some_and(|id| self.own.contains(&id)) || self.poll > polls;
        }
        let differs = latest.position < seen.position
            || latest.id.zip(seen.id).is_some_and(|(one, other)| one != other);
        differs && self.poll > polls
    }
}

impl Tail {
    fn hint(&self, instance: &str, message: &[u8]) {
        let mut words = message.splitn(3, |byte| *byte == b' ');
        let (Some(from), Some(position), Some(id)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let position = std::str::from_utf8(position).ok().and_then(|text| text.parse().ok());
        let (Some(position), Some(id)) = (position, id_of(id)) else { return };
        if from == instance.as_bytes() {
            return;
        }
        let found = Bookmark { position: Position(position), id: Some(id) };
        self.end.send_if_modified(|end| {
            let is_news = end.latest.is_none_or(|latest| latest.position < found.position);
            if is_news {
                (end.latest, end.poll) = (Some(found), 0);
            }
            is_news
        });
    }

    fn own(&self, id: EntryId) {
        self.end.send_if_modified(|end| {
            if end.own.len() >= OWN_IDS {
                end.own.pop_front();
            }
            end.own.push_back(id);
            false
        });
    }
}

impl Tails {
    pub(crate) fn new(keys: Keys, hub: Hub, instance: String) -> Self {
        Self(Arc::new(Inner {
            keys,
            hub,
            instance,
            tails: Mutex::default(),
            due: Arc::new(Notify::new()),
            polls: AtomicU64::new(0),
        }))
    }

    /// S16.
    // Cancel safety: nothing is taken; a tail stays for a while and is found again.
    pub(crate) async fn follow(&self, log: &LogName, seen: Bookmark) {
        // Before anything else, so that what is found from now on counts.
        let polls = self.0.polls.load(Ordering::SeqCst);
        let (tail, mut end) = self.tail(log);
        if end.wait_for(|end| end.is_elsewhere(seen, polls)).await.is_err() {
            // The sender lives in `tail`, so this does not happen.
            std::future::pending::<()>().await;
        }
        drop(tail);
    }

    /// Notes an append of our own, before it is sent.
    pub(crate) fn appending(&self, log: &LogName, id: EntryId) {
        if let Some(tail) = self.0.tails().get(log) {
            tail.own(id);
        }
    }

    /// What was known about this log's end may be of another time (S18): look again.
    pub(crate) fn doubt(&self, log: &LogName) {
        if let Some(tail) = self.0.tails().get(log) {
            tail.end.send_if_modified(|end| {
                end.latest = None;
                false
            });
            self.0.look(tail);
        }
    }

    fn tail(&self, log: &LogName) -> (Arc<Tail>, watch::Receiver<End>) {
        let made = {
            let mut tails = self.0.tails();
            if let Some(tail) = tails.get(log) {
                *lock(&tail.idle_since) = None;
                return (Arc::clone(tail), tail.end.subscribe());
            }
            let tail = Arc::new(Tail {
                end: watch::Sender::new(End::default()),
                is_due: AtomicBool::new(false),
                idle_since: Mutex::new(None),
                listening: Mutex::new(None),
            });
            tails.insert(log.clone(), Arc::clone(&tail));
            tail
        };
        let end = made.end.subscribe();
        let (tail, due, instance) =
            (Arc::downgrade(&made), Arc::clone(&self.0.due), self.0.instance.clone());
        let heard = move |heard| {
            let Some(tail) = Weak::upgrade(&tail) else { return };
            match heard {
                Heard::Message(message) => tail.hint(&instance, &message),
                Heard::Missed => {
                    tail.is_due.store(true, Ordering::SeqCst);
                    due.notify_one();
                }
            }
        };
        let listening = self.0.hub.listen_with(&self.0.keys.of(log).hint(), Arc::new(heard));
        *lock(&made.listening) = Some(listening);
        self.0.look(&made);
        (made, end)
    }

    /// Looks at ends until aborted.
    pub(crate) async fn run(&self, line: &Line) {
        let inner = &self.0;
        let mut next = Instant::now() + between_polls();
        loop {
            let everything = tokio::select! {
                // Cancel safety: `is_due` says which.
                () = inner.due.notified() => false,
                () = tokio::time::sleep_until(next) => true,
            };
            if everything {
                next = Instant::now() + between_polls();
                inner.sweep();
            }
            let ours: Vec<(LogName, Arc<Tail>)> = {
                let tails = inner.tails();
                let wanted = tails.iter().filter(|(_, tail)| {
                    let was_due = tail.is_due.swap(false, Ordering::SeqCst);
                    was_due || everything
                });
                wanted.map(|(log, tail)| (log.clone(), Arc::clone(tail))).collect()
            };
            for some in ours.chunks(TOGETHER) {
                inner.look_at(line, some).await;
            }
        }
    }
}

impl fmt::Debug for Tails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tails").field("followed", &self.0.tails().len()).finish()
    }
}

impl Inner {
    fn tails(&self) -> MutexGuard<'_, HashMap<LogName, Arc<Tail>>> {
        lock(&self.tails)
    }

    fn look(&self, tail: &Tail) {
        tail.is_due.store(true, Ordering::SeqCst);
        self.due.notify_one();
    }

    async fn look_at(&self, line: &Line, some: &[(LogName, Arc<Tail>)]) {
        let poll = self.polls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut asks = Pipeline::with_capacity(some.len());
        for (log, _) in some {
            asks.cmd("HMGET").arg(self.keys.of(log).meta()).arg(&["head", "last"]);
        }
        // While Redis is away there is nothing to find; the hub says when it is back.
        let Ok(answers) = line.ask(&asks).await else { return };
        for ((_, tail), answer) in some.iter().zip(answers) {
            let Value::Array(fields) = answer else { continue };
            let position = Position(fields.first().and_then(number).unwrap_or(0));
            let id = match fields.get(1) {
                Some(Value::BulkString(id)) => id_of(id),
                _ => None,
            };
            tail.end.send_modify(|end| {
                // A hint that came while the answer was on its way is newer, unless the log went back: then the next poll says so.
                let is_newer = |latest: Bookmark| latest.position > position && end.poll == 0;
                if !end.latest.is_some_and(is_newer) {
                    end.latest = Some(Bookmark { position, id });
                }
                end.poll = poll;
            });
        }
    }

    /// Lets go of what nobody has followed for a while.
    fn sweep(&self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        self.tails().retain(|_, tail| {
            if tail.end.receiver_count() > 0 {
                *lock(&tail.idle_since) = None;
                return true;
            }
            let since = *lock(&tail.idle_since).get_or_insert(now);
            let keep = now.duration_since(since) < LINGER;
            if !keep {
                // Outside the critical section: it takes the hub's own.
                gone.extend(lock(&tail.listening).take());
            }
            keep
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Instances do not ask in step.
fn between_polls() -> Duration {
    super::link::jittered(FOLLOW_POLL)
}

#[cfg(test)]
mod tests;
