//! A store in memory that fails on request: the same contract, and the faults that real disks only have at night.
//!
//! [`SimDisk`] is the synchronous core. It knows no clock, no task and no randomness but its seed, so a simulation in virtual time can
//! step it: `append_now` puts a write into the page cache, `sync_now` makes everything in the cache durable, `crash` loses what was
//! not. [`SimStore`] wraps it as a [`Store`] for tests with tasks; several handles of one disk are several instances.

mod disk;

pub use disk::{Faults, SimDisk};

use super::{
    Bookmark, Contents, Durability, EntryId, Expect, LogInfo, LogName, Page, Position, RawRecord,
    Snapshot, Store, StoreError,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// One instance's handle of a simulated disk.
#[derive(Debug)]
pub struct SimStore {
    disk: Arc<Mutex<SimDisk>>,
    /// Changes with every append by any instance.
    changed: watch::Sender<u64>,
}

impl SimStore {
    /// An empty store. The seed decides what a crash leaves.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::on(SimDisk::new(seed))
    }

    /// A store on a disk that was used before.
    #[must_use]
    pub fn on(disk: SimDisk) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)), changed: watch::Sender::new(0) }
    }

    /// Another instance on the same disk.
    #[must_use]
    pub fn another_instance(&self) -> Self {
        Self { disk: Arc::clone(&self.disk), changed: self.changed.clone() }
    }

    /// The disk itself, to look at or to break. Do not hold it over an await.
    pub fn disk(&self) -> MutexGuard<'_, SimDisk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for SimStore {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn health(&self) -> Result<(), StoreError> {
        self.disk().health_now()
    }

    fn out_of_touch(&self) -> Option<Duration> {
        self.disk().faults.silent_for
    }

    async fn append(
        &self,
        log: &LogName,
        expected: Option<Expect>,
        id: EntryId,
        entry: Bytes,
    ) -> Result<Position, StoreError> {
        let position = {
            let mut disk = self.disk();
            let position = disk.append_now(log, expected, id, entry)?;
            disk.sync_now()?;
            position
        };
        self.changed.send_modify(|changes| *changes += 1);
        Ok(position)
    }

    async fn read(&self, log: &LogName, after: Bookmark) -> Result<Page, StoreError> {
        self.disk().read_now(log, after)
    }

    async fn compact(&self, log: &LogName, snapshot: Snapshot) -> Result<(), StoreError> {
        let mut disk = self.disk();
        disk.compact_now(log, snapshot)?;
        disk.sync_now()
    }

    async fn quarantine(&self, log: &LogName, reason: &str) -> Result<(), StoreError> {
        self.disk().quarantine_now(log, reason)
    }

    async fn release(&self, log: &LogName) -> Result<(), StoreError> {
        self.disk().release_now(log)
    }

    async fn read_raw(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError> {
        self.disk().read_raw_now(log)
    }

    async fn delete(&self, log: &LogName) -> Result<(), StoreError> {
        self.disk().delete_now(log)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError> {
        let mut found = self.disk().list_now(prefix)?;
        found.retain(|info| after.is_none_or(|after| info.name > *after));
        found.truncate(limit);
        Ok(found)
    }

    async fn recent(&self, prefix: &str, limit: usize) -> Result<Vec<LogInfo>, StoreError> {
        let mut found = self.disk().list_now(prefix)?;
        found.sort_by(|a, b| b.changed_at.cmp(&a.changed_at).then_with(|| a.name.cmp(&b.name)));
        found.truncate(limit);
        Ok(found)
    }

    async fn follow(&self, log: &LogName, seen: Bookmark) {
        let mut changed = self.changed.subscribe();
        loop {
            let head = self.disk().head_now(log);
            let is_elsewhere =
                head.position != seen.position || (seen.id.is_some() && head.id != seen.id);
            if is_elsewhere {
                return;
            }
            if changed.changed().await.is_err() {
                // `self` holds the sender, so this does not happen; without changes there is nothing to follow.
                return std::future::pending().await;
            }
        }
    }

    async fn put_blob(&self, name: &LogName, bytes: Bytes) -> Result<(), StoreError> {
        self.disk().put_blob_now(name, bytes)
    }

    async fn get_blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        self.disk().get_blob_now(name)
    }

    async fn delete_blob(&self, name: &LogName) -> Result<(), StoreError> {
        self.disk().delete_blob_now(name)
    }

    async fn list_blobs(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, StoreError> {
        let mut found = self.disk().list_blobs_now()?;
        found.retain(|name| after.is_none_or(|after| name > after));
        found.truncate(limit);
        Ok(found)
    }

    async fn import(&self, log: &LogName, contents: Contents) -> Result<(), StoreError> {
        self.disk().import_now(log, contents)
    }

    async fn close(&self) {
        // What is in the page cache was never acknowledged, so an error changes no promise.
        drop(self.disk().sync_now());
        self.disk().faults.away = true;
    }
}
