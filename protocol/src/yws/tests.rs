use super::*;
use crate::limits::{MAX_INITIAL_SYNC, MAX_MESSAGE};

#[track_caller]
fn check(frame: &[u8], message: Message<'_>) {
    assert_eq!(decode(frame), Ok(message), "decoding {frame:02x?}");
    let encoded = message.encode();
    assert_eq!(encoded, frame, "encoding {message:?}");
    assert_eq!(encoded.capacity(), encoded.len(), "one allocation of the exact size");
}

#[track_caller]
fn refused(frame: &[u8], why: Malformed) {
    assert_eq!(decode(frame), Err(why), "decoding {frame:02x?}");
}

#[test]
fn p11_one_message_a_frame() {
    check(&[0, 0, 1, 0], Message::Sync(Sync::SyncStep1(&[0])));
    check(&[0, 1, 2, 0, 0], Message::Sync(Sync::SyncStep2(&[0, 0])));
    check(&[0, 2, 2, 0, 0], Message::Sync(Sync::Update(&[0, 0])));
    check(&[1, 1, 0], Message::Awareness(&[0]));
    check(&[3], Message::QueryAwareness);
    refused(&[0, 2, 2, 0, 0, 1], Malformed::Trailing(1));
    refused(&[1, 1, 0, 0], Malformed::Trailing(1));
    refused(&[0, 3, 1, 0], Malformed::UnknownTag { what: "sync message type", tag: 3 });
    refused(&[], Malformed::Truncated("message type"));
}

#[test]
fn p40_a_sync_body_has_bytes() {
    refused(&[0, 1, 0], Malformed::Truncated("update"));
    refused(&[0, 2, 0], Malformed::Truncated("update"));
    refused(&[0, 0, 0x80, 0], Malformed::Truncated("state vector"));
}

#[test]
fn p12_what_only_the_server_may_say() {
    let denied = Message::PermissionDenied("no");
    refused(&denied.encode(), Malformed::UnknownTag { what: "message type", tag: 2 });
    assert_eq!(decode_server(&denied.encode()), Ok(denied));
}

#[test]
fn p13_y_sweet_answers_a_query_with_its_number() {
    assert_eq!(decode(&[3, 1, 0]), Ok(Message::Awareness(&[0])));
    refused(&[3, 2, 0], Malformed::Truncated("awareness"));
}

#[test]
fn p14_unfilled_replies_mean_nothing() {
    check(&[0, 0], Message::Padding);
    assert_eq!(decode(&[0; MAX_PADDING]), Ok(Message::Padding));
    refused(&[0], Malformed::Truncated("sync message type"));
    refused(&[0; MAX_PADDING + 1], Malformed::Truncated("state vector"));
    refused(
        &[&[0, 2, 1, 0][..], &[0; MAX_PADDING + 1]].concat(),
        Malformed::Trailing(MAX_PADDING + 1),
    );
    assert_eq!(decode(&[0, 1, 2, 0, 0, 0, 0]), Ok(Message::Sync(Sync::SyncStep2(&[0, 0]))));
    refused(&[0, 0, 1, 2, 1, 0], Malformed::Trailing(2));
}

#[test]
fn p15_private_types_are_let_through() {
    check(&[100, 1, 2, 3], Message::Private { tag: 100, body: &[1, 2, 3] });
    check(&[0xac, 0x02], Message::Private { tag: 300, body: &[] });
    refused(&[99, 0], Malformed::UnknownTag { what: "message type", tag: 99 });
    refused(&[4, 0], Malformed::UnknownTag { what: "message type", tag: 4 });
}

#[test]
fn p16_a_sync_status_comes_back_as_it_is() {
    check(&[0x66, 1, 5], Message::SyncStatus(&[5]));
    let long = Message::SyncStatus(&[0; MAX_SYNC_STATUS + 1]).encode();
    refused(&long, Malformed::TooLarge("sync status"));
}

#[test]
fn p2_padded_numbers_are_read_in_frames() {
    assert_eq!(
        decode(&[0x80, 0, 0x82, 0, 0x82, 0, 0, 0]),
        Ok(Message::Sync(Sync::Update(&[0, 0])))
    );
}

#[test]
fn p41_to_p44_sizes() {
    let longest = vec![7; MAX_MESSAGE];
    let too_long = vec![7; MAX_MESSAGE + 1];
    for fits in [Sync::SyncStep1(&longest), Sync::Update(&longest), Sync::SyncStep2(&too_long)] {
        assert_eq!(decode(&Message::Sync(fits).encode()), Ok(Message::Sync(fits)));
    }
    refused(
        &Message::Sync(Sync::SyncStep1(&too_long)).encode(),
        Malformed::TooLarge("state vector"),
    );
    refused(&Message::Sync(Sync::Update(&too_long)).encode(), Malformed::TooLarge("update"));
    let whole = vec![7; MAX_INITIAL_SYNC + 1];
    refused(&Message::Sync(Sync::SyncStep2(&whole)).encode(), Malformed::TooLarge("initial sync"));
    let crowd = vec![7; MAX_AWARENESS_MESSAGE + 1];
    refused(&Message::Awareness(&crowd).encode(), Malformed::TooLarge("awareness"));
}

#[test]
fn p4_what_ends_early_is_truncated() {
    let state = [3; 200];
    for message in [
        Message::Sync(Sync::Update(&state)),
        Message::Awareness(&state),
        Message::SyncStatus(&state[..9]),
    ] {
        let frame = message.encode();
        for cut in 1..frame.len() {
            assert!(
                matches!(decode(&frame[..cut]), Err(Malformed::Truncated(_))),
                "{message:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn p61_the_keep_alive_is_an_awareness_update_about_nobody() {
    assert_eq!(decode_server(&KEEP_ALIVE), Ok(Message::Awareness(&[0])));
    assert_eq!(crate::presence::decode(&[0]), Ok(vec![]));
}
