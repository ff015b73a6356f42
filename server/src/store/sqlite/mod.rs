//! How are logs kept in one file on this machine?
//!
//! Reading order: `schema` (the tables), `write` and `read` (what the verbs do to them), `writer` (when it happens), `open` and
//! `directory` (when the server may start).

pub(crate) mod directory;
mod import;
pub(crate) mod open;
pub(crate) mod read;
mod readers;
pub(crate) mod schema;
pub(crate) mod trouble;
pub(crate) mod write;
mod writer;

pub(crate) use directory::Directory;
pub use open::OpenError;
pub(crate) use readers::open_reader;
pub(crate) use writer::now_ms;
pub use writer::{Counts, FaultPoint, Faults};

use super::crash::CrashMarkers;
use super::{
    Bookmark, Contents, Durability, EntryId, Expect, LogInfo, LogName, MAX_ENTRY, Page, Position,
    RawRecord, Snapshot, Store, StoreError, checksum,
};
use async_trait::async_trait;
use bytes::Bytes;
use readers::Readers;
use rusqlite::Connection;
use schema::PART_BYTES;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use trouble::{Stop, Trouble};
use write::Sealed;
use writer::{Append, Job, State, Writer};

/// What may wait for the writer, together. A caller beyond it waits until there is room; nobody is refused. Bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The least that one waiting request counts for, so that the queue is also bounded in number (4096). Bytes.
const REQUEST_BYTES: usize = 16 * 1024;

/// A log whose process died this often while applying it is set aside at the next start.
const CRASHES: i64 = 2;

/// How to open a store.
#[derive(Clone, Default)]
pub struct SqliteOptions {
    /// The largest size of the database file; beyond it the store is full. Unlimited without. Bytes.
    pub max_bytes: Option<u64>,
    /// For tests: makes the disk fail.
    pub faults: Option<Faults>,
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

/// The embedded store.
pub struct SqliteStore {
    directory: Directory,
    queue: SyncSender<Job>,
    /// Room in the queue, in units of [`REQUEST_BYTES`].
    room: Arc<Semaphore>,
    readers: Readers,
    state: watch::Receiver<State>,
    counts: Arc<Counts>,
    markers: Arc<CrashMarkers>,
    restored_at: Option<u64>,
    // After `queue`: the writer ends when nobody can send any more, and then this has waited for it.
    writer: Thread,
}

/// Waits for its thread when dropped, so that the directory is free when the store is gone.
struct Thread(Mutex<Option<JoinHandle<()>>>);

impl Thread {
    fn take(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("directory", &self.directory.root())
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store in a data directory, or creates it where nothing was ever kept. Blocks: call it before serving.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        std::fs::create_dir_all(dir).map_err(|source| OpenError::io("creating", dir, source))?;
        let directory = Directory::new(dir);
        let lock = directory.lock()?;
        let connection = open::open_writer(&directory, options.max_bytes)?;
        let in_dir = |error| OpenError::sqlite(dir, error);
        directory.mark_open().map_err(|source| OpenError::io("writing in", dir, source))?;

        let path = directory.applying_file();
        let (markers, crashed) =
            CrashMarkers::open(&path).map_err(|source| OpenError::io("opening", &path, source))?;
        let settle = || -> Result<u64, Stop> {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for log in &crashed {
                let count = write::count_crash(&connection, log)?;
                tracing::warn!(%log, count, "the process ended while this log was being applied");
                if count >= CRASHES {
                    tracing::error!(%log, "set aside: it crashed the server twice");
                    write::quarantine(&connection, log, "it crashed the server twice", now_ms())?;
                }
            }
            connection.execute_batch("COMMIT")?;
            for id in write::all_garbage(&connection)? {
                match sweep_all(&connection, id) {
                    // A full disk is no reason not to start: there is another start.
                    Ok(()) | Err(Stop::Trouble(Trouble::Full)) => {}
                    Err(stop) => return Err(stop),
                }
            }
            let restored = "SELECT value FROM meta WHERE key = 'restored_at'";
            let at: i64 = connection.query_row(restored, [], |row| row.get(0))?;
            Ok(u64::try_from(at).unwrap_or(0))
        };
        let restored_at = settle().map_err(|stop| OpenError::stop(dir, stop))?;
        // Only now that the crashes are counted durably.
        markers.clear_all().map_err(|source| OpenError::io("writing", &path, source))?;

        let readers = Readers::open(&directory.database()).map_err(in_dir)?;
        let (state, seen) = watch::channel(State::Well);
        let counts = Arc::new(Counts::default());
        let (queue, jobs) = sync_channel(QUEUE_BYTES / REQUEST_BYTES);
        let place = (directory.clone(), lock);
        let writer = Writer::new(connection, place, state, options.faults, Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&jobs))
            .map_err(|source| OpenError::io("starting the writer for", dir, source))?;
        Ok(Arc::new(Self {
            directory,
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES / REQUEST_BYTES)),
            readers,
            state: seen,
            counts,
            markers,
            restored_at: (restored_at > 0).then_some(restored_at),
            writer: Thread(Mutex::new(Some(thread))),
        }))
    }

    /// Resolves with the reason when the disk has failed: nothing is acknowledged any more, and the process should end with these words.
    pub fn fatal(&self) -> impl Future<Output = String> + Send + 'static {
        let mut state = self.state.clone();
        async move {
            let reason = match state.wait_for(|state| matches!(state, State::Failed(_))).await {
                Ok(state) => match &*state {
                    State::Failed(reason) => Some(reason.clone()),
                    State::Well | State::Full | State::Closed => None,
                },
                // The store was closed or dropped: it can no longer fail.
                Err(_) => None,
            };
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    /// What the writer has counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where to note which log is being applied.
    #[must_use]
    pub fn crash_markers(&self) -> Arc<CrashMarkers> {
        Arc::clone(&self.markers)
    }

    /// When this database was restored from a backup, if it was, in milliseconds since the Unix epoch. Clients may hold newer edits.
    #[must_use]
    pub fn restored_at(&self) -> Option<u64> {
        self.restored_at
    }

    async fn enter(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let units = bytes.div_ceil(REQUEST_BYTES).clamp(1, QUEUE_BYTES / REQUEST_BYTES);
        let units = u32::try_from(units).expect("the queue has fewer than 2^32 units");
        Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| closed())
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        // The permit that the job holds is a place in the queue, so it is never full here.
        self.queue.try_send(job).map_err(|_| self.why_gone())
    }

    fn why_gone(&self) -> StoreError {
        match &*self.state.borrow() {
            State::Failed(reason) => StoreError::Away(reason.clone()),
            State::Well | State::Full | State::Closed => closed(),
        }
    }

    /// Runs a transaction on the writer. Once this future has been polled, dropping it does not undo the work.
    async fn write<T, F>(&self, bytes: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    {
        let room = self.enter(bytes).await?;
        let (reply, result) = oneshot::channel();
        self.send(Job::Task(Box::new(move |writer| {
            let done = writer.transaction(work);
            writer.wrote(bytes + schema::PART_BYTES / 64);
            drop(room);
            // A caller that stopped waiting does not need to know.
            drop(reply.send(done));
        })))?;
        // The writer ended with the request unanswered.
        result.await.unwrap_or(Err(StoreError::Unknown))
    }

    async fn read_with<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    {
        if *self.state.borrow() == State::Closed {
            return Err(closed());
        }
        self.readers.read(work).await
    }

    /// Sets a log aside whose record was found damaged (S10), and passes the finding on.
    async fn found<T>(
        &self,
        log: &LogName,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(StoreError::Corrupt(what)) = &result {
            tracing::error!(%log, what, "a stored record is damaged; the log is set aside");
            let reason = format!("damaged: {what}");
            if let Err(error) = self.quarantine(log, &reason).await {
                tracing::error!(%log, %error, "the damaged log could not be marked");
            }
        }
        result
    }

    /// Writes an object in pieces, reads it back on another connection and compares. Not yet anybody's.
    async fn put_object(&self, bytes: &Bytes) -> Result<i64, StoreError> {
        let object = self.write(0, write::begin_object).await?;
        let mut rest = bytes.clone();
        let mut part = 0;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PART_BYTES));
            self.write(piece.len(), move |connection| {
                write::put_part(connection, object, part, &piece)
            })
            .await?;
            part += 1;
        }
        let length = sealed_length(bytes);
        let back = self
            .read_with(move |connection| read::object_bytes(connection, object, length))
            .await?;
        if back == *bytes {
            Ok(object)
        } else {
            Err(StoreError::Corrupt("what was written does not read back the same".into()))
        }
    }

    async fn sweep(&self, garbage: Vec<i64>) -> Result<(), StoreError> {
        for id in garbage {
            while self
                .write(PART_BYTES, move |connection| write::sweep_garbage(connection, id))
                .await?
            {}
        }
        Ok(())
    }

    /// Sweeps what a finished call has left; what cannot be swept now goes at the next start.
    async fn sweep_quietly(&self, garbage: Vec<i64>) {
        if let Err(error) = self.sweep(garbage).await {
            tracing::warn!(%error, "old records stay until the next start");
        }
    }
}

fn sweep_all(connection: &Connection, id: i64) -> Result<(), Stop> {
    while write::sweep_garbage(connection, id)? {}
    Ok(())
}

fn closed() -> StoreError {
    StoreError::Away("the store is closed".into())
}

fn sealed_length(bytes: &Bytes) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for SqliteStore {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn health(&self) -> Result<(), StoreError> {
        match &*self.state.borrow() {
            State::Well => Ok(()),
            State::Full => Err(StoreError::Full),
            State::Failed(reason) => Err(StoreError::Away(reason.clone())),
            State::Closed => Err(closed()),
        }
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
        let room = self.enter(entry.len()).await?;
        let (reply, result) = oneshot::channel();
        self.send(Job::Append(Append {
            log: log.clone(),
            expected: expected.and_then(Expect::head),
            id,
            bytes: entry,
            reply,
            _room: room,
        }))?;
        // The writer ended with the request unanswered.
        let result = result.await.unwrap_or(Err(StoreError::Unknown));
        self.found(log, result).await
    }

    async fn read(&self, log: &LogName, after: Bookmark) -> Result<Page, StoreError> {
        let (name, after) = (log.clone(), after.position);
        let result = self.read_with(move |connection| read::page(connection, &name, after)).await;
        self.found(log, result).await
    }

    async fn compact(&self, log: &LogName, snapshot: Snapshot) -> Result<(), StoreError> {
        let Snapshot { covers, bytes, .. } = snapshot;
        let (name, covers) = (log.clone(), write::int(covers.0));
        let admitted = self
            .read_with(move |connection| {
                write::admit_snapshot(connection, &name, covers).map(|row| row.id)
            })
            .await;
        let id = self.found(log, admitted).await?;
        let object = self.put_object(&bytes).await?;
        let new = Sealed {
            covers,
            object,
            length: sealed_length(&bytes),
            crc: checksum::snapshot(id, log, covers, &bytes),
        };
        let name = log.clone();
        match self
            .write(0, move |connection| write::seal_snapshot(connection, &name, id, new))
            .await
        {
            Ok(garbage) => self.sweep_quietly(garbage).await,
            Err(error) => {
                self.sweep_quietly(vec![object]).await;
                return Err(error);
            }
        }
        loop {
            let name = log.clone();
            match self
                .write(PART_BYTES, move |connection| write::sweep_log(connection, &name))
                .await
            {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    // The snapshot is stored; the entries it replaced go with the next one.
                    tracing::warn!(%log, %error, "old entries stay until the next snapshot");
                    return Ok(());
                }
            }
        }
    }

    async fn quarantine(&self, log: &LogName, reason: &str) -> Result<(), StoreError> {
        let (log, reason) = (log.clone(), reason.to_owned());
        self.write(0, move |connection| write::quarantine(connection, &log, &reason, now_ms()))
            .await
    }

    async fn release(&self, log: &LogName) -> Result<(), StoreError> {
        let log = log.clone();
        self.write(0, move |connection| write::release(connection, &log)).await
    }

    async fn read_raw(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError> {
        let log = log.clone();
        self.read_with(move |connection| read::raw(connection, &log)).await
    }

    async fn delete(&self, log: &LogName) -> Result<(), StoreError> {
        let log = log.clone();
        let garbage = self.write(0, move |connection| write::delete_log(connection, &log)).await?;
        self.sweep(garbage).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.read_with(move |connection| read::list(connection, &prefix, after.as_ref(), limit))
            .await
    }

    async fn recent(&self, prefix: &str, limit: usize) -> Result<Vec<LogInfo>, StoreError> {
        let prefix = prefix.to_owned();
        self.read_with(move |connection| read::recent(connection, &prefix, limit)).await
    }

    async fn follow(&self, _log: &LogName, _seen: Bookmark) {
        // The data directory is locked: there is no other instance.
        std::future::pending().await
    }

    async fn put_blob(&self, name: &LogName, bytes: Bytes) -> Result<(), StoreError> {
        let object = self.put_object(&bytes).await?;
        let new = Sealed {
            covers: 0,
            object,
            length: sealed_length(&bytes),
            crc: checksum::blob(name, &bytes),
        };
        let name = name.clone();
        let garbage =
            self.write(0, move |connection| write::seal_blob(connection, &name, new)).await?;
        self.sweep_quietly(garbage).await;
        Ok(())
    }

    async fn get_blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        let name = name.clone();
        self.read_with(move |connection| read::blob(connection, &name)).await
    }

    async fn delete_blob(&self, name: &LogName) -> Result<(), StoreError> {
        let name = name.clone();
        let garbage = self.write(0, move |connection| write::drop_blob(connection, &name)).await?;
        self.sweep(garbage).await
    }

    async fn list_blobs(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, StoreError> {
        let after = after.cloned();
        self.read_with(move |connection| read::list_blobs(connection, after.as_ref(), limit)).await
    }

    async fn import(&self, log: &LogName, contents: Contents) -> Result<(), StoreError> {
        self.import_whole(log, contents).await
    }

    async fn loaded(&self, log: &LogName) -> Result<(), StoreError> {
        let log = log.clone();
        // Nearly always there is nothing to forget, and then nothing is written.
        self.write(0, move |connection| write::clear_crashes(connection, &log)).await
    }

    async fn close(&self) {
        let Some(thread) = self.writer.take() else { return };
        let Ok(room) = self.enter(0).await else { return };
        self.room.close();
        let (done, closed) = oneshot::channel();
        if self.send(Job::Close(done)).is_ok() {
            // If the writer ended by itself, the state says why.
            drop(closed.await);
        }
        drop(room);
        // A writer that panicked is told by the state: whoever waited for it got `Unknown`.
        drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
        self.readers.close();
    }
}
