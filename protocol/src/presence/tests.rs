use super::*;

fn entry(client: u64, clock: u32, state: Option<&str>) -> Entry<'_> {
    Entry { client: ClientId::new(client).expect("53 bits"), clock, state }
}

/// An update of one entry with this text for a state.
fn saying(state: &str) -> Vec<u8> {
    encode(&[entry(1, 1, Some(state))])
}

#[track_caller]
fn check(update: &[u8], entries: &[Entry<'_>]) {
    assert_eq!(decode(update).as_deref(), Ok(entries), "decoding {update:02x?}");
    let encoded = encode(entries);
    assert_eq!(encoded, update);
    assert_eq!(encoded.capacity(), encoded.len(), "one allocation of the exact size");
    for cut in 0..update.len() {
        let cut = &update[..cut];
        assert!(matches!(decode(cut), Err(Malformed::Truncated(_))), "cut to {cut:02x?}");
    }
}

#[track_caller]
fn refused(update: &[u8], why: Malformed) {
    assert_eq!(decode(update), Err(why));
}

#[test]
fn p36_present_and_gone() {
    check(&[0], &[]);
    check(b"\x01\xac\x02\x02\x07{\"a\":1}", &[entry(300, 2, Some("{\"a\":1}"))]);
    check(b"\x01\xac\x02\x03\x04null", &[entry(300, 3, None)]);
    check(b"\x02\x01\x00\x02{}\x02\x05\x04null", &[entry(1, 0, Some("{}")), entry(2, 5, None)]);
    refused(&saying(" null"), Malformed::Rule("an awareness state is not a JSON object"));
}

#[test]
fn p4_trailing_bytes() {
    refused(&[0, 0], Malformed::Trailing(1));
}

#[test]
fn p30_sizes() {
    let longest = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_AWARENESS_STATE - 8));
    assert_eq!(longest.len(), MAX_AWARENESS_STATE);
    assert!(decode(&saying(&longest)).is_ok());
    let longer = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_AWARENESS_STATE - 7));
    refused(&saying(&longer), Malformed::TooLarge("awareness state"));
    refused(&[0; MAX_AWARENESS_MESSAGE + 1], Malformed::TooLarge("awareness"));
}

#[test]
fn p31_a_claimed_count_is_not_believed() {
    refused(&[0x80, 0x80, 0x80, 0x20], Malformed::Truncated("awareness"));
    refused(
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 2, b'{', b'}'],
        Malformed::Truncated("awareness"),
    );
}

#[test]
fn p32_and_p33_numbers() {
    let client = ClientId::new(crate::limits::MAX_CLIENT_ID).expect("53 bits");
    let most = Entry { client, clock: MAX_AWARENESS_CLOCK, state: None };
    assert_eq!(decode(&encode(&[most])), Ok(vec![most]));
    refused(
        &encode(&[Entry { clock: MAX_AWARENESS_CLOCK + 1, ..most }]),
        Malformed::OutOfRange("awareness clock"),
    );
    refused(b"\x01\x01\xff\xff\xff\xff\x1f\x04null", Malformed::OutOfRange("awareness clock"));
    refused(
        b"\x01\x80\x80\x80\x80\x80\x80\x80\x10\x01\x04null",
        Malformed::OutOfRange("client id"),
    );
}

#[test]
fn p34_a_state_is_an_object() {
    for good in
        ["{}", " {} ", "{\"a\":[{\"b\":\"]}\\\"{[\"}]}", "{\"a\":\"\\ud800\"}", "{\"a\":1e999}"]
    {
        assert!(decode(&saying(good)).is_ok(), "{good}");
    }
    for other in ["[]", "12", "\"{\"", "true", "nul", "NULL"] {
        refused(&saying(other), Malformed::Rule("an awareness state is not a JSON object"));
    }
    for broken in
        ["{ ", "{a:1}", "{\"a\":1,}", "{}{}", "{\"a\":\"\n\"}", "{\"a\":NaN}", "{\"a\":]}"]
    {
        refused(&saying(broken), Malformed::Rule("an awareness state is not JSON"));
    }
    refused(b"\x01\x01\x01\x04{\"\xff}", Malformed::NotUtf8("awareness state"));
}

#[test]
fn p34_a_state_is_not_deep() {
    let nested =
        |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(decode(&saying(&nested(MAX_VALUE_DEPTH))).is_ok());
    refused(
        &saying(&nested(MAX_VALUE_DEPTH + 1)),
        Malformed::TooLarge("the depth of an awareness state"),
    );
    let wide = format!("{{\"a\":[{}1]}}", "[],".repeat(500));
    assert!(decode(&saying(&wide)).is_ok(), "width is not depth");
    let quoted = format!("{{\"a\":\"{}\"}}", "[\\\"{".repeat(200));
    assert!(decode(&saying(&quoted)).is_ok(), "brackets in text are text");
}

#[test]
fn p35_a_client_is_named_once() {
    let twice = encode(&[entry(1, 1, Some("{}")), entry(2, 1, None), entry(1, 2, None)]);
    refused(&twice, Malformed::Rule("an awareness update names a client twice"));
}
