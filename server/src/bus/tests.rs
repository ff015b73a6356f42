use super::*;
use futures_util::FutureExt;

fn topic(name: &str) -> LogName {
    LogName::new(name).expect("a name")
}

/// What is there to hear now.
fn heard(ear: &mut Ear) -> Option<Heard> {
    ear.next().now_or_never()
}

fn message(text: &'static str) -> Heard {
    Heard::Message(Bytes::from_static(text.as_bytes()))
}

#[test]
fn b4_listening_begins_with_something_missed() {
    let hall = Hall::new();
    let mut ear = hall.voice().listen(&topic("a"));
    assert_eq!(heard(&mut ear), Some(Heard::Missed));
    assert_eq!(heard(&mut ear), None);
}

#[test]
fn b2_b3_everyone_who_listens_hears_in_order_and_so_does_the_speaker() {
    let hall = Hall::new();
    let (one, two) = (hall.voice(), hall.voice());
    let mut ears = [one.listen(&topic("a")), two.listen(&topic("a"))];
    let mut elsewhere = two.listen(&topic("b"));
    one.say(&topic("a"), Bytes::from_static(b"first"));
    one.say(&topic("a"), Bytes::from_static(b"second"));
    for ear in &mut ears {
        assert_eq!(heard(ear), Some(Heard::Missed));
        assert_eq!(heard(ear), Some(message("first")));
        assert_eq!(heard(ear), Some(message("second")));
        assert_eq!(heard(ear), None);
    }
    assert_eq!(heard(&mut elsewhere), Some(Heard::Missed));
    assert_eq!(heard(&mut elsewhere), None);
}

#[test]
fn b5_what_does_not_fit_is_missed() {
    let (teller, mut ear) = ear();
    for _ in 0..EAR_MESSAGES {
        teller.tell(Bytes::from_static(b"x"));
    }
    assert_eq!(heard(&mut ear), Some(message("x")), "all of them fit");
    teller.tell(Bytes::from_static(b"x"));
    teller.tell(Bytes::from_static(b"y"));
    assert_eq!(heard(&mut ear), Some(Heard::Missed));
    for _ in 0..EAR_MESSAGES {
        assert_eq!(heard(&mut ear), Some(message("x")));
    }
    assert_eq!(heard(&mut ear), None);
}

#[test]
fn b5_large_messages_count_by_their_bytes() {
    let (teller, mut ear) = ear();
    let large = Bytes::from(vec![0; EAR_BYTES / 2]);
    for _ in 0..3 {
        teller.tell(large.clone());
    }
    assert_eq!(heard(&mut ear), Some(Heard::Missed));
    assert_eq!(heard(&mut ear), Some(Heard::Message(large.clone())));
    assert_eq!(heard(&mut ear), Some(Heard::Message(large.clone())));
    assert_eq!(heard(&mut ear), None);
    teller.tell(large.clone());
    assert_eq!(heard(&mut ear), Some(Heard::Message(large)), "there is room again");
}

#[tokio::test]
async fn b4_a_listener_that_waits_is_told_that_it_missed_something() {
    let (teller, mut ear) = ear();
    let mut next = Box::pin(ear.next());
    assert_eq!(next.as_mut().now_or_never(), None);
    teller.missed();
    assert_eq!(next.await, Heard::Missed);
}

#[test]
fn b6_a_dropped_ear_listens_no_more() {
    let hall = Hall::new();
    let voice = hall.voice();
    drop(voice.listen(&topic("a")));
    let (teller, ear) = ear();
    drop(ear);
    assert!(teller.is_closed());
    // The next one who comes finds the hall tidied.
    let _ear = voice.listen(&topic("b"));
    assert_eq!(hall.topics(), 1);
}

#[test]
fn whoever_is_cut_off_neither_hears_nor_is_heard_until_restored() {
    let hall = Hall::new();
    let (one, two) = (hall.voice(), hall.voice());
    let mut ears = [one.listen(&topic("a")), two.listen(&topic("a"))];
    ears.iter_mut().for_each(|ear| assert_eq!(heard(ear), Some(Heard::Missed)));
    two.cut_off();
    one.say(&topic("a"), Bytes::from_static(b"one"));
    two.say(&topic("a"), Bytes::from_static(b"two"));
    assert_eq!(heard(&mut ears[0]), Some(message("one")));
    assert_eq!(heard(&mut ears[0]), None);
    assert_eq!(heard(&mut ears[1]), None);
    two.restore();
    assert_eq!(heard(&mut ears[1]), Some(Heard::Missed));
    assert_eq!(heard(&mut ears[0]), None);
}

#[test]
fn alone_there_is_nothing_to_hear() {
    let mut ear = Alone.listen(&topic("a"));
    Alone.say(&topic("a"), Bytes::from_static(b"hello?"));
    assert_eq!(heard(&mut ear), None);
}

#[test]
fn an_instance_does_not_take_its_own_words_for_somebody_elses() {
    let hall = Hall::new();
    let (one, two) = (Speaker::new(Arc::new(hall.voice())), Speaker::new(Arc::new(hall.voice())));
    let mut ear = one.listen(&topic("a"));
    assert_eq!(heard(&mut ear), Some(Heard::Missed));
    one.say(&topic("a"), message::Message::Hello);
    let Some(Heard::Message(said)) = heard(&mut ear) else { panic!("it comes back") };
    assert_eq!(one.understand(&topic("a"), &said), None);
    assert!(two.understand(&topic("a"), &said).is_some());
}
