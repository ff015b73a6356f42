//! Several instances write one log: does a room take its turn (R1 to R5, R8, R9)?

use super::*;

/// An entry that another instance wrote.
fn entry_of(updates: &[&Bytes]) -> Record {
    let edits = updates.iter().map(|update| Edit {
        principal: Arc::from("somebody elsewhere"),
        connection: 77,
        update: (*update).clone(),
    });
    Record::Edits { at: 0, edits: edits.collect() }
}

fn reads(script: &Script) -> Vec<Bookmark> {
    let read = |effect: &Effect| match effect {
        Effect::Read(after) => Some(*after),
        _ => None,
    };
    script.out.iter().filter_map(read).collect()
}

#[test]
fn r1_an_own_entry_waits_for_those_before_it() {
    let (mut script, here, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    let (mine, theirs) = (here.type_text("mine "), there.type_text("theirs "));
    script.elsewhere(&entry_of(&[&theirs]));
    script.send(A, &mine);
    script.stored();
    assert_eq!(reads(&script), [Bookmark::START], "there is something before it");
    assert!(script.to(A).is_empty() && script.to(B).is_empty(), "it is not its turn");
    script.read();
    assert_eq!(script.to(A).last(), Some(&ToPeer::Applied(1)));
    script.at(9_000);
    let reader = Client::new(8);
    for message in script.to(B) {
        if let ToPeer::Update(update) = message {
            reader.apply(&update);
        }
    }
    assert_eq!(reader.text(), script.text());
    assert_eq!(script.room.head(), Bookmark { position: Position(2), id: Some(script.ids[1]) });
    assert_eq!(script.room.follows(), Some(script.room.head()), "and on it goes");
}

#[test]
fn r2_an_entry_of_others_is_shown_to_everyone_and_acknowledged_to_nobody() {
    let (mut script, there) = (Script::open(), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::YWebsocket);
    let theirs = there.type_text("theirs");
    script.elsewhere(&entry_of(&[&theirs]));
    script.step(Event::Followed);
    assert_eq!(script.room.follows(), None, "it is being read");
    script.read();
    assert_eq!(script.to(A), [ToPeer::Update(theirs.clone())]);
    assert_eq!(script.to(B), [ToPeer::Update(theirs)]);
}

#[test]
fn r2_what_is_known_only_from_what_waits_here_is_applied_when_it_is_met_in_the_log() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    // The client's words wait here; it goes to another instance, and writes on there.
    script.send(A, &client.type_text("one "));
    let _on_its_way = client.type_text("two ");
    script.elsewhere(&entry_of(&[&client.everything()]));
    script.elsewhere(&entry_of(&[&client.type_text("three ")]));
    script.stored();
    script.read();
    assert_eq!(script.text(), "three two one ");
    assert!(!script.has(|effect| matches!(effect, Effect::Note(Note::Reloaded(_)))));
}

#[test]
fn r3_an_own_entry_met_in_the_log_is_not_shown_before_the_store_says_that_it_is_written() {
    let (mut script, here, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.send(A, &here.type_text("mine "));
    script.step(Event::Stored(Err(StoreError::Unknown)));
    let position = script.write();
    script.elsewhere(&entry_of(&[&there.type_text("theirs ")]));
    script.step(Event::Followed);
    script.read();
    assert!(script.to(B).is_empty(), "neither it nor what follows it");
    script.at(9_000);
    script.step(Event::Stored(Ok(position)));
    assert!(script.to(A).contains(&ToPeer::Applied(1)));
    script.read();
    assert_eq!(script.room.head().position, Position(2));
    assert_eq!(script.text().len(), "mine theirs ".len());
}

#[test]
fn r4_what_contradicts_the_log_is_passed_over() {
    let (mut script, client, twin) = (Script::open(), Client::new(7), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("first"));
    script.stored();
    script.elsewhere(&entry_of(&[&twin.type_text("second!")]));
    script.step(Event::Followed);
    script.read();
    assert!(script.has(|effect| matches!(effect, Effect::Note(Note::PassedOver(Position(2), _)))));
    assert!(reads(&script).is_empty(), "there is nothing to load anew");
    assert_eq!((script.text(), script.room.head().position), ("first".to_owned(), Position(2)));
}

#[test]
fn r4_the_order_of_the_log_decides_between_contradictions() {
    let (mut script, client, twin) = (Script::open(), Client::new(7), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.elsewhere(&entry_of(&[&twin.type_text("first!")]));
    script.send(A, &client.type_text("second"));
    let bystander = Client::new(11);
    script.send(B, &bystander.type_text("bystander "));
    script.stored();
    script.read();
    assert!(script.has(|effect| matches!(effect, Effect::Note(Note::Reloaded(_)))));
    script.read();
    assert_eq!(script.to(A).last(), Some(&ToPeer::Refused), "others were first");
    script.stored();
    assert_eq!(script.to(B).last(), Some(&ToPeer::Applied(1)), "and nobody else suffers");
    assert!(script.text().contains("first!") && script.text().contains("bystander"));
    assert!(!script.text().contains("second"));
}

#[test]
fn r5_a_void_recorded_elsewhere_takes_the_edit_out_once() {
    let (mut script, client, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    let bad = there.type_text("bad ");
    script.send(A, &client.type_text("good "));
    script.stored();
    script.elsewhere(&entry_of(&[&bad]));
    script.step(Event::Followed);
    script.read();
    assert!(script.text().contains("bad"));
    let void = Record::Void(EditPlace { position: Position(2), index: 0 });
    script.elsewhere(&void);
    script.step(Event::Followed);
    script.read();
    script.read();
    assert_eq!(script.text(), "good ");
    assert!(script.asked.is_none(), "nobody records it again");
    script.out.clear();
    // Another instance has found it too.
    script.elsewhere(&void);
    script.step(Event::Followed);
    script.read();
    assert!(reads(&script).is_empty(), "this void is known");
    assert_eq!((script.text(), script.room.head().position), ("good ".to_owned(), Position(4)));
}

#[test]
fn a_hint_about_the_own_entry_on_its_way_causes_no_read() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("one"));
    script.step(Event::Followed);
    assert_eq!(script.room.follows(), None, "until the store has answered");
    script.stored();
    assert!(reads(&script).is_empty());
    assert_eq!(script.room.follows(), Some(script.room.head()));
    // If it does not answer, the hint may have been of others.
    script.send(A, &client.type_text("two"));
    script.step(Event::Followed);
    script.step(Event::Stored(Err(StoreError::Unknown)));
    assert_eq!(reads(&script).len(), 1);
}

#[test]
fn a_page_that_comes_after_the_own_entry_it_contains_changes_nothing_twice() {
    let (mut script, client, there) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.step(Event::Followed);
    script.send(A, &client.type_text("mine "));
    script.stored();
    script.elsewhere(&entry_of(&[&there.type_text("theirs ")]));
    script.read();
    assert_eq!(script.room.head().position, Position(2));
    assert_eq!(script.to(A).iter().filter(|message| **message == ToPeer::Applied(1)).count(), 1);
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let (mut script, there) = (Script::open(), Client::new(9));
    script.elsewhere(&entry_of(&[&there.type_text("theirs")]));
    script.step(Event::Followed);
    script.out.clear();
    script.step(Event::Read(Err(StoreError::Away("gone".to_owned()))));
    assert!(reads(&script).is_empty() && script.room.follows().is_none());
    assert!(script.has(|effect| matches!(effect, Effect::WakeAt(_))));
    script.at(9_000);
    script.read();
    assert_eq!(script.text(), "theirs");
}

#[test]
fn r8_the_instance_that_makes_a_compaction_due_does_it_and_others_when_it_is_overdue() {
    let compacts = |script: &Script| script.has(|effect| matches!(effect, Effect::Compact { .. }));
    for own in [true, false] {
        let (mut script, client, there) = (Script::open(), Client::new(7), Client::new(9));
        script.live(A, Dialect::Hocuspocus);
        for n in 1..COMPACT_ENTRIES / 2 * 3 {
            assert!(!compacts(&script), "{n} is too early");
            if own == (n == COMPACT_ENTRIES) {
                script.send(A, &client.type_text("x"));
                script.stored();
            } else {
                script.elsewhere(&entry_of(&[&there.type_text("y")]));
                script.step(Event::Followed);
                script.read();
            }
            if own && n == COMPACT_ENTRIES {
                break;
            }
        }
        if !own {
            assert!(!compacts(&script), "it is the other's turn");
            script.elsewhere(&entry_of(&[&there.type_text("y")]));
            script.step(Event::Followed);
            script.read();
        }
        assert!(compacts(&script));
        let head = script.room.head();
        assert!(
            script.has(|effect| matches!(effect, Effect::Compact { up_to, .. } if *up_to == head))
        );
        // Somebody was faster: it is not tried again before there is reason to.
        script.out.clear();
        let newest = Position(head.position.0 - 1);
        let stale = CompactFailure::Store(StoreError::Stale { newest });
        script.step(Event::Compacted(Err(stale)));
        assert!(!compacts(&script));
    }
}

#[test]
fn r9_out_of_touch_everyone_is_sent_away_and_the_room_stays_until_it_has_read_the_log() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::YWebsocket);
    script.send(A, &client.type_text("hello"));
    script.stored();
    script.out.clear();
    script.step(Event::OutOfTouch);
    for peer in [A, B] {
        assert!(script.has(
            |effect| matches!(effect, Effect::Close(to, CloseCode::STORAGE_AWAY, _) if *to == peer)
        ));
        script.step(Event::Leave(peer));
    }
    assert_eq!(reads(&script), [script.room.head()]);
    for round in 1..5 {
        script.step(Event::Read(Err(StoreError::Away("gone".to_owned()))));
        script.at(round * 10 * IDLE_CLOSE);
    }
    assert!(!script.has(|effect| *effect == Effect::Finished), "it may be all that is left");
    script.read();
    script.at(60 * IDLE_CLOSE);
    assert!(script.has(|effect| *effect == Effect::Finished));
}

#[test]
fn r9_out_of_touch_a_document_that_is_being_opened_is_given_up() {
    let (mut room, _) = Room::new(NONCE);
    let effects = room.step(Now::default(), Event::OutOfTouch);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::OpenFailed(_))));
    assert_eq!(effects.last(), Some(&Effect::Finished));
}

#[test]
fn r5_a_void_on_a_later_page_takes_the_edit_out_of_a_load() {
    let (mut script, good, bad) = (Script::open(), Client::new(7), Client::new(9));
    script.elsewhere(&entry_of(&[&bad.type_text("bad ")]));
    script.elsewhere(&entry_of(&[&good.type_text("good ")]));
    script.elsewhere(&Record::Void(EditPlace { position: Position(1), index: 0 }));
    let all = script.page_after(Position::START).entries;
    let (first, second) = (all[..2].to_vec(), all[2..].to_vec());
    let (room, effects) = Room::new(NONCE);
    (script.room, script.out) = (room, effects);
    for _ in 0..2 {
        for (entries, more) in [(first.clone(), true), (second.clone(), false)] {
            script.step(Event::Read(Ok(Page { entries, more, ..Page::default() })));
        }
    }
    assert!(script.room.is_open());
    assert_eq!((script.text(), script.room.head().position), ("good ".to_owned(), Position(3)));
}
