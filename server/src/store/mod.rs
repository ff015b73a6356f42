//! What must a place to keep logs promise?
//!
//! Documents and ledgers are both logs, so there is one small contract with numbered clauses; every store passes the same
//! contract tests, and each test names the clause it holds.
//!
//! - **S1** `append` resolves `Ok` only when the entry is durable in the class the store reports by `durability`.
//! - **S2** Positions of a log are dense: 1, 2, 3 … in the order of appends. `Position(0)` is "before the first".
//! - **S3** With [`Expect::Head`], `append` succeeds only if the log's head is exactly there, otherwise `Conflict` and nothing is written. The retry of an
//!   append that succeeded (S4) finds its success, not a conflict with itself.
//! - **S4** An append repeated with the same `EntryId` (a retry whose first outcome was unknown) is written once and returns the
//!   first position, as long as fewer than [`REMEMBERED_IDS`] entries have followed it in that log, and no longer than [`REMEMBERED_FOR`] ago.
//! - **S5** An `Err` other than `Unknown` means that nothing was written and nothing will be.
//! - **S6** `read(log, after)` returns what follows `after` in order, without a hole. If compaction has trimmed past `after`, the
//!   newest snapshot is returned with the entries that follow it; entries are never silently missed. A log nobody has written is empty, not an error.
//! - **S7** Answers of `read` are bounded: at most [`READ_PAGE_BYTES`] of entries (but at least one entry) a page; `more` says there is another page.
//! - **S8** `compact` stores the snapshot, reads it back and compares it, and only then lets the entries it covers go. A snapshot that covers
//!   less than the newest stored one, or nothing, or more than the log's head, is refused (`Stale`, `Ahead`) and changes nothing. One that covers
//!   the same as the newest replaces it.
//! - **S9** The last [`KEPT_SNAPSHOTS`] snapshots and the entries since the oldest of them are kept: when the newest snapshot does not pass its
//!   checksum, `read` falls back to the one before it and the entries since, and says so in the log.
//! - **S10** Every stored record carries a checksum. A record that does not match sets that log aside (`Corrupt`), and only that log.
//!   The first call that meets the damage says `Corrupt`, later ones `Quarantined`.
//! - **S11** `quarantine` sets a log aside (the first reason stays): `append`, `read` and `compact` answer `Quarantined` with the reason until `release`; `read_raw` still reads all
//!   that can be read.
//! - **S12** `delete` removes the log, its snapshots and its marks; afterwards the log reads as never written.
//! - **S13** `list(prefix)` returns names in byte order, in pages.
//! - **S14** Appends to different logs do not wait for each other's readers, and `read` never waits for an append in flight.
//! - **S15** Blobs are put whole, read back whole, checked by checksum, and deleted. They are not logs: `list` does not name them.
//! - **S16** `follow` resolves when the log is known to be elsewhere than at the reader's bookmark because of *other* instances. It is a hint, and may
//!   come late (at most [`FOLLOW_POLL`] plus the store's answer) or once too often; the log stays the truth.
//! - **S17** `loaded` says that a log was read and applied without harm: what the store remembers of crashes with it is forgotten.
//! - **S18** A store whose log can go back in time (a replica was promoted that lacked the last entries, an old file was put back) lets its readers
//!   notice: a place in a log is known by the id of the entry that stands there. An append with [`Expect::Seen`], a read and a compaction compare
//!   it in the same atomic step, and answer `Rewound` where another entry, or none, stands there; nothing is written then. An append whose place
//!   was trimmed away cannot be compared and is answered so too; a read is answered with a snapshot. A store that cannot go back gives no ids and
//!   never says so.
//! - **S19** `import` puts a whole log, as `read_raw` gave it elsewhere, where no log of that name is: the same places, bytes, ids where they are known, damage and
//!   mark. It is there as a whole or not at all. Where there is a log, `Conflict`, and records that do not make one, `Corrupt`; nothing is written then.
//! - **S20** `list_blobs` returns the names of blobs in byte order, in pages.

mod checksum;
mod contents;
pub mod crash;
pub mod marks;
pub mod redis;
pub mod sim;
pub mod sqlite;

pub use contents::{Contents, Shape};

use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// How many recent entry ids a log remembers for S4: more than any instance has in flight for one log.
pub const REMEMBERED_IDS: usize = 1024;

/// S4: no caller tries the same append again for longer than this; its edits are its clients' again by then.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// S16: a lost hint is noticed within this time. Short enough that two people on two instances hardly notice, and a thousand open logs cost two
/// hundred small questions a second.
pub const FOLLOW_POLL: Duration = Duration::from_secs(4);

/// S7: one page of entries. Bytes.
pub const READ_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// S9: how many generations of snapshots stay.
pub const KEPT_SNAPSHOTS: usize = 3;

/// An instance that has heard nothing from its store for so long stops serving: a right that was taken away elsewhere must not live on here.
pub const OUT_OF_TOUCH: Duration = Duration::from_secs(10);

/// The largest entry a store takes: a batch of an initial sync with its envelope. Bytes.
pub const MAX_ENTRY: usize = 20 * 1024 * 1024;

/// The longest log name: a document name and its prefix. Bytes.
pub const MAX_LOG_NAME: usize = 600;

/// The name of a log. Compared bytewise; no control characters; 1 to [`MAX_LOG_NAME`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName(std::sync::Arc<str>);

/// A log name that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log name is 1 to {MAX_LOG_NAME} bytes without control characters")]
pub struct BadLogName;

impl LogName {
    /// Checks the name.
    pub fn new(name: &str) -> Result<Self, BadLogName> {
        if name.is_empty() || name.len() > MAX_LOG_NAME || name.chars().any(char::is_control) {
            return Err(BadLogName);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a log: entry number, dense from 1 (S2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Names one append, so that a retry is written once (S4), and afterwards the entry, so that another one in its place is noticed (S18). Random,
/// made by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryId(pub u128);

/// A place in a log, and what stood there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// The last entry read.
    pub position: Position,
    /// Its id. `None` where it is not known: anything may stand there.
    pub id: Option<EntryId>,
}

impl Bookmark {
    /// Before the first entry.
    pub const START: Self = Self { position: Position::START, id: None };

    /// A place where anything may stand.
    #[must_use]
    pub const fn at(position: Position) -> Self {
        Self { position, id: None }
    }
}

/// What an append wants to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The log's head, exactly (S3).
    Head(Position),
    /// What the caller has read so far is still there (S18); others may have appended since.
    Seen(Bookmark),
}

impl Expect {
    /// The head wanted by a caller that wants exactly one.
    #[must_use]
    pub const fn head(self) -> Option<Position> {
        match self {
            Self::Head(head) => Some(head),
            Self::Seen(_) => None,
        }
    }
}

/// One stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What it was appended as, from stores that tell (S18).
    pub id: Option<EntryId>,
    /// What the caller stored.
    pub bytes: Bytes,
}

/// A state that stands for all entries up to and including `covers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry it contains.
    pub covers: Position,
    /// The id of that entry, where it is known: a snapshot of a log that went back in time must not replace what others wrote since (S18).
    pub last: Option<EntryId>,
    /// What the caller stored.
    pub bytes: Bytes,
}

/// One page of a log (S6, S7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Present when the reader's position was trimmed away: start from this instead.
    pub snapshot: Option<Snapshot>,
    /// What follows, without a hole.
    pub entries: Vec<Entry>,
    /// Whether another page follows the last entry.
    pub more: bool,
}

/// How safe an `Ok` of `append` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage (fsync) before `Ok`.
    Fsync,
    /// Taken by the primary and by so many of its replicas before `Ok`.
    Replicated(u8),
    /// In memory only: gone with the process.
    Memory,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("fsync"),
            Self::Replicated(replicas) => write!(f, "replicated={replicas}"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// Why an append, read or compaction did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// S3: the log has moved on; read again from where you were.
    #[error("the log has moved on to {head:?}")]
    Conflict {
        /// Where the log is now.
        head: Position,
    },
    /// S8: a newer snapshot is already there.
    #[error("a newer snapshot covers {newest:?}")]
    Stale {
        /// What the stored one covers.
        newest: Position,
    },
    /// S8: the snapshot claims entries the log does not have.
    #[error("the log ends at {head:?}")]
    Ahead {
        /// Where the log is now.
        head: Position,
    },
    /// S18: another entry, or none, stands where the caller has read one: the log went back in time.
    #[error("the log went back in time: it ends at {head:?}")]
    Rewound {
        /// Where the log is now.
        head: Position,
    },
    /// No room: retry later, reading goes on.
    #[error("the storage is full")]
    Full,
    /// The store is not answering: retry later with the same id.
    #[error("the storage is away: {0}")]
    Away(String),
    /// The outcome is unknown: retry with the same id (S4).
    #[error("the storage did not say whether it wrote")]
    Unknown,
    /// S10: a record does not match its checksum; the log is set aside.
    #[error("a stored record is damaged: {0}")]
    Corrupt(String),
    /// S11: the log is set aside.
    #[error("the log is set aside: {0}")]
    Quarantined(String),
    /// The entry is larger than [`MAX_ENTRY`].
    #[error("an entry of {0} bytes is too large")]
    TooLarge(usize),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full | Self::Away(_) | Self::Unknown)
    }
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its name.
    pub name: LogName,
    /// Its head.
    pub head: Position,
    /// What the newest snapshot covers.
    pub snapshot: Option<Position>,
    /// Bytes of entries and the newest snapshot.
    pub bytes: u64,
    /// Milliseconds since the Unix epoch of the last append.
    pub changed_at: u64,
    /// Why it is set aside, if it is.
    pub quarantined: Option<String>,
}

/// One record as it lies in the store, readable or not (S11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Where it stands.
    pub position: Position,
    /// Whether it is a snapshot that covers `position`, or the entry there.
    pub is_snapshot: bool,
    /// What it was appended as, or the last entry a snapshot covers was, where the store still knows (S18).
    pub id: Option<EntryId>,
    /// Its bytes, whatever they are.
    pub bytes: Bytes,
    /// Whether the checksum matches.
    pub intact: bool,
}

/// The contract. See the numbered clauses above.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// How safe an `Ok` is (S1).
    fn durability(&self) -> Durability;
    /// Whether appends can be expected to succeed now; the reason when not. Readiness shows it.
    fn health(&self) -> Result<(), StoreError>;
    /// For how long the store has not answered at all. An instance that has lost touch for [`OUT_OF_TOUCH`] serves nobody any more: rights may have
    /// changed meanwhile. `None` while it answers, and for stores in the same process.
    fn out_of_touch(&self) -> Option<Duration> {
        None
    }
    /// Appends one entry (S1 to S5, S18).
    async fn append(
        &self,
        log: &LogName,
        expected: Option<Expect>,
        id: EntryId,
        entry: Bytes,
    ) -> Result<Position, StoreError>;
    /// Reads one page (S6, S7, S18).
    async fn read(&self, log: &LogName, after: Bookmark) -> Result<Page, StoreError>;
    /// Replaces entries by a snapshot (S8, S9, S18).
    async fn compact(&self, log: &LogName, snapshot: Snapshot) -> Result<(), StoreError>;
    /// Sets a log aside (S11).
    async fn quarantine(&self, log: &LogName, reason: &str) -> Result<(), StoreError>;
    /// Takes a log back into service (S11).
    async fn release(&self, log: &LogName) -> Result<(), StoreError>;
    /// Everything that lies there, for export and verification (S11).
    async fn read_raw(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError>;
    /// Removes a log (S12).
    async fn delete(&self, log: &LogName) -> Result<(), StoreError>;
    /// Names in byte order after `after`, at most `limit` (S13).
    async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError>;
    /// Logs with this prefix, most recently changed first, at most `limit`.
    async fn recent(&self, prefix: &str, limit: usize) -> Result<Vec<LogInfo>, StoreError>;
    /// Resolves when `log` is known to be elsewhere than at `seen` (S16). Pending for ever where there is only one instance.
    async fn follow(&self, log: &LogName, seen: Bookmark);
    /// Stores a blob (S15).
    async fn put_blob(&self, name: &LogName, bytes: Bytes) -> Result<(), StoreError>;
    /// Reads a blob (S15).
    async fn get_blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError>;
    /// Removes a blob (S15).
    async fn delete_blob(&self, name: &LogName) -> Result<(), StoreError>;
    /// Names of blobs in byte order after `after`, at most `limit` (S20).
    async fn list_blobs(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, StoreError>;
    /// Puts a whole log where none of that name is (S19).
    async fn import(&self, log: &LogName, contents: Contents) -> Result<(), StoreError>;
    /// Notes that a log was read and applied without harm (S17). A store that remembers no crashes has nothing to do.
    async fn loaded(&self, _log: &LogName) -> Result<(), StoreError> {
        Ok(())
    }
    /// Stops taking appends, makes everything taken durable, closes files.
    async fn close(&self);
}
