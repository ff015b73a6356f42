//! Do these records make a log, and which one?
//!
//! A log that moves to another store goes as what lies there (S11), so that what was damaged stays visibly damaged and nothing is tidied away on the
//! journey. Before anything is written the records are looked at as a whole.

use super::{Position, RawRecord, StoreError};

/// Everything one log holds, to be put elsewhere (S19).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its kept snapshots, oldest first, then its entries in order, as `read_raw` gives them.
    pub records: Vec<RawRecord>,
    /// Milliseconds since the Unix epoch of the last append.
    pub changed_at: u64,
    /// Why it is set aside, if it is.
    pub quarantined: Option<String>,
}

/// Where the parts of a log stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The last entry, there or trimmed.
    pub head: Position,
    /// Entries up to here are not there.
    pub trimmed: Position,
    /// What the newest snapshot covers; [`Position::START`] without any.
    pub newest: Position,
}

impl Contents {
    /// The snapshots, oldest first.
    pub fn snapshots(&self) -> impl Iterator<Item = &RawRecord> {
        self.records.iter().filter(|record| record.is_snapshot)
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &RawRecord> {
        self.records.iter().filter(|record| !record.is_snapshot)
    }

    /// Whether the records make a log: entries without a hole, snapshots in order and of what is there or was. Damaged records count: they stand
    /// in their places.
    pub fn shape(&self) -> Result<Shape, StoreError> {
        let no_log =
            |why: &str| Err(StoreError::Corrupt(format!("these records are no log: {why}")));
        let mut shape = Shape::default();
        for snapshot in self.snapshots() {
            if snapshot.position <= shape.newest {
                return no_log("a snapshot is out of order");
            }
            shape.newest = snapshot.position;
        }
        let oldest = self.snapshots().next().map_or(Position::START, |oldest| oldest.position);
        let first = self.entries().next().map(|first| first.position);
        shape.trimmed = match first {
            Some(Position(0)) => return no_log("an entry stands before the first place"),
            Some(Position(first)) => Position(first - 1),
            None => shape.newest,
        };
        shape.head = shape.trimmed;
        for entry in self.entries() {
            if entry.position != shape.head.next() {
                return no_log("an entry is missing");
            }
            shape.head = entry.position;
        }
        if shape.head == Position::START {
            return no_log("there are none");
        }
        if oldest < shape.trimmed {
            return no_log("what was trimmed is in no snapshot");
        }
        if shape.newest > shape.head {
            return no_log("a snapshot covers more than there is");
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests;
