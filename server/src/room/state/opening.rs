//! How does a document come out of its log: at first, and again after the document engine failed?
//!
//! Readers run the gate in log order, exactly as it was run when the entries were written. An edit the engine cannot apply is passed over and
//! recorded as void, so that every later reader passes over it too; its sender is refused, and everybody else's words stay.

use super::edits::{Kind, Offer, Part, Waiting};
use super::{LogPlace, Phase, Room};
use crate::gate::Anyone;
use crate::room::document::{Broken, Document};
use crate::room::event::{Effect, Note, Now, PeerId, Seating};
use crate::room::record::{EditPlace, Record};
use crate::store::{Entry, Page, Position, StoreError};
use commonplace_protocol::close::CloseCode;
use std::collections::BTreeSet;

/// A log with more edits than this that the engine cannot apply is not worth guessing at: it is set aside.
const MAX_VOIDS_FOUND: usize = 16;

/// Progress of a load.
#[derive(Debug, Default)]
pub(super) struct Opening {
    entries: usize,
    /// Edits to pass over: recorded as void, or found to be.
    voids: BTreeSet<EditPlace>,
    /// Those found by this load.
    found: Vec<EditPlace>,
    /// An entry that was durable but not fully applied when the engine failed: its senders wait for an answer.
    unanswered: Option<(Position, Vec<Waiting>)>,
    /// The server is stopping meanwhile.
    stop_after: bool,
}

impl Room {
    /// Whether the document in memory may be used.
    pub(super) const fn is_loaded(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Stopping)
    }

    pub(super) fn read(&mut self, now: Now, page: Result<Page, StoreError>) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        let mut opening = std::mem::take(opening);
        let outcome = match page {
            Ok(page) => self.replay(&mut opening, page),
            Err(StoreError::Quarantined(reason)) => return self.set_aside(reason),
            Err(error @ StoreError::Corrupt(_)) => return self.set_aside(error.to_string()),
            Err(error) => return self.open_failed(error),
        };
        match outcome {
            Ok(Progress::Complete) => self.opened(now, opening),
            Ok(Progress::More) => {
                self.effects.push(Effect::Read(self.log.head));
                self.phase = Phase::Opening(opening);
            }
            Ok(Progress::FromTheStart) => {
                self.start_over();
                self.phase = Phase::Opening(opening);
            }
            Err(reason) => self.set_aside(reason),
        }
    }

    fn replay(&mut self, opening: &mut Opening, mut page: Page) -> Result<Progress, String> {
        if let Some(snapshot) = page.snapshot {
            self.document = Document::restore(&snapshot.bytes).map_err(|Broken(reason)| reason)?;
            self.log.head = snapshot.covers;
            self.log.snapshot = snapshot.covers;
            self.log.bytes_since_snapshot = 0;
        }
        // A void follows what it speaks of. The last entry of a page waits for the next page, so that its void is seen first.
        if page.more && page.entries.len() > 1 {
            page.entries.pop();
        }
        let mut records = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let record = Record::decode(&entry.bytes).map_err(|malformed| {
                format!("entry {} cannot be read: {malformed}", entry.position.0)
            })?;
            if let Record::Void(place) = &record {
                opening.voids.insert(*place);
            }
            records.push(record);
        }
        for (entry, record) in page.entries.iter().zip(records) {
            if entry.position != self.log.head.next() {
                return Err(format!(
                    "entry {} follows entry {}",
                    entry.position.0, self.log.head.0
                ));
            }
            if let Some(place) = self.replay_entry(opening, entry, record) {
                opening.voids.insert(place);
                opening.found.push(place);
                if opening.found.len() > MAX_VOIDS_FOUND {
                    return Err("too many of its edits cannot be applied".to_owned());
                }
                return Ok(Progress::FromTheStart);
            }
            opening.entries += 1;
            self.log.head = entry.position;
            self.log.bytes_since_snapshot += entry.bytes.len() as u64;
        }
        Ok(if page.more { Progress::More } else { Progress::Complete })
    }

    /// Returns the edit the engine failed on, if it did.
    fn replay_entry(
        &mut self,
        opening: &Opening,
        entry: &Entry,
        record: Record,
    ) -> Option<EditPlace> {
        let Record::Edits { edits, .. } = record else { return None };
        for (index, edit) in edits.iter().enumerate() {
            let place = EditPlace { position: entry.position, index };
            if opening.voids.contains(&place) {
                continue;
            }
            match self.document.admit(&edit.update, &mut Anyone) {
                Ok(admitted) => {
                    if self.document.apply(&edit.update, &admitted.measured).is_err() {
                        return Some(place);
                    }
                }
                Err(refusal) => self.note(Note::PassedOver(entry.position, refusal.to_string())),
            }
        }
        None
    }

    fn start_over(&mut self) {
        self.document = Document::new();
        self.log = LogPlace {
            compacting: self.log.compacting,
            not_before: self.log.not_before,
            ..LogPlace::default()
        };
        self.effects.push(Effect::Read(Position::START));
    }

    fn opened(&mut self, now: Now, opening: Opening) {
        self.phase = if opening.stop_after { Phase::Stopping } else { Phase::Open };
        self.note(Note::Opened { entries: opening.entries });
        self.edits.record_voids(opening.found);
        if let Some((position, items)) = opening.unanswered {
            self.answer_after_rebuild(now, &opening.voids, position, items);
        }
        self.show.told = self.document.state_vector().clone();
        self.show.told_before = self.document.state_vector().clone();
        // What waited was admitted by a gate that is gone: it passes the new one, or its author is asked again.
        for item in self.edits.take_waiting() {
            match item {
                Waiting::Edit(part) => self.take_in(now.mono, part.offer, Kind::Edit),
                Waiting::Status(peer, status) => self.status(now, peer, status),
            }
        }
        let ready: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.seating == Seating::Behind && !peer.waits_for_drain)
            .map(|(&id, _)| id)
            .collect();
        for peer in ready {
            self.catch_up(peer);
        }
        self.ask_all_that_wait();
    }

    fn answer_after_rebuild(
        &mut self,
        now: Now,
        voids: &BTreeSet<EditPlace>,
        position: Position,
        items: Vec<Waiting>,
    ) {
        let mut index = 0;
        for item in items {
            match item {
                Waiting::Edit(Part {
                    offer: Offer { peer, update, answers, .. }, news, ..
                }) => {
                    let is_void = news && voids.contains(&EditPlace { position, index });
                    index += usize::from(news);
                    if is_void {
                        let detail = "the document engine cannot apply it".to_owned();
                        self.refuse(peer, answers, "engine", detail);
                    } else if self.document.knows(&update) {
                        self.acknowledge(peer, answers);
                    } else {
                        self.owe(peer, answers);
                    }
                }
                Waiting::Status(peer, status) => self.status(now, peer, status),
            }
        }
    }

    /// The engine failed on a stored edit: throw the document away and load it anew without that edit.
    pub(super) fn rebuild(&mut self, place: EditPlace, broken: &Broken, items: Vec<Waiting>) {
        self.note(Note::Rebuilt(broken.0.clone()));
        let mut opening = Opening {
            unanswered: Some((place.position, items)),
            stop_after: matches!(self.phase, Phase::Stopping),
            ..Opening::default()
        };
        opening.voids.insert(place);
        opening.found.push(place);
        self.phase = Phase::Opening(opening);
        self.show.clear();
        let told = self.show.told.clone();
        for (&id, peer) in &mut self.peers {
            peer.interrupt(&told);
            self.effects.push(Effect::Seat(id, Seating::Behind));
        }
        self.start_over();
    }

    pub(super) fn stop(&mut self) {
        match &mut self.phase {
            Phase::Open => self.phase = Phase::Stopping,
            Phase::Opening(opening) if opening.unanswered.is_some() => opening.stop_after = true,
            Phase::Opening(_) => self.end(),
            Phase::Stopping | Phase::Ended => {}
        }
    }

    fn open_failed(&mut self, error: StoreError) {
        for &peer in self.peers.keys() {
            self.effects.push(Effect::Close(peer, CloseCode::STORAGE_AWAY, "the storage is away"));
        }
        self.effects.push(Effect::OpenFailed(error));
        self.end();
    }
}

enum Progress {
    Complete,
    More,
    FromTheStart,
}
