//! What does the gate remember of a document?
//!
//! For each unit that was ever inserted: where it is, of what kind, a byte to tell variants apart, and whether it is
//! deleted. Neighbouring clocks that agree are one run, so typing costs a byte per character. Nothing is ever taken out of
//! the middle: runs are only appended and deletions only added, which makes an update easy to take back.

use super::chain::{Chain, Inserted, Undo};
use super::intervals::Intervals;
use commonplace_protocol::ids::{ClientId, Clock, Id};
use commonplace_protocol::update::StateVector;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place: a list of units, in a type or under a key of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlaceId(u32);

impl PlaceId {
    /// Nowhere any more: the type around it has been deleted.
    pub(super) const GONE: Self = Self(u32::MAX);
}

/// What a place belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// A root type.
    Root(Arc<str>),
    /// The type in this unit.
    Unit(Id),
}

#[derive(Debug)]
struct Place {
    owner: Owner,
    key: Option<Arc<str>>,
    /// How many types are around it.
    depth: u32,
    /// For places with a key: which entry counts.
    chain: Chain,
    gone: Gone,
}

/// Whether a place is gone, as it was found at some time: types nest, and this spares the way up for each unit in them.
#[derive(Default)]
struct Gone(AtomicU64);

impl fmt::Debug for Gone {
    /// Not part of what is remembered: it can be found again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl Gone {
    fn at(&self, epoch: u64) -> Option<bool> {
        let found = self.0.load(Ordering::Relaxed);
        (found >> 1 == epoch).then_some(found & 1 == 1)
    }

    fn remember(&self, epoch: u64, gone: bool) {
        self.0.store(epoch << 1 | u64::from(gone), Ordering::Relaxed);
    }
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gc,
    Deleted,
    Binary,
    Text,
    Embed,
    Format,
    Type,
    Any,
}

impl Kind {
    /// Whether nothing of it is left but its clocks.
    pub(super) const fn is_hollow(self) -> bool {
        matches!(self, Self::Gc | Self::Deleted)
    }
}

/// Neighbouring units that agree in place and kind. Its length ends where the next run begins.
#[derive(Clone, Copy, Debug)]
struct Run {
    clock: Clock,
    place: PlaceId,
    /// Where the marks of its units begin in [`Client::marks`]; hollow runs have none.
    marks: usize,
    /// Under a key: how many entries the first unit follows. Each further unit follows the one before it.
    depth: u32,
    kind: Kind,
}

#[derive(Debug, Default)]
struct Client {
    runs: Vec<Run>,
    end: Clock,
    marks: Vec<u8>,
    /// The second halves of surrogate pairs, in order.
    low_surrogates: Vec<Clock>,
    /// Units deleted after they were inserted (also the ones without effect because the place is gone).
    deleted: Intervals,
}

/// One unit as the index knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) place: PlaceId,
    pub(super) kind: Kind,
    pub(super) depth: u32,
}

/// New units of one client: a run to be appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewUnits<'a> {
    pub(super) first: Id,
    pub(super) len: u32,
    pub(super) place: PlaceId,
    pub(super) kind: Kind,
    /// One per unit, or none at all for hollow units.
    pub(super) marks: &'a [u8],
    pub(super) low_surrogates: &'a [Clock],
    /// Under a key: the entry the first one follows.
    pub(super) after: Option<Id>,
}

/// How to take an update back.
#[derive(Debug, Default)]
pub(super) struct Savepoint {
    clients: HashMap<ClientId, ClientBefore>,
    places: Vec<(Owner, Option<Arc<str>>)>,
    roots: usize,
    chains: Vec<(PlaceId, Undo)>,
    /// Entries that no longer count: to be deleted when the update is admitted.
    pub(super) replaced: Vec<(ClientId, Range<Clock>)>,
}

#[derive(Clone, Copy, Debug)]
struct ClientBefore {
    runs: usize,
    end: Clock,
    marks: usize,
    low_surrogates: usize,
    new: bool,
}

/// The shadow of a document.
#[derive(Debug)]
pub(super) struct Index {
    clients: HashMap<ClientId, Client>,
    places: Vec<Place>,
    by_owner: HashMap<(Owner, Option<Arc<str>>), PlaceId>,
    roots: usize,
    /// Counts deletions: what was found about places holds until the next one.
    epoch: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            places: Vec::new(),
            by_owner: HashMap::new(),
            roots: 0,
            epoch: 1,
        }
    }
}

impl Index {
    /// How much of a client is known.
    pub(super) fn end(&self, client: ClientId) -> Clock {
        self.clients.get(&client).map_or(0, |client| client.end)
    }

    pub(super) fn state_vector(&self) -> StateVector {
        self.clients.iter().map(|(client, known)| (*client, known.end)).collect()
    }

    pub(super) fn roots(&self) -> usize {
        self.roots
    }

    pub(super) fn unit(&self, id: Id) -> Option<Unit> {
        let client = self.clients.get(&id.client).filter(|client| id.clock < client.end)?;
        let run = client.runs.get(client.run_at(id.clock)?)?;
        Some(Unit { place: run.place, kind: run.kind, depth: run.depth + (id.clock - run.clock) })
    }

    /// Where a unit is; [`PlaceId::GONE`] if the type around it is deleted, `None` if it is not known.
    pub(super) fn place_of(&self, id: Id) -> Option<PlaceId> {
        let place = self.unit(id)?.place;
        Some(if self.is_gone(place) { PlaceId::GONE } else { place })
    }

    /// Whether the type around a place, or a type around that one, is deleted.
    pub(super) fn is_gone(&self, place: PlaceId) -> bool {
        let mut at = place;
        let gone = loop {
            let Some(here) = self.places.get(at.0 as usize) else { break true };
            if let Some(known) = here.gone.at(self.epoch) {
                break known;
            }
            let Owner::Unit(owner) = here.owner else { break false };
            match self.unit(owner) {
                Some(unit) if !unit.kind.is_hollow() && !self.is_deleted(owner) => at = unit.place,
                _ => break true,
            }
        };
        if let Some(place) = self.places.get(place.0 as usize) {
            place.gone.remember(self.epoch, gone);
        }
        gone
    }

    /// Whether all these places would be gone if these units were deleted as well.
    pub(super) fn would_be_gone(
        &self,
        places: &HashSet<PlaceId>,
        deleted: &HashMap<ClientId, Intervals>,
    ) -> bool {
        // Places looked at already, none of them gone so far.
        let mut there: HashSet<PlaceId> = HashSet::new();
        let mut gone: HashSet<PlaceId> = HashSet::new();
        places.iter().all(|place| {
            let mut path = Vec::new();
            let mut at = *place;
            let is_gone = loop {
                if gone.contains(&at) || self.is_gone(at) {
                    break true;
                }
                if there.contains(&at) {
                    break false;
                }
                path.push(at);
                let Some(Owner::Unit(owner)) =
                    self.places.get(at.0 as usize).map(|here| &here.owner)
                else {
                    break false;
                };
                if deleted.get(&owner.client).is_some_and(|deleted| deleted.contains(owner.clock)) {
                    break true;
                }
                let Some(unit) = self.unit(*owner) else { break true };
                at = unit.place;
            };
            if is_gone {
                gone.extend(path)
            } else {
                there.extend(path)
            }
            is_gone
        })
    }

    /// Whether this very unit was deleted. It may also be hollow, or gone with its place.
    pub(super) fn is_deleted(&self, id: Id) -> bool {
        self.clients.get(&id.client).is_some_and(|client| client.deleted.contains(id.clock))
    }

    /// Whether there is anything of the unit left that others could refer to and see.
    pub(super) fn is_live(&self, id: Id) -> bool {
        self.unit(id).is_some_and(|unit| {
            !unit.kind.is_hollow() && !self.is_deleted(id) && !self.is_gone(unit.place)
        })
    }

    /// The live runs within these clocks: their clocks, place, kind and marks.
    pub(super) fn live(
        &self,
        client: ClientId,
        range: Range<Clock>,
    ) -> impl Iterator<Item = (Range<Clock>, PlaceId, Kind, &[u8])> {
        let known = self.clients.get(&client);
        let gaps = known.into_iter().flat_map(move |known| {
            let range = range.start..range.end.min(known.end);
            known.deleted.gaps(range).map(move |gap| (known, gap))
        });
        gaps.flat_map(move |(known, gap)| {
            let first = known.run_at(gap.start).unwrap_or(0);
            let inside = known
                .runs
                .get(first..)
                .unwrap_or_default()
                .iter()
                .enumerate()
                .map(move |(at, run)| (first + at, run));
            inside.take_while(move |(_, run)| run.clock < gap.end).filter_map(move |(at, run)| {
                if run.kind.is_hollow() || self.is_gone(run.place) {
                    return None;
                }
                let end = known.runs.get(at + 1).map_or(known.end, |next| next.clock);
                let clocks = run.clock.max(gap.start)..end.min(gap.end);
                let marks = run.marks + (clocks.start - run.clock) as usize;
                Some((
                    clocks.clone(),
                    run.place,
                    run.kind,
                    known.marks.get(marks..marks + clocks.len()).unwrap_or_default(),
                ))
            })
        })
    }

    /// Whether this clock is the second half of a surrogate pair that is still whole.
    pub(super) fn splits_pair(&self, client: ClientId, before: Clock) -> bool {
        let Some(known) = self.clients.get(&client) else { return false };
        known.low_surrogates.binary_search(&before).is_ok()
            && self.is_live(Id { client, clock: before })
            && self.is_live(Id { client, clock: before - 1 })
    }

    pub(super) fn depth(&self, place: PlaceId) -> u32 {
        self.places.get(place.0 as usize).map_or(0, |place| place.depth)
    }

    pub(super) fn has_key(&self, place: PlaceId) -> bool {
        self.places.get(place.0 as usize).is_some_and(|place| place.key.is_some())
    }

    /// A place that exists.
    pub(super) fn find_place(&self, owner: &Owner, key: Option<&str>) -> Option<PlaceId> {
        self.by_owner.get(&(owner.clone(), key.map(Arc::from))).copied()
    }

    /// A place, made if it is new. The owner is a root or a live type.
    pub(super) fn place(
        &mut self,
        save: &mut Savepoint,
        owner: Owner,
        key: Option<&str>,
    ) -> PlaceId {
        let named = (owner, key.map(Arc::from));
        if let Some(place) = self.by_owner.get(&named) {
            return *place;
        }
        let depth = match &named.0 {
            Owner::Root(_) => 0,
            Owner::Unit(id) => self.unit(*id).map_or(0, |unit| self.depth(unit.place) + 1),
        };
        // A root counts once, whatever keys it has: the place without key stands for it.
        if matches!(named.0, Owner::Root(_)) && named.1.is_some() {
            self.place(save, named.0.clone(), None);
        } else if matches!(named.0, Owner::Root(_)) {
            self.roots += 1;
            save.roots += 1;
        }
        let id = PlaceId(
            u32::try_from(self.places.len()).expect("a place costs more than a byte of an update"),
        );
        self.places.push(Place {
            owner: named.0.clone(),
            key: named.1.clone(),
            depth,
            chain: Chain::default(),
            gone: Gone::default(),
        });
        save.places.push(named.clone());
        self.by_owner.insert(named, id);
        id
    }

    /// Appends units to what is known of their client.
    pub(super) fn append(&mut self, save: &mut Savepoint, new: &NewUnits<'_>) {
        let depth = self.enter_chain(save, new);
        let known_before = self.clients.contains_key(&new.first.client);
        let client = self.clients.entry(new.first.client).or_default();
        debug_assert_eq!(client.end, new.first.clock);
        save.clients.entry(new.first.client).or_insert_with(|| client.before(!known_before));
        let continues = client.runs.last().is_some_and(|last| {
            last.place == new.place
                && last.kind == new.kind
                && (depth == 0 || last.depth + (client.end - last.clock) == depth)
        });
        if !continues
            || (depth == 0
                && self.places.get(new.place.0 as usize).is_some_and(|place| place.key.is_some()))
        {
            client.runs.push(Run {
                clock: client.end,
                place: new.place,
                marks: client.marks.len(),
                depth,
                kind: new.kind,
            });
        }
        client.marks.extend_from_slice(new.marks);
        client.low_surrogates.extend_from_slice(new.low_surrogates);
        client.end += new.len;
    }

    /// Enters units into the chain of their key. Returns how many entries the first one follows; 0 without a key.
    fn enter_chain(&mut self, save: &mut Savepoint, new: &NewUnits<'_>) -> u32 {
        if !self.has_key(new.place) {
            return 0;
        }
        let depth = new.after.and_then(|after| self.unit(after)).map_or(0, |unit| unit.depth + 1);
        let Some(place) = self.places.get_mut(new.place.0 as usize) else { return 0 };
        let Id { client, clock } = new.first;
        let end = clock + new.len;
        match place.chain.insert(new.after, depth, new.first, new.len) {
            Inserted::Lost => save.replaced.push((client, clock..end)),
            Inserted::Won { replaced, undo } => {
                save.chains.push((new.place, undo));
                save.replaced.push((client, clock..end - 1));
                if let Some(replaced) = replaced {
                    save.replaced.push((replaced.client, replaced.clock..replaced.clock + 1));
                }
            }
        }
        depth
    }

    /// Deletes units. Known ones only.
    pub(super) fn delete(&mut self, client: ClientId, range: Range<Clock>) {
        if let Some(client) = self.clients.get_mut(&client) {
            debug_assert!(range.end <= client.end);
            client.deleted.insert(range);
            self.epoch += 1;
        }
    }

    /// Takes everything back that was appended with this savepoint.
    pub(super) fn roll_back(&mut self, save: Savepoint) {
        for (place, undo) in save.chains.into_iter().rev() {
            if let Some(place) = self.places.get_mut(place.0 as usize) {
                place.chain.undo(undo);
            }
        }
        for named in save.places.iter().rev() {
            self.by_owner.remove(named);
            self.places.pop();
        }
        self.roots -= save.roots;
        for (id, before) in save.clients {
            if before.new {
                self.clients.remove(&id);
            } else if let Some(client) = self.clients.get_mut(&id) {
                client.runs.truncate(before.runs);
                client.marks.truncate(before.marks);
                client.low_surrogates.truncate(before.low_surrogates);
                client.end = before.end;
            }
        }
    }
}

impl Client {
    fn run_at(&self, clock: Clock) -> Option<usize> {
        self.runs.partition_point(|run| run.clock <= clock).checked_sub(1)
    }

    fn before(&self, new: bool) -> ClientBefore {
        ClientBefore {
            runs: self.runs.len(),
            end: self.end,
            marks: self.marks.len(),
            low_surrogates: self.low_surrogates.len(),
            new,
        }
    }
}
