//! What can this Redis be trusted with, and what has to change if that is not enough?
//!
//! [`ask`] collects what Redis says about itself; [`judge`] is a pure function from that to the class of durability that may be promised, or to everything that
//! stands in its way, each with the line that changes it. A server asks at its start and again whenever it has to connect anew: settings change.

use super::trouble::Trouble;
use crate::store::Durability;
use redis::aio::ConnectionLike;
use redis::{AsyncConnectionConfig, RedisError, RedisResult, cmd};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// The oldest release with functions that the store needs: sharded pub/sub and effects of scripts that replicate as such.
const OLDEST: (u32, u32) = (7, 0);

/// How long Redis may take to be reached, and to answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often, once a second, one that reads its files is asked again before we give up: a gigabyte takes some ten seconds.
const LOADING_TRIES: usize = 60;

/// Settings that decide what an answer is worth.
const SETTINGS: [&str; 3] = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite"];

/// What is known about how we came in, besides what Redis says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether a password was given.
    pub has_password: bool,
    /// Whether only programs on this computer can reach it by the address that was given.
    pub is_this_computer: bool,
    /// What our keys begin with.
    pub prefix: String,
}

/// What a Redis says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The lines of `INFO`.
    pub info: HashMap<String, String>,
    /// Those of [`SETTINGS`]; `None` if our user may not ask.
    pub settings: Option<HashMap<String, String>>,
    /// Who we are there. `None` if we may not even ask that.
    pub user: Option<String>,
    /// Whether that user needs no password. `None` if we may not ask.
    pub needs_no_password: Option<bool>,
}

impl Facts {
    /// Reads the text of `INFO`; the rest is as unknown as can be.
    #[must_use]
    pub fn from_info(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self {
            info: lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            settings: None,
            user: None,
            needs_no_password: None,
        }
    }

    fn info(&self, key: &str) -> &str {
        self.info.get(key).map_or("", String::as_str)
    }

    fn is_set(&self, key: &str) -> bool {
        self.info(key) == "1"
    }

    fn setting(&self, key: &str) -> Option<&str> {
        self.settings.as_ref()?.get(key).map(String::as_str)
    }

    fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.info("redis_version").split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// Replicas that take what is written as it is written.
    fn replicas(&self) -> u8 {
        let online = self.info.iter().filter(|(key, value)| {
            let number = key.strip_prefix("slave").unwrap_or("-");
            number.parse::<u32>().is_ok() && value.split(',').any(|part| part == "state=online")
        });
        u8::try_from(online.count()).unwrap_or(u8::MAX)
    }
}

/// What may be promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// When an edit may be called saved.
    pub durability: Durability,
    /// What whoever runs the server should know about that.
    pub notes: Vec<String>,
}

/// One thing that has to change. Each says how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Too old, or no Redis.
    #[error("this is Redis {0}: release 7.0 or later is needed")]
    TooOld(String),
    /// It reads its files.
    #[error("it is still reading its files: try again in a moment")]
    Loading,
    /// A copy of another.
    #[error("it is a replica of {0}: give the address of that one, the primary")]
    Replica(String),
    /// A cluster.
    #[error(
        "it is part of a Redis Cluster; supported is one primary, with or without replicas: start Redis without `cluster-enabled yes`"
    )]
    Cluster,
    /// It may throw our data away.
    #[error(
        "it throws data away when its memory is full (maxmemory-policy {0}): run `CONFIG SET maxmemory-policy noeviction`, and put `maxmemory-policy noeviction` into redis.conf"
    )]
    Evicts(String),
    /// Anybody may do anything.
    #[error(
        "whoever reaches it may do anything, because its user `default` has no password. Make a user for Commonplace: `{0}`; give the address as redis://commonplace:PASSWORD@…, and shut the door for others: `ACL SETUSER default off` (both also in redis.conf or the ACL file)"
    )]
    OpenToAll(String),
    /// Nobody knows what its disk does.
    #[error(
        "its user `{0}` may not read the settings, so nobody can say whether an answer means that it is on disk: run `ACL SETUSER {0} +config|get`"
    )]
    SettingsHidden(String),
    /// Not on disk when it answers.
    #[error("{found}: run {}, and put {} into redis.conf", quoted(.lines, "CONFIG SET "), quoted(.lines, ""))]
    NotOnDisk {
        /// What it does instead.
        found: &'static str,
        /// Settings that change it.
        lines: Vec<&'static str>,
    },
    /// Not enough copies.
    #[error(
        "{connected} of the {wanted} replicas that have to confirm each edit are connected: start more (`replicaof HOST PORT` in their redis.conf), or ask for less"
    )]
    TooFewReplicas {
        /// How many there are.
        connected: u8,
        /// How many there have to be.
        wanted: u8,
    },
    /// Everything is gone when it stops.
    #[error(
        "until then nothing better can be promised than its memory, where a power cut takes what was called saved (a connected replica would do as well; \
         if that may happen, say --durability memory)"
    )]
    OnlyMemory,
    /// `INFO` itself is refused.
    #[error("its user may not ask what it is: run `ACL SETUSER {0} +info +config|get`")]
    InfoHidden(String),
}

fn quoted(lines: &[&str], before: &str) -> String {
    let each: Vec<String> = lines.iter().map(|line| format!("`{before}{line}`")).collect();
    each.join(" and ")
}

/// Everything that has to change, and nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub Vec<Obstacle>);

impl Unfit {
    /// Whether waiting is all that has to be done.
    #[must_use]
    pub fn will_pass(&self) -> bool {
        self.0.iter().all(|obstacle| *obstacle == Obstacle::Loading)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "this Redis cannot be used as it is: {one}"),
            many => {
                f.write_str("this Redis cannot be used as it is:")?;
                many.iter().try_for_each(|obstacle| write!(f, "\n  - {obstacle}"))
            }
        }
    }
}

impl std::error::Error for Unfit {}

/// Why nothing could be promised.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It was not reached, or did not let us in.
    #[error("{0}")]
    Away(String),
    /// It cannot be used as it is.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        let words = match error.code() {
            Some("NOAUTH" | "WRONGPASS") => {
                "it does not accept the user and the password".to_owned()
            }
            _ if error.is_connection_refusal() => {
                "nothing listens there: is Redis running?".to_owned()
            }
            _ if error.is_timeout() => "it does not answer".to_owned(),
            _ => {
                let words = error.to_string();
                let hint =
                    ". If an authority of your own has signed it, name its file by SSL_CERT_FILE";
                if words.contains("certificate") { words + hint } else { words }
            }
        };
        Self::Away(words)
    }
}

/// Asks again whenever a connection is made: what was promised at the start has to hold for the Redis that is there now.
#[derive(Clone, Debug)]
pub struct Guard {
    /// How we come in.
    pub target: Target,
    /// What is promised.
    pub durability: Durability,
}

impl Guard {
    /// Refuses a connection to a Redis that does not keep the promise. That is the same as one that is no primary any more: all connections are made
    /// anew, and looked at, until it is fit again.
    pub(super) async fn admit<C: ConnectionLike + Send>(
        &self,
        connection: &mut C,
    ) -> Result<(), Trouble> {
        let facts = match ask(connection, &self.target).await {
            Ok(facts) => facts,
            Err(error) => return Err(Trouble::of_connecting(&error)),
        };
        let judged = facts.and_then(|facts| judge(&facts, &self.target, Some(self.durability)));
        judged.map(drop).map_err(|unfit| Trouble::NotPrimary(unfit.to_string()))
    }
}

/// Connects, asks and judges. One that is still reading its files is waited for.
pub async fn examine(
    address: &str,
    target: &Target,
    wanted: Option<Durability>,
) -> Result<Promise, Refusal> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = super::link::open(address).map_err(|bad| Refusal::Away(bad.to_string()))?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    for _ in 0..LOADING_TRIES {
        let facts = ask(&mut connection, target).await??;
        match judge(&facts, target, wanted) {
            Err(unfit) if unfit.will_pass() => tokio::time::sleep(Duration::from_secs(1)).await,
            judged => return Ok(judged?),
        }
    }
    Err(Unfit(vec![Obstacle::Loading]).into())
}

/// Asks a Redis about itself. An error is the connection's; what Redis refuses to tell is noted in the facts.
pub async fn ask<C: ConnectionLike + Send>(
    connection: &mut C,
    target: &Target,
) -> RedisResult<Result<Facts, Unfit>> {
    let user = allowed(cmd("ACL").arg("WHOAMI").query_async::<String>(connection).await)?;
    let Some(info) = allowed(cmd("INFO").query_async::<String>(connection).await)? else {
        let user = user.unwrap_or_else(|| "USER".to_owned());
        return Ok(Err(Unfit(vec![Obstacle::InfoHidden(user)])));
    };
    let mut facts = Facts { user, ..Facts::from_info(&info) };
    let mut settings = HashMap::new();
    for name in SETTINGS {
        let asked = cmd("CONFIG").arg("GET").arg(name).query_async(connection).await;
        match allowed::<HashMap<String, String>>(asked)? {
            Some(found) => settings.extend(found),
            None => break,
        }
    }
    facts.settings = (settings.len() == SETTINGS.len()).then_some(settings);
    facts.needs_no_password = match &facts.user {
        // Without a password we are in: that settles it.
        Some(_) if !target.has_password => Some(true),
        Some(user) => {
            let asked = cmd("ACL").arg("GETUSER").arg(user).query_async(connection).await;
            allowed::<HashMap<String, redis::Value>>(asked)?.map(|found| {
                let flags = found.get("flags").cloned().unwrap_or(redis::Value::Nil);
                let flags: Vec<String> = redis::from_redis_value(flags).unwrap_or_default();
                flags.iter().any(|flag| flag == "nopass")
            })
        }
        None => None,
    };
    Ok(Ok(facts))
}

/// `None` if our user may not ask.
fn allowed<T>(answer: RedisResult<T>) -> Result<Option<T>, RedisError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // A service that has renamed or taken away a command says that it does not know it.
        Err(error) if error.code() == Some("NOPERM") => Ok(None),
        Err(error) if error.to_string().contains("unknown command") => Ok(None),
        Err(error) => Err(error),
    }
}

/// What may be promised with `wanted`, or with the best there is, which is never memory.
pub fn judge(facts: &Facts, target: &Target, wanted: Option<Durability>) -> Result<Promise, Unfit> {
    let mut obstacles = general(facts, target);
    let mut notes = Vec::new();
    let durability = match wanted {
        Some(Durability::Fsync) => {
            obstacles.extend(not_on_disk(facts));
            Durability::Fsync
        }
        Some(Durability::Replicated(wanted)) => {
            let connected = facts.replicas();
            if connected < wanted {
                obstacles.push(Obstacle::TooFewReplicas { connected, wanted });
            }
            Durability::Replicated(wanted)
        }
        Some(Durability::Memory) => Durability::Memory,
        None => match not_on_disk(facts) {
            None => Durability::Fsync,
            Some(why) if facts.replicas() > 0 => {
                notes.push(format!("not fsync, because {why}"));
                Durability::Replicated(1)
            }
            Some(why) => {
                obstacles.extend([why, Obstacle::OnlyMemory]);
                Durability::Memory
            }
        },
    };
    if !obstacles.is_empty() {
        return Err(Unfit(obstacles));
    }
    notes.extend(meaning(durability, facts));
    if facts.info("aof_last_write_status") == "err" {
        notes.push("its last write to disk failed: until that is mended it refuses edits".into());
    }
    Ok(Promise { durability, notes })
}

/// What has to be so for every class.
fn general(facts: &Facts, target: &Target) -> Vec<Obstacle> {
    if facts.version().is_none_or(|version| version < OLDEST) {
        let found = facts.info("redis_version");
        // Nothing else that an old release says can be relied on.
        return vec![Obstacle::TooOld(
            if found.is_empty() { "of no known release" } else { found }.to_owned(),
        )];
    }
    let mut obstacles = Vec::new();
    if facts.is_set("loading") {
        obstacles.push(Obstacle::Loading);
    }
    if facts.info("role") == "slave" {
        let primary = format!("{}:{}", facts.info("master_host"), facts.info("master_port"));
        obstacles.push(Obstacle::Replica(primary));
    }
    if facts.is_set("cluster_enabled") {
        obstacles.push(Obstacle::Cluster);
    }
    let policy = facts.info("maxmemory_policy");
    if facts.info("maxmemory") != "0" && policy != "noeviction" {
        obstacles.push(Obstacle::Evicts(policy.to_owned()));
    }
    let is_default = facts.user.as_deref() == Some("default");
    if is_default && facts.needs_no_password == Some(true) && !target.is_this_computer {
        obstacles.push(Obstacle::OpenToAll(user_line(&target.prefix)));
    }
    obstacles
}

/// Why an answer does not mean that it is on disk, if it does not.
fn not_on_disk(facts: &Facts) -> Option<Obstacle> {
    if facts.settings.is_none() && facts.is_set("aof_enabled") {
        let user = facts.user.clone().unwrap_or_else(|| "USER".to_owned());
        return Some(Obstacle::SettingsHidden(user));
    }
    let mut lines = Vec::new();
    let mut found = "it skips the disk while it rewrites its file";
    if facts.setting("no-appendfsync-on-rewrite") == Some("yes") {
        lines.push("no-appendfsync-on-rewrite no");
    }
    if facts.setting("appendfsync") != Some("always") {
        lines.insert(0, "appendfsync always");
        found = "it writes to disk after it has answered";
    }
    if !facts.is_set("aof_enabled") || facts.setting("appendonly") == Some("no") {
        lines.insert(0, "appendonly yes");
        found = "it does not write edits to disk";
    }
    (!lines.is_empty()).then_some(Obstacle::NotOnDisk { found, lines })
}

/// What a class means on this Redis, for the person who starts the server.
fn meaning(durability: Durability, facts: &Facts) -> Option<String> {
    match durability {
        Durability::Fsync if facts.replicas() > 0 => Some(
            "saved means on the primary's disk; a failover to a replica can go back to before the last edits, and the servers that are running then write \
             them again"
                .into(),
        ),
        Durability::Fsync => None,
        Durability::Replicated(n) => Some(format!(
            "saved means held by the primary and {n} of its {} replicas: a failover to a replica that was not among them, or a power cut of all at once, can \
             lose what was saved last. With fewer than {n} connected nothing is saved until they are back",
            facts.replicas()
        )),
        Durability::Memory => Some(
            "NOTHING IS SAVED HERE FOR GOOD: whatever people write is gone when Redis stops, although their pages say saved. That was asked for with \
             --durability memory"
                .into(),
        ),
    }
}

/// The line that makes a user who may do what the store does, and nothing else.
#[must_use]
pub fn user_line(prefix: &str) -> String {
    format!(
        "ACL SETUSER commonplace on >PASSWORD ~{prefix}:* &{prefix}:* +@read +@write +@scripting +@pubsub +@connection -@dangerous +wait +info +config|get +acl|whoami"
    )
}

#[cfg(test)]
mod tests;
