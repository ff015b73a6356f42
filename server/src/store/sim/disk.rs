//! What survives on a simulated disk?
//!
//! There are two states: what is durable, and what a reader sees, which has the page cache's writes on top. Entries, snapshots and trims
//! go through the cache; marks and blobs are durable at once, because no simulation asks what happens between their steps.

mod hurt;
mod import;

use crate::store::{
    Bookmark, Entry, EntryId, Expect, KEPT_SNAPSHOTS, LogInfo, LogName, MAX_ENTRY, Page, Position,
    READ_PAGE_BYTES, REMEMBERED_IDS, RawRecord, Snapshot, StoreError, checksum,
};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// What goes wrong next. All off by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The next call that would write fails with this, and writes nothing.
    pub fail_next: Option<StoreError>,
    /// The call with this number (the first is 1, see [`SimDisk::calls`]) fails as if the storage went away.
    pub fail_at: Option<u64>,
    /// Writes answer `Full`; reading goes on.
    pub full: bool,
    /// Every call answers `Away`.
    pub away: bool,
    /// The next append answers `Unknown`; with `true` it was written all the same.
    pub unknown_next: Option<bool>,
    /// `sync_now` fails: nothing becomes durable until this is off again.
    pub sync_fails: bool,
    /// What `out_of_touch` answers.
    pub silent_for: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Record {
    bytes: Bytes,
    id: EntryId,
    crc: u32,
}

#[derive(Clone, Debug)]
struct Generation {
    covers: Position,
    last: Option<EntryId>,
    bytes: Bytes,
    crc: u32,
}

#[derive(Clone, Debug, Default)]
struct SimLog {
    /// Never used twice, so that a log begun again after `delete` is another log.
    number: i64,
    trimmed: u64,
    /// Entries after `trimmed`, in order.
    entries: Vec<Record>,
    /// The ids of the last entries, trimmed or not, with where the newest stands.
    ids: Vec<(EntryId, Position)>,
    /// Oldest first.
    snapshots: Vec<Generation>,
    changed_at: u64,
}

impl SimLog {
    fn head(&self) -> u64 {
        self.trimmed + self.entries.len() as u64
    }

    /// What stands at a place, where that is known: it was not trimmed, or a snapshot remembers it.
    fn id_at(&self, position: Position) -> Option<EntryId> {
        let index = position.0.checked_sub(self.trimmed + 1);
        let entry = index.and_then(|index| self.entries.get(usize::try_from(index).ok()?));
        let of_snapshot = || self.snapshots.iter().find(|kept| kept.covers == position)?.last;
        entry.map(|entry| entry.id).or_else(of_snapshot)
    }

    /// S18.
    fn is_still_at(&self, seen: Bookmark) -> bool {
        let Some(id) = seen.id else { return true };
        seen.position.0 <= self.head()
            && self.id_at(seen.position).is_none_or(|stands_there| stands_there == id)
    }
}

/// A write on its way from the page cache to the disk.
#[derive(Clone, Debug)]
struct Write {
    log: LogName,
    /// The log's number.
    number: i64,
    tick: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Append(Record),
    Compact(Generation),
}

/// A disk with a page cache.
#[derive(Debug)]
pub struct SimDisk {
    /// What goes wrong next.
    pub faults: Faults,
    durable: BTreeMap<LogName, SimLog>,
    visible: BTreeMap<LogName, SimLog>,
    /// Writes that are visible and not durable, oldest first.
    cache: Vec<Write>,
    quarantine: BTreeMap<LogName, String>,
    blobs: BTreeMap<LogName, (Bytes, u32)>,
    next_number: i64,
    ticks: u64,
    calls: u64,
    random: StdRng,
}

impl SimDisk {
    /// An empty disk. The seed decides what crashes leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            faults: Faults::default(),
            durable: BTreeMap::new(),
            visible: BTreeMap::new(),
            cache: Vec::new(),
            quarantine: BTreeMap::new(),
            blobs: BTreeMap::new(),
            next_number: 1,
            ticks: 0,
            calls: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// How many calls that would write there have been.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Writes that a crash could still lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.cache.len()
    }

    /// Whether appends can be expected to succeed.
    pub fn health_now(&self) -> Result<(), StoreError> {
        if self.faults.away {
            Err(away())
        } else if self.faults.full {
            Err(StoreError::Full)
        } else {
            Ok(())
        }
    }

    /// Puts one append into the page cache (S2 to S5). It is visible at once, and durable after `sync_now`: acknowledge it then.
    pub fn append_now(
        &mut self,
        log: &LogName,
        expected: Option<Expect>,
        id: EntryId,
        bytes: Bytes,
    ) -> Result<Position, StoreError> {
        self.admit_write()?;
        if bytes.len() > MAX_ENTRY {
            return Err(StoreError::TooLarge(bytes.len()));
        }
        self.refuse_quarantined(log)?;
        let found = self.visible.get(log);
        if let Some((_, first)) =
            found.and_then(|found| found.ids.iter().find(|(known, _)| *known == id))
        {
            return Ok(*first);
        }
        let head = Position(found.map_or(0, SimLog::head));
        match expected {
            Some(Expect::Head(expected)) if expected != head => {
                return Err(StoreError::Conflict { head });
            }
            Some(Expect::Seen(seen)) if !is_still_at(found, seen) || is_trimmed(found, seen) => {
                return Err(StoreError::Rewound { head });
            }
            _ => {}
        }
        let answer = self.faults.unknown_next.take();
        if answer == Some(false) {
            return Err(StoreError::Unknown);
        }
        let number = self.number_of(log);
        let position = head.next();
        let crc = checksum::entry(number, log, signed(position.0), 0, &bytes);
        self.write(log, number, What::Append(Record { bytes, id, crc }));
        if answer == Some(true) { Err(StoreError::Unknown) } else { Ok(position) }
    }

    /// Makes everything in the page cache durable.
    pub fn sync_now(&mut self) -> Result<(), StoreError> {
        if self.faults.sync_fails {
            return Err(StoreError::Unknown);
        }
        for write in self.cache.drain(..) {
            apply(&mut self.durable, write);
        }
        Ok(())
    }

    /// The log goes back in time (S18): what follows `to` is gone, as when a replica that lacked it was promoted.
    pub fn rewind_now(&mut self, log: &LogName, to: Position) {
        self.cache.retain(|write| write.log != *log);
        let Some(found) = self.visible.get_mut(log) else { return };
        // What was trimmed is not brought back: the oldest snapshot stands for it.
        let to = to.max(Position(found.trimmed));
        let keep = usize::try_from(to.0.saturating_sub(found.trimmed)).unwrap_or(usize::MAX);
        found.entries.truncate(keep);
        found.snapshots.retain(|kept| kept.covers <= to);
        found.ids.retain(|(_, position)| *position <= to);
        self.durable.insert(log.clone(), found.clone());
    }

    fn write(&mut self, log: &LogName, number: i64, what: What) {
        self.ticks += 1;
        let write = Write { log: log.clone(), number, tick: self.ticks, what };
        apply(&mut self.visible, write.clone());
        self.cache.push(write);
    }

    /// One page (S6, S7, S9, S18).
    pub fn read_now(&mut self, log: &LogName, after: Bookmark) -> Result<Page, StoreError> {
        self.admit_read()?;
        self.refuse_quarantined(log)?;
        let found = self.visible.get(log);
        if !is_still_at(found, after) {
            return Err(StoreError::Rewound { head: Position(found.map_or(0, SimLog::head)) });
        }
        let Some(found) = found else { return Ok(Page::default()) };
        match page(found, log, after.position) {
            Err(StoreError::Corrupt(what)) => {
                self.quarantine.insert(log.clone(), format!("damaged: {what}"));
                Err(StoreError::Corrupt(what))
            }
            result => result,
        }
    }

    /// Stores a snapshot and lets go what no kept one needs (S8, S9). Durable after `sync_now`.
    pub fn compact_now(&mut self, log: &LogName, snapshot: Snapshot) -> Result<(), StoreError> {
        self.admit_write()?;
        self.refuse_quarantined(log)?;
        let found = self.visible.get(log);
        let head = Position(found.map_or(0, SimLog::head));
        let newest = found
            .and_then(|found| found.snapshots.last())
            .map_or(Position::START, |last| last.covers);
        let Snapshot { covers, last, bytes } = snapshot;
        if !is_still_at(found, Bookmark { position: covers, id: last }) {
            return Err(StoreError::Rewound { head });
        }
        if covers > head || found.is_none() {
            return Err(StoreError::Ahead { head });
        }
        if covers == Position::START || covers < newest {
            return Err(StoreError::Stale { newest });
        }
        let number = self.number_of(log);
        let crc = checksum::snapshot(number, log, signed(covers.0), &bytes);
        self.write(log, number, What::Compact(Generation { covers, last, bytes, crc }));
        Ok(())
    }

    /// Sets a log aside (S11). The first reason stays.
    pub fn quarantine_now(&mut self, log: &LogName, reason: &str) -> Result<(), StoreError> {
        self.admit_write()?;
        self.quarantine.entry(log.clone()).or_insert_with(|| reason.to_owned());
        Ok(())
    }

    /// Takes a log back into service (S11).
    pub fn release_now(&mut self, log: &LogName) -> Result<(), StoreError> {
        self.admit_write()?;
        self.quarantine.remove(log);
        Ok(())
    }

    /// Everything that lies there (S11).
    pub fn read_raw_now(&self, log: &LogName) -> Result<Vec<RawRecord>, StoreError> {
        self.admit_read()?;
        let Some(found) = self.visible.get(log) else { return Ok(Vec::new()) };
        let snapshots = found.snapshots.iter().map(|generation| RawRecord {
            position: generation.covers,
            is_snapshot: true,
            id: generation.last,
            bytes: generation.bytes.clone(),
            intact: generation_is_intact(found, log, generation),
        });
        let entries =
            (found.trimmed + 1..).zip(&found.entries).map(|(position, record)| RawRecord {
                position: Position(position),
                is_snapshot: false,
                id: Some(record.id),
                bytes: record.bytes.clone(),
                intact: record_is_intact(found, log, position, record),
            });
        Ok(snapshots.chain(entries).collect())
    }

    /// Removes a log (S12), durably.
    pub fn delete_now(&mut self, log: &LogName) -> Result<(), StoreError> {
        self.admit_write()?;
        self.visible.remove(log);
        self.durable.remove(log);
        self.quarantine.remove(log);
        self.cache.retain(|write| write.log != *log);
        Ok(())
    }

    /// All logs with a prefix, by name (S13).
    pub fn list_now(&self, prefix: &str) -> Result<Vec<LogInfo>, StoreError> {
        self.admit_read()?;
        let with_prefix = self.visible.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        Ok(with_prefix
            .map(|(name, log)| {
                let entries: usize = log.entries.iter().map(|record| record.bytes.len()).sum();
                let newest = log.snapshots.last();
                LogInfo {
                    name: name.clone(),
                    head: Position(log.head()),
                    snapshot: newest.map(|newest| newest.covers),
                    bytes: (entries + newest.map_or(0, |newest| newest.bytes.len())) as u64,
                    changed_at: log.changed_at,
                    quarantined: self.quarantine.get(name).cloned(),
                }
            })
            .collect())
    }

    /// Where a log is, as readers see it.
    #[must_use]
    pub fn head_now(&self, log: &LogName) -> Bookmark {
        self.visible.get(log).map_or(Bookmark::START, |found| {
            let position = Position(found.head());
            Bookmark { position, id: found.id_at(position) }
        })
    }

    /// Stores a blob (S15), durably.
    pub fn put_blob_now(&mut self, name: &LogName, bytes: Bytes) -> Result<(), StoreError> {
        self.admit_write()?;
        let crc = checksum::blob(name, &bytes);
        self.blobs.insert(name.clone(), (bytes, crc));
        Ok(())
    }

    /// Reads a blob (S15).
    pub fn get_blob_now(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        self.admit_read()?;
        match self.blobs.get(name) {
            Some((bytes, crc)) if checksum::blob(name, bytes) != *crc => {
                Err(StoreError::Corrupt("a blob does not match its checksum".into()))
            }
            found => Ok(found.map(|(bytes, _)| bytes.clone())),
        }
    }

    /// Removes a blob (S15), durably.
    pub fn delete_blob_now(&mut self, name: &LogName) -> Result<(), StoreError> {
        self.admit_write()?;
        self.blobs.remove(name);
        Ok(())
    }

    fn admit_write(&mut self) -> Result<(), StoreError> {
        self.calls += 1;
        self.admit_read()?;
        if let Some(error) = self.faults.fail_next.take() {
            return Err(error);
        }
        if self.faults.fail_at == Some(self.calls) {
            return Err(away());
        }
        if self.faults.full { Err(StoreError::Full) } else { Ok(()) }
    }

    fn admit_read(&self) -> Result<(), StoreError> {
        if self.faults.away { Err(away()) } else { Ok(()) }
    }

    fn refuse_quarantined(&self, log: &LogName) -> Result<(), StoreError> {
        match self.quarantine.get(log) {
            Some(reason) => Err(StoreError::Quarantined(reason.clone())),
            None => Ok(()),
        }
    }

    fn number_of(&mut self, log: &LogName) -> i64 {
        if let Some(found) = self.visible.get(log) {
            return found.number;
        }
        self.next_number += 1;
        self.next_number
    }
}

/// S18: nothing stands anywhere in a log that nobody has written.
fn is_still_at(log: Option<&SimLog>, seen: Bookmark) -> bool {
    log.map_or(seen.id.is_none(), |log| log.is_still_at(seen))
}

/// S18: what stood at a place that was trimmed away cannot be compared, unless a snapshot remembers it.
fn is_trimmed(log: Option<&SimLog>, seen: Bookmark) -> bool {
    seen.id.is_some() && log.is_some_and(|log| log.id_at(seen.position).is_none())
}

fn away() -> StoreError {
    StoreError::Away("the simulated disk is away".into())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn apply(logs: &mut BTreeMap<LogName, SimLog>, write: Write) {
    let Write { log, number, tick, what } = write;
    let log = logs.entry(log).or_insert_with(|| SimLog { number, ..SimLog::default() });
    match what {
        What::Append(record) => {
            let id = record.id;
            log.entries.push(record);
            log.ids.push((id, Position(log.head())));
            if log.ids.len() > REMEMBERED_IDS {
                log.ids.remove(0);
            }
            log.changed_at = tick;
        }
        What::Compact(generation) => {
            log.snapshots.retain(|kept| kept.covers != generation.covers);
            log.snapshots.push(generation);
            if log.snapshots.len() > KEPT_SNAPSHOTS {
                log.snapshots.remove(0);
            }
            let oldest = log.snapshots.first().map_or(0, |oldest| oldest.covers.0);
            let go = usize::try_from(oldest.saturating_sub(log.trimmed))
                .unwrap_or(0)
                .min(log.entries.len());
            log.entries.drain(..go);
            log.trimmed += go as u64;
        }
    }
}

fn record_is_intact(log: &SimLog, name: &LogName, position: u64, record: &Record) -> bool {
    record.crc == checksum::entry(log.number, name, signed(position), 0, &record.bytes)
}

fn generation_is_intact(log: &SimLog, name: &LogName, generation: &Generation) -> bool {
    generation.crc
        == checksum::snapshot(log.number, name, signed(generation.covers.0), &generation.bytes)
}

fn page(log: &SimLog, name: &LogName, after: Position) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let mut next = after.0;
    if next < log.trimmed {
        let usable = log
            .snapshots
            .iter()
            .rev()
            .find(|generation| generation_is_intact(log, name, generation));
        let Some(usable) = usable else {
            return Err(StoreError::Corrupt("no snapshot is left of the trimmed entries".into()));
        };
        next = usable.covers.0;
        page.snapshot = Some(Snapshot {
            covers: usable.covers,
            last: usable.last,
            bytes: usable.bytes.clone(),
        });
    }
    let skip = usize::try_from(next.saturating_sub(log.trimmed)).unwrap_or(usize::MAX);
    let mut size = 0;
    for record in log.entries.iter().skip(skip) {
        if size > 0 && size + record.bytes.len() > READ_PAGE_BYTES {
            page.more = true;
            break;
        }
        next += 1;
        if !record_is_intact(log, name, next, record) {
            return Err(StoreError::Corrupt(format!("entry {next} does not match its checksum")));
        }
        size += record.bytes.len();
        page.entries.push(Entry {
            position: Position(next),
            id: Some(record.id),
            bytes: record.bytes.clone(),
        });
    }
    Ok(page)
}
