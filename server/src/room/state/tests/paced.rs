//! What waits for what: carets for words, edits for each other.

use super::*;
use crate::room::pace::PRESENCE_PATIENCE;

/// A's caret: client 7, clock 1, `{}`.
fn caret() -> Event {
    let state = Bytes::from_static(&[1, 7, 1, 2, b'{', b'}']);
    Event::Received(A, FromPeer::Awareness(state))
}

#[test]
fn a_caret_leaves_with_the_words_it_came_with_and_behind_them() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    script.step(caret());
    assert!(script.to(B).is_empty(), "the words are not stored yet");
    script.stored();
    assert!(
        matches!(&script.to(B)[..], [ToPeer::Update(_), ToPeer::Awareness(_)]),
        "{:?}",
        script.to(B)
    );
}

#[test]
fn a_caret_without_words_leaves_at_once() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.step(caret());
    assert!(matches!(&script.to(B)[..], [ToPeer::Awareness(_)]));
}

#[test]
fn a_caret_does_not_wait_long_for_words() {
    let (mut script, client) = (Script::open(), Client::new(7));
    script.live(A, Dialect::Hocuspocus);
    script.live(B, Dialect::Hocuspocus);
    script.send(A, &client.type_text("hello"));
    script.step(caret());
    let until = 1_000 + PRESENCE_PATIENCE;
    assert!(script.has(|effect| *effect == Effect::WakeAt(until)));
    script.at(until - 1);
    assert!(script.to(B).is_empty());
    script.at(until);
    assert!(matches!(&script.to(B)[..], [ToPeer::Awareness(_)]));
}

#[test]
fn a_crowds_edits_gather_into_one_entry_shortly_before_the_next_frame() {
    let (mut script, client) = (Script::open(), Client::new(7));
    (1..=100).for_each(|peer| script.live(PeerId(peer), Dialect::Hocuspocus));
    script.send(A, &client.type_text("one"));
    assert!(script.asked.is_some(), "after a quiet moment nothing waits");
    script.stored();
    script.out.clear();
    script.send(A, &client.type_text("two"));
    script.at(1_003);
    script.send(A, &client.type_text("three"));
    assert!(script.asked.is_none());
    assert!(script.has(|effect| *effect == Effect::WakeAt(1_011)), "{:?}", script.out);
    script.at(1_011);
    script.stored();
    assert_eq!(script.to(A), [ToPeer::Applied(2)]);
    script.at(1_014);
    assert!(matches!(&script.to(B)[..], [ToPeer::Update(_)]), "one frame for both");
}

#[test]
fn what_has_gathered_is_stored_at_once_when_the_server_stops() {
    let (mut script, client) = (Script::open(), Client::new(7));
    (1..=100).for_each(|peer| script.live(PeerId(peer), Dialect::Hocuspocus));
    script.send(A, &client.type_text("one"));
    script.stored();
    script.send(A, &client.type_text("two"));
    assert!(script.asked.is_none());
    script.step(Event::Stop);
    script.stored();
    assert_eq!(script.out.last(), Some(&Effect::Finished));
}
