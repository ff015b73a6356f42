//! What does the embedded store do when the disk fails, when it is full, and when a document ends the process?

use crate::bench::{all, fresh, name, put, reopen};
use bytes::Bytes;
use commonplace::store::sqlite::{FaultPoint, SqliteOptions, SqliteStore};
use commonplace::store::{LogName, Position, Snapshot, Store, StoreError};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Options under which the `n`-th time that something reaches the disk fails.
fn failing_at(n: u64) -> SqliteOptions {
    let count = AtomicU64::new(0);
    SqliteOptions {
        faults: Some(Arc::new(move |_: FaultPoint| count.fetch_add(1, Ordering::Relaxed) + 1 == n)),
        ..SqliteOptions::default()
    }
}

#[test]
fn nothing_acknowledged_is_lost_whichever_commit_fails() {
    // Each spends its time waiting for the disk, so they share it.
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n > 200 {
                        break;
                    }
                    runtime.block_on(fails_at(n));
                }
            });
        }
    });
}

async fn fails_at(n: u64) {
    let logs: Vec<LogName> = (0..3).map(|n| name(&format!("log{n}"))).collect();
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), failing_at(n)).unwrap();
    let mut acknowledged: BTreeMap<&LogName, u64> = BTreeMap::new();
    let fatal = store.fatal();
    let error = 'failed: {
        for round in 1_u64.. {
            for log in &logs {
                match store.append(log, None, fresh(), Bytes::from(round.to_string())).await {
                    Ok(position) => {
                        assert_eq!(position, Position(round));
                        acknowledged.insert(log, round);
                    }
                    Err(error) => break 'failed error,
                }
            }
            if round % 4 == 0 {
                let snapshot = Snapshot { covers: Position(round - 2), bytes: "state".into() };
                // It may fail on the way, or have failed without a word while it swept.
                if let Err(error) = store.compact(&logs[0], snapshot).await {
                    break 'failed error;
                }
            }
        }
        unreachable!()
    };
    assert!(matches!(error, StoreError::Unknown | StoreError::Away(_)), "{n}: {error:?}");
    assert!(fatal.await.contains("the disk failed"));
    assert!(store.health().is_err());
    // Nothing is acknowledged any more, and nothing is written either.
    for log in &logs {
        let after = store.append(log, None, fresh(), "late".into()).await;
        assert!(matches!(after, Err(StoreError::Away(_))), "{n}: {after:?}");
    }
    store.close().await;
    drop(store);

    let store = reopen(dir.path(), SqliteOptions::default());
    for log in &logs {
        let acknowledged = acknowledged.get(log).copied().unwrap_or(0);
        let page = store.read(log, Position::START).await.unwrap();
        let first = page.snapshot.map_or(0, |snapshot| snapshot.covers.0);
        let found: Vec<_> =
            page.entries.iter().map(|entry| (entry.position.0, entry.bytes.clone())).collect();
        let end = first + found.len() as u64;
        let expected: Vec<_> = (first + 1..=end).map(|n| (n, Bytes::from(n.to_string()))).collect();
        assert_eq!(found, expected, "fault {n}");
        // One more may be there: the one whose outcome was unknown.
        assert!(
            end == acknowledged || end == acknowledged + 1,
            "fault {n}: {end} of {acknowledged}"
        );
    }
}

#[tokio::test]
async fn a_failing_checkpoint_is_as_final_as_a_failing_commit() {
    let dir = tempfile::tempdir().unwrap();
    let faults: commonplace::store::sqlite::Faults =
        Arc::new(|point| point == FaultPoint::Checkpoint);
    let store = SqliteStore::open(
        dir.path(),
        SqliteOptions { faults: Some(faults), ..SqliteOptions::default() },
    )
    .unwrap();
    assert_eq!(store.fatal().now_or_never(), None);
    let mut written = 0;
    while store.append(&name("a"), None, fresh(), vec![0; 500_000].into()).await.is_ok() {
        written += 1;
    }
    store.fatal().await;
    drop(store);
    assert_eq!(
        all(&*reopen(dir.path(), SqliteOptions::default()), &name("a"), 0).await.len(),
        written
    );
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_bytes: Some(2_000_000), ..SqliteOptions::default() };
    let store = SqliteStore::open(dir.path(), options).unwrap();
    full_and_back(&store).await;
    store.close().await;
    drop(store);
    all(&*reopen(dir.path(), SqliteOptions::default()), &name("keeps"), 0).await;
}

async fn full_and_back(store: &SqliteStore) {
    put(store, &name("ballast"), vec![1; 500_000]).await;
    let keeps = name("keeps");
    let mut written = 0;
    let full = loop {
        match store.append(&keeps, None, fresh(), vec![2; 20_000].into()).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full);
    assert!(full.is_retryable());
    assert_eq!(store.health(), Err(StoreError::Full));
    assert_eq!(
        store.append(&keeps, None, fresh(), vec![2; 20_000].into()).await,
        Err(StoreError::Full)
    );
    assert_eq!(
        all(store, &keeps, 0).await.len(),
        written,
        "reading goes on, and nothing half-written is there"
    );
    assert_eq!(store.fatal().now_or_never(), None, "a full disk does not end the process");
    // Among those that share a commit, one that finds no room does not take the others with it.
    let large = store.append(&keeps, None, fresh(), vec![3; 600_000].into());
    let ballast = name("ballast");
    let small = store.append(&ballast, None, fresh(), Bytes::new());
    let (large, small) = tokio::join!(large, small);
    assert_eq!(large, Err(StoreError::Full));
    assert!(matches!(small, Ok(_) | Err(StoreError::Full)), "{small:?}");
    store.delete(&ballast).await.unwrap();
    assert_eq!(put(store, &keeps, vec![2; 20_000]).await, Position(written as u64 + 1));
    assert_eq!(store.health(), Ok(()));
}

#[tokio::test]
#[ignore = "needs the right to mount: run it as root"]
async fn a_real_full_file_system_too() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        std::process::Command::new("mount").args(args).arg(dir.path()).status().unwrap()
    };
    assert!(mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).success());
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    let keeps = name("keeps");
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2_000_000]).unwrap();
    let mut written = 0;
    while store.append(&keeps, None, fresh(), vec![2; 20_000].into()).await.is_ok() {
        written += 1;
    }
    assert_eq!(
        store.append(&keeps, None, fresh(), vec![2; 20_000].into()).await,
        Err(StoreError::Full)
    );
    assert_eq!(all(&*store, &keeps, 0).await.len(), written);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(put(&*store, &keeps, vec![2; 20_000]).await, Position(written as u64 + 1));
    assert_eq!(store.health(), Ok(()));
    store.close().await;
    drop(store);
    let store = reopen(dir.path(), SqliteOptions::default());
    assert_eq!(all(&*store, &keeps, 0).await.len(), written + 1);
    drop(store);
    assert!(std::process::Command::new("umount").arg(dir.path()).status().unwrap().success());
}

/// The process dies while `log` is being applied.
fn die_applying(dir: &Path, log: &LogName) {
    let store = reopen(dir, SqliteOptions::default());
    std::mem::forget(store.crash_markers().begin(log));
}

#[tokio::test]
async fn a_log_that_crashed_the_server_twice_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (poisoned, innocent) = (name("poisoned"), name("innocent"));
    let open = || reopen(dir.path(), SqliteOptions::default());
    {
        let store = open();
        put(&*store, &poisoned, "1").await;
        put(&*store, &innocent, "1").await;
        drop(store.crash_markers().begin(&innocent));
    }
    die_applying(dir.path(), &poisoned);
    assert_eq!(all(&*open(), &poisoned, 0).await.len(), 1, "once may be chance");
    // A clean load in between makes a new start.
    open().loaded(&poisoned).await.unwrap();
    die_applying(dir.path(), &poisoned);
    assert!(open().read(&poisoned, Position::START).await.is_ok());
    die_applying(dir.path(), &poisoned);
    let store = open();
    let refused = store.read(&poisoned, Position::START).await;
    assert_eq!(refused, Err(StoreError::Quarantined("it crashed the server twice".into())));
    assert_eq!(store.read_raw(&poisoned).await.unwrap().len(), 1);
    assert_eq!(all(&*store, &innocent, 0).await.len(), 1);
    store.release(&poisoned).await.unwrap();
    drop(store);
    die_applying(dir.path(), &poisoned);
    assert!(
        open().read(&poisoned, Position::START).await.is_ok(),
        "release begins with a clean record"
    );
}
