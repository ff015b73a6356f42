//! What does the embedded store do in a process that is killed, traced, or locked in with a small disk?
//!
//! The store's tests start this program, as `store_worker PART DIRECTORY`; by itself it is of no use.
#![expect(clippy::print_stdout, reason = "its parent listens to what it says")]

use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace::store::{Position, Snapshot, Store, StoreError};
use commonplace_tests::logs::{all, fresh, name, put};
use std::path::Path;
use std::sync::Arc;

/// More entries than a small disk has room for.
const MANY: usize = 1000;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["append-until-killed", dir] => append_until_killed(Path::new(dir)).await,
        ["append-fifty", dir] => append_fifty(Path::new(dir)).await,
        ["fill-the-disk", dir] => fill_the_disk(Path::new(dir)).await,
        _ => panic!("the store's tests start this program; it does not know {words:?}"),
    }
}

fn open(dir: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(dir, SqliteOptions::default()).expect("the store opens")
}

/// Appends, and says each position when it is acknowledged. Ends when nobody listens any more, too.
async fn append_until_killed(dir: &Path) {
    let store = open(dir);
    let writers = (0..8).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let log = name(&format!("log{n}"));
            loop {
                let position = put(&*store, &log, vec![n; 300]).await;
                println!("acknowledged {n} {}", position.0);
                if position.0 % 25 == 0 {
                    let snapshot =
                        Snapshot { covers: position, last: None, bytes: vec![n; 20_000].into() };
                    store.compact(&log, snapshot).await.expect("the snapshot is taken");
                }
            }
        }
    });
    futures_util::future::join_all(writers).await;
}

/// Appends one after the other, and says so after each.
async fn append_fifty(dir: &Path) {
    let store = open(dir);
    for n in 0..50_u64 {
        put(&*store, &name(&format!("log{}", n % 3)), vec![7; 300]).await;
        println!("acknowledged {n}");
    }
}

/// Fills the file system that the directory is on, which has to be small, and goes on when there is room again. Fails loudly.
async fn fill_the_disk(dir: &Path) {
    let store = open(dir);
    let keeps = name("keeps");
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![0; 2_000_000]).expect("there is room for ballast");
    let append = || store.append(&keeps, None, fresh(), vec![2; 20_000].into());
    let mut written = 0;
    while append().await.is_ok() {
        written += 1;
        assert!(written < MANY, "this disk is not small, or is never full");
    }
    assert_eq!(append().await, Err(StoreError::Full));
    assert_eq!(store.health(), Err(StoreError::Full));
    assert_eq!(all(&*store, &keeps, 0).await.len(), written);
    std::fs::remove_file(ballast).expect("the ballast is there");
    assert_eq!(append().await, Ok(Position(written as u64 + 1)));
    assert_eq!(store.health(), Ok(()));
    store.close().await;
    drop(store);
    assert_eq!(all(&*open(dir), &keeps, 0).await.len(), written + 1);
    println!("kept {}", written + 1);
}
