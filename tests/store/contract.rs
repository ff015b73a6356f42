//! The clauses of the contract, each as something a store can fail.

use crate::bench::Bench;
use bytes::Bytes;
use commonplace::store::{
    Bookmark, EntryId, Expect, KEPT_SNAPSHOTS, MAX_ENTRY, Page, Position, READ_PAGE_BYTES,
    REMEMBERED_IDS, Snapshot, Store, StoreError,
};
use commonplace_tests::logs::{all, fresh, name, put};
use std::sync::Arc;

pub(crate) use crate::moving::*;

fn snapshot(covers: u64, bytes: &'static str) -> Snapshot {
    Snapshot { covers: Position(covers), last: None, bytes: Bytes::from_static(bytes.as_bytes()) }
}

/// Entries "1", "2" … up to `count`.
async fn numbered(store: &dyn Store, log: &str, count: u64) {
    for n in 1..=count {
        assert_eq!(put(store, &name(log), n.to_string()).await, Position(n));
    }
}

fn expected(from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    (from..=to).map(|n| (n, n.to_string().into_bytes())).collect()
}

pub(crate) async fn s1_an_acknowledged_entry_is_durable(bench: &dyn Bench) {
    let store = bench.store();
    numbered(&*store, "a", 5).await;
    drop(store);
    let store = bench.restarted();
    assert_eq!(all(&*store, &name("a"), 0).await, expected(1, 5));
    assert_eq!(put(&*store, &name("a"), "6").await, Position(6));
}

pub(crate) async fn s2_positions_are_dense(bench: &dyn Bench) {
    let store = bench.store();
    numbered(&*store, "a", 20).await;
    numbered(&*store, "b", 3).await;
    let refused =
        store.append(&name("a"), Some(Expect::Head(Position(3))), fresh(), Bytes::new()).await;
    assert_eq!(refused, Err(StoreError::Conflict { head: Position(20) }));
    assert_eq!(put(&*store, &name("a"), "21").await, Position(21));
    assert_eq!(all(&*store, &name("a"), 0).await, expected(1, 21));
}

pub(crate) async fn s3_expected_must_be_the_head(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("ledger");
    let append = async |at, text: &'static str| {
        store.append(&log, Some(Expect::Head(Position(at))), fresh(), text.into()).await
    };
    assert_eq!(append(1, "too far").await, Err(StoreError::Conflict { head: Position(0) }));
    assert_eq!(append(0, "1").await, Ok(Position(1)));
    assert_eq!(append(0, "late").await, Err(StoreError::Conflict { head: Position(1) }));
    assert_eq!(append(1, "2").await, Ok(Position(2)));
    assert_eq!(all(&*store, &log, 0).await, expected(1, 2));
    // Of many who decide on the same state exactly one is right.
    let racers =
        (0..16).map(|_| store.append(&log, Some(Expect::Head(Position(2))), fresh(), "3".into()));
    let results = futures_util::future::join_all(racers).await;
    assert_eq!(results.iter().filter(|result| **result == Ok(Position(3))).count(), 1);
    assert_eq!(
        results
            .iter()
            .filter(|result| **result == Err(StoreError::Conflict { head: Position(3) }))
            .count(),
        15
    );
    assert_eq!(all(&*store, &log, 0).await, expected(1, 3));
}

pub(crate) async fn s4_a_repeated_append_is_written_once(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    let id = EntryId(42);
    assert_eq!(store.append(&log, None, id, "1".into()).await, Ok(Position(1)));
    assert_eq!(store.append(&log, None, id, "1".into()).await, Ok(Position(1)));
    numbered_after(&*store, "a", 2, 30).await;
    assert_eq!(store.append(&log, None, id, "1".into()).await, Ok(Position(1)));
    // The retry of a conditional append finds its first success, not a conflict with itself.
    let id = EntryId(43);
    assert_eq!(
        store.append(&log, Some(Expect::Head(Position(30))), id, "31".into()).await,
        Ok(Position(31))
    );
    assert_eq!(
        store.append(&log, Some(Expect::Head(Position(30))), id, "31".into()).await,
        Ok(Position(31))
    );
    // Ids belong to a log.
    assert_eq!(store.append(&name("b"), None, id, "1".into()).await, Ok(Position(1)));
    // Two attempts at once.
    let both = futures_util::future::join_all(
        (0..8).map(|_| store.append(&log, None, EntryId(44), "32".into())),
    )
    .await;
    assert!(both.iter().all(|result| *result == Ok(Position(32))));
    drop(store);
    let store = bench.restarted();
    assert_eq!(store.append(&log, None, EntryId(44), "32".into()).await, Ok(Position(32)));
    assert_eq!(all(&*store, &log, 0).await, expected(1, 32));
}

async fn numbered_after(store: &dyn Store, log: &str, from: u64, to: u64) {
    for n in from..=to {
        assert_eq!(put(store, &name(log), n.to_string()).await, Position(n));
    }
}

pub(crate) async fn s4_ids_are_remembered_across_compaction(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    let id = EntryId(1);
    store.append(&log, None, id, "1".into()).await.unwrap();
    let mut head = 1;
    for _ in 0..=KEPT_SNAPSHOTS {
        numbered_after(&*store, "a", head + 1, head + 100).await;
        head += 100;
        store
            .compact(&log, Snapshot { covers: Position(head), last: None, bytes: "state".into() })
            .await
            .unwrap();
    }
    assert!(head < REMEMBERED_IDS as u64);
    assert!(
        store.read(&log, Bookmark::START).await.unwrap().snapshot.is_some(),
        "entry 1 itself is gone"
    );
    assert_eq!(store.append(&log, None, id, "1".into()).await, Ok(Position(1)));
}

pub(crate) async fn s5_a_refusal_writes_nothing(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    let large = Bytes::from(vec![0; MAX_ENTRY + 1]);
    assert_eq!(
        store.append(&log, None, fresh(), large).await,
        Err(StoreError::TooLarge(MAX_ENTRY + 1))
    );
    assert!(
        store.append(&log, Some(Expect::Head(Position(9))), fresh(), "x".into()).await.is_err()
    );
    assert_eq!(store.read(&log, Bookmark::START).await, Ok(Page::default()));
    assert_eq!(store.list("", None, 10).await, Ok(Vec::new()));
    store.quarantine(&log, "why").await.unwrap();
    assert!(store.append(&log, None, EntryId(5), "x".into()).await.is_err());
    store.release(&log).await.unwrap();
    // A refused id is not a used one.
    assert_eq!(store.append(&log, None, EntryId(5), "1".into()).await, Ok(Position(1)));
    assert_eq!(all(&*store, &log, 0).await, expected(1, 1));
}

pub(crate) async fn s6_reads_have_no_holes(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    assert_eq!(store.read(&log, Bookmark::START).await, Ok(Page::default()));
    numbered(&*store, "a", 10).await;
    for after in 0..=10 {
        let page = store.read(&log, Bookmark::at(Position(after))).await.unwrap();
        assert_eq!((page.snapshot, page.more), (None, false));
        assert_eq!(all(&*store, &log, after).await, expected(after + 1, 10));
    }
    assert_eq!(store.read(&log, Bookmark::at(Position(99))).await, Ok(Page::default()));
}

pub(crate) async fn s6_a_trimmed_reader_gets_the_snapshot(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 10).await;
    store.compact(&log, snapshot(6, "one to six")).await.unwrap();
    for after in 0..=5 {
        let page = store.read(&log, Bookmark::at(Position(after))).await.unwrap();
        assert_eq!(page.snapshot, Some(snapshot(6, "one to six")), "after {after}");
        assert_eq!(all(&*store, &log, after).await, expected(7, 10));
    }
    for after in 6..=10 {
        assert_eq!(
            store.read(&log, Bookmark::at(Position(after))).await.unwrap().snapshot,
            None,
            "after {after}"
        );
        assert_eq!(all(&*store, &log, after).await, expected(after + 1, 10));
    }
    // The second snapshot trims nothing yet (S9): who is past the first goes on with entries, who is before it gets the newest.
    store.compact(&log, snapshot(9, "one to nine")).await.unwrap();
    assert_eq!(store.read(&log, Bookmark::at(Position(6))).await.unwrap().snapshot, None);
    assert_eq!(all(&*store, &log, 6).await, expected(7, 10));
    assert_eq!(
        store.read(&log, Bookmark::at(Position(0))).await.unwrap().snapshot,
        Some(snapshot(9, "one to nine"))
    );
    assert_eq!(all(&*store, &log, 0).await, expected(10, 10));
}

pub(crate) async fn s7_pages_are_bounded(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    let sizes = [READ_PAGE_BYTES / 2, READ_PAGE_BYTES / 2, 1, READ_PAGE_BYTES + 1, 0, 10];
    for size in sizes {
        put(&*store, &log, vec![1; size]).await;
    }
    let mut after = Position::START;
    let mut pages = Vec::new();
    loop {
        let page = store.read(&log, Bookmark::at(after)).await.unwrap();
        assert!(
            page.entries.len() == 1
                || page.entries.iter().map(|e| e.bytes.len()).sum::<usize>() <= READ_PAGE_BYTES
        );
        after = page.entries.last().unwrap().position;
        pages.push(page.entries.iter().map(|entry| entry.bytes.len()).collect::<Vec<_>>());
        if !page.more {
            break;
        }
    }
    assert_eq!(pages.concat(), sizes);
    assert_eq!(pages.len(), 4);
}

pub(crate) async fn s8_compaction_is_fenced(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    let refused = store.compact(&log, snapshot(1, "x")).await;
    assert_eq!(refused, Err(StoreError::Ahead { head: Position(0) }));
    numbered(&*store, "a", 10).await;
    assert_eq!(
        store.compact(&log, snapshot(11, "x")).await,
        Err(StoreError::Ahead { head: Position(10) })
    );
    assert_eq!(
        store.compact(&log, snapshot(0, "x")).await,
        Err(StoreError::Stale { newest: Position(0) })
    );
    store.compact(&log, snapshot(8, "eight")).await.unwrap();
    assert_eq!(
        store.compact(&log, snapshot(7, "late")).await,
        Err(StoreError::Stale { newest: Position(8) })
    );
    let page = store.read(&log, Bookmark::START).await.unwrap();
    assert_eq!(page.snapshot, Some(snapshot(8, "eight")));
    assert_eq!(all(&*store, &log, 0).await, expected(9, 10));
    // Many at once: whoever wins, the newest stays and nothing is lost.
    let racers = (8..=10).rev().map(|covers| {
        let store = &store;
        let bytes = Bytes::from(covers.to_string());
        let log = log.clone();
        async move {
            store.compact(&log, Snapshot { covers: Position(covers), last: None, bytes }).await
        }
    });
    for result in futures_util::future::join_all(racers).await {
        assert!(matches!(result, Ok(()) | Err(StoreError::Stale { .. })), "{result:?}");
    }
    assert_eq!(store.read(&log, Bookmark::START).await.unwrap().snapshot, Some(snapshot(10, "10")));
    // Large snapshots come back as they were.
    let large = Bytes::from((0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    put(&*store, &log, "11").await;
    store
        .compact(&log, Snapshot { covers: Position(11), last: None, bytes: large.clone() })
        .await
        .unwrap();
    assert_eq!(store.read(&log, Bookmark::START).await.unwrap().snapshot.unwrap().bytes, large);
}

pub(crate) async fn s8_a_snapshot_for_the_same_place_replaces(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 3).await;
    store.compact(&log, snapshot(3, "first")).await.unwrap();
    bench.damage_snapshot(&log, 3);
    store.compact(&log, snapshot(3, "again")).await.unwrap();
    assert_eq!(
        store.read(&log, Bookmark::START).await.unwrap().snapshot,
        Some(snapshot(3, "again"))
    );
}

pub(crate) async fn s9_a_damaged_snapshot_falls_back(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 60).await;
    for covers in [10, 20, 30, 40, 50] {
        let bytes = Bytes::from(format!("state at {covers}"));
        store
            .compact(&log, Snapshot { covers: Position(covers), last: None, bytes })
            .await
            .unwrap();
    }
    // Three generations stay: 30, 40, 50, and the entries since 30.
    for (hurt, left) in [(None, 50), (Some(50), 40), (Some(40), 30)] {
        if let Some(hurt) = hurt {
            bench.damage_snapshot(&log, hurt);
        }
        let page = store.read(&log, Bookmark::START).await.unwrap();
        assert_eq!(page.snapshot.unwrap().bytes, format!("state at {left}"));
        assert_eq!(all(&*store, &log, 0).await, expected(left + 1, 60));
    }
}

pub(crate) async fn s9_without_any_snapshot_the_log_is_set_aside(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 5).await;
    store.compact(&log, snapshot(4, "four")).await.unwrap();
    bench.damage_snapshot(&log, 4);
    assert!(matches!(store.read(&log, Bookmark::START).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.read(&log, Bookmark::START).await, Err(StoreError::Quarantined(_))));
    let raw = store.read_raw(&log).await.unwrap();
    assert_eq!(
        raw.iter()
            .map(|record| (record.position.0, record.is_snapshot, record.intact))
            .collect::<Vec<_>>(),
        [(4, true, false), (5, false, true)]
    );
}

pub(crate) async fn s10_a_damaged_entry_sets_only_its_log_aside(bench: &dyn Bench) {
    let store = bench.store();
    numbered(&*store, "hurt", 5).await;
    numbered(&*store, "well", 5).await;
    bench.damage_entry(&name("hurt"), 3);
    assert!(matches!(
        store.read(&name("hurt"), Bookmark::at(Position(1))).await,
        Err(StoreError::Corrupt(_))
    ));
    let refused = store.append(&name("hurt"), None, fresh(), "x".into()).await;
    assert!(matches!(refused, Err(StoreError::Quarantined(_))), "{refused:?}");
    let listed = store.list("hurt", None, 9).await.unwrap();
    assert!(listed[0].quarantined.as_ref().is_some_and(|reason| reason.contains("damaged")));
    let intact: Vec<bool> =
        store.read_raw(&name("hurt")).await.unwrap().iter().map(|record| record.intact).collect();
    assert_eq!(intact, [true, true, false, true, true]);
    assert_eq!(put(&*store, &name("well"), "6").await, Position(6));
    assert_eq!(all(&*store, &name("well"), 0).await, expected(1, 6));
    // The mark outlives the process.
    drop(store);
    let store = bench.restarted();
    assert!(matches!(
        store.read(&name("hurt"), Bookmark::START).await,
        Err(StoreError::Quarantined(_))
    ));
}

pub(crate) async fn s11_quarantine_and_release(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 3).await;
    store.quarantine(&log, "the reason").await.unwrap();
    store.quarantine(&log, "a later reason").await.unwrap();
    let aside = StoreError::Quarantined("the reason".into());
    assert_eq!(store.append(&log, None, fresh(), "x".into()).await, Err(aside.clone()));
    assert_eq!(store.read(&log, Bookmark::START).await, Err(aside.clone()));
    assert_eq!(store.compact(&log, snapshot(2, "x")).await, Err(aside));
    let raw: Vec<_> = store
        .read_raw(&log)
        .await
        .unwrap()
        .into_iter()
        .map(|r| (r.position.0, r.bytes.to_vec()))
        .collect();
    assert_eq!(raw, expected(1, 3));
    assert_eq!(
        store.list("", None, 9).await.unwrap()[0].quarantined.as_deref(),
        Some("the reason")
    );
    store.release(&log).await.unwrap();
    assert_eq!(all(&*store, &log, 0).await, expected(1, 3));
    assert_eq!(put(&*store, &log, "4").await, Position(4));
}

pub(crate) async fn s12_delete_is_complete(bench: &dyn Bench) {
    let store = bench.store();
    let log = name("a");
    numbered(&*store, "a", 1200).await;
    numbered(&*store, "b", 2).await;
    store.compact(&log, snapshot(1100, "state")).await.unwrap();
    store.append(&log, None, EntryId(5), "x".into()).await.unwrap();
    store.quarantine(&log, "why").await.unwrap();
    store.delete(&log).await.unwrap();
    assert_eq!(store.read(&log, Bookmark::START).await, Ok(Page::default()));
    assert_eq!(store.read_raw(&log).await, Ok(Vec::new()));
    assert_eq!(store.list("", None, 9).await.unwrap().len(), 1);
    store.delete(&log).await.unwrap();
    // A log begun again is another log, and remembers nothing.
    assert_eq!(store.append(&log, None, EntryId(5), "1".into()).await, Ok(Position(1)));
    assert_eq!(all(&*store, &log, 0).await, expected(1, 1));
    assert_eq!(all(&*store, &name("b"), 0).await, expected(1, 2));
    drop(store);
    assert_eq!(all(&*bench.restarted(), &log, 0).await, expected(1, 1));
}

pub(crate) async fn s13_names_come_in_byte_order(bench: &dyn Bench) {
    let store = bench.store();
    let mut names =
        ["a/1", "a/10", "a/2", "a", "A", "b", "a/é", "a/z", "a/😀", "a0", "å", "a/%", "a/_"];
    for log in names {
        put(&*store, &name(log), "x").await;
    }
    names.sort_unstable();
    let listed = async |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let infos = store.list(prefix, after.map(name).as_ref(), limit).await.unwrap();
        infos.iter().map(|info| info.name.as_str().to_owned()).collect()
    };
    assert_eq!(listed("", None, 99).await, names);
    let with_prefix: Vec<_> = names.into_iter().filter(|name| name.starts_with("a/")).collect();
    assert_eq!(listed("a/", None, 99).await, with_prefix);
    assert_eq!(listed("a/_", None, 99).await, ["a/_"]);
    assert_eq!(listed("c", None, 99).await, [""; 0]);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = listed("a/", paged.last().map(String::as_str), 2).await;
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, with_prefix);
    let info = store.list("b", None, 1).await.unwrap().remove(0);
    assert_eq!(
        (info.head, info.snapshot, info.bytes, info.quarantined),
        (Position(1), None, 1, None)
    );
    put(&*store, &name("b"), "yyyy").await;
    store.compact(&name("b"), snapshot(2, "zz")).await.unwrap();
    let info = store.list("b", None, 1).await.unwrap().remove(0);
    assert_eq!((info.head, info.snapshot, info.bytes), (Position(2), Some(Position(2)), 2));
}

pub(crate) async fn s14_readers_and_appends_of_many_logs_do_not_wait_for_each_other(
    bench: &dyn Bench,
) {
    let store = bench.store();
    let writers = (0..8).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let log = format!("log{n}");
            numbered(&*store, &log, 50).await;
        }
    });
    let readers = (0..8).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let mut last = 0;
            while last < 50 {
                let found = all(&*store, &name(&format!("log{n}")), last).await;
                assert_eq!(found, expected(last + 1, last + found.len() as u64));
                last += found.len() as u64;
                tokio::task::yield_now().await;
            }
        }
    });
    tokio::join!(futures_util::future::join_all(writers), futures_util::future::join_all(readers));
}

pub(crate) async fn s15_blobs(bench: &dyn Bench) {
    let store = bench.store();
    let blob = name("blob/1");
    assert_eq!(store.get_blob(&blob).await, Ok(None));
    for size in [0, 1, 3_000_000, 5] {
        let bytes = Bytes::from((0..size).map(|n: u32| n as u8).collect::<Vec<_>>());
        store.put_blob(&blob, bytes.clone()).await.unwrap();
        assert_eq!(store.get_blob(&blob).await, Ok(Some(bytes)));
    }
    store.put_blob(&name("blob/2"), "kept".into()).await.unwrap();
    assert_eq!(store.list("", None, 9).await, Ok(Vec::new()), "blobs are not logs");
    bench.damage_blob(&blob);
    assert!(matches!(store.get_blob(&blob).await, Err(StoreError::Corrupt(_))));
    store.delete_blob(&blob).await.unwrap();
    store.delete_blob(&blob).await.unwrap();
    assert_eq!(store.get_blob(&blob).await, Ok(None));
    drop(store);
    assert_eq!(bench.restarted().get_blob(&name("blob/2")).await, Ok(Some("kept".into())));
}

pub(crate) async fn recent_logs_come_first(bench: &dyn Bench) {
    let store = bench.store();
    for log in ["n/a", "n/b", "n/c", "other"] {
        put(&*store, &name(log), "x").await;
    }
    let recent = store.recent("n/", 9).await.unwrap();
    assert_eq!(recent.len(), 3);
    assert!(recent.windows(2).all(|pair| pair[0].changed_at >= pair[1].changed_at));
    assert_eq!(store.recent("n/", 1).await.unwrap().len(), 1);
}

pub(crate) async fn closing_refuses_what_comes_after(bench: &dyn Bench) {
    let store = bench.store();
    numbered(&*store, "a", 3).await;
    assert_eq!(store.health(), Ok(()));
    store.close().await;
    assert!(matches!(
        store.append(&name("a"), None, fresh(), "x".into()).await,
        Err(StoreError::Away(_))
    ));
    assert!(matches!(store.read(&name("a"), Bookmark::START).await, Err(StoreError::Away(_))));
    assert!(store.health().is_err());
    store.close().await;
}
