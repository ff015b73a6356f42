//! When does a reader have something to read?

use super::*;

fn at(position: u64, id: u128) -> Bookmark {
    Bookmark { position: Position(position), id: Some(EntryId(id)) }
}

fn end(latest: Option<Bookmark>, poll: u64, own: &[u128]) -> End {
    End { latest, poll, own: own.iter().map(|id| EntryId(*id)).collect() }
}

#[track_caller]
fn check(end: &End, seen: Bookmark, polls: u64, expected: bool) {
    assert_eq!(
        end.is_elsewhere(seen, polls),
        expected,
        "{end:?} seen {seen:?} after {polls} polls"
    );
}

#[test]
fn what_others_appended_is_news() {
    check(&end(None, 0, &[]), at(3, 3), 0, false);
    check(&end(Some(at(3, 3)), 5, &[]), at(3, 3), 0, false);
    check(&end(Some(at(4, 4)), 0, &[]), at(3, 3), 9, true);
    check(&end(Some(at(4, 4)), 1, &[9]), at(3, 3), 9, true);
    check(&end(Some(at(4, 4)), 1, &[]), Bookmark::at(Position(3)), 9, true);
}

#[test]
fn ones_own_appends_are_not() {
    check(&end(Some(at(4, 4)), 7, &[4]), at(3, 3), 7, false);
    // Unless it is still not known when somebody looks again: a reader that gave it up has to read it like any other.
    check(&end(Some(at(4, 4)), 8, &[4]), at(3, 3), 7, true);
    // Or unless the log went back to one of them.
    check(&end(Some(at(4, 4)), 7, &[4]), at(5, 5), 0, true);
}

#[test]
fn a_log_that_went_back_is_news_when_somebody_looked_since() {
    // What was found before the reader looked proves nothing: it may just be older.
    check(&end(Some(at(3, 3)), 7, &[]), at(5, 5), 7, false);
    check(&end(Some(at(3, 3)), 8, &[]), at(5, 5), 7, true);
    check(&end(Some(at(5, 6)), 7, &[]), at(5, 5), 7, false);
    check(&end(Some(at(5, 6)), 8, &[]), at(5, 5), 7, true);
    // Where it is not known what stands there, anything may.
    check(&end(Some(at(5, 6)), 8, &[]), Bookmark::at(Position(5)), 7, false);
}
