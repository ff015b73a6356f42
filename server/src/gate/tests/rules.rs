//! The rules.

use super::*;
use At::*;

const SEED: u32 = 3;

/// Client 1 wrote "abc" into the root `t`.
fn abc() -> Gate {
    let mut gate = Gate::new();
    assert!(admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text("abc"))])));
    gate
}

/// Client 1 made two arrays 1@0 and 1@1 in the root `a`, with "x" (1@2) in the first and "y" (1@3) in the second.
fn two_arrays() -> Gate {
    let mut gate = Gate::new();
    let blocks = [
        block(Root("a"), ytype(0)),
        block(After(1, 0), ytype(0)),
        block(Type(1, 0), any(&[1])),
        block(Type(1, 1), any(&[2])),
    ];
    assert!(admits(&mut gate, hand().section(1, 0, &blocks)));
    gate
}

#[test]
fn the_empty_update_is_no_news() {
    assert!(!admits(&mut Gate::new(), hand()));
}

#[test]
fn what_is_known_is_no_news() {
    let mut gate = abc();
    assert!(!admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text("abc"))])));
    assert!(!admits(&mut gate, hand().section(1, 1, &[block(After(1, 0), text("bc"))])));
    assert!(admits(&mut gate, hand().delete(1, &[(1, 1)])));
    assert!(!admits(&mut gate, hand().delete(1, &[(1, 1)])));
    assert!(admits(&mut gate, hand().delete(1, &[(0, 2)])));
    assert!(admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text("abcd"))])));
    assert_eq!(gate.state_vector().get(ClientId::new(1).unwrap()), SEED + 1);
}

#[test]
fn malformed_bytes_are_refused_and_holes_are_gaps() {
    let mut gate = abc();
    assert!(matches!(gate.admit(&[0], &mut Anyone), Err(Refusal::Malformed(_))));
    let hole = hand().section(1, 3, &[vec![BLOCK_SKIP, 2]]);
    refuses(&mut gate, hole, &Refusal::Gap);
}

#[test]
fn g1_a_section_continues_what_is_known() {
    let mut gate = abc();
    refuses(&mut gate, hand().section(1, 4, &[block(After(1, 2), text("e"))]), &Refusal::Gap);
    refuses(&mut gate, hand().section(2, 1, &[gc(1)]), &Refusal::Gap);
    admits(&mut gate, hand().section(1, 3, &[block(After(1, 2), text("d"))]));
}

#[test]
fn g2_what_is_referred_to_is_known() {
    let mut gate = abc();
    for at in [After(1, 3), Before(1, 3), Between((1, 0), (1, 3)), Type(9, 0), After(9, 0)] {
        refuses(&mut gate, hand().section(2, 0, &[block(at, text("x"))]), &Refusal::Gap);
    }
    // Later in the same update is as good, whichever way round the sections come.
    let two = [block(After(3, 0), text("x"))];
    let three = [block(After(1, 0), text("y"))];
    admits(&mut abc(), hand().section(2, 0, &two).section(3, 0, &three));
    admits(&mut abc(), hand().section(3, 0, &three).section(2, 0, &two));
}

#[test]
fn g2_nothing_refers_to_itself_or_its_future() {
    let circle = contradiction("a block refers to itself or to what comes after it");
    for at in [After(2, 0), Before(2, 0), Type(2, 0), After(2, 1), Between((1, 0), (2, 0))] {
        refuses(&mut abc(), hand().section(2, 0, &[block(at, text("xy"))]), &circle);
    }
    let around = hand().section(2, 0, &[block(After(3, 0), text("x"))]).section(
        3,
        0,
        &[block(After(2, 0), text("y"))],
    );
    refuses(&mut abc(), around, &circle);
}

#[test]
fn g3_nothing_is_before_and_after_the_same_unit() {
    let both = hand().section(2, 0, &[block(Between((1, 1), (1, 1)), text("x"))]);
    refuses(&mut abc(), both, &contradiction("it is before and after the same unit"));
}

#[test]
fn g4_neighbours_are_in_one_place() {
    let apart = contradiction("its neighbours are in different places");
    refuses(
        &mut two_arrays(),
        hand().section(2, 0, &[block(Between((1, 2), (1, 3)), any(&[3]))]),
        &apart,
    );
    refuses(
        &mut two_arrays(),
        hand().section(2, 0, &[block(Between((1, 0), (1, 3)), any(&[3]))]),
        &apart,
    );
    // The new part of a block known in part follows its known part: it cannot be in another type.
    refuses(
        &mut two_arrays(),
        hand().section(1, 3, &[block(Type(1, 0), any(&[2, 3]))]),
        &contradiction("it moves what is known"),
    );
    let mut gate = two_arrays();
    admits(&mut gate, hand().delete(1, &[(3, 1)]));
    refuses(&mut gate, hand().section(1, 3, &[block(Type(1, 0), any(&[2, 3]))]), &apart);
    // Keys are places too.
    let mut gate = abc();
    admits(&mut gate, hand().section(2, 0, &[block(RootKey("t", "k"), any(&[1]))]));
    refuses(&mut gate, hand().section(3, 0, &[block(Between((1, 0), (2, 0)), any(&[3]))]), &apart);
}

#[test]
fn g5_a_parent_is_a_type() {
    refuses(
        &mut abc(),
        hand().section(2, 0, &[block(Type(1, 0), text("x"))]),
        &contradiction("its parent is not a type"),
    );
    let mut gate = two_arrays();
    admits(&mut gate, hand().section(2, 0, &[block(Type(1, 0), text("x"))]));
    // Whatever was deleted may have been one.
    let mut gate = abc();
    admits(&mut gate, hand().delete(1, &[(0, 1)]));
    admits(&mut gate, hand().section(2, 0, &[block(Type(1, 0), text("x"))]));
}

#[test]
fn g6_what_is_put_next_to_the_gone_is_gone() {
    let half = contradiction("one neighbour is gone and the other is not");
    let mut gate = two_arrays();
    admits(&mut gate, hand().delete(1, &[(0, 1)]));
    admits(&mut gate, hand().section(2, 0, &[block(After(1, 2), any(&[3]))]));
    admits(&mut gate, hand().section(2, 1, &[block(Type(1, 0), any(&[4]))]));
    // Not a place any more, so anything goes with it, as long as the other side is gone too.
    refuses(&mut gate, hand().section(3, 0, &[block(Between((1, 2), (1, 3)), any(&[3]))]), &half);
    refuses(&mut gate, hand().section(3, 0, &[block(Between((2, 1), (1, 1)), any(&[3]))]), &half);
    // Unless this very update explains it by deleting what is around the other.
    let explained = hand().section(3, 0, &[block(Between((1, 2), (1, 3)), any(&[3]))]);
    admits(&mut gate, explained.clone().delete(1, &[(1, 1)]));
    // A range that is gone from the beginning counts as gone.
    let mut gate = two_arrays();
    let between =
        hand().section(2, 0, &[gc(1)]).section(3, 0, &[block(Between((2, 0), (1, 3)), any(&[3]))]);
    refuses(&mut gate, between.clone(), &half);
    admits(&mut gate, between.delete(1, &[(1, 1)]));
}

#[test]
fn g7_a_map_holds_one_value_per_key() {
    let mut gate = abc();
    let put = |at: At<'_>, content| hand().section(2, 0, &[block(at, content)]);
    for key in [RootKey("m", "k"), TypeKey(2, 0, "k")] {
        if matches!(key, TypeKey(..)) {
            admits(&mut gate, hand().section(2, 0, &[block(Root("a"), ytype(1))]));
        }
        let put = |content| {
            if matches!(key, TypeKey(..)) {
                hand().section(2, 1, &[block(key, content)])
            } else {
                put(key, content)
            }
        };
        let words = contradiction("an entry of a map is text or a format");
        refuses(&mut gate, put(text("x")), &words);
        refuses(&mut gate, put(format()), &words);
        refuses(
            &mut gate,
            put(any(&[1, 2])),
            &contradiction("an entry of a map holds several values"),
        );
    }
    let mut gate = Gate::new();
    admits(&mut gate, put(RootKey("m", "k"), any(&[1])));
    let before = hand().section(3, 0, &[block(Before(2, 0), any(&[1]))]);
    refuses(&mut gate, before, &contradiction("an entry of a map is put before another"));
    admits(&mut gate, hand().section(3, 0, &[block(After(2, 0), any(&[1]))]));
    admits(&mut gate, hand().section(3, 1, &[block(After(3, 0), deleted(4))]));
    // A document without collection joins what is deleted, content and all.
    let joined = hand().section(3, 5, &[block(After(3, 4), any(&[1, 2, 3]))]);
    let several = contradiction("an entry of a map holds several values");
    refuses(&mut gate, joined.clone(), &several);
    refuses(&mut gate, joined.clone().delete(3, &[(0, 6), (7, 1)]), &several);
    refuses(&mut gate, joined.clone().delete(2, &[(0, 1)]), &several);
    admits(&mut gate, joined.delete(3, &[(4, 2), (6, 2)]));
}

#[test]
fn g7_only_one_entry_of_a_key_is_there() {
    let mut gate = Gate::new();
    admits(&mut gate, hand().section(5, 0, &[block(RootKey("m", "k"), ytype(0))]));
    // A greater client wins, a smaller one loses, and the loser is deleted: what it holds is gone.
    admits(
        &mut gate,
        hand().section(3, 0, &[block(RootKey("m", "k"), ytype(0)), block(Type(3, 0), any(&[1]))]),
    );
    assert!(
        !admits(&mut gate, hand().delete(3, &[(0, 2)])),
        "the loser was deleted already, and what is in it"
    );
    admits(&mut gate, hand().section(9, 0, &[block(RootKey("m", "k"), ytype(0))]));
    assert!(!admits(&mut gate, hand().delete(5, &[(0, 1)])), "so is what was replaced");
    assert!(admits(&mut gate, hand().delete(9, &[(0, 1)])));
}

#[test]
fn g8_what_is_known_is_not_said_again_differently() {
    let other = contradiction("it says something else about what is known");
    let say = |content| hand().section(1, 0, &[block(Root("t"), content)]);
    refuses(&mut abc(), say(text("abd")), &other);
    refuses(&mut abc(), say(text("xbcdef")), &other);
    refuses(&mut abc(), say(any(&[1, 2, 3])), &other);
    refuses(
        &mut two_arrays(),
        hand().section(1, 2, &[block(Type(1, 1), any(&[1]))]),
        &contradiction("it moves what is known"),
    );
    // Fewer clocks are known to others as deleted, or as gone.
    admits(&mut abc(), say(deleted(3)));
    admits(&mut abc(), hand().section(1, 0, &[gc(3)]));
    // What is deleted may be said in any way: its content is not kept.
    let mut gate = abc();
    admits(&mut gate, hand().delete(1, &[(1, 1)]));
    admits(&mut gate, say(text("axc")));
    refuses(&mut gate, say(text("axd")), &other);
}

#[test]
fn g9_types_nest_up_to_256_deep() {
    let mut blocks = vec![block(Root("a"), ytype(0))];
    blocks.extend((0..MAX_DEPTH).map(|n| block(Type(1, n), ytype(0))));
    let mut gate = Gate::new();
    admits(&mut gate, hand().section(1, 0, &blocks));
    let deeper = hand().section(1, MAX_DEPTH + 1, &[block(Type(1, MAX_DEPTH), ytype(0))]);
    refuses(&mut gate, deeper, &Refusal::Limit("256 types around each other"));
}

#[test]
fn g10_a_document_has_64_roots() {
    let names: Vec<String> = (0..=MAX_ROOTS).map(|n| format!("root {n}")).collect();
    let mut gate = Gate::new();
    for (n, name) in names.iter().enumerate().take(MAX_ROOTS) {
        let at = if n % 2 == 0 { Root(name) } else { RootKey(name, "k") };
        admits(&mut gate, hand().section(n as u64, 0, &[block(at, any(&[1]))]));
    }
    refuses(
        &mut gate,
        hand().section(99, 0, &[block(Root(&names[64]), any(&[1]))]),
        &Refusal::Limit("64 root types"),
    );
    admits(&mut gate, hand().section(99, 0, &[block(Root(&names[1]), any(&[1]))]));
}

#[test]
fn g11_characters_stay_whole() {
    let middle = contradiction("it is inserted into the middle of a character");
    let mut gate = Gate::new();
    admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text("a😀b"))]));
    refuses(&mut gate, hand().section(2, 0, &[block(After(1, 1), text("x"))]), &middle);
    refuses(&mut gate, hand().section(2, 0, &[block(Between((1, 0), (1, 2)), text("x"))]), &middle);
    admits(&mut gate, hand().section(2, 0, &[block(Between((1, 0), (1, 1)), text("x"))]));
    admits(&mut gate, hand().section(2, 1, &[block(Between((1, 2), (1, 3)), text("x"))]));
    // Half a character is no character.
    admits(&mut gate, hand().delete(1, &[(2, 1)]));
    admits(&mut gate, hand().section(3, 0, &[block(After(1, 1), text("x"))]));
}

#[test]
fn g12_deletions_are_of_known_units() {
    refuses(&mut abc(), hand().delete(1, &[(2, 2)]), &Refusal::Gap);
    refuses(&mut abc(), hand().delete(2, &[(0, 1)]), &Refusal::Gap);
    admits(&mut abc(), hand().section(2, 0, &[gc(4)]).delete(2, &[(0, 4)]).delete(1, &[(0, 3)]));
}

#[test]
fn g12_new_deletions_are_limited_and_known_ones_are_not() {
    let count = MAX_NEW_DELETIONS as u32 + 1;
    let letters = "ab".repeat(MAX_NEW_DELETIONS + 1);
    let mut gate = Gate::new();
    admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text(&letters))]));
    let ranges: Vec<_> = (0..count).map(|n| (n * 2, 1)).collect();
    refuses(
        &mut gate,
        hand().delete(1, &ranges),
        &Refusal::Limit("10,000 deletions in one update"),
    );
    admits(&mut gate, hand().delete(1, &ranges[1..]));
    admits(&mut gate, hand().delete(1, &ranges));
}

struct Only(u64);

impl Ownership for Only {
    fn may_write_as(&mut self, client: ClientId) -> bool {
        client.get() == self.0
    }
}

#[test]
fn g13_new_blocks_need_an_owner_and_known_ones_do_not() {
    let mut gate = abc();
    let two = hand().section(2, 0, &[block(After(1, 0), text("x"))]).bytes();
    let before = picture(&gate);
    assert_eq!(gate.admit(&two, &mut Only(3)).map(|_| ()), Err(Refusal::NotYours));
    assert_eq!(picture(&gate), before);
    assert!(gate.admit(&two, &mut Only(2)).is_ok());
    let both = hand().section(2, 0, &[block(After(1, 0), text("x"))]).section(
        3,
        0,
        &[block(After(1, 0), text("y"))],
    );
    assert!(gate.admit(&both.delete(1, &[(0, 1)]).bytes(), &mut Only(3)).unwrap().news);
}

#[test]
fn a_refusal_takes_back_what_came_before_it_in_the_update() {
    let mut gate = two_arrays();
    admits(
        &mut gate,
        hand().section(2, 0, &[block(RootKey("m", "k"), any(&[1])), block(After(2, 0), any(&[2]))]),
    );
    let wrong = block(Between((1, 2), (1, 3)), any(&[9]));
    let update = hand()
        .section(
            2,
            2,
            &[
                block(After(2, 1), any(&[3])),
                block(RootKey("m", "l"), any(&[3])),
                block(Root("new"), text("😀")),
            ],
        )
        .section(
            7,
            0,
            &[
                block(RootKey("m", "k"), any(&[3])),
                block(Type(1, 0), ytype(1)),
                block(TypeKey(7, 1, "k"), any(&[1])),
                wrong,
            ],
        )
        .section(1, 4, &[block(After(1, 3), any(&[5, 6]))]);
    refuses(&mut gate, update, &contradiction("its neighbours are in different places"));
}

#[test]
fn knowing_is_about_blocks_and_deletions() {
    let mut gate = two_arrays();
    let known = |gate: &Gate, update: Hand| gate.knows(&update.bytes());
    assert!(known(&gate, hand()));
    assert!(known(&gate, hand().section(1, 1, &[block(After(1, 0), ytype(0))])));
    assert!(!known(&gate, hand().section(1, 4, &[gc(1)])));
    assert!(!known(&gate, hand().delete(1, &[(0, 1)])));
    assert!(!known(&gate, hand().delete(2, &[(0, 1)])));
    assert!(!gate.knows(&[9]));
    // Whoever deletes a type deletes what is in it.
    admits(&mut gate, hand().delete(1, &[(0, 1)]));
    assert!(known(&gate, hand().delete(1, &[(0, 1), (2, 1)])));
    assert!(!known(&gate, hand().delete(1, &[(0, 1), (2, 2)])));
}

#[test]
fn what_is_deep_inside_goes_with_what_is_around_it() {
    let mut gate = Gate::new();
    let nested =
        [block(Root("a"), ytype(0)), block(Type(1, 0), ytype(0)), block(Type(1, 1), any(&[1]))];
    admits(&mut gate, hand().section(1, 0, &nested));
    assert!(!gate.knows(&hand().delete(1, &[(2, 1)]).bytes()));
    admits(&mut gate, hand().delete(1, &[(0, 1)]));
    assert!(gate.knows(&hand().delete(1, &[(0, 3)]).bytes()));
    // Whatever is said of it now, it stays gone.
    admits(&mut gate, hand().section(1, 2, &[block(Type(1, 1), any(&[7, 8]))]));
}

#[test]
fn restoring_begins_anew() {
    let mut gate = abc();
    gate.restore(&hand().section(7, 0, &[block(Root("t"), text("other"))]).bytes()).unwrap();
    assert_eq!(gate.state_vector(), std::iter::once((ClientId::new(7).unwrap(), 5)).collect());
    assert!(matches!(gate.restore(&[1]), Err(Refusal::Malformed(_))));
}

#[test]
fn ordinary_typing_is_one_run() {
    let mut gate = Gate::new();
    admits(&mut gate, hand().section(1, 0, &[block(Root("t"), text("a"))]));
    for clock in 1..1000 {
        admits(&mut gate, hand().section(1, clock, &[block(After(1, clock - 1), text("a"))]));
    }
    let runs = picture(&gate).iter().filter(|line| line.contains("Run {")).count();
    assert_eq!(runs, 1);
}
