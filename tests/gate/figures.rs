//! What does the gate cost? `GATE_TIMES=10 cargo test -p commonplace-tests --test gate figures -- --nocapture` prints it.

use super::document::{MAX_BLOCKS, feed, new_doc, state};
use super::wire::{Block, Content, Parent, Update};
use super::workers;
use commonplace::gate::{Anyone, Gate};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Instant;

/// Ten times this is the trace everybody measures with: one person's keystrokes over a paper, here at random places.
const EDITS: u64 = 26_000;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "time is what is asked")]
fn a_long_document() {
    let edits = u32::try_from(workers::histories(EDITS)).unwrap();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut updates = Vec::new();
    let (mut shown, mut cursor, mut clock) = (Vec::new(), 0, 0);
    for _ in 0..edits {
        if rng.random_range(0..20) == 0 {
            cursor = rng.random_range(0..=shown.len());
        }
        let mut update = Update::default();
        if cursor > 0 && rng.random_range(0..10) < 3 {
            cursor -= 1;
            update.deletes.push((1, vec![(shown.remove(cursor), 1)]));
        } else {
            let at = |index: Option<usize>| {
                index.and_then(|index| shown.get(index)).map(|clock| (1, *clock))
            };
            let parent = Parent::Root("t".to_owned());
            let content = Content::Text("x".to_owned());
            let (origin, right) = (at(cursor.checked_sub(1)), at(Some(cursor)));
            update.sections.push((
                1,
                clock,
                vec![Block { origin, right, parent, key: None, content }],
            ));
            shown.insert(cursor, clock);
            (cursor, clock) = (cursor + 1, clock + 1);
        }
        updates.push(update.bytes());
    }
    let before = resident_kib();
    let begin = Instant::now();
    let mut gate = Gate::new();
    for bytes in &updates {
        gate.admit(bytes, &mut Anyone).unwrap();
    }
    let took = begin.elapsed();
    let after = resident_kib();
    println!(
        "gate, edit by edit: {took:?}, {:?} each, {} KiB",
        took / edits,
        after.saturating_sub(before)
    );

    let (before, begin) = (resident_kib(), Instant::now());
    let doc = new_doc();
    for bytes in &updates {
        feed(&doc, bytes, MAX_BLOCKS).unwrap();
    }
    println!(
        "yrs, edit by edit: {:?}, {} KiB",
        begin.elapsed(),
        resident_kib().saturating_sub(before)
    );

    let state = state(&doc);
    let (before, begin) = (resident_kib(), Instant::now());
    let mut restored = Gate::new();
    restored.restore(&state).unwrap();
    let took = begin.elapsed();
    println!(
        "gate, from a state of {} KiB: {took:?}, {} KiB",
        state.len() / 1024,
        resident_kib().saturating_sub(before)
    );
    assert_eq!(restored.state_vector(), gate.state_vector());
    assert!(gate.knows(&state) && updates.iter().all(|bytes| restored.knows(bytes)));
}
