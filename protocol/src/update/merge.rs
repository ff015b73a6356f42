//! How do neighbouring updates become one, without looking inside their blocks?

use super::block::{self, Trust};
use super::parse::DeleteSection;
use crate::ids::{ClientId, Clock};
use crate::varint::{Reader, write_var_u64};
use std::collections::BTreeMap;
use std::ops::Range;

/// What merging needs to know about the bytes of an update. Owned: it outlives the borrow of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    sections: Vec<MeasuredSection>,
    deletes: Vec<DeleteSection>,
    ranges: Vec<Range<Clock>>,
}

/// Where the blocks of one client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredSection {
    /// Whose blocks.
    pub client: ClientId,
    /// The clocks they cover.
    pub clocks: Range<Clock>,
    /// How many blocks.
    pub blocks: usize,
    bytes: Range<u32>,
}

impl Measured {
    pub(super) fn new(
        sections: impl Iterator<Item = (ClientId, Range<Clock>, usize, Range<usize>)>,
        deletes: Vec<DeleteSection>,
        ranges: Vec<Range<Clock>>,
    ) -> Self {
        let at = |offset: usize| u32::try_from(offset).expect("the parser refuses 4 GiB");
        let sections = sections
            .map(|(client, clocks, blocks, bytes)| MeasuredSection {
                client,
                clocks,
                blocks,
                bytes: at(bytes.start)..at(bytes.end),
            })
            .collect();
        Self { sections, deletes, ranges }
    }

    /// How many blocks in all.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.sections.iter().map(|section| section.blocks).sum()
    }

    /// The blocks of each client, as they come.
    #[must_use]
    pub fn sections(&self) -> &[MeasuredSection] {
        &self.sections
    }

    /// What is deleted, client by client, as it comes.
    pub fn deletes(&self) -> impl Iterator<Item = (ClientId, &[Range<Clock>])> + '_ {
        self.deletes.iter().map(|section| {
            (section.client, self.ranges.get(section.ranges.clone()).unwrap_or_default())
        })
    }
}

/// Merges updates that a gate has admitted one after the other into as few updates as it can, in order: for each client the
/// blocks are concatenated, blocks that an earlier part has already are left out, and the deletions are united.
///
/// Nearly always the answer is one update. A part whose blocks do not continue what is there (a hole between, or a block
/// that is known in part) begins a new one. Applied in order they say exactly what the parts say.
#[must_use]
pub fn merge(parts: &[(&[u8], &Measured)]) -> Vec<Vec<u8>> {
    let mut merged = Vec::new();
    let mut open = Open::default();
    for (bytes, measured) in parts {
        let Some(pieces) = open.pieces(bytes, measured) else {
            merged.push(std::mem::take(&mut open).encode());
            let pieces = open.pieces(bytes, measured).expect("everything fits where nothing is");
            open.add(pieces, measured);
            continue;
        };
        open.add(pieces, measured);
    }
    if !open.is_empty() {
        merged.push(open.encode());
    }
    merged
}

/// Some blocks of one client as they are on the wire.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) client: ClientId,
    pub(super) clocks: Range<Clock>,
    pub(super) blocks: usize,
    pub(super) bytes: &'a [u8],
}

/// An update being put together.
#[derive(Debug, Default)]
pub(super) struct Open<'a> {
    sections: BTreeMap<ClientId, OpenSection<'a>>,
    deletes: BTreeMap<ClientId, Vec<Range<Clock>>>,
}

#[derive(Debug)]
struct OpenSection<'a> {
    clocks: Range<Clock>,
    blocks: usize,
    bytes: Vec<&'a [u8]>,
}

impl<'a> Open<'a> {
    /// What of this part is to be appended, or `None` if it cannot be.
    fn pieces(&self, bytes: &'a [u8], measured: &Measured) -> Option<Vec<Piece<'a>>> {
        let mut pieces = Vec::with_capacity(measured.sections.len());
        for section in &measured.sections {
            let all = bytes.get(section.bytes.start as usize..section.bytes.end as usize)?;
            let mut piece = Piece {
                client: section.client,
                clocks: section.clocks.clone(),
                blocks: section.blocks,
                bytes: all,
            };
            if let Some(open) = self.sections.get(&section.client) {
                if open.clocks.end < piece.clocks.start || piece.clocks.start < open.clocks.start {
                    return None;
                }
                piece.skip_to(open.clocks.end)?;
            }
            if piece.blocks > 0 {
                pieces.push(piece);
            }
        }
        Some(pieces)
    }

    fn add(&mut self, pieces: Vec<Piece<'a>>, measured: &Measured) {
        for piece in pieces {
            self.append(&piece);
        }
        for (client, ranges) in measured.deletes() {
            self.delete(client, ranges);
        }
    }

    /// Appends blocks that begin where those of the client end.
    pub(super) fn append(&mut self, piece: &Piece<'a>) {
        let empty = || OpenSection {
            clocks: piece.clocks.start..piece.clocks.start,
            blocks: 0,
            bytes: Vec::new(),
        };
        let open = self.sections.entry(piece.client).or_insert_with(empty);
        debug_assert_eq!(open.clocks.end, piece.clocks.start);
        open.clocks.end = piece.clocks.end;
        open.blocks += piece.blocks;
        open.bytes.push(piece.bytes);
    }

    /// Deletes some more.
    pub(super) fn delete(&mut self, client: ClientId, ranges: &[Range<Clock>]) {
        self.deletes.entry(client).or_default().extend_from_slice(ranges);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.deletes.is_empty()
    }

    /// Writes it as Yjs would: greatest client first, delete ranges sorted and joined.
    pub(super) fn encode(self) -> Vec<u8> {
        let body: usize = self
            .sections
            .values()
            .flat_map(|section| &section.bytes)
            .map(|bytes| bytes.len())
            .sum();
        let mut out =
            Vec::with_capacity(body + 20 * self.sections.len() + 12 * self.deletes.len() + 2);
        write_var_u64(&mut out, self.sections.len() as u64);
        for (client, section) in self.sections.into_iter().rev() {
            write_var_u64(&mut out, section.blocks as u64);
            write_var_u64(&mut out, client.get());
            write_var_u64(&mut out, u64::from(section.clocks.start));
            for bytes in section.bytes {
                out.extend_from_slice(bytes);
            }
        }
        write_var_u64(&mut out, self.deletes.len() as u64);
        for (client, ranges) in self.deletes.into_iter().rev() {
            let ranges = joined(ranges);
            write_var_u64(&mut out, client.get());
            write_var_u64(&mut out, ranges.len() as u64);
            for range in ranges {
                write_var_u64(&mut out, u64::from(range.start));
                write_var_u64(&mut out, u64::from(range.end - range.start));
            }
        }
        out
    }
}

impl Piece<'_> {
    /// Leaves out the blocks below `clock`, which is not before the first. `None` if one block lies on both sides of it.
    fn skip_to(&mut self, clock: Clock) -> Option<()> {
        if self.clocks.end <= clock {
            self.blocks = 0;
            return Some(());
        }
        let mut reader = Reader::new(self.bytes);
        while self.clocks.start < clock {
            let (_, len) = block::read(&mut reader, Trust::Hostile).ok()?;
            self.clocks.start += len;
            self.blocks -= 1;
            self.bytes = reader.rest();
        }
        if self.clocks.start == clock { Some(()) } else { None }
    }
}

/// Sorts ranges and joins those that touch or overlap.
pub(super) fn joined(mut ranges: Vec<Range<Clock>>) -> Vec<Range<Clock>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<Clock>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}
