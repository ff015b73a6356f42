//! Who writes to the database, and when does an append count as done?
//!
//! One thread owns the only writing connection: it commits and it checkpoints. Whatever waits when it turns to the queue becomes one
//! transaction with one fsync; while that commits, the next group gathers. A lone append never waits for company; where a commit follows upon
//! the other, they keep a pace, and more of what many documents have to store shares one.
//!
//! When the disk fails, the writer says so once (`State::Failed`), acknowledges nothing more and never tries the fsync again: after
//! a failed fsync nobody can say what the disk holds, and a second fsync that succeeds would be a lie. The process has to end and
//! recover from the file.

use super::directory::{Directory, Lock};
use super::schema;
use super::trouble::{Stop, Trouble};
use super::write::append_in;
use crate::store::{EntryId, LogName, Position, StoreError};
use bytes::Bytes;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// How many appends share one commit: beyond this the fsync is already cheap per append, and the first of them should not wait longer.
pub(crate) const GROUP_APPENDS: usize = 256;

/// From the start of one commit to that of the next: a hundred and twenty-five a second are plenty, and what waits so long is still acknowledged
/// faster than a key is pressed again.
const COMMIT_EVERY: Duration = Duration::from_millis(8);

/// How many bytes share one commit: about ten milliseconds of writing. Bytes.
pub(crate) const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// How much is written before the writer copies the write-ahead log into the database file. Bytes.
const CHECKPOINT_BYTES: usize = 4 * 1024 * 1024;

/// What a small append costs in the write-ahead log: one page in each of three tables. Bytes.
const APPEND_PAGES_BYTES: usize = 3 * 4096;

/// How long the queue is empty before the writer tidies up: checkpoints, and looks whether a full disk has room again.
const IDLE: Duration = Duration::from_millis(500);

/// How the store is. The server ends the process on `Failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Appends can be expected to succeed.
    Well,
    /// The last write found no room. Reading goes on; the writer tries again by itself.
    Full,
    /// The disk failed: nothing is acknowledged any more.
    Failed(String),
    /// Closed on request.
    Closed,
}

/// Where a test can make the disk fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// Before a commit: the transaction will not be there after a restart.
    BeforeCommit,
    /// After a commit reached the disk, as if its answer was lost: it will be there after a restart.
    AfterCommit,
    /// At a checkpoint.
    Checkpoint,
}

/// Answers whether the disk fails at this point. Called on the writer thread, which it may also hold up.
pub type Faults = Arc<dyn Fn(FaultPoint) -> bool + Send + Sync>;

/// What the writer counts, for metrics and tests.
#[derive(Debug, Default)]
pub struct Counts {
    /// Transactions that changed something.
    pub commits: AtomicU64,
    /// Entries written.
    pub appends: AtomicU64,
    /// Checkpoints.
    pub checkpoints: AtomicU64,
}

/// One append on its way.
pub(crate) struct Append {
    pub(crate) log: LogName,
    pub(crate) expected: Option<Position>,
    pub(crate) id: EntryId,
    pub(crate) bytes: Bytes,
    pub(crate) reply: oneshot::Sender<Result<Position, StoreError>>,
    /// Its share of the queue, given back when it is answered.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What comes through the queue.
pub(crate) enum Job {
    /// Grouped with its neighbours.
    Append(Append),
    /// Everything else: runs by itself, in order.
    Task(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Make everything durable, checkpoint, end.
    Close(oneshot::Sender<()>),
}

/// The writer's own state.
pub(crate) struct Writer {
    connection: Connection,
    state: watch::Sender<State>,
    faults: Option<Faults>,
    counts: Arc<Counts>,
    /// An estimate of what a checkpoint would have to copy. Bytes.
    since_checkpoint: usize,
    /// When the last group of appends was begun.
    group_at: Option<Instant>,
    directory: Directory,
    /// Last: the directory stays ours until the connection is closed.
    _lock: Lock,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("since_checkpoint", &self.since_checkpoint)
            .finish_non_exhaustive()
    }
}

/// Milliseconds since the Unix epoch, for people: nothing is ordered by it.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(crate::clock::wall_millis()).unwrap_or(i64::MAX)
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        (directory, lock): (Directory, Lock),
        state: watch::Sender<State>,
        faults: Option<Faults>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            connection,
            state,
            faults,
            counts,
            since_checkpoint: 0,
            group_at: None,
            directory,
            _lock: lock,
        }
    }

    /// The thread's life: until the queue is closed or asked to.
    pub(crate) fn run(mut self, queue: &Receiver<Job>) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None => match queue.recv_timeout(IDLE) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.tidy();
                        continue;
                    }
                    // Dropped without `close`: like a crash, nothing more is written.
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            match job {
                Job::Append(first) => next = self.group(first, queue),
                Job::Task(task) => task(&mut self),
                Job::Close(done) => {
                    self.close();
                    // The closer may have stopped waiting, which changes nothing.
                    done.send(()).unwrap_or_default();
                    return;
                }
            }
        }
    }

    fn close(mut self) {
        self.checkpoint("TRUNCATE");
        let closed = self.state.send_if_modified(|state| {
            let failed = matches!(state, State::Failed(_));
            if !failed {
                *state = State::Closed;
            }
            !failed
        });
        let Self { connection, directory, _lock, .. } = self;
        drop(connection);
        if closed && let Err(error) = directory.mark_closed() {
            tracing::warn!(%error, "the next start will take this for an unclean stop");
        }
    }

    /// Takes everything that waits, up to a limit, as one transaction. Gives back the job that ended the group.
    fn group(&mut self, first: Append, queue: &Receiver<Job>) -> Option<Job> {
        self.keep_pace();
        let mut bytes = first.bytes.len();
        let mut group = vec![first];
        let mut next = None;
        while group.len() < GROUP_APPENDS && bytes < GROUP_BYTES {
            match queue.try_recv() {
                Ok(Job::Append(append)) => {
                    bytes += append.bytes.len();
                    group.push(append);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        match self.append_all(&group) {
            Ok(results) => answer(group, results),
            // One entry that finds no room, or touches a damaged page, must not take its neighbours with it.
            Err(StoreError::Full | StoreError::Corrupt(_)) if group.len() > 1 => {
                for append in group {
                    let result = self
                        .append_all(std::slice::from_ref(&append))
                        .map(|mut results| results.pop());
                    let result = match result {
                        Ok(result) => result.unwrap_or(Err(StoreError::Unknown)),
                        Err(error) => Err(error),
                    };
                    answer(vec![append], vec![result]);
                }
            }
            Err(error) => {
                let results = group.iter().map(|_| Err(error.clone())).collect();
                answer(group, results);
            }
        }
        next
    }

    /// Waits until the next commit may begin. Whoever sends meanwhile wakes nobody.
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread has nothing else to do, and real disks know no virtual time"
    )]
    fn keep_pace(&mut self) {
        let passed = self.group_at.map_or(COMMIT_EVERY, |before| before.elapsed());
        if let Some(left) = COMMIT_EVERY.checked_sub(passed).filter(|left| !left.is_zero()) {
            std::thread::sleep(left);
        }
        self.group_at = Some(Instant::now());
    }

    fn append_all(
        &mut self,
        group: &[Append],
    ) -> Result<Vec<Result<Position, StoreError>>, StoreError> {
        let mut cost = 0;
        let mut written = 0;
        let results = self.transaction(|connection| {
            let now = now_ms();
            let mut results = Vec::with_capacity(group.len());
            for append in group {
                results.push(match append_in(connection, now, append) {
                    Ok(done) => {
                        if done.written {
                            written += 1;
                            cost += append.bytes.len() + APPEND_PAGES_BYTES;
                        }
                        Ok(done.position)
                    }
                    Err(Stop::Refused(error)) => Err(error),
                    Err(Stop::Trouble(trouble)) => return Err(Stop::Trouble(trouble)),
                });
            }
            Ok(results)
        })?;
        self.counts.appends.fetch_add(written, Ordering::Relaxed);
        self.wrote(cost);
        Ok(results)
    }

    /// Runs `work` as one transaction. `Ok` means that it is durable.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, Stop>,
    ) -> Result<T, StoreError> {
        if let State::Failed(reason) = &*self.state.borrow() {
            return Err(StoreError::Away(reason.clone()));
        }
        let changes = self.connection.total_changes();
        let result = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(Stop::from)
            .and_then(|()| work(&self.connection));
        let value = match result {
            Ok(value) => value,
            Err(stop) => {
                self.roll_back();
                return Err(match stop {
                    Stop::Refused(error) => error,
                    // Nothing was committed, whatever it was.
                    Stop::Trouble(Trouble::Broken(reason)) => {
                        self.fail(&reason);
                        StoreError::Away(reason)
                    }
                    Stop::Trouble(trouble) => self.troubled(trouble),
                });
            }
        };
        if self.connection.total_changes() == changes {
            // Nothing to make durable: refusals and repeated appends.
            self.roll_back();
            return Ok(value);
        }
        if self.fails(FaultPoint::BeforeCommit) {
            self.roll_back();
            self.fail("a fault was asked for before a commit");
            return Err(StoreError::Unknown);
        }
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            self.roll_back();
            return Err(match Trouble::from(error) {
                Trouble::Broken(reason) => {
                    self.fail(&reason);
                    StoreError::Unknown
                }
                trouble => self.troubled(trouble),
            });
        }
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        if self.fails(FaultPoint::AfterCommit) {
            self.fail("a fault was asked for after a commit");
            return Err(StoreError::Unknown);
        }
        self.recovered();
        Ok(value)
    }

    /// Notes that about `bytes` went into the write-ahead log, and copies it into the database file when there is enough.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.since_checkpoint += bytes;
        if self.since_checkpoint >= CHECKPOINT_BYTES {
            self.checkpoint("PASSIVE");
        }
    }

    fn tidy(&mut self) {
        if *self.state.borrow() == State::Full {
            // Readiness is red, so perhaps nobody else tries: find out whether there is room again. What comes back is the state.
            drop(self.transaction(|connection| {
                connection.execute("UPDATE meta SET value = ?1 WHERE key = 'probe'", [now_ms()])?;
                Ok(())
            }));
        }
        if self.since_checkpoint > 0 {
            // Truncating also removes what was erased from the write-ahead log.
            self.checkpoint("TRUNCATE");
        }
    }

    fn checkpoint(&mut self, mode: &str) {
        if matches!(*self.state.borrow(), State::Failed(_)) {
            return;
        }
        self.since_checkpoint = 0;
        if self.fails(FaultPoint::Checkpoint) {
            return self.fail("a fault was asked for at a checkpoint");
        }
        // A reader that holds a checkpoint up is not worth waiting for: the next one will do.
        let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
        let result = self
            .connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| self.connection.query_row(&checkpoint, [], |row| row.get::<_, bool>(0)))
            .and_then(|hindered| schema::be_patient(&self.connection).map(|()| hindered));
        self.counts.checkpoints.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(false) => {}
            // Once more when the queue is empty next: what was erased has to leave the write-ahead log too.
            Ok(true) => self.since_checkpoint = 1,
            // A failed fsync here is as final as one in a commit.
            Err(error) => drop(self.troubled(Trouble::from(error))),
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // A rollback only forgets pages in memory; if even that fails the next BEGIN will say so.
            if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::error!(%error, "a transaction could not be rolled back");
            }
        }
    }

    fn fails(&self, point: FaultPoint) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults(point))
    }

    fn troubled(&self, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Full => {
                if self.state.send_if_modified(|state| set(state, &State::Well, State::Full)) {
                    tracing::error!(
                        "the storage is full: edits wait in their authors' clients until there is room again"
                    );
                }
                StoreError::Full
            }
            Trouble::Busy(reason) => StoreError::Away(reason),
            Trouble::Damaged(reason) => StoreError::Corrupt(reason),
            Trouble::Broken(reason) => {
                self.fail(&reason);
                StoreError::Away(reason)
            }
        }
    }

    fn recovered(&self) {
        if self.state.send_if_modified(|state| set(state, &State::Full, State::Well)) {
            tracing::info!("the storage has room again");
        }
    }

    fn fail(&self, reason: &str) {
        let reason = format!(
            "the disk failed and nothing more is acknowledged; start the server again: {reason}"
        );
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Failed(_));
            if first {
                tracing::error!("{reason}");
                *state = State::Failed(reason);
            }
            first
        });
    }
}

fn set(state: &mut State, from: &State, to: State) -> bool {
    let applies = state == from;
    if applies {
        *state = to;
    }
    applies
}

fn answer(group: Vec<Append>, results: Vec<Result<Position, StoreError>>) {
    for (append, result) in group.into_iter().zip(results) {
        // A caller that stopped waiting will ask again with the same id.
        drop(append.reply.send(result));
    }
}
