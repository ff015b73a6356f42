//! The known ways to bring yrs down, each once, as bytes.

use super::document::{Guarded, MAX_BLOCKS, feed, new_doc, state};
use super::wire::{Block, Content, Parent, Update};
use commonplace::gate::{Anyone, Gate, MAX_DEPTH, Refusal};
use std::time::{Duration, Instant};
use yrs::{Array, ReadTxn, StateVector, Text, Transact, WriteTxn};

fn vectors() -> Vec<Vec<Vec<u8>>> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../protocol/vectors/updates.json")).unwrap();
    let hex = |value: &serde_json::Value| -> Vec<u8> {
        let text = value.as_str().unwrap().as_bytes();
        text.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let updates = |vector: &serde_json::Value| {
        vector["updates"].as_array().unwrap().iter().map(hex).collect()
    };
    file["vectors"].as_array().unwrap().iter().map(updates).collect()
}

fn item(origin: Option<(u64, u32)>, parent: Parent, content: Content) -> Block {
    Block { origin, right: None, parent, key: None, content }
}

fn root(content: Content) -> Block {
    item(None, Parent::Root("t".to_owned()), content)
}

fn after(origin: (u64, u32), content: Content) -> Block {
    item(Some(origin), Parent::Root(String::new()), content)
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn one(client: u64, start: u32, blocks: Vec<Block>) -> Vec<u8> {
    Update { sections: vec![(client, start, blocks)], deletes: Vec::new() }.bytes()
}

#[expect(clippy::disallowed_methods, reason = "how long a refusal takes is what is asked")]
fn timed<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    let took = begin.elapsed();
    assert!(took < limit, "took {took:?}");
    result
}

#[test]
fn t1_prefixes_and_wrong_bytes_are_refused_or_harmless() {
    for updates in vectors() {
        let mut guarded = Guarded::new();
        for (n, bytes) in updates.iter().enumerate() {
            for cut in 0..bytes.len() {
                assert!(matches!(guarded.offer(&bytes[..cut]), Err(Refusal::Malformed(_))));
            }
            guarded.offer(bytes).unwrap_or_else(|refusal| panic!("update {n}: {refusal:?}"));
        }
        for bytes in &updates {
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut bent = bytes.clone();
                    bent[at] ^= 1 << bit;
                    drop(guarded.offer(&bent));
                }
            }
        }
        guarded.check();
    }
}

#[test]
fn t4_types_nest_as_deep_as_yrs_bears() {
    let nested = |depth: u32| {
        let inside = |n: u32| item(None, Parent::Type((1, n)), Content::Type(0));
        one(1, 0, std::iter::once(root(Content::Type(0))).chain((0..depth).map(inside)).collect())
    };
    // On a stack of ordinary size, with the deletion that recurses through all of it.
    let mut guarded = Guarded::new();
    guarded.offer(&nested(MAX_DEPTH)).unwrap();
    guarded
        .offer(&Update { sections: Vec::new(), deletes: vec![(1, vec![(0, 1)])] }.bytes())
        .unwrap();
    guarded.check();
    for depth in [MAX_DEPTH + 1, 10_000, 100_000] {
        assert!(matches!(Gate::new().admit(&nested(depth), &mut Anyone), Err(Refusal::Limit(_))));
    }
}

#[test]
fn t4_depth_does_not_multiply_the_cost_of_units() {
    let inside = |n: u32| item(None, Parent::Type((1, n)), Content::Type(0));
    let mut blocks: Vec<Block> =
        std::iter::once(root(Content::Type(0))).chain((0..MAX_DEPTH).map(inside)).collect();
    let mut gate = Gate::new();
    gate.admit(&one(1, 0, blocks.clone()), &mut Anyone).unwrap();
    // A hundred thousand units in the innermost type, each beside the one before; some of them are maps of their own.
    blocks.clear();
    blocks.push(item(None, Parent::Type((1, MAX_DEPTH - 1)), Content::Type(1)));
    blocks.extend((0..100_000).map(|n| match n % 4 {
        0 => after((2, n), Content::Type(1)),
        1 => Block { key: Some("k".to_owned()), ..after((2, n), text("a")) },
        _ => after((2, n), text("a")),
    }));
    let bytes = one(2, 0, blocks);
    timed(Duration::from_secs(4), || gate.admit(&bytes, &mut Anyone).unwrap());
    // And as many deletions, each of which might have taken a type away.
    let deletes = Update {
        sections: Vec::new(),
        deletes: vec![(2, (0..9_000).map(|n| (2 * n + 1, 1)).collect())],
    }
    .bytes();
    timed(Duration::from_secs(4), || gate.admit(&deletes, &mut Anyone).unwrap());
}

#[test]
fn t6_the_second_encoding_is_refused() {
    let doc = new_doc();
    let mut all = vec![vec![0; 13]];
    for n in 0..50 {
        let mut txn = doc.transact_mut();
        let (t, a) = (txn.get_or_insert_text("t"), txn.get_or_insert_array("a"));
        t.insert(&mut txn, 0, "words");
        a.push_back(&mut txn, n);
        all.push(txn.encode_update_v2());
        all.push(txn.encode_state_as_update_v2(&StateVector::default()));
    }
    for bytes in all {
        assert!(
            matches!(Gate::new().admit(&bytes, &mut Anyone), Err(Refusal::Malformed(_))),
            "{bytes:?}"
        );
    }
}

#[test]
fn t7_a_hundred_thousand_one_letter_blocks_are_applied_in_small_steps() {
    let blocks = (0..100_000)
        .map(|n| if n == 0 { root(text("a")) } else { after((1, n - 1), text("a")) })
        .collect();
    let bytes = one(1, 0, blocks);
    let mut guarded = Guarded::new();
    // A few tenths of a second where nothing else runs; an application in one transaction takes 12 s and gigabytes.
    timed(Duration::from_secs(8), || guarded.offer(&bytes).unwrap());
    assert!(state(&guarded.doc).len() < 100_100, "the blocks have become one");
}

#[test]
fn t9_what_cannot_be_placed_is_never_kept() {
    let mut guarded = Guarded::new();
    timed(Duration::from_secs(2), || {
        for n in 0..16_000 {
            assert_eq!(
                guarded.offer(&one(1, 0, vec![after((2, n), text("a"))])),
                Err(Refusal::Gap)
            );
        }
    });
    assert!(guarded.admitted.is_empty() && !guarded.doc.transact().has_missing_updates());
}

#[test]
fn t15_deletions_of_nothing_and_too_many_deletions_are_refused_at_once() {
    let deletes = Update {
        sections: Vec::new(),
        deletes: vec![(1, (0..250_000).map(|n| (2 * n, 1)).collect())],
    }
    .bytes();
    let mut gate = Gate::new();
    assert_eq!(
        timed(Duration::from_secs(1), || gate.admit(&deletes, &mut Anyone).map(drop)),
        Err(Refusal::Gap)
    );
    gate.admit(&one(1, 0, vec![root(text(&"ab".repeat(250_000)))]), &mut Anyone).unwrap();
    let refusal = timed(Duration::from_secs(1), || gate.admit(&deletes, &mut Anyone).map(drop));
    assert!(matches!(refusal, Err(Refusal::Limit(_))));
}

/// An update that could bring yrs down is refused by the gate, and brings yrs down: the rule is there for a reason.
#[test]
fn rules_are_there_for_a_reason() {
    let cases: [(&str, Vec<Vec<u8>>); 3] = [
        (
            "a parent that is no type",
            vec![
                one(1, 0, vec![root(text("abc"))]),
                one(2, 0, vec![item(None, Parent::Type((1, 0)), text("x"))]),
            ],
        ),
        ("a gap", vec![one(1, 5, vec![root(text("abc"))])]),
        ("a missing origin", vec![one(1, 0, vec![after((2, 7), text("abc"))])]),
    ];
    for (what, updates) in cases {
        let mut gate = Gate::new();
        let doc = new_doc();
        let mut refused = false;
        let mut hurt = false;
        for bytes in &updates {
            refused |= gate.admit(bytes, &mut Anyone).is_err();
            hurt |= feed(&doc, bytes, MAX_BLOCKS).is_err() || doc.transact().has_missing_updates();
        }
        assert!(refused, "{what} passes");
        let known: u32 = doc.transact().state_vector().iter().map(|(_, clock)| *clock).sum();
        assert!(hurt || known == 0, "{what} does yrs no harm any more: is the rule still needed?");
    }
}
