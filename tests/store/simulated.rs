//! What the simulated store alone can do: go back in time, lose what was not synced, and fail as asked.

use crate::bench::SimBench;
use bytes::Bytes;
use commonplace::store::sim::SimStore;
use commonplace::store::{Bookmark, EntryId, Expect, Page, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{fresh, name, put};
use std::sync::Arc;

#[tokio::test]
async fn s16_follow_hears_other_instances() {
    let one = Arc::new(SimStore::new(1));
    let two = one.another_instance();
    let log = name("a");
    put(&*one, &log, "own").await;
    let seen = end(&one.read(&log, Bookmark::START).await.unwrap());
    let follower = {
        let one = Arc::clone(&one);
        let log = log.clone();
        async move { one.follow(&log, seen).await }
    };
    let mut follower = std::pin::pin!(follower);
    assert!(futures_util::poll!(&mut follower).is_pending(), "one's own appends are no news");
    put(&two, &name("other"), "x").await;
    assert!(futures_util::poll!(&mut follower).is_pending());
    put(&two, &log, "news").await;
    follower.await;
    // A hint that comes while nobody listens is not lost.
    let seen = end(&one.read(&log, Bookmark::START).await.unwrap());
    put(&two, &log, "more news").await;
    one.follow(&log, seen).await;
}

/// The place after a page.
fn end(page: &Page) -> Bookmark {
    let snapshot = page.snapshot.as_ref();
    let from = snapshot.map(|kept| Bookmark { position: kept.covers, id: kept.last });
    let last = page.entries.last();
    last.map(|entry| Bookmark { position: entry.position, id: entry.id })
        .or(from)
        .unwrap_or_default()
}

#[tokio::test]
async fn s18_a_log_that_went_back_is_noticed() {
    let store = SimStore::new(1);
    let log = name("a");
    for text in ["1", "2", "3"] {
        put(&store, &log, text).await;
    }
    let page = store.read(&log, Bookmark::START).await.unwrap();
    let (second, third) = (
        Bookmark { position: Position(2), id: page.entries[1].id },
        Bookmark { position: Position(3), id: page.entries[2].id },
    );
    store.disk().rewind_now(&log, Position(2));
    let rewound = Err(StoreError::Rewound { head: Position(2) });
    assert_eq!(store.read(&log, third).await, rewound.clone().map(|()| Page::default()));
    let append = |seen, text: &'static str| {
        store.append(&log, Some(Expect::Seen(seen)), fresh(), text.into())
    };
    assert_eq!(append(third, "4").await, rewound.map(|()| Position::START));
    assert_eq!(append(second, "another 3").await, Ok(Position(3)));
    // Now there is an entry in that place, and it is another one.
    let rewound = Err(StoreError::Rewound { head: Position(3) });
    assert_eq!(append(third, "4").await, rewound.clone().map(|()| Position::START));
    assert_eq!(store.read(&log, third).await, rewound.clone().map(|()| Page::default()));
    let of_the_past = Snapshot { covers: Position(3), last: third.id, bytes: "old".into() };
    assert_eq!(store.compact(&log, of_the_past).await, rewound);
    let mut follower = std::pin::pin!(store.follow(&log, third));
    assert!(futures_util::poll!(&mut follower).is_ready());
    // Others' appends are no reason to worry.
    let seen = end(&store.read(&log, second).await.unwrap());
    put(&store, &log, "4").await;
    assert_eq!(append(seen, "5").await, Ok(Position(5)));
}

#[test]
fn crashes_of_the_simulated_disk_keep_what_was_synced() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..300 {
        let bench = SimBench::new();
        let log = name("a");
        let mut disk = commonplace::store::sim::SimDisk::new(seed);
        let put = |disk: &mut commonplace::store::sim::SimDisk, n: u64| {
            let bytes = Bytes::from(format!("entry {n}"));
            disk.append_now(&log, None, EntryId(u128::from(n)), bytes).unwrap();
        };
        (1..=5).for_each(|n| put(&mut disk, n));
        disk.sync_now().unwrap();
        (6..=10).for_each(|n| put(&mut disk, n));
        assert_eq!(disk.unsynced(), 5);
        let gone = disk.crash() as u64;
        (lost, kept) = (lost + gone, kept + 5 - gone);
        let page = disk.read_now(&log, Bookmark::START).unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.bytes.clone()).collect();
        let whole: Vec<_> = (1..=10 - gone).map(|n| Bytes::from(format!("entry {n}"))).collect();
        assert_eq!(found, whole, "seed {seed}");
        // Retries of what was lost are written, retries of what survived are not.
        (6..=10).for_each(|n| put(&mut disk, n));
        assert_eq!(disk.head_now(&log).position, Position(10), "seed {seed}");
        drop(bench);
    }
    assert!(lost > 300 && kept > 300, "crashes lose some and keep some: {lost} {kept}");
}

#[test]
fn the_simulated_disk_fails_as_asked() {
    use commonplace::store::sim::SimDisk;
    let log = name("a");
    let mut disk = SimDisk::new(1);
    let put = |disk: &mut SimDisk| disk.append_now(&log, None, fresh(), "x".into());
    disk.faults.fail_next = Some(StoreError::Unknown);
    assert_eq!(put(&mut disk), Err(StoreError::Unknown));
    assert_eq!(put(&mut disk), Ok(Position(1)));
    disk.faults.full = true;
    assert_eq!(put(&mut disk), Err(StoreError::Full));
    assert_eq!(disk.read_now(&log, Bookmark::START).unwrap().entries.len(), 1);
    disk.faults.full = false;
    disk.faults.fail_at = Some(disk.calls() + 2);
    assert_eq!(put(&mut disk), Ok(Position(2)));
    assert!(matches!(put(&mut disk), Err(StoreError::Away(_))));
    for wrote in [false, true] {
        disk.faults.unknown_next = Some(wrote);
        let before = disk.head_now(&log).position;
        assert_eq!(put(&mut disk), Err(StoreError::Unknown));
        assert_eq!(disk.head_now(&log).position > before, wrote);
    }
    disk.faults.sync_fails = true;
    assert_eq!(disk.sync_now(), Err(StoreError::Unknown));
    disk.faults.sync_fails = false;
    disk.sync_now().unwrap();
    assert_eq!(disk.step_back(&log, 2), 2);
    assert_eq!(disk.head_now(&log).position, Position(1));
    disk.faults.away = true;
    assert!(matches!(disk.read_now(&log, Bookmark::START), Err(StoreError::Away(_))));
}
