use super::*;

mod world;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

fn id(n: u64) -> ClientId {
    ClientId::new(n).expect("a small id")
}

/// A room of one instance.
struct Instance {
    id: InstanceId,
    number: u64,
    table: Presence,
}

/// What an instance says: from whom, its number, and what.
type Said = (InstanceId, u64, Message);

impl Instance {
    /// A room whose clients have no other server to remember.
    fn settled(id: u64) -> Self {
        let table = Presence { young_until: Some(0), ..Presence::default() };
        Self { id: InstanceId(id), number: 0, table }
    }

    fn receive(&mut self, peer: PeerId, client: u64, clock: u32, state: Option<&str>, now: Millis) {
        let entry = Entry { client: id(client), clock, state };
        self.table.receive(peer, &[entry], now);
    }

    fn say(&mut self, now: Millis) -> Vec<Said> {
        let (messages, _) = self.table.tell_others(true, now);
        messages
            .into_iter()
            .map(|message| {
                self.number += 1;
                (self.id, self.number, message)
            })
            .collect()
    }

    fn hear(&mut self, said: &[Said], now: Millis) -> Vec<Correction> {
        let hear = |(from, number, message): &Said| {
            self.table.hear(*from, *number, message, now).expect("it can be read")
        };
        said.iter().flat_map(hear).collect()
    }

    /// Who is here, as (client, clock).
    fn live(&self) -> Vec<(u64, u32)> {
        let live = self.table.table.iter().filter(|(_, known)| known.state.is_some());
        live.map(|(client, known)| (client.get(), known.clock)).collect()
    }

    /// What everyone here is shown, as (client, clock, whether it is there).
    fn shown(&mut self) -> Vec<(u64, u32, bool)> {
        let mut all = Vec::new();
        for message in self.table.take_changes().messages {
            for entry in presence::decode(&message).expect("our own message decodes") {
                all.push((entry.client.get(), entry.clock, entry.state.is_some()));
            }
        }
        all
    }
}

/// What peers are told about their own ids, as (peer, client, clock).
fn told(corrections: &[Correction]) -> Vec<(PeerId, u64, u32)> {
    let mut all = Vec::new();
    for (peer, message) in corrections {
        for entry in presence::decode(message).expect("our own message decodes") {
            assert_eq!(entry.state, None);
            all.push((*peer, entry.client.get(), entry.clock));
        }
    }
    all
}

/// Two rooms that know of each other.
fn two() -> (Instance, Instance) {
    let (mut one, mut two) = (Instance::settled(1), Instance::settled(2));
    let hello = one.say(0);
    assert!(matches!(hello[..], [(_, _, Message::Hello)]), "{hello:?}");
    two.hear(&hello, 0);
    one.hear(&two.say(0), 0);
    two.hear(&one.say(0), 0);
    assert_eq!((one.say(1), two.say(1)), (vec![], vec![]), "everything has been said");
    (one, two)
}

/// The same, with client 10 at the first.
fn two_with_somebody() -> (Instance, Instance) {
    let (mut one, mut two) = two();
    one.receive(A, 10, 5, Some("{}"), 1);
    two.hear(&one.say(1), 1);
    assert_eq!(two.shown(), [(10, 5, true)]);
    (one, two)
}

#[test]
fn who_is_at_one_instance_is_shown_at_the_other() {
    let (mut one, mut two) = two_with_somebody();
    one.receive(A, 10, 6, Some(r#"{"a":1}"#), 2);
    two.hear(&one.say(2), 2);
    assert_eq!(two.shown(), [(10, 6, true)]);
    assert_eq!(two.table.elsewhere(), 1);
    one.table.leave(A, 3);
    two.hear(&one.say(3), 3);
    assert_eq!(two.shown(), [(10, 6, false)]);
    assert_eq!(two.table.elsewhere(), 0);
    assert_eq!(two.say(3), [], "what was heard is not said again");
}

#[test]
fn whoever_says_hello_is_told_everyone_and_so_is_whoever_is_heard_for_the_first_time() {
    let (mut one, mut two) = (Instance::settled(1), Instance::settled(2));
    one.receive(A, 10, 5, Some("{}"), 0);
    two.receive(B, 20, 5, Some("{}"), 0);
    let hello = one.say(0);
    let answer = {
        two.hear(&hello, 0);
        two.say(0)
    };
    one.hear(&answer, 0);
    assert_eq!(one.live(), [(10, 5), (20, 5)]);
    two.hear(&one.say(0), 0);
    assert_eq!(two.live(), [(10, 5), (20, 5)]);
    // Nobody goes on.
    assert_eq!(two.say(1), []);
    assert_eq!(one.say(1), []);
    one.table.missed();
    two.hear(&one.say(2), 2);
    assert!(matches!(two.say(2)[..], [(_, _, Message::Presence(Told { covers: Some(_), .. }))]));
}

#[test]
fn what_was_lost_is_put_right_by_the_next_repetition() {
    let (mut one, mut two) = two_with_somebody();
    one.receive(B, 11, 1, Some("{}"), 2);
    drop(one.say(2));
    one.table.leave(A, 3);
    drop(one.say(3));
    assert_eq!(two.live(), [(10, 5)]);
    let repeated = one.say(HEARTBEAT);
    two.hear(&repeated, HEARTBEAT);
    assert_eq!(two.live(), [(11, 1)]);
    assert_eq!(two.shown(), [(10, 5, false), (11, 1, true)]);
}

#[test]
fn goodbye_takes_everyone_down_at_the_clock_they_had() {
    let (mut one, mut two) = two_with_somebody();
    one.number += 1;
    two.hear(&[(one.id, one.number, Message::Bye)], 2);
    assert_eq!(two.shown(), [(10, 5, false)]);
    // Nobody is left to tell.
    two.receive(B, 20, 1, Some("{}"), 3);
    assert_eq!(two.say(3), []);
    // A message that was overtaken brings nobody back.
    one.number -= 1;
    one.receive(A, 10, 9, Some("{}"), 3);
    two.hear(&one.say(3), 3);
    assert_eq!(two.live(), [(20, 1)]);
}

#[test]
fn an_instance_that_is_not_heard_is_gone_with_its_presence() {
    let (_, mut two) = two_with_somebody();
    two.table.expire(1 + INSTANCE_SILENCE);
    assert_eq!(two.live(), [(10, 5)]);
    two.table.expire(2 + INSTANCE_SILENCE);
    assert_eq!(two.shown(), [(10, 5, false)]);
    assert!(two.table.others.known.is_empty());
}

#[test]
fn a_repetition_keeps_everyone() {
    let (mut one, mut two) = two_with_somebody();
    for beat in 1..10 {
        let now = beat * HEARTBEAT;
        one.receive(A, 10, 5 + u32::try_from(beat).expect("small"), Some("{}"), now);
        one.table.expire(now);
        two.hear(&one.say(now), now);
        one.hear(&two.say(now), now);
        two.table.expire(now + HEARTBEAT - 1);
    }
    assert_eq!(two.live(), [(10, 14)]);
}

#[test]
fn without_peers_nothing_is_repeated() {
    let mut one = Instance::settled(1);
    assert_eq!(one.table.due_at(false), None);
    assert_eq!(one.table.tell_others(false, HEARTBEAT).0, []);
    assert_eq!(one.table.due_at(true), Some(0));
}

#[test]
fn p79_a_client_that_moves_is_seen_at_once_past_every_clock_known() {
    let (mut one, mut two) = two_with_somebody();
    two.table.take_changes();
    let entry = Entry { client: id(10), clock: 5, state: Some(r#"{"new":1}"#) };
    let corrections = two.table.receive(B, &[entry], 2_000);
    assert_eq!(told(&corrections), [(B, 10, 6)]);
    assert_eq!(two.shown(), [(10, 7, true)]);
    // Its old instance waits for a socket that is long dead, and then gives up: nobody is taken down by that.
    one.table.leave(A, 2_001);
    let late = one.say(2_001);
    assert_eq!(two.hear(&late, 2_001), []);
    assert_eq!(two.live(), [(10, 7)]);
    one.hear(&two.say(2_002), 2_002);
    assert_eq!(one.live(), [(10, 7)]);
}

#[test]
fn p79_the_instance_a_client_has_left_believes_the_new_one() {
    let (mut one, mut two) = two_with_somebody();
    two.receive(B, 10, 5, Some("{}"), 1 + OWNER_SILENCE + 1);
    one.hear(&two.say(1 + OWNER_SILENCE + 1), 1 + OWNER_SILENCE + 1);
    assert_eq!(one.live(), [(10, 7)]);
    one.table.leave(A, 60_000);
    assert_eq!(one.live(), [(10, 7)], "the dead socket no longer speaks for the client");
    assert!(one.say(60_000).iter().all(|(_, _, message)| match message {
        Message::Presence(told) => presence::decode(&told.update).expect("it decodes").is_empty(),
        _ => true,
    }));
}

#[test]
fn p79_whoever_repeats_what_it_is_shown_has_not_moved_here() {
    let (_, mut two) = two_with_somebody();
    let its_own = Entry { client: id(20), clock: 1, state: Some("{}") };
    two.table.receive(B, &[its_own], 2);
    let echo = Entry { client: id(10), clock: 5, state: Some("{}") };
    assert_eq!(two.table.receive(B, &[echo], 2), []);
    // A tab of the same browser may know of a change before the bus does.
    let relayed = Entry { client: id(10), clock: 6, state: Some("{}") };
    assert_eq!(two.table.receive(B, &[relayed], 2), []);
    assert_eq!(two.table.elsewhere(), 1);
    assert_eq!(two.live(), [(10, 5), (20, 1)]);
    // Only once its instance has missed a repetition.
    two.table.receive(B, &[relayed], 2 + MISSED_HEARTBEAT);
    assert_eq!(two.live(), [(10, 6), (20, 1)]);
    assert_eq!(two.table.elsewhere(), 0);
}

#[test]
fn p78_nobody_elsewhere_speaks_for_somebody_who_is_heard_here() {
    let (mut one, mut two) = two_with_somebody();
    two.number = 100;
    let spoofed = presence::encode(&[Entry { client: id(10), clock: 6, state: Some("{}") }]);
    let said = Message::Presence(Told { covers: None, update: spoofed.into() });
    one.hear(&[(two.id, 101, said)], 2);
    assert_eq!(one.live(), [(10, 5)]);
    one.receive(A, 10, 5, Some("{}"), 3);
    let gone = presence::encode(&[Entry { client: id(10), clock: 8, state: None }]);
    let said = Message::Presence(Told { covers: None, update: gone.into() });
    let corrections = one.hear(&[(two.id, 102, said)], 3);
    assert_eq!(told(&corrections), [(A, 10, 9)]);
    assert_eq!(one.live(), [(10, 10)]);
    two.hear(&one.say(3), 3);
    assert_eq!(two.live(), [(10, 10)]);
}

#[test]
fn p78_a_client_that_has_moved_and_left_there_is_gone_although_its_old_socket_is_not_known_to_be_dead()
 {
    let (mut one, mut two) = two_with_somebody();
    two.receive(B, 10, 5, Some("{}"), 2);
    one.hear(&two.say(2), 2);
    assert_eq!(one.live(), [(10, 5)], "its old socket has only just been heard");
    two.table.leave(B, 3);
    assert_eq!(one.hear(&two.say(3), 3), []);
    assert_eq!(one.live(), []);
}

#[test]
fn a_return_at_a_clock_that_others_remember_is_moved_past_it() {
    let (mut one, mut two) = two_with_somebody();
    one.table.leave(A, 2);
    two.hear(&one.say(2), 2);
    // The second forgets; the first does not.
    two.table.table.clear();
    two.receive(B, 10, 5, Some("{}"), 3);
    one.hear(&two.say(3), 3);
    assert_eq!(one.live(), []);
    let corrections = two.hear(&one.say(4), 4);
    assert_eq!(told(&corrections), [(B, 10, 6)]);
    one.hear(&two.say(5), 5);
    assert_eq!(one.live(), [(10, 7)]);
}

#[test]
fn those_who_are_elsewhere_are_moved_for_the_one_who_comes_back() {
    let (mut one, mut two) = two_with_somebody();
    two.receive(B, 20, 9, Some("{}"), 2);
    one.hear(&two.say(2), 2);
    two.table.take_changes();
    // Client 10 loses its line to the first and comes back to the second, where 20 is; a third would be asked as well.
    let now = 2_000;
    let entry = Entry { client: id(10), clock: 5, state: Some("{}") };
    two.table.receive(PeerId(3), &[entry], now);
    let (messages, corrections) = two.table.tell_others(true, now);
    assert!(messages.contains(&Message::Renew { unmoved_for: FASTEST_RETURN }), "{messages:?}");
    assert_eq!(told(&corrections), [(B, 20, 10)]);
    let renew = [(two.id, 100, Message::Renew { unmoved_for: FASTEST_RETURN })];
    one.receive(PeerId(4), 40, 3, Some("{}"), now - FASTEST_RETURN);
    one.receive(PeerId(5), 50, 3, Some("{}"), now - FASTEST_RETURN + 1);
    let corrections = one.hear(&renew, now);
    assert_eq!(told(&corrections), [(A, 10, 6), (PeerId(4), 40, 4)], "50 has moved since");
    // A whole crowd that comes back is served together.
    let entry = Entry { client: id(40), clock: 3, state: Some("{}") };
    one.say(now);
    two.hear(&one.say(now), now);
    two.table.receive(PeerId(6), &[entry], now + 1);
    assert_eq!(two.table.tell_others(true, now + 1).1, []);
}

#[test]
fn an_instance_speaks_for_no_more_than_it_may() {
    let mut one = Instance::settled(1);
    let per_message = 1_000;
    let from = InstanceId(7);
    for n in 0..20 {
        let entries: Vec<Entry<'_>> = (0..per_message)
            .map(|i| Entry { client: id(n * per_message + i), clock: 1, state: Some("{}") })
            .collect();
        let told = Told { covers: None, update: presence::encode(&entries).into() };
        one.hear(&[(from, n + 1, Message::Presence(told))], 0);
    }
    assert_eq!(one.table.elsewhere(), MAX_IDS_PER_INSTANCE);
    for n in 0..1_000 {
        one.hear(&[(InstanceId(100 + n), 1, Message::Hello)], 0);
    }
    assert_eq!(one.table.others.known.len(), MAX_INSTANCES);
}

#[test]
fn a_large_table_is_told_in_portions_that_cover_everything() {
    let (mut one, mut two) = two();
    let state = format!(r#"{{"fill":"{}"}}"#, "x".repeat(1_000));
    for n in 1..=200 {
        one.receive(PeerId(100 + n), 2 * n, 1, Some(&state), 1);
    }
    two.hear(&one.say(1), 1);
    assert_eq!(two.live().len(), 200);
    // All but some have gone, and nobody was told.
    for n in (1..=200).filter(|n| n % 3 != 0) {
        one.table.leave(PeerId(100 + n), 2);
    }
    drop(one.say(2));
    let repeated = one.say(HEARTBEAT);
    let covers: Vec<(u64, u64)> = repeated
        .iter()
        .filter_map(|(_, _, message)| match message {
            Message::Presence(told) => told.covers.map(|(a, b)| (a.get(), b.get())),
            _ => None,
        })
        .collect();
    assert!(covers.len() > 1, "{covers:?}");
    assert_eq!(covers[0].0, 0);
    assert_eq!(covers[covers.len() - 1].1, MAX_CLIENT_ID);
    assert!(covers.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1), "{covers:?}");
    two.hear(&repeated, HEARTBEAT);
    assert_eq!(two.live(), one.live());
}

#[test]
fn malformed_presence_is_refused_whole() {
    let mut one = Instance::settled(1);
    let told = Told { covers: None, update: bytes::Bytes::from_static(b"\x01\x02") };
    assert!(one.table.hear(InstanceId(7), 1, &Message::Presence(told), 0).is_err());
}
