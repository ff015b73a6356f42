//! Does everything arrive that is copied from store to store, also when it is interrupted, changed or damaged on the way?

use crate::bench::{raw, reopen};
use crate::moving::contents;
use crate::{redis_bench, redis_server};
use bytes::Bytes;
use commonplace::backup::{
    BackupError, Copied, LogContent, Moving, Progress, Source, backup_of, copy, unfinished, verify,
    verify_store,
};
use commonplace::store::redis::RedisStore;
use commonplace::store::sim::SimStore;
use commonplace::store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use commonplace::store::{EntryId, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{fresh, name, put};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Logs of every kind: short, long, with generations of snapshots, set aside, of names that need care; and blobs.
pub(crate) async fn fill(store: &dyn Store) {
    for n in 0..30_u8 {
        put(store, &name("note/long"), vec![n; 3000]).await;
    }
    for covers in [10, 20] {
        let bytes = Bytes::from(format!("state at {covers}"));
        let last = None;
        store
            .compact(&name("note/long"), Snapshot { covers: Position(covers), last, bytes })
            .await
            .unwrap();
    }
    for log in ["note/ä {braces} %", "note/short", "other"] {
        put(store, &name(log), log.to_owned()).await;
    }
    store.append(&name("note/short"), None, EntryId(77), Bytes::new()).await.unwrap();
    store.quarantine(&name("other"), "by hand").await.unwrap();
    store.put_blob(&name("blob/large"), vec![5; 1_500_000].into()).await.unwrap();
    store.put_blob(&name("blob/empty"), Bytes::new()).await.unwrap();
}

const LOGS: [&str; 4] = ["note/long", "note/short", "note/ä {braces} %", "other"];

/// What a store holds, byte for byte, without what only some stores remember.
pub(crate) async fn everything(store: &dyn Store) -> String {
    let mut words = String::new();
    for info in store.list("", None, 99).await.unwrap() {
        let mut log = contents(store, info.name.as_str()).await;
        let snapshots = log.records.iter_mut().filter(|record| record.is_snapshot);
        snapshots.for_each(|snapshot| snapshot.id = None);
        words += &format!("{} {:?} {:?} {log:?}\n", info.name, info.head, info.snapshot);
    }
    for blob in store.list_blobs(None, 99).await.unwrap() {
        words += &format!("{blob} {:?}\n", store.get_blob(&blob).await);
    }
    words
}

async fn quietly(from: &Source, to: &dyn Store, moving: Moving) -> Result<Copied, BackupError> {
    copy(from, "there", to, moving, &mut |_| {}).await
}

async fn filled_folder() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    fill(&*store).await;
    let all = everything(&*store).await;
    store.close().await;
    (dir, all)
}

fn open(dir: &Path) -> Arc<SqliteStore> {
    reopen(dir, SqliteOptions::default())
}

fn fine(_: &LogContent) -> Result<(), String> {
    Ok(())
}

#[tokio::test]
async fn a_folder_goes_elsewhere_and_comes_back_byte_for_byte() {
    let (dir, all) = filled_folder().await;
    let between = Arc::new(SimStore::new(1));
    let source = Source::file_at_rest(dir.path()).unwrap();
    let copied = quietly(&source, &*between, Moving::IsNotYetDone).await.unwrap();
    assert_eq!((copied.logs, copied.blobs, copied.already_there), (4, 2, 0));
    assert_eq!(copied.records, 26);
    assert_eq!((copied.moved_on, copied.left, copied.damaged), (vec![], vec![], vec![]));
    assert_eq!(everything(&*between).await, all);
    assert!(verify_store(&*between, &fine).await.unwrap().is_whole());
    let new = tempfile::tempdir().unwrap();
    let store = open(new.path());
    quietly(&Source::store(between), &*store, Moving::IsNotYetDone).await.unwrap();
    assert_eq!(everything(&*store).await, all);
    assert_eq!(unfinished(&*store).await, Ok(None));
    store.close().await;
    assert!(verify(new.path(), &fine).unwrap().is_whole());
}

#[tokio::test]
async fn a_store_is_backed_up_into_a_file_like_any_other() {
    let store = Arc::new(SimStore::new(1));
    fill(&*store).await;
    let all = everything(&*store).await;
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("backup");
    // One that was interrupted has left something.
    std::fs::create_dir(out.path().join("backup.copying")).unwrap();
    std::fs::write(out.path().join("backup.copying/commonplace.id"), "nonsense").unwrap();
    let source = Source::store(store);
    let (saved, copied) = backup_of(&source, "there", &file, &mut |_| {}).await.unwrap();
    assert_eq!((saved.logs, copied.logs), (4, 4));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "nothing else is left there");
    assert!(verify(&file, &fine).unwrap().is_whole());
    let again = SimStore::new(2);
    let source = Source::file_at_rest(&file).unwrap();
    quietly(&source, &again, Moving::IsNotYetDone).await.unwrap();
    assert_eq!(everything(&again).await, all);
    let exists = backup_of(&source, "there", &file, &mut |_| {}).await;
    assert!(matches!(exists, Err(BackupError::Exists(_))));
}

#[tokio::test]
async fn a_copy_goes_only_where_nothing_is_and_from_where_nobody_writes() {
    let (dir, _) = filled_folder().await;
    let running = open(dir.path());
    let refused = Source::file_at_rest(dir.path()).unwrap_err();
    assert!(matches!(refused, BackupError::Open(OpenError::Locked { .. })), "{refused}");
    running.close().await;
    drop(running);
    let source = Source::file_at_rest(dir.path()).unwrap();
    let locked = SqliteStore::open(dir.path(), SqliteOptions::default());
    assert!(matches!(locked, Err(OpenError::Locked { .. })), "no server begins meanwhile");

    for has_log in [true, false] {
        let to = SimStore::new(1);
        match has_log {
            true => drop(put(&to, &name("a"), "there").await),
            false => to.put_blob(&name("a"), "there".into()).await.unwrap(),
        }
        let before = everything(&to).await;
        let refused = quietly(&source, &to, Moving::IsFine).await.unwrap_err();
        assert!(matches!(refused, BackupError::NotEmpty), "{refused}");
        assert_eq!(everything(&to).await, before);
    }
    let nowhere = Source::file_at_rest(&dir.path().join("none"));
    assert!(matches!(nowhere, Err(BackupError::NotFound(_))));
}

#[tokio::test]
async fn an_interrupted_copy_says_so_and_goes_on() {
    let (dir, all) = filled_folder().await;
    let source = Source::file_at_rest(dir.path()).unwrap();
    let mut interrupted = 0;
    for call in 1.. {
        let to = SimStore::new(call);
        to.disk().faults.fail_at = Some(call);
        match quietly(&source, &to, Moving::IsNotYetDone).await {
            Ok(_) => break,
            Err(error) => {
                assert!(matches!(error, BackupError::Store(StoreError::Away(_))), "{error}");
            }
        }
        interrupted += 1;
        let is_marked = unfinished(&to).await.unwrap();
        assert_eq!(is_marked, (call > 1).then(|| "there".to_owned()));
        if call > 1 {
            // What is there is nobody's source, and another copy does not go on top.
            let other = copy(&source, "elsewhere", &to, Moving::IsFine, &mut |_| {}).await;
            assert!(matches!(other, Err(BackupError::OtherCopy(origin)) if origin == "there"));
            let half = Source::store(Arc::new(to.another_instance()));
            let of_half = quietly(&half, &SimStore::new(0), Moving::IsFine).await;
            assert!(matches!(of_half, Err(BackupError::HalfCopy(_))));
        }
        let there = to.list("", None, 9).await.unwrap().len();
        let copied = quietly(&source, &to, Moving::IsNotYetDone).await.unwrap();
        assert_eq!((copied.logs, copied.already_there), (4, there));
        assert_eq!(everything(&to).await, all, "interrupted at call {call}");
        assert_eq!(unfinished(&to).await, Ok(None));
    }
    assert_eq!(interrupted, 8, "a mark, four logs, two blobs, and the mark again");
}

/// Runs a copy during which something happens after the first log is put.
async fn while_something_happens(
    from: &SimStore,
    to: &SimStore,
    moving: Moving,
    mut happens: impl FnMut(),
) -> Result<Copied, BackupError> {
    let source = Source::store(Arc::new(from.another_instance()));
    let mut tell = |progress| {
        if matches!(progress, Progress::Copying(1, _)) {
            happens();
        }
    };
    copy(&source, "there", to, moving, &mut tell).await
}

#[tokio::test]
async fn a_source_that_moves_on_is_noticed_and_caught_up_with() {
    let (from, to) = (SimStore::new(1), SimStore::new(2));
    fill(&from).await;
    let first = name(LOGS[0]);
    let happens = || {
        let mut disk = from.disk();
        disk.append_now(&first, None, fresh(), "more".into()).unwrap();
        disk.append_now(&name("z/new"), None, fresh(), "new".into()).unwrap();
        disk.delete_now(&name(LOGS[2])).unwrap();
    };
    let copied = while_something_happens(&from, &to, Moving::IsNotYetDone, happens).await.unwrap();
    // What came after the place where it was has been copied with the rest.
    assert_eq!(copied.moved_on, [first.clone(), name(LOGS[2])]);
    assert_eq!(unfinished(&to).await, Ok(Some("there".into())));
    from.disk().delete_now(&name("other")).unwrap();
    from.disk().delete_blob_now(&name("blob/empty")).unwrap();
    let copied = while_something_happens(&from, &to, Moving::IsNotYetDone, || {}).await.unwrap();
    assert_eq!((copied.already_there, copied.moved_on), (2, vec![]));
    assert_eq!(everything(&to).await, everything(&from).await);
    assert_eq!(unfinished(&to).await, Ok(None));
}

#[tokio::test]
async fn a_backup_is_finished_although_people_write() {
    let (from, to) = (SimStore::new(1), SimStore::new(2));
    fill(&from).await;
    let happens = || {
        let mut disk = from.disk();
        disk.append_now(&name(LOGS[0]), None, fresh(), "more".into()).unwrap();
    };
    let copied = while_something_happens(&from, &to, Moving::IsFine, happens).await.unwrap();
    assert_eq!(copied.moved_on, [name(LOGS[0])]);
    assert_eq!(unfinished(&to).await, Ok(None));
    assert_eq!(
        contents(&to, LOGS[0]).await.records.len() + 1,
        contents(&from, LOGS[0]).await.records.len()
    );
}

#[tokio::test]
async fn somebody_else_in_the_target_is_noticed() {
    let (from, to) = (SimStore::new(1), SimStore::new(2));
    fill(&from).await;
    let happens = || {
        to.disk().append_now(&name(LOGS[0]), None, fresh(), "not from there".into()).unwrap();
    };
    let done = while_something_happens(&from, &to, Moving::IsFine, happens).await;
    assert!(matches!(&done, Err(BackupError::Differs(log)) if *log == name(LOGS[0])), "{done:?}");
    assert!(unfinished(&to).await.unwrap().is_some());
}

#[tokio::test]
async fn damage_is_copied_as_it_is_and_told() {
    let (dir, _) = filled_folder().await;
    let connection = raw(dir.path());
    for sql in [
        "UPDATE entries SET bytes = x'ff' WHERE position = 25 AND log = (SELECT id FROM logs WHERE name = 'note/long')",
        "UPDATE parts SET bytes = x'ff' WHERE part = 0 AND object = (SELECT object FROM blobs WHERE name = 'blob/large')",
    ] {
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
    }
    drop(connection);
    let to = SimStore::new(1);
    let source = Source::file_at_rest(dir.path()).unwrap();
    let copied = quietly(&source, &to, Moving::IsNotYetDone).await.unwrap();
    assert_eq!(copied.damaged, [name("note/long")]);
    assert_eq!(copied.left.len(), 1);
    assert_eq!(copied.left[0].0, name("blob/large"));
    let report = verify_store(&to, &fine).await.unwrap();
    let hurt: Vec<_> = report.logs.iter().filter(|log| !log.is_whole()).collect();
    assert_eq!(hurt.len(), 1);
    assert_eq!(
        (hurt[0].name.as_str(), &hurt[0].damaged[..]),
        ("note/long", &["entry 25".to_owned()][..])
    );
    assert_eq!(to.list("", None, 9).await.unwrap().len(), 4);
}

async fn on_redis() -> Arc<RedisStore> {
    redis_bench::open(&redis_bench::options(redis_server::shared())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_to_redis_and_comes_back_byte_for_byte() {
    let (dir, all) = filled_folder().await;
    let redis = on_redis().await;
    let source = Source::file_at_rest(dir.path()).unwrap();
    let copied = quietly(&source, &*redis, Moving::IsNotYetDone).await.unwrap();
    assert_eq!((copied.logs, copied.blobs, copied.records), (4, 2, 26));
    assert_eq!(everything(&*redis).await, all);
    assert!(verify_store(&*redis, &fine).await.unwrap().is_whole());
    let recent = redis.recent("", 9).await.unwrap();
    assert_eq!(recent.len(), 4);
    let new = tempfile::tempdir().unwrap();
    let store = open(new.path());
    let source = Source::store(Arc::clone(&redis) as Arc<dyn Store>);
    quietly(&source, &*store, Moving::IsNotYetDone).await.unwrap();
    assert_eq!(everything(&*store).await, all);
    // And what the servers write there goes on from where it was.
    let position = put(&*redis, &name("note/long"), "next").await;
    assert_eq!(position, Position(31));
    let refused = quietly(&source, &*store, Moving::IsFine).await.unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_to_redis_that_dies_leaves_nothing_but_its_mark_and_goes_on() {
    let (dir, all) = filled_folder().await;
    let options = redis_bench::options(redis_server::shared());
    let source = Source::file_at_rest(dir.path()).unwrap();
    let mut deaths = 0;
    for steps in [1, 5, 10, 15, 20] {
        let redis = redis_bench::open(&options).await;
        {
            let mut copying = std::pin::pin!(quietly(&source, &*redis, Moving::IsNotYetDone));
            let mut left = steps;
            // Each time something is answered counts as a step; then it is dropped in the middle of what it does.
            let died = std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(true);
                }
                left -= 1;
                copying.as_mut().poll(context).map(|done| drop(done.unwrap())).map(|()| false)
            });
            assert!(died.await, "there are more steps than {steps}");
            deaths += 1;
        }
        redis.close().await;
        let redis = redis_bench::open(&options).await;
        for info in redis.list("", None, 9).await.unwrap() {
            let log = contents(&*redis, info.name.as_str()).await;
            assert!(log.records.iter().all(|record| record.intact), "{info:?}");
        }
        redis.close().await;
    }
    assert_eq!(deaths, 5);
    let redis = redis_bench::open(&options).await;
    quietly(&source, &*redis, Moving::IsNotYetDone).await.unwrap();
    assert_eq!(everything(&*redis).await, all);
    assert_eq!(unfinished(&*redis).await, Ok(None));
}
