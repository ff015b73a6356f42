//! What can be done to a simulated disk that no caller asks for?

use super::{Record, SimDisk, SimLog, What, Write, apply, record_is_intact};
use crate::store::{LogName, Position};
use bytes::Bytes;
use rand::RngExt;

impl SimDisk {
    /// The power goes and comes back. Of what was not synced a prefix survives, perhaps none, and the write after it may be torn;
    /// recovery finds the torn one by its checksum and drops it. Returns how many unsynced writes were lost.
    pub fn crash(&mut self) -> usize {
        let mut writes = std::mem::take(&mut self.cache);
        let lost = writes.split_off(self.random.random_range(0..=writes.len()));
        for write in writes {
            apply(&mut self.durable, write);
        }
        let mut count = lost.len();
        if let Some(Write { log, number, tick, what: What::Append(record) }) =
            lost.into_iter().next()
            && self.random.random_bool(0.5)
        {
            let keep = self.random.random_range(0..=record.bytes.len());
            let torn = Record { bytes: record.bytes.slice(..keep), ..record };
            apply(
                &mut self.durable,
                Write { log: log.clone(), number, tick, what: What::Append(torn) },
            );
            if !self.recover(&log) {
                // Torn after its last byte: it survived.
                count -= 1;
            }
        }
        self.visible.clone_from(&self.durable);
        count
    }

    /// Drops a log's last record if it does not match its checksum. Called only for the one that was being written when the power went:
    /// nobody was told that it was there. Says whether it did. Older damage stays in its place and is found when it is read.
    fn recover(&mut self, name: &LogName) -> bool {
        let Some(log) = self.durable.get_mut(name) else { return false };
        let head = log.head();
        let torn = log.entries.last().is_some_and(|last| !record_is_intact(log, name, head, last));
        if torn {
            log.entries.pop();
            log.ids.retain(|(_, position)| position.0 < head);
        }
        torn
    }

    /// The storage goes back in time: the last `count` entries of a log are gone although they were durable, as after a failover to a
    /// replica that lagged. Returns how many went.
    pub fn step_back(&mut self, log: &LogName, count: usize) -> usize {
        self.cache.retain(|write| write.log != *log);
        let Some(found) = self.durable.get_mut(log) else { return 0 };
        let gone = count.min(found.entries.len());
        found.entries.truncate(found.entries.len() - gone);
        let head = found.head();
        found.ids.retain(|(_, position)| position.0 <= head);
        found.snapshots.retain(|generation| generation.covers.0 <= head);
        self.visible.insert(log.clone(), found.clone());
        gone
    }

    /// Flips a bit of a stored entry. Returns whether it was there.
    pub fn damage_entry(&mut self, log: &LogName, position: Position) -> bool {
        self.damage(log, |log| {
            let at = usize::try_from(position.0.checked_sub(log.trimmed + 1)?).ok()?;
            let record = log.entries.get_mut(at)?;
            record.bytes = flipped(&record.bytes);
            Some(())
        })
    }

    /// Flips a bit of a stored snapshot. Returns whether it was there.
    pub fn damage_snapshot(&mut self, log: &LogName, covers: Position) -> bool {
        self.damage(log, |log| {
            let generation =
                log.snapshots.iter_mut().find(|generation| generation.covers == covers)?;
            generation.bytes = flipped(&generation.bytes);
            Some(())
        })
    }

    /// Flips a bit of a stored blob. Returns whether it was there.
    pub fn damage_blob(&mut self, name: &LogName) -> bool {
        match self.blobs.get_mut(name) {
            Some((bytes, _)) => {
                *bytes = flipped(bytes);
                true
            }
            None => false,
        }
    }

    fn damage(&mut self, log: &LogName, how: impl Fn(&mut SimLog) -> Option<()>) -> bool {
        let durable = self.durable.get_mut(log).and_then(&how).is_some();
        self.visible.get_mut(log).and_then(how).is_some() && durable
    }
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    match bytes.first_mut() {
        Some(first) => *first ^= 1,
        None => bytes.push(0),
    }
    bytes.into()
}
