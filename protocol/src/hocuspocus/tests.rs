use super::*;
use crate::limits::{MAX_INITIAL_SYNC, MAX_MESSAGE};

const DOC: Address<'static> = Address { raw: b"doc", document: "doc", session: None };

/// A frame for `doc`.
fn frame(rest: &[u8]) -> Vec<u8> {
    [b"\x03doc", rest].concat()
}

#[track_caller]
fn client_sends(rest: &[u8], message: Message<'_>) {
    let bytes = frame(rest);
    assert_eq!(decode_client(&bytes), Ok(Frame::Document(DOC, message)), "decoding {bytes:02x?}");
    encodes(&bytes, message);
}

#[track_caller]
fn server_sends(rest: &[u8], message: Message<'_>) {
    let bytes = frame(rest);
    assert_eq!(decode_server(&bytes), Ok(Frame::Document(DOC, message)), "decoding {bytes:02x?}");
    encodes(&bytes, message);
}

#[track_caller]
fn encodes(bytes: &[u8], message: Message<'_>) {
    let encoded = encode(b"doc", &message);
    assert_eq!(encoded, bytes, "encoding {message:?}");
    assert_eq!(encoded.capacity(), encoded.len(), "one allocation of the exact size");
}

#[track_caller]
fn document_refuses(rest: &[u8], why: Malformed) {
    let bytes = frame(rest);
    assert_eq!(
        decode_client(&bytes),
        Err(Refused { address: Some(DOC), why }),
        "decoding {bytes:02x?}"
    );
}

#[track_caller]
fn socket_refuses(bytes: &[u8], why: Malformed) {
    assert_eq!(decode_client(bytes), Err(Refused { address: None, why }), "decoding {bytes:02x?}");
}

#[test]
fn what_both_sides_say() {
    for both in [client_sends, server_sends] {
        both(&[0, 0, 1, 0], Message::Sync(Sync::SyncStep1(&[0])));
        both(&[0, 1, 2, 0, 0], Message::Sync(Sync::SyncStep2(&[0, 0])));
        both(&[0, 2, 2, 0, 0], Message::Sync(Sync::Update(&[0, 0])));
        both(&[1, 1, 0], Message::Awareness(&[0]));
        both(&[3], Message::QueryAwareness);
        both(b"\x05\x02hi", Message::Stateless("hi"));
    }
}

#[test]
fn p20_to_p22_addresses() {
    let parsed = Address::parse(b"a/b\0s1").expect("a session address");
    assert_eq!((parsed.document, parsed.session), ("a/b", Some("s1")));
    assert_eq!(Address::parse("Grüße".as_bytes()).expect("UTF-8").document, "Grüße");

    let rule = Malformed::Rule;
    let longest = [b"n".repeat(MAX_DOCUMENT_NAME), vec![0], b"s".repeat(MAX_SESSION_ID)].concat();
    assert!(Address::parse(&longest).is_ok());
    for (raw, why) in [
        (&b""[..], rule("an address has an empty part")),
        (b"\0", rule("an address has an empty part")),
        (b"\0s", rule("an address has an empty part")),
        (b"doc\0", rule("an address has an empty part")),
        (b"doc\0s\0t", rule("an address contains control characters")),
        (b"a\nb", rule("an address contains control characters")),
        ("a\u{85}b".as_bytes(), rule("an address contains control characters")),
        (b"doc\0\x1b", rule("an address contains control characters")),
        (b"\xff", Malformed::NotUtf8("address")),
        (&b"n".repeat(MAX_DOCUMENT_NAME + 1), Malformed::TooLarge("address")),
        (&[b"n\0", &b"s".repeat(MAX_SESSION_ID + 1)[..]].concat(), Malformed::TooLarge("address")),
        (&[&longest[..], b"s"].concat(), Malformed::TooLarge("address")),
    ] {
        assert_eq!(Address::parse(raw), Err(why), "{raw:02x?}");
        socket_refuses(&[&encode(raw, &Message::QueryAwareness)[..]].concat(), why);
    }
}

#[test]
fn p23_an_answer_bears_the_address_as_it_was_written() {
    let asked = encode(b"doc\0abc", &Message::QueryAwareness);
    let Ok(Frame::Document(address, _)) = decode_client(&asked) else {
        panic!("a session client is heard")
    };
    assert_eq!(encode(address.raw, &Message::SyncStatus(true)), b"\x07doc\0abc\x08\x01");
}

#[test]
fn p24_a_refusal_reaches_no_further_than_it_must() {
    document_refuses(&[0, 3, 0], Malformed::UnknownTag { what: "sync message type", tag: 3 });
    document_refuses(&[0, 2, 2, 0], Malformed::Truncated("update"));
    document_refuses(&[3, 0], Malformed::Trailing(1));
    document_refuses(&[], Malformed::Truncated("message type"));
    document_refuses(&[11], Malformed::UnknownTag { what: "message type", tag: 11 });
    socket_refuses(&[], Malformed::Truncated("address"));
    socket_refuses(b"\x04doc", Malformed::Truncated("address"));
    socket_refuses(&[9, 9], Malformed::Truncated("address"));
}

#[test]
fn p25_what_clients_may_not_say() {
    for tag in [4, 6, 8] {
        document_refuses(
            &[u8::try_from(tag).expect("small"), 1, 0],
            Malformed::UnknownTag { what: "message type", tag },
        );
    }
    for tag in [1, 2] {
        let rest = [2, u8::try_from(tag).expect("small"), 0];
        document_refuses(&rest, Malformed::UnknownTag { what: "auth message type", tag });
    }
}

#[test]
fn p26_tokens() {
    client_sends(b"\x02\x00\x03tok", Message::Token { token: "tok", version: None });
    client_sends(
        b"\x02\x00\x03tok\x054.8.0",
        Message::Token { token: "tok", version: Some("4.8.0") },
    );
    client_sends(b"\x02\x00\x00", Message::Token { token: "", version: None });
    document_refuses(b"\x02\x00\x03tok\x05", Malformed::Truncated("client version"));
    document_refuses(b"\x02\x00\x03tok\x00\x00", Malformed::Trailing(1));
    let token = "t".repeat(MAX_TOKEN + 1);
    let version = "v".repeat(MAX_CLIENT_VERSION + 1);
    let long = encode(b"doc", &Message::Token { token: &token, version: None });
    document_refuses(&long[4..], Malformed::TooLarge("token"));
    let long = encode(b"doc", &Message::Token { token: "", version: Some(&version) });
    document_refuses(&long[4..], Malformed::TooLarge("client version"));
    server_sends(&[2, 0], Message::TokenRequest);
    server_sends(b"\x02\x01\x02no", Message::PermissionDenied { reason: "no" });
    server_sends(b"\x02\x02\x0aread-write", Message::Authenticated { scope: Scope::ReadWrite });
    server_sends(b"\x02\x02\x08readonly", Message::Authenticated { scope: Scope::ReadOnly });
}

#[test]
fn p27_ping_and_pong_have_no_address() {
    for decode in [decode_client, decode_server] {
        assert_eq!(decode(&PING_FRAME), Ok(Frame::Ping));
        assert_eq!(decode(&PONG_FRAME), Ok(Frame::Pong));
    }
    document_refuses(&PING_FRAME, Malformed::UnknownTag { what: "message type", tag: 9 });
    document_refuses(&PONG_FRAME, Malformed::UnknownTag { what: "message type", tag: 10 });
}

#[test]
fn p28_leaving_and_being_sent_away() {
    client_sends(&[7], Message::Close { reason: None });
    client_sends(b"\x07\x03bye", Message::Close { reason: Some("bye") });
    server_sends(b"\x07\x03bye", Message::Close { reason: Some("bye") });
}

#[test]
fn p41_to_p45_sizes() {
    let too_long = vec![7; MAX_MESSAGE + 1];
    let step_2 = encode(b"doc", &Message::Sync(Sync::SyncStep2(&too_long)));
    assert!(decode_client(&step_2).is_ok());
    let whole = vec![7; MAX_INITIAL_SYNC + 1];
    let crowd = vec![7; MAX_AWARENESS_MESSAGE + 1];
    let text = "t".repeat(MAX_STATELESS + 1);
    for (message, what) in [
        (Message::Sync(Sync::SyncStep1(&too_long)), "state vector"),
        (Message::Sync(Sync::Update(&too_long)), "update"),
        (Message::Sync(Sync::SyncStep2(&whole)), "initial sync"),
        (Message::Awareness(&crowd), "awareness"),
        (Message::Stateless(&text), "stateless message"),
        (Message::Close { reason: Some(&text) }, "reason"),
    ] {
        document_refuses(&encode(b"doc", &message)[4..], Malformed::TooLarge(what));
    }
}

#[test]
fn p50_a_status_is_one_frame() {
    server_sends(&[8, 1], Message::SyncStatus(true));
    server_sends(&[8, 0], Message::SyncStatus(false));
}

#[test]
fn p60_the_keep_alive_is_for_clients_only() {
    assert_eq!(decode_server(&KEEP_ALIVE), Ok(Frame::KeepAlive));
    socket_refuses(&KEEP_ALIVE, Malformed::Rule("an address has an empty part"));
}

#[test]
fn a_refusal_says_who_and_why() {
    let bytes = frame(&[6, 0]);
    let refused = decode_client(&bytes).expect_err("clients may not broadcast");
    assert_eq!(refused.to_string(), "a message for \"doc\" is refused");
    let why = std::error::Error::source(&refused).expect("the cause");
    assert_eq!(why.to_string(), "message type 6 is not known here");
}
