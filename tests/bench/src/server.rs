//! Who is measured? Ours and the others, each as a process of its own on the servers' core.

use crate::clock::{now, pause};
use crate::dialect::Dialect;
use crate::machine::{Cores, pin};
use crate::{Outcome, machine};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The slowest start of a server on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Between two looks at a port that is not open yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ours, spoken to as Hocuspocus providers do.
    Commonplace,
    /// Ours, spoken to as y-websocket does.
    CommonplaceYWebsocket,
    /// `@hocuspocus/server` with a database in memory.
    Hocuspocus,
    /// The server that comes with `y-websocket`.
    YWebsocket,
    /// y-sweet, with its documents in files.
    YSweet,
    /// The floor: no CRDT, no storage, no checks.
    Relay,
}

impl Kind {
    /// Everybody.
    pub const ALL: [Self; 6] = [
        Self::Hocuspocus,
        Self::Commonplace,
        Self::CommonplaceYWebsocket,
        Self::YWebsocket,
        Self::YSweet,
        Self::Relay,
    ];

    /// Its name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commonplace => "commonplace",
            Self::CommonplaceYWebsocket => "commonplace (y-websocket)",
            Self::Hocuspocus => "hocuspocus",
            Self::YWebsocket => "y-websocket",
            Self::YSweet => "y-sweet",
            Self::Relay => "relay",
        }
    }

    const fn dialect(self) -> Dialect {
        match self {
            Self::Commonplace | Self::Hocuspocus => Dialect::Hocuspocus,
            Self::CommonplaceYWebsocket | Self::YWebsocket | Self::Relay => Dialect::YWebsocket,
            Self::YSweet => Dialect::YSweet,
        }
    }
}

/// How a crowd reaches a server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// Whose paths.
    pub kind: Kind,
}

impl Endpoint {
    /// The path of a document's socket.
    #[must_use]
    pub fn path(&self, document: &str) -> String {
        match self.kind {
            Kind::Commonplace => "/sync".to_owned(),
            Kind::CommonplaceYWebsocket => format!("/sync/{document}"),
            Kind::Hocuspocus => "/".to_owned(),
            Kind::YWebsocket | Kind::Relay => format!("/{document}"),
            Kind::YSweet => format!("/d/{document}/ws/{document}"),
        }
    }
}

/// The project's folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where our own program is: named by `COMMONPLACE_BIN`, or else beside this one.
pub fn program() -> Outcome<PathBuf> {
    if let Some(given) = env::var_os("COMMONPLACE_BIN") {
        return Ok(given.into());
    }
    let this = env::current_exe()?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("commonplace"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| "build commonplace first, or name it in COMMONPLACE_BIN".into())
}

/// The programs of other people.
fn peers() -> PathBuf {
    root().join("tests/bench/peers")
}

/// Where y-sweet was built.
#[must_use]
pub fn y_sweet() -> PathBuf {
    root().join("target/bench/y-sweet/bin/y-sweet")
}

/// Why this server cannot be measured here, if it cannot.
#[must_use]
pub fn obstacle(kind: Kind) -> Option<&'static str> {
    let (needed, why) = match kind {
        Kind::Commonplace | Kind::CommonplaceYWebsocket | Kind::Relay => return None,
        Kind::Hocuspocus | Kind::YWebsocket => {
            (peers().join("node_modules"), "tests/bench/peers/node_modules is not there")
        }
        Kind::YSweet => (y_sweet(), "y-sweet is not built (target/bench/y-sweet)"),
    };
    (!needed.exists()).then_some(why)
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// How it is reached.
    pub endpoint: Endpoint,
    /// Its number.
    pub pid: i32,
    child: Child,
    data: PathBuf,
    /// Goes away with the server, unless the data belongs to somebody else.
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts a server with a folder of its own.
    pub fn start(kind: Kind, cores: Cores) -> Outcome<Self> {
        let folder = TempDir::new()?;
        let mut server = Self::start_in(kind, cores, folder.path(), &[])?;
        server._folder = Some(folder);
        Ok(server)
    }

    /// Starts a server with its data in this folder, and more words on its command line.
    pub fn start_in(kind: Kind, cores: Cores, data: &Path, more: &[String]) -> Outcome<Self> {
        let address = free_address()?;
        let mut command = command(kind, address, data)?;
        let log = File::options().create(true).append(true).open(data.join("log"))?;
        command.args(more).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A new process runs where the one that starts it does.
        pin(cores.server)?;
        let child = command.spawn();
        pin(cores.load)?;
        let child = child.map_err(|error| format!("{} cannot be started: {error}", kind.name()))?;
        let pid = i32::try_from(child.id())?;
        let endpoint = Endpoint { address, dialect: kind.dialect(), kind };
        let mut server = Self { endpoint, pid, child, data: data.to_owned(), _folder: None };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Outcome<()> {
        let since = now();
        while TcpStream::connect(self.endpoint.address).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || since.elapsed() > START {
                let name = self.endpoint.kind.name();
                return Err(format!("{name} did not start ({ended:?}): {}", self.log()).into());
            }
            pause(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.join("log")).unwrap_or_default()
    }

    /// What it holds in memory.
    pub fn memory(&self) -> Outcome<machine::Memory> {
        machine::memory_of(self.pid)
    }

    /// `kill -9`, without waiting for the end.
    pub fn kill(&self) -> Outcome<()> {
        Ok(kill(Pid::from_raw(self.pid), Signal::SIGKILL)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port nobody has. Somebody may take it before the server does; then the server says so.
pub fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn command(kind: Kind, address: SocketAddr, data: &Path) -> Outcome<Command> {
    let port = address.port().to_string();
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.current_dir(peers()).arg(script).env("HOST", "127.0.0.1").env("PORT", &port);
        command
    };
    Ok(match kind {
        Kind::Commonplace | Kind::CommonplaceYWebsocket => {
            let mut command = Command::new(program()?);
            command.args(["serve", "--open", "--listen", &address.to_string(), "--data"]);
            command.arg(data.join("data")).env("RUST_LOG", "warn");
            // What was set for another server must not reach this one.
            for (name, _) in env::vars_os() {
                if name.to_string_lossy().starts_with("COMMONPLACE_") {
                    command.env_remove(name);
                }
            }
            command
        }
        Kind::Hocuspocus => node("hocuspocus.mjs"),
        Kind::YWebsocket => node("node_modules/y-websocket/bin/server.cjs"),
        Kind::YSweet => {
            let mut command = Command::new(y_sweet());
            command.arg("serve").arg(data).args(["--host", "127.0.0.1", "--port", &port]);
            command
        }
        Kind::Relay => {
            let mut command = Command::new(env::current_exe()?);
            command.args(["relay", &address.to_string()]);
            command
        }
    })
}
