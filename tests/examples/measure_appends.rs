//! How fast does the embedded store append here?
//!
//! `cargo run --release --example measure_appends -p commonplace-tests` writes below the folder that it is run in, so run it on
//! the disk that is asked about.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use commonplace::store::Store;
use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace_tests::logs::{name, put};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir_in(".").expect("this folder can be written");
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).expect("the store opens");
    let times = append(&store, "single", 3000).await;
    println!(
        "one appender, 200 bytes: p50 {:?}, p99 {:?}",
        percentile(&times, 50),
        percentile(&times, 99)
    );
    for appenders in [8_u64, 64, 512] {
        let (before, start) = (commits(&store), now());
        let tasks = (0..appenders).map(|n| {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || {
                let log = format!("log{n}");
                let appends = append(&store, &log, 20_000 / appenders);
                tokio::runtime::Handle::current().block_on(appends)
            })
        });
        let times = join_all(tasks).await.into_iter();
        let mut times: Vec<_> = times.flat_map(|times| times.expect("appending works")).collect();
        let took = start.elapsed();
        times.sort_unstable();
        println!(
            "{appenders} appenders: {:.0} appends/s, p50 {:?}, p99 {:?}, {:.1} appends a commit",
            times.len() as f64 / took.as_secs_f64(),
            percentile(&times, 50),
            percentile(&times, 99),
            times.len() as f64 / (commits(&store) - before) as f64,
        );
    }
    store.close().await;
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

/// How long each of so many appends took, the shortest first.
async fn append(store: &SqliteStore, log: &str, count: u64) -> Vec<Duration> {
    let log = name(log);
    let mut times = Vec::new();
    for _ in 0..count {
        let start = now();
        put(store, &log, vec![7; 200]).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[sorted.len() * percent / 100]
}

fn commits(store: &SqliteStore) -> u64 {
    store.counts().commits.load(Ordering::Relaxed)
}
