use super::*;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

fn id(n: u64) -> ClientId {
    ClientId::new(n).expect("a small id")
}

fn entry(client: u64, clock: u32, state: Option<&str>) -> Entry<'_> {
    Entry { client: id(client), clock, state }
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
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    assert_eq!(shown(&mut presence), [(10, 1, Some("{}".to_owned()))]);
    presence.receive(B, &[entry(10, 1, Some("{}"))], 0);
    assert!(!presence.has_changes(), "B repeated what it was told");
}

#[test]
fn the_first_state_at_clock_zero_is_ignored_by_every_client_and_here() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 0, Some("{}"))], 0);
    assert!(!presence.has_changes());
}

#[test]
fn only_from_names_the_peer_that_needs_no_copy() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    assert_eq!(presence.take_changes().only_from, Some(A));
    presence.receive(A, &[entry(10, 2, Some("{}"))], 0);
    presence.receive(B, &[entry(20, 1, Some("{}"))], 0);
    assert_eq!(presence.take_changes().only_from, None);
}

#[test]
fn nobody_speaks_for_somebody_who_is_heard() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 2, Some(r#"{"name":"not me"}"#))], 1_000);
    presence.receive(B, &[entry(10, 1, None)], 1_000);
    presence.receive(B, &[entry(10, u32::MAX >> 1, None)], 1_000);
    assert!(!presence.has_changes());
}

#[test]
fn a_client_whose_old_socket_died_in_silence_is_believed_on_its_new_one() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 5, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 6, Some(r#"{"a":1}"#))], OWNER_SILENCE + 1);
    assert_eq!(shown(&mut presence).len(), 1);
    presence.leave(A, OWNER_SILENCE + 2);
    assert!(!presence.has_changes(), "the old socket no longer speaks for the client");
}

#[test]
fn a_clock_gone_wild_is_ignored() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 1, Some("{}"))], 0);
    shown(&mut presence);
    presence.receive(A, &[entry(10, 2 + MAX_CLOCK_JUMP, Some("{}"))], 0);
    assert!(!presence.has_changes());
}

#[test]
fn leaving_keeps_the_clock_so_that_a_return_is_seen() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    shown(&mut presence);
    presence.leave(A, 1);
    assert_eq!(shown(&mut presence), [(10, 7, None)]);
    presence.receive(B, &[entry(10, 8, Some("{}"))], 2);
    assert_eq!(shown(&mut presence), [(10, 8, Some("{}".to_owned()))]);
}

#[test]
fn a_return_with_an_old_clock_is_moved_past_the_tombstone() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    presence.leave(A, 1);
    shown(&mut presence);
    let back = presence
        .receive(B, &[entry(10, 7, Some(r#"{"a":1}"#))], 2)
        .expect("the client is told to move on");
    let told = presence::decode(&back).expect("our own message decodes");
    assert_eq!((told[0].clock, told[0].state), (8, None));
    assert_eq!(shown(&mut presence), [(10, 9, Some(r#"{"a":1}"#.to_owned()))]);
}

#[test]
fn an_echo_of_somebody_who_left_does_not_bring_them_back() {
    let mut presence = Presence::default();
    presence.receive(A, &[entry(10, 7, Some("{}"))], 0);
    presence.receive(B, &[entry(20, 1, Some("{}"))], 0);
    presence.leave(A, 1);
    shown(&mut presence);
    presence.receive(B, &[entry(10, 7, Some("{}"))], 2);
    assert!(!presence.has_changes());
}

#[test]
fn one_peer_speaks_for_few() {
    let mut presence = Presence::default();
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
    let mut presence = Presence::default();
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
    let mut presence = Presence::default();
    let state = format!(r#"{{"fill":"{}"}}"#, "x".repeat(1_000));
    for n in 0..200 {
        presence.receive(PeerId(n), &[entry(n, 1, Some(&state))], 0);
    }
    let messages = presence.everyone();
    assert!(messages.len() > 1);
    assert!(messages.iter().all(|message| message.len() <= MAX_AWARENESS_MESSAGE));
}
