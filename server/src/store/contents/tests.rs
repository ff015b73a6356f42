use super::*;
use bytes::Bytes;

/// Snapshots at `s…`, entries at plain numbers.
fn shape(places: &str) -> Result<(u64, u64, u64), String> {
    let records = places.split_whitespace().map(|place| {
        let number = place.trim_start_matches('s').parse().expect("a number");
        RawRecord {
            position: Position(number),
            is_snapshot: place.starts_with('s'),
            id: None,
            bytes: Bytes::new(),
            intact: false,
        }
    });
    let contents = Contents { records: records.collect(), ..Contents::default() };
    let shape = contents.shape().map_err(|error| error.to_string())?;
    Ok((shape.trimmed.0, shape.newest.0, shape.head.0))
}

#[test]
fn s19_records_make_a_log_or_they_do_not() {
    assert_eq!(shape("1 2 3"), Ok((0, 0, 3)));
    assert_eq!(shape("s2 3 4"), Ok((2, 2, 4)));
    assert_eq!(shape("s2 s4 3 4 5"), Ok((2, 4, 5)));
    assert_eq!(shape("s4 2 3 4 5"), Ok((1, 4, 5)), "a tail older than the snapshot may be kept");
    assert_eq!(shape("s4"), Ok((4, 4, 4)));
    for (places, why) in [
        ("", "there are none"),
        ("0 1", "before the first place"),
        ("1 3", "an entry is missing"),
        ("2 1", "an entry is missing"),
        ("3 4", "is in no snapshot"),
        ("s2 4", "is in no snapshot"),
        ("s4 s2 3 4", "out of order"),
        ("s9 1 2", "covers more than there is"),
        ("s0 1", "out of order"),
    ] {
        let refused = shape(places).expect_err(places);
        assert!(refused.contains(why), "{places:?}: {refused}");
    }
}
