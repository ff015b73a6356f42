//! How does a test run the server as a process of its own, and end it in every way a process can end?
//!
//! The program is the one that `COMMONPLACE_BIN` names, or else the one that cargo has put beside the tests.

use crate::{Client, patiently};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Thousands of clients share the tests' own process, so each has small buffers. Bytes.
const CLIENT_BUFFER: usize = 4 * 1024;

/// Where the program is.
///
/// # Panics
/// Where there is none, with the command that makes it.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("COMMONPLACE_BIN") {
        return given.into();
    }
    let test = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/faults-… beside target/debug/commonplace.
    let beside = test.ancestors().nth(2).expect("tests are in a folder").join("commonplace");
    assert!(
        beside.exists(),
        "{} is not there: run `cargo build -p commonplace` first, or name the program in COMMONPLACE_BIN",
        beside.display()
    );
    beside
}

/// A server to be, as a process.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    log: PathBuf,
}

impl Launch {
    /// The sandbox on a free port, with its data in this folder.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self::under(&[], data)
    }

    /// The same under another program, which is given the server's command line: a tracer, or a shell that sets limits.
    #[must_use]
    pub fn under(wrapper: &[&str], data: &Path) -> Self {
        let mut words = wrapper.iter().map(PathBuf::from).chain([program()]);
        let mut command = Command::new(words.next().expect("there is at least the program"));
        command.args(words);
        command.args(["serve", "--open", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        // What was set for another server must not reach this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COMMONPLACE_") {
                command.env_remove(name);
            }
        }
        Self { command, log: data.with_extension("log") }
    }

    /// One more word on the command line.
    #[must_use]
    pub fn arg(mut self, word: &str) -> Self {
        self.command.arg(word);
        self
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(self) -> Process {
        match self.try_start().await {
            Ok(process) => process,
            Err(ended) => panic!("the server did not start: {ended:?}"),
        }
    }

    /// Starts it, and waits until it listens or has ended.
    pub async fn try_start(mut self) -> Result<Process, Ended> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the log can be written beside the data");
        // A group of its own: whatever runs above the server ends with it.
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = self.command.spawn().expect("the program can be run");
        let mut out = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let pid = Some(Pid::from_child(&child));
        let address = ([127, 0, 0, 1], 0).into();
        let mut process = Process { child: Some(child), pid, address, log: self.log };
        let first = spawn_blocking(move || {
            let mut line = String::new();
            out.read_line(&mut line).expect("its output is text");
            line
        });
        let line =
            patiently("the server's first line", first).await.expect("reading does not panic");
        match line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next()) {
            Some(address) => {
                process.address = address.trim().parse().expect("it says where it listens");
                Ok(process)
            }
            None => Err(process.ended().await),
        }
    }
}

/// How a process has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What it logged, in all its lives in this data folder.
    pub log: String,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    /// Until it is waited for.
    child: Option<Child>,
    /// Until it has ended: afterwards the number may be another process's.
    pid: Option<Pid>,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// `kill -9`: it ends in the middle of whatever it does.
    pub async fn kill(mut self) -> Ended {
        self.end_group();
        self.ended().await
    }

    /// Asks it to stop (SIGTERM), or otherwise signals it.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid.expect("the process has not ended");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn ended(&mut self) -> Ended {
        let mut child = self.child.take().expect("it is waited for once");
        // Waiting blocks. If this is given up, dropping the server still ends it, and the waiting with it.
        let waiting = spawn_blocking(move || child.wait().expect("the child is ours"));
        let status =
            patiently("the process to end", waiting).await.expect("waiting does not panic");
        self.pid = None;
        Ended { code: status.code(), signal: status.signal(), log: self.log() }
    }

    /// What it has logged so far, in all its lives in this data folder.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its number.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.expect("the process has not ended").as_raw_nonzero().get()
    }

    /// Where it logs.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.log.clone()
    }

    /// Memory it holds now. Bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status_line("VmRSS:")
    }

    /// The most memory it ever held. Bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn most_resident(&self) -> u64 {
        self.status_line("VmHWM:")
    }

    fn status_line(&self, name: &str) -> u64 {
        let pid = self.pid.expect("the process has not ended");
        let path = format!("/proc/{}/status", pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("the server has ended: {}", self.log()));
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>();
        kilobytes.expect("a number of kilobytes") * 1024
    }

    fn end_group(&self) {
        // It may have ended by itself.
        if let Some(pid) = self.pid {
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_group();
        // Nothing is left of it when the folder goes.
        if let Some(mut child) = self.child.take() {
            drop(child.wait());
        }
    }
}

/// Opens a WebSocket to a server that may be gone at any moment.
///
/// # Errors
/// When it is gone, or refuses.
pub async fn dial(address: SocketAddr, path: &str) -> Result<Client, Error> {
    let request = format!("ws://{address}{path}").into_client_request()?;
    let stream = TcpStream::connect(address).await.map_err(Error::Io)?;
    stream.set_nodelay(true).map_err(Error::Io)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(CLIENT_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(usize::MAX);
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let (socket, _) = patiently("a handshake", opening).await?;
    Ok(Client { socket })
}

/// Runs the program with these words, to its end; its code, and all it said.
///
/// # Panics
/// When it cannot be run.
pub async fn run(words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = spawn_blocking(move || {
        let mut child = command.spawn().expect("the program can be run");
        let mut said = String::new();
        let streams: [Option<Box<dyn Read>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as Box<dyn Read>),
            child.stderr.take().map(|err| Box::new(err) as Box<dyn Read>),
        ];
        for mut stream in streams.into_iter().flatten() {
            stream.read_to_string(&mut said).expect("it says text");
        }
        (child.wait().expect("the child is ours").code(), said)
    });
    patiently("the program to end", ended).await.expect("running does not panic")
}

/// Sends a binary message to a peer that may be gone; whether it was taken.
pub async fn send(client: &mut Client, message: Vec<u8>) -> bool {
    use futures_util::SinkExt;
    client.socket.send(Message::Binary(message.into())).await.is_ok()
}

/// Each client is a file descriptor: takes as many as the system allows.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}
