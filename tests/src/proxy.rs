//! How does a test stand between a server and its Redis, and make the way between them bad?
//!
//! Everything can be changed while it runs. What a way holds back is delivered late and in order, as TCP does after a partition: an append that
//! its author has long given up may still arrive.

use crate::resp::{self, Value};
use bytes::Bytes;
use commonplace::shutdown::Tasks;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Chunks on one way at once: as much as two kernels' buffers and a long cable hold.
const ON_THE_WAY: usize = 1024;

/// One chunk. Bytes.
const CHUNK: usize = 16 * 1024;

/// What one direction of every connection is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// How long everything takes.
    pub delay: Duration,
    /// Nothing arrives until this is over.
    pub holds: bool,
}

/// What all connections are like now.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Where new connections lead.
    pub upstream: SocketAddr,
    /// From the server to Redis.
    pub there: Way,
    /// From Redis to the server.
    pub back: Way,
    /// Pushed messages on channels with this ending are lost; all of them if it is empty.
    pub deaf_to: Option<&'static str>,
    /// Nobody is let through.
    pub refuses: bool,
    /// Connections end after a command with this word, before its answer arrives; so many times.
    pub cuts_answers_to: Option<(&'static str, u32)>,
    /// Connections that were begun before this many cuts are ended.
    cuts: u64,
    /// How many answers have been cut off so far.
    answers_cut: u64,
    /// How many pushed messages have been lost so far.
    pushes_lost: u64,
}

/// A proxy. Gone when dropped, with all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    accepting: JoinHandle<()>,
}

/// What a proxy carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    /// Clients' connections: messages can be told apart, and lost one by one.
    Messages,
    /// Anything: what a replica is sent is no sequence of messages.
    Bytes,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl FaultProxy {
    /// A proxy for clients of Redis, in good weather.
    pub async fn to(upstream: SocketAddr) -> Self {
        Self::start(upstream, Carries::Messages).await
    }

    /// A proxy for a replica. It is deaf to nothing.
    pub async fn for_replica(upstream: SocketAddr) -> Self {
        Self::start(upstream, Carries::Bytes).await
    }

    async fn start(upstream: SocketAddr, carries: Carries) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let weather = Arc::new(watch::Sender::new(Weather {
            upstream,
            there: Way::default(),
            back: Way::default(),
            deaf_to: None,
            refuses: false,
            cuts_answers_to: None,
            cuts: 0,
            answers_cut: 0,
            pushes_lost: 0,
        }));
        let shared = Arc::clone(&weather);
        let tasks = Tasks::new();
        let accepting = tasks.clone().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !shared.borrow().refuses {
                    tasks.spawn(carry(client, Arc::clone(&shared), carries));
                }
            }
        });
        Self { address, weather, accepting }
    }

    /// Changes the weather.
    pub fn set(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.set(|weather| weather.cuts += 1);
    }

    /// The weather is good again.
    pub fn clear(&self) {
        self.set(|weather| {
            weather.there = Way::default();
            weather.back = Way::default();
            weather.deaf_to = None;
            weather.refuses = false;
            weather.cuts_answers_to = None;
        });
    }

    /// Leads somewhere else from now on, as a name does after a failover.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.set(|weather| weather.upstream = upstream);
        self.cut();
    }

    /// How many answers were cut off so far.
    #[must_use]
    pub fn answers_cut(&self) -> u64 {
        self.weather.borrow().answers_cut
    }

    /// How many pushed messages were lost so far.
    #[must_use]
    pub fn pushes_lost(&self) -> u64 {
        self.weather.borrow().pushes_lost
    }
}

type Shared = Arc<watch::Sender<Weather>>;

async fn carry(client: TcpStream, weather: Shared, carries: Carries) {
    let (upstream, cuts) = (weather.borrow().upstream, weather.borrow().cuts);
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    for socket in [&client, &server] {
        // A delay of the kernel's own is not what the test asked for.
        socket.set_nodelay(true).ok();
    }
    let ((client_read, client_write), (server_read, server_write)) =
        (client.into_split(), server.into_split());
    // Whether the next answer on this connection is not to arrive.
    let doomed = AtomicBool::new(false);
    let mut until = weather.subscribe();
    tokio::select! {
        () = async {
            tokio::join!(
                there(client_read, server_write, &weather, &doomed),
                back(server_read, client_write, &weather, &doomed, carries)
            );
        } => {}
        _ = until.wait_for(|now| now.cuts != cuts) => {}
        () = is_cut(&weather, &doomed) => {}
    }
}

/// Resolves when an answer has been cut off on this connection.
async fn is_cut(weather: &Shared, doomed: &AtomicBool) {
    let mut cut = weather.subscribe();
    let mut before = weather.borrow().answers_cut;
    loop {
        let Ok(now) = cut.wait_for(|now| now.answers_cut != before).await else { return };
        before = now.answers_cut;
        drop(now);
        if doomed.load(Ordering::Relaxed) {
            return;
        }
    }
}

async fn there(
    mut from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    weather: &Shared,
    doomed: &AtomicBool,
) {
    let (sender, queue) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        let mut chunk = vec![0; CHUNK];
        loop {
            let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
            let bytes = Bytes::copy_from_slice(&chunk[..count]);
            weather.send_if_modified(|weather| match &mut weather.cuts_answers_to {
                Some((word, left @ 1..)) if contains(&bytes, word) => {
                    *left -= 1;
                    doomed.store(true, Ordering::Relaxed);
                    true
                }
                _ => false,
            });
            let arrives = Instant::now() + weather.borrow().there.delay;
            if sender.send((arrives, bytes)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, deliver(queue, to, weather.subscribe(), |weather| weather.there.holds));
}

async fn back(
    mut from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    weather: &Shared,
    doomed: &AtomicBool,
    carries: Carries,
) {
    let (sender, queue) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        let (mut chunk, mut rest) = (vec![0; CHUNK], Vec::new());
        loop {
            let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
            if doomed.load(Ordering::Relaxed) {
                weather.send_modify(|weather| weather.answers_cut += 1);
                return;
            }
            rest.extend_from_slice(&chunk[..count]);
            let kept = match carries {
                Carries::Bytes => std::mem::take(&mut rest),
                Carries::Messages => take_messages(&mut rest, weather),
            };
            let arrives = Instant::now() + weather.borrow().back.delay;
            if !kept.is_empty() && sender.send((arrives, kept.into())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, deliver(queue, to, weather.subscribe(), |weather| weather.back.holds));
}

/// Takes the messages that are whole, without those that nobody is to hear.
fn take_messages(bytes: &mut Vec<u8>, weather: &Shared) -> Vec<u8> {
    let (mut whole, mut kept) = (0, Vec::new());
    while let Some((value, length)) = resp::parse(&bytes[whole..]) {
        let deaf_to = weather.borrow().deaf_to;
        if deaf_to.is_some_and(|ending| is_said_on(&value, ending)) {
            weather.send_modify(|weather| weather.pushes_lost += 1);
        } else {
            kept.extend_from_slice(&bytes[whole..whole + length]);
        }
        whole += length;
    }
    bytes.drain(..whole);
    kept
}

/// Writes what is on the way when its time has come, and its end after it.
async fn deliver(
    mut queue: mpsc::Receiver<(Instant, Bytes)>,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    holds: impl Fn(&Weather) -> bool,
) {
    loop {
        let next = queue.recv().await;
        if let Some((arrives, _)) = &next {
            sleep_until(*arrives).await;
        }
        if weather.wait_for(|now| !holds(now)).await.is_err() {
            return;
        }
        let Some((_, bytes)) = next else { break };
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The other side may be gone already.
    to.shutdown().await.ok();
}

/// Whether this is something said on a channel with this ending.
fn is_said_on(value: &Value, ending: &str) -> bool {
    let Value::Push(parts) = value else { return false };
    let part = |n: usize| parts.get(n).and_then(Value::text).unwrap_or_default();
    ["message", "smessage"].contains(&part(0).as_str()) && part(1).ends_with(ending)
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}
