//! What failed once.

use super::document::Guarded;
use super::wire::{Block, Content, Parent, Update};
use commonplace::gate::Refusal;

fn block(origin: Option<(u64, u32)>, right: Option<(u64, u32)>, content: Content) -> Block {
    Block { origin, right, parent: Parent::Root("t".to_owned()), key: None, content }
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn update(sections: &[(u64, u32, &[Block])], deletes: &[(u64, &[(u32, u32)])]) -> Vec<u8> {
    Update {
        sections: sections
            .iter()
            .map(|(client, start, blocks)| (*client, *start, blocks.to_vec()))
            .collect(),
        deletes: deletes.iter().map(|(client, ranges)| (*client, ranges.to_vec())).collect(),
    }
    .bytes()
}

/// Text beside something gone is in its place until the update is over, and text is no parent meanwhile.
#[test]
fn seed_617_a_child_of_text_in_a_type_that_is_about_to_go() {
    let mut guarded = Guarded::new();
    let keyed = Block { key: Some("l".to_owned()), ..block(None, None, Content::Type(3)) };
    let inside = Block { parent: Parent::Type((3, 0)), ..block(None, None, text("x")) };
    guarded
        .offer(&update(
            &[(3, 0, &[keyed, inside]), (1, 0, &[block(None, None, Content::Gc(1))])],
            &[],
        ))
        .unwrap();
    let between = block(Some((3, 1)), Some((1, 0)), text("y"));
    let child = Block { parent: Parent::Type((3, 2)), ..block(None, None, text("z")) };
    let replacing = block(Some((3, 0)), None, Content::Type(4));
    let explained = update(
        &[(3, 2, std::slice::from_ref(&between)), (900, 0, std::slice::from_ref(&replacing))],
        &[],
    );
    let with_child = update(&[(3, 2, &[between, child]), (900, 0, &[replacing])], &[]);
    assert_eq!(guarded.offer(&with_child), Err(Refusal::Contradiction("its parent is not a type")));
    guarded.offer(&explained).unwrap();
    guarded.check();
}

/// What is known and deleted may be said in any way, but not so that the update has no order of its own: it is split by
/// someone who does not know what is known.
#[test]
fn known_blocks_that_refer_to_each_other_in_a_circle() {
    let mut guarded = Guarded::new();
    let (one, two) = (block(None, None, text("a")), block(None, None, text("b")));
    guarded.offer(&update(&[(1, 0, &[one]), (2, 0, &[two])], &[])).unwrap();
    guarded.offer(&update(&[], &[(1, &[(0, 1)]), (2, &[(0, 1)])])).unwrap();
    let circle = [block(Some((2, 0)), None, text("x")), block(Some((1, 0)), None, text("y"))];
    let circle = update(&[(1, 0, &circle[..1]), (2, 0, &circle[1..])], &[]);
    assert!(matches!(guarded.offer(&circle), Err(Refusal::Contradiction(_))));
    guarded.check();
}

/// A Yjs document that keeps what is deleted (`gc: false`) joins the deleted entries of a key into one block.
#[test]
fn entries_of_a_key_joined_by_a_document_without_collection() {
    let mut guarded = Guarded::new();
    let joined =
        Block { key: Some("level".to_owned()), ..block(None, None, Content::Any(vec![1, 2])) };
    let last = block(Some((1, 1)), None, Content::Any(vec![3]));
    guarded.offer(&update(&[(1, 0, &[joined, last])], &[(1, &[(0, 2)])])).unwrap();
    guarded.check();
}
