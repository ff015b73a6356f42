//! Merging, splitting, order and fingerprints on updates small enough to read.

use super::*;

fn merged(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let measured: Vec<_> = parts.iter().map(|part| parse(part).unwrap().measure()).collect();
    let parts: Vec<_> = parts.iter().copied().zip(&measured).collect();
    merge(&parts)
}

#[test]
fn neighbours_are_concatenated() {
    let a = Hand::default().section(1, 0, &[root(4, &string("a"))]).delete(1, &[(0, 1)]).bytes();
    let b = Hand::default()
        .section(1, 1, &[after(1, 0, 4, &string("b"))])
        .section(2, 4, &[gc(1)])
        .bytes();
    let c = Hand::default()
        .section(1, 2, &[after(1, 1, 4, &string("c"))])
        .delete(1, &[(1, 1)])
        .delete(3, &[(7, 2)])
        .bytes();
    let blocks =
        [root(4, &string("a")), after(1, 0, 4, &string("b")), after(1, 1, 4, &string("c"))];
    let expected = Hand::default()
        .section(2, 4, &[gc(1)])
        .section(1, 0, &blocks)
        .delete(3, &[(7, 2)])
        .delete(1, &[(0, 2)])
        .bytes();
    assert_eq!(merged(&[&a, &b, &c]), [expected]);
    assert_eq!(merged(&[]), Vec::<Vec<u8>>::new());
    assert_eq!(merged(&[EMPTY]), Vec::<Vec<u8>>::new());
    assert_eq!(merged(&[&a]), [a]);
}

#[test]
fn what_an_earlier_part_has_is_left_out() {
    let a = Hand::default().section(1, 0, &[root(4, &string("ab")), gc(2)]).bytes();
    let all = Hand::default()
        .section(1, 0, &[root(4, &string("ab")), gc(2), after(1, 3, 4, &string("c"))])
        .bytes();
    let tail = Hand::default().section(1, 2, &[gc(2), after(1, 3, 4, &string("c"))]).bytes();
    for later in [&all, &tail] {
        assert_eq!(merged(&[&a, later]), std::slice::from_ref(&all));
    }
    assert_eq!(merged(&[&all, &a]), [all]);
}

#[test]
fn what_does_not_continue_begins_a_new_update() {
    let a = Hand::default().section(1, 4, &[gc(2)]).bytes();
    let hole = Hand::default().section(1, 7, &[gc(2)]).bytes();
    let part_known = Hand::default().section(1, 5, &[gc(3)]).bytes();
    let before = Hand::default().section(1, 0, &[gc(4)]).bytes();
    for later in [hole, part_known, before] {
        assert_eq!(merged(&[&a, &later]), [a.clone(), later]);
    }
}

#[test]
fn measures_tell_blocks_clocks_and_deletions() {
    let bytes = Hand::default()
        .section(1, 4, &[gc(2), gc(1)])
        .section(9, 0, &[gc(1)])
        .delete(9, &[(0, 1)])
        .bytes();
    let measured = parse(&bytes).unwrap().measure();
    assert_eq!(measured.blocks(), 3);
    let sections: Vec<_> =
        measured.sections().iter().map(|s| (s.client, s.clocks.clone(), s.blocks)).collect();
    assert_eq!(sections, [(client(1), 4..7, 2), (client(9), 0..1, 1)]);
    assert_eq!(measured.deletes().collect::<Vec<_>>(), [(client(9), &[0..1][..])]);
}

#[test]
fn parts_are_causally_closed() {
    // 1@1 follows 2@0, which follows 1@0; 2@1 follows 1@1.
    let ones = [root(4, &string("a")), after(2, 0, 4, &string("b"))];
    let twos = [after(1, 0, 4, &string("x")), after(1, 1, 4, &string("y"))];
    for flip in [false, true] {
        let hand = Hand::default();
        let hand = if flip {
            hand.section(2, 0, &twos).section(1, 0, &ones)
        } else {
            hand.section(1, 0, &ones).section(2, 0, &twos)
        };
        let bytes = hand.delete(1, &[(0, 1)]).delete(2, &[(0, 1)]).bytes();
        let parts = split(&bytes, 1, 1000).unwrap();
        let expected = [
            Hand::default().section(1, 0, &ones[..1]).bytes(),
            Hand::default().section(2, 0, &twos[..1]).bytes(),
            Hand::default().section(1, 1, &ones[1..]).bytes(),
            Hand::default()
                .section(2, 1, &twos[1..])
                .delete(2, &[(0, 1)])
                .delete(1, &[(0, 1)])
                .bytes(),
        ];
        assert_eq!(parts, expected);
        assert_eq!(split(&bytes, 4, 1000).unwrap(), std::slice::from_ref(&bytes));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(fingerprint(&merged(&parts)[0]).unwrap(), fingerprint(&bytes).unwrap());
    }
}

#[test]
fn parts_respect_the_limit_of_bytes() {
    let blocks: Vec<_> = (0..100)
        .map(|n| if n == 0 { root(4, &string("a")) } else { after(1, n - 1, 4, &string("a")) })
        .collect();
    let ranges: Vec<_> = (0..50).map(|n| (n * 2, 1)).collect();
    let bytes = Hand::default().section(1, 0, &blocks).delete(1, &ranges).bytes();
    let parts = split(&bytes, 1000, 100).unwrap();
    assert!(
        parts.len() > 5 && parts.iter().all(|part| part.len() <= 130),
        "{:?}",
        parts.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert_eq!(merged(&parts), [bytes]);
}

#[test]
fn order_needs_what_is_referred_to() {
    let order = |bytes: &[u8], known: u32| {
        parse(bytes).unwrap().causal_order(|_| known).map(|order| order.len())
    };
    let missing = one(after(2, 3, 4, &string("x")));
    assert_eq!(order(&missing, 0), Err(Stuck::Missing(id(2, 3))));
    assert_eq!(order(&missing, 4), Ok(1));
    let hole = Hand::default().section(1, 2, &[gc(1)]).bytes();
    assert_eq!(order(&hole, 1), Err(Stuck::Missing(id(1, 1))));
    let selfish = one(after(1, 0, 4, &string("x")));
    assert_eq!(order(&selfish, 0), Err(Stuck::Circle(id(1, 0))));
    let child_of_itself = one(vec![4, 0, 1, 0, 1, b'x']);
    assert_eq!(order(&child_of_itself, 0), Err(Stuck::Circle(id(1, 0))));
    let circle = Hand::default()
        .section(1, 0, &[after(2, 0, 4, &string("x"))])
        .section(2, 0, &[after(1, 0, 4, &string("x"))])
        .bytes();
    assert!(matches!(order(&circle, 0), Err(Stuck::Circle(_))));
    assert!(split(&circle, 1, 1).is_err());
    // What is known is put in order like everything else.
    assert!(matches!(order(&circle, 9), Err(Stuck::Circle(_))));
    let beyond = Hand::default()
        .section(1, 0, &[after(2, 1, 4, &string("x"))])
        .section(2, 0, &[gc(1)])
        .bytes();
    assert_eq!(order(&beyond, 0), Err(Stuck::Missing(id(2, 1))));
}

#[test]
fn a_fingerprint_does_not_see_cuts_and_order() {
    let whole = Hand::default()
        .section(1, 0, &[root(4, &string("a😀b"))])
        .section(2, 0, &[gc(5)])
        .delete(2, &[(0, 5)])
        .bytes();
    let cut = Hand::default()
        .section(2, 0, &[gc(2), gc(3)])
        .section(
            1,
            0,
            &[root(4, &string("a")), after(1, 0, 4, &string("😀")), after(1, 2, 4, &string("b"))],
        )
        .delete(2, &[(0, 2), (2, 3)])
        .bytes();
    assert_eq!(fingerprint(&whole).unwrap(), fingerprint(&cut).unwrap());
    let values = |first: &[u8], second: &[u8]| one(root(8, &[&[2], first, second].concat()));
    let ab = [118, 2, 1, b'a', 125, 1, 1, b'b', 126];
    let ba = [118, 2, 1, b'b', 126, 1, b'a', 123, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        fingerprint(&values(&ab, &[126])).unwrap(),
        fingerprint(&values(&ba, &[126])).unwrap()
    );
    assert_eq!(
        fingerprint(&one(root(5, &string("{\"a\":1,\"b\":2.0}")))),
        fingerprint(&one(root(5, &string("{\"b\":2, \"a\":1.0}"))))
    );
}

#[test]
fn a_fingerprint_sees_everything_else() {
    let mut seen = std::collections::HashSet::new();
    let others = [
        one(root(4, &string("abc"))),
        one(root(4, &string("abd"))),
        one(root(1, &[3])),
        one(gc(3)),
        one(after(2, 0, 4, &string("abc"))),
        one(after(2, 1, 4, &string("abc"))),
        one(after(3, 1, 4, &string("abc"))),
        one(vec![0x40 | 4, 2, 0, 3, b'a', b'b', b'c']),
        one(vec![4, 1, 1, b'u', 3, b'a', b'b', b'c']),
        one(vec![4 | 0x20, 1, 1, b't', 1, b'k', 3, b'a', b'b', b'c']),
        one(vec![4, 0, 2, 0, 3, b'a', b'b', b'c']),
        one(root(8, &[3, 119, 1, b'a', 119, 1, b'b', 119, 1, b'c'])),
        one(root(8, &[1, 119, 3, b'a', b'b', b'c'])),
        one(root(7, &[2])),
        one(root(7, &[3, 1, b'p'])),
        one(root(3, &[1, 2])),
        one(root(5, &string("{\"a\":1}"))),
        one(root(6, &[string("a"), string("1")].concat())),
        Hand::default()
            .section(1, 0, &[root(4, &string("ab")), after(2, 0, 4, &string("c"))])
            .bytes(),
        Hand::default().section(1, 1, &[root(4, &string("abc"))]).bytes(),
        Hand::default().section(2, 0, &[root(4, &string("abc"))]).bytes(),
        Hand::default().section(1, 0, &[root(4, &string("abc"))]).delete(1, &[(0, 1)]).bytes(),
        Hand::default().section(1, 0, &[root(4, &string("abc"))]).delete(1, &[(1, 1)]).bytes(),
        Hand::default().section(1, 0, &[root(4, &string("abc"))]).delete(2, &[(0, 1)]).bytes(),
        EMPTY.to_vec(),
    ];
    for bytes in &others {
        assert!(seen.insert(fingerprint(bytes).unwrap()), "{bytes:02x?} looks like another");
    }
}

#[test]
fn marks_survive_a_cut_pair() {
    let marks = |text: &str| {
        let mut out = Vec::new();
        Content::Text(text).marks(&mut out);
        out
    };
    assert_eq!(marks("a😀"), marks("a\u{fffd}\u{fffd}"));
    assert_ne!(marks("ab"), marks("ac"));
    let mut out = Vec::new();
    Content::Any(&[126, 125, 1, 119, 1, b'x']).marks(&mut out);
    assert_eq!(out.len(), 3);
}
