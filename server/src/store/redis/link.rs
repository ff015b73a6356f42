//! How do we speak to Redis, and how do we notice that it is away?
//!
//! A [`Line`] is one connection that comes back: it is made when somebody asks, thrown away when an answer is lost, and not tried again
//! before a pause that grows to [`MAX_PAUSE`]. Who asks during the pause is told at once; nobody waits for a Redis that is away.
//!
//! The [`Link`] has four lines, so that what takes long holds up nothing else: appends (`WAIT` stops a connection), questions, large
//! objects, and a pulse that asks every second whether anybody is there.

use super::check::Guard;
use super::trouble::{Trouble, checked};
use crate::store::StoreError;
use rand::RngExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, ProtocolVersion, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Duration, Instant};

/// How long a connection may take, with its handshake. A Redis that hangs accepts connections and says nothing. Nobody is kept waiting
/// longer than this by a Redis that is known to be away.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take before its outcome counts as unknown: far more than a Redis that is only slow needs, and short enough
/// that a room can try again while people look at the save label.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for large objects: each piece is small, but many may be asked for at once over a slow line.
const BULK_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after the first failed connection. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause: after Redis is back, everything works again soon after.
const MAX_PAUSE: Duration = Duration::from_millis(1000);

/// How often the pulse asks.
const PULSE: Duration = Duration::from_secs(1);

/// Every so many questions of the pulse, Redis is asked as well whether it still keeps what is promised: settings can be changed while it runs.
const ADMIT_EVERY: u64 = 5;

/// How long the pulse waits for its answer.
const PULSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Without an answer for so long, at least one question of the pulse has failed: touch is lost.
const TOUCH: Duration = Duration::from_millis(3000);

/// How long the probe key stays. Seconds.
const PROBE_SECONDS: u64 = 60;

/// One connection that comes back.
#[derive(Clone)]
pub(crate) struct Line(Arc<Inner>);

struct Inner {
    client: Client,
    /// Looks at whom a new connection leads to.
    guard: Option<Guard>,
    config: AsyncConnectionConfig,
    /// Held while connecting: whoever else asks waits for the same attempt.
    state: Mutex<State>,
    touched: Arc<Touched>,
}

struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that one that was lost is thrown away once.
    number: u64,
    pause: Duration,
    not_before: Instant,
    /// When the last attempt failed, on the clock of `touched`: an answer on another line since then ends the pause.
    failed_at: u64,
    why: String,
}

impl Line {
    fn new(
        client: Client,
        answer_timeout: Duration,
        touched: Arc<Touched>,
        guard: Option<Guard>,
    ) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(answer_timeout));
        let state = State {
            connection: None,
            number: 0,
            pause: Duration::ZERO,
            not_before: Instant::now(),
            failed_at: 0,
            why: String::new(),
        };
        Self(Arc::new(Inner { client, guard, config, state: Mutex::new(state), touched }))
    }

    /// The connection, made if need be.
    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Trouble> {
        let mut state = self.0.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((state.number, connection.clone()));
        }
        if Instant::now() < state.not_before && self.0.touched.last() <= state.failed_at {
            return Err(Trouble::Refused(state.why.clone()));
        }
        match Box::pin(self.connect()).await {
            Ok(connection) => {
                state.number += 1;
                state.pause = Duration::ZERO;
                state.connection = Some(connection.clone());
                Ok((state.number, connection))
            }
            Err(trouble) => {
                state.pause = next_pause(state.pause);
                state.not_before = Instant::now() + jittered(state.pause);
                // One that answers and is not fit is answering all the time: only the pause counts.
                let is_unfit = matches!(trouble, Trouble::NotPrimary(_));
                state.failed_at = if is_unfit { u64::MAX } else { self.0.touched.now() };
                if let Trouble::Refused(why) | Trouble::NotPrimary(why) = &trouble {
                    state.why.clone_from(why);
                }
                Err(trouble)
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Trouble> {
        let connecting = self.0.client.get_multiplexed_async_connection_with_config(&self.0.config);
        let mut connection = connecting.await.map_err(|error| Trouble::of_connecting(&error))?;
        if let Some(guard) = &self.0.guard {
            guard.admit(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Asks whoever is at the other end again whether it keeps what is promised.
    async fn admit_again(&self) -> Result<(), Trouble> {
        let Some(guard) = &self.0.guard else { return Ok(()) };
        let (_, mut connection) = self.connection().await?;
        Box::pin(guard.admit(&mut connection)).await
    }

    /// Throws away a connection that is of no use, unless that has happened already.
    async fn lost(&self, number: u64) {
        let mut state = self.0.state.lock().await;
        if state.number == number {
            state.connection = None;
        }
    }

    /// Throws the connection away, whichever it is: the next one may reach another Redis.
    pub(crate) async fn renew(&self) {
        self.0.state.lock().await.connection = None;
    }

    /// Sends commands together; one answer each, which may be an error of its own. An `Err` is about all of them.
    // Cancel safety: what was sent is not taken back.
    pub(crate) async fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>, Trouble> {
        let (number, mut connection) = self.connection().await?;
        match connection.req_packed_commands(commands, 0, commands.len()).await {
            Ok(values) if values.len() == commands.len() => {
                self.0.touched.note(&values);
                Ok(values)
            }
            Ok(_) => {
                self.lost(number).await;
                Err(Trouble::Lost("Redis answered something else than it was asked".into()))
            }
            Err(error) => {
                self.lost(number).await;
                Err(Trouble::of_connection(&error))
            }
        }
    }

    /// Sends one command.
    pub(crate) async fn ask_one(&self, command: Cmd) -> Result<Value, Trouble> {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(command);
        let value = self.ask(&commands).await?.pop();
        checked(value.unwrap_or(Value::Nil))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// The next pause between attempts to connect.
pub(crate) fn next_pause(pause: Duration) -> Duration {
    (pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE)
}

/// Between half of it and all of it, so that instances do not come back in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// When Redis last answered something useful.
#[derive(Debug)]
struct Touched {
    zero: Instant,
    /// Microseconds since `zero`.
    at: AtomicU64,
}

impl Touched {
    fn new() -> Self {
        Self { zero: Instant::now(), at: AtomicU64::new(0) }
    }

    fn note(&self, values: &[Value]) {
        let useful = |value: &Value| match value {
            Value::ServerError(error) => Trouble::of_answer(error).is_in_touch(),
            _ => true,
        };
        if values.iter().any(useful) {
            self.at.fetch_max(self.now(), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn last(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }

    fn ago(&self) -> Duration {
        Duration::from_micros(self.now().saturating_sub(self.last()))
    }
}

/// Whether writes can be expected to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// Redis has no memory left.
    Full,
    /// In plain words.
    Away(String),
    /// Closed on request.
    Closed,
}

/// All connections of one store but the one that listens.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    /// Appends and other small writes that count as done.
    pub(crate) writes: Line,
    /// Small questions.
    pub(crate) reads: Line,
    /// Pieces of large objects.
    pub(crate) bulk: Line,
    pulse: Line,
    touched: Arc<Touched>,
    health: watch::Sender<Health>,
    probe: String,
    replicas: Option<u8>,
    /// Tells the hub, which has a connection of its own.
    renewed: Arc<Notify>,
}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// It does not say where.
    #[error("this is no address of a Redis: it looks like redis://user:password@host:6379/0")]
    Unreadable(#[source] redis::RedisError),
}

impl Link {
    /// Prepares the lines. Nothing is connected yet. `probe` is a key to write when it is not known whether Redis takes writes, and
    /// `replicas` how many must have taken them.
    pub(crate) fn new(
        address: &str,
        probe: String,
        replicas: Option<u8>,
        guard: Option<&Guard>,
    ) -> Result<Self, BadAddress> {
        let client = open(address)?;
        let touched = Arc::new(Touched::new());
        let line = |timeout| Line::new(client.clone(), timeout, Arc::clone(&touched), None);
        // Those that say whether writing works. The others only read, or write what does not count yet.
        let guarded =
            |timeout| Line::new(client.clone(), timeout, Arc::clone(&touched), guard.cloned());
        Ok(Self {
            writes: guarded(ANSWER_TIMEOUT),
            reads: line(ANSWER_TIMEOUT),
            bulk: line(BULK_TIMEOUT),
            pulse: guarded(PULSE_TIMEOUT),
            touched,
            health: watch::Sender::new(Health::Well),
            probe,
            replicas,
            renewed: Arc::new(Notify::new()),
            client,
        })
    }

    /// For connections of another kind to the same Redis.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Resolves when all connections are thrown away.
    pub(crate) fn renewed(&self) -> Arc<Notify> {
        Arc::clone(&self.renewed)
    }

    pub(crate) fn health(&self) -> Result<(), StoreError> {
        match &*self.health.borrow() {
            Health::Well => Ok(()),
            Health::Full => Err(StoreError::Full),
            Health::Away(why) => Err(StoreError::Away(why.clone())),
            Health::Closed => Err(closed()),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.health.borrow() == Health::Closed
    }

    /// For how long Redis has not answered, if it should have.
    pub(crate) fn out_of_touch(&self) -> Option<Duration> {
        let ago = self.touched.ago();
        (ago >= TOUCH).then_some(ago)
    }

    /// Notes that a write succeeded, or why it did not.
    pub(crate) fn wrote(&self, outcome: Result<(), &Trouble>) {
        match outcome {
            Ok(()) => self.become_(Health::Well),
            Err(Trouble::Full) => self.become_(Health::Full),
            Err(
                Trouble::Refused(why)
                | Trouble::NotPrimary(why)
                | Trouble::Lost(why)
                | Trouble::Damaged(why),
            ) => self.become_(Health::Away(why.clone())),
            Err(Trouble::NoScript) => {}
        }
    }

    pub(crate) fn close(&self) {
        self.health.send_replace(Health::Closed);
    }

    fn become_(&self, health: Health) {
        self.health.send_if_modified(|now| {
            if *now == health || *now == Health::Closed {
                return false;
            }
            match &health {
                Health::Well => tracing::info!("Redis takes writes"),
                Health::Full => tracing::error!(
                    "Redis has no memory left: edits wait in their authors' clients until there is room again"
                ),
                Health::Away(why) => tracing::error!(
                    why,
                    "Redis takes no writes: edits wait in their authors' clients until it does again"
                ),
                Health::Closed => {}
            }
            *now = health;
            true
        });
    }

    /// Throws all connections away: the address may lead to another Redis now.
    pub(crate) async fn renew(&self) {
        for line in [&self.writes, &self.reads, &self.bulk, &self.pulse] {
            line.renew().await;
        }
        self.renewed.notify_one();
    }

    /// Asks every second whether Redis is there. While it is not known to take writes, it is asked to write: reading works on a replica
    /// and on a full or broken disk too.
    pub(crate) async fn watch(&self) {
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for beat in 1_u64.. {
            ticks.tick().await;
            let mut outcome = self.beat().await;
            if outcome.is_ok() && beat.is_multiple_of(ADMIT_EVERY) {
                outcome = self.pulse.admit_again().await;
            }
            if matches!(outcome, Err(Trouble::NotPrimary(_))) {
                self.renew().await;
            }
            self.wrote(outcome.as_ref().copied());
        }
    }

    /// One question of the pulse.
    pub(crate) async fn beat(&self) -> Result<(), Trouble> {
        let mut commands = Pipeline::new();
        if *self.health.borrow() == Health::Well {
            commands.cmd("PING");
        } else {
            commands.cmd("SET").arg(&self.probe).arg(1).arg("EX").arg(PROBE_SECONDS);
            if let Some(replicas) = self.replicas {
                commands.cmd("WAIT").arg(replicas).arg(PULSE_TIMEOUT.as_millis() as u64 / 2);
            }
        }
        for value in self.pulse.ask(&commands).await? {
            if let (Value::Int(took), Some(wanted)) = (checked(value)?, self.replicas) {
                enough_replicas(took, wanted)?;
            }
        }
        Ok(())
    }
}

/// Whether `WAIT` counted as many as were wanted. It answers as calmly when it did not.
pub(crate) fn enough_replicas(took: i64, wanted: u8) -> Result<(), Trouble> {
    if took >= i64::from(wanted) {
        return Ok(());
    }
    Err(Trouble::Lost(format!("only {took} of {wanted} replicas of Redis confirmed a write")))
}

pub(crate) fn closed() -> StoreError {
    StoreError::Away("the store is closed".into())
}

/// A client for an address. Always RESP3: messages and answers share a connection.
pub(super) fn open(address: &str) -> Result<Client, BadAddress> {
    // Encrypted connections need somebody who computes; whoever came first may stay.
    drop(rustls::crypto::ring::default_provider().install_default());
    let info =
        redis::IntoConnectionInfo::into_connection_info(address).map_err(BadAddress::Unreadable)?;
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        // It would need a right of its own, for a name that nobody reads.
        .set_skip_set_lib_name();
    let sockets = info.tcp_settings().clone().set_nodelay(true).set_user_timeout(ANSWER_TIMEOUT);
    let info = info.set_redis_settings(settings).set_tcp_settings(sockets);
    Client::open(info).map_err(BadAddress::Unreadable)
}
