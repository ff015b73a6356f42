//! A store to try a clause on, and ways to hurt it.

use commonplace::store::sim::SimStore;
use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace::store::{LogName, Position, Store};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// What a clause needs from a store under test.
pub(crate) trait Bench {
    fn store(&self) -> Arc<dyn Store>;
    fn damage_entry(&self, log: &LogName, position: u64);
    fn damage_snapshot(&self, log: &LogName, covers: u64);
    fn damage_blob(&self, name: &LogName);
    /// The store as it is after the process died and came back.
    fn restarted(&self) -> Arc<dyn Store>;
}

pub(crate) struct SqliteBench {
    store: std::sync::Mutex<Option<Arc<SqliteStore>>>,
    dir: TempDir,
}

impl SqliteBench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
        Self { store: std::sync::Mutex::new(Some(store)), dir }
    }

    fn execute(&self, sql: &str, with: impl rusqlite::Params) {
        assert_eq!(raw(self.dir.path()).execute(sql, with).unwrap(), 1, "nothing to damage");
    }
}

/// A connection of our own to the database file.
pub(crate) fn raw(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("commonplace.db")).unwrap();
    connection.execute_batch("PRAGMA busy_timeout = 10000; PRAGMA wal_autocheckpoint = 0").unwrap();
    connection
}

const FLIP: &str = "bytes = CAST(x'ff' || substr(bytes, 2) AS BLOB)";

impl Bench for SqliteBench {
    fn store(&self) -> Arc<dyn Store> {
        self.store.lock().unwrap().clone().unwrap()
    }

    fn damage_entry(&self, log: &LogName, position: u64) {
        let sql = format!(
            "UPDATE entries SET {FLIP} WHERE log = (SELECT id FROM logs WHERE name = ?1) AND position = ?2"
        );
        self.execute(&sql, (log.as_str(), position as i64));
    }

    fn damage_snapshot(&self, log: &LogName, covers: u64) {
        let sql = format!(
            "UPDATE parts SET {FLIP} WHERE part = 0 AND object =
             (SELECT object FROM snapshots WHERE log = (SELECT id FROM logs WHERE name = ?1) AND covers = ?2)"
        );
        self.execute(&sql, (log.as_str(), covers as i64));
    }

    fn damage_blob(&self, name: &LogName) {
        let sql = format!(
            "UPDATE parts SET {FLIP} WHERE part = 0 AND object = (SELECT object FROM blobs WHERE name = ?1)"
        );
        self.execute(&sql, [name.as_str()]);
    }

    fn restarted(&self) -> Arc<dyn Store> {
        let mut store = self.store.lock().unwrap();
        // Without `close`: nothing but what was acknowledged can be relied on.
        *store = None;
        *store = Some(reopen(self.dir.path(), SqliteOptions::default()));
        store.clone().unwrap()
    }
}

/// Opens a directory whose last store has just been dropped.
pub(crate) fn reopen(dir: &Path, options: SqliteOptions) -> Arc<SqliteStore> {
    SqliteStore::open(dir, options).unwrap()
}

pub(crate) struct SimBench {
    store: Arc<SimStore>,
}

impl SimBench {
    pub(crate) fn new() -> Self {
        Self { store: Arc::new(SimStore::new(7)) }
    }
}

impl Bench for SimBench {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn damage_entry(&self, log: &LogName, position: u64) {
        assert!(self.store.disk().damage_entry(log, Position(position)));
    }

    fn damage_snapshot(&self, log: &LogName, covers: u64) {
        assert!(self.store.disk().damage_snapshot(log, Position(covers)));
    }

    fn damage_blob(&self, name: &LogName) {
        assert!(self.store.disk().damage_blob(name));
    }

    fn restarted(&self) -> Arc<dyn Store> {
        self.store.disk().crash();
        self.store.clone()
    }
}
