//! Does this update fit the document?
//!
//! The blocks are taken in causal order, each is checked against the index and appended to it; then the deletions. The
//! first rule that is broken takes everything back.

use super::index::{Index, Kind, NewUnits, Owner, PlaceId, Savepoint};
use super::intervals::Intervals;
use super::{MAX_DEPTH, MAX_ROOTS, Ownership, Refusal};
use commonplace_protocol::ids::{ClientId, Clock, Id};
use commonplace_protocol::update::{Block, Body, Content, Item, Parent, Stuck, Update};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Admits an update (G1 to G13). Says whether it brought anything new.
pub(super) fn admit(
    index: &mut Index,
    update: &Update<'_>,
    owner: &mut dyn Ownership,
    max_new_deletions: usize,
) -> Result<bool, Refusal> {
    let mut taking = Taking {
        index,
        save: Savepoint::default(),
        must_be_gone: HashSet::new(),
        marks: Vec::new(),
        lows: Vec::new(),
    };
    match taking.take(update, owner, max_new_deletions) {
        Ok(news) => {
            let replaced = std::mem::take(&mut taking.save.replaced);
            for (client, range) in replaced {
                index.delete(client, range);
            }
            for (client, ranges) in update.deletes() {
                for range in ranges {
                    index.delete(client, range.clone());
                }
            }
            Ok(news)
        }
        Err(refusal) => {
            let save = taking.save;
            index.roll_back(save);
            Err(refusal)
        }
    }
}

/// Whether everything in the update is there already.
pub(super) fn knows(index: &Index, update: &Update<'_>) -> bool {
    update.sections().iter().all(|section| section.end <= index.end(section.client))
        && update.deletes().all(|(client, ranges)| {
            ranges.iter().all(|range| {
                range.end <= index.end(client) && !deletes_something(index, client, range)
            })
        })
}

fn deletes_something(index: &Index, client: ClientId, range: &Range<Clock>) -> bool {
    index.live(client, range.clone()).next().is_some()
}

struct Taking<'i> {
    index: &'i mut Index,
    save: Savepoint,
    /// Places that units were put next to which are gone: the deletions of this very update must explain it (G6).
    must_be_gone: HashSet<PlaceId>,
    // Reused from block to block.
    marks: Vec<u8>,
    lows: Vec<Clock>,
}

impl Taking<'_> {
    fn take(
        &mut self,
        update: &Update<'_>,
        owner: &mut dyn Ownership,
        max_new_deletions: usize,
    ) -> Result<bool, Refusal> {
        // G1, G2
        let order =
            update.causal_order(|client| self.index.end(client)).map_err(|stuck| match stuck {
                Stuck::Missing(_) => Refusal::Gap,
                Stuck::Circle(_) => {
                    Refusal::Contradiction("a block refers to itself or to what comes after it")
                }
            })?;
        let known: Vec<Clock> =
            update.sections().iter().map(|section| self.index.end(section.client)).collect();
        let mut cursors: Vec<_> =
            update.sections().iter().map(|section| update.blocks(section)).collect();
        let deletes: HashMap<ClientId, &[Range<Clock>]> = update.deletes().collect();
        for step in order {
            let section = step.section as usize;
            let block = cursors
                .get_mut(section)
                .and_then(Iterator::next)
                .expect("the order names each block once");
            self.block(&deletes, &block, known.get(section).copied().unwrap_or(0))?;
        }
        if self.index.roots() > MAX_ROOTS {
            return Err(Refusal::Limit("64 root types")); // G10
        }
        let deletes_news = self.deletions(update, max_new_deletions)?;
        self.explain_gone(update)?;
        let mut inserts_news = false;
        for (section, known) in update.sections().iter().zip(known) {
            if section.end > known {
                inserts_news = true;
                if !owner.may_write_as(section.client) {
                    return Err(Refusal::NotYours); // G13
                }
            }
        }
        Ok(inserts_news || deletes_news)
    }

    fn block(
        &mut self,
        deletes: &HashMap<ClientId, &[Range<Clock>]>,
        block: &Block<'_>,
        known: Clock,
    ) -> Result<(), Refusal> {
        self.marks.clear();
        let (item, kind) = match &block.body {
            Body::Gc => (None, Kind::Gc),
            Body::Item(item) => {
                item.content.marks(&mut self.marks);
                (Some(item), kind(&item.content))
            }
        };
        if block.id.clock < known {
            self.agrees(block, item, kind, known)?;
            if block.end() <= known {
                return Ok(());
            }
        }
        let first = Id { clock: block.id.clock.max(known), ..block.id };
        // What is new of a block known in part follows its known part.
        let after =
            if first == block.id { item.and_then(|item| item.origin) } else { Some(before(first)) };
        let place = match item {
            Some(item) => self.place(item, after)?,
            None => PlaceId::GONE,
        };
        if place != PlaceId::GONE && self.index.has_key(place) {
            may_have_key(item, block.len, || {
                covers(
                    deletes.get(&block.id.client).copied().unwrap_or_default(),
                    first.clock..block.end(),
                )
            })?;
        }
        let skipped = (first.clock - block.id.clock) as usize;
        self.lows.clear();
        if let Some(Item { content: Content::Text(text), .. }) = item {
            low_surrogates(text, block.id.clock, first.clock, &mut self.lows);
        }
        let new = NewUnits {
            first,
            len: block.end() - first.clock,
            place,
            kind,
            marks: self.marks.get(skipped..).unwrap_or_default(),
            low_surrogates: &self.lows,
            after,
        };
        self.index.append(&mut self.save, &new);
        Ok(())
    }

    /// G8: what is known of a block and still there is what the block says it is.
    fn agrees(
        &self,
        block: &Block<'_>,
        item: Option<&Item<'_>>,
        kind: Kind,
        known: Clock,
    ) -> Result<(), Refusal> {
        let Some(item) = item.filter(|_| !kind.is_hollow()) else { return Ok(()) };
        let declared = self.declared(item);
        for (clocks, place, known_kind, known_marks) in
            self.index.live(block.id.client, block.id.clock..block.end().min(known))
        {
            let skipped = (clocks.start - block.id.clock) as usize;
            if known_kind != kind
                || self.marks.get(skipped..skipped + clocks.len()) != Some(known_marks)
            {
                return Err(Refusal::Contradiction("it says something else about what is known"));
            }
            if declared.is_some_and(|declared| declared != place) {
                return Err(Refusal::Contradiction("it moves what is known"));
            }
        }
        Ok(())
    }

    /// Where a known block says it is, as far as that is known.
    fn declared(&self, item: &Item<'_>) -> Option<PlaceId> {
        let place = match item.parent {
            Parent::Inherited => item
                .origin
                .or(item.right_origin)
                .and_then(|next_to| self.index.place_of(next_to))?,
            Parent::Root(name) => self.index.find_place(&Owner::Root(Arc::from(name)), item.key)?,
            Parent::Type(id) => self.index.find_place(&Owner::Unit(id), item.key)?,
        };
        (place != PlaceId::GONE && !self.index.is_gone(place)).then_some(place)
    }

    /// Where new units are (G3 to G6): next to `after` and the right origin, in the parent that is spelt out.
    fn place(&mut self, item: &Item<'_>, after: Option<Id>) -> Result<PlaceId, Refusal> {
        if after.is_some() && after == item.right_origin {
            return Err(Refusal::Contradiction("it is before and after the same unit")); // G3
        }
        let mut found = Found::default();
        if let Some(after) = after {
            found.add(self.index.place_of(after).ok_or(Refusal::Gap)?);
            // What is known in part is no insertion into the middle of a pair, even if the known part ends there.
            if item.origin == Some(after) && self.index.splits_pair(after.client, after.clock + 1) {
                return Err(Refusal::Contradiction(
                    "it is inserted into the middle of a character",
                )); // G11
            }
        }
        if let Some(right) = item.right_origin {
            found.add(self.index.place_of(right).ok_or(Refusal::Gap)?);
            if self.index.splits_pair(right.client, right.clock) {
                return Err(Refusal::Contradiction(
                    "it is inserted into the middle of a character",
                )); // G11
            }
        }
        match item.parent {
            Parent::Inherited => {}
            Parent::Root(name) => {
                found.add(self.index.place(&mut self.save, Owner::Root(Arc::from(name)), item.key))
            }
            Parent::Type(id) => found.add(self.child_place(id, item.key)?),
        }
        let mut places = found.places();
        let Some(place) = places.next() else {
            return if found.gone {
                Ok(PlaceId::GONE)
            } else {
                Err(Refusal::Contradiction("it is nowhere"))
            };
        };
        if places.any(|other| other != place) {
            return Err(Refusal::Contradiction("its neighbours are in different places")); // G4
        }
        if found.gone {
            // Until the deletions of this update it is there, in yrs too.
            self.must_be_gone.insert(place);
        }
        Ok(place)
    }

    fn child_place(&mut self, parent: Id, key: Option<&str>) -> Result<PlaceId, Refusal> {
        let unit = self.index.unit(parent).ok_or(Refusal::Gap)?;
        if unit.kind.is_hollow() || self.index.is_deleted(parent) || self.index.is_gone(unit.place)
        {
            return Ok(PlaceId::GONE);
        }
        if unit.kind != Kind::Type {
            return Err(Refusal::Contradiction("its parent is not a type")); // G5
        }
        if self.index.depth(unit.place) >= MAX_DEPTH {
            return Err(Refusal::Limit("256 types around each other")); // G9
        }
        Ok(self.index.place(&mut self.save, Owner::Unit(parent), key))
    }

    /// G12: deletions are of known units. Says whether they delete anything.
    fn deletions(&self, update: &Update<'_>, max_new: usize) -> Result<bool, Refusal> {
        let mut new = 0;
        for (client, ranges) in update.deletes() {
            let end = self.index.end(client);
            if ranges.last().is_some_and(|last| last.end > end) {
                return Err(Refusal::Gap);
            }
            for range in ranges {
                if deletes_something(self.index, client, range) {
                    new += 1;
                    if new > max_new {
                        return Err(Refusal::Limit("10,000 deletions in one update"));
                    }
                }
            }
        }
        Ok(new > 0)
    }

    /// G6: where a unit stands between one that is gone and one that is there, this update deletes what is around both.
    fn explain_gone(&self, update: &Update<'_>) -> Result<(), Refusal> {
        if self.must_be_gone.is_empty() {
            return Ok(());
        }
        let mut deleted: HashMap<ClientId, Intervals> = HashMap::new();
        let told = update
            .deletes()
            .flat_map(|(client, ranges)| ranges.iter().map(move |range| (client, range)));
        let replaced = self.save.replaced.iter().map(|(client, range)| (*client, range));
        for (client, range) in told.chain(replaced) {
            deleted.entry(client).or_default().insert(range.clone());
        }
        if self.index.would_be_gone(&self.must_be_gone, &deleted) {
            Ok(())
        } else {
            Err(Refusal::Contradiction("one neighbour is gone and the other is not"))
        }
    }
}

/// The places an item is said to be in.
#[derive(Default)]
struct Found {
    gone: bool,
    places: [Option<PlaceId>; 3],
}

impl Found {
    fn add(&mut self, place: PlaceId) {
        if place == PlaceId::GONE {
            self.gone = true;
        } else if let Some(free) = self.places.iter_mut().find(|place| place.is_none()) {
            *free = Some(place);
        }
    }

    fn places(&self) -> impl Iterator<Item = PlaceId> + use<> {
        self.places.into_iter().flatten()
    }
}

/// G7: under a key there is one value at a time, appended after the one before; no text, no formats. Several values in one
/// block have all been deleted: a document without collection joins them.
fn may_have_key(
    item: Option<&Item<'_>>,
    len: u32,
    is_deleted: impl Fn() -> bool,
) -> Result<(), Refusal> {
    let Some(item) = item else { return Ok(()) };
    if item.right_origin.is_some() {
        return Err(Refusal::Contradiction("an entry of a map is put before another"));
    }
    match item.content {
        Content::Deleted => Ok(()),
        Content::Text(_) | Content::Format { .. } => {
            Err(Refusal::Contradiction("an entry of a map is text or a format"))
        }
        Content::Any(_) if len > 1 && !is_deleted() => {
            Err(Refusal::Contradiction("an entry of a map holds several values"))
        }
        Content::Any(_) | Content::Binary(_) | Content::Embed(_) | Content::Type(_) => Ok(()),
    }
}

/// Whether all these clocks are in sorted ranges.
fn covers(ranges: &[Range<Clock>], clocks: Range<Clock>) -> bool {
    let mut at = clocks.start;
    let first = ranges.partition_point(|range| range.end <= at);
    for range in ranges.get(first..).unwrap_or_default() {
        if range.start > at || at >= clocks.end {
            break;
        }
        at = range.end;
    }
    at >= clocks.end
}

const fn kind(content: &Content<'_>) -> Kind {
    match content {
        Content::Deleted => Kind::Deleted,
        Content::Binary(_) => Kind::Binary,
        Content::Text(_) => Kind::Text,
        Content::Embed(_) => Kind::Embed,
        Content::Format { .. } => Kind::Format,
        Content::Type(_) => Kind::Type,
        Content::Any(_) => Kind::Any,
    }
}

const fn before(id: Id) -> Id {
    Id { client: id.client, clock: id.clock - 1 }
}

/// The second halves of the surrogate pairs in a text that begins at `start`, of those pairs that begin at or after `from`.
fn low_surrogates(text: &str, start: Clock, from: Clock, out: &mut Vec<Clock>) {
    if text.is_ascii() {
        return;
    }
    let mut clock = start;
    for c in text.chars() {
        if c.len_utf16() == 2 {
            if clock >= from {
                out.push(clock + 1);
            }
            clock += 2;
        } else {
            clock += 1;
        }
    }
}
