//! How do logs lie in the database file, and how is every connection to it set?
//!
//! | table | one row is | key |
//! |---|---|---|
//! | `meta` | a fact about the whole database: its id, the next number, how many logs there are | key |
//! | `logs` | a log: its number, its head, what was trimmed, its newest snapshot | name |
//! | `entries` | an entry, with its checksum | log number, position |
//! | `ids` | which append made which entry (S4) | log number, entry id |
//! | `snapshots` | a generation of a log's snapshot (S9) | log number, what it covers |
//! | `blobs` | a blob (S15) | name |
//! | `parts` | a piece of a snapshot or blob: large objects are written in pieces so that appends never wait long | object number, piece |
//! | `garbage` | a number whose rows may be removed at any time: an object not finished yet, or replaced, or of a deleted log | number |
//! | `quarantine` | a log set aside, with the reason (S11) | name |
//! | `crashes` | how often a log was being applied when the process died | name |
//!
//! Logs and objects are numbered from one counter and no number is used twice.

use crate::store::LogName;
use crate::store::checksum::Sum;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};
use std::time::Duration;

/// "CmnP": tells our files from other SQLite files.
pub(crate) const APPLICATION_ID: i32 = 0x436d_6e50;

/// The layout below. A change gets the next number and a step in `open`; an older program refuses a newer number.
pub(crate) const SCHEMA: i32 = 1;

/// Pieces of large objects. Small enough that writing one delays an append by about a millisecond. Bytes.
pub(crate) const PART_BYTES: usize = 512 * 1024;

/// How long a connection waits for a lock. Only another program that opened the file can hold one: long enough for a glance
/// with the `sqlite3` shell, short enough to notice.
const BUSY: Duration = Duration::from_secs(5);

/// The writer's page cache: holds the hot ends of some thousand logs. KiB.
const CACHE_KIB: i32 = 16 * 1024;

/// The tables, in the order of the table above.
pub(crate) const TABLES: [&str; 10] = [
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE logs (name TEXT PRIMARY KEY, id INTEGER NOT NULL, identity INTEGER NOT NULL, head INTEGER NOT NULL, trimmed INTEGER NOT NULL, snapshot INTEGER NOT NULL, entry_bytes INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, changed_at INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE entries (log INTEGER NOT NULL, position INTEGER NOT NULL, at INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (log, position)) STRICT, WITHOUT ROWID",
    "CREATE TABLE ids (log INTEGER NOT NULL, id BLOB NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (log, id)) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshots (log INTEGER NOT NULL, covers INTEGER NOT NULL, object INTEGER NOT NULL, length INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (log, covers)) STRICT, WITHOUT ROWID",
    "CREATE TABLE blobs (name TEXT PRIMARY KEY, object INTEGER NOT NULL, length INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE parts (object INTEGER NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (object, part)) STRICT, WITHOUT ROWID",
    "CREATE TABLE garbage (id INTEGER PRIMARY KEY) STRICT",
    "CREATE TABLE quarantine (name TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE crashes (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID",
];

/// Waits for other programs' locks for a while.
pub(crate) fn be_patient(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)
}

/// Settings that every connection to the file gets, reading or writing.
pub(crate) fn settle(connection: &Connection) -> rusqlite::Result<()> {
    be_patient(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // After a failed fsync nothing may be copied into the database file, and closing a connection would do just that.
    // Checkpoints are the writer's, in words.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Settings of the one connection that writes.
pub(crate) fn settle_writer(connection: &Connection) -> rusqlite::Result<()> {
    // `secure_delete`: what was erased is overwritten, not only forgotten. The two fullfsync lines matter on macOS only.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON;
         PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cache_size = -{CACHE_KIB};"
    ))
}

/// A row of `logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) name: LogName,
    /// The number under which its entries and snapshots lie.
    pub(crate) id: i64,
    pub(crate) head: i64,
    /// Entries up to here are gone, or may go at any time.
    pub(crate) trimmed: i64,
    /// What the newest snapshot covers; 0 is none.
    pub(crate) snapshot: i64,
    pub(crate) entry_bytes: i64,
    pub(crate) snapshot_bytes: i64,
    pub(crate) changed_at: i64,
}

/// A row of `logs` that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadRow {
    /// Its name and number are right, the rest is not: only this log is hurt.
    State(LogName),
    /// Nobody can say which log this was.
    Identity,
}

impl LogRow {
    /// Finds one row. `read` wants the columns in the order of the table.
    pub(crate) const FIND: &str = "SELECT * FROM logs WHERE name = ?1";

    /// Reads and checks a row. The outer error is the database's, the inner one says that the checksum does not match.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Result<Self, BadRow>> {
        let Ok(name) = LogName::new(row.get_ref(0)?.as_str()?) else {
            return Ok(Err(BadRow::Identity));
        };
        let found = Self {
            name,
            id: row.get(1)?,
            head: row.get(3)?,
            trimmed: row.get(4)?,
            snapshot: row.get(5)?,
            entry_bytes: row.get(6)?,
            snapshot_bytes: row.get(7)?,
            changed_at: row.get(8)?,
        };
        let (identity, crc): (i64, i64) = (row.get(2)?, row.get(9)?);
        if identity != found.identity() {
            return Ok(Err(BadRow::Identity));
        }
        if crc != found.crc() {
            return Ok(Err(BadRow::State(found.name)));
        }
        Ok(Ok(found))
    }

    /// The checksum of what never changes. Apart, so that damage to the rest is pinned to the right log.
    pub(crate) fn identity(&self) -> i64 {
        i64::from(Sum::of("log").number(self.id).bytes(self.name.as_str().as_bytes()).done())
    }

    /// The checksum of the whole row.
    pub(crate) fn crc(&self) -> i64 {
        let sum = Sum::of("state")
            .number(self.identity())
            .number(self.head)
            .number(self.trimmed)
            .number(self.snapshot);
        i64::from(
            sum.number(self.entry_bytes).number(self.snapshot_bytes).number(self.changed_at).done(),
        )
    }
}
