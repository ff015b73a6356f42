//! How do people write, where nobody was recorded?
//!
//! Two authors take turns of a burst each. In a burst letters follow each other; now and then the last few are taken back and typed anew.
//! Between bursts an author stays where they were, jumps somewhere else, pastes a sentence or takes one out. Mostly each has seen all the
//! other did; sometimes both write at once.

use super::{Act, Patch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SEED: u64 = 1;

/// Letters in a burst.
const BURST: std::ops::Range<u32> = 5..60;

/// The longest sentence that is pasted or taken out.
const SENTENCE: u32 = 80;

/// The shortest text that is worth jumping about in.
const WORTH_JUMPING: u32 = 200;

const LETTERS: &[u8] = b"etaoin shrdlu etaoin shr cmfwyp vbgkjqxz,.";

/// One author's view of the text.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    len: u32,
    caret: u32,
    seen: [usize; 2],
}

/// A history of at least so many edits.
pub(super) fn write(edits: usize) -> Vec<Act> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut acts: Vec<Act> = Vec::with_capacity(edits + BURST.end as usize * 2);
    let mut view = View::default();
    while acts.len() < edits {
        if random.random_bool(0.1) {
            both_at_once(&mut random, &mut acts, &mut view);
        } else {
            let author = random.random_range(0..2);
            burst(&mut random, &mut acts, &mut view, author);
        }
    }
    acts
}

/// Both see the same text, write without seeing each other, and then have it all.
fn both_at_once(random: &mut StdRng, acts: &mut Vec<Act>, view: &mut View) {
    let before = *view;
    let mut after = [before; 2];
    for (author, view) in after.iter_mut().enumerate() {
        view.caret = random.random_range(0..=before.len);
        type_letters(random, acts, view, author);
    }
    let added = after.map(|view| view.len - before.len);
    view.len = before.len + added[0] + added[1];
    view.seen = [after[0].seen[0], after[1].seen[1]];
}

fn burst(random: &mut StdRng, acts: &mut Vec<Act>, view: &mut View, author: usize) {
    if view.len > WORTH_JUMPING && random.random_bool(0.3) {
        view.caret = random.random_range(0..=view.len);
    }
    match random.random_range(0..20) {
        0 => {
            let pasted = letters(random, SENTENCE);
            act(acts, view, author, 0, &pasted);
        }
        1 if view.caret > SENTENCE => {
            view.caret -= SENTENCE;
            act(acts, view, author, SENTENCE, "");
        }
        _ => type_letters(random, acts, view, author),
    }
}

fn type_letters(random: &mut StdRng, acts: &mut Vec<Act>, view: &mut View, author: usize) {
    let count = random.random_range(BURST);
    let mut own = 0;
    for _ in 0..count {
        if own > 3 && random.random_bool(0.05) {
            for _ in 0..random.random_range(1..=3) {
                view.caret -= 1;
                own -= 1;
                act(acts, view, author, 1, "");
            }
        }
        let letter = letters(random, 1);
        act(acts, view, author, 0, &letter);
        own += 1;
    }
}

fn letters(random: &mut StdRng, count: u32) -> String {
    (0..count).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

fn act(acts: &mut Vec<Act>, view: &mut View, author: usize, deleted: u32, inserted: &str) {
    let patch = Patch { at: view.caret, deleted, inserted: inserted.to_owned() };
    acts.push(Act { author, seen: view.seen, patches: vec![patch] });
    view.seen[author] += 1;
    let added = inserted.len() as u32;
    view.caret += added;
    view.len = view.len + added - deleted;
}
