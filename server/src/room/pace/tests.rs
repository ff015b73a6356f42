use super::*;

#[test]
fn the_interval_follows_the_crowd_and_never_passes_its_bounds() {
    let pace = Pace::document();
    assert_eq!(pace.interval(2), MIN_INTERVAL);
    assert_eq!(pace.interval(200), 14);
    assert_eq!(pace.interval(1_000), MAX_INTERVAL);
    assert_eq!(pace.interval(100_000), MAX_INTERVAL);
    let presence = Pace::presence();
    assert_eq!(presence.interval(2), MIN_PRESENCE_INTERVAL);
    assert_eq!(presence.interval(1_000), MAX_PRESENCE_INTERVAL);
}

#[test]
fn the_first_change_after_a_quiet_moment_is_due_at_once() {
    let mut pace = Pace::document();
    assert!(pace.due() <= 10);
    pace.sent(10, 2);
    assert_eq!(pace.due(), 10 + MIN_INTERVAL);
    assert!(pace.due() <= 100, "a quiet moment later the next one is due at once");
}
