//! What does the embedded store make of a disk that was cut off, damaged, emptied or taken by someone else?

use crate::bench::raw;
use bytes::Bytes;
use commonplace::store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use commonplace::store::{Bookmark, LogName, Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{all, name, put};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// The program that is killed and traced here.
const WORKER: &str = env!("CARGO_BIN_EXE_store_worker");

fn open(dir: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(dir, SqliteOptions::default())
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

/// What a log should read as: its newest snapshot, and what follows.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    snapshot: Option<Snapshot>,
    entries: Vec<(u64, Vec<u8>)>,
}

async fn content(store: &dyn Store, log: &LogName) -> Result<Content, StoreError> {
    let first = store.read(log, Bookmark::START).await?;
    let mut entries: Vec<_> =
        first.entries.iter().map(|entry| (entry.position.0, entry.bytes.to_vec())).collect();
    let mut more = first.more;
    while more {
        let page = store.read(log, Bookmark::at(Position(entries.last().unwrap().0))).await?;
        entries.extend(page.entries.iter().map(|entry| (entry.position.0, entry.bytes.to_vec())));
        more = page.more;
    }
    Ok(Content { snapshot: first.snapshot, entries })
}

/// A directory with logs of several kinds, closed cleanly, and what they read as.
async fn filled() -> (TempDir, Vec<(LogName, Content)>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut noise = |size: usize| {
        let mut bytes = vec![0; size];
        random.fill_bytes(&mut bytes);
        Bytes::from(bytes)
    };
    let logs: Vec<_> = (0..40).map(|n| name(&format!("note/{n:03}"))).collect();
    for (n, log) in logs.iter().enumerate() {
        for size in 0..30 {
            put(&*store, log, noise(size * n)).await;
        }
        for covers in (8..(n as u64).min(30)).step_by(7) {
            store
                .compact(
                    log,
                    Snapshot { covers: Position(covers), last: None, bytes: noise(n * 400) },
                )
                .await
                .unwrap();
        }
    }
    let mut contents = Vec::new();
    for log in logs {
        let found = content(&*store, &log).await.unwrap();
        contents.push((log, found));
    }
    store.close().await;
    (dir, contents)
}

fn tells_how_to_restore(error: &OpenError, dir: &Path) {
    let words = error.to_string();
    assert!(
        words.contains("commonplace restore FILE --data") && words.contains(dir.to_str().unwrap()),
        "{words}"
    );
}

#[tokio::test]
async fn a_clean_stop_and_start_keep_everything() {
    let (dir, contents) = filled().await;
    let store = open(dir.path()).unwrap();
    for (log, expected) in contents {
        assert_eq!(content(&*store, &log).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn one_wrong_byte_is_never_served() {
    let (dir, contents) = filled().await;
    let mut random = StdRng::seed_from_u64(2);
    let whole = std::fs::read(dir.path().join("commonplace.db")).unwrap();
    // Space that was never used is not interesting, and the first pages, where the tables begin, are more so than the rest.
    let mut used = |most: usize| loop {
        let place = random.random_range(0..most);
        if whole[place] != 0 {
            return (place, 1 << random.random_range(0..8));
        }
    };
    let mut places: Vec<(usize, u8)> = (0..150).map(|_| used(whole.len())).collect();
    places.extend((0..50).map(|_| used(20 * 4096)));
    let (mut refused, mut aside, mut unnoticed) = (0, 0, 0);
    for (place, flip) in places {
        let hurt = copy(dir.path());
        let file = hurt.path().join("commonplace.db");
        let mut bytes = whole.clone();
        bytes[place] ^= flip;
        std::fs::write(&file, bytes).unwrap();
        let store = match open(hurt.path()) {
            Ok(store) => store,
            Err(error) => {
                tells_how_to_restore(&error, hurt.path());
                refused += 1;
                continue;
            }
        };
        let mut hurts = 0;
        for (log, expected) in &contents {
            match content(&*store, log).await {
                // A damaged snapshot is replaced by an older one and more entries, which end in the same place.
                Ok(found) if found.snapshot == expected.snapshot => {
                    assert_eq!(found, *expected, "byte {place}");
                    // What is kept in reserve is not served, but it is known to be damaged.
                    let raw = store.read_raw(log).await.unwrap();
                    hurts += usize::from(raw.iter().any(|record| !record.intact));
                }
                Ok(found) => {
                    let covers =
                        found.snapshot.expect("a trimmed log starts with a snapshot").covers.0;
                    assert!(covers < expected.snapshot.as_ref().unwrap().covers.0, "byte {place}");
                    assert_eq!(found.entries[0].0, covers + 1, "byte {place}");
                    assert!(found.entries.ends_with(&expected.entries), "byte {place}");
                    hurts += 1;
                }
                Err(StoreError::Corrupt(_)) => {
                    let after = content(&*store, log).await;
                    assert!(
                        matches!(after, Err(StoreError::Quarantined(_))),
                        "byte {place}: {after:?}"
                    );
                    hurts += 1;
                }
                Err(StoreError::Quarantined(_)) => hurts += 1,
                Err(other) => panic!("byte {place}: {other}"),
            }
        }
        assert!(hurts <= 1, "byte {place}: one wrong byte hurt {hurts} logs");
        let listed = store.list("note/", None, 100).await.unwrap();
        assert!(
            listed.iter().map(|info| &info.name).eq(contents.iter().map(|(log, _)| log)),
            "byte {place}"
        );
        *(if hurts > 0 { &mut aside } else { &mut unnoticed }) += 1;
    }
    println!("refused {refused}, set aside or replaced {aside}, where it does no harm {unnoticed}");
    assert!(refused > 10 && aside > 100, "{refused} {aside} {unnoticed}");
}

#[tokio::test]
async fn a_missing_entry_is_noticed_wherever_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for gone in [1_u64, 3, 5] {
        let log = name(&format!("without{gone}"));
        for _ in 0..5 {
            put(&*store, &log, "x").await;
        }
        let sql = "DELETE FROM entries WHERE position = ?1 AND log = (SELECT id FROM logs WHERE name = ?2)";
        assert_eq!(raw(dir.path()).execute(sql, (gone as i64, log.as_str())).unwrap(), 1);
        let found = store.read(&log, Bookmark::START).await;
        assert_eq!(found, Err(StoreError::Corrupt(format!("entry {gone} is missing"))));
        let records = store.read_raw(&log).await.unwrap();
        let damaged: Vec<u64> =
            records.iter().filter(|r| !r.intact).map(|r| r.position.0).collect();
        assert_eq!((records.len(), damaged), (5, vec![gone]));
    }
}

#[tokio::test]
async fn a_write_ahead_log_cut_anywhere_keeps_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let log = name("a");
    let wal = |dir: &Path| dir.join("commonplace.db-wal");
    // How long the write-ahead log is when each entry has been acknowledged.
    let mut ends = vec![0];
    for n in 1..=40_u64 {
        put(&*store, &log, format!("entry {n}")).await;
        ends.push(std::fs::metadata(wal(dir.path())).unwrap().len());
    }
    let whole = copy(dir.path());
    drop(store);
    let bytes = std::fs::read(wal(whole.path())).unwrap();
    assert_eq!(bytes.len() as u64, ends[40], "the idle writer has not tidied up yet");
    let mut random = StdRng::seed_from_u64(3);
    let mut cuts: Vec<u64> = (0..60).map(|_| random.random_range(0..=ends[40])).collect();
    cuts.extend(ends.iter().skip(1).flat_map(|end| [*end, end - 1]));
    for cut in cuts {
        let committed = ends.iter().rposition(|end| *end <= cut).unwrap();
        for torn in [false, true] {
            let crashed = copy(whole.path());
            let mut left = bytes[..cut as usize].to_vec();
            if torn {
                // What came after the cut reached the disk as something else.
                left.extend(bytes[cut as usize..].iter().map(|byte| byte ^ 0x55));
            }
            std::fs::write(wal(crashed.path()), left).unwrap();
            let store = open(crashed.path()).unwrap();
            let expected: Vec<_> =
                (1..=committed as u64).map(|n| (n, format!("entry {n}").into_bytes())).collect();
            assert_eq!(all(&*store, &log, 0).await, expected, "cut at {cut}");
            assert_eq!(put(&*store, &log, "more").await, Position(committed as u64 + 1));
        }
    }
}

#[tokio::test]
async fn a_torn_checkpoint_is_repaired_from_the_write_ahead_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for n in 0..50 {
        put(&*store, &name(&format!("log{n}")), vec![7; 900]).await;
    }
    let torn = copy(dir.path());
    drop(store);
    // The copy to the database file was under way: its pages hold anything, the write-ahead log holds them all.
    let file = torn.path().join("commonplace.db");
    let size = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0xaa; size as usize]).unwrap();
    match open(torn.path()) {
        Ok(store) => assert_eq!(store.list("", None, 99).await.unwrap().len(), 50),
        Err(error) => tells_how_to_restore(&error, torn.path()),
    }
}

#[tokio::test]
async fn it_never_starts_empty_where_something_was() {
    let (dir, _) = filled().await;
    let file = "commonplace.db";

    let hurt = copy(dir.path());
    let mut bytes = std::fs::read(hurt.path().join(file)).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(hurt.path().join(file), bytes).unwrap();
    let error = open(hurt.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    tells_how_to_restore(&error, hurt.path());

    let gone = copy(dir.path());
    std::fs::remove_file(gone.path().join(file)).unwrap();
    let error = open(gone.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    tells_how_to_restore(&error, gone.path());
    assert!(!gone.path().join(file).exists(), "refusing creates nothing");

    let empty = copy(dir.path());
    std::fs::write(empty.path().join(file), b"").unwrap();
    assert!(matches!(open(empty.path()).unwrap_err(), OpenError::Missing { .. }));

    let (other, _) = filled().await;
    let swapped = copy(dir.path());
    std::fs::copy(other.path().join(file), swapped.path().join(file)).unwrap();
    let error = open(swapped.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");

    let foreign = tempfile::tempdir().unwrap();
    raw(foreign.path()).execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open(foreign.path()).unwrap_err(), OpenError::Foreign { .. }));
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    // What SQLite leaves when the process dies between making the file and the first commit.
    raw(dir.path()).execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let store = open(dir.path()).unwrap();
    put(&*store, &name("a"), "1").await;
    // And when it dies before the marker is written.
    drop(store);
    std::fs::remove_file(dir.path().join("commonplace.id")).unwrap();
    assert_eq!(all(&*open(dir.path()).unwrap(), &name("a"), 0).await.len(), 1);
    assert!(dir.path().join("commonplace.id").exists());
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (dir, _) = filled().await;
    raw(dir.path())
        .execute_batch("PRAGMA user_version = 2; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let before = std::fs::read(dir.path().join("commonplace.db")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    assert_eq!(std::fs::read(dir.path().join("commonplace.db")).unwrap(), before);
}

#[tokio::test]
async fn one_directory_serves_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    store.close().await;
    assert!(open(dir.path()).is_ok());
}

#[tokio::test]
async fn erased_words_are_gone_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let secret = b"the secret words of a note";
    for n in 0..20 {
        put(&*store, &name("a"), [&secret[..], &[n; 100]].concat()).await;
        put(&*store, &name("b"), vec![n; 100]).await;
    }
    store
        .compact(
            &name("a"),
            Snapshot { covers: Position(9), last: None, bytes: secret.repeat(1000).into() },
        )
        .await
        .unwrap();
    let found = |dir: &Path| {
        ["commonplace.db", "commonplace.db-wal"].iter().any(|file| {
            let bytes = std::fs::read(dir.join(file)).unwrap();
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    };
    assert!(found(dir.path()));
    store.delete(&name("a")).await.unwrap();
    store.close().await;
    assert!(!found(dir.path()));
}

#[test]
fn s1_no_acknowledgement_leaves_before_its_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let traced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,fdatasync,fsync,write"])
        .args([WORKER, "append-fifty"])
        .arg(dir.path())
        .output()
        .expect("this test needs strace: sudo apt-get install strace");
    let trace = String::from_utf8_lossy(&traced.stderr);
    assert!(traced.status.success(), "nothing can be traced here (is ptrace allowed?): {trace}");
    let (mut written, mut synced, mut acknowledged) = (false, false, 0);
    for line in trace.lines() {
        let wal = line.contains("commonplace.db-wal>");
        if wal && line.contains("pwrite64(") {
            (written, synced) = (true, false);
        } else if line.contains("sync(") || line.contains("sync resumed>") {
            // A call that another thread interrupts is printed in two lines; only the second says that it has returned.
            let waiting = line.contains("unfinished");
            synced |= written && !waiting && line.ends_with("= 0");
        } else if line.contains("write(1<") && line.contains("\"acknowledged ") {
            assert!(written && synced, "acknowledgement {acknowledged} left early:\n{line}");
            (written, synced, acknowledged) = (false, false, acknowledged + 1);
        }
    }
    assert_eq!(acknowledged, 50, "{trace}");
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(4);
    let mut acknowledged = [0_u64; 8];
    for _ in 0..12 {
        let mut child = Command::new(WORKER)
            .arg("append-until-killed")
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = random.random_range(1..600);
        let mut hear = |line: String| {
            let mut words = line.strip_prefix("acknowledged ")?.split(' ');
            let log: usize = words.next()?.parse().ok()?;
            acknowledged[log] = words.next()?.parse::<u64>().ok()?.max(acknowledged[log]);
            Some(())
        };
        while left > 0 {
            let line = lines.next().expect("the child runs until it is killed").unwrap();
            left -= usize::from(hear(line).is_some());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts too; its last line may be cut short and then counts for nothing.
        lines.map_while(Result::ok).for_each(|line| hear(line).unwrap_or_default());
        let store = open(dir.path()).unwrap();
        for (n, acknowledged) in acknowledged.iter().enumerate() {
            let log = name(&format!("log{n}"));
            let found = content(&*store, &log).await.unwrap();
            let first = found.snapshot.map_or(0, |snapshot| snapshot.covers.0);
            assert!(
                found
                    .entries
                    .iter()
                    .map(|entry| entry.0)
                    .eq(first + 1..=first + found.entries.len() as u64)
            );
            assert!(first + found.entries.len() as u64 >= *acknowledged);
        }
    }
    assert!(acknowledged.iter().all(|count| *count > 0), "{acknowledged:?}");
}
