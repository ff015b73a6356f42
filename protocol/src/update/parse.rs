//! Are these bytes an update?

use super::block::{self, Block, Trust};
use super::{MAX_BLOCKS, Measured};
use crate::error::Malformed;
use crate::ids::{ClientId, Clock, Id};
use crate::limits::MAX_CLOCK;
use crate::varint::Reader;
use std::collections::HashSet;
use std::ops::Range;

/// A well-formed update, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
    blocks: Vec<Entry>,
    deletes: Vec<DeleteSection>,
    ranges: Vec<Range<Clock>>,
}

/// Where a block begins. Everything else about it is read again when it is asked for: eight bytes per block, whatever it is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    clock: Clock,
}

/// The blocks of one client: contiguous clocks.
#[derive(Clone, Debug)]
pub struct Section {
    /// Whose blocks.
    pub client: ClientId,
    /// The first clock.
    pub start: Clock,
    /// The clock after the last one.
    pub end: Clock,
    blocks: Range<usize>,
    bytes: Range<usize>,
}

impl Section {
    /// How many blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Never: a section without blocks is not well-formed (U2).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// What is deleted of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteSection {
    /// Whose insertions.
    pub client: ClientId,
    pub(super) ranges: Range<usize>,
}

/// Reads an update in the V1 encoding. `UPDATE.md` has the rules.
pub fn parse(bytes: &[u8]) -> Result<Update<'_>, Malformed> {
    parse_up_to(bytes, MAX_BLOCKS)
}

/// Reads a state the server wrote itself, or an update that was parsed before: the same rules, but as many blocks as there
/// are (U17 bounds what a stranger may make us index).
pub fn parse_own(bytes: &[u8]) -> Result<Update<'_>, Malformed> {
    parse_up_to(bytes, usize::MAX)
}

fn parse_up_to(bytes: &[u8], max_blocks: usize) -> Result<Update<'_>, Malformed> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(Malformed::TooLarge("update"));
    }
    let mut reader = Reader::new(bytes);
    let mut update = Update {
        bytes,
        sections: Vec::new(),
        blocks: Vec::new(),
        deletes: Vec::new(),
        ranges: Vec::new(),
    };
    read_sections(&mut reader, &mut update, max_blocks)?;
    read_deletes(&mut reader, &mut update)?;
    reader.finish()?; // U16
    Ok(update)
}

fn read_sections(
    reader: &mut Reader<'_>,
    update: &mut Update<'_>,
    max_blocks: usize,
) -> Result<(), Malformed> {
    let whole = update.bytes.len();
    let count = reader.var_u64_minimal("number of sections")?;
    let mut clients = HashSet::new();
    for _ in 0..count {
        let blocks = reader.var_u64_minimal("number of blocks")?;
        if blocks == 0 {
            return Err(Malformed::Rule("a section is empty")); // U2
        }
        let client = block::client(reader)?;
        if !clients.insert(client) {
            return Err(Malformed::Rule("a client has two sections")); // U1
        }
        let start = block::clock(reader)?;
        let (first_block, first_byte) = (update.blocks.len(), whole - reader.remaining());
        let mut clock = start;
        for _ in 0..blocks {
            if update.blocks.len() == max_blocks {
                return Err(Malformed::TooLarge("the number of blocks")); // U17
            }
            let at = u32::try_from(whole - reader.remaining())
                .map_err(|_| Malformed::TooLarge("update"))?;
            update.blocks.push(Entry { at, clock });
            let (_, len) = block::read(reader, Trust::Hostile)?;
            // U7: yrs compares clocks as 32-bit signed numbers.
            clock = clock
                .checked_add(len)
                .filter(|end| *end <= MAX_CLOCK)
                .ok_or(Malformed::OutOfRange("clock"))?;
        }
        let (blocks, bytes) =
            (first_block..update.blocks.len(), first_byte..whole - reader.remaining());
        update.sections.push(Section { client, start, end: clock, blocks, bytes });
    }
    Ok(())
}

fn read_deletes(reader: &mut Reader<'_>, update: &mut Update<'_>) -> Result<(), Malformed> {
    let count = reader.var_u64_minimal("number of delete sections")?;
    let mut clients = HashSet::new();
    for _ in 0..count {
        let client = block::client(reader)?;
        if !clients.insert(client) {
            return Err(Malformed::Rule("a client has two delete sections")); // U13
        }
        let ranges = reader.var_u64_minimal("number of delete ranges")?;
        if ranges == 0 {
            return Err(Malformed::Rule("a delete section is empty")); // U13
        }
        let first = update.ranges.len();
        let mut last = 0;
        for _ in 0..ranges {
            let start = block::clock(reader)?;
            let len = block::clock(reader)?;
            let end = start
                .checked_add(len)
                .filter(|end| *end <= MAX_CLOCK)
                .ok_or(Malformed::OutOfRange("clock"))?;
            if len == 0 || start < last {
                return Err(Malformed::Rule(
                    "delete ranges are empty, overlap or are out of order",
                )); // U14
            }
            update.ranges.push(start..end);
            last = end;
        }
        update.deletes.push(DeleteSection { client, ranges: first..update.ranges.len() });
    }
    Ok(())
}

impl<'a> Update<'a> {
    /// The bytes it was read from.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// One section per client, as they come.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// How many blocks in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it inserts and deletes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.ranges.is_empty()
    }

    /// The blocks of one section in the order of their clocks.
    #[must_use]
    pub fn blocks(&self, section: &Section) -> Blocks<'_, 'a> {
        Blocks {
            update: self,
            client: section.client,
            end: section.end,
            end_byte: section.bytes.end,
            next: section.blocks.clone(),
        }
    }

    /// The `index`th block of a section.
    pub(super) fn block(&self, section: &Section, index: usize) -> Option<Block<'a>> {
        let mut blocks = self.blocks(section);
        blocks.next.start += index;
        blocks.next()
    }

    /// What is deleted: client by client, as they come.
    pub fn deletes(&self) -> impl Iterator<Item = (ClientId, &[Range<Clock>])> + '_ {
        self.deletes.iter().map(|section| {
            (section.client, self.ranges.get(section.ranges.clone()).unwrap_or_default())
        })
    }

    /// How many ranges are deleted in all.
    #[must_use]
    pub fn delete_ranges(&self) -> usize {
        self.ranges.len()
    }

    /// What merging needs to know, without the borrow.
    #[must_use]
    pub fn measure(&self) -> Measured {
        let sections = self
            .sections
            .iter()
            .map(|s| (s.client, s.start..s.end, s.blocks.len(), s.bytes.clone()));
        Measured::new(sections, self.deletes.clone(), self.ranges.clone())
    }
}

/// Iterates over the blocks of a section.
#[derive(Clone, Debug)]
pub struct Blocks<'u, 'a> {
    update: &'u Update<'a>,
    client: ClientId,
    end: Clock,
    end_byte: usize,
    next: Range<usize>,
}

impl<'a> Iterator for Blocks<'_, 'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let index = self.next.next()?;
        let entry = *self.update.blocks.get(index)?;
        let (end, end_byte) = match self.update.blocks.get(index + 1) {
            Some(next) if !self.next.is_empty() => (next.clock, next.at as usize),
            _ => (self.end, self.end_byte),
        };
        let bytes = self.update.bytes.get(entry.at as usize..end_byte)?;
        let (body, len) =
            block::read(&mut Reader::new(bytes), Trust::Checked).expect("checked by the parser");
        debug_assert_eq!(entry.clock + len, end);
        Some(Block { id: Id { client: self.client, clock: entry.clock }, len, body, bytes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.next.size_hint()
    }
}

impl ExactSizeIterator for Blocks<'_, '_> {}
