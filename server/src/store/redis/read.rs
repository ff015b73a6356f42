//! How is a log read, and what happens when a record is not what was written?
//!
//! A page is read by one script, so it shows one moment. Snapshots are fetched in pieces afterwards: a compaction may take one away
//! meanwhile, and then the page is asked for again.

use super::RedisStore;
use super::record::{Generation, RawEntry, generations, id_bytes, snapshot_sum};
use super::scripts::{answer, number, text};
use super::trouble::Trouble;
use crate::store::{
    Bookmark, LogName, Page, Position, READ_PAGE_BYTES, RawRecord, Snapshot, StoreError,
};
use bytes::Bytes;
use redis::Value;

/// How many entries a page has at most: what a script may keep Redis busy with.
const PAGE_ENTRIES: usize = 8192;

/// How many entries are fetched together when everything is looked at, whatever it is.
const RAW_ENTRIES: usize = 64;

/// How often a read begins again because the log was compacted under its hands.
const AGAIN: usize = 8;

/// What the script says.
enum Asked {
    Page(Page),
    Trimmed { head: u64, trimmed: u64, snapshots: String },
}

fn damaged(what: String) -> StoreError {
    StoreError::Corrupt(what)
}

fn strange() -> StoreError {
    Trouble::Damaged("a script answered strangely".into()).reading()
}

impl RedisStore {
    /// S6, S7, S9, S18: one page.
    pub(super) async fn page(&self, log: &LogName, after: Bookmark) -> Result<Page, StoreError> {
        let mut found_none_in = None;
        for _ in 0..AGAIN {
            let (head, trimmed, list) = match self.ask_page(log, after).await? {
                Asked::Page(page) => return Ok(page),
                Asked::Trimmed { head, trimmed, snapshots } => (head, trimmed, snapshots),
            };
            let Some(snapshot) = self.newest_snapshot(log, head, trimmed, &list).await? else {
                // Unless they were replaced meanwhile, none is left.
                if found_none_in.as_ref() == Some(&list) {
                    return Err(damaged(format!(
                        "no snapshot is left of the entries up to {trimmed}"
                    )));
                }
                found_none_in = Some(list);
                continue;
            };
            let from = Bookmark { position: snapshot.covers, id: snapshot.last };
            match self.ask_page(log, from).await {
                Ok(Asked::Page(page)) => return Ok(Page { snapshot: Some(snapshot), ..page }),
                // Newer snapshots took the entries away, or the log went back to before this one.
                Ok(Asked::Trimmed { .. }) | Err(StoreError::Rewound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Away("the log changes faster than it can be read".into()))
    }

    async fn ask_page(&self, log: &LogName, after: Bookmark) -> Result<Asked, StoreError> {
        let keys = self.keys.of(log);
        let mut call = self.scripts.read.call(&[keys.log(), keys.meta()]);
        call.arg(after.position.0).arg(id_bytes(after.id)).arg(READ_PAGE_BYTES).arg(PAGE_ENTRIES);
        let value = self.scripts.ask(&self.link.reads, call).await.map_err(Trouble::reading)?;
        let (word, mut parts) = answer(value).map_err(Trouble::reading)?;
        let at = |place: usize| parts.get(place).and_then(number).ok_or_else(strange);
        match word.as_str() {
            "none" => Ok(Asked::Page(Page::default())),
            "aside" => {
                Err(StoreError::Quarantined(parts.first().and_then(text).unwrap_or_default()))
            }
            "rewound" => Err(StoreError::Rewound { head: Position(at(0)?) }),
            "hole" => Err(damaged(format!("entry {} is missing", at(0)?))),
            "trimmed" => Ok(Asked::Trimmed {
                head: at(0)?,
                trimmed: at(1)?,
                snapshots: parts.get(2).and_then(text).unwrap_or_default(),
            }),
            "page" => {
                let (head, more) = (at(0)?, at(1)? == 1);
                let Some(Value::Array(entries)) = parts.pop() else { return Err(strange()) };
                whole(log, after.position.0, head, more, entries).map(Asked::Page)
            }
            _ => Err(strange()),
        }
    }

    /// S9: the newest snapshot that passes its checksum.
    async fn newest_snapshot(
        &self,
        log: &LogName,
        head: u64,
        trimmed: u64,
        list: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        for (age, kept) in generations(list).iter().enumerate() {
            // One that covers less than was trimmed has no entries to continue with.
            if kept.covers.0 < trimmed || kept.covers.0 > head {
                continue;
            }
            match self.intact_snapshot(log, kept).await? {
                (bytes, true) => {
                    if age > 0 {
                        tracing::error!(%log, covers = kept.covers.0, "the newest snapshot is damaged; reading from an older one");
                    }
                    return Ok(Some(Snapshot { covers: kept.covers, last: kept.last, bytes }));
                }
                (_, false) => {
                    tracing::error!(%log, covers = kept.covers.0, "a snapshot does not match its checksum; falling back to the one before");
                }
            }
        }
        Ok(None)
    }

    async fn intact_snapshot(
        &self,
        log: &LogName,
        kept: &Generation,
    ) -> Result<(Bytes, bool), StoreError> {
        let key = self.keys.of(log).snapshot(&kept.object);
        let bytes = self.get_object(&key, kept.length).await?;
        let intact = bytes
            .as_ref()
            .is_some_and(|bytes| kept.sum == snapshot_sum(log, kept.covers, kept.last, bytes));
        Ok((bytes.unwrap_or_default(), intact))
    }

    /// S11: everything that lies there. What is there is read piece by piece; if a compaction changed it meanwhile, once more, so that nothing seems
    /// damaged that was only replaced.
    pub(super) async fn raw(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError> {
        let mut found = self.outline(log).await?;
        for _ in 0..AGAIN {
            let records = self.raw_in(log, &found).await?;
            let now = self.outline(log).await?;
            // Only more entries is no change: they are in the records or come after them.
            if now[1..] == found[1..] && number(&now[0]) >= number(&found[0]) {
                return Ok(records);
            }
            found = now;
        }
        Err(StoreError::Away("the log changes faster than it can be read".into()))
    }

    /// Head, what was trimmed, and the list of snapshots.
    async fn outline(&self, log: &LogName) -> Result<Vec<Value>, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys.of(log).meta()).arg(&["head", "trimmed", "snaps"]);
        match self.link.reads.ask_one(ask).await.map_err(Trouble::reading)? {
            Value::Array(found) if found.len() == 3 => Ok(found),
            _ => Err(strange()),
        }
    }

    async fn raw_in(&self, log: &LogName, found: &[Value]) -> Result<Vec<RawRecord>, StoreError> {
        let keys = self.keys.of(log);
        let at = |place: usize| found.get(place).and_then(number).unwrap_or(0);
        let (head, trimmed) = (at(0), at(1));
        let mut records = Vec::new();
        let kept = generations(&found.get(2).and_then(text).unwrap_or_default());
        for kept in kept.iter().rev() {
            let (bytes, intact) = self.intact_snapshot(log, kept).await?;
            let (position, id) = (kept.covers, kept.last);
            records.push(RawRecord { position, is_snapshot: true, id, bytes, intact });
        }
        let mut next = trimmed + 1;
        loop {
            let mut ask = redis::cmd("XRANGE");
            ask.arg(keys.log()).arg(next).arg("+").arg("COUNT").arg(RAW_ENTRIES);
            let entries = self.link.reads.ask_one(ask).await.map_err(Trouble::reading)?;
            let Value::Array(entries) = entries else { return Err(strange()) };
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let Some(entry) = RawEntry::take(log, entry) else { return Err(strange()) };
                records.extend((next..entry.position).map(missing));
                next = entry.position + 1;
                records.push(RawRecord {
                    position: Position(entry.position),
                    is_snapshot: false,
                    id: entry.id,
                    bytes: entry.bytes,
                    intact: entry.intact,
                });
            }
        }
        records.extend((next..=head).map(missing));
        Ok(records)
    }
}

fn missing(place: u64) -> RawRecord {
    let position = Position(place);
    RawRecord { position, is_snapshot: false, id: None, bytes: Bytes::new(), intact: false }
}

/// The entries of a page, if they are all there and all what was written.
fn whole(
    log: &LogName,
    after: u64,
    head: u64,
    more: bool,
    entries: Vec<Value>,
) -> Result<Page, StoreError> {
    let mut page = Page { more, ..Page::default() };
    let mut next = after + 1;
    for entry in entries {
        let entry = RawEntry::take(log, entry)
            .ok_or_else(|| damaged(format!("entry {next} is not an entry")))?;
        if entry.position != next {
            return Err(damaged(format!("entry {next} is missing")));
        }
        if !entry.intact {
            return Err(damaged(format!("entry {next} does not match its checksum")));
        }
        page.entries.push(entry.entry());
        next += 1;
    }
    // A reader that is ahead of the log has read nothing wrong: there is just nothing more.
    if !more && next <= head || more && page.entries.is_empty() {
        return Err(damaged(format!("entry {next} is missing")));
    }
    Ok(page)
}
