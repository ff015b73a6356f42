//! What has the person who starts this program asked for, and does it make sense?
//!
//! Everything comes from the command line or the environment, and from nowhere else. All mistakes are reported together, before anything
//! is bound, opened or written.

mod place;

pub use place::{
    CopyArgs, Environment, PREFIX_VARIABLE, Place, PlaceArgs, REDIS_VARIABLE, RedisPlace, RedisUrl,
    Secret,
};

use crate::store::Durability;
use crate::store::redis::BadPrefix;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// How many WebSockets one process takes unless told otherwise: the memory goal of 16 KiB each makes that 160 MiB.
pub const DEFAULT_MAX_CONNECTIONS: usize = 10_000;

/// The most that may be asked for: file descriptors, and client ports behind one proxy, end near here.
const MOST_CONNECTIONS: usize = 1_000_000;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "commonplace",
    version,
    about = "A place in common: one server that every Yjs client can write to, and that says \"saved\" only when it is.",
    after_help = EXAMPLES
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  commonplace serve --open
      Try it out: everyone on this computer may write. Open http://127.0.0.1:8080 in two windows.
  commonplace serve --open --open-to-network --listen 0.0.0.0:8080
      The same for everyone who can reach this computer. There is no sign-in: use it among friends.
  commonplace serve --open --allow-origin https://notes.example.org
      Behind a web server that answers for https://notes.example.org.
  commonplace backup --data ./data notes.backup
      A whole copy while the server runs.
  COMMONPLACE_REDIS=redis://commonplace:password@db:6379 commonplace serve --open --data ./one
      One of several servers on one Redis. Each has a folder of its own.
  commonplace copy --from ./data --to redis://127.0.0.1:6379
      Everything from a folder into an empty Redis; the other way round as well.

Exit codes:
  0 done, or stopped as asked        64  a mistake on the command line or in the environment
  1 the check found damage           69  the address, the data folder or the Redis cannot be used
130 stopped by a second signal       74  the storage failed, or a command could not be done

Every option can be given in the environment as well: --allow-origin is COMMONPLACE_ALLOW_ORIGIN (several separated by commas).
How much is logged: RUST_LOG=debug.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer clients until told to stop (SIGTERM or Ctrl-C; twice to stop at once).
    Serve(ServeArgs),
    /// Copy everything into one file, while the server runs.
    Backup {
        /// The file to write. It must not exist yet.
        file: PathBuf,
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Bring a backup back, while no server runs. Into a Redis only if it holds nothing of ours.
    Restore {
        /// The backup to read.
        file: PathBuf,
        /// Put the backup in the place of what the data folder holds now. Without this, only an empty folder is filled.
        #[arg(long)]
        replace: bool,
        /// Where the data goes.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Move to another place: from a data folder or a backup into a Redis, or from a Redis into a folder. Afterwards both sides are read and compared.
    ///
    /// The folder must not be in use. A Redis may be: what has moved on meanwhile is named in the end. What was interrupted goes on when the same
    /// command is given again; until then no server starts on the half copy.
    Copy(CopyArgs),
    /// Read every stored record and say which documents are damaged.
    Verify {
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Look after single documents.
    Doc {
        /// What to do with them.
        #[command(subcommand)]
        command: DocCommand,
    },
}

/// What can be done with single documents.
#[derive(Debug, Subcommand)]
pub enum DocCommand {
    /// Names, sizes and states of all documents.
    List {
        /// Only names that begin with this.
        #[arg(default_value = "")]
        prefix: String,
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write a document's records to a file, damaged or not.
    Export {
        /// The document.
        name: String,
        /// The file to write.
        file: PathBuf,
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Set a document aside: nobody can open it until it is released.
    Quarantine {
        /// The document.
        name: String,
        /// Why, in words that clients will be shown.
        #[arg(long, default_value = "set aside by an operator")]
        reason: String,
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Take a document back into service.
    Release {
        /// The document.
        name: String,
        /// Where the data is.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub struct DataArg {
    /// The data folder. With --redis only marks are kept there, of what was being applied when a server ended by itself; each server needs a folder
    /// of its own.
    #[arg(
        long = "data",
        value_name = "FOLDER",
        default_value = "./data",
        env = "COMMONPLACE_DATA"
    )]
    pub folder: PathBuf,
}

/// `serve` as it was written down. Text stays text here, so that [`Settings::from_args`] can report every mistake at once.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen: an address and a port.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        env = "COMMONPLACE_LISTEN"
    )]
    pub listen: String,
    /// Where the data is.
    #[command(flatten)]
    pub data: DataArg,
    /// Keep the data in this Redis, which several servers may share: redis://user:password@host:6379. In the environment, as COMMONPLACE_REDIS, the
    /// password is not seen by other users of this computer.
    #[arg(long, value_name = "URL", env = REDIS_VARIABLE, hide_env_values = true)]
    pub redis: Option<Secret>,
    /// What all keys in Redis begin with [default: commonplace].
    #[arg(long, value_name = "WORD", env = PREFIX_VARIABLE)]
    pub redis_prefix: Option<String>,
    /// When an edit counts as saved in Redis: on its disk, or held by it and by N replicas, or in its memory only. Without this, the best that Redis is
    /// set up for; never memory.
    #[arg(long, value_name = "fsync|replicated=N|memory", env = "COMMONPLACE_DURABILITY")]
    pub durability: Option<String>,
    /// The sandbox: no sign-in, any document name, everyone may write.
    #[arg(long, env = "COMMONPLACE_OPEN", value_parser = FalseyValueParser::new())]
    pub open: bool,
    /// Allow the sandbox to be reached from other computers.
    #[arg(long, env = "COMMONPLACE_OPEN_TO_NETWORK", value_parser = FalseyValueParser::new())]
    pub open_to_network: bool,
    /// Another web site whose pages may connect, as https://host. The server's own pages always may.
    #[arg(
        long = "allow-origin",
        value_name = "ORIGIN",
        env = "COMMONPLACE_ALLOW_ORIGIN",
        value_delimiter = ','
    )]
    pub allow_origins: Vec<String>,
    /// How to log: for people or for machines.
    #[arg(long, value_name = "human|json", default_value = "human", env = "COMMONPLACE_LOG")]
    pub log: String,
    /// How many WebSockets may be open at once.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS.to_string(), env = "COMMONPLACE_MAX_CONNECTIONS")]
    pub max_connections: String,
    /// Where to serve /metrics for other computers. Without this, only this computer may read it.
    #[arg(long, value_name = "ADDRESS:PORT", env = "COMMONPLACE_METRICS_LISTEN")]
    pub metrics_listen: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Who gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Everyone who can reach the server.
    Sandbox,
    /// Nobody: there is no lab yet.
    Shut,
}

/// `serve`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// The Redis that holds the data, if it is not the folder.
    pub redis: Option<RedisPlace>,
    /// What `saved` has to mean there; without, the best that can be had.
    pub durability: Option<Durability>,
    /// Who gets in.
    pub door: Door,
    /// Other web sites whose pages may connect.
    pub allow_origins: Vec<Origin>,
    /// How to log.
    pub log: LogFormat,
    /// How many WebSockets may be open at once.
    pub max_connections: usize,
    /// Where to serve `/metrics` for other computers.
    pub metrics_listen: Option<SocketAddr>,
}

/// One thing that has to change before the server can start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// An address that is none.
    #[error("{option} {given:?} is not an address and a port, like 127.0.0.1:8080")]
    Address {
        /// Which option.
        option: &'static str,
        /// What was given.
        given: String,
    },
    /// An open server on the network, not asked for twice.
    #[error(
        "--open on {0} lets everyone who can reach this computer read and write everything: say --open-to-network as well, or listen on 127.0.0.1"
    )]
    OpenToNetwork(SocketAddr),
    /// The permission without the thing.
    #[error("--open-to-network means nothing without --open")]
    OpenToNetworkAlone,
    /// An origin that is none.
    #[error("--allow-origin {0:?} is not an origin, like https://notes.example.org (no path)")]
    Origin(String),
    /// Not a log format.
    #[error("--log {0:?} is neither human nor json")]
    Log(String),
    /// Not a number of connections.
    #[error("--max-connections {0:?} is not a number from 1 to {MOST_CONNECTIONS}")]
    MaxConnections(String),
    /// The data folder is something else.
    #[error("--data {0:?} is not a folder")]
    NotAFolder(PathBuf),
    /// The data folder cannot be written.
    #[error("--data {0:?} cannot be written: choose another folder or change its permissions")]
    NotWritable(PathBuf),
    /// An address of a Redis that is none. Not repeated: it may hold a password.
    #[error(
        "{0} is not the address of a Redis, like redis://user:password@host:6379 (not shown, because it may hold a password)"
    )]
    RedisUrl(&'static str),
    /// Not a prefix.
    #[error("--redis-prefix {0:?}: {1}")]
    RedisPrefix(String, BadPrefix),
    /// Not a class of durability.
    #[error("--durability {0:?} is none of fsync, replicated=N (N from 1 to 9) and memory")]
    Durability(String),
    /// Something about Redis without a Redis.
    #[error(
        "{0} means nothing without --redis: a data folder is always on disk before anything is called saved"
    )]
    WithoutRedis(&'static str),
    /// Two places for one command.
    #[error("--data and --redis name two places: say one")]
    TwoPlaces,
    /// From a place to itself.
    #[error("--from and --to are the same place")]
    SamePlace,
    /// Two listeners in one place.
    #[error("--metrics-listen and --listen are both {0}: choose another port for one of them")]
    SameAddress(SocketAddr),
}

/// Every mistake, in the order of the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} things have to change:", many.len())?;
                many.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

impl Settings {
    /// Checks everything, and reports everything that is wrong.
    pub fn from_args(args: &ServeArgs) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let listen = address("--listen", &args.listen, &mut mistakes);
        if let (true, false, Some(listen)) = (args.open, args.open_to_network, listen)
            && !is_loopback(listen.ip())
        {
            mistakes.push(Mistake::OpenToNetwork(listen));
        }
        if args.open_to_network && !args.open {
            mistakes.push(Mistake::OpenToNetworkAlone);
        }
        let allow_origins = args.allow_origins.iter().filter_map(|given| {
            let origin = Origin::parse(given);
            if origin.is_none() {
                mistakes.push(Mistake::Origin(given.clone()));
            }
            origin
        });
        let allow_origins = allow_origins.collect();
        let log = LogFormat::from_str(&args.log, true).unwrap_or_else(|_| {
            mistakes.push(Mistake::Log(args.log.clone()));
            LogFormat::Human
        });
        let max_connections =
            args.max_connections.parse().ok().filter(|n| (1..=MOST_CONNECTIONS).contains(n));
        if max_connections.is_none() {
            mistakes.push(Mistake::MaxConnections(args.max_connections.clone()));
        }
        let metrics_listen = args
            .metrics_listen
            .as_ref()
            .and_then(|given| address("--metrics-listen", given, &mut mistakes));
        if let Some(both) =
            listen.filter(|listen| listen.port() != 0 && Some(*listen) == metrics_listen)
        {
            mistakes.push(Mistake::SameAddress(both));
        }
        mistakes.extend(check_folder(&args.data.folder));
        let redis = args.redis.as_ref().and_then(|url| {
            RedisPlace::new("--redis", url, args.redis_prefix.as_deref(), &mut mistakes)
        });
        let durability = args.durability.as_deref().and_then(|given| {
            let read = durability(given);
            if read.is_none() {
                mistakes.push(Mistake::Durability(given.to_owned()));
            }
            read
        });
        if args.redis.is_none() {
            let alone = [
                args.durability.as_ref().map(|_| "--durability"),
                args.redis_prefix.as_ref().map(|_| "--redis-prefix"),
            ];
            mistakes.extend(alone.into_iter().flatten().map(Mistake::WithoutRedis));
        }
        match (listen, max_connections) {
            (Some(listen), Some(max_connections)) if mistakes.is_empty() => Ok(Self {
                listen,
                data: args.data.folder.clone(),
                redis,
                durability,
                door: if args.open { Door::Sandbox } else { Door::Shut },
                allow_origins,
                log,
                max_connections,
                metrics_listen,
            }),
            _ => Err(Mistakes(mistakes)),
        }
    }
}

fn address(option: &'static str, given: &str, mistakes: &mut Vec<Mistake>) -> Option<SocketAddr> {
    // The one name that means the same everywhere. Others would need a resolver that may answer differently tomorrow.
    let named = given.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = named
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|| given.parse().ok());
    if address.is_none() {
        mistakes.push(Mistake::Address { option, given: given.to_owned() });
    }
    address
}

fn durability(given: &str) -> Option<Durability> {
    match given {
        "fsync" => Some(Durability::Fsync),
        "memory" => Some(Durability::Memory),
        _ => {
            let replicas = given.strip_prefix("replicated=")?.parse().ok()?;
            (1..=9).contains(&replicas).then_some(Durability::Replicated(replicas))
        }
    }
}

/// Whether only programs on this computer can reach an address.
#[must_use]
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The folder itself may not exist yet: then the nearest one above it has to be a folder we can write to.
fn check_folder(folder: &Path) -> Option<Mistake> {
    let absolute = std::path::absolute(folder).ok()?;
    let existing = absolute.ancestors().find(|path| path.exists())?;
    if !existing.is_dir() {
        return Some(Mistake::NotAFolder(folder.to_owned()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(existing, access).is_err().then(|| Mistake::NotWritable(folder.to_owned()))
}

/// Where a web page comes from: scheme, host and port, as browsers write it in the `Origin` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    text: String,
    authority: std::ops::Range<usize>,
}

impl Origin {
    /// Reads `scheme://host[:port]`, in the form of browsers: lower case, without the port that the scheme implies.
    #[must_use]
    pub fn parse(given: &str) -> Option<Self> {
        let text = given.strip_suffix('/').unwrap_or(given).to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let implied = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let parsed: hyper::http::uri::Authority = authority.parse().ok()?;
        if parsed.host().is_empty()
            || authority.contains('@')
            || (authority.len() > parsed.host().len() && parsed.port_u16().is_none())
        {
            return None;
        }
        let authority = authority.strip_suffix(implied).unwrap_or(authority);
        let start = scheme.len() + "://".len();
        let authority = start..start + authority.len();
        Some(Self { text: text.get(..authority.end)?.to_owned(), authority })
    }

    /// Host, and port unless the scheme implies it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
