use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn id(n: u64) -> ClientId {
    ClientId::new(n).expect("a small id")
}

fn samples() -> Vec<Message> {
    let told = |covers| Message::Presence(Told { covers, update: Bytes::from_static(b"\x00") });
    let rights = |scope| Command::Rights { principal: Principal("ada".into()), scope };
    let close = Command::Close { code: CloseCode::SET_ASIDE, reason: "set aside".to_owned() };
    vec![
        Message::Hello,
        told(None),
        told(Some((id(0), id(7)))),
        told(Some((id(0), id(commonplace_protocol::limits::MAX_CLIENT_ID)))),
        Message::Renew { unmoved_for: 100 },
        Message::Bye,
        Message::Command(Command::Stateless("héllo".to_owned())),
        Message::Command(rights(None)),
        Message::Command(rights(Some(Scope::ReadOnly))),
        Message::Command(rights(Some(Scope::ReadWrite))),
        Message::Command(close),
    ]
}

fn envelope(message: Message) -> Envelope {
    Envelope { from: InstanceId(0xfedc_ba98_7654_3210), number: 300, message }
}

#[test]
fn what_is_written_is_read() {
    for message in samples() {
        let said = envelope(message);
        assert_eq!(Envelope::decode(&said.encode()), Ok(Heard::Known(said)));
    }
}

#[test]
fn the_bytes_do_not_change() {
    let hello = envelope(Message::Hello).encode();
    assert_eq!(hello, [1, 0, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 0xac, 0x02]);
    let rights = Command::Rights { principal: Principal("ada".into()), scope: None };
    let rights = envelope(Message::Command(rights)).encode();
    assert_eq!(rights[..2], [1, 5]);
    assert_eq!(rights[12..], [3, b'a', b'd', b'a', 0]);
}

#[test]
fn a_message_that_ends_early_is_not_taken_for_a_shorter_one() {
    for message in samples() {
        let bytes = envelope(message.clone()).encode();
        for len in 0..bytes.len() {
            let read = Envelope::decode(&bytes[..len]);
            assert!(read.is_err(), "{message:?} cut to {len} bytes is {read:?}");
        }
    }
}

#[test]
fn what_another_release_says_is_passed_over() {
    let mut later = envelope(Message::Hello).encode();
    later[0] = 2;
    assert_eq!(Envelope::decode(&later), Ok(Heard::Unknown));
    let mut kind = envelope(Message::Hello).encode();
    kind[1] = 99;
    assert_eq!(Envelope::decode(&kind), Ok(Heard::Unknown));
    let rights = Command::Rights { principal: Principal("ada".into()), scope: None };
    let mut scope = envelope(Message::Command(rights)).encode();
    *scope.last_mut().expect("it has a scope") = 3;
    assert_eq!(Envelope::decode(&scope), Ok(Heard::Unknown));
    let mut more = envelope(Message::Bye).encode();
    more.extend_from_slice(b"and more");
    assert_eq!(Envelope::decode(&more), Ok(Heard::Known(envelope(Message::Bye))));
}

#[test]
fn limits_are_kept_on_both_sides() {
    let text = |len| Command::Stateless("x".repeat(len));
    assert!(text(MAX_STATELESS).fits());
    assert!(!text(MAX_STATELESS + 1).fits());
    let longest = envelope(Message::Command(text(MAX_STATELESS))).encode();
    assert!(longest.len() <= MAX_BUS_MESSAGE);
    assert!(matches!(Envelope::decode(&longest), Ok(Heard::Known(_))));
    for command in [
        text(MAX_STATELESS + 1),
        Command::Rights { principal: Principal("x".repeat(MAX_PRINCIPAL + 1).into()), scope: None },
        Command::Close { code: CloseCode::RESET, reason: "x".repeat(MAX_CLOSE_REASON + 1) },
    ] {
        assert!(!command.fits());
        let bytes = envelope(Message::Command(command)).encode();
        assert!(matches!(Envelope::decode(&bytes), Err(Malformed::TooLarge(_))));
    }
    let huge = vec![1; MAX_BUS_MESSAGE + 1];
    assert!(matches!(Envelope::decode(&huge), Err(Malformed::TooLarge(_))));
    let turned_round =
        Message::Presence(Told { covers: Some((id(7), id(6))), update: Bytes::new() });
    assert!(Envelope::decode(&envelope(turned_round).encode()).is_err());
}

#[test]
fn no_bytes_do_harm() {
    let mut random = StdRng::seed_from_u64(7);
    let samples: Vec<Vec<u8>> =
        samples().into_iter().map(|message| envelope(message).encode()).collect();
    let mut read = 0;
    for _ in 0..200_000 {
        let mut bytes = if random.random_bool(0.2) {
            (0..random.random_range(0..40)).map(|_| random.random()).collect()
        } else {
            samples[random.random_range(0..samples.len())].clone()
        };
        for _ in 0..random.random_range(0..3) {
            if !bytes.is_empty() {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        // What can be read can be written, and is read again as the same.
        if let Ok(Heard::Known(said)) = Envelope::decode(&bytes) {
            read += 1;
            assert_eq!(Envelope::decode(&said.encode()), Ok(Heard::Known(said)));
        }
    }
    assert!(read > 10_000, "only {read} were messages");
}
