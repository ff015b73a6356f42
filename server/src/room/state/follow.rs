//! How does a room at work take in what other instances wrote?
//!
//! In log order, entry by entry. Why all instances come to the same document: what the gate of an instance knows when it lets an edit pass is the
//! log as far as it has been read and the instance's own edits before it, and an append is only taken while the log still holds that (S18), so all of it
//! stands before the edit in the log. A gate that knows more refuses more contradictions, and no more gaps. So an edit that passes here, where one's
//! own edits are known as well, passes everywhere; and one that is refused here is refused everywhere unless one's own edits are the reason (R4).

use super::opening::Reload;
use super::show::Shown;
use super::{Phase, Room};
use crate::gate::Anyone;
use crate::room::event::{Millis, Note, Now};
use crate::room::record::{Edit, EditPlace, Record};
use crate::store::{Bookmark, Entry, Page, StoreError};

/// What becomes of the rest of a page.
enum Next {
    /// The entry has been taken in.
    GoOn,
    /// Nothing more of this page may be taken in.
    Leave,
}

impl Room {
    /// The log is said to be elsewhere.
    pub(super) fn followed(&mut self) {
        if !self.is_loaded() {
            return;
        }
        if self.edits.calling {
            // Most likely that is the entry on its way; the store's answer tells whether others came before it.
            self.log.look_again = true;
        } else {
            self.look();
        }
    }

    /// Reads on from here.
    pub(super) fn look(&mut self) {
        if self.log.reading {
            self.log.look_again = true;
            return;
        }
        self.log.look_again = false;
        self.read_after(self.log.head);
    }

    /// A read that failed is tried again when its time has come.
    pub(super) fn read_if_due(&mut self, now: Millis) {
        if !matches!(self.phase, Phase::Ended)
            && !self.log.reading
            && self.log.read_again_at.is_some_and(|at| now >= at)
        {
            self.read_after(self.log.head);
        }
    }

    /// A page for a room at work.
    pub(super) fn read_on(&mut self, now: Now, page: Result<Page, StoreError>) {
        if !self.is_loaded() {
            return;
        }
        self.log.reading = false;
        match page {
            Ok(page) => {
                self.log.read_failures = 0;
                self.take_page(now, page);
            }
            Err(StoreError::Rewound { .. }) => {
                self.reload(Reload::Rewound("it does not hold what was read of it"));
            }
            Err(StoreError::Quarantined(reason)) => self.set_aside(reason),
            Err(error @ StoreError::Corrupt(_)) => self.set_aside(error.to_string()),
            Err(error) => self.read_later(now.mono, error),
        }
    }

    fn take_page(&mut self, now: Now, page: Page) {
        if page.snapshot.is_some() {
            return self.reload(Reload::Trimmed);
        }
        let count = page.entries.len();
        for (n, entry) in page.entries.into_iter().enumerate() {
            let is_last = n + 1 == count && !page.more;
            if let Next::Leave = self.take_entry(now, &entry, is_last) {
                return;
            }
        }
        if page.more || self.log.look_again {
            self.look();
        } else if self.edits.in_flight.as_ref().is_some_and(|entry| entry.written.is_some()) {
            // The store had written it, and it is not there: the log went back in time, just not before what was read.
            self.offer_entry();
        }
    }

    fn take_entry(&mut self, now: Now, entry: &Entry, is_last: bool) -> Next {
        let head = self.log.head;
        if entry.position < head.position {
            return Next::GoOn;
        }
        if entry.position == head.position {
            // One's own entry was applied while this page was on its way.
            return match (entry.id, head.id) {
                (Some(stands_there), Some(read)) if stands_there != read => {
                    self.reload(Reload::Rewound("another entry stands where one was read"));
                    Next::Leave
                }
                _ => Next::GoOn,
            };
        }
        if entry.position != head.position.next() {
            self.reload(Reload::Rewound("entries are missing in it"));
            return Next::Leave;
        }
        if let Some(own) = &self.edits.in_flight
            && (entry.id == Some(own.id)
                || (entry.id.is_none() && own.written == Some(entry.position)))
        {
            if own.written.is_none() {
                // R3: what can be read may still be lost until the store has said that it is written.
                self.log.more_after_own = !is_last;
                return Next::Leave;
            }
            self.take_own_turn(now, entry.position);
            return if self.is_loaded() { Next::GoOn } else { Next::Leave };
        }
        self.take_foreign_entry(entry)
    }

    fn take_foreign_entry(&mut self, entry: &Entry) -> Next {
        let record = match Record::decode(&entry.bytes) {
            Ok(record) => record,
            Err(malformed) => {
                self.set_aside(format!("entry {} cannot be read: {malformed}", entry.position.0));
                return Next::Leave;
            }
        };
        match record {
            Record::Edits { edits, .. } => {
                for (index, edit) in edits.into_iter().enumerate() {
                    let place = EditPlace { position: entry.position, index };
                    if let Next::Leave = self.take_foreign_edit(place, edit) {
                        return Next::Leave;
                    }
                }
            }
            // R5. Whoever finds the engine failing on the same edit records the same void: that changes nothing any more.
            Record::Void(place) => {
                if self.log.voids.insert(place) && self.log.has_replayed(place.position) {
                    self.reload(Reload::Void);
                    return Next::Leave;
                }
            }
        }
        let at = Bookmark { position: entry.position, id: entry.id };
        self.log.advance(at, entry.bytes.len(), false, self.document.size_hint());
        Next::GoOn
    }

    /// R2.
    fn take_foreign_edit(&mut self, place: EditPlace, edit: Edit) -> Next {
        let nothing_outside = self.edits.is_idle();
        match self.document.admit(&edit.update, &mut Anyone) {
            // It stands on what is not in the log yet: so it fits only here.
            Ok(admitted) if !self.document.continues(&admitted.measured) => {
                self.reload(Reload::Order);
                return Next::Leave;
            }
            // What the gate knows may be known from what is not in the log yet, and then it is not applied yet.
            Ok(admitted) if admitted.news || !nothing_outside => {
                // However long it takes: to give up is for the instance that took it in, or what that one acknowledged could be void here.
                if let Err(broken) = self.document.apply(&edit.update, &admitted.measured) {
                    self.reload_without(place, &broken, None);
                    return Next::Leave;
                }
                let (update, measured) = (edit.update, admitted.measured);
                self.show.push(Shown { update, measured, not_to: None });
            }
            Ok(_) => {}
            Err(refusal) if nothing_outside => {
                self.note(Note::PassedOver(place.position, refusal.to_string()));
            }
            // R4.
            Err(_) => {
                self.reload(Reload::Order);
                return Next::Leave;
            }
        }
        Next::GoOn
    }
}
