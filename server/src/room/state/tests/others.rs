//! What a room does for other instances, and for the server itself.

use super::*;
use crate::bus::message::{Command, Envelope, InstanceId, Message, Told};
use crate::room::presence::others::HEARTBEAT;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::presence::{self, Entry};

const ELSEWHERE: InstanceId = InstanceId(7);

fn heard(number: u64, message: Message) -> Event {
    Event::Heard(Envelope { from: ELSEWHERE, number, message })
}

fn update(client: u64, clock: u32) -> Bytes {
    let client = ClientId::new(client).expect("small");
    presence::encode(&[Entry { client, clock, state: Some("{}") }]).into()
}

fn present(client: u64, clock: u32) -> Message {
    Message::Presence(Told { covers: None, update: update(client, clock) })
}

fn said(script: &Script) -> Vec<&Message> {
    let said = script.out.iter();
    said.filter_map(|effect| if let Effect::Say(message) = effect { Some(message) } else { None })
        .collect()
}

fn rights(who: &str, scope: Option<Scope>) -> Command {
    Command::Rights { principal: Principal(who.into()), scope }
}

/// Joins as somebody, and syncs.
fn join_as(script: &mut Script, peer: PeerId, who: &str, dialect: Dialect, scope: Scope) {
    let principal = Principal(who.into());
    script.step(Event::Join(Join { peer, dialect, principal, scope }));
    script.step(Event::Received(peer, FromPeer::SyncStep1(StateVector::default())));
    script.step(Event::Received(peer, FromPeer::SyncStep2(Bytes::from_static(&[0, 0]))));
}

#[test]
fn whoever_is_elsewhere_is_shown_here_and_the_other_way_round() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    script.step(heard(1, present(20, 3)));
    assert!(
        script.has(|effect| *effect == Effect::Broadcast(None, ToPeer::Awareness(update(20, 3))))
    );
    assert_eq!(script.room.present_elsewhere(), 1);
    // An instance heard for the first time is told everyone, even if that is nobody.
    assert!(matches!(said(&script)[..], [Message::Presence(Told { covers: Some(_), .. })]));
    script.at(2_000);
    script.out.clear();
    script.step(Event::Received(A, FromPeer::Awareness(update(10, 1))));
    // A young room moves it past what others may remember.
    assert_eq!(said(&script), [&present(10, 3)]);
    script.out.clear();
    script.step(Event::Leave(A));
    script.at(3_000);
    assert!(matches!(said(&script)[..], [Message::Presence(Told { covers: None, .. })]));
}

#[test]
fn everyone_is_repeated_while_there_are_peers_and_a_quiet_room_only_gives_a_sign_of_life() {
    let mut script = Script::open();
    script.at(2_000);
    assert_eq!(said(&script), [] as [&Message; 0], "nobody is here");
    script.live(A, Dialect::Hocuspocus);
    script.at(1_999 + HEARTBEAT);
    assert_eq!(said(&script), [] as [&Message; 0]);
    script.at(2_000 + HEARTBEAT);
    assert_eq!(said(&script), [&Message::Hello]);
    script.step(heard(1, Message::Hello));
    script.out.clear();
    script.at(2_000 + 2 * HEARTBEAT);
    assert!(matches!(said(&script)[..], [Message::Presence(Told { covers: Some(_), .. })]));
}

#[test]
fn a_heartbeat_wakes_the_room() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    let beat = 1_000 + HEARTBEAT;
    script.at(beat - 1);
    assert!(script.has(|effect| *effect == Effect::WakeAt(beat)), "{:?}", script.out);
}

#[test]
fn a_room_that_missed_something_asks_and_one_that_ends_says_goodbye() {
    let mut script = Script::open();
    script.step(Event::Missed);
    assert_eq!(said(&script), [&Message::Hello]);
    script.out.clear();
    script.step(Event::Stop);
    assert_eq!(said(&script), [&Message::Bye]);
    assert_eq!(script.out.last(), Some(&Effect::Finished));
}

#[test]
fn those_who_are_elsewhere_keep_no_room_open() {
    let mut script = Script::open();
    script.step(heard(1, present(20, 3)));
    script.at(1_000 + IDLE_CLOSE);
    assert!(script.has(|effect| *effect == Effect::Finished), "{:?}", script.out);
}

#[test]
fn p91_a_text_of_the_server_is_told_to_everyone_here_wherever_it_was_said() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    let text = || Command::Stateless("lunch".to_owned());
    let told = Effect::Broadcast(None, ToPeer::Stateless("lunch".to_owned()));
    script.step(Event::Command(text()));
    assert_eq!(script.out.iter().filter(|effect| **effect == told).count(), 1);
    assert_eq!(said(&script), [] as [&Message; 0], "whoever gives a command tells the others");
    script.step(heard(1, Message::Command(text())));
    assert_eq!(script.out.iter().filter(|effect| **effect == told).count(), 2);
}

#[test]
fn p92_a_writer_becomes_a_reader_from_the_next_message_on() {
    let (mut script, client) = (Script::open(), Client::new(7));
    join_as(&mut script, A, "ada", Dialect::Hocuspocus, Scope::ReadWrite);
    join_as(&mut script, B, "ben", Dialect::Hocuspocus, Scope::ReadWrite);
    script.send(A, &client.type_text("before"));
    script.out.clear();
    script.step(heard(1, Message::Command(rights("ada", Some(Scope::ReadOnly)))));
    assert_eq!(script.to(A), [ToPeer::Scope(Scope::ReadOnly)]);
    assert_eq!(script.to(B), []);
    script.out.clear();
    script.send(A, &client.type_text("after"));
    assert_eq!(script.to(A), [ToPeer::Refused]);
    // What was said before is kept.
    script.stored();
    assert!(script.to(A).contains(&ToPeer::Applied(1)));
    // And once more the same: no news, nothing is said.
    script.out.clear();
    script.step(Event::Command(rights("ada", Some(Scope::ReadOnly))));
    assert_eq!(script.to(A), []);
}

#[test]
fn p92_a_reader_that_becomes_a_writer_is_asked_for_what_it_has() {
    let (mut script, client) = (Script::open(), Client::new(7));
    join_as(&mut script, A, "ada", Dialect::Hocuspocus, Scope::ReadOnly);
    script.send(A, &client.type_text("kept back"));
    script.out.clear();
    script.step(Event::Command(rights("ada", Some(Scope::ReadWrite))));
    let [ToPeer::SyncStep1(_), ToPeer::Scope(Scope::ReadWrite)] = &script.to(A)[..] else {
        panic!("{:?}", script.to(A));
    };
    script.step(Event::Received(A, FromPeer::SyncStep2(client.everything())));
    script.stored();
    let reader = Client::new(8);
    reader.apply(&script.room.document().state());
    assert_eq!(reader.text(), "kept back");
}

#[test]
fn p92_whose_rights_are_gone_is_closed_and_neither_heard_nor_told_anything_more() {
    let (mut script, client) = (Script::open(), Client::new(7));
    join_as(&mut script, A, "ada", Dialect::Hocuspocus, Scope::ReadWrite);
    join_as(&mut script, B, "ben", Dialect::YWebsocket, Scope::ReadWrite);
    script.step(Event::Received(A, FromPeer::Awareness(update(10, 1))));
    script.out.clear();
    script.step(heard(1, Message::Command(rights("ada", None))));
    assert!(script.has(|effect| *effect == Effect::Seat(A, Seating::Behind)));
    assert!(script.has(|effect| matches!(effect, Effect::Close(A, CloseCode::FORBIDDEN, _))));
    assert!(!script.has(|effect| matches!(effect, Effect::Close(B, ..))));
    script.out.clear();
    script.send(A, &client.type_text("after"));
    script.step(Event::Drained(A));
    script.step(Event::Leave(A));
    script.at(2_000);
    assert!(!script.has(|effect| matches!(effect, Effect::Send(A, _))));
    assert!(script.asked.is_none(), "nothing of it is stored");
    assert!(script.has(|effect| matches!(effect, Effect::Broadcast(_, ToPeer::Awareness(_)))));
}

#[test]
fn p92_a_right_that_changed_a_moment_ago_holds_for_whoever_was_on_the_way_in() {
    let mut script = Script::open();
    script.step(Event::Command(rights("ada", Some(Scope::ReadOnly))));
    script.step(Event::Command(rights("ben", None)));
    join_as(&mut script, A, "ada", Dialect::Hocuspocus, Scope::ReadWrite);
    join_as(&mut script, B, "ben", Dialect::Hocuspocus, Scope::ReadWrite);
    assert!(script.to(A).contains(&ToPeer::Scope(Scope::ReadOnly)));
    assert!(script.has(|effect| matches!(effect, Effect::Close(B, CloseCode::FORBIDDEN, _))));
    // Later it has been asked for anew.
    script.at(1_000 + 60_000);
    script.out.clear();
    join_as(&mut script, PeerId(3), "ben", Dialect::Hocuspocus, Scope::ReadWrite);
    assert!(!script.has(|effect| matches!(effect, Effect::Close(..))));
}

#[test]
fn p92_a_peer_that_is_behind_is_told_its_scope_when_it_has_caught_up() {
    let mut script = Script::open();
    join_as(&mut script, A, "ada", Dialect::Hocuspocus, Scope::ReadWrite);
    script.step(Event::Behind(A, ToPeer::KeepAlive));
    script.out.clear();
    script.step(Event::Command(rights("ada", Some(Scope::ReadOnly))));
    assert_eq!(script.to(A), []);
    script.step(Event::Drained(A));
    assert!(script.to(A).contains(&ToPeer::Scope(Scope::ReadOnly)));
}

#[test]
fn p93_a_document_that_is_closed_sends_everyone_away_and_the_room_ends() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    script.out.clear();
    let close = Command::Close { code: CloseCode::SET_ASIDE, reason: "damaged".to_owned() };
    script.step(heard(1, Message::Command(close)));
    let everyone = Effect::CloseAll(CloseCode::SET_ASIDE, "damaged".to_owned());
    assert_eq!(script.out, [everyone, Effect::Say(Message::Bye), Effect::Finished]);
}

#[test]
fn what_another_instance_says_and_cannot_be_read_is_passed_over() {
    let mut script = Script::open();
    script.live(A, Dialect::Hocuspocus);
    let bad = Told { covers: None, update: Bytes::from_static(&[1, 2]) };
    script.step(heard(1, Message::Presence(bad)));
    assert!(script.has(|effect| matches!(effect, Effect::Note(Note::Unread(_)))));
    assert!(script.room.is_open());
}
