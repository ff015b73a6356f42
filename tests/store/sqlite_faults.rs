//! What does the embedded store do when the disk fails, when it is full, and when a document ends the process?

use crate::bench::reopen;
use bytes::Bytes;
use commonplace::store::sqlite::{FaultPoint, SqliteOptions, SqliteStore};
use commonplace::store::{Bookmark, LogName, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{all, fresh, name, put};
use commonplace_tests::patiently;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A store that overlooks a failure, or a full disk, would take writes for ever; this many are enough to say so.
const MANY: u64 = 1000;

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
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
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
        for round in 1..MANY {
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
                let snapshot =
                    Snapshot { covers: Position(round - 2), last: None, bytes: "state".into() };
                // It may fail on the way, or have failed without a word while it swept.
                if let Err(error) = store.compact(&logs[0], snapshot).await {
                    break 'failed error;
                }
            }
        }
        panic!("failure {n} was overlooked")
    };
    assert!(matches!(error, StoreError::Unknown | StoreError::Away(_)), "{n}: {error:?}");
    assert!(patiently("the last words", fatal).await.contains("the disk failed"));
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
        let page = store.read(log, Bookmark::START).await.unwrap();
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
async fn after_a_failure_every_write_is_refused_at_once_and_the_disk_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (broken, reached) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let faults: commonplace::store::sqlite::Faults = {
        let (broken, reached) = (Arc::clone(&broken), Arc::clone(&reached));
        Arc::new(move |_| {
            reached.fetch_add(1, Ordering::Relaxed);
            broken.load(Ordering::Relaxed)
        })
    };
    let options = SqliteOptions { faults: Some(faults), ..SqliteOptions::default() };
    let store = SqliteStore::open(dir.path(), options).unwrap();
    let log = name("a");
    let append = |text: &'static str| store.append(&log, None, fresh(), text.into());
    // Whoever waits for an answer that never comes has to fail, not to hang.
    patiently("an answer to everything", async {
        assert_eq!(append("kept").await, Ok(Position(1)));
        broken.store(true, Ordering::Relaxed);
        assert_eq!(append("unknown").await, Err(StoreError::Unknown));
        // From here on the disk would take everything again, but what it holds is not known any more.
        broken.store(false, Ordering::Relaxed);
        let before = reached.load(Ordering::Relaxed);
        let reason = store.fatal().await;
        assert!(reason.contains("the disk failed"), "{reason}");
        let away = StoreError::Away(reason);
        assert_eq!(store.health(), Err(away.clone()));
        assert_eq!(append("late").await, Err(away.clone()));
        let snapshot = Snapshot { covers: Position(1), last: None, bytes: "state".into() };
        let refused = [
            store.compact(&log, snapshot).await,
            store.quarantine(&log, "late").await,
            store.release(&log).await,
            store.delete(&log).await,
            store.put_blob(&log, "late".into()).await,
            store.delete_blob(&log).await,
            store.loaded(&log).await,
        ];
        assert_eq!(refused, [(); 7].map(|()| Err(away.clone())));
        assert_eq!(all(&*store, &log, 0).await, [(1, b"kept".to_vec())], "reading goes on");
        store.close().await;
        assert_eq!(store.health(), Err(away), "closing does not hide it");
        assert_eq!(reached.load(Ordering::Relaxed), before, "the disk was tried again");
    })
    .await;
    drop(store);
    let store = reopen(dir.path(), SqliteOptions::default());
    assert_eq!(all(&*store, &log, 0).await, [(1, b"kept".to_vec())]);
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
        assert!((written as u64) < MANY, "the failure was overlooked");
    }
    patiently("the last words", store.fatal()).await;
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
            Ok(_) if written as u64 == MANY => panic!("the disk is never full"),
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

/// Ways to a file system of one's own: the administrator's, and anybody's. It is seen by one process only and goes when that ends, however it
/// ends.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Mounts eight megabytes at the first word, and becomes the program that the others say. 99: they could not be mounted.
const IN_A_SMALL_DISK: &str =
    r#"mount -t tmpfs -o size=8m tmpfs "$1" || exit 99; shift; exec "$@""#;

#[test]
fn a_real_full_file_system_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut refusals = Vec::new();
    for way in WAYS {
        let ended = Command::new("unshare")
            .args(way)
            .args(["sh", "-c", IN_A_SMALL_DISK, "sh"])
            .arg(dir.path())
            .args([env!("CARGO_BIN_EXE_store_worker"), "fill-the-disk"])
            .arg(dir.path())
            .output()
            .expect("this test needs unshare: sudo apt-get install util-linux mount");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(dir.path().read_dir().unwrap().next().is_none(), "this disk was filled: {said}");
        match ended.status.code() {
            Some(0) => return assert!(ended.stdout.starts_with(b"kept "), "{ended:?}"),
            // `unshare` says 1 when it is not allowed to.
            Some(1 | 99) => refusals.push(said),
            _ => panic!("{said}"),
        }
    }
    panic!(
        "this test fills a small disk of its own, and may not mount one here: run it as root or allow user namespaces. {refusals:?}"
    );
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
    assert!(open().read(&poisoned, Bookmark::START).await.is_ok());
    die_applying(dir.path(), &poisoned);
    let store = open();
    let refused = store.read(&poisoned, Bookmark::START).await;
    assert_eq!(refused, Err(StoreError::Quarantined("it crashed the server twice".into())));
    assert_eq!(store.read_raw(&poisoned).await.unwrap().len(), 1);
    assert_eq!(all(&*store, &innocent, 0).await.len(), 1);
    store.release(&poisoned).await.unwrap();
    drop(store);
    die_applying(dir.path(), &poisoned);
    assert!(
        open().read(&poisoned, Bookmark::START).await.is_ok(),
        "release begins with a clean record"
    );
}
