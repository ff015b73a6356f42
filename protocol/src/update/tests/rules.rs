//! Each rule of `UPDATE.md` by its number.

use super::*;
use crate::limits::{MAX_CLIENT_ID, MAX_CLOCK, MAX_VALUE_DEPTH};

#[track_caller]
fn accepted(bytes: &[u8]) {
    if let Err(error) = parse(bytes) {
        panic!("refused {bytes:02x?}: {error}");
    }
}

#[track_caller]
fn refused(bytes: &[u8], expected: Malformed) {
    assert_eq!(parse(bytes).map(|_| ()), Err(expected), "{bytes:02x?}");
}

#[test]
fn the_empty_update_is_an_update() {
    accepted(EMPTY);
    assert!(parse(EMPTY).unwrap().is_empty());
}

#[test]
fn u1_a_client_has_one_section() {
    let twice = Hand::default().section(1, 0, &[gc(1)]).section(1, 1, &[gc(1)]).bytes();
    refused(&twice, Malformed::Rule("a client has two sections"));
}

#[test]
fn u2_a_section_is_not_empty() {
    refused(&Hand::default().section(1, 0, &[]).bytes(), Malformed::Rule("a section is empty"));
    let many = (0..30_000).fold(Hand::default(), |hand, of| hand.section(of, 0, &[])).bytes();
    refused(&many, Malformed::Rule("a section is empty"));
}

#[test]
fn u3_numbers_are_in_their_shortest_form() {
    let padded = Malformed::Rule("a number is padded with empty groups");
    refused(&[0x81, 0, 1, 1, 0, 0, 1, 0], padded);
    refused(&[1, 1, 1, 0, 0, 0x81, 0, 0], padded);
    refused(&one(root(4, &[0x81, 0, b'x'])), padded);
    refused(&one(after(0, 0, 8, &[1, 117, 0x80, 0])), padded);
    refused(&[0, 1, 1, 1, 0x80, 0, 1], padded);
}

#[test]
fn u4_kinds_and_flags_are_known() {
    let tag = |tag| Malformed::UnknownTag { what: BLOCK_KIND, tag };
    for flags in [0x20, 0x40, 0x80] {
        refused(&one(vec![flags, 1]), tag(u64::from(flags)));
    }
    for kind in 11..32 {
        refused(&one(root(kind, &[1, b'x'])), tag(u64::from(kind)));
    }
    accepted(&one(vec![0x20 | 4, 1, 1, b't', 1, b'k', 1, b'x']));
    // Keyed, but with an origin: the key is inherited and not spelt out.
    accepted(&one(vec![0x20 | 0x80 | 4, 2, 0, 1, b'x']));
}

#[test]
fn u5_holes_are_refused() {
    refused(
        &one(vec![BLOCK_SKIP, 1]),
        Malformed::UnknownTag { what: BLOCK_KIND, tag: u64::from(BLOCK_SKIP) },
    );
}

#[test]
fn u6_nothing_is_empty() {
    let empty = Malformed::Rule("a block is empty");
    refused(&one(gc(0)), empty);
    refused(&one(root(1, &[0])), empty);
    refused(&one(root(4, &[0])), empty);
    refused(&one(root(8, &[0])), empty);
    accepted(&one(root(3, &[0])));
}

#[test]
fn u7_ids_and_clocks_stay_in_range() {
    let (last, over) = (u64::from(MAX_CLOCK), u64::from(MAX_CLOCK) + 1);
    let out = Malformed::OutOfRange("clock");
    accepted(&Hand::default().section(MAX_CLIENT_ID, 0, &[gc(last)]).bytes());
    refused(&one(gc(over)), out);
    accepted(&Hand::default().section(1, last - 1, &[gc(1)]).bytes());
    refused(&Hand::default().section(1, last, &[gc(1)]).bytes(), out);
    refused(&Hand::default().section(1, 1, &[gc(last)]).bytes(), out);
    refused(&Hand::default().section(1, 0, &[gc(last), gc(1)]).bytes(), out);
    refused(&Hand::default().section(1, over, &[gc(1)]).bytes(), out);
    refused(&Hand::default().section(1, u64::from(u32::MAX) + 1, &[gc(1)]).bytes(), out);
    refused(&one(after(1, over, 4, &[1, b'x'])), out);
    accepted(&Hand::default().delete(1, &[(last - 1, 1)]).bytes());
    refused(&Hand::default().delete(1, &[(last, 1)]).bytes(), out);
    let id = Malformed::OutOfRange("client id");
    refused(&[1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 1, 0], id);
}

#[test]
fn u8_legacy_json_and_inner_documents_are_refused() {
    for kind in [2, 9] {
        refused(
            &one(root(kind, &[1, 1, b'1'])),
            Malformed::UnknownTag { what: BLOCK_KIND, tag: u64::from(kind) },
        );
    }
}

#[test]
fn u9_types_are_known() {
    for tag in 0..=255 {
        let content = if tag == 3 { vec![3, 1, b'p'] } else { vec![tag] };
        if matches!(tag, 0..=4 | 6) {
            accepted(&one(root(7, &content)));
        } else {
            refused(
                &one(root(7, &content)),
                Malformed::UnknownTag { what: "type", tag: u64::from(tag) },
            );
        }
    }
}

#[test]
fn u10_text_is_utf8() {
    refused(&one(root(4, &[2, 0xc3, 0x28])), Malformed::NotUtf8("text"));
    refused(&one(vec![4, 1, 1, 0xff, 1, b'x']), Malformed::NotUtf8("the name of a root type"));
    refused(&one(root(7, &[3, 1, 0xff])), Malformed::NotUtf8("node name"));
    refused(&one(root(8, &[1, 119, 1, 0xff])), Malformed::NotUtf8("value"));
}

#[test]
fn u11_values_are_shallow_and_name_a_key_once() {
    let nested =
        |depth: usize, open: &[u8]| one(root(8, &[&[1][..], &open.repeat(depth), &[126]].concat()));
    for open in [&[117, 1][..], &[118, 1, 1, b'k']] {
        accepted(&nested(MAX_VALUE_DEPTH, open));
        refused(&nested(MAX_VALUE_DEPTH + 1, open), Malformed::TooLarge("the depth of a value"));
        refused(&nested(1_000_000, open), Malformed::TooLarge("the depth of a value"));
    }
    let twice = Malformed::Rule("a map holds a key twice");
    refused(&one(root(8, &[1, 118, 2, 1, b'k', 126, 1, b'k', 126])), twice);
    let keys: Vec<u8> = (b'a'..=b'z').chain([b'z']).flat_map(|key| [1, key, 126]).collect();
    refused(&one(root(8, &[&[1, 118, 27][..], &keys].concat())), twice);
    refused(&one(root(8, &[1, 115])), Malformed::UnknownTag { what: "value", tag: 115 });
    refused(
        &one(root(8, &[1, 117, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        Malformed::UnknownTag { what: "value", tag: 0 },
    );
}

#[test]
fn u12_embedded_json_is_valid_and_shallow() {
    let embed = |source: &str| one(root(5, &string(source)));
    let format = |source: &str| one(root(6, &[string("bold"), string(source)].concat()));
    for write in [&embed as &dyn Fn(&str) -> Vec<u8>, &format] {
        for good in [
            "null",
            "true",
            "-1.5e300",
            "\"\\ud83d\\ude00\"",
            "{\"a\":[1,2,{}]}",
            "9223372036854775807",
            "1e21",
        ] {
            accepted(&write(good));
        }
        for bad in ["", "nul", "{", "[1,]", "1e999", "\"\\ud83d\"", "NaN", "undefined", "{} {}"] {
            refused(&write(bad), Malformed::Rule("embedded JSON is not valid"));
        }
        refused(&write("9223372036854775808"), Malformed::OutOfRange("a number in embedded JSON"));
        let nested = |depth: usize| write(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        accepted(&nested(MAX_VALUE_DEPTH));
        refused(&nested(MAX_VALUE_DEPTH + 1), Malformed::TooLarge("the depth of a value"));
        refused(&nested(10_000), Malformed::Rule("embedded JSON is not valid"));
    }
}

#[test]
fn u13_a_client_has_one_delete_section_and_it_is_not_empty() {
    let twice = Hand::default().delete(1, &[(0, 1)]).delete(1, &[(2, 1)]).bytes();
    refused(&twice, Malformed::Rule("a client has two delete sections"));
    refused(&Hand::default().delete(1, &[]).bytes(), Malformed::Rule("a delete section is empty"));
}

#[test]
fn u14_delete_ranges_are_in_order() {
    let wrong = Malformed::Rule("delete ranges are empty, overlap or are out of order");
    accepted(&Hand::default().delete(1, &[(0, 1), (1, 2), (9, 1)]).bytes());
    refused(&Hand::default().delete(1, &[(0, 0)]).bytes(), wrong);
    refused(&Hand::default().delete(1, &[(0, 2), (1, 2)]).bytes(), wrong);
    refused(&Hand::default().delete(1, &[(4, 2), (1, 2)]).bytes(), wrong);
}

#[test]
fn u15_a_parent_is_a_name_or_an_id() {
    accepted(&one(vec![4, 1, 0, 1, b'x']));
    accepted(&one(vec![4, 0, 2, 0, 1, b'x']));
    refused(&one(vec![4, 2, 2, 0, 1, b'x']), Malformed::UnknownTag { what: "parent", tag: 2 });
}

#[test]
fn u16_nothing_follows() {
    refused(&[0, 0, 0], Malformed::Trailing(1));
    refused(&[one(gc(1)), vec![7, 7]].concat(), Malformed::Trailing(2));
}

#[test]
fn u17_the_number_of_blocks_is_limited() {
    let mut bytes = vec![1];
    write_var_u64(&mut bytes, MAX_BLOCKS as u64 + 1);
    bytes.extend([1, 0]);
    bytes.extend([0, 1].repeat(MAX_BLOCKS + 1));
    bytes.push(0);
    refused(&bytes, Malformed::TooLarge("the number of blocks"));
    assert_eq!(parse_own(&bytes).unwrap().len(), MAX_BLOCKS + 1);
}

#[test]
fn claims_cost_nothing() {
    // A few bytes that claim millions of sections, blocks, values, ranges or entries.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x08];
    for bytes in [
        [&huge[..], &[1, 1]].concat(),
        [&[1][..], &huge, &[1, 0]].concat(),
        [&[0][..], &huge].concat(),
    ] {
        assert!(parse(&bytes).is_err());
    }
    assert!(parse(&one(root(8, &[&huge[..], &[126]].concat()))).is_err());
    assert_eq!(StateVector::decode(&huge), Err(Malformed::Truncated("state vector")));
}

#[test]
fn u20_state_vectors_are_strict() {
    assert_eq!(StateVector::decode(&[0]).unwrap(), StateVector::new());
    let known = StateVector::decode(&[3, 9, 2, 5, 0, 1, 7]).unwrap();
    assert_eq!(known, [(client(1), 7), (client(9), 2)].into_iter().collect());
    assert_eq!(known.encode(), [2, 9, 2, 1, 7]);
    assert_eq!((known.get(client(9)), known.get(client(5)), known.len()), (2, 0, 2));
    assert_eq!(
        StateVector::decode(&[2, 9, 2, 9, 3]),
        Err(Malformed::Rule("a state vector names a client twice"))
    );
    assert_eq!(
        StateVector::decode(&[1, 9, 0x80, 0x80, 0x80, 0x80, 0x08]),
        Err(Malformed::OutOfRange("clock"))
    );
    assert_eq!(StateVector::decode(&[1, 9, 2, 0]), Err(Malformed::Trailing(1)));
    for cut in 0..5 {
        assert!(StateVector::decode(&known.encode()[..cut]).is_err());
    }
    let mut more = known.clone();
    more.advance(client(5), 1);
    assert!(more.covers(&known) && !known.covers(&more) && known.covers(&known));
    more.advance(client(9), 1);
    assert_eq!(more.get(client(9)), 2, "a clock never goes back");
}

#[test]
fn lengths_are_counted_in_utf16_units() {
    let bytes = one(root(4, &string("aé😀")));
    let update = parse(&bytes).unwrap();
    let block = update.blocks(&update.sections()[0]).next().unwrap();
    assert_eq!((block.len, block.end()), (4, 4));
}

#[test]
fn blocks_are_read_as_they_are() {
    let blocks =
        [root(4, &string("ab")), after(2, 5, 1, &[3]), gc(2), vec![0x40 | 7, 2, 6, 3, 1, b'p']];
    let bytes = Hand::default().section(7, 10, &blocks).delete(7, &[(12, 3)]).bytes();
    let update = parse(&bytes).unwrap();
    let section = &update.sections()[0];
    assert_eq!(
        (section.client, section.start, section.end, section.len(), update.len()),
        (client(7), 10, 18, 4, 4)
    );
    let read: Vec<_> = update.blocks(section).collect();
    assert_eq!(
        read.iter().map(|block| (block.id.clock, block.len)).collect::<Vec<_>>(),
        [(10, 2), (12, 3), (15, 2), (17, 1)]
    );
    assert_eq!(read.iter().map(|block| block.bytes).collect::<Vec<_>>(), blocks);
    let item = Item {
        origin: None,
        right_origin: None,
        parent: Parent::Root("t"),
        key: None,
        content: Content::Text("ab"),
    };
    assert_eq!(read[0].body, Body::Item(item));
    let item = Item {
        origin: Some(id(2, 5)),
        parent: Parent::Inherited,
        content: Content::Deleted,
        ..item
    };
    assert_eq!(read[1].body, Body::Item(item));
    assert_eq!(read[2].body, Body::Gc);
    let content = Content::Type(TypeRef::XmlElement("p"));
    assert_eq!(
        read[3].body,
        Body::Item(Item { origin: None, right_origin: Some(id(2, 6)), content, ..item })
    );
    assert_eq!(update.deletes().collect::<Vec<_>>(), [(client(7), &[12..15][..])]);
}
