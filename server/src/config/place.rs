//! Where is the data: in a folder, or in a Redis, and how is that said without telling a password?
//!
//! An address of a Redis may hold a password. It is kept apart from what is printed: nothing here shows it, not even for debugging.

use super::{Mistake, Mistakes};
use crate::store::redis::{DEFAULT_PREFIX, Keys};
use clap::Args;
use redis::{ConnectionAddr, IntoConnectionInfo};
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The variable that names the Redis, so that its password is in no list of processes.
pub const REDIS_VARIABLE: &str = "COMMONPLACE_REDIS";

/// The variable with the prefix of all keys.
pub const PREFIX_VARIABLE: &str = "COMMONPLACE_REDIS_PREFIX";

/// What `copy` takes for the Redis of [`REDIS_VARIABLE`].
const FROM_VARIABLE: &str = "redis://";

/// Text of which nothing is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// The address of a Redis. Shown without its password.
#[derive(Clone)]
pub struct RedisUrl {
    whole: Secret,
    shown: String,
    has_password: bool,
    is_this_computer: bool,
}

impl RedisUrl {
    /// Reads `redis://[user[:password]@]host[:port][/number]`; `rediss://` is TLS, `redis+unix:///path` a socket.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let info = text.into_connection_info().ok()?;
        let scheme = match info.addr() {
            ConnectionAddr::TcpTls { .. } => "rediss://",
            ConnectionAddr::Unix(_) => "redis+unix://",
            _ => "redis://",
        };
        let user = info.redis_settings().username().map(|user| format!("{user}@"));
        let number = match info.redis_settings().db() {
            0 => String::new(),
            number => format!("/{number}"),
        };
        let host = match info.addr().to_string() {
            // An IPv6 address is bare in there.
            host if host.matches(':').count() > 1 => match host.rsplit_once(':') {
                Some((address, port)) => format!("[{address}]:{port}"),
                None => host,
            },
            host => host,
        };
        let shown = format!("{scheme}{}{host}{number}", user.unwrap_or_default());
        let password = info.redis_settings().password();
        Some(Self {
            whole: Secret(text.to_owned()),
            shown,
            has_password: password.is_some_and(|password| !password.is_empty()),
            is_this_computer: is_this_computer(info.addr()),
        })
    }

    /// What the client library wants to know. It holds the password: not to be printed.
    #[must_use]
    pub fn with_password(&self) -> &str {
        &self.whole.0
    }

    /// Whether a password is given.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// Whether only programs on this computer can be meant.
    #[must_use]
    pub fn is_this_computer(&self) -> bool {
        self.is_this_computer
    }
}

fn is_this_computer(address: &ConnectionAddr) -> bool {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(super::is_loopback)
        }
        ConnectionAddr::Unix(_) => true,
        _ => false,
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole
    }
}

impl Eq for RedisUrl {}

/// A Redis, and which keys of it are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlace {
    /// Where it is.
    pub url: RedisUrl,
    /// What all our keys begin with.
    pub prefix: String,
}

impl RedisPlace {
    /// Checks both parts. `option` is what the address was given with.
    pub(super) fn new(
        option: &'static str,
        url: &Secret,
        prefix: Option<&str>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Self> {
        let url = RedisUrl::parse(&url.0);
        if url.is_none() {
            mistakes.push(Mistake::RedisUrl(option));
        }
        let prefix = prefix.unwrap_or(DEFAULT_PREFIX);
        if let Err(why) = Keys::new(prefix) {
            mistakes.push(Mistake::RedisPrefix(prefix.to_owned(), why));
            return None;
        }
        Some(Self { url: url?, prefix: prefix.to_owned() })
    }
}

impl fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)?;
        if self.prefix == DEFAULT_PREFIX { Ok(()) } else { write!(f, " ({}:*)", self.prefix) }
    }
}

/// Where data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a data folder, or a backup file.
    Folder(PathBuf),
    /// In a Redis.
    Redis(RedisPlace),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Redis(redis) => write!(f, "{redis}"),
        }
    }
}

/// Looks into the environment. Given by the caller, so that tests need none.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where a command that looks after data finds it. What is said on the command line wins over the environment, and a Redis in the environment over a
/// folder there, because servers on Redis have a folder as well.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The data folder (or, to read, a backup file). Otherwise COMMONPLACE_REDIS or COMMONPLACE_DATA from the environment, otherwise ./data.
    #[arg(long = "data", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// The Redis that holds the data instead of a folder: redis://user:password@host:6379. In the environment, as COMMONPLACE_REDIS, the password is
    /// not seen by other users of this computer.
    #[arg(long, value_name = "URL")]
    pub redis: Option<Secret>,
    /// What all keys in Redis begin with [default: commonplace].
    #[arg(long, value_name = "WORD")]
    pub redis_prefix: Option<String>,
}

impl PlaceArgs {
    /// Decides which place is meant.
    pub fn place(&self, environment: Environment<'_>) -> Result<Place, Mistakes> {
        let prefix = self.redis_prefix.clone().or_else(|| environment(PREFIX_VARIABLE));
        let prefix = prefix.as_deref();
        let mut mistakes = Vec::new();
        let found = match (&self.redis, &self.folder) {
            (Some(_), Some(_)) => {
                mistakes.push(Mistake::TwoPlaces);
                None
            }
            (Some(url), None) => {
                RedisPlace::new("--redis", url, prefix, &mut mistakes).map(Place::Redis)
            }
            (None, Some(folder)) => Some(Place::Folder(folder.clone())),
            (None, None) => match environment(REDIS_VARIABLE) {
                Some(url) => RedisPlace::new(REDIS_VARIABLE, &Secret(url), prefix, &mut mistakes)
                    .map(Place::Redis),
                None => {
                    let folder = environment("COMMONPLACE_DATA");
                    Some(Place::Folder(folder.unwrap_or_else(|| "./data".to_owned()).into()))
                }
            },
        };
        found.ok_or(Mistakes(mistakes))
    }
}

/// From where to where everything is copied.
#[derive(Clone, Debug, Args)]
pub struct CopyArgs {
    /// What to copy: a data folder that no server uses, a backup file, or redis://user:password@host:6379. Only `redis://` means the Redis
    /// that COMMONPLACE_REDIS names, so that its password is not seen by other users of this computer.
    #[arg(long, value_name = "PLACE")]
    pub from: Secret,
    /// Where to: a new folder, or a Redis that holds nothing of ours yet.
    #[arg(long, value_name = "PLACE")]
    pub to: Secret,
    /// What all keys in Redis begin with [default: commonplace].
    #[arg(long, value_name = "WORD")]
    pub redis_prefix: Option<String>,
}

impl CopyArgs {
    /// Decides which places are meant.
    pub fn places(&self, environment: Environment<'_>) -> Result<(Place, Place), Mistakes> {
        let prefix = self.redis_prefix.clone().or_else(|| environment(PREFIX_VARIABLE));
        let mut mistakes = Vec::new();
        let mut place = |option, text: &Secret| {
            if !text.0.contains("://") {
                return Some(Place::Folder(PathBuf::from(&text.0)));
            }
            let named = if text.0 == FROM_VARIABLE { environment(REDIS_VARIABLE) } else { None };
            let url = named.map_or_else(|| text.clone(), Secret);
            RedisPlace::new(option, &url, prefix.as_deref(), &mut mistakes).map(Place::Redis)
        };
        match (place("--from", &self.from), place("--to", &self.to)) {
            (Some(from), Some(to)) if from == to => Err(Mistakes(vec![Mistake::SamePlace])),
            (Some(from), Some(to)) => Ok((from, to)),
            _ => Err(Mistakes(mistakes)),
        }
    }
}

#[cfg(test)]
mod tests;
