use super::*;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

fn id(n: u64) -> ClientId {
    ClientId::new(n).expect("a small id")
}

fn entry(client: u64, clock: u32, state: Option<&str>) -> Entry<'_> {
    Entry { client: id(client), clock, state }
}

/// A room whose clients have no other server to remember.
fn settled() -> Presence {
    Presence { young_until: Some(0), ..Presence::default() }
}

/// What a peer is told about its own ids, as (client, clock).
#[track_caller]
fn told(corrections: &[Correction], peer: PeerId) -> Vec<(u64, u32)> {
    let mine = corrections.iter().filter(|(to, _)| *to == peer);
    mine.flat_map(|(_, message)| presence::decode(message).expect("our own message decodes"))
        .inspect(|entry| assert_eq!(entry.state, None))
        .map(|entry| (entry.client.get(), entry.clock))
        .collect()
}

/// What everyone is told, as (client, clock, state).
#[track_caller]
fn shown(presence: &mut Presence) -> Vec<(u64, u32, Option<String>)> {
    let shown = presence.take_changes();
    let mut all = Vec::new();
    for message in &shown.messages {
        for entry in presence::decode(message).expect("our own message decodes") {
            all.push((entry.client.get(), entry.clock, entry.state.map(str::to_owned)));
        }
    }
    all
}

#[test]
fn a_state_is_shown_once_and_its_echo_is_not() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    assert_eq!(shown(&mut presence), [(10, 1, Some("{}".to_owned()))]);
    presence.receive(B, &[entry(10, 1, Some("{}"))], 0);
    assert!(!presence.has_changes(), "B repeated what it was told");
}

#[test]
fn the_first_state_at_clock_zero_is_ignored_by_every_client_and_here() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 0, Some("{}"))], 0);
    assert!(!presence.has_changes());
}

#[test]
fn only_from_names_the_peer_that_needs_no_copy() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    assert_eq!(presence.take_changes().only_from, Some(A));
    presence.receive(A, &[entry(10, 2, Some("{}"))], 0);
    presence.receive(B, &[entry(20, 1, Some("{}"))], 0);
    assert_eq!(presence.take_changes().only_from, None);
}

#[test]
fn nobody_speaks_for_somebody_who_is_heard() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 2, Some(r#"{"name":"not me"}"#))], 1_000);
    presence.receive(B, &[entry(10, 1, None)], 1_000);
    presence.receive(B, &[entry(10, u32::MAX >> 1, None)], 1_000);
    assert!(!presence.has_changes());
}

#[test]
fn a_client_whose_old_socket_died_in_silence_is_believed_on_its_new_one() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 5, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 6, Some(r#"{"a":1}"#))], OWNER_SILENCE + 1);
    assert_eq!(shown(&mut presence).len(), 1);
    presence.leave(A, OWNER_SILENCE + 2);
    assert!(!presence.has_changes(), "the old socket no longer speaks for the client");
}

#[test]
fn a_clock_gone_wild_is_ignored() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(A, &[entry(10, 2 + MAX_CLOCK_JUMP, Some("{}"))], 0);
    assert!(!presence.has_changes());
}

#[test]
fn leaving_keeps_the_clock_so_that_a_return_is_seen() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    shown(&mut presence);
    presence.leave(A, 1);
    assert_eq!(shown(&mut presence), [(10, 7, None)]);
    presence.receive(B, &[entry(10, 8, Some("{}"))], 2);
    assert_eq!(shown(&mut presence), [(10, 8, Some("{}".to_owned()))]);
}

#[test]
fn a_return_with_an_old_clock_is_moved_past_the_tombstone() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    presence.leave(A, 1);
    shown(&mut presence);
    let corrections = presence.receive(B, &[entry(10, 7, Some(r#"{"a":1}"#))], 2);
    assert_eq!(told(&corrections, B), [(10, 8)]);
    assert_eq!(shown(&mut presence), [(10, 9, Some(r#"{"a":1}"#.to_owned()))]);
}

#[test]
fn whoever_has_not_moved_since_is_moved_for_the_one_who_comes_back() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    presence.receive(B, &[entry(20, 3, Some("{}"))], 0);
    let busy = PeerId(3);
    presence.receive(busy, &[entry(30, 3, Some("{}"))], 0);
    presence.leave(A, 1);
    presence.receive(busy, &[entry(30, 4, Some("{}"))], 2);
    shown(&mut presence);
    let back = PeerId(4);
    let corrections = presence.receive(back, &[entry(10, 7, Some("{}"))], 3);
    assert_eq!(told(&corrections, B), [(20, 4)]);
    assert_eq!(told(&corrections, busy), []);
    let clocks: Vec<_> =
        shown(&mut presence).into_iter().map(|(client, clock, _)| (client, clock)).collect();
    assert_eq!(clocks, [(10, 9), (20, 5)]);
    // Nobody is moved twice for the same reason.
    presence.leave(back, 1);
    assert_eq!(told(&presence.receive(PeerId(5), &[entry(10, 9, Some("{}"))], 4), B), []);
}

#[test]
fn in_a_young_room_everybody_is_moved_past_what_others_may_remember() {
    let mut presence = Presence::default();
    let corrections = presence.receive(A, &[entry(10, 7, Some("{}"))], 1_000);
    assert_eq!(told(&corrections, A), [(10, 8)]);
    assert_eq!(shown(&mut presence), [(10, 9, Some("{}".to_owned()))]);
    // What the client said before it was told is news all the same.
    let corrections = presence.receive(A, &[entry(10, 8, Some(r#"{"a":1}"#))], 1_001);
    assert_eq!(told(&corrections, A), [(10, 10)]);
    assert_eq!(shown(&mut presence), [(10, 11, Some(r#"{"a":1}"#.to_owned()))]);
    // Its repetition is not, and from then on it counts by itself.
    assert_eq!(presence.receive(A, &[entry(10, 11, Some(r#"{"a":1}"#))], 1_002), []);
    presence.receive(A, &[entry(10, 12, Some("{}"))], 1_003);
    assert_eq!(shown(&mut presence), [(10, 12, Some("{}".to_owned()))]);
    let later = 1_000 + OTHERS_REMEMBER;
    assert_eq!(presence.receive(B, &[entry(20, 7, Some("{}"))], later), []);
}

#[test]
fn an_echo_of_somebody_who_left_does_not_bring_them_back() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    presence.receive(B, &[entry(20, 1, Some("{}"))], 0);
    presence.leave(A, 1);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 7, Some("{}"))], 2);
    assert!(!presence.has_changes());
}

#[test]
fn one_peer_speaks_for_few() {
    let mut presence = settled();
    for n in 0..100_000 {
        presence.receive(A, &[entry(n, 1, Some("{}"))], 0);
    }
    assert_eq!(presence.len(), MAX_IDS_PER_PEER);
    for n in 0..100_000 {
        presence.receive(A, &[entry(n, 2, None)], 0);
    }
    assert!(presence.table.len() <= MAX_IDS_PER_PEER, "removals of strangers cost nothing");
}

#[test]
fn what_is_not_renewed_goes_and_what_left_is_forgotten() {
    let mut presence = settled();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    shown(&mut presence);
    presence.expire(EXPIRY);
    assert!(!presence.has_changes());
    presence.expire(EXPIRY + 1);
    assert_eq!(shown(&mut presence), [(10, 1, None)]);
    presence.expire(EXPIRY + 1 + TOMBSTONE_LIFE);
    assert!(presence.table.is_empty());
}

#[test]
fn a_large_table_is_told_in_several_messages() {
    let mut presence = settled();
    let state = format!(r#"{{"fill":"{}"}}"#, "x".repeat(1_000));
    for n in 0..200 {
        presence.receive(PeerId(n), &[entry(n, 1, Some(&state))], 0);
    }
    let messages = presence.everyone();
    assert!(messages.len() > 1);
    assert!(messages.iter().all(|message| message.len() <= MAX_AWARENESS_MESSAGE));
}
