//! When are writes sent, and when do they count as done?
//!
//! One task owns the line for writes. Everything that waits when it turns to the queue becomes one pipeline, at most [`GROUP_WRITES`] of them;
//! while Redis works on it, the next one gathers. Where replicas are wanted, the pipeline ends with `WAIT`, whose count is compared: a write
//! that too few of them have is not acknowledged, and its retry waits for them again.
//!
//! The task owns the requests: a caller that stops waiting changes nothing. A pipeline without an answer is `Unknown` for all in it, and the
//! connection is thrown away: as long as Redis hangs, the next requests are refused within the time a connection may take.

use super::link::{Link, closed};
use super::scripts::{Done, Scripts, answer, number};
use super::trouble::Trouble;
use crate::store::{LogName, StoreError};
use redis::{Cmd, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Duration, Instant};

/// How many writes share one pipeline, like one commit of the embedded store.
const GROUP_WRITES: usize = 256;

/// How many bytes share one pipeline. Bytes.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What may wait for the writer, together. A caller beyond it waits until there is room; nobody is refused. Bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The least that one waiting request counts for, so that the queue is also bounded in number (4096). Bytes.
const REQUEST_BYTES: usize = 16 * 1024;

/// How often a log that is written is put into the index again: its place among the recent ones is right to within this, and an index that lost
/// it has it again.
const INDEX_EVERY: Duration = Duration::from_secs(5);

/// How many logs' times are remembered. Beyond it all are forgotten, and put into the index once more.
const INDEXED: usize = 50_000;

/// One write on its way.
struct Request {
    command: Cmd,
    /// The log that is appended to: it has to be in the index.
    log: Option<LogName>,
    bytes: usize,
    reply: oneshot::Sender<Outcome>,
    /// Its share of the queue, given back when it is answered.
    _room: OwnedSemaphorePermit,
}

/// What Redis answered, and whether enough replicas have it.
pub(crate) type Outcome = Result<(Value, Result<(), Trouble>), Trouble>;

/// Where requests are left.
pub(crate) struct Queue {
    sender: std::sync::Mutex<Option<mpsc::Sender<Request>>>,
    /// Room in the queue, in units of [`REQUEST_BYTES`].
    room: Arc<Semaphore>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("room", &self.room.available_permits()).finish()
    }
}

/// The task's own state.
pub(crate) struct Writer {
    link: Arc<Link>,
    scripts: Arc<Scripts>,
    requests: mpsc::Receiver<Request>,
    replicas: Option<u8>,
    /// The keys of the index.
    names: String,
    recent: String,
    indexed: HashMap<LogName, Instant>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue, and the writer that has to run for it.
    pub(crate) fn new(
        link: Arc<Link>,
        scripts: Arc<Scripts>,
        (names, recent): (String, String),
        replicas: Option<u8>,
    ) -> (Self, Writer) {
        let (sender, requests) = mpsc::channel(QUEUE_BYTES / REQUEST_BYTES);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES / REQUEST_BYTES));
        let queue = Self { sender: std::sync::Mutex::new(Some(sender)), room };
        let indexed = HashMap::new();
        (queue, Writer { link, scripts, requests, replicas, names, recent, indexed })
    }

    /// Leaves a write and waits for its outcome. Once this has been polled to the end of the queue, dropping it does not take the write back.
    pub(crate) async fn write(
        &self,
        command: Cmd,
        log: Option<&LogName>,
        bytes: usize,
    ) -> Result<(Value, Result<(), Trouble>), StoreError> {
        let units = bytes.div_ceil(REQUEST_BYTES).clamp(1, QUEUE_BYTES / REQUEST_BYTES);
        let units = u32::try_from(units).expect("the queue has fewer than 2^32 units");
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| closed())?;
        let (reply, outcome) = oneshot::channel();
        let request = Request { command, log: log.cloned(), bytes, reply, _room: room };
        {
            let sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The permit that the request holds is a place in the queue, so it is never full here.
            sender.as_ref().ok_or_else(closed)?.try_send(request).map_err(|_| closed())?;
        }
        // The writer ended with the request unanswered.
        outcome
            .await
            .unwrap_or(Err(Trouble::Lost("the store was closed".into())))
            .map_err(Trouble::writing)
    }

    /// Takes nothing more. The writer ends when it has done what waits.
    pub(crate) fn close(&self) {
        self.room.close();
        drop(self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let mut next: Option<Request> = None;
        loop {
            let first = match next.take() {
                Some(request) => request,
                None => match self.requests.recv().await {
                    Some(request) => request,
                    None => return,
                },
            };
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while group.len() < GROUP_WRITES {
                match self.requests.try_recv() {
                    Ok(request) if bytes + request.bytes > GROUP_BYTES => {
                        next = Some(request);
                        break;
                    }
                    Ok(request) => {
                        bytes += request.bytes;
                        group.push(request);
                    }
                    Err(_) => break,
                }
            }
            self.write(group).await;
        }
    }

    async fn write(&mut self, mut group: Vec<Request>) {
        let due = self.due_for_index(&group);
        let mut commands = self.index(&due);
        let index_commands = commands.len();
        commands.extend(
            group.iter_mut().map(|request| std::mem::replace(&mut request.command, Cmd::new())),
        );
        let (answers, mut confirmed) =
            match self.scripts.run(&self.link.writes, commands, self.replicas).await {
                Ok(Done { answers, confirmed }) => (answers, confirmed),
                Err(trouble) => {
                    self.troubled(&trouble).await;
                    for request in group {
                        reply(request, Err(trouble.clone()));
                    }
                    return;
                }
            };
        let (index, answers) = {
            let mut index = answers;
            let answers = index.split_off(index_commands);
            (index, answers)
        };
        // A log that exists and is in no list would be missing from every copy: its appends do not count before it is.
        confirmed = confirmed.and(index.into_iter().try_for_each(|answer| answer.map(drop)));
        let created = created(&group, &answers);
        if !created.is_empty() {
            // Once more, after it: a deletion may have taken the name out of the list in between.
            let again = self.index(&created);
            let done = self.scripts.run(&self.link.writes, again, self.replicas).await;
            confirmed = confirmed.and(match done {
                Ok(done) => {
                    done.confirmed.and(done.answers.into_iter().try_for_each(|one| one.map(drop)))
                }
                Err(trouble) => Err(trouble),
            });
        }
        if confirmed.is_ok() {
            self.remember(due);
        }
        let first_error = answers.iter().find_map(|answer| answer.as_ref().err());
        match (first_error, &confirmed) {
            (Some(trouble), _) | (None, Err(trouble)) => {
                let trouble = trouble.clone();
                self.troubled(&trouble).await;
            }
            (None, Ok(())) => self.link.wrote(Ok(())),
        }
        for (request, answer) in group.into_iter().zip(answers) {
            reply(request, answer.map(|value| (value, confirmed.clone())));
        }
    }

    async fn troubled(&self, trouble: &Trouble) {
        self.link.wrote(Err(trouble));
        if matches!(trouble, Trouble::NotPrimary(_)) {
            self.link.renew().await;
        }
    }

    /// Which logs' places in the index are old.
    fn due_for_index(&self, group: &[Request]) -> Vec<LogName> {
        let is_due =
            |log: &&LogName| self.indexed.get(*log).is_none_or(|at| at.elapsed() >= INDEX_EVERY);
        let mut due: Vec<LogName> = group
            .iter()
            .filter_map(|request| request.log.as_ref())
            .filter(is_due)
            .cloned()
            .collect();
        due.sort();
        due.dedup();
        due
    }

    fn index(&self, logs: &[LogName]) -> Vec<Cmd> {
        if logs.is_empty() {
            return Vec::new();
        }
        let now = crate::clock::wall_millis();
        let mut names = redis::cmd("ZADD");
        names.arg(&self.names);
        let mut recent = redis::cmd("ZADD");
        recent.arg(&self.recent);
        for log in logs {
            names.arg(0).arg(log.as_str());
            recent.arg(now).arg(log.as_str());
        }
        vec![names, recent]
    }

    fn remember(&mut self, logs: Vec<LogName>) {
        if self.indexed.len() + logs.len() > INDEXED {
            self.indexed.clear();
        }
        let now = Instant::now();
        self.indexed.extend(logs.into_iter().map(|log| (log, now)));
    }
}

/// The logs that were begun by one of these appends.
fn created(group: &[Request], answers: &[Result<Value, Trouble>]) -> Vec<LogName> {
    let began = |value: &Value| match answer(value.clone()) {
        Ok((word, parts)) => word == "ok" && parts.get(1).and_then(number) == Some(1),
        Err(_) => false,
    };
    let all = group.iter().zip(answers);
    all.filter(|(_, value)| value.as_ref().is_ok_and(began))
        .filter_map(|(request, _)| request.log.clone())
        .collect()
}

fn reply(request: Request, outcome: Outcome) {
    // A caller that stopped waiting does not need to know.
    drop(request.reply.send(outcome));
}
