//! How do edits that passed the gate come into the log, and how are they answered?
//!
//! What waits is stored as one entry; one entry is in flight at a time, and what comes meanwhile forms the next. An entry of one's own takes its turn
//! among those of other instances (R1).

use super::edits::{Offer, Part, STATUS_PATIENCE, Waiting};
use super::show::Shown;
use super::trouble::Storage;
use super::{Reload, Room};
use crate::room::event::{Dialect, Effect, Millis, Note, Now, PeerId, ToPeer};
use crate::room::record::{Edit, EditPlace, Record};
use crate::store::{Bookmark, EntryId, Position, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;

/// First wait before an entry is offered to the store again; doubles up to [`MAX_STORE_RETRY`].
const MIN_STORE_RETRY: Millis = 50;

/// The longest wait: a store that is back is noticed within this time.
const MAX_STORE_RETRY: Millis = 2_000;

/// The wait after so many failures in a row.
pub(super) fn store_retry(failures: u32) -> Millis {
    (MIN_STORE_RETRY << failures.min(10)).min(MAX_STORE_RETRY)
}

/// One's own entry between the store's being asked and its turn in the log.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: EntryId,
    entry: Bytes,
    /// When it was first offered.
    pub(super) since: Millis,
    pub(super) items: Vec<Waiting>,
    /// The edit it records as void, if it does.
    pub(super) void: Option<EditPlace>,
    /// Where it stands, once the store has said so while entries of others before it were still to be read.
    pub(super) written: Option<Position>,
}

impl Room {
    /// Offers the store what waits, one entry at a time.
    pub(super) fn store_waiting(&mut self, now: Now) {
        self.calm_status_askers(now.mono);
        if self.edits.calling {
            return;
        }
        if self.edits.in_flight.is_some() {
            if self.edits.retry_at.is_some_and(|at| now.mono >= at) {
                self.offer_entry();
            }
            return;
        }
        if let Some(place) = self.edits.voids.pop_front() {
            self.append(now, &Record::Void(place), Vec::new(), Some(place));
            return;
        }
        let is_stopping = matches!(self.phase, super::Phase::Stopping);
        if !is_stopping && self.show.gather_until(now.mono).is_some() {
            // In a crowd one entry, and one commit, for each frame.
            return;
        }
        while !self.edits.waiting.is_empty() {
            let batch = self.edits.take_batch();
            let edits: Vec<Edit> = batch.iter().filter_map(stored_edit).collect();
            if !edits.is_empty() {
                self.append(now, &Record::Edits { at: now.wall, edits }, batch, None);
                return;
            }
            // Nothing new in it, and everything before it is durable.
            self.complete(now, self.log.head.position, batch);
        }
    }

    fn append(&mut self, now: Now, record: &Record, items: Vec<Waiting>, void: Option<EditPlace>) {
        let (id, entry) = (self.edits.next_id(), record.encode());
        self.edits.in_flight =
            Some(InFlight { id, entry, since: now.mono, items, void, written: None });
        self.offer_entry();
    }

    /// Offers the store the entry in flight, for the first time or again.
    pub(super) fn offer_entry(&mut self) {
        let Some(entry) = &mut self.edits.in_flight else { return };
        entry.written = None;
        self.edits.calling = true;
        self.edits.retry_at = None;
        let (id, entry) = (entry.id, entry.entry.clone());
        self.effects.push(Effect::Append { id, entry, seen: self.log.head });
    }

    pub(super) fn stored(&mut self, now: Now, outcome: Result<Position, StoreError>) {
        self.edits.calling = false;
        let Some(entry) = &mut self.edits.in_flight else {
            // Given up when the document was loaded anew: what it held has been answered, or is offered under another id.
            if self.is_loaded() && self.log.look_again {
                self.look();
            }
            return;
        };
        match outcome {
            Ok(position) => {
                self.edits.failures = 0;
                self.edits.trouble = None;
                let next = self.log.head.position.next();
                if position == next {
                    self.take_own_turn(now, position);
                } else if position > next {
                    // R1.
                    entry.written = Some(position);
                    self.look();
                } else {
                    self.reload(Reload::Rewound("an entry was stored where others had been read"));
                }
            }
            Err(StoreError::Rewound { .. }) => {
                self.reload(Reload::Rewound("it does not hold what was read of it"));
            }
            Err(error) if error.is_retryable() => {
                self.edits.retry_at = Some(now.mono + store_retry(self.edits.failures));
                self.edits.failures += 1;
                self.edits.trouble = Some(Storage::of(&error));
                self.note(Note::StoreAway(error));
                if self.log.look_again {
                    self.look();
                }
            }
            Err(error) => self.set_aside(error.to_string()),
        }
    }

    /// Everything before the entry in flight has been applied, and it is durable.
    pub(super) fn take_own_turn(&mut self, now: Now, position: Position) {
        let Some(entry) = self.edits.in_flight.take() else { return };
        let at = Bookmark { position, id: Some(entry.id) };
        self.log.advance(at, entry.entry.len(), true, self.document.size_hint());
        self.log.voids.extend(entry.void);
        self.complete(now, position, entry.items);
        if !self.is_loaded() {
            return;
        }
        self.ask_all_that_wait();
        if std::mem::take(&mut self.log.more_after_own) {
            self.look();
        } else if !self.log.reading {
            // What was heard meanwhile was heard of this entry; whoever follows from here hears of any other.
            self.log.look_again = false;
        }
    }

    /// Everything in `items` is durable: apply it, show it, acknowledge it.
    fn complete(&mut self, now: Now, position: Position, items: Vec<Waiting>) {
        let mut index = 0;
        for item in &items {
            let Waiting::Edit(part) = item else { continue };
            if !part.news {
                continue;
            }
            let patience = self.patience;
            let applied = self.document.apply_within(&part.offer.update, &part.measured, patience);
            if let Err(broken) = applied {
                self.reload_without(EditPlace { position, index }, &broken, Some(items));
                return;
            }
            index += 1;
        }
        let mut waited = 0;
        let mut answers: BTreeMap<PeerId, u32> = BTreeMap::new();
        let mut statuses = Vec::new();
        for item in items {
            match item {
                Waiting::Edit(part) => {
                    waited = waited.max(now.mono.saturating_sub(part.offer.since));
                    *answers.entry(part.offer.peer).or_default() += part.offer.answers;
                    self.show_part(part);
                }
                Waiting::Status(peer, status) => statuses.push((peer, status)),
            }
        }
        self.show_edits(now);
        let count = answers.values().sum();
        if count > 0 {
            self.note(Note::Acknowledged { count, waited });
        }
        for (peer, count) in answers {
            self.acknowledge(peer, count);
        }
        for (peer, status) in statuses {
            self.send(peer, ToPeer::SyncStatus(status));
        }
    }

    pub(super) fn acknowledge(&mut self, id: PeerId, count: u32) {
        if count > 0 {
            self.send(id, ToPeer::Applied(count));
        }
    }

    fn show_part(&mut self, part: Part) {
        let Part { offer: Offer { peer, update, .. }, measured, news, comes_back } = part;
        let dialect = self.peers.get(&peer).map(|peer| peer.dialect);
        if news {
            // A Hocuspocus provider is told by its status; y-websocket clients count an edit as safe when it comes back to them.
            let not_to = (dialect == Some(Dialect::Hocuspocus)).then_some(peer);
            self.show.push(Shown { update, measured, not_to });
        } else if dialect == Some(Dialect::YWebsocket) && comes_back {
            // Everyone else has it already; its sender still waits to see it come back.
            self.send(peer, ToPeer::Update(update));
        }
    }

    fn calm_status_askers(&mut self, now: Millis) {
        if self.edits.status_patience.is_none_or(|at| now < at) {
            return;
        }
        let in_flight = self.edits.in_flight.as_ref().map_or(&[][..], |entry| &entry.items);
        let asking = in_flight.iter().chain(&self.edits.waiting).filter_map(|item| match item {
            Waiting::Status(peer, _) => Some(*peer),
            Waiting::Edit(_) => None,
        });
        let held =
            self.peers.iter().filter(|(_, peer)| peer.held_status.is_some()).map(|(&id, _)| id);
        let mut asking: Vec<PeerId> = asking.chain(held).collect();
        asking.sort_unstable();
        asking.dedup();
        self.edits.status_patience = (!asking.is_empty()).then_some(now + STATUS_PATIENCE);
        for peer in asking {
            self.send(peer, ToPeer::KeepAlive);
        }
    }
}

/// The part of an entry that stands for it, if it must be stored at all.
fn stored_edit(item: &Waiting) -> Option<Edit> {
    match item {
        Waiting::Edit(part) if part.news => Some(Edit {
            principal: part.offer.principal.0.clone(),
            connection: part.offer.peer.0,
            update: part.offer.update.clone(),
        }),
        Waiting::Edit(_) | Waiting::Status(..) => None,
    }
}
