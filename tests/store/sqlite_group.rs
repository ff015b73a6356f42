//! Does what waits together commit together, and who waits for whom?

use bytes::Bytes;
use commonplace::store::sqlite::{FaultPoint, SqliteOptions, SqliteStore};
use commonplace::store::{MAX_ENTRY, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{all, fresh, name, put};
use futures_util::future::{join_all, poll_immediate};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use tempfile::TempDir;

/// A store whose writer waits at each commit until it may go on, once `hold` has been said.
struct Held {
    store: Arc<SqliteStore>,
    /// The writer says here that it waits.
    waits: mpsc::Receiver<()>,
    /// One message lets one commit happen; dropping it lets all.
    go: mpsc::SyncSender<()>,
    _dir: TempDir,
}

fn held() -> Held {
    held_with(None)
}

fn held_with(max_bytes: Option<u64>) -> Held {
    let dir = tempfile::tempdir().unwrap();
    let (say, waits) = mpsc::sync_channel(1000);
    let (go, gate) = mpsc::sync_channel::<()>(1000);
    let gate = Mutex::new(gate);
    let faults = move |point: FaultPoint| {
        if point == FaultPoint::BeforeCommit {
            say.send(()).ok();
            gate.lock().unwrap().recv().ok();
        }
        false
    };
    let options = SqliteOptions { faults: Some(Arc::new(faults)), max_bytes };
    Held { store: SqliteStore::open(dir.path(), options).unwrap(), waits, go, _dir: dir }
}

fn commits(store: &SqliteStore) -> u64 {
    store.counts().commits.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_during_a_commit_shares_the_next() {
    let Held { store, waits, go, _dir } = held();
    let log = name("first");
    let mut first = Box::pin(store.append(&log, None, fresh(), "x".into()));
    assert!(poll_immediate(&mut first).await.is_none());
    waits.recv().unwrap();
    let logs: Vec<_> = (0..60).map(|n| name(&format!("log{n}"))).collect();
    let mut rest =
        Box::pin(join_all(logs.iter().map(|log| store.append(log, None, fresh(), "x".into()))));
    assert!(poll_immediate(&mut rest).await.is_none());
    assert_eq!(commits(&store), 0);
    drop(go);
    assert_eq!(first.await, Ok(Position(1)));
    assert_eq!(rest.await, vec![Ok(Position(1)); 60]);
    assert_eq!(commits(&store), 2);
    assert_eq!(store.counts().appends.load(Ordering::Relaxed), 61);
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_nobody_is_told_before_the_commit_and_s14_readers_do_not_wait() {
    let Held { store, waits, go, _dir } = held();
    let log = name("a");
    go.send(()).unwrap();
    put(&*store, &log, "1").await;
    waits.recv().unwrap();
    let mut second = Box::pin(store.append(&log, None, fresh(), "2".into()));
    assert!(poll_immediate(&mut second).await.is_none());
    waits.recv().unwrap();
    // The writer stands before the commit: readers see what is durable, at once.
    assert_eq!(all(&*store, &log, 0).await.len(), 1);
    assert_eq!(store.list("", None, 9).await.unwrap()[0].head, Position(1));
    assert!(poll_immediate(&mut second).await.is_none());
    drop(go);
    assert_eq!(second.await, Ok(Position(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_finds_no_room_does_not_take_its_neighbours_with_it() {
    let Held { store, waits, go, _dir } = held_with(Some(2_000_000));
    let log = name("a");
    let mut first = Box::pin(store.append(&log, None, fresh(), "1".into()));
    assert!(poll_immediate(&mut first).await.is_none());
    waits.recv().unwrap();
    let sizes = [10, 5_000_000, 20];
    let mut group = Box::pin(join_all(
        sizes.map(|size| store.append(&log, None, fresh(), vec![1; size].into())),
    ));
    assert!(poll_immediate(&mut group).await.is_none());
    drop(go);
    assert_eq!(first.await, Ok(Position(1)));
    assert_eq!(group.await, [Ok(Position(2)), Err(StoreError::Full), Ok(Position(3))]);
    assert_eq!(all(&*store, &log, 0).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn s8_a_snapshot_of_a_log_that_was_deleted_meanwhile_is_not_taken_for_its_successor() {
    let Held { store, waits, go, _dir } = held();
    let log = name("a");
    for _ in 0..2 {
        go.send(()).unwrap();
        put(&*store, &log, "old").await;
        waits.recv().unwrap();
    }
    let compact = {
        let (store, log) = (Arc::clone(&store), log.clone());
        let snapshot = Snapshot { covers: Position(1), last: None, bytes: "old state".into() };
        tokio::task::spawn_blocking(move || {
            tokio::runtime::Handle::current().block_on(store.compact(&log, snapshot))
        })
    };
    // It has looked at the log and is about to write. What is asked for now comes between that and the end.
    waits.recv().unwrap();
    let mut delete = Box::pin(store.delete(&log));
    assert!(poll_immediate(&mut delete).await.is_none());
    let mut begin = Box::pin(store.append(&log, None, fresh(), "new".into()));
    assert!(poll_immediate(&mut begin).await.is_none());
    drop(go);
    assert_eq!(begin.await, Ok(Position(1)));
    delete.await.unwrap();
    assert_eq!(compact.await.unwrap(), Err(StoreError::Ahead { head: Position(1) }));
    assert_eq!(all(&*store, &log, 0).await, [(1, b"new".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded_in_bytes() {
    let Held { store, waits, go, _dir } = held();
    let log = name("a");
    let entry = Bytes::from(vec![0; MAX_ENTRY]);
    let mut first = Box::pin(store.append(&log, None, fresh(), "x".into()));
    assert!(poll_immediate(&mut first).await.is_none());
    waits.recv().unwrap();
    // 64 MiB take three of these; whoever comes later waits outside, and giving up there leaves nothing behind.
    let mut rest: Vec<_> =
        (0..8).map(|_| Box::pin(store.append(&log, None, fresh(), entry.clone()))).collect();
    for append in &mut rest {
        assert!(poll_immediate(append).await.is_none());
    }
    drop(rest);
    drop(go);
    first.await.unwrap();
    put(&*store, &log, "last").await;
    assert_eq!(all(&*store, &log, 0).await.len(), 1 + 3 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_appenders_each_get_their_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    let shared = name("shared");
    let appenders = (0..60_u8).map(|n| {
        let (store, shared) = (Arc::clone(&store), shared.clone());
        async move {
            let mut before = Position::START;
            for round in 0..20_u8 {
                let position =
                    store.append(&shared, None, fresh(), vec![n, round].into()).await.unwrap();
                assert!(position > before);
                before = position;
            }
        }
    });
    join_all(appenders).await;
    let found = all(&*store, &shared, 0).await;
    assert!(found.iter().map(|entry| entry.0).eq(1..=1200));
    for n in 0..60_u8 {
        let own: Vec<u8> =
            found.iter().filter(|entry| entry.1[0] == n).map(|entry| entry.1[1]).collect();
        assert!(own.iter().copied().eq(0..20));
    }
    assert!(commits(&store) < 1200 / 4, "{} commits for 1200 appends", commits(&store));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_commits_what_was_taken() {
    let Held { store, waits, go, _dir } = held();
    let log = name("a");
    let appends: Vec<_> = (0..20).map(|_| store.append(&log, None, fresh(), "x".into())).collect();
    let mut appends = Box::pin(join_all(appends));
    assert!(poll_immediate(&mut appends).await.is_none());
    waits.recv().unwrap();
    let mut close = Box::pin(store.close());
    assert!(poll_immediate(&mut close).await.is_none());
    drop(go);
    close.await;
    assert!(appends.await.iter().all(Result::is_ok));
    assert!(matches!(
        store.append(&log, None, fresh(), "x".into()).await,
        Err(StoreError::Away(_))
    ));
}
