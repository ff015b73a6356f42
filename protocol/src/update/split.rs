//! How does a large update become small ones that can be applied one after the other?

use super::merge::{Open, Piece};
use super::{Block, Step, Stuck, Update, parse_own};
use crate::error::Malformed;
use crate::ids::Clock;

/// The most a block section or a delete range adds besides its blocks: three numbers of at most eight bytes.
const OVERHEAD: usize = 24;

/// Cuts an update into parts of at most `max_blocks` blocks and about `max_bytes` bytes (a single block may be larger).
/// Each part refers only to earlier parts, itself and what the update as a whole refers to outside of it; the deletions come
/// last. An update that is within the limits comes back as it is.
pub fn split(bytes: &[u8], max_blocks: usize, max_bytes: usize) -> Result<Vec<Vec<u8>>, Malformed> {
    let update = parse_own(bytes)?;
    if update.len() <= max_blocks && bytes.len() <= max_bytes {
        return Ok(vec![bytes.to_vec()]);
    }
    // What the update refers to outside of itself is the receiver's business.
    let order = update.causal_order(|_| Clock::MAX).map_err(|stuck| match stuck {
        Stuck::Missing(_) => Malformed::Rule("a block refers to a unit that is not in the update"),
        Stuck::Circle(_) => Malformed::Rule("blocks refer to each other in a circle"),
    })?;
    let mut parts = Parts {
        done: Vec::new(),
        open: Open::default(),
        blocks: 0,
        bytes: 0,
        max_blocks,
        max_bytes,
    };
    for step in order {
        parts.add_block(&at(&update, step));
    }
    for (client, ranges) in update.deletes() {
        for range in ranges {
            parts.make_room(0, OVERHEAD);
            parts.open.delete(client, std::slice::from_ref(range));
            parts.bytes += OVERHEAD;
        }
    }
    parts.close();
    Ok(parts.done)
}

fn at<'a>(update: &Update<'a>, step: Step) -> Block<'a> {
    let section = update.sections().get(step.section as usize);
    section
        .and_then(|section| update.block(section, step.block as usize))
        .expect("a step names a block of its update")
}

struct Parts<'a> {
    done: Vec<Vec<u8>>,
    open: Open<'a>,
    blocks: usize,
    bytes: usize,
    max_blocks: usize,
    max_bytes: usize,
}

impl<'a> Parts<'a> {
    fn add_block(&mut self, block: &Block<'a>) {
        self.make_room(1, block.bytes.len());
        let clocks = block.id.clock..block.end();
        self.open.append(&Piece { client: block.id.client, clocks, blocks: 1, bytes: block.bytes });
        self.blocks += 1;
        self.bytes += block.bytes.len();
    }

    fn make_room(&mut self, blocks: usize, bytes: usize) {
        if self.blocks + blocks > self.max_blocks || self.bytes + bytes > self.max_bytes {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open).encode());
        }
        (self.blocks, self.bytes) = (0, 0);
    }
}
