//! How does a document come out of its log: at first, and again when what is in memory cannot go on?
//!
//! Readers run the gate in log order. An edit the engine cannot apply is passed over and recorded as void, so that every later reader passes over it
//! too; its sender is refused, and everybody else's words stay.
//!
//! Of a room that is at work nothing is lost when it loads anew: the old document is kept until the new one is complete and has been compared with
//! it (unless the old one is what is wrong), and what waited to be stored passes the new document's gate.

use super::edits::{Kind, Offer, Part, Waiting};
use super::storing::store_retry;
use super::{Phase, Room};
use crate::gate::Anyone;
use crate::room::document::{Broken, Document};
use crate::room::event::{Effect, Millis, Note, Now, PeerId, Seating};
use crate::room::record::{EditPlace, Record};
use crate::store::{Bookmark, Entry, Page, Position, StoreError};
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
    /// What was in flight, and where it stands if it is known to be durable: its senders wait for an answer.
    unanswered: Option<(Option<Position>, Vec<Waiting>)>,
    /// The document as it was, to compare with.
    before: Option<Box<Document>>,
    /// The log went back in time.
    rewound: bool,
    /// A room at work loads anew: it must not end because the store is away.
    again: bool,
    /// The page under way was asked for before the load began.
    page_is_old: bool,
    /// The server is stopping meanwhile.
    stop_after: bool,
}

/// Why a room at work loads its document anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// The engine failed on this edit.
    Engine(EditPlace),
    /// R5.
    Void,
    /// R4.
    Order,
    /// R7.
    Trimmed,
    /// R6: how that was noticed.
    Rewound(&'static str),
}

impl Opening {
    /// The log went back in time: what was found in it stands elsewhere, or nowhere.
    fn forget_places(&mut self) {
        self.rewound = true;
        self.voids.clear();
        self.found.clear();
        if let Some((position, _)) = &mut self.unanswered {
            *position = None;
        }
    }
}

impl Room {
    /// Whether the document in memory may be used.
    pub(super) const fn is_loaded(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Stopping)
    }

    pub(super) fn read(&mut self, now: Now, page: Result<Page, StoreError>) {
        let Phase::Opening(opening) = &mut self.phase else { return self.read_on(now, page) };
        self.log.reading = false;
        let mut opening = std::mem::take(opening);
        if std::mem::take(&mut opening.page_is_old) {
            self.read_after(Bookmark::START);
            self.phase = Phase::Opening(opening);
            return;
        }
        let outcome = match page {
            Ok(page) => self.replay(&mut opening, page),
            Err(StoreError::Quarantined(reason)) => return self.set_aside(reason),
            Err(error @ StoreError::Corrupt(_)) => return self.set_aside(error.to_string()),
            Err(StoreError::Rewound { .. }) => {
                opening.forget_places();
                Ok(Progress::FromTheStart)
            }
            Err(error) if opening.again => {
                self.read_later(now.mono, error);
                self.phase = Phase::Opening(opening);
                return;
            }
            Err(error) => return self.open_failed(error),
        };
        self.log.read_failures = 0;
        match outcome {
            Ok(Progress::Complete) => self.opened(now, opening),
            Ok(Progress::More) => {
                self.read_after(self.log.head);
                self.phase = Phase::Opening(opening);
            }
            Ok(Progress::FromTheStart) => {
                opening.entries = 0;
                self.start_over();
                self.phase = Phase::Opening(opening);
            }
            Err(reason) => self.set_aside(reason),
        }
    }

    /// The store did not answer: asked again in a while.
    pub(super) fn read_later(&mut self, now: Millis, error: StoreError) {
        self.log.read_again_at = Some(now + store_retry(self.log.read_failures));
        self.log.read_failures += 1;
        self.note(Note::StoreAway(error));
    }

    pub(super) fn read_after(&mut self, place: Bookmark) {
        debug_assert!(!self.log.reading, "one read at a time");
        self.log.reading = true;
        self.log.read_again_at = None;
        self.effects.push(Effect::Read(place));
    }

    pub(super) fn read_from_the_start(&mut self) {
        self.read_after(Bookmark::START);
    }

    fn replay(&mut self, opening: &mut Opening, page: Page) -> Result<Progress, String> {
        if let Some(snapshot) = page.snapshot {
            self.document = Document::restore(&snapshot.bytes).map_err(|Broken(reason)| reason)?;
            self.log.begin_from(Bookmark { position: snapshot.covers, id: snapshot.last });
        }
        let mut records = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let record = Record::decode(&entry.bytes).map_err(|malformed| {
                format!("entry {} cannot be read: {malformed}", entry.position.0)
            })?;
            if let Record::Void(place) = &record
                && opening.voids.insert(*place)
                && self.log.has_replayed(place.position)
            {
                // It was on an earlier page: other instances wrote much between it and its void.
                return Ok(Progress::FromTheStart);
            }
            records.push(record);
        }
        for (entry, record) in page.entries.iter().zip(records) {
            if entry.position != self.log.head.position.next() {
                return Err(format!(
                    "entry {} follows entry {}",
                    entry.position.0, self.log.head.position.0
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
            let at = Bookmark { position: entry.position, id: entry.id };
            self.log.advance(at, entry.bytes.len(), true, self.document.size_hint());
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
        self.log.start_over();
        self.read_from_the_start();
    }

    fn opened(&mut self, now: Now, opening: Opening) {
        self.phase = if opening.stop_after { Phase::Stopping } else { Phase::Open };
        self.note(Note::Opened { entries: opening.entries });
        self.edits.record_voids(opening.found);
        self.show.told = self.document.state_vector().clone();
        self.show.told_before = self.document.state_vector().clone();
        // What waited was admitted by a gate that is gone: it passes the new one, or its author is asked again.
        let waiting = self.edits.take_waiting();
        // What the log lost comes first: the rest may build on it.
        if let Some(before) = opening.before {
            self.put_back(now.mono, *before, opening.rewound);
        }
        if opening.rewound {
            self.ask_everyone();
        }
        if let Some((position, items)) = opening.unanswered {
            self.answer_again(now, &opening.voids, position, items);
        }
        for item in waiting {
            self.take_in_again(now, item);
        }
        self.log.voids = opening.voids;
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

    fn answer_again(
        &mut self,
        now: Now,
        voids: &BTreeSet<EditPlace>,
        position: Option<Position>,
        items: Vec<Waiting>,
    ) {
        let mut index = 0;
        for item in items {
            if let (Waiting::Edit(Part { offer, news: true, .. }), Some(position)) =
                (&item, position)
            {
                let place = EditPlace { position, index };
                index += 1;
                if voids.contains(&place) {
                    let Offer { peer, answers, .. } = *offer;
                    let detail = "the document engine cannot apply it".to_owned();
                    self.refuse(peer, answers, "engine", detail);
                    continue;
                }
            }
            self.take_in_again(now, item);
        }
    }

    /// What the new document has is acknowledged in its turn; what it lacks is stored.
    fn take_in_again(&mut self, now: Now, item: Waiting) {
        match item {
            Waiting::Edit(part) => self.take_in(now.mono, part.offer, Kind::Edit),
            Waiting::Status(peer, status) => self.status(now, peer, status),
        }
    }

    /// The engine failed on a stored edit: throw the document away and load it anew without that edit. `items` are those of its entry, if that is
    /// one's own.
    pub(super) fn reload_without(
        &mut self,
        place: EditPlace,
        broken: &Broken,
        items: Option<Vec<Waiting>>,
    ) {
        self.note(Note::Rebuilt(broken.0.clone()));
        self.load_anew(Reload::Engine(place), items.map(|items| (Some(place.position), items)));
    }

    /// What is in memory cannot go on from where it is.
    pub(super) fn reload(&mut self, why: Reload) {
        self.note(match why {
            Reload::Engine(_) => Note::Rebuilt("the document engine failed".to_owned()),
            Reload::Void => Note::Reloaded("an edit it has was found impossible elsewhere"),
            Reload::Order => Note::Reloaded("its peers' edits contradict those of others"),
            Reload::Trimmed => Note::Reloaded("the entries that come next were trimmed away"),
            Reload::Rewound(how) => Note::Rewound(how),
        });
        self.load_anew(why, None);
    }

    fn load_anew(&mut self, why: Reload, unanswered: Option<(Option<Position>, Vec<Waiting>)>) {
        let mut opening = Opening {
            unanswered,
            again: true,
            rewound: matches!(why, Reload::Rewound(_)),
            page_is_old: self.log.reading,
            stop_after: matches!(self.phase, Phase::Stopping),
            ..Opening::default()
        };
        let in_flight = self.edits.in_flight.take();
        self.edits.retry_at = None;
        self.edits.failures = 0;
        self.edits.trouble = None;
        // Voids that are not on record yet are still to be passed over. Of a log that went back in time no place is known.
        let voids = std::mem::take(&mut self.edits.voids);
        if !opening.rewound {
            opening.found.extend(voids);
            opening.found.extend(in_flight.as_ref().and_then(|entry| entry.void));
            if let Reload::Engine(place) = why {
                opening.found.push(place);
            }
            opening.voids.extend(&opening.found);
        }
        if let Some(entry) = in_flight {
            debug_assert!(
                opening.unanswered.is_none(),
                "an entry whose turn it is is not in flight"
            );
            opening.unanswered = Some((entry.written, entry.items));
        }
        // What the engine failed on cannot be read any more; what holds a void edit would put it back.
        if !matches!(why, Reload::Engine(_) | Reload::Void) {
            opening.before = Some(Box::new(std::mem::take(&mut self.document)));
        }
        self.show.clear();
        let told = self.show.told.clone();
        for (&id, peer) in &mut self.peers {
            peer.interrupt(&told);
            self.effects.push(Effect::Seat(id, Seating::Behind));
        }
        self.document = Document::new();
        self.log.start_over();
        if !opening.page_is_old {
            self.read_from_the_start();
        }
        self.phase = Phase::Opening(opening);
    }

    /// Those who wait for a document that has not been opened yet need not wait any longer.
    pub(super) fn give_up_opening(&mut self) {
        if matches!(&self.phase, Phase::Opening(opening) if !opening.again) {
            self.open_failed(StoreError::Away("it does not answer".to_owned()));
        }
    }

    pub(super) fn stop(&mut self) {
        match &mut self.phase {
            Phase::Open => self.phase = Phase::Stopping,
            Phase::Opening(opening) if opening.again => opening.stop_after = true,
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
