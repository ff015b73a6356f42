//! How does a document come out of its log, and what if the engine cannot apply what is in it?

use super::*;

#[test]
fn a_log_with_a_void_loads_without_that_edit() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.send(A, &client.type_text("good"));
    script.stored();
    let stranger = Client::new(9);
    script.send(A, &stranger.type_text("bad"));
    script.stored();
    script.log.push(Record::Void(EditPlace { position: Position(2), index: 0 }).encode());
    let mut again = Script::open_with(script.page());
    let reader = Client::new(8);
    reader.apply(&again.room.document().state());
    assert_eq!(reader.text(), "good");
}

#[test]
fn a_log_that_cannot_be_read_is_set_aside_and_not_guessed_at() {
    let entry = |position, bytes: &'static [u8]| Entry {
        position: Position(position),
        id: None,
        bytes: Bytes::from_static(bytes),
    };
    for page in [
        Page { entries: vec![entry(1, &[9, 9])], ..Page::default() },
        Page { entries: vec![entry(2, &[1, 0, 0, 0])], ..Page::default() },
        Page {
            snapshot: Some(Snapshot {
                covers: Position(3),
                last: None,
                bytes: Bytes::from_static(&[0xff]),
            }),
            ..Page::default()
        },
    ] {
        let script = Script::open_with(page);
        assert!(script.has(|effect| matches!(effect, Effect::Quarantine(_))), "{:?}", script.out);
        assert!(script.has(|effect| *effect == Effect::Finished));
    }
}

#[test]
fn a_store_that_is_away_when_a_document_opens_fails_the_opening_and_not_the_document() {
    let (mut room, _) = Room::new(NONCE);
    let effects = room.step(Now::default(), Event::Read(Err(StoreError::Away("gone".to_owned()))));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::OpenFailed(_))));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Quarantine(_))));
}

#[test]
fn an_edit_the_engine_cannot_apply_is_voided_refused_and_everyone_else_goes_on() {
    let (mut script, client, slow) = (Script::open(), Client::new(7), Client::new(9));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    let good = client.type_text("good ");
    script.send(A, &good);
    script.stored();
    script.at(2_000);
    // No patience at all: the first update of more than one transaction is given up.
    script.room.patience = Duration::ZERO;
    for _ in 0..1_500 {
        slow.type_text("x");
    }
    script.send(B, &slow.everything());
    let better = client.type_text("better ");
    script.send(A, &better);
    script.out.clear();
    script.stored();
    assert!(script.has(|effect| matches!(effect, Effect::Note(Note::Rebuilt(_)))));
    assert!(script.has(|effect| *effect == Effect::Read(Bookmark::START)));
    assert!(!script.has(|effect| matches!(effect, Effect::Send(_, ToPeer::Applied(_)))));
    // What comes meanwhile is not lost: its author is asked for it.
    let best = client.type_text("best ");
    script.send(A, &best);
    script.out.clear();
    script.step(Event::Read(Ok(script.page())));
    assert_eq!(script.to(B).iter().filter(|message| **message == ToPeer::Refused).count(), 1);
    assert!(script.to(A).iter().any(|message| matches!(message, ToPeer::SyncStep1(_))));
    // The void is on record, then the edit that waited is stored and acknowledged.
    let void = script.asked.clone().expect("the void is stored");
    let place = EditPlace { position: Position(2), index: 0 };
    assert_eq!(Record::decode(&void), Ok(Record::Void(place)));
    script.stored();
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    while script.asked.is_some() {
        script.stored();
    }
    let applied: u32 = script
        .to(A)
        .iter()
        .map(|message| if let ToPeer::Applied(count) = message { *count } else { 0 })
        .sum();
    assert_eq!(applied, 2, "both edits of A, and not the answer it was asked for");
    // Everybody who loads the log gets the same document, without the edit that was voided.
    let mut again = Script::open_with(script.page());
    let reader = Client::new(8);
    reader.apply(&again.room.document().state());
    assert_eq!(reader.text(), client.text());
}
