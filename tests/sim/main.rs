//! Do rooms and their peers keep their promises whatever fails?
//!
//! Thousands of seeded worlds in virtual time. The oracle: what a page called *saved*, and what anyone was shown, is in a fresh load of the store
//! after every crash; at rest all replicas and the store agree; what was refused is nowhere.
//!
//! A failing seed is printed with the command that replays it. `SIM_FIRST_SEED`, `SIM_SEEDS` and `SIM_OPERATIONS` choose others.

mod client;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Tally, World};

/// Worlds in the ordinary run.
const SEEDS: u64 = 1_000;

/// Operations in each.
const OPERATIONS: u64 = 2_000;

/// As much stack as the server gives its own threads.
const STACK: usize = 64 * 1024 * 1024;

fn run(seed: u64, operations: u64) -> Result<Tally, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed);
        for operation in 0..operations {
            world.operate().map_err(|what| format!("operation {operation}: {what}"))?;
        }
        world.come_to_rest()?;
        Ok(world.tally)
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn every_promise_is_kept_in_every_world() {
    let first = number("SIM_FIRST_SEED", 1);
    let seeds = number("SIM_SEEDS", SEEDS);
    let operations = number("SIM_OPERATIONS", OPERATIONS);
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let totals = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let worker = || loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return;
                }
                match run(seed, operations) {
                    Ok(tally) => {
                        totals.lock().expect("no thread panics with it").add(tally);
                    }
                    Err(what) => {
                        failures.lock().expect("no thread panics with it").push((seed, what))
                    }
                }
            };
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, worker)
                .expect("a thread");
        }
    });
    let totals = totals.into_inner().expect("no thread panicked with it");
    println!("{seeds} worlds of {operations} operations from seed {first}: {totals:?}");
    let failures = failures.into_inner().expect("no thread panicked with it");
    for (seed, what) in failures.iter().take(10) {
        println!("seed {seed} failed: {what}");
        println!(
            "  replay: SIM_FIRST_SEED={seed} SIM_SEEDS=1 cargo test --package commonplace-tests --test sim -- --nocapture"
        );
    }
    assert!(failures.is_empty(), "{} of {seeds} worlds broke a promise", failures.len());
    assert!(
        totals.saved > seeds && totals.faults > seeds,
        "the worlds did too little to prove anything: {totals:?}"
    );
}

/// Seeds that once broke a promise, by what was wrong.
#[track_caller]
fn pinned(seed: u64) {
    if let Err(what) = run(seed, OPERATIONS) {
        panic!("seed {seed}: {what}");
    }
}

#[test]
fn a_lost_answer_is_sent_again_without_a_second_question() {
    pinned(370);
    pinned(393);
}

#[test]
fn a_peer_that_falls_behind_while_it_becomes_live_is_behind() {
    pinned(148);
    pinned(627);
}
