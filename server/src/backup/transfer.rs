//! How does everything move from one kind of store to another, and how do we know that it has?
//!
//! The target carries a mark, as a blob, from the first write to the last comparison. While it is there no server starts on the target, and the same copy
//! goes on where it was interrupted: logs are put whole (S19), so each is there as it was, or not at all, or was changed at the source since and is put again.

use super::{BackupError, Source};
use crate::store::{Contents, LogInfo, LogName, Store, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How many names are read at a time.
const NAMES: usize = 500;

/// The blob that says that a copy into this store is not finished, and from where it comes.
const MARK: &str = "copy/unfinished";

/// What to do when the source has moved on meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// It is one moment of each log, and good so: a backup.
    IsFine,
    /// The copy is to take the place of the source: it stays unfinished until nothing moves.
    IsNotYetDone,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many logs there are now, all of them read back and compared.
    pub logs: usize,
    /// How many of them were there already, from an interrupted copy.
    pub already_there: usize,
    /// How many entries and snapshots they have.
    pub records: usize,
    /// How many bytes these are, with the blobs.
    pub bytes: u64,
    /// How many blobs.
    pub blobs: usize,
    /// Logs with records that do not match their checksums; they are copied as they are, and do not match there either.
    pub damaged: Vec<LogName>,
    /// What could not be copied, and why.
    pub left: Vec<(LogName, String)>,
    /// What was changed at the source while it was copied.
    pub moved_on: Vec<LogName>,
}

/// How far a copy is. Told after each log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Logs and bytes put so far.
    Copying(usize, u64),
    /// Logs compared so far.
    Comparing(usize),
}

/// From where the unfinished copy in a store comes, if there is one: then nobody should serve from it.
pub async fn unfinished(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let mark = store.get_blob(&mark()).await?;
    Ok(mark.map(|origin| String::from_utf8_lossy(&origin).into_owned()))
}

fn mark() -> LogName {
    LogName::new(MARK).expect("it is a name")
}

/// Copies everything from a place, called `origin` in words without a password, into a store that is empty or has an unfinished copy from there.
pub async fn copy(
    from: &Source,
    origin: &str,
    to: &dyn Store,
    moving: Moving,
    tell: &mut dyn FnMut(Progress),
) -> Result<Copied, BackupError> {
    if from.blob(&mark()).await?.is_some() {
        return Err(BackupError::HalfCopy(origin.to_owned()));
    }
    let is_new = match unfinished(to).await? {
        Some(other) if other != origin => return Err(BackupError::OtherCopy(other)),
        Some(_) => false,
        None => true,
    };
    if is_new {
        if !to.list("", None, 1).await?.is_empty() || !to.list_blobs(None, 1).await?.is_empty() {
            return Err(BackupError::NotEmpty);
        }
        to.put_blob(&mark(), Bytes::copy_from_slice(origin.as_bytes())).await?;
    }
    let mut copied = Copied::default();
    let put = put_logs(from, to, is_new, &mut copied, tell).await?;
    put_blobs(from, to, &mut copied).await?;
    if !is_new {
        remove_others(from, to, &put).await?;
    }
    compare(from, to, put, &mut copied, tell).await?;
    if copied.moved_on.is_empty() || moving == Moving::IsFine {
        to.delete_blob(&mark()).await?;
    }
    Ok(copied)
}

/// What a log was when it was put.
type Put = BTreeMap<LogName, u64>;

async fn put_logs(
    from: &Source,
    to: &dyn Store,
    is_new: bool,
    copied: &mut Copied,
    tell: &mut dyn FnMut(Progress),
) -> Result<Put, BackupError> {
    let mut put = Put::new();
    let mut last: Option<LogName> = None;
    loop {
        let page = from.list("", last.as_ref(), NAMES).await?;
        let Some(end) = page.last() else { return Ok(put) };
        last = Some(end.name.clone());
        for info in page {
            let contents = from.contents(&info).await?;
            if contents.records.is_empty() && !from.is_at_rest() {
                // Deleted since it was listed.
                copied.moved_on.push(info.name);
                continue;
            }
            if let Err(why) = contents.shape() {
                copied.left.push((info.name, why.to_string()));
                continue;
            }
            if contents.records.iter().any(|record| !record.intact) {
                copied.damaged.push(info.name.clone());
            }
            copied.records += contents.records.len();
            copied.bytes += contents.records.iter().map(|r| r.bytes.len() as u64).sum::<u64>();
            copied.logs += 1;
            put.insert(info.name.clone(), digest(&contents));
            let there = if is_new { None } else { find(to, &info.name).await? };
            match there {
                Some(there) if is_same(&contents, &there) => copied.already_there += 1,
                Some(_) => {
                    to.delete(&info.name).await?;
                    to.import(&info.name, contents).await?;
                }
                None => to.import(&info.name, contents).await?,
            }
            tell(Progress::Copying(copied.logs, copied.bytes));
        }
    }
}

async fn put_blobs(from: &Source, to: &dyn Store, copied: &mut Copied) -> Result<(), BackupError> {
    let mut last: Option<LogName> = None;
    loop {
        let page = from.list_blobs(last.as_ref(), NAMES).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = Some(end.clone());
        for name in page {
            match from.blob(&name).await {
                Ok(Some(bytes)) => {
                    to.put_blob(&name, bytes.clone()).await?;
                    if to.get_blob(&name).await?.as_ref() != Some(&bytes) {
                        return Err(BackupError::Differs(name));
                    }
                    copied.blobs += 1;
                    copied.bytes += bytes.len() as u64;
                }
                Ok(None) => copied.moved_on.push(name),
                Err(StoreError::Corrupt(why)) => copied.left.push((name, why)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Removes what an interrupted copy has put and the source no longer has. Everything in the target came from there.
async fn remove_others(from: &Source, to: &dyn Store, put: &Put) -> Result<(), BackupError> {
    let mut last: Option<LogName> = None;
    loop {
        let page = to.list("", last.as_ref(), NAMES).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.name.clone());
        for info in page.iter().filter(|info| !put.contains_key(&info.name)) {
            to.delete(&info.name).await?;
        }
    }
    let mut last: Option<LogName> = None;
    loop {
        let page = to.list_blobs(last.as_ref(), NAMES).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = Some(end.clone());
        for name in page {
            if name != mark() && from.blob(&name).await == Ok(None) {
                to.delete_blob(&name).await?;
            }
        }
    }
}

/// Reads both sides again, log by log.
async fn compare(
    from: &Source,
    to: &dyn Store,
    mut put: Put,
    copied: &mut Copied,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), BackupError> {
    let mut last: Option<LogName> = None;
    let mut compared = 0;
    loop {
        let page = from.list("", last.as_ref(), NAMES).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.name.clone());
        for info in page {
            let Some(was) = put.remove(&info.name) else {
                if !copied.left.iter().any(|(left, _)| *left == info.name) {
                    copied.moved_on.push(info.name);
                }
                continue;
            };
            let there = find(to, &info.name).await?.unwrap_or_default();
            if !is_same(&from.contents(&info).await?, &there) {
                // If the copy is what was put, the source has changed. If not, somebody else writes there, or the store is broken.
                if from.is_at_rest() || digest(&there) != was {
                    return Err(BackupError::Differs(info.name));
                }
                copied.moved_on.push(info.name);
            }
            compared += 1;
            tell(Progress::Comparing(compared));
        }
    }
    // Put, and not listed any more: deleted meanwhile.
    copied.moved_on.extend(put.into_keys());
    copied.moved_on.sort();
    copied.moved_on.dedup();
    Ok(())
}

async fn find(store: &dyn Store, log: &LogName) -> Result<Option<Contents>, BackupError> {
    let found = store.list(log.as_str(), None, 1).await?;
    let Some(LogInfo { name, changed_at, quarantined, .. }) = found.into_iter().next() else {
        return Ok(None);
    };
    if name != *log {
        return Ok(None);
    }
    Ok(Some(Contents { records: store.read_raw(log).await?, changed_at, quarantined }))
}

/// Whether two logs hold the same: places, bytes, damage, marks, and ids as far as both sides know them.
fn is_same(one: &Contents, other: &Contents) -> bool {
    one.changed_at == other.changed_at
        && one.quarantined == other.quarantined
        && one.records.len() == other.records.len()
        && one.records.iter().zip(&other.records).all(|(one, other)| {
            one.position == other.position
                && one.is_snapshot == other.is_snapshot
                && one.intact == other.intact
                && one.bytes == other.bytes
                && (one.id.is_none() || other.id.is_none() || one.id == other.id)
        })
}

/// A number for what a log holds. Only to tell which of two sides has changed; whether they are the same is compared byte by byte.
fn digest(contents: &Contents) -> u64 {
    let mut sum = crc32c::crc32c(&contents.changed_at.to_le_bytes());
    sum = crc32c::crc32c_append(sum, contents.quarantined.as_deref().unwrap_or("").as_bytes());
    for record in &contents.records {
        let head = [record.position.0.to_le_bytes(), (record.bytes.len() as u64).to_le_bytes()];
        sum = crc32c::crc32c_append(sum, head.as_flattened());
        sum = crc32c::crc32c_append(sum, &[u8::from(record.is_snapshot), u8::from(record.intact)]);
        sum = crc32c::crc32c_append(sum, &record.bytes);
    }
    (u64::from(sum) << 32) | (contents.records.len() as u64 & u64::from(u32::MAX))
}
