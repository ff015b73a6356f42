//! Who hears what other instances say?
//!
//! One connection listens to all channels (sharded pub/sub over RESP3). Messages are hints and presence: at most once, never stored. Nobody
//! here waits for anybody: an [`Ear`] that does not listen misses messages and is told so, a message that cannot be sent is dropped.
//!
//! After every subscription, the first and those after a lost connection, the listener hears [`Heard::Missed`]: from now on it hears
//! everything, and whatever was said before it has to find out by itself.

use super::link::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, Line, jittered, next_pause};
use super::trouble::{Trouble, checked};
use bytes::Bytes;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Pipeline, PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant};

/// How many messages wait in an ear. Beyond it the listener misses some, and hears that it did.
const EAR_MESSAGES: usize = 256;

/// How many bytes wait in an ear. Bytes.
const EAR_BYTES: usize = 4 * 1024 * 1024;

/// How many messages wait to be sent. Beyond it they are dropped.
const OUT_MESSAGES: usize = 1024;

/// How many bytes wait to be sent. Bytes.
const OUT_BYTES: usize = 8 * 1024 * 1024;

/// How many subscriptions, or messages, are sent together.
const TOGETHER: usize = 256;

/// A channel nobody listens to any more is kept for a moment: whoever leaves a note often comes back to it.
const LINGER: Duration = Duration::from_secs(2);

/// How often the connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(2);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Some messages may have been missed.
    Missed,
    /// A message.
    Message(Bytes),
}

/// Told what is heard, on the connection's task: it must be quick and wait for nothing.
pub(crate) type Listener = Arc<dyn Fn(Heard) + Send + Sync>;

/// Listens and speaks.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    /// A short critical section: no await, no listener called inside.
    channels: Mutex<HashMap<String, Channel>>,
    /// Something in `channels` wants the connection's attention.
    changed: Notify,
    next_listener: AtomicU64,
    out: mpsc::Sender<(String, Bytes)>,
    out_bytes: AtomicUsize,
    dropped: AtomicU64,
    connected: AtomicBool,
}

#[derive(Default)]
struct Channel {
    listeners: Vec<(u64, Listener)>,
    subscription: Subscription,
    /// Since when nobody listens.
    idle_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Subscription {
    #[default]
    Wanted,
    Sent,
    Confirmed,
    /// The user may not: tried again with the next connection.
    Refused,
}

/// The two tasks behind a hub.
pub(crate) struct HubTasks {
    shared: Weak<Shared>,
    client: Client,
    out: mpsc::Receiver<(String, Bytes)>,
    line: Line,
    /// The address may lead to another Redis now.
    renewed: Arc<Notify>,
}

impl fmt::Debug for HubTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubTasks").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub, and what has to run for it. `line` is where messages are sent; `renewed` is told when the address may lead elsewhere.
    pub(crate) fn new(client: Client, line: Line, renewed: Arc<Notify>) -> (Self, HubTasks) {
        let (sender, out) = mpsc::channel(OUT_MESSAGES);
        let shared = Arc::new(Shared {
            channels: Mutex::default(),
            changed: Notify::new(),
            next_listener: AtomicU64::new(0),
            out: sender,
            out_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        });
        let tasks = HubTasks { shared: Arc::downgrade(&shared), client, out, line, renewed };
        (Self { shared }, tasks)
    }

    /// Listens to a channel until the ear is dropped. Hears [`Heard::Missed`] as soon as it really listens.
    #[must_use]
    pub fn listen(&self, channel: &str) -> Ear {
        let (sender, queue) = mpsc::channel(EAR_MESSAGES);
        let inner = Arc::new(EarInner {
            missed: AtomicBool::new(false),
            wake: Notify::new(),
            bytes: AtomicUsize::new(0),
        });
        let state = Arc::clone(&inner);
        let listening = self.listen_with(
            channel,
            Arc::new(move |heard| match heard {
                Heard::Missed => state.miss(),
                Heard::Message(bytes) => {
                    let size = bytes.len();
                    let waiting = state.bytes.fetch_add(size, Ordering::Relaxed);
                    if waiting + size > EAR_BYTES || sender.try_send(bytes).is_err() {
                        state.bytes.fetch_sub(size, Ordering::Relaxed);
                        state.miss();
                    }
                }
            }),
        );
        Ear { queue, inner, _listening: listening }
    }

    /// The same, without a queue.
    pub(crate) fn listen_with(&self, channel: &str, listener: Listener) -> Listening {
        let id = self.shared.next_listener.fetch_add(1, Ordering::Relaxed);
        let already = {
            let mut channels = self.shared.channels();
            let entry = channels.entry(channel.to_owned()).or_default();
            let is_confirmed = entry.subscription == Subscription::Confirmed;
            let already = is_confirmed.then(|| Arc::clone(&listener));
            entry.listeners.push((id, listener));
            entry.idle_since = None;
            already
        };
        match already {
            Some(listener) => listener(Heard::Missed),
            None => self.shared.changed.notify_one(),
        }
        Listening { shared: Arc::downgrade(&self.shared), channel: channel.to_owned(), id }
    }

    /// Says something to whoever listens to the channel, here too. Best effort: when too much waits or Redis is away, it is dropped.
    pub fn publish(&self, channel: &str, message: Bytes) {
        let size = message.len();
        let waiting = self.shared.out_bytes.fetch_add(size, Ordering::Relaxed);
        if waiting + size > OUT_BYTES
            || self.shared.out.try_send((channel.to_owned(), message)).is_err()
        {
            self.shared.out_bytes.fetch_sub(size, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many messages were dropped instead of sent.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether there is a connection that listens.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}

/// Stops listening when dropped.
pub(crate) struct Listening {
    shared: Weak<Shared>,
    channel: String,
    id: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut channels = shared.channels();
        if let Some(channel) = channels.get_mut(&self.channel) {
            channel.listeners.retain(|(id, _)| *id != self.id);
            if channel.listeners.is_empty() {
                channel.idle_since = Some(Instant::now());
            }
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening({})", self.channel)
    }
}

/// Listens to one channel.
#[derive(Debug)]
pub struct Ear {
    queue: mpsc::Receiver<Bytes>,
    inner: Arc<EarInner>,
    _listening: Listening,
}

#[derive(Debug)]
struct EarInner {
    missed: AtomicBool,
    wake: Notify,
    /// Waiting in the queue.
    bytes: AtomicUsize,
}

impl EarInner {
    fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl Ear {
    /// The next thing heard.
    // Cancel safety: nothing is taken before it is returned.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if self.inner.missed.swap(false, Ordering::Acquire) {
                // What waits was said before this moment, and would only keep a slow listener from ever catching up.
                while let Ok(bytes) = self.queue.try_recv() {
                    self.inner.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                }
                return Heard::Missed;
            }
            tokio::select! {
                // Cancel safety: a message that was not received stays in the queue.
                message = self.queue.recv() => match message {
                    Some(bytes) => {
                        self.inner.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                        return Heard::Message(bytes);
                    }
                    // The hub is gone: there is nothing more to hear.
                    None => return std::future::pending().await,
                },
                // Cancel safety: the flag says the same.
                () = self.inner.wake.notified() => {}
            }
        }
    }
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, channel: &str, heard: &Heard) {
        let listeners: Vec<Listener> = match self.channels().get(channel) {
            Some(entry) => entry.listeners.iter().map(|(_, one)| Arc::clone(one)).collect(),
            None => return,
        };
        for listener in listeners {
            listener(heard.clone());
        }
    }

    fn pushed(&self, push: &PushInfo) {
        if push.kind != PushKind::SMessage {
            return;
        }
        if let [Value::BulkString(channel), Value::BulkString(message)] = push.data.as_slice()
            && let Ok(channel) = std::str::from_utf8(channel)
        {
            self.tell(channel, &Heard::Message(Bytes::copy_from_slice(message)));
        }
    }

    /// Channels to subscribe to now.
    fn take_wanted(&self) -> Vec<String> {
        let mut channels = self.channels();
        let wanted =
            channels.iter_mut().filter(|(_, one)| one.subscription == Subscription::Wanted);
        wanted
            .take(TOGETHER)
            .map(|(name, one)| {
                one.subscription = Subscription::Sent;
                name.clone()
            })
            .collect()
    }

    /// Channels nobody has listened to for a while.
    fn take_idle(&self) -> Vec<String> {
        let mut channels = self.channels();
        let is_idle = |one: &Channel| one.idle_since.is_some_and(|since| since.elapsed() >= LINGER);
        let idle = channels.iter().filter(|(_, one)| is_idle(one)).take(TOGETHER);
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        for name in &idle {
            channels.remove(name);
        }
        idle
    }

    fn confirm(&self, name: &str, answer: Value) {
        let outcome = checked(answer);
        let subscription = match &outcome {
            Ok(_) => Subscription::Confirmed,
            Err(trouble) => {
                tracing::warn!(channel = name, ?trouble, "Redis does not let us listen");
                Subscription::Refused
            }
        };
        if let Some(channel) = self.channels().get_mut(name) {
            channel.subscription = subscription;
        }
        if outcome.is_ok() {
            self.tell(name, &Heard::Missed);
        }
    }

    fn connection_lost(&self) {
        self.connected.store(false, Ordering::Relaxed);
        for channel in self.channels().values_mut() {
            channel.subscription = Subscription::Wanted;
        }
    }
}

impl HubTasks {
    /// Runs until the hub is dropped.
    pub(crate) async fn run(self) {
        let Self { shared, client, out, line, renewed } = self;
        tokio::join!(listen(&shared, &client, &renewed), speak(&shared, out, &line));
    }
}

async fn listen(shared: &Weak<Shared>, client: &Client, renewed: &Notify) {
    let mut pause = Duration::ZERO;
    loop {
        let lost = Arc::new(Notify::new());
        let Some(connected) = connect(shared, client, &lost).await else { return };
        match connected {
            Ok(connection) => {
                pause = Duration::ZERO;
                let why = serve(shared, connection, &lost, renewed).await;
                let Some(shared) = shared.upgrade() else { return };
                shared.connection_lost();
                tracing::warn!(?why, "nothing is heard from other instances until Redis is back");
            }
            Err(error) => tracing::debug!(%error, "no connection to listen on"),
        }
        pause = next_pause(pause);
        tokio::time::sleep(jittered(pause)).await;
    }
}

/// `None` when the hub is gone.
async fn connect(
    shared: &Weak<Shared>,
    client: &Client,
    lost: &Arc<Notify>,
) -> Option<redis::RedisResult<MultiplexedConnection>> {
    shared.upgrade()?;
    let (hears, lost) = (shared.clone(), Arc::clone(lost));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_push_sender(move |push: PushInfo| -> Result<(), redis::aio::SendError> {
            if push.kind == PushKind::Disconnection {
                lost.notify_one();
            } else if let Some(shared) = hears.upgrade() {
                shared.pushed(&push);
            }
            Ok(())
        });
    Some(client.get_multiplexed_async_connection_with_config(&config).await)
}

/// Keeps the subscriptions as they should be until the connection is lost, and says why it was.
async fn serve(
    weak: &Weak<Shared>,
    mut connection: MultiplexedConnection,
    lost: &Notify,
    renewed: &Notify,
) -> Option<Trouble> {
    let mut pings = tokio::time::interval(PING);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let shared = weak.upgrade()?;
        shared.connected.store(true, Ordering::Relaxed);
        let wanted = shared.take_wanted();
        if !wanted.is_empty() {
            match send(&mut connection, "SSUBSCRIBE", &wanted).await {
                Ok(answers) => {
                    wanted
                        .iter()
                        .zip(answers)
                        .for_each(|(name, answer)| shared.confirm(name, answer));
                }
                Err(trouble) => return Some(trouble),
            }
            continue;
        }
        let idle = shared.take_idle();
        if !idle.is_empty() {
            if let Err(trouble) = send(&mut connection, "SUNSUBSCRIBE", &idle).await {
                return Some(trouble);
            }
            // Somebody may have begun to listen to one of them meanwhile; it was made anew then, and is subscribed again.
            continue;
        }
        tokio::select! {
            // Cancel safety: `channels` says what changed.
            () = shared.changed.notified() => {}
            () = lost.notified() => return Some(Trouble::Lost("the connection was closed".into())),
            () = renewed.notified() => {
                return Some(Trouble::NotPrimary("another Redis may be in charge".into()));
            }
            _ = pings.tick() => {
                if let Err(trouble) = send(&mut connection, "PING", &[]).await {
                    return Some(trouble);
                }
            }
        }
    }
}

/// One command for each channel, or one without any.
async fn send(
    connection: &mut MultiplexedConnection,
    command: &str,
    channels: &[String],
) -> Result<Vec<Value>, Trouble> {
    let mut commands = Pipeline::new();
    for channel in channels {
        commands.cmd(command).arg(channel);
    }
    if channels.is_empty() {
        commands.cmd(command);
    }
    connection
        .req_packed_commands(&commands, 0, commands.len())
        .await
        .map_err(|error| Trouble::of_connection(&error))
}

/// Sends what waits, one batch at a time.
async fn speak(shared: &Weak<Shared>, mut out: mpsc::Receiver<(String, Bytes)>, line: &Line) {
    let mut batch = Vec::new();
    while out.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut commands = Pipeline::with_capacity(batch.len());
        let mut bytes = 0;
        for (channel, message) in &batch {
            commands.cmd("SPUBLISH").arg(channel).arg(&message[..]);
            bytes += message.len();
        }
        let sent = line.ask(&commands).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.out_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let refused = match sent {
            Ok(answers) => {
                answers.into_iter().filter(|answer| matches!(answer, Value::ServerError(_))).count()
            }
            Err(_) => batch.len(),
        };
        shared.dropped.fetch_add(refused as u64, Ordering::Relaxed);
        batch.clear();
    }
}
