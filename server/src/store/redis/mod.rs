//! How do several instances keep their logs in one Redis?
//!
//! Reading order: `keys` (what everything is called), `scripts` and `scripts/*.lua` (what happens inside Redis, all or nothing), `writer`
//! (when appends are sent and when they count), `read`, `compact`, `object`, `index`, `import` (the other verbs), `tails` and `hub` (what others
//! append and say), `link` and `trouble` (connections, and what their failures mean).
//!
//! The stream of a log is the truth, and its entries are numbered densely by the script that appends them, never by a clock. Pub/sub is
//! a hint. No lock protects anything: each script compares what it finds with what its caller has read.

pub mod check;
pub mod hub;
pub mod keys;

mod compact;
mod import;
mod index;
mod link;
mod object;
mod read;
mod record;
mod scripts;
mod tails;
mod trouble;
mod writer;

pub use hub::{Ear, Heard, Hub};
pub use keys::{BadPrefix, DEFAULT_PREFIX, Keys, LogKeys};
pub use link::BadAddress;

use super::{
    Bookmark, Contents, Durability, EntryId, Expect, LogInfo, LogName, MAX_ENTRY, Page, Position,
    RawRecord, Snapshot, Store, StoreError,
};
use crate::clock::wall_millis;
use async_trait::async_trait;
use bytes::Bytes;
use check::Guard;
use link::{Link, closed};
use record::{entry_sum, id_bytes};
use redis::{Cmd, Value};
use scripts::{Scripts, answer, number, text};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tails::Tails;
use tokio::task::JoinSet;
use trouble::Trouble;
use writer::Queue;

/// A log whose process died this often while applying it is set aside, as in the embedded store.
const CRASHES: u64 = 2;

/// All instances notice one step back within this time: those that missed the hint by their next poll, those that were away when they are back.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// What a Redis user has to be allowed besides the keys and channels of the prefix, in the words of `ACL SETUSER`. Whoever also checks how
/// Redis is set up asks for more.
pub const COMMANDS: &str = "+ping +hello +select +evalsha +script|load +wait +set +exists +expire +persist +rename +unlink \
    +hget +hset +hsetnx +hdel +hmget +hexists +hincrby +xadd +xrange +xtrim \
    +zadd +zrem +zscore +zremrangebyscore +zrangebylex +zrevrange +spublish +ssubscribe +sunsubscribe";

/// How to reach the store.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or, encrypted, `rediss://`, with user, password, host, port and database.
    pub url: String,
    /// What all keys and channels begin with.
    pub prefix: String,
    /// What an acknowledgement promises. Whether this Redis can keep it is for others to check.
    pub durability: Durability,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/".into(),
            prefix: DEFAULT_PREFIX.into(),
            durability: Durability::Fsync,
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address has a password in it.
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// The prefix cannot be used.
    #[error(transparent)]
    Prefix(#[from] BadPrefix),
    /// Nobody there, or it does not take us.
    #[error("cannot use this Redis: {0}")]
    Refused(String),
}

/// The store that several instances share.
pub struct RedisStore {
    keys: Keys,
    link: Arc<Link>,
    scripts: Arc<Scripts>,
    queue: Queue,
    hub: Hub,
    tails: Tails,
    instance: String,
    durability: Durability,
    /// Ends by itself when the queue is closed.
    writer: Mutex<JoinSet<()>>,
    /// Aborted with the store: hub, pulse and tails.
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("keys", &self.keys)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects, and gives Redis the scripts. Needs a runtime, and keeps tasks on it until the store is dropped.
    pub async fn open(options: RedisOptions) -> Result<Arc<Self>, OpenError> {
        Self::open_guarded(options, None).await
    }

    /// The same, and each new connection is looked at: one to a Redis that does not keep what is promised is not used.
    pub async fn open_guarded(
        options: RedisOptions,
        guard: Option<Guard>,
    ) -> Result<Arc<Self>, OpenError> {
        let keys = Keys::new(&options.prefix)?;
        let replicas = match options.durability {
            Durability::Replicated(replicas) => Some(replicas),
            Durability::Fsync | Durability::Memory => None,
        };
        let link = Arc::new(Link::new(&options.url, keys.probe(), replicas, guard.as_ref())?);
        let scripts = Arc::new(Scripts::new());
        scripts.load(&link.writes).await.map_err(refusal)?;
        link.beat().await.map_err(refusal)?;

        let index = (keys.names(), keys.recent());
        let (queue, writer) = Queue::new(Arc::clone(&link), Arc::clone(&scripts), index, replicas);
        let (hub, hub_tasks) = Hub::new(link.client(), link.reads.clone(), link.renewed());
        let instance = format!("{:016x}", rand::random::<u64>());
        let tails = Tails::new(keys.clone(), hub.clone(), instance.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(hub_tasks.run());
        let pulse = Arc::clone(&link);
        tasks.spawn(async move { pulse.watch().await });
        let (looks, line) = (tails.clone(), link.reads.clone());
        tasks.spawn(async move { looks.run(&line).await });
        let mut writing = JoinSet::new();
        writing.spawn(writer.run());
        Ok(Arc::new(Self {
            keys,
            link,
            scripts,
            queue,
            hub,
            tails,
            instance,
            durability: options.durability,
            writer: Mutex::new(writing),
            tasks: Mutex::new(tasks),
        }))
    }

    /// What instances say to each other.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What keys and channels are called.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Names this instance among those that share the store. Another one after every start.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// S17: notes that the process ended while these logs were being applied. One for which that has happened before is set aside.
    pub async fn note_crashes(&self, logs: &[LogName]) -> Result<(), StoreError> {
        for log in logs {
            let (word, parts) =
                self.mark(log, "crashed", "it crashed the server twice", CRASHES).await?;
            let count = parts.first().and_then(number).unwrap_or(0);
            debug_assert_eq!(word, "crashes");
            tracing::warn!(%log, count, "the process ended while this log was being applied");
            if count >= CRASHES {
                tracing::error!(%log, "set aside: it crashed the server twice");
            }
        }
        Ok(())
    }

    /// Runs a script that writes, through the queue: its word and what follows, once enough replicas have it.
    async fn write(&self, call: Cmd) -> Result<(String, Vec<Value>), StoreError> {
        let (value, confirmed) = self.queue.write(call, None, 0).await?;
        let answered = answer(value).map_err(Trouble::reading)?;
        confirmed.map_err(|_| StoreError::Unknown)?;
        Ok(answered)
    }

    /// Says something to all instances that have this log open, and waits until Redis has taken it: for a process that ends after it.
    pub async fn tell(&self, log: &LogName, message: &[u8]) -> Result<(), StoreError> {
        let mut publish = redis::cmd("SPUBLISH");
        publish.arg(self.keys.of(log).bus()).arg(message);
        self.link.reads.ask_one(publish).await.map(drop).map_err(Trouble::writing)
    }

    async fn mark(
        &self,
        log: &LogName,
        verb: &str,
        words: &str,
        count: u64,
    ) -> Result<(String, Vec<Value>), StoreError> {
        let keys = self.keys.of(log);
        let mut call = self.scripts.mark.call(&[keys.log(), keys.meta(), keys.ids()]);
        call.arg(verb).arg(words).arg(count);
        self.write(call).await
    }

    /// Sets a log aside whose record was found damaged (S10), doubts one that went back (S18), and passes the finding on.
    async fn found<T>(
        &self,
        log: &LogName,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &result {
            Err(StoreError::Corrupt(what)) => {
                tracing::error!(%log, what, "a stored record is damaged; the log is set aside");
                if let Err(error) = self.quarantine(log, &format!("damaged: {what}")).await {
                    tracing::error!(%log, %error, "the damaged log could not be marked");
                }
            }
            Err(StoreError::Rewound { head }) => {
                self.raise_epoch(log, *head).await;
                self.tails.doubt(log);
            }
            _ => {}
        }
        result
    }

    /// S18: entries from now on bear another epoch, so that whoever looks at the log sees where it went back.
    async fn raise_epoch(&self, log: &LogName, head: Position) {
        let within = u64::try_from(NOTICED_WITHIN.as_millis()).unwrap_or(u64::MAX);
        match self.mark(log, "rewound", &wall_millis().to_string(), within).await {
            Ok((_, parts)) => {
                let epoch = parts.first().and_then(number).unwrap_or(0);
                tracing::warn!(%log, head = head.0, epoch, "the log went back in time");
            }
            Err(error) => {
                tracing::warn!(%log, head = head.0, %error, "the log went back in time; its epoch stays");
            }
        }
    }

    fn refuse_closed(&self) -> Result<(), StoreError> {
        if self.link.is_closed() { Err(closed()) } else { Ok(()) }
    }

    async fn append_now(
        &self,
        log: &LogName,
        expected: Option<Expect>,
        id: EntryId,
        entry: &Bytes,
    ) -> Result<Position, StoreError> {
        let keys = self.keys.of(log);
        let at = wall_millis();
        let mut call = self.scripts.append.call(&[keys.log(), keys.meta(), keys.ids()]);
        call.arg(id_bytes(Some(id))).arg(at).arg(entry_sum(log, id, at, entry)).arg(&entry[..]);
        match expected {
            None => call.arg("none").arg(0).arg(""),
            Some(Expect::Head(head)) => call.arg("head").arg(head.0).arg(""),
            Some(Expect::Seen(seen)) => {
                call.arg("seen").arg(seen.position.0).arg(id_bytes(seen.id))
            }
        };
        call.arg(super::REMEMBERED_IDS).arg(super::REMEMBERED_FOR.as_secs());
        call.arg(keys.hint()).arg(&self.instance);
        self.tails.appending(log, id);
        let (value, confirmed) = self.queue.write(call, Some(log), entry.len()).await?;
        let (word, parts) = answer(value).map_err(Trouble::writing)?;
        let place = Position(parts.first().and_then(number).unwrap_or(0));
        match word.as_str() {
            // Written, but not as safely as was promised: the retry finds it and waits again.
            "ok" | "known" => confirmed.map(|()| place).map_err(|_| StoreError::Unknown),
            "aside" => {
                Err(StoreError::Quarantined(parts.first().and_then(text).unwrap_or_default()))
            }
            "conflict" => Err(StoreError::Conflict { head: place }),
            "rewound" => Err(StoreError::Rewound { head: place }),
            _ => Err(StoreError::Unknown),
        }
    }

    async fn exists(&self, log: &LogName) -> Result<bool, StoreError> {
        let mut ask = redis::cmd("HEXISTS");
        ask.arg(self.keys.of(log).meta()).arg("head");
        let found = self.link.reads.ask_one(ask).await.map_err(Trouble::reading)?;
        Ok(number(&found) == Some(1))
    }
}

fn refusal(trouble: Trouble) -> OpenError {
    match trouble {
        Trouble::Refused(words)
        | Trouble::NotPrimary(words)
        | Trouble::Lost(words)
        | Trouble::Damaged(words) => OpenError::Refused(words),
        Trouble::Full => OpenError::Refused("it has no memory left".into()),
        Trouble::NoScript => OpenError::Refused("it forgets the scripts it is given".into()),
    }
}

fn take(tasks: &Mutex<JoinSet<()>>) -> JoinSet<()> {
    std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner))
}

#[async_trait]
impl Store for RedisStore {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn health(&self) -> Result<(), StoreError> {
        self.link.health()
    }

    fn out_of_touch(&self) -> Option<Duration> {
        self.link.out_of_touch()
    }

    async fn append(
        &self,
        log: &LogName,
        expected: Option<Expect>,
        id: EntryId,
        entry: Bytes,
    ) -> Result<Position, StoreError> {
        if entry.len() > MAX_ENTRY {
            return Err(StoreError::TooLarge(entry.len()));
        }
        let result = self.append_now(log, expected, id, &entry).await;
        self.found(log, result).await
    }

    async fn read(&self, log: &LogName, after: Bookmark) -> Result<Page, StoreError> {
        self.refuse_closed()?;
        let result = self.page(log, after).await;
        self.found(log, result).await
    }

    async fn compact(&self, log: &LogName, snapshot: Snapshot) -> Result<(), StoreError> {
        self.refuse_closed()?;
        let result = self.replace(log, &snapshot).await;
        self.found(log, result).await
    }

    async fn quarantine(&self, log: &LogName, reason: &str) -> Result<(), StoreError> {
        self.mark(log, "aside", reason, 0).await.map(drop)
    }

    async fn release(&self, log: &LogName) -> Result<(), StoreError> {
        self.mark(log, "release", "", 0).await.map(drop)
    }

    async fn read_raw(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError> {
        self.refuse_closed()?;
        self.raw(log).await
    }

    async fn delete(&self, log: &LogName) -> Result<(), StoreError> {
        self.mark(log, "delete", &self.keys.of(log).snapshots(), 0).await?;
        self.index(log, false).await?;
        // Somebody may have begun it again in between; whoever does so later puts it into the index after this.
        if self.exists(log).await? {
            self.index(log, true).await?;
        }
        self.tails.doubt(log);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError> {
        self.refuse_closed()?;
        self.names(prefix, after, limit).await
    }

    async fn recent(&self, prefix: &str, limit: usize) -> Result<Vec<LogInfo>, StoreError> {
        self.refuse_closed()?;
        self.newest(prefix, limit).await
    }

    async fn follow(&self, log: &LogName, seen: Bookmark) {
        self.tails.follow(log, seen).await;
    }

    async fn put_blob(&self, name: &LogName, bytes: Bytes) -> Result<(), StoreError> {
        self.refuse_closed()?;
        self.put_named_blob(name, &bytes).await
    }

    async fn get_blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        self.refuse_closed()?;
        self.find_blob(name).await
    }

    async fn delete_blob(&self, name: &LogName) -> Result<(), StoreError> {
        self.refuse_closed()?;
        self.drop_blob(name).await
    }

    async fn list_blobs(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, StoreError> {
        self.refuse_closed()?;
        self.blob_names(after, limit).await
    }

    async fn import(&self, log: &LogName, contents: Contents) -> Result<(), StoreError> {
        self.refuse_closed()?;
        self.import_whole(log, contents).await
    }

    async fn loaded(&self, log: &LogName) -> Result<(), StoreError> {
        // Nearly always there is nothing to forget, and then nothing is written.
        let mut forget = redis::cmd("HDEL");
        forget.arg(self.keys.of(log).meta()).arg("crashes");
        self.link.reads.ask_one(forget).await.map(drop).map_err(Trouble::writing)
    }

    async fn close(&self) {
        self.queue.close();
        let mut writer = take(&self.writer);
        // What waits is written, or told that it was not.
        while writer.join_next().await.is_some() {}
        self.link.close();
        take(&self.tasks).abort_all();
    }
}
