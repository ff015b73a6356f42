use super::*;
use crate::edits::{character, client_id};

/// Spans of one writer in the order they come; what is news of it; how many are twice, and how many of ten are missing.
#[track_caller]
fn check(come: &[(Clock, Clock)], news: &[(Clock, Clock)], duplicated: u64, missing: u64) {
    let mut seen = Seen::new(2);
    let mut got = Vec::new();
    for (start, end) in come {
        let span = Span { room: 0, seat: 1, start: *start, end: *end };
        seen.note(&span, |start, end| got.push((start, end)));
    }
    assert_eq!((got.as_slice(), seen.duplicated, seen.missing(1, 10)), (news, duplicated, missing));
    assert_eq!(seen.missing(0, 10), 10, "the other writer is not touched");
}

#[test]
fn in_order() {
    check(&[(0, 4), (4, 10)], &[(0, 4), (4, 10)], 0, 0);
}

#[test]
fn the_end_is_missing() {
    check(&[(0, 4)], &[(0, 4)], 0, 6);
}

#[test]
fn the_middle_is_missing() {
    check(&[(0, 4), (6, 10)], &[(0, 4), (6, 10)], 0, 2);
}

#[test]
fn the_middle_comes_late() {
    check(&[(0, 4), (7, 10), (5, 6), (4, 7)], &[(0, 4), (7, 10), (5, 6), (4, 5), (6, 7)], 1, 0);
}

#[test]
fn twice() {
    check(&[(0, 6), (0, 6), (4, 10)], &[(0, 6), (6, 10)], 8, 0);
}

#[test]
fn a_frame_is_remembered_for_what_it_holds() {
    let mut memo = Memo::default();
    for round in 0..2 {
        for clock in 0..20_000 {
            let mut update = Vec::new();
            character(&mut update, client_id(2, 1), clock, client_id(2, 3), 1);
            let spans = memo.spans(&update).expect("an edit is an update");
            let expected = Span { room: 2, seat: 1, start: clock, end: clock + 1 };
            assert_eq!(*spans, [expected], "round {round}");
        }
    }
    assert!(memo.young.len() + memo.old.len() <= 2 * GENERATION);
}
