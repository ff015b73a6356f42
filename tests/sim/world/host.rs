//! One running instance of the room, and what its store does for it.

use super::World;
use bytes::Bytes;
use commonplace::room::document::reload_check;
use commonplace::room::event::{CompactFailure, Event, PeerId, Seating};
use commonplace::room::state::Room;
use commonplace::store::{Bookmark, EntryId, Expect, Position, Snapshot, StoreError};
use rand::RngExt;
use std::collections::BTreeMap;

/// A running instance of the room.
pub(super) struct Host {
    pub(super) room: Room,
    pub(super) wake_at: Option<u64>,
    pub(super) read: Option<Bookmark>,
    pub(super) append: Option<Append>,
    pub(super) compact: Option<(Bookmark, Bytes)>,
    pub(super) seats: BTreeMap<PeerId, Seat>,
    /// Finished: removed after the effects are done.
    pub(super) ended: bool,
}

pub(super) struct Append {
    pub(super) id: EntryId,
    pub(super) entry: Bytes,
    pub(super) seen: Bookmark,
    pub(super) written: Option<Position>,
    /// The store was started again before it could answer.
    pub(super) unanswered: bool,
}

pub(super) struct Seat {
    /// `None` for the hostile one, who listens to nothing.
    pub(super) client: Option<usize>,
    pub(super) seating: Seating,
    pub(super) tell_when_drained: bool,
}

impl World {
    /// Opens the room, if it is not.
    pub(super) fn open(&mut self, at: usize) -> Result<(), String> {
        if self.hosts[at].is_some() {
            return Ok(());
        }
        let (mut room, effects) = Room::new(self.random.random());
        room.compact_after(self.random.random_range(6..40));
        self.hosts[at] = Some(Host {
            room,
            wake_at: None,
            read: None,
            append: None,
            compact: None,
            seats: BTreeMap::new(),
            ended: false,
        });
        self.carry(at, effects)
    }

    /// A few steps of whatever the store has been asked by one instance.
    pub(super) fn move_store(&mut self, at: usize) -> Result<(), String> {
        for _ in 0..self.random.random_range(1..5) {
            self.move_store_once(at)?;
        }
        Ok(())
    }

    fn move_store_once(&mut self, at: usize) -> Result<(), String> {
        if self.frozen[at] {
            return Ok(());
        }
        let first = self.random.random_range(0..4);
        for n in 0..4 {
            let has_moved = match (first + n) % 4 {
                0 => self.move_read(at)?,
                1 => self.move_append(at)?,
                2 => self.move_compaction(at)?,
                _ => self.random.random_range(0..1_000) < self.hints && self.move_hint(at)?,
            };
            if has_moved {
                return Ok(());
            }
        }
        Ok(())
    }

    fn move_read(&mut self, at: usize) -> Result<bool, String> {
        let Some(host) = &mut self.hosts[at] else { return Ok(false) };
        let Some(after) = host.read.take() else { return Ok(false) };
        // A store shows others what is durable: its answers leave after its sync.
        let page = match self.disk.sync_now() {
            Ok(()) => self.disk.read_now(&self.log, after),
            Err(error) => Err(error),
        };
        self.step(at, Event::Read(page))?;
        self.let_in(at)?;
        Ok(true)
    }

    fn move_append(&mut self, at: usize) -> Result<bool, String> {
        let Some(host) = &mut self.hosts[at] else { return Ok(false) };
        let Some(append) = &mut host.append else { return Ok(false) };
        let outcome = if append.unanswered {
            Err(StoreError::Unknown)
        } else if let Some(position) = append.written {
            self.disk.sync_now().map(|()| position)
        } else {
            let seen = Some(Expect::Seen(append.seen));
            match self.disk.append_now(&self.log, seen, append.id, append.entry.clone()) {
                Ok(position) => {
                    append.written = Some(position);
                    return Ok(true);
                }
                Err(error) => Err(error),
            }
        };
        host.append = None;
        self.step(at, Event::Stored(outcome))?;
        Ok(true)
    }

    fn move_compaction(&mut self, at: usize) -> Result<bool, String> {
        let Some(host) = &mut self.hosts[at] else { return Ok(false) };
        let Some((up_to, state)) = host.compact.take() else { return Ok(false) };
        reload_check(&state)
            .map_err(|difference| format!("a snapshot does not read back: {difference}"))?;
        let Bookmark { position: covers, id: last } = up_to;
        let stored = self
            .disk
            .compact_now(&self.log, Snapshot { covers, last, bytes: state })
            .and_then(|()| self.disk.sync_now());
        match &stored {
            Ok(()) => self.tally.compacted += 1,
            Err(StoreError::Stale { .. }) => self.tally.stale += 1,
            Err(_) => {}
        }
        self.step(at, Event::Compacted(stored.map(|()| covers).map_err(CompactFailure::Store)))?;
        Ok(true)
    }

    /// The store says that the log has moved, if it has; now and then also if it has not.
    pub(super) fn move_hint(&mut self, at: usize) -> Result<bool, String> {
        let Some(seen) = self.hosts[at].as_ref().and_then(|host| host.room.follows()) else {
            return Ok(false);
        };
        if self.disk.head_now(&self.log) == seen && self.random.random_range(0..50) > 0 {
            return Ok(false);
        }
        self.step(at, Event::Followed)?;
        Ok(true)
    }
}
