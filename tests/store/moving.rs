//! The clauses about logs that move from store to store.

use crate::bench::Bench;
use bytes::Bytes;
use commonplace::store::{
    Bookmark, Contents, EntryId, Page, Position, RawRecord, Snapshot, Store, StoreError,
};
use commonplace_tests::logs::{all, name, put};

/// Everything a store tells of a log.
pub(crate) async fn contents(store: &dyn Store, log: &str) -> Contents {
    let log = name(log);
    let info = store.list(log.as_str(), None, 1).await.unwrap().remove(0);
    assert_eq!(info.name, log);
    Contents {
        records: store.read_raw(&log).await.unwrap(),
        changed_at: info.changed_at,
        quarantined: info.quarantined,
    }
}

/// A log with two generations of snapshots and a tail.
async fn rich(store: &dyn Store, log: &str) -> Contents {
    let log_name = name(log);
    for n in 1..=12_u128 {
        let id = EntryId((7 << 64) | n);
        store.append(&log_name, None, id, Bytes::from(vec![n as u8; 100])).await.unwrap();
    }
    for covers in [5, 9] {
        let bytes = Bytes::from(format!("state at {covers}"));
        let last = Some(EntryId((7 << 64) | u128::from(covers)));
        store.compact(&log_name, Snapshot { covers: Position(covers), last, bytes }).await.unwrap();
    }
    contents(store, log).await
}

fn without_ids(contents: &Contents) -> Contents {
    let mut contents = contents.clone();
    contents.records.iter_mut().for_each(|record| record.id = None);
    contents
}

pub(crate) async fn s19_a_log_moves_whole(bench: &dyn Bench) {
    let store = bench.store();
    let original = rich(&*store, "a").await;
    store.import(&name("b"), original.clone()).await.unwrap();
    let moved = contents(&*store, "b").await;
    assert_eq!(without_ids(&moved), without_ids(&original));
    let entries = |contents: &Contents| -> Vec<Option<EntryId>> {
        contents.entries().map(|entry| entry.id).collect()
    };
    assert!(entries(&original).iter().all(Option::is_some));
    assert_eq!(entries(&moved), entries(&original));
    // It is read, continued, compacted and deleted like any other.
    let (from, to) = (all(&*store, &name("a"), 0).await, all(&*store, &name("b"), 0).await);
    assert_eq!(from, to);
    let page = store.read(&name("b"), Bookmark::START).await.unwrap();
    assert_eq!(page.snapshot.unwrap().bytes, "state at 9");
    assert_eq!(put(&*store, &name("b"), "13").await, Position(13));
    let again = store.append(&name("b"), None, EntryId((7 << 64) | 12), "12".into()).await;
    assert_eq!(again, Ok(Position(12)), "S4 holds for what was moved");
    let snapshot = Snapshot { covers: Position(13), last: None, bytes: "state at 13".into() };
    store.compact(&name("b"), snapshot).await.unwrap();
    let stale = Snapshot { covers: Position(8), last: None, bytes: "late".into() };
    assert_eq!(
        store.compact(&name("b"), stale).await,
        Err(StoreError::Stale { newest: Position(13) })
    );
    let found = store.list("", None, 9).await.unwrap();
    assert_eq!(found.iter().map(|info| info.head.0).collect::<Vec<_>>(), [12, 13]);
    drop(store);
    let store = bench.restarted();
    assert_eq!(all(&*store, &name("b"), 12).await, [(13, b"13".to_vec())]);
    store.delete(&name("b")).await.unwrap();
    assert_eq!(store.read(&name("b"), Bookmark::START).await, Ok(Page::default()));
}

pub(crate) async fn s19_only_a_whole_log_and_only_where_none_is(bench: &dyn Bench) {
    let store = bench.store();
    let original = rich(&*store, "a").await;
    put(&*store, &name("b"), "there").await;
    assert_eq!(
        store.import(&name("b"), original.clone()).await,
        Err(StoreError::Conflict { head: Position(1) })
    );
    let mut hole = original.clone();
    hole.records.remove(hole.records.len() - 2);
    let mut unordered = original.clone();
    unordered.records.swap(0, 1);
    for bad in [hole, unordered, Contents::default()] {
        let refused = store.import(&name("c"), bad).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    }
    assert_eq!(all(&*store, &name("b"), 0).await, [(1, b"there".to_vec())]);
    let found = store.list("", None, 9).await.unwrap();
    assert_eq!(found.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

pub(crate) async fn s19_damage_and_marks_move_too(bench: &dyn Bench) {
    let store = bench.store();
    let original = rich(&*store, "a").await;
    bench.damage_entry(&name("a"), 11);
    bench.damage_snapshot(&name("a"), 9);
    let mut hurt = contents(&*store, "a").await;
    assert_eq!(hurt.records.iter().filter(|record| !record.intact).count(), 2);
    store.import(&name("b"), hurt.clone()).await.unwrap();
    assert_eq!(without_ids(&contents(&*store, "b").await), without_ids(&hurt));
    let met = store.read(&name("b"), Bookmark::START).await;
    assert!(matches!(met, Err(StoreError::Corrupt(_))), "{met:?}");
    hurt = Contents { quarantined: Some("by hand".into()), ..original };
    store.import(&name("c"), hurt.clone()).await.unwrap();
    assert_eq!(
        store.read(&name("c"), Bookmark::START).await,
        Err(StoreError::Quarantined("by hand".into()))
    );
    assert_eq!(without_ids(&contents(&*store, "c").await), without_ids(&hurt));
    store.release(&name("c")).await.unwrap();
    assert_eq!(all(&*store, &name("c"), 0).await.len(), 3);
}

pub(crate) async fn s19_large_and_lean_logs_move(bench: &dyn Bench) {
    let store = bench.store();
    let entry = |position, size: usize| RawRecord {
        position: Position(position),
        is_snapshot: false,
        id: None,
        bytes: Bytes::from(vec![position as u8; size]),
        intact: true,
    };
    let snapshot = |covers, size| RawRecord { is_snapshot: true, ..entry(covers, size) };
    for (log, records) in [
        (
            "large",
            vec![snapshot(2, 3_000_000), entry(3, 2_000_000), entry(4, 0), entry(5, 7_000_000)],
        ),
        ("only a snapshot", vec![snapshot(900, 10)]),
        ("older tail", vec![snapshot(4, 1), entry(2, 1), entry(3, 1), entry(4, 1), entry(5, 1)]),
    ] {
        let contents = Contents { records, changed_at: 1_700_000_000_000, quarantined: None };
        store.import(&name(log), contents.clone()).await.unwrap();
        let moved = self::contents(&*store, log).await;
        assert_eq!(without_ids(&moved), contents, "{log}");
        let head = contents.records.iter().map(|record| record.position).max().unwrap();
        assert_eq!(put(&*store, &name(log), "next").await, head.next());
        assert_eq!(all(&*store, &name(log), head.0).await.len(), 1);
    }
}

pub(crate) async fn s20_blobs_are_listed(bench: &dyn Bench) {
    let store = bench.store();
    assert_eq!(store.list_blobs(None, 9).await, Ok(Vec::new()));
    let mut names = ["b/2", "b/10", "B", "é", "a"];
    for blob in names {
        store.put_blob(&name(blob), "x".into()).await.unwrap();
    }
    put(&*store, &name("log"), "no blob").await;
    names.sort_unstable();
    let expected: Vec<_> = names.iter().map(|text| name(text)).collect();
    assert_eq!(store.list_blobs(None, 9).await.unwrap(), expected);
    let mut paged = Vec::new();
    loop {
        let page = store.list_blobs(paged.last(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, expected);
    store.delete_blob(&name("b/10")).await.unwrap();
    assert_eq!(store.list_blobs(None, 9).await.unwrap().len(), 4);
}
