//! How does a test run a Redis of its own, and harm it in every way a Redis can be harmed?
//!
//! Each is a real `redis-server` with a folder of its own. Its ports are outside the range from which outgoing connections take theirs, so
//! that the port is still free when it is started again.

use crate::patiently;
use crate::resp::{self, Value};
use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

/// How often a test looks whether something has come about that sends no signal.
const LOOK: Duration = Duration::from_millis(20);

/// Where to look for ports.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Waits until something has come about that sends no signal.
///
/// # Panics
/// When it does not.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_so().await {
            looks.tick().await;
        }
    };
    patiently(what, looking).await;
}

/// A running Redis. Killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    options: Vec<String>,
    /// Until it is killed.
    child: Option<Child>,
}

impl RedisServer {
    /// One that says yes only when it is on the disk, and throws nothing away.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with these options as well.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn with(options: &[&str]) -> Self {
        for _ in 0..100 {
            let port = rand::rng().random_range(PORTS);
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            let mut server = Self {
                address: ([127, 0, 0, 1], port).into(),
                folder: tempfile::tempdir().expect("a folder"),
                options: options.iter().map(|&option| option.to_owned()).collect(),
                child: None,
            };
            if server.try_start().await {
                return server;
            }
        }
        panic!("no Redis can be started here");
    }

    /// Starts it again, where it was and with what it has on the disk.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        assert!(self.try_start().await, "Redis ended: {}", self.log());
    }

    /// Whether it has come up; not, if somebody else has taken its port.
    async fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(self.folder.path());
        command.args(["--logfile", "redis.log", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        command
            .args(["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"])
            .args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("redis-server cannot be run ({error}): apt-get install redis-server")
        }));
        let mut is_up = false;
        eventually("Redis to come up", async || {
            // Somebody else's Redis may have taken the port meanwhile.
            let id = self.child.as_ref().expect("it was started").id();
            is_up = match self.ask(&["INFO", "server"]).await {
                Ok(info) => {
                    info.text().is_some_and(|info| info.contains(&format!("process_id:{id}\r")))
                }
                Err(_) => false,
            };
            let child = self.child.as_mut().expect("it was started");
            is_up || child.try_wait().expect("the child is ours").is_some()
        })
        .await;
        if !is_up {
            self.child = None;
        }
        is_up
    }

    /// How a server is told where it is.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            drop(child.wait());
        }
    }

    /// It hangs until [`RedisServer::go_on`].
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// It hangs no more.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("the process is there");
    }

    /// Asks it something; what it refuses is an `Err`.
    ///
    /// # Errors
    /// What Redis said, or why it could not be asked.
    pub async fn ask(&self, words: &[&str]) -> Result<Value, String> {
        let asking = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(&resp::command(words)).await?;
            let mut answer = Vec::new();
            loop {
                if let Some((value, _)) = resp::parse(&answer) {
                    return Ok(value);
                }
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        let answer: std::io::Result<Value> = patiently("an answer of Redis", asking).await;
        match answer.map_err(|error| error.to_string())? {
            Value::Error(words) => Err(words),
            value => Ok(value),
        }
    }

    /// Tells it something that it must do.
    ///
    /// # Panics
    /// When it does not.
    pub async fn tell(&self, words: &[&str]) -> Value {
        let answer = self.ask(words).await;
        answer.unwrap_or_else(|error| panic!("Redis refuses {words:?}: {error}"))
    }

    /// Changes an option while it runs.
    pub async fn set(&self, option: &str, value: &str) {
        self.tell(&["CONFIG", "SET", option, value]).await;
    }

    /// Makes it follow another one, and waits until it has all that the other one has.
    pub async fn follow(&self, primary: SocketAddr) {
        self.tell(&["REPLICAOF", &primary.ip().to_string(), &primary.port().to_string()]).await;
        eventually("the replica to catch up", async || {
            self.info("replication").await.contains("master_link_status:up")
        })
        .await;
    }

    /// It follows nobody any more and takes writes.
    pub async fn promote(&self) {
        self.tell(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// A section of what it says about itself.
    pub async fn info(&self, section: &str) -> String {
        self.tell(&["INFO", section]).await.text().expect("INFO is text")
    }

    /// One number out of it.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn number(&self, section: &str, name: &str) -> u64 {
        let info = self.info(section).await;
        let found = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{name} is not in {info}"))
    }

    /// What is on its disk now, as a backup would have it.
    #[must_use]
    pub fn disk(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        copy_files(&self.append_only(), copy.path());
        copy
    }

    /// Puts this in the place of what is on its disk.
    ///
    /// # Panics
    /// While it runs: it would not notice.
    pub fn put_back(&self, disk: &Path) {
        assert!(self.child.is_none(), "it still runs");
        fs::remove_dir_all(self.append_only()).expect("it was there");
        copy_files(disk, &self.append_only());
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn append_only(&self) -> PathBuf {
        self.folder.path().join("appendonlydir")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a server is told to find a Redis there.
#[must_use]
pub fn url(address: SocketAddr) -> String {
    format!("redis://{address}")
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("an entry of a folder");
        fs::copy(file.path(), to.join(file.file_name())).expect("it can be copied");
    }
}
