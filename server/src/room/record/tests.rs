use super::*;

#[track_caller]
fn check(record: &Record) {
    let bytes = record.encode();
    assert_eq!(Record::decode(&bytes).as_ref(), Ok(record));
    for cut in 0..bytes.len() {
        assert!(
            Record::decode(&bytes.slice(..cut)).is_err(),
            "cut at {cut} was read as a whole record"
        );
    }
}

#[test]
fn records_round_trip_and_truncation_is_noticed() {
    check(&Record::Void(EditPlace { position: Position(7), index: 2 }));
    check(&Record::Edits { at: 1_700_000_000_000, edits: vec![] });
    check(&Record::Edits {
        at: 1,
        edits: vec![
            Edit {
                principal: "connection-3".into(),
                connection: 3,
                update: Bytes::from_static(&[0, 0]),
            },
            Edit { principal: "".into(), connection: 900_000, update: Bytes::from_static(b"abc") },
        ],
    });
}

#[test]
fn a_later_version_is_refused_and_not_guessed_at() {
    let later = Bytes::from_static(&[2, 0, 0, 0]);
    assert!(matches!(
        Record::decode(&later),
        Err(Malformed::UnknownTag { what: "record version", tag: 2 })
    ));
}
