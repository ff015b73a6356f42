//! Do two encodings describe the same document?

use super::merge::joined;
use super::value::{self, Mix};
use super::{Body, Content, Item, Parent, Update, parse_own};
use crate::error::Malformed;
use crate::ids::Id;
use crate::varint::Reader;
use std::collections::BTreeMap;

/// A hash of what an update inserts and deletes. Equal for two encodings of the same units with the same structure and
/// content and the same deletions, however they are cut into blocks and in whatever order the clients come.
///
/// It guards against faults, not against an adversary: it is not a cryptographic hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    insertions: [u64; 2],
    deletions: u64,
}

/// Takes the fingerprint of an update (or of a whole state, which is an update too).
pub fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, Malformed> {
    let update = parse_own(bytes)?;
    Ok(Fingerprint { insertions: insertions(&update), deletions: deletions(&update) })
}

fn deletions(update: &Update<'_>) -> u64 {
    let clients: BTreeMap<_, _> = update.deletes().collect();
    let mut mix = Mix::new(30);
    for (client, ranges) in clients {
        mix = mix.word(client.get());
        for range in joined(ranges.to_vec()) {
            mix = mix.word(u64::from(range.start)).word(u64::from(range.end));
        }
    }
    mix.finish()
}

/// Adds up the hashes of the longest possible blocks: neighbours that Yjs or yrs might have joined are hashed as one.
fn insertions(update: &Update<'_>) -> [u64; 2] {
    let mut sums = Sums::default();
    for section in update.sections() {
        let mut run: Option<Run> = None;
        for block in update.blocks(section) {
            let joins = run.as_ref().is_some_and(|run| run.continues(block.id, &block.body));
            if !joins {
                sums.add(run.replace(Run::new(block.id, &block.body)));
            }
            if let Some(run) = &mut run {
                run.take(&block.body, block.len);
            }
        }
        sums.add(run);
    }
    [sums.first, sums.second]
}

#[derive(Default)]
struct Sums {
    first: u64,
    second: u64,
}

impl Sums {
    fn add(&mut self, run: Option<Run>) {
        let Some(run) = run else { return };
        let mix = run.head.word(run.content.finish()).word(u64::from(run.len));
        self.first = self.first.wrapping_add(mix.word(1).finish());
        self.second = self.second.wrapping_add(mix.word(2).finish());
    }
}

/// A block as long as it could be.
struct Run {
    start: Id,
    len: u32,
    kind: Kind,
    right_origin: Option<Id>,
    head: Mix,
    content: Mix,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gc,
    Deleted,
    Text,
    Any,
    Indivisible,
}

fn kind(body: &Body<'_>) -> Kind {
    match body {
        Body::Gc => Kind::Gc,
        Body::Item(item) => match item.content {
            Content::Deleted => Kind::Deleted,
            Content::Text(_) => Kind::Text,
            Content::Any(_) => Kind::Any,
            Content::Binary(_) | Content::Embed(_) | Content::Format { .. } | Content::Type(_) => {
                Kind::Indivisible
            }
        },
    }
}

impl Run {
    fn new(start: Id, body: &Body<'_>) -> Self {
        let mut head = Mix::new(31).word(start.client.get()).word(u64::from(start.clock));
        let right_origin = if let Body::Item(item) = body { item.right_origin } else { None };
        if let Body::Item(item) = body {
            head = structure(head, item);
        }
        Self {
            start,
            len: 0,
            kind: kind(body),
            right_origin,
            head,
            content: Mix::new(kind(body) as u64),
        }
    }

    /// Whether a block would have been cut here without changing anything.
    fn continues(&self, id: Id, body: &Body<'_>) -> bool {
        if kind(body) != self.kind || self.kind == Kind::Indivisible {
            return false;
        }
        match body {
            Body::Gc => true,
            Body::Item(item) => {
                let last = Id { clock: id.clock - 1, ..id }; // not the first block of the section, so not clock 0
                item.origin == Some(last)
                    && item.right_origin == self.right_origin
                    && self.start.client == id.client
            }
        }
    }

    fn take(&mut self, body: &Body<'_>, len: u32) {
        self.len += len; // below MAX_CLOCK by U7
        let Body::Item(item) = body else { return };
        match item.content {
            Content::Text(text) => {
                for unit in text.encode_utf16() {
                    self.content = self.content.word(u64::from(unit));
                }
            }
            Content::Any(values) => {
                let mut reader = Reader::new(values);
                while !reader.is_empty() {
                    self.content = self
                        .content
                        .word(value::any(&mut reader, 0).expect("checked by the parser"));
                }
            }
            Content::Deleted => {}
            Content::Binary(_) | Content::Embed(_) | Content::Format { .. } | Content::Type(_) => {
                self.content = self.content.word(item.content.hash());
            }
        }
    }
}

fn structure(head: Mix, item: &Item<'_>) -> Mix {
    let id = |mix: Mix, id: Option<Id>| match id {
        Some(id) => mix.word(1).word(id.client.get()).word(u64::from(id.clock)),
        None => mix.word(0),
    };
    let mut mix = id(id(head, item.origin), item.right_origin);
    mix = match item.parent {
        Parent::Inherited => mix.word(0),
        Parent::Root(name) => mix.word(1).bytes(name.as_bytes()),
        Parent::Type(parent) => id(mix.word(2), Some(parent)),
    };
    match item.key {
        Some(key) => mix.word(1).bytes(key.as_bytes()),
        None => mix.word(0),
    }
}
