//! Scripts for one room: what comes in, what must go out. The log is a vector, the clock a number.

mod healing;
mod instances;
mod loading;
mod others;
mod paced;
mod told;
mod trouble;

use super::*;
use crate::room::event::CompactFailure;
use crate::room::record::{Edit, EditPlace, Record};
use crate::store::{Entry, EntryId, Page, Position, Snapshot, StoreError};
use std::sync::Arc;
use yrs::{Doc, GetString, Options, ReadTxn, Text, Transact};

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

/// Makes the ids of the room's entries.
const NONCE: u64 = 9;

/// A client's document.
struct Client(Doc);

impl Client {
    fn new(id: u64) -> Self {
        let mut options = Options::with_client_id(yrs::block::ClientID::new(id));
        options.offset_kind = yrs::OffsetKind::Utf16;
        Self(Doc::with_options(options))
    }

    /// Types at the front, and returns the update.
    fn type_text(&self, words: &str) -> Bytes {
        self.type_at(0, words)
    }

    fn type_at(&self, at: u32, words: &str) -> Bytes {
        self.type_into("text", at, words)
    }

    fn type_into(&self, root: &str, at: u32, words: &str) -> Bytes {
        let text = self.0.get_or_insert_text(root);
        let mut transaction = self.0.transact_mut();
        text.insert(&mut transaction, at, words);
        transaction.encode_update_v1().into()
    }

    fn delete_text(&self, at: u32, length: u32) -> Bytes {
        let text = self.0.get_or_insert_text("text");
        let mut transaction = self.0.transact_mut();
        text.remove_range(&mut transaction, at, length);
        transaction.encode_update_v1().into()
    }

    fn state_vector(&self) -> StateVector {
        use yrs::updates::encoder::Encode;
        StateVector::decode(&self.0.transact().state_vector().encode_v1()).unwrap()
    }

    fn everything(&self) -> Bytes {
        self.0.transact().encode_state_as_update_v1(&yrs::StateVector::default()).into()
    }

    fn text(&self) -> String {
        self.0.get_or_insert_text("text").get_string(&self.0.transact())
    }

    fn apply(&self, update: &[u8]) {
        use yrs::updates::decoder::Decode;
        let update = yrs::Update::decode_v1(update).expect("the room sends updates");
        self.0.transact_mut().apply_update(update).expect("the room sends what fits");
    }
}

/// One room with a log that is a vector.
struct Script {
    room: Room,
    now: Now,
    log: Vec<Bytes>,
    /// What the entries were appended as.
    ids: Vec<EntryId>,
    /// An append that waits for its outcome.
    asked: Option<Bytes>,
    asked_id: EntryId,
    /// What has gone out since the last look.
    out: Vec<Effect>,
}

impl Script {
    fn open() -> Self {
        Self::open_with(Page::default())
    }

    fn open_with(page: Page) -> Self {
        let (room, effects) = Room::new(NONCE);
        assert_eq!(effects, [Effect::Read(Bookmark::START)]);
        let mut script = Self {
            room,
            now: Now { mono: 1_000, wall: 0 },
            log: Vec::new(),
            ids: Vec::new(),
            asked: None,
            asked_id: EntryId(0),
            out: Vec::new(),
        };
        script.step(Event::Read(Ok(page)));
        script
    }

    fn step(&mut self, event: Event) {
        for effect in self.room.step(self.now, event) {
            if let Effect::Append { id, entry, .. } = &effect {
                self.asked = Some(entry.clone());
                self.asked_id = *id;
            }
            self.out.push(effect);
        }
    }

    fn at(&mut self, mono: Millis) {
        self.now.mono = mono;
        self.step(Event::Tick);
    }

    fn join(&mut self, peer: PeerId, dialect: Dialect, scope: Scope) {
        self.step(Event::Join(Join { peer, dialect, principal: Principal("p".into()), scope }));
    }

    /// Joins and syncs an empty client.
    fn live(&mut self, peer: PeerId, dialect: Dialect) {
        self.join(peer, dialect, Scope::ReadWrite);
        self.step(Event::Received(peer, FromPeer::SyncStep1(StateVector::default())));
        self.step(Event::Received(peer, FromPeer::SyncStep2(Bytes::from_static(&[0, 0]))));
        self.out.clear();
    }

    fn send(&mut self, peer: PeerId, update: &Bytes) {
        self.step(Event::Received(peer, FromPeer::Update(update.clone())));
    }

    /// The store has written what it was asked to.
    fn stored(&mut self) {
        let position = self.write();
        self.step(Event::Stored(Ok(position)));
    }

    /// It has, and has not said so yet.
    fn write(&mut self) -> Position {
        let entry = self.asked.take().expect("an append is under way");
        self.log.push(entry);
        self.ids.push(self.asked_id);
        Position(self.log.len() as u64)
    }

    /// Another instance has appended.
    fn elsewhere(&mut self, record: &Record) {
        self.log.push(record.encode());
        self.ids.push(EntryId(1_000 + self.log.len() as u128));
    }

    /// What the store answers to the read that is under way.
    fn read(&mut self) {
        let asked = |effect: &Effect| match effect {
            Effect::Read(after) => Some(*after),
            _ => None,
        };
        let after = self.out.iter().rev().find_map(asked).expect("a read is under way");
        self.out.retain(|effect| asked(effect).is_none());
        let page = self.page_after(after.position);
        self.step(Event::Read(Ok(page)));
    }

    fn page_after(&self, after: Position) -> Page {
        let entries = (1..).zip(self.log.iter().zip(&self.ids));
        let entries = entries
            .map(|(n, (bytes, id))| Entry {
                position: Position(n),
                id: Some(*id),
                bytes: bytes.clone(),
            })
            .filter(|entry| entry.position > after)
            .collect();
        Page { snapshot: None, entries, more: false }
    }

    /// What a reader of the room's document reads.
    fn text(&mut self) -> String {
        let reader = Client::new(8);
        reader.apply(&self.room.document().state());
        reader.text()
    }

    fn to(&self, peer: PeerId) -> Vec<ToPeer> {
        let mut messages = Vec::new();
        for effect in &self.out {
            match effect {
                Effect::Send(to, message) if *to == peer => messages.push(message.clone()),
                Effect::Broadcast(not_to, message) if *not_to != Some(peer) => {
                    messages.push(message.clone())
                }
                _ => {}
            }
        }
        messages
    }

    fn has(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.out.iter().any(wanted)
    }

    fn page(&self) -> Page {
        let entries = self.log.iter().enumerate();
        let entries = entries
            .map(|(n, bytes)| Entry {
                position: Position(n as u64 + 1),
                id: None,
                bytes: bytes.clone(),
            })
            .collect();
        Page { snapshot: None, entries, more: false }
    }
}

#[test]
fn nothing_is_shown_or_acknowledged_before_it_is_stored_and_then_both_once() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    let update = client.type_text("hello");
    script.send(A, &update);
    assert!(script.asked.is_some());
    assert!(script.to(A).is_empty() && script.to(B).is_empty());
    script.stored();
    assert_eq!(script.to(A), [ToPeer::Applied(1)]);
    assert_eq!(script.to(B), [ToPeer::Update(update)]);
}

#[test]
fn the_entry_holds_the_bytes_as_they_came_with_who_sent_them() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    let update = client.type_text("hello");
    script.send(A, &update);
    let entry = script.asked.clone().expect("an append is under way");
    let edit = Edit { principal: Arc::from("p"), connection: A.0, update };
    assert_eq!(Record::decode(&entry), Ok(Record::Edits { at: 0, edits: vec![edit] }));
}

#[test]
fn what_comes_during_an_append_forms_the_next_entry_and_one_frame() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.send(A, &client.type_text("one"));
    script.send(A, &client.type_text("two"));
    script.send(A, &client.type_text("three"));
    script.stored();
    script.out.clear();
    script.stored();
    assert!(script.to(B).is_empty(), "the pace holds the second frame back");
    assert_eq!(script.to(A), [ToPeer::Applied(2)]);
    script.at(1_000 + crate::room::pace::MIN_INTERVAL);
    let [ToPeer::Update(merged)] = &script.to(B)[..] else {
        panic!("one frame for two updates: {:?}", script.to(B))
    };
    let reader = Client::new(8);
    reader.apply(&client.everything());
    let before = reader.text();
    reader.apply(merged);
    assert_eq!((before, reader.text()), ("threetwoone".to_owned(), "threetwoone".to_owned()));
}

#[test]
fn an_update_that_adds_nothing_is_acknowledged_without_an_entry_but_not_before_what_is_in_flight() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    let update = client.type_text("hello");
    script.send(A, &update);
    script.send(A, &update);
    assert!(script.to(A).is_empty());
    script.stored();
    assert_eq!(script.to(A), [ToPeer::Applied(1), ToPeer::Applied(1)]);
    assert!(script.asked.is_none());
}

#[test]
fn an_edit_that_comes_too_early_is_asked_for_and_answered_with_the_full_sync() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    let _lost = client.type_text("one");
    script.send(A, &client.type_text("two"));
    assert!(matches!(&script.to(A)[..], [ToPeer::SyncStep1(_)]));
    assert!(script.asked.is_none());
    script.out.clear();
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    script.stored();
    // The provider counted the edit, and not an answer that it was asked for.
    assert_eq!(script.to(A), [ToPeer::Applied(1)]);
}

#[test]
fn an_update_that_will_never_fit_is_refused_and_the_room_lives_on() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::YWebsocket);
    let nonsense = Bytes::from_static(&[1, 1, 7, 0, 0xff]);
    script.send(A, &nonsense);
    assert_eq!(script.to(A), [ToPeer::Refused]);
    script.send(B, &nonsense);
    assert!(script.has(|effect| matches!(effect, Effect::Close(B, CloseCode::UPDATE_REFUSED, _))));
    assert!(script.asked.is_none());
    script.send(A, &client.type_text("still here"));
    script.stored();
    assert!(script.to(A).contains(&ToPeer::Applied(1)));
}

#[test]
fn a_reader_is_answered_and_changes_nothing() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.join(A, Dialect::Hocuspocus, Scope::ReadOnly);
    script.join(B, Dialect::YWebsocket, Scope::ReadOnly);
    script.step(Event::Received(A, FromPeer::SyncStep1(StateVector::default())));
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    assert!(
        script.to(A).iter().any(|message| matches!(message, ToPeer::SyncStep1(_))),
        "the provider counts on the question"
    );
    assert!(!script.to(B).iter().any(|message| matches!(message, ToPeer::SyncStep1(_))));
    script.out.clear();
    script.step(Event::Received(A, FromPeer::SyncStep2(Bytes::from_static(&[0, 0]))));
    assert_eq!(script.to(A), [ToPeer::Applied(1)], "it has nothing the room lacks");
    script.out.clear();
    script.step(Event::Received(A, FromPeer::SyncStep2(client.type_text("smuggled"))));
    script.send(A, &client.type_text("more"));
    assert_eq!(script.to(A), [ToPeer::Refused, ToPeer::Refused]);
    script.step(Event::Received(B, FromPeer::SyncStep2(client.everything())));
    assert!(!script.has(|effect| matches!(effect, Effect::Close(..))));
    script.send(B, &client.type_text("edit"));
    assert!(script.has(|effect| matches!(effect, Effect::Close(B, CloseCode::FORBIDDEN, _))));
    assert!(script.asked.is_none());
}

#[test]
fn while_the_store_is_away_nothing_is_acknowledged_and_presence_goes_on() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    let first = script.out.clone();
    script.step(Event::Stored(Err(StoreError::Full)));
    script.out.clear();
    script.step(Event::Received(
        A,
        FromPeer::Awareness(Bytes::from_static(&[1, 7, 1, 2, b'{', b'}'])),
    ));
    assert!(
        script.has(|effect| matches!(effect, Effect::Broadcast(Some(A), ToPeer::Awareness(_))))
    );
    assert!(script.to(A).iter().all(|message| matches!(message, ToPeer::Awareness(_))));
    script.at(3_000);
    let again: Vec<&Effect> =
        script.out.iter().filter(|effect| matches!(effect, Effect::Append { .. })).collect();
    assert!(
        again.iter().all(|effect| first.contains(effect)) && again.len() == 1,
        "the same entry under the same number"
    );
    script.stored();
    assert!(script.to(A).contains(&ToPeer::Applied(1)));
}

#[test]
fn a_peer_that_fell_behind_gets_one_diff_and_every_answer_it_missed() {
    let (mut script, client, slow) = (Script::open(), Client::new(7), Client::new(8));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    let first = client.type_text("one ");
    script.send(A, &first);
    script.stored();
    slow.apply(&first);
    script.at(2_000);
    script.send(B, &slow.type_text("mine "));
    script.stored();
    script.step(Event::Behind(B, ToPeer::Applied(1)));
    script.at(3_000);
    script.send(A, &client.type_text("two "));
    script.stored();
    script.at(4_000);
    script.send(A, &client.type_text("three "));
    script.stored();
    script.out.clear();
    script.step(Event::Drained(B));
    let to_b: Vec<ToPeer> = script
        .out
        .iter()
        .filter_map(|e| if let Effect::Send(B, m) = e { Some(m.clone()) } else { None })
        .collect();
    let [ToPeer::Update(diff), ToPeer::Applied(1)] = &to_b[..] else { panic!("{to_b:?}") };
    slow.apply(diff);
    client.apply(&slow.everything());
    assert_eq!(slow.text(), client.text());
    assert!(script.has(|effect| matches!(effect, Effect::Seat(B, Seating::Live))));
}

#[test]
fn a_large_document_goes_out_in_parts_and_the_last_one_is_the_answer() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    for n in 0..40 {
        let update = client.type_text(&format!("{n} {}", "x".repeat(60_000)));
        script.send(A, &update);
        script.stored();
    }
    script.out.clear();
    script.join(B, Dialect::Hocuspocus, Scope::ReadWrite);
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    let reader = Client::new(8);
    let mut rounds = 0;
    loop {
        let messages = std::mem::take(&mut script.out);
        let mut is_done = false;
        for effect in messages {
            match effect {
                Effect::Send(B, ToPeer::Update(part)) => {
                    assert!(part.len() <= 2 * sync::SYNC_PART && !is_done);
                    reader.apply(&part);
                }
                Effect::Send(B, ToPeer::SyncStep2(part)) => {
                    reader.apply(&part);
                    assert_eq!(
                        reader.text(),
                        client.text(),
                        "whole when the client calls itself synced"
                    );
                    is_done = true;
                }
                Effect::Send(B, ToPeer::SyncStep1(_)) => {
                    assert!(is_done, "the question comes last")
                }
                _ => {}
            }
        }
        if is_done {
            break;
        }
        rounds += 1;
        script.step(Event::Drained(B));
    }
    assert!(rounds > 1, "in windows");
}

#[test]
fn an_idle_room_compacts_and_closes_but_never_with_something_unstored() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    for _ in 0..COMPACT_ON_CLOSE_ENTRIES {
        script.send(A, &client.type_text("x"));
        script.stored();
    }
    script.send(A, &client.type_text("last"));
    script.step(Event::Leave(A));
    script.at(1_000_000);
    assert!(!script.has(|effect| matches!(effect, Effect::Finished | Effect::Compact { .. })));
    script.stored();
    script.at(1_000_000 + IDLE_CLOSE);
    assert!(
        script.has(|effect| matches!(effect, Effect::Compact { .. }))
            && !script.has(|effect| *effect == Effect::Finished)
    );
    script.step(Event::Compacted(Ok(Position(script.log.len() as u64))));
    script.at(1_000_000 + 3 * IDLE_CLOSE);
    assert!(script.has(|effect| *effect == Effect::Finished));
}

#[test]
fn stopping_stores_and_acknowledges_what_waits() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("one"));
    script.send(A, &client.type_text("two"));
    script.step(Event::Stop);
    assert!(!script.has(|effect| *effect == Effect::Finished));
    script.stored();
    script.stored();
    assert_eq!(script.to(A), [ToPeer::Applied(1), ToPeer::Applied(1)]);
    assert_eq!(script.out.last(), Some(&Effect::Finished));
}

#[test]
fn what_is_deleted_while_a_large_answer_goes_out_is_deleted_there_too() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    for _ in 0..6 {
        script.send(A, &client.type_text(&"x".repeat(sync::SYNC_PART)));
        script.stored();
    }
    script.join(B, Dialect::YWebsocket, Scope::ReadWrite);
    script.out.clear();
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    assert!(script.has(|effect| *effect == Effect::TellWhenDrained(B)), "it takes a while");
    script.send(A, &client.delete_text(0, 5));
    script.stored();
    script.step(Event::Drained(B));
    let reader = Client::new(9);
    for message in script.to(B) {
        if let ToPeer::Update(update) | ToPeer::SyncStep2(update) = message {
            reader.apply(&update);
        }
    }
    assert_eq!(reader.text().len(), client.text().len());
}

#[test]
fn a_reader_that_offers_what_is_still_in_flight_is_answered_when_that_is_durable() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.join(B, Dialect::Hocuspocus, Scope::ReadOnly);
    script.step(Event::Received(B, FromPeer::SyncStep1(StateVector::default())));
    script.send(A, &client.type_text("hello"));
    script.out.clear();
    script.step(Event::Received(B, FromPeer::SyncStep2(client.everything())));
    assert!(script.to(B).is_empty(), "it is not durable yet");
    script.stored();
    assert!(script.to(B).contains(&ToPeer::Applied(1)));
    assert!(script.asked.is_none(), "nothing of the reader is stored");
}
