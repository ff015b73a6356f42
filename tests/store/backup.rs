//! Do backups, restores, checks and exports tell the truth, beside a running server and after it?

use crate::bench::{raw, reopen};
use bytes::Bytes;
use commonplace::backup::{
    BackupError, Existing, LogContent, Source, backup, export, quarantine, read_export, release,
    restore, verify,
};
use commonplace::store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use commonplace::store::{Bookmark, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{all, fresh, name, put};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

fn open(dir: &Path) -> Arc<SqliteStore> {
    reopen(dir, SqliteOptions::default())
}

async fn started() -> (TempDir, Arc<SqliteStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..50 {
        put(&*store, &name("note/a"), vec![n; 5000]).await;
        put(&*store, &name("note/b"), vec![n; 10]).await;
    }
    store
        .compact(
            &name("note/a"),
            Snapshot { covers: Position(40), last: None, bytes: "state".into() },
        )
        .await
        .unwrap();
    store.put_blob(&name("blob"), vec![5; 100_000].into()).await.unwrap();
    (dir, store)
}

fn content_is_fine(_: &LogContent) -> Result<(), String> {
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_is_one_moment_of_it() {
    let (dir, store) = started().await;
    let goes_on = Arc::new(AtomicBool::new(true));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (store, goes_on) = (Arc::clone(&store), Arc::clone(&goes_on));
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                // Always to both logs: the second never has more than the first, at any one moment.
                let (first, second) = (name(&format!("pair/{n}/1")), name(&format!("pair/{n}/2")));
                while goes_on.load(Ordering::Relaxed) {
                    runtime.block_on(async {
                        put(&*store, &first, vec![n; 500]).await;
                        put(&*store, &second, vec![n; 500]).await;
                    });
                }
            })
        })
        .collect();
    let out = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let before = store.list("pair/", None, 9).await.unwrap();
        let file = out.path().join(format!("backup{round}"));
        let saved = backup(dir.path(), &file).unwrap();
        assert_eq!(saved.damaged, []);
        assert_eq!(saved.bytes, std::fs::metadata(&file).unwrap().len());
        let source = Source::file(&file).unwrap();
        let heads: Vec<u64> =
            source.list("pair/", None, 9).await.unwrap().iter().map(|info| info.head.0).collect();
        for pair in heads.chunks(2) {
            assert!(pair.len() < 2 || pair[0] == pair[1] || pair[0] == pair[1] + 1, "{heads:?}");
        }
        for info in before {
            let copied = source.list(info.name.as_str(), None, 1).await.unwrap().remove(0);
            assert!(copied.head >= info.head, "what was acknowledged before is in it");
        }
        assert!(verify(&file, &content_is_fine).unwrap().is_whole());
    }
    goes_on.store(false, Ordering::Relaxed);
    futures_util::future::join_all(writers).await.into_iter().for_each(|result| result.unwrap());
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 3, "nothing else is left there");
}

#[tokio::test]
async fn a_backup_replaces_nothing() {
    let (dir, _store) = started().await;
    let file = dir.path().join("backup");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(backup(dir.path(), &file), Err(BackupError::Exists(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(matches!(
        backup(nowhere.path(), &nowhere.path().join("b")),
        Err(BackupError::NotFound(_))
    ));
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_restored_directory_serves_what_was_backed_up() {
    let (dir, store) = started().await;
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("backup");
    backup(dir.path(), &file).unwrap();
    put(&*store, &name("note/b"), "newer").await;

    let fresh_dir = out.path().join("new/data");
    let restored = restore(&file, &fresh_dir, Existing::Keep).unwrap();
    assert_eq!((restored.saved.logs, restored.moved_to), (2, None));
    let second = open(&fresh_dir);
    assert!(second.restored_at().is_some() && store.restored_at().is_none());
    assert_eq!(
        all(&*second, &name("note/b"), 0).await,
        all(&*store, &name("note/b"), 0).await[..50]
    );
    assert_eq!(
        second
            .read(&name("note/a"), Bookmark::at(Position(0)))
            .await
            .unwrap()
            .snapshot
            .unwrap()
            .bytes,
        "state"
    );
    assert_eq!(second.get_blob(&name("blob")).await.unwrap().unwrap().len(), 100_000);
    assert_eq!(put(&*second, &name("note/b"), "other").await, Position(51));

    // Not under a running server, and not over data.
    let refused = restore(&file, dir.path(), Existing::MoveAside).unwrap_err();
    assert!(matches!(refused, BackupError::Open(OpenError::Locked { .. })), "{refused}");
    store.close().await;
    let refused = restore(&file, dir.path(), Existing::Keep).unwrap_err();
    assert!(matches!(refused, BackupError::Occupied(_)), "{refused}");
    assert_eq!(all(&*open(dir.path()), &name("note/b"), 0).await.len(), 51);

    let restored = restore(&file, dir.path(), Existing::MoveAside).unwrap();
    assert_eq!(all(&*open(dir.path()), &name("note/b"), 0).await.len(), 50);
    let aside = restored.moved_to.unwrap();
    assert_eq!(
        all(&*open(&aside), &name("note/b"), 0).await.len(),
        51,
        "the former data is whole where it went"
    );
}

#[tokio::test]
async fn a_damaged_directory_is_restored_over() {
    let (dir, store) = started().await;
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("backup");
    backup(dir.path(), &file).unwrap();
    store.close().await;
    drop(store);
    std::fs::write(dir.path().join("commonplace.db"), vec![1; 9000]).unwrap();
    assert!(SqliteStore::open(dir.path(), SqliteOptions::default()).is_err());
    restore(&file, dir.path(), Existing::MoveAside).unwrap();
    assert_eq!(all(&*open(dir.path()), &name("note/b"), 0).await.len(), 50);
    // And one whose database is gone.
    std::fs::remove_file(dir.path().join("commonplace.db")).unwrap();
    assert!(matches!(restore(&file, dir.path(), Existing::Keep), Err(BackupError::Occupied(_))));
    restore(&file, dir.path(), Existing::MoveAside).unwrap();
    assert_eq!(all(&*open(dir.path()), &name("note/b"), 0).await.len(), 50);
}

#[tokio::test]
async fn a_restore_takes_backups_only() {
    let (dir, store) = started().await;
    let out = tempfile::tempdir().unwrap();
    let (file, data) = (out.path().join("backup"), out.path().join("data"));
    assert!(matches!(restore(&file, &data, Existing::Keep), Err(BackupError::NotFound(_))));
    std::fs::write(&file, "not a backup at all").unwrap();
    assert!(matches!(restore(&file, &data, Existing::Keep), Err(BackupError::Foreign(_))));
    std::fs::remove_file(&file).unwrap();
    backup(dir.path(), &file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for cut in [100, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let refused = restore(&file, &data, Existing::Keep);
        assert!(
            matches!(refused, Err(BackupError::Damaged { .. } | BackupError::Foreign(_))),
            "{cut}: {refused:?}"
        );
        assert!(!data.exists());
    }
    drop(store);
}

#[tokio::test]
async fn verify_finds_what_is_wrong_and_where() {
    let (dir, store) = started().await;
    let judged = |log: &LogContent| {
        // Whole logs are judged, from their snapshot on.
        let start = log.snapshots.first().map_or(0, |snapshot| snapshot.covers.0);
        assert_eq!(start + log.entries.len() as u64, 50);
        if log.name == name("note/b") { Err("nonsense".into()) } else { Ok(()) }
    };
    let report = verify(dir.path(), &judged).unwrap();
    assert_eq!(report.structure, Ok(()));
    assert_eq!(
        report.logs.iter().map(|log| (log.entries, log.snapshots)).collect::<Vec<_>>(),
        [(10, 1), (50, 0)]
    );
    assert_eq!(report.logs[0].verdict, Ok(()));
    assert_eq!(report.logs[1].verdict, Err("nonsense".into()));
    assert!(!report.is_whole());

    store.quarantine(&name("note/a"), "by hand").await.unwrap();
    let changed = raw(dir.path())
        .execute("UPDATE entries SET bytes = x'00' WHERE log = (SELECT id FROM logs WHERE name = 'note/b') AND position = 7", [])
        .unwrap();
    assert_eq!(changed, 1);
    raw(dir.path())
        .execute("UPDATE parts SET bytes = x'00' WHERE object = (SELECT object FROM blobs)", [])
        .unwrap();
    let report = verify(dir.path(), &content_is_fine).unwrap();
    assert!(report.logs[0].is_whole(), "set aside is not damaged");
    assert_eq!(report.logs[0].quarantined.as_deref(), Some("by hand"));
    assert_eq!(report.logs[1].damaged, ["entry 7"]);
    assert_eq!(report.damaged_blobs, [name("blob")]);
    assert!(!report.is_whole());

    // A backup of it says so too, and keeps everything as it is.
    let file = dir.path().join("backup");
    assert_eq!(backup(dir.path(), &file).unwrap().damaged, [name("note/b")]);
    assert_eq!(verify(&file, &content_is_fine).unwrap().logs[1].damaged, ["entry 7"]);
}

#[tokio::test]
async fn an_export_holds_every_record_and_reads_back() {
    let (dir, store) = started().await;
    raw(dir.path())
        .execute("UPDATE entries SET bytes = x'ff' WHERE log = (SELECT id FROM logs WHERE name = 'note/a') AND position = 45", [])
        .unwrap();
    let mut bytes = Vec::new();
    let source = Source::file(dir.path()).unwrap();
    let exported = export(&source, &name("note/a"), &mut bytes).await.unwrap();
    assert_eq!((exported.records, exported.damaged), (11, 1));
    assert!(bytes.starts_with(b"commonplace log 1\n\x0b\0\0\0\0\0\0\0\x02\x01\x28\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0state\x01\x01\x29"));
    let bytes = Bytes::from(bytes);
    let mut there = store.read_raw(&name("note/a")).await.unwrap();
    // An export has no room for ids: what outlives this program needs none.
    there.iter_mut().for_each(|record| record.id = None);
    assert_eq!(read_export(&bytes).unwrap(), there);
    for cut in (0..bytes.len()).step_by(97).chain(bytes.len() - 20..bytes.len()) {
        assert_eq!(read_export(&bytes.slice(..cut)), None, "cut at {cut}");
    }
    let missing = export(&source, &name("nothing"), &mut Vec::new()).await;
    assert!(matches!(missing, Err(BackupError::NoSuchLog(_))));
}

#[tokio::test]
async fn setting_aside_by_hand_needs_the_server_to_be_stopped() {
    let (dir, store) = started().await;
    let log = name("note/b");
    let refused = quarantine(dir.path(), &log, "why").unwrap_err();
    assert!(refused.to_string().contains("stop that one first"), "{refused}");
    assert!(release(dir.path(), &log).is_err());
    store.close().await;
    quarantine(dir.path(), &log, "why").unwrap();
    let store = open(dir.path());
    let refused = store.append(&log, None, fresh(), "x".into()).await;
    assert_eq!(refused, Err(StoreError::Quarantined("why".into())));
    store.close().await;
    drop(store);
    release(dir.path(), &log).unwrap();
    assert_eq!(put(&*open(dir.path()), &log, "x").await, Position(51));
}
