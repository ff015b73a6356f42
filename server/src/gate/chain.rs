//! Which of the entries written under one key of a map is the one that counts?
//!
//! Entries form a tree: each follows the entry it replaced. The list Yjs makes of it is the walk through the tree with
//! siblings ordered by client (and later clocks of one client before earlier ones); its last entry counts and all others
//! are deleted. So it is enough to remember the path from the root to the last entry.

use commonplace_protocol::ids::{ClientId, Clock, Id};
use std::cmp::Reverse;

/// The path from the first entry to the one that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    path: Vec<Stretch>,
}

/// Entries of one client, each following the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    depth: u32,
    client: ClientId,
    clock: Clock,
    len: u32,
}

/// What an insertion did, so that it can be taken back.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    removed: Vec<Stretch>,
    /// Stretches that were there before and still are, with the length of the last of them.
    kept: (usize, u32),
}

/// The outcome of inserting entries.
#[derive(Debug)]
pub(super) enum Inserted {
    /// Another entry counts: all of them are deleted.
    Lost,
    /// The last of them counts. The entry that counted before, if any, is deleted.
    Won { replaced: Option<Id>, undo: Undo },
}

impl Chain {
    /// Inserts `len` entries, each following the one before; the first follows the entry `after`, which is in the tree at
    /// `depth - 1` (`None` with depth 0).
    pub(super) fn insert(
        &mut self,
        after: Option<Id>,
        depth: u32,
        first: Id,
        len: u32,
    ) -> Inserted {
        if let Some(after) = after
            && self.at(depth - 1) != Some(after)
        {
            return Inserted::Lost;
        }
        if let Some(rival) = self.at(depth)
            && (rival.client, Reverse(rival.clock)) > (first.client, Reverse(first.clock))
        {
            return Inserted::Lost;
        }
        let replaced = self.last();
        let undo = self.truncate(depth);
        match self.path.last_mut() {
            Some(last) if last.client == first.client && last.clock + last.len == first.clock => {
                last.len += len
            }
            _ => self.path.push(Stretch { depth, client: first.client, clock: first.clock, len }),
        }
        Inserted::Won { replaced, undo }
    }

    /// Takes an insertion back: the last one that has not been taken back.
    pub(super) fn undo(&mut self, undo: Undo) {
        let (count, len) = undo.kept;
        self.path.truncate(count);
        if let Some(last) = self.path.last_mut() {
            last.len = len;
        }
        let mut removed = undo.removed.into_iter().peekable();
        // A stretch that was cut comes back whole.
        if let (Some(last), Some(cut)) = (self.path.last_mut(), removed.peek())
            && last.client == cut.client
            && last.clock + last.len == cut.clock
        {
            last.len += cut.len;
            removed.next();
        }
        self.path.extend(removed);
    }

    fn last(&self) -> Option<Id> {
        self.path.last().map(|s| Id { client: s.client, clock: s.clock + s.len - 1 })
    }

    fn at(&self, depth: u32) -> Option<Id> {
        let index = self.path.partition_point(|s| s.depth <= depth).checked_sub(1)?;
        let s = self.path.get(index)?;
        let offset = depth - s.depth;
        (offset < s.len).then(|| Id { client: s.client, clock: s.clock + offset })
    }

    /// Cuts the path to its first `depth` entries.
    fn truncate(&mut self, depth: u32) -> Undo {
        let keep = self.path.partition_point(|s| s.depth < depth);
        let mut removed = self.path.split_off(keep);
        let mut kept_len = 0;
        if let Some(last) = self.path.last_mut() {
            let over = (last.depth + last.len).saturating_sub(depth);
            if over > 0 {
                last.len -= over;
                let cut =
                    Stretch { depth, client: last.client, clock: last.clock + last.len, len: over };
                removed.insert(0, cut);
            }
            kept_len = last.len;
        }
        Undo { removed, kept: (keep, kept_len) }
    }
}
