use super::*;

#[test]
fn the_interval_follows_the_crowd_and_never_passes_its_bounds() {
    let pace = Pace::document();
    for (peers, interval) in
        [(2, MIN_INTERVAL), (50, 9), (100, 14), (200, 14), (1_000, 36), (100_000, MAX_INTERVAL)]
    {
        assert_eq!(pace.interval_for(peers), interval, "{peers} peers");
    }
    let presence = Pace::presence();
    assert_eq!(presence.interval_for(2), MIN_PRESENCE_INTERVAL);
    assert_eq!(presence.interval_for(1_000), MAX_PRESENCE_INTERVAL);
}

#[test]
fn the_first_change_after_a_quiet_moment_is_due_at_once() {
    let mut pace = Pace::document();
    assert!(pace.due() <= 10);
    pace.sent(10, 2);
    assert_eq!(pace.due(), 10 + MIN_INTERVAL);
    assert!(pace.due() <= 100, "a quiet moment later the next one is due at once");
}

#[test]
fn edits_gather_in_a_crowd_until_shortly_before_the_next_frame() {
    let mut pace = Pace::document();
    assert_eq!(pace.gather_until(10), None, "after a quiet moment nothing waits");
    pace.sent(10, 1_000);
    assert_eq!(pace.gather_until(10), Some(10 + 36 - STORED_AHEAD));
    assert_eq!(pace.gather_until(10 + 36 - STORED_AHEAD), None);
    pace.sent(100, 2);
    assert_eq!(pace.gather_until(100), None, "nor among few");
}
