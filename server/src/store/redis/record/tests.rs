//! Does a record that is not what was written look like one that is?

use super::*;

fn log() -> LogName {
    LogName::new("note/1").expect("a name")
}

fn stored(position: u64, id: u128, sum: u32, bytes: &[u8]) -> Value {
    let text = |text: String| Value::BulkString(text.into_bytes());
    let bound = (sum ^ position as u32).cast_signed();
    Value::Array(vec![
        text(format!("{position}-0")),
        Value::Array(vec![
            text("i".into()),
            Value::BulkString(id.to_be_bytes().to_vec()),
            text("t".into()),
            text("17".into()),
            text("c".into()),
            text(bound.to_string()),
            text("s".into()),
            text("0".into()),
            text("b".into()),
            Value::BulkString(bytes.to_vec()),
        ]),
    ])
}

#[test]
fn only_what_was_written_where_it_was_written_is_intact() {
    let sum = entry_sum(&log(), EntryId(5), 17, b"abc");
    let take = |value| RawEntry::take(&log(), value).expect("an entry");
    let good = take(stored(3, 5, sum, b"abc"));
    assert!(good.intact);
    assert_eq!((good.position, good.id, &good.bytes[..]), (3, Some(EntryId(5)), &b"abc"[..]));
    assert!(!take(stored(3, 5, sum, b"abd")).intact, "other bytes");
    assert!(!take(stored(3, 6, sum, b"abc")).intact, "another id");
    let elsewhere = LogName::new("note/2").expect("a name");
    assert!(!RawEntry::take(&elsewhere, stored(3, 5, sum, b"abc")).expect("an entry").intact);
    // The same record turns up in another place.
    let Value::Array(mut parts) = stored(3, 5, sum, b"abc") else { unreachable!() };
    parts[0] = Value::BulkString(b"4-0".to_vec());
    assert!(!take(Value::Array(parts)).intact);
}

#[test]
fn the_list_of_snapshots_is_read_as_the_script_writes_it() {
    let last = EntryId(0xab);
    let list = format!("20 1f 5 77 {}\n10 2e 0 4294967295 -\nnonsense\n", id_text(Some(last)));
    let found = generations(&list);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].covers, found[0].last), (Position(20), Some(last)));
    assert_eq!((found[1].object.as_str(), found[1].length, found[1].sum), ("2e", 0, u32::MAX));
    assert_eq!(found[1].last, None);
}
