//! The parts of the index on their own.

#![expect(clippy::single_range_in_vec_init, reason = "sets of clocks are lists of ranges")]

use super::*;

#[test]
fn intervals_join_and_show_gaps() {
    let mut set = Intervals::default();
    for range in [4..6, 10..12, 6..7, 0..1, 5..5] {
        set.insert(range);
    }
    assert_eq!(set.len(), 3);
    assert_eq!(
        (0..13).filter(|clock| set.contains(*clock)).collect::<Vec<_>>(),
        [0, 4, 5, 6, 10, 11]
    );
    let gaps = |set: &Intervals, range| set.gaps(range).collect::<Vec<_>>();
    assert_eq!(gaps(&set, 0..13), [1..4, 7..10, 12..13]);
    assert_eq!(gaps(&set, 5..11), [7..10]);
    assert_eq!(gaps(&set, 4..7), []);
    assert_eq!(gaps(&set, 2..3), [2..3]);
    assert_eq!(gaps(&set, 3..3), []);
    set.insert(1..10);
    assert_eq!((set.len(), gaps(&set, 0..13)), (1, vec![12..13]));
}

/// The same tree as a list, the slow way: insert where Yjs would, look at the end.
#[derive(Default)]
struct List {
    entries: Vec<(Id, Option<Id>)>,
}

impl List {
    fn insert(&mut self, id: Id, origin: Option<Id>) {
        let place = |of: Option<Id>| {
            of.map(|of| self.entries.iter().position(|(id, _)| *id == of).unwrap())
        };
        let mut left = place(origin);
        let mut before_origin = Vec::new();
        let mut conflicting = Vec::new();
        let mut at = left.map_or(0, |left| left + 1);
        while let Some((other, others_origin)) = self.entries.get(at).copied() {
            before_origin.push(other);
            conflicting.push(other);
            if others_origin == origin {
                if other.client < id.client {
                    left = Some(at);
                    conflicting.clear();
                } else {
                    break;
                }
            } else if others_origin.is_some_and(|origin| before_origin.contains(&origin)) {
                if !conflicting.contains(&others_origin.unwrap()) {
                    left = Some(at);
                    conflicting.clear();
                }
            } else {
                break;
            }
            at += 1;
        }
        self.entries.insert(left.map_or(0, |left| left + 1), (id, origin));
    }
}

#[test]
fn a_chain_knows_the_end_of_the_list_yjs_makes() {
    use rand::{Rng, RngExt, SeedableRng};
    for seed in 0..2000 {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
        let (mut chain, mut list) = (Chain::default(), List::default());
        let mut entries: Vec<(Id, u32)> = Vec::new();
        let mut clocks = [0; 4];
        for _ in 0..rng.random_range(1..40) {
            let of = rng.random_range(0..4u64);
            let after = if entries.is_empty() || rng.random_bool(0.2) {
                None
            } else if rng.random_bool(0.6) {
                entries.last().copied()
            } else {
                Some(entries[rng.next_u64() as usize % entries.len()])
            };
            let clock = &mut clocks[of as usize];
            let first = Id { client: ClientId::new(of).unwrap(), clock: *clock };
            let len = if rng.random_bool(0.3) { 3 } else { 1 };
            *clock += len;
            let depth = after.map_or(0, |(_, depth)| depth + 1);
            let before = chain.clone();
            let mut outcome = chain.insert(after.map(|(id, _)| id), depth, first, len);
            // Taking it back and doing it again comes to the same.
            if let Inserted::Won { undo, .. } = outcome {
                chain.undo(undo);
                assert_eq!(chain, before, "seed {seed}");
                outcome = chain.insert(after.map(|(id, _)| id), depth, first, len);
            }
            let end = list.entries.last().map(|(id, _)| *id);
            let mut origin = after.map(|(id, _)| id);
            for n in 0..len {
                let id = Id { clock: first.clock + n, ..first };
                list.insert(id, origin);
                entries.push((id, depth + n));
                origin = Some(id);
            }
            let now = list.entries.last().map(|(id, _)| *id);
            match outcome {
                Inserted::Lost => assert_eq!(now, end, "seed {seed}"),
                Inserted::Won { replaced, .. } => {
                    assert_eq!((replaced, now), (end, origin), "seed {seed}")
                }
            }
        }
    }
}
