//! Which logs are there?
//!
//! The index lies in one place and the logs, in a cluster, in many: so a name may be in the index whose log is not there, because it was
//! deleted or its first append was refused. Such names are passed over.

use super::RedisStore;
use super::record::generations;
use super::scripts::{number, text};
use super::trouble::{Trouble, checked};
use crate::store::{LogInfo, LogName, Position, StoreError};
use redis::{Cmd, Pipeline, Value};

/// How many names are looked at together.
const TOGETHER: usize = 500;

impl RedisStore {
    /// S13: names in byte order.
    pub(super) async fn names(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError> {
        let mut from = match after {
            Some(after) if after.as_str() >= prefix => format!("({after}"),
            _ if prefix.is_empty() => "-".to_owned(),
            _ => format!("[{prefix}"),
        };
        // No name contains this byte, so everything with the prefix is below it.
        let to = if prefix.is_empty() {
            b"+".to_vec()
        } else {
            [b"(", prefix.as_bytes(), b"\xff"].concat()
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let mut ask = redis::cmd("ZRANGEBYLEX");
            ask.arg(self.keys.names()).arg(&from).arg(&to[..]).arg("LIMIT").arg(0).arg(TOGETHER);
            let names = self.some_names(ask).await?;
            let Some(last) = names.last() else { break };
            from = format!("({last}");
            let is_last = names.len() < TOGETHER;
            // A prefix that was passed by the name before the first.
            let wanted = names.into_iter().filter(|name| name.starts_with(prefix)).collect();
            found.extend(self.infos(wanted).await?);
            if is_last {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Logs by their last change, newest first, as well as the index knows.
    pub(super) async fn newest(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<LogInfo>, StoreError> {
        let mut found = Vec::new();
        let mut skip = 0;
        while found.len() < limit {
            let mut ask = redis::cmd("ZREVRANGE");
            ask.arg(self.keys.recent()).arg(skip).arg(skip + TOGETHER - 1);
            let names = self.some_names(ask).await?;
            let is_last = names.len() < TOGETHER;
            skip += TOGETHER;
            let wanted = names.into_iter().filter(|name| name.starts_with(prefix)).collect();
            found.extend(self.infos(wanted).await?);
            if is_last {
                break;
            }
        }
        found.sort_by(|a, b| b.changed_at.cmp(&a.changed_at).then_with(|| a.name.cmp(&b.name)));
        found.truncate(limit);
        Ok(found)
    }

    async fn some_names(&self, ask: Cmd) -> Result<Vec<String>, StoreError> {
        match self.link.reads.ask_one(ask).await.map_err(Trouble::reading)? {
            Value::Array(names) => Ok(names.iter().filter_map(text).collect()),
            _ => Ok(Vec::new()),
        }
    }

    async fn infos(&self, names: Vec<String>) -> Result<Vec<LogInfo>, StoreError> {
        let names: Vec<LogName> = names.iter().filter_map(|name| LogName::new(name).ok()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut asks = Pipeline::with_capacity(names.len());
        for name in &names {
            asks.cmd("HMGET")
                .arg(self.keys.of(name).meta())
                .arg(&["head", "snaps", "total", "base", "at", "aside"]);
        }
        let answers = self.link.reads.ask(&asks).await.map_err(Trouble::reading)?;
        let mut found = Vec::with_capacity(names.len());
        for (name, answer) in names.into_iter().zip(answers) {
            let Value::Array(fields) = checked(answer).map_err(Trouble::reading)? else { continue };
            found.extend(info(name, &fields));
        }
        Ok(found)
    }

    /// Puts a name into the index, or takes it out.
    pub(super) async fn index(&self, log: &LogName, is_there: bool) -> Result<(), StoreError> {
        let mut commands = Pipeline::new();
        for key in [self.keys.names(), self.keys.recent()] {
            if is_there {
                commands.cmd("ZADD").arg(key).arg(0).arg(log.as_str());
            } else {
                commands.cmd("ZREM").arg(key).arg(log.as_str());
            }
        }
        for answer in self.link.reads.ask(&commands).await.map_err(Trouble::writing)? {
            checked(answer).map_err(Trouble::writing)?;
        }
        Ok(())
    }
}

/// `None` where there is no log.
fn info(name: LogName, fields: &[Value]) -> Option<LogInfo> {
    let at = |place: usize| fields.get(place).and_then(number);
    let newest = fields.get(1).and_then(text).map(|list| generations(&list));
    let newest = newest.and_then(|kept| kept.into_iter().next());
    let entries = at(2).unwrap_or(0).saturating_sub(at(3).unwrap_or(0));
    Some(LogInfo {
        name,
        head: Position(at(0)?),
        snapshot: newest.as_ref().map(|newest| newest.covers),
        bytes: entries + newest.map_or(0, |newest| newest.length as u64),
        changed_at: at(4).unwrap_or(0),
        quarantined: fields.get(5).and_then(text),
    })
}
