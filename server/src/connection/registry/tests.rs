use super::*;
use crate::outbox::{OutboxTail, outbox};
use tokio::time::Instant;

fn open(registry: &Arc<Registry>) -> (Place, OutboxTail) {
    let (outbox, tail) = outbox(None);
    let place = registry.take_place().expect("there is a place");
    place.register(&outbox);
    (place, tail)
}

#[test]
fn a_place_that_is_left_can_be_taken_again() {
    let registry = Registry::new(2);
    let (first, _second) = (open(&registry), open(&registry));
    assert!(registry.take_place().is_none());
    drop(first);
    assert!(registry.take_place().is_some());
}

#[tokio::test(start_paused = true)]
async fn everyone_is_closed_but_not_in_one_instant() {
    let registry = Registry::new(10_000);
    let tails: Vec<_> = (0..1000).map(|_| open(&registry)).collect();
    let start = Instant::now();
    registry.close_all().await;
    assert_eq!(start.elapsed(), Duration::from_millis(1900));
    assert!(tails.iter().all(|(_, tail)| !tail.is_empty()));
    assert!(registry.take_place().is_none(), "nobody new comes in");
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_is_closed_at_once() {
    let registry = Registry::new(1);
    let place = registry.take_place().expect("there is a place");
    registry.close_all().await;
    let (outbox, tail) = outbox(None);
    place.register(&outbox);
    assert!(!tail.is_empty());
}
