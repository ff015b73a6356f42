//! Histories run in processes of their own: when one dies or hangs, its marker file names the seed.

use super::hostile::Tally;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Two cores here and in CI.
const WORKERS: u64 = 2;

/// Far beyond what one history takes, on a busy machine too.
const HANG: Duration = Duration::from_secs(60);

/// As deep as the stack of the server's document threads.
const STACK: usize = 64 << 20;

/// How many histories to play: more with `GATE_TIMES=10`.
pub(crate) fn histories(usual: u64) -> u64 {
    std::env::var("GATE_TIMES")
        .ok()
        .and_then(|times| times.parse::<u64>().ok())
        .map_or(usual, |times| usual * times)
}

fn first_seed() -> u64 {
    std::env::var("GATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// Plays histories in worker processes and adds up what they did.
pub(crate) fn run(worker: &str, histories: u64) -> Tally {
    let dir = tempfile::tempdir().unwrap();
    let share = histories.div_ceil(WORKERS);
    let children: Vec<(Child, PathBuf)> = (0..WORKERS)
        .map(|n| {
            let marker = dir.path().join(format!("{n}"));
            let first = first_seed() + n * share;
            (start(worker, first..first + share, &marker), marker)
        })
        .collect();
    let markers: Vec<_> = children.iter().map(|(_, marker)| marker.clone()).collect();
    let read = |marker: &PathBuf| std::fs::read_to_string(marker).unwrap_or_default();
    let (done, ended) = mpsc::channel();
    for (mut child, marker) in children {
        let done = done.clone();
        std::thread::spawn(move || done.send((child.wait().unwrap(), marker)));
    }
    let mut total = Tally::default();
    let mut running = WORKERS;
    let mut seen: Vec<String> = Vec::new();
    while running > 0 {
        let Ok((status, marker)) = ended.recv_timeout(HANG) else {
            // Each history takes milliseconds: whoever is still at the same one hangs.
            let now: Vec<String> = markers.iter().map(read).collect();
            let hangs =
                now.iter().zip(&seen).any(|(now, seen)| now.starts_with("seed") && now == seen);
            assert!(!hangs, "{worker} hangs; replay with GATE_SEED: {now:?}");
            seen = now;
            continue;
        };
        running -= 1;
        let text = read(&marker);
        assert!(status.success(), "{worker}: {status}; replay with GATE_SEED: {text}");
        let numbers: Vec<usize> =
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [offered, admitted, contained] = numbers[..] else {
            panic!("{worker} did not finish: {text}")
        };
        total.offered += offered;
        total.admitted += admitted;
        total.contained += contained;
    }
    total
}

fn start(worker: &str, seeds: Range<u64>, marker: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", worker, "--nocapture", "--test-threads=1"])
        .env("GATE_SEEDS", format!("{} {}", seeds.start, seeds.end))
        .env("GATE_MARKER", marker)
        // Freed memory is overwritten at once, so that whoever reads it again does not get away with it.
        .env("MALLOC_PERTURB_", "165")
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The worker's side: one history after the other, on a deep stack, its seed in the marker before it begins.
pub(crate) fn work(history: fn(u64, &mut Tally)) {
    let (Ok(seeds), Ok(marker)) = (std::env::var("GATE_SEEDS"), std::env::var("GATE_MARKER"))
    else {
        return play_here(history);
    };
    let mut seeds = seeds.split(' ').map(|seed| seed.parse::<u64>().unwrap());
    let seeds = seeds.next().unwrap()..seeds.next().unwrap();
    std::panic::set_hook(Box::new(|info| {
        // Panics of yrs are contained and counted; ours end the worker with a message.
        if !info.location().is_some_and(|at| at.file().contains("yrs-")) {
            eprintln!("{info}");
        }
    }));
    let play = move || {
        let mut tally = Tally::default();
        for seed in seeds {
            std::fs::write(&marker, format!("seed {seed}")).unwrap();
            history(seed, &mut tally);
        }
        std::fs::write(
            &marker,
            format!("{} {} {}", tally.offered, tally.admitted, tally.contained),
        )
        .unwrap();
    };
    std::thread::Builder::new().stack_size(STACK).spawn(play).unwrap().join().unwrap();
}

/// Run by hand: `GATE_SEED=7 cargo test -p commonplace-tests --test gate hostile::worker` plays that history, with its panics.
fn play_here(history: fn(u64, &mut Tally)) {
    let seeds =
        if std::env::var("GATE_SEED").is_ok() { first_seed()..first_seed() + 1 } else { 0..20 };
    let play = move || {
        let mut tally = Tally::default();
        for seed in seeds {
            history(seed, &mut tally);
        }
        assert!(tally.admitted > 0);
    };
    std::thread::Builder::new().stack_size(STACK).spawn(play).unwrap().join().unwrap();
}
