//! How does a log from elsewhere come onto a simulated disk?

use super::{Generation, Record, SimDisk, SimLog, signed};
use crate::store::{Contents, EntryId, LogName, Position, RawRecord, StoreError, checksum};

impl SimDisk {
    /// Puts a whole log where none is (S19), durably.
    pub fn import_now(&mut self, log: &LogName, contents: Contents) -> Result<(), StoreError> {
        self.admit_write()?;
        let shape = contents.shape()?;
        if let Some(found) = self.visible.get(log) {
            return Err(StoreError::Conflict { head: Position(found.head()) });
        }
        let number = self.number_of(log);
        let mut new = SimLog {
            number,
            trimmed: shape.trimmed.0,
            changed_at: contents.changed_at,
            ..SimLog::default()
        };
        for RawRecord { position, is_snapshot, id, bytes, intact } in contents.records {
            // What was damaged stays so.
            let hurt = u32::from(!intact);
            if is_snapshot {
                let crc = checksum::snapshot(number, log, signed(position.0), &bytes) ^ hurt;
                new.snapshots.push(Generation { covers: position, last: id, bytes, crc });
            } else {
                let id = id.unwrap_or_else(|| EntryId(u128::from(position.0)));
                let crc = checksum::entry(number, log, signed(position.0), 0, &bytes) ^ hurt;
                new.ids.push((id, position));
                new.entries.push(Record { bytes, id, crc });
            }
        }
        let forgotten = new.ids.len().saturating_sub(crate::store::REMEMBERED_IDS);
        new.ids.drain(..forgotten);
        self.visible.insert(log.clone(), new.clone());
        self.durable.insert(log.clone(), new);
        if let Some(reason) = contents.quarantined {
            self.quarantine.insert(log.clone(), reason);
        }
        Ok(())
    }

    /// Names of blobs in byte order (S20).
    pub fn list_blobs_now(&self) -> Result<Vec<LogName>, StoreError> {
        self.admit_read()?;
        Ok(self.blobs.keys().cloned().collect())
    }
}
