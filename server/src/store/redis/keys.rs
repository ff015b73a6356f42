//! What is every key and channel in Redis called?
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<prefix>:{<log>}:log` | stream | the entries. The id of entry *n* is `n-e`, where *e* is the log's epoch; fields `i` its [`EntryId`](crate::store::EntryId), `t` when, `c` its checksum, `s` the bytes of all entries before it, `b` its bytes |
//! | `<prefix>:{<log>}:meta` | hash | `head`, `last` (the id of the entry there), `life` (the id of the first entry), `trimmed`, `total` and `base` (bytes ever written, and trimmed), `at` (of the last append), `snaps` (one line for each snapshot, newest first), `aside` (why it is set aside), `crashes`, `epoch` (how often it went back in time, as far as that was noticed) and `rewound_at` (when that was) |
//! | `<prefix>:{<log>}:ids` | sorted set | the ids of the last appends with their positions (S4); expires |
//! | `<prefix>:{<log>}:snap:<object>` | hash | the pieces of one snapshot. Expires until it is sealed, so that a compaction that dies leaves nothing |
//! | `<prefix>:{<log>}:new:<object>` | stream | the entries of a log that is put here as a whole (S19); expires until it is done |
//! | `<prefix>:{<name>}:blob` | hash | a blob: its length, checksum and pieces |
//! | `<prefix>:{<name>}:blob:<object>` | hash | a blob that is being written; expires |
//! | `<prefix>:{index}:names` | sorted set | the names of all logs, in byte order (every score is 0) |
//! | `<prefix>:{index}:blobs` | sorted set | the names of all blobs, in byte order |
//! | `<prefix>:{index}:recent` | sorted set | the names of all logs, by when they were last changed, give or take some seconds |
//! | `<prefix>:{index}:probe` | string | written to find out whether Redis takes writes again; expires |
//!
//! | channel (sharded) | says |
//! |---|---|
//! | `<prefix>:{<log>}:hint` | an entry was appended: by which instance, where, and its id |
//! | `<prefix>:{<log>}:bus` | what instances tell each other about a document and never store |
//! | `<prefix>:{index}:bus` | the same about everything else |
//!
//! The braces are Redis Cluster's: all keys and channels of a log live in the same slot, so one script may touch them all. A name in
//! braces has its own braces (and percent signs) escaped, so that no name can end the tag early. The endings of a log's keys and of the
//! index' are different, so a log that is called `index` harms nobody. A Redis user needs no more than `~<prefix>:*` and `&<prefix>:*`.

use crate::store::LogName;
use std::fmt;
use std::sync::Arc;

/// The prefix of every key and channel, unless told otherwise.
pub const DEFAULT_PREFIX: &str = "commonplace";

/// The longest prefix. It is part of every key, so it should be short. Bytes.
const MAX_PREFIX: usize = 64;

/// A prefix that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a Redis key prefix is 1 to {MAX_PREFIX} letters, digits or any of the characters . _ - : /"
)]
pub struct BadPrefix;

/// Makes the names of keys and channels.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// Checks the prefix.
    pub fn new(prefix: &str) -> Result<Self, BadPrefix> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(usable) {
            return Err(BadPrefix);
        }
        Ok(Self { prefix: prefix.into() })
    }

    /// The keys and channels of one log, or of the blob of that name.
    #[must_use]
    pub fn of(&self, log: &LogName) -> LogKeys {
        let mut base = format!("{}:{{", self.prefix);
        for character in log.as_str().chars() {
            match character {
                '%' => base.push_str("%25"),
                '{' => base.push_str("%7B"),
                '}' => base.push_str("%7D"),
                other => base.push(other),
            }
        }
        base.push_str("}:");
        LogKeys { base }
    }

    /// The names of all logs, in byte order.
    #[must_use]
    pub fn names(&self) -> String {
        self.index("names")
    }

    /// The names of all blobs, in byte order.
    #[must_use]
    pub fn blobs(&self) -> String {
        self.index("blobs")
    }

    /// The names of all logs, by their last change.
    #[must_use]
    pub fn recent(&self) -> String {
        self.index("recent")
    }

    /// Written to find out whether writing works.
    #[must_use]
    pub fn probe(&self) -> String {
        self.index("probe")
    }

    /// The channel on which instances speak to each other about everything that is not one document.
    #[must_use]
    pub fn bus(&self) -> String {
        self.index("bus")
    }

    fn index(&self, end: &str) -> String {
        format!("{}:{{index}}:{end}", self.prefix)
    }
}

/// The keys and channels of one log.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKeys {
    base: String,
}

impl LogKeys {
    /// The stream of entries.
    #[must_use]
    pub fn log(&self) -> String {
        self.end("log")
    }

    /// Where the log is.
    #[must_use]
    pub fn meta(&self) -> String {
        self.end("meta")
    }

    /// The ids of the last appends.
    #[must_use]
    pub fn ids(&self) -> String {
        self.end("ids")
    }

    /// What the keys of the log's snapshots begin with: the object's name follows.
    #[must_use]
    pub fn snapshots(&self) -> String {
        self.end("snap:")
    }

    /// One snapshot.
    #[must_use]
    pub fn snapshot(&self, object: &str) -> String {
        format!("{}snap:{object}", self.base)
    }

    /// The entries of a log that is being put here as a whole.
    #[must_use]
    pub fn staged(&self, object: &str) -> String {
        format!("{}new:{object}", self.base)
    }

    /// A blob.
    #[must_use]
    pub fn blob(&self) -> String {
        self.end("blob")
    }

    /// A blob that is being written.
    #[must_use]
    pub fn new_blob(&self, object: &str) -> String {
        format!("{}blob:{object}", self.base)
    }

    /// The channel that says that an entry was appended.
    #[must_use]
    pub fn hint(&self) -> String {
        self.end("hint")
    }

    /// The channel on which instances speak about this document.
    #[must_use]
    pub fn bus(&self) -> String {
        self.end("bus")
    }

    fn end(&self, end: &str) -> String {
        format!("{}{end}", self.base)
    }
}

impl fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.base)
    }
}

#[cfg(test)]
mod tests;
