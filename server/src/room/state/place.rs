//! Where in its log is this room, and when does the log get a snapshot?
//!
//! Several instances follow one log, and one snapshot is enough: the instance whose own entry makes it due takes it. The others wait until it is
//! long overdue: that instance may have died. A snapshot of theirs that comes late is refused by the store, which tells them about the newer one.

use super::{Reload, Room};
use crate::room::event::{CompactFailure, Effect, Millis};
use crate::room::record::EditPlace;
use crate::store::{Bookmark, Position, StoreError};
use std::collections::BTreeSet;

/// A document whose log has grown by so many entries since its snapshot gets a new one: a load replays little more than this.
pub const COMPACT_ENTRIES: u64 = 500;

/// The same in bytes.
pub const COMPACT_BYTES: u64 = 4 * 1024 * 1024;

/// A room that closes compacts when at least so many entries have gathered: the next open is then one read.
pub const COMPACT_ON_CLOSE_ENTRIES: u64 = 32;

/// After a compaction that failed, the next attempt waits for so many further entries.
const COMPACT_RETRY_ENTRIES: u64 = 200;

#[derive(Debug, Default)]
pub(super) struct LogPlace {
    /// [`COMPACT_ENTRIES`], or what a simulation wants instead.
    compact_entries: u64,
    /// The last entry applied.
    pub(super) head: Bookmark,
    /// What the newest snapshot covers, as far as is known here.
    snapshot: Position,
    bytes_since_snapshot: u64,
    compacting: bool,
    /// No compaction before the log is this long.
    not_before: u64,
    /// Once a compaction is due: whether an entry of one's own made it so.
    due_by_own: Option<bool>,
    /// A read has been asked for and not been answered.
    pub(super) reading: bool,
    /// Something was heard of the log that the read under way, or the append under way, may not show.
    pub(super) look_again: bool,
    /// The last page went on after the own entry that its reading stopped at (R3).
    pub(super) more_after_own: bool,
    /// The last read failed.
    pub(super) read_again_at: Option<Millis>,
    pub(super) read_failures: u32,
    /// Edits known to be void.
    pub(super) voids: BTreeSet<EditPlace>,
}

impl LogPlace {
    pub(super) fn new() -> Self {
        Self { compact_entries: COMPACT_ENTRIES, ..Self::default() }
    }

    /// Follows are pointless while it is read, or known that it must be.
    pub(super) const fn follows(&self) -> Option<Bookmark> {
        if self.is_reading() { None } else { Some(self.head) }
    }

    pub(super) const fn compacting(&self) -> bool {
        self.compacting
    }

    pub(super) const fn is_reading(&self) -> bool {
        self.reading || self.look_again || self.read_again_at.is_some()
    }

    pub(super) const fn read_again_at(&self) -> Option<Millis> {
        self.read_again_at
    }

    /// Before the first entry, as far as content goes; what is under way stays under way.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            compact_entries: self.compact_entries,
            compacting: self.compacting,
            not_before: self.not_before,
            reading: self.reading,
            ..Self::default()
        };
    }

    /// Content comes from a snapshot.
    pub(super) const fn begin_from(&mut self, covers: Bookmark) {
        self.head = covers;
        self.snapshot = covers.position;
        self.bytes_since_snapshot = 0;
        self.due_by_own = None;
    }

    /// Whether the entry there has been applied as such, and not as part of a snapshot: what is in a snapshot stays in it.
    pub(super) fn has_replayed(&self, position: Position) -> bool {
        self.snapshot < position && position <= self.head.position
    }

    /// An entry has been applied.
    pub(super) fn advance(&mut self, to: Bookmark, bytes: usize, is_own: bool, document: usize) {
        self.head = to;
        self.bytes_since_snapshot += bytes as u64;
        if self.due_by_own.is_none() && self.is_due(2, document) {
            self.due_by_own = Some(is_own);
        }
    }

    /// Whether so many halves of what makes a compaction due have gathered.
    fn is_due(&self, halves: u64, document: usize) -> bool {
        // Rewriting a large document for little would cost more than a longer load.
        let bytes = COMPACT_BYTES.max(document as u64);
        self.entries_since_snapshot() * 2 >= self.compact_entries * halves
            || self.bytes_since_snapshot * 2 >= bytes * halves
    }

    const fn entries_since_snapshot(&self) -> u64 {
        self.head.position.0.saturating_sub(self.snapshot.0)
    }

    const fn may_compact(&self) -> bool {
        !self.compacting && self.head.position.0 >= self.not_before
    }

    fn snapshot_at(&mut self, covers: Position) {
        self.snapshot = self.snapshot.max(covers);
        self.due_by_own = None;
        if self.snapshot >= self.head.position {
            self.bytes_since_snapshot = 0;
        } else {
            // What came during the compaction is counted by entries alone until the next one.
            self.bytes_since_snapshot /= 2;
        }
    }
}

impl Room {
    /// Compacts after so many entries instead of [`COMPACT_ENTRIES`]: a simulation has less time than a year of writing.
    pub const fn compact_after(&mut self, entries: u64) {
        self.log.compact_entries = entries;
    }

    /// R8.
    pub(super) fn compact_if_due(&mut self) {
        let log = &self.log;
        let overdue = || log.is_due(3, self.document.size_hint());
        if log.may_compact() && (log.due_by_own == Some(true) || overdue()) {
            self.compact();
        }
    }

    /// Whether there is reason to wait for a compaction before the room closes.
    pub(super) fn compact_on_close(&mut self) -> bool {
        let wants = self.log.entries_since_snapshot() >= COMPACT_ON_CLOSE_ENTRIES;
        let compacts = wants && self.log.may_compact();
        if compacts {
            self.compact();
        }
        compacts
    }

    fn compact(&mut self) {
        if self.log.entries_since_snapshot() == 0 {
            return;
        }
        self.log.compacting = true;
        let state = self.document.state();
        self.effects.push(Effect::Compact { up_to: self.log.head, state });
    }

    pub(super) fn compacted(&mut self, outcome: Result<Position, CompactFailure>) {
        self.log.compacting = false;
        match outcome {
            Ok(covers) | Err(CompactFailure::Store(StoreError::Stale { newest: covers })) => {
                self.log.snapshot_at(covers);
            }
            Err(CompactFailure::Store(StoreError::Quarantined(reason))) => self.set_aside(reason),
            Err(CompactFailure::Store(StoreError::Rewound { .. })) if self.is_loaded() => {
                self.reload(Reload::Rewound("it does not hold what a snapshot covers"));
            }
            Err(CompactFailure::Differs(_) | CompactFailure::Store(_)) => {
                self.log.not_before = self.log.head.position.0 + COMPACT_RETRY_ENTRIES;
            }
        }
    }
}
