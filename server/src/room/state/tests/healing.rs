//! The log went back in time, or was trimmed under the room's feet: is anything lost (R6, R7)?

use super::*;
use crate::room::record::HEALING;

const REWOUND: StoreError = StoreError::Rewound { head: Position(0) };

impl Script {
    /// The log loses its last entries.
    fn lose(&mut self, count: usize) {
        let kept = self.log.len() - count;
        self.log.truncate(kept);
        self.ids.truncate(kept);
    }

    fn store_everything(&mut self) {
        while self.asked.is_some() {
            self.stored();
        }
    }

    fn applied(&self, peer: PeerId) -> u32 {
        let count = |message: &ToPeer| if let ToPeer::Applied(n) = message { *n } else { 0 };
        self.to(peer).iter().map(count).sum()
    }

    fn healed(&self) -> Option<(usize, usize)> {
        self.out.iter().find_map(|effect| match effect {
            Effect::Note(Note::Healed { parts, refused, .. }) => Some((*parts, *refused)),
            _ => None,
        })
    }
}

#[test]
fn r6_what_a_rewound_log_lost_goes_back_into_it_and_everyone_is_asked() {
    let (mut script, client, other) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::YWebsocket);
    let reader = PeerId(3);
    script.join(reader, Dialect::Hocuspocus, Scope::ReadOnly);
    script.step(Event::Received(reader, FromPeer::SyncStep1(StateVector::default())));
    for words in ["one ", "two ", "three "] {
        script.send(A, &client.type_text(words));
        script.stored();
    }
    script.send(A, &client.delete_text(0, 2));
    script.stored();
    script.lose(3);
    script.send(B, &other.type_text("in flight "));
    let id = script.asked_id;
    script.asked = None;
    script.out.clear();
    script.step(Event::Stored(Err(REWOUND)));
    script.read();
    assert_eq!(script.healed(), Some((1, 0)));
    let asked = script.asked.clone().expect("what was lost is stored");
    assert_ne!(script.asked_id, id);
    let Ok(Record::Edits { edits, .. }) = Record::decode(&asked) else { panic!("edits") };
    assert_eq!((&*edits[0].principal, edits[0].connection), (HEALING, 0));
    script.store_everything();
    script.at(90_000);
    for peer in [A, B] {
        let questions =
            script.to(peer).iter().filter(|sent| matches!(sent, ToPeer::SyncStep1(_))).count();
        assert_eq!(questions, 1, "{peer:?} may have more");
    }
    assert!(!script.to(reader).iter().any(|sent| matches!(sent, ToPeer::SyncStep1(_))));
    assert_eq!(script.applied(B), 1, "what was in flight is stored after all");
    assert_eq!(script.applied(A), 0, "and nothing is acknowledged twice");
    let mut again = Script::open_with(script.page_after(Position::START));
    assert_eq!(again.text(), script.text());
    for words in ["in flight ", "ree ", "two ", "one "] {
        assert!(script.text().contains(words), "{words} in {}", script.text());
    }
}

#[test]
fn r6_a_deletion_alone_is_put_back_too() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    script.stored();
    script.send(A, &client.delete_text(1, 4));
    script.stored();
    script.lose(1);
    script.step(Event::Followed);
    script.step(Event::Read(Err(REWOUND)));
    script.read();
    assert!(script.healed().is_some_and(|(parts, _)| parts > 0));
    script.store_everything();
    let mut again = Script::open_with(script.page_after(Position::START));
    assert_eq!(again.text(), "h");
}

#[test]
fn r6_another_entry_where_one_was_read_is_noticed_without_the_store() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    script.step(Event::Followed);
    script.step(Event::Stored(Err(StoreError::Unknown)));
    script.at(9_000);
    // The page was asked for before the own entry was applied, and answered after it had gone again.
    script.stored();
    script.ids[0] = EntryId(5);
    script.read();
    assert!(script.has(|effect| matches!(effect, Effect::Note(Note::Rewound(_)))));
    script.read();
    assert_eq!(script.text(), "hello");
}

#[test]
fn r6_what_contradicts_what_was_written_since_is_lost_and_said_to_be() {
    let (mut script, client, twin) = (Script::open(), Client::new(7), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    let first = client.type_text("first");
    let between = Client::new(9);
    between.apply(&first);
    script.send(A, &first);
    script.stored();
    script.send(A, &between.type_at(1, " and "));
    script.stored();
    script.lose(2);
    // Under the same client id, but no two of its letters stand in one place: nothing can be put between them.
    let mut edits = Vec::new();
    for root in ["a", "b", "c", "d", "e"] {
        edits.push(Edit {
            principal: Arc::from("p"),
            connection: 5,
            update: twin.type_into(root, 0, "x"),
        });
    }
    script.elsewhere(&Record::Edits { at: 0, edits });
    script.step(Event::Followed);
    script.step(Event::Read(Err(REWOUND)));
    script.read();
    let healed = script.healed().expect("it says how that went");
    assert!(healed.1 > 0, "{healed:?}");
    script.store_everything();
    let mut again = Script::open_with(script.page_after(Position::START));
    assert_eq!(again.room.document().state(), script.room.document().state());
}

#[test]
fn r6_an_entry_that_was_written_and_is_gone_is_written_again_as_the_same() {
    let (mut script, client, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.elsewhere(&Record::Edits {
        at: 0,
        edits: vec![Edit {
            principal: Arc::from("p"),
            connection: 5,
            update: there.type_text("theirs "),
        }],
    });
    script.send(A, &client.type_text("mine "));
    let id = script.asked_id;
    script.stored();
    // What the room has read is still there; what it wrote is not.
    script.lose(1);
    script.read();
    assert_eq!(script.applied(A), 0);
    assert!(script.asked.is_some() && script.asked_id == id);
    script.stored();
    assert_eq!(script.applied(A), 1);
}

#[test]
fn r6_a_log_that_goes_back_while_it_is_read_is_read_from_the_start() {
    let client = Client::new(7);
    let (mut script, mut writer) = (Script::open(), Script::open());
    writer.live(A, Dialect::Hocuspocus);
    writer.send(A, &client.type_text("hello"));
    writer.stored();
    // While a room opens …
    let (room, effects) = Room::new(NONCE);
    (script.room, script.out) = (room, effects);
    script.out.clear();
    let page = Page { more: true, ..writer.page_after(Position::START) };
    script.step(Event::Read(Ok(page)));
    script.out.clear();
    script.step(Event::Read(Err(REWOUND)));
    assert_eq!(script.out, [Effect::Read(Bookmark::START)]);
    script.read();
    assert!(script.room.is_open() && script.text().is_empty());
    // … and while one heals.
    writer.lose(1);
    writer.step(Event::Followed);
    writer.step(Event::Read(Err(REWOUND)));
    writer.step(Event::Read(Err(REWOUND)));
    writer.step(Event::Read(Err(StoreError::Away("gone".to_owned()))));
    assert!(!writer.has(|effect| matches!(effect, Effect::Finished | Effect::OpenFailed(_))));
    writer.out.clear();
    writer.at(9_000);
    writer.read();
    assert_eq!(writer.healed(), Some((1, 0)));
    writer.store_everything();
    assert_eq!(writer.text(), "hello");
}

#[test]
fn r6_answers_to_what_was_asked_before_the_document_is_loaded_anew_are_not_taken_for_new_ones() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("one "));
    script.stored();
    script.lose(1);
    // A read and an append are under way when the first of them is told.
    script.step(Event::Followed);
    script.send(A, &client.type_text("two "));
    let asked = script.asked.take();
    script.out.clear();
    script.step(Event::Read(Err(REWOUND)));
    assert_eq!(script.out.iter().filter(|e| matches!(e, Effect::Read(_))).count(), 1);
    script.read();
    assert!(asked.is_some() && script.asked.is_none(), "one append at a time");
    // What is heard before that one is answered is not forgotten.
    script.step(Event::Followed);
    script.step(Event::Stored(Err(REWOUND)));
    script.read();
    assert_eq!(script.room.follows(), Some(script.room.head()));
    script.store_everything();
    assert_eq!((script.text(), script.applied(A)), ("two one ".to_owned(), 1));
    // The other way round: the append is told first.
    script.lose(1);
    script.step(Event::Followed);
    script.send(A, &client.type_text("three "));
    script.asked = None;
    script.out.clear();
    script.step(Event::Stored(Err(REWOUND)));
    assert!(!script.has(|effect| matches!(effect, Effect::Read(_))), "one read at a time");
    script.step(Event::Read(Ok(Page::default())));
    assert!(!script.room.is_open(), "that was the rest of the log, and not all of it");
    script.read();
    script.store_everything();
    assert_eq!((script.text(), script.applied(A)), ("three two one ".to_owned(), 1));
}

#[test]
fn r6_a_snapshot_of_a_log_that_went_back_is_the_sign_of_it() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    script.stored();
    script.lose(1);
    script.step(Event::Compacted(Err(CompactFailure::Store(REWOUND))));
    script.read();
    script.store_everything();
    assert_eq!((script.text(), script.log.len()), ("hello".to_owned(), 1));
}

#[test]
fn r7_a_room_whose_place_was_trimmed_away_loads_anew_and_asks_nobody() {
    let (mut script, client, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("mine "));
    script.stored();
    there.apply(&script.room.document().state());
    there.type_text("theirs ");
    let snapshot =
        Snapshot { covers: Position(5), last: Some(EntryId(55)), bytes: there.everything() };
    let page = Page { snapshot: Some(snapshot), ..Page::default() };
    script.step(Event::Followed);
    script.out.clear();
    script.step(Event::Read(Ok(page.clone())));
    assert!(script.has(|effect| *effect == Effect::Read(Bookmark::START)));
    script.step(Event::Read(Ok(page)));
    assert_eq!(script.text(), "theirs mine ");
    assert_eq!(script.room.head(), Bookmark { position: Position(5), id: Some(EntryId(55)) });
    assert!(script.healed().is_none() && script.asked.is_none());
    assert!(!script.to(A).iter().any(|message| matches!(message, ToPeer::SyncStep1(_))));
    assert!(script.to(A).iter().any(|message| matches!(message, ToPeer::Update(_))));
}
