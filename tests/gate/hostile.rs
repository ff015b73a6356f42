//! Hostile histories: whatever the gate lets through, yrs survives, and the document loads again.

use super::document::{Guarded, MAX_BLOCKS, state};
use super::wire::{Block, Content, Id, Parent, Update};
use super::workers;
use commonplace::gate::{Anyone, Gate};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::BTreeMap;

/// What one run of histories did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) offered: usize,
    pub(crate) admitted: usize,
    pub(crate) contained: usize,
}

/// Where the generator believes units to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Root(usize),
    Type(Id),
}
type Place = (Owner, Option<usize>);

const ROOTS: [&str; 3] = ["t", "m", ""];
const KEYS: [&str; 3] = ["k", "l", ""];
const CLIENTS: [u64; 5] = [1, 2, 3, 900, (1 << 53) - 1];

struct Mind {
    rng: SmallRng,
    clocks: BTreeMap<u64, u32>,
    places: BTreeMap<Place, Vec<Id>>,
    types: Vec<Id>,
    /// Blocks that were admitted, by client: for sending them again, whole, joined or bent.
    sent: BTreeMap<u64, Vec<(u32, Block)>>,
}

impl Mind {
    fn new(seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self {
            rng,
            clocks: BTreeMap::new(),
            places: BTreeMap::new(),
            types: Vec::new(),
            sent: BTreeMap::new(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn below(&mut self, n: u32) -> u32 {
        self.rng.random_range(0..n.max(1))
    }

    fn clock(&self, client: u64) -> u32 {
        self.clocks.get(&client).copied().unwrap_or(0)
    }

    fn any_id(&mut self) -> Id {
        let client = *CLIENTS.choose(&mut self.rng).unwrap();
        let end = self.clock(client);
        let clock = match self.below(20) {
            0 => end,
            1 => end + self.below(3),
            2 => (1 << 31) - 2,
            _ => self.below(end),
        };
        (client, clock)
    }

    fn text(&mut self) -> String {
        (0..1 + self.below(4))
            .map(|_| *['a', 'b', 'é', '😀', '女', '\u{fffd}'].choose(&mut self.rng).unwrap())
            .collect()
    }

    fn content(&mut self, keyed: bool) -> Content {
        let kinds: &[u32] = if keyed && self.chance(93) {
            &[1, 3, 3, 5, 7, 7]
        } else {
            &[0, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 7]
        };
        match kinds.choose(&mut self.rng).unwrap() {
            0 => Content::Gc(1 + self.below(4)),
            1 if self.chance(1) => Content::Deleted((1 << 31) - 1 - self.below(3)),
            1 => Content::Deleted(1 + self.below(4)),
            2 => Content::Text(self.text()),
            3 => {
                let len = if keyed { 1 + u32::from(self.chance(3)) } else { 1 + self.below(3) };
                Content::Any((0..len).map(|_| self.rng.next_u32() as u8).collect())
            }
            4 => Content::Embed("{\"a\":1}".to_owned()),
            5 => Content::Binary(vec![1, 2]),
            6 => Content::Format(
                "bold".to_owned(),
                (if self.chance(50) { "true" } else { "null" }).to_owned(),
            ),
            _ => Content::Type(*[0, 1, 2, 3, 4, 6].choose(&mut self.rng).unwrap()),
        }
    }

    /// A block in a place that exists, or a new one, mostly plausible.
    fn block(&mut self, fresh: &mut Vec<(Place, Id)>, id: Id) -> Block {
        let known: Vec<Place> = self.places.keys().cloned().collect();
        let place = if known.is_empty() || self.chance(15) {
            let types: Vec<Id> = self
                .types
                .iter()
                .copied()
                .chain(fresh.iter().filter(|(_, id)| id.1 % 2 == 0).map(|(_, id)| *id))
                .collect();
            let owner = match types.choose(&mut self.rng) {
                Some(id) if self.rng.random_bool(0.7) => Owner::Type(*id),
                _ => Owner::Root(self.below(3) as usize),
            };
            let key = self.chance(40).then(|| self.below(3) as usize);
            (owner, key)
        } else {
            known.choose(&mut self.rng).unwrap().clone()
        };
        let mut ids = self.places.get(&place).cloned().unwrap_or_default();
        ids.extend(fresh.iter().filter(|(at, _)| *at == place).map(|(_, id)| *id));
        let keyed = place.1.is_some();
        let mut pick = |percent: u32, last: u32| {
            if ids.is_empty() || !self.chance(percent) {
                None
            } else if self.chance(last) {
                ids.last().copied()
            } else {
                ids.choose(&mut self.rng).copied()
            }
        };
        let mut origin = pick(80, if keyed { 70 } else { 30 });
        let mut right = if keyed { None } else { pick(50, 10) };
        if origin == right && origin.is_some() && self.chance(95) {
            right = None;
        }
        match self.below(60) {
            0 => origin = Some(self.any_id()),
            1 => right = Some(self.any_id()),
            2 => (origin, right) = (Some(self.any_id()), Some(self.any_id())),
            3 => origin = Some(id),
            4 => (origin, right) = (None, Some(id)),
            _ => {}
        }
        let parent = match &place.0 {
            Owner::Root(root) => Parent::Root(ROOTS[*root].to_owned()),
            Owner::Type(_) if self.chance(3) => Parent::Type(self.any_id()),
            Owner::Type(id) => Parent::Type(*id),
        };
        let key = place.1.map(|key| KEYS[key].to_owned());
        let block = Block { origin, right, parent, key, content: self.content(keyed) };
        for n in 0..block.len().min(8) {
            fresh.push((place.clone(), (id.0, id.1.saturating_add(n))));
        }
        block
    }

    /// Blocks that were sent before, from somewhere up to the end of what is known, sometimes bent, sometimes with more.
    fn again(&mut self, client: u64) -> Option<(u32, Vec<Block>)> {
        let sent = self.sent.get(&client)?.clone();
        let from = self.below(sent.len() as u32) as usize;
        let start = sent.get(from)?.0;
        let mut blocks: Vec<Block> = sent[from..].iter().map(|(_, block)| block.clone()).collect();
        if self.chance(30)
            && let Some(last) = blocks.last_mut()
        {
            match &mut last.content {
                Content::Text(text) => text.push_str("more"),
                Content::Gc(len) | Content::Deleted(len) => *len += 2,
                Content::Any(values) => values.extend([7, 7]),
                _ => {}
            }
        }
        if self.chance(20) {
            let at = self.below(blocks.len() as u32) as usize;
            let len = blocks[at].len();
            blocks[at].content =
                if self.chance(50) { Content::Gc(len) } else { Content::Deleted(len) };
        }
        if self.chance(10) {
            let at = self.below(blocks.len() as u32) as usize;
            let bent = self.any_id();
            match self.below(4) {
                0 => blocks[at].origin = Some(bent),
                1 => blocks[at].right = Some(bent),
                2 => blocks[at].parent = Parent::Type(bent),
                _ => blocks[at].content = Content::Text("bent".to_owned()),
            }
        }
        Some((start, blocks))
    }

    fn update(&mut self) -> (Update, Vec<(Place, Id)>) {
        let mut update = Update::default();
        let mut fresh = Vec::new();
        let mut clients = CLIENTS.to_vec();
        for _ in 0..1 + self.below(3) {
            if clients.is_empty() || self.chance(5) {
                break;
            }
            let client = clients.swap_remove(self.below(clients.len() as u32) as usize);
            let known = self.clock(client);
            let (start, mut blocks) = match self.below(10) {
                0 | 1 => self.again(client).unwrap_or((known, Vec::new())),
                2 if self.chance(30) => (known.saturating_add(1 + self.below(2)), Vec::new()),
                _ => (known, Vec::new()),
            };
            let mut clock =
                start.saturating_add(blocks.iter().map(Block::len).fold(0, u32::saturating_add));
            for _ in 0..u32::from(blocks.is_empty()) + self.below(4) {
                let block = self.block(&mut fresh, (client, clock));
                clock = clock.saturating_add(block.len());
                blocks.push(block);
            }
            update.sections.push((client, start, blocks));
        }
        if self.chance(35) {
            for client in CLIENTS {
                let end = self.clock(client).saturating_add(if self.chance(10) { 2 } else { 0 });
                if self.chance(40) && end > 0 {
                    let (mut at, mut ranges) = (0, Vec::new());
                    while at < end && ranges.len() < 4 {
                        let start = at + self.below(end - at);
                        let len = 1 + self.below((end - start).min(4));
                        ranges.push((start, len));
                        at = start + len + self.below(2);
                    }
                    update.deletes.push((client, ranges));
                }
            }
        }
        (update, fresh)
    }

    fn learn(&mut self, update: &Update, fresh: Vec<(Place, Id)>) {
        for (client, start, blocks) in &update.sections {
            let mut clock = *start;
            for block in blocks {
                if clock >= self.clock(*client) {
                    if matches!(block.content, Content::Type(_)) {
                        self.types.push((*client, clock));
                    }
                    self.sent.entry(*client).or_default().push((clock, block.clone()));
                }
                clock = clock.saturating_add(block.len());
            }
            let known = self.clocks.entry(*client).or_default();
            *known = (*known).max(clock);
        }
        for (place, id) in fresh {
            self.places.entry(place).or_default().push(id);
        }
    }
}

/// Plays one history. The same seed is the same history.
pub(crate) fn history(seed: u64, tally: &mut Tally) {
    let mut mind = Mind::new(seed);
    let mut guarded = Guarded::new();
    guarded.max_blocks = [1, 2, 5, MAX_BLOCKS][mind.below(4) as usize];
    // From some point on a second gate, begun at a snapshot, has to come to the same decisions.
    let mut reader: Option<Gate> = None;
    let length = 5 + mind.below(60);
    for _ in 0..length {
        let (update, fresh) = mind.update();
        let mut bytes = update.bytes();
        let bent = mind.chance(5);
        if bent {
            let at = mind.below(bytes.len() as u32) as usize;
            bytes[at] ^= 1 << mind.below(8);
        }
        tally.offered += 1;
        let contained = guarded.contained;
        let outcome = guarded.offer(&bytes);
        if let Some(reader) = &mut reader {
            let read = reader.admit(&bytes, &mut Anyone).map(|admitted| admitted.news);
            if guarded.contained == contained {
                assert_eq!(
                    outcome, read,
                    "a gate begun at a snapshot decides differently on {bytes:02x?}\n{update:?}"
                );
            }
        }
        if outcome.is_ok() {
            tally.admitted += 1;
            if bent {
                break; // the generator no longer knows what is in the document
            }
            mind.learn(&update, fresh);
        }
        if guarded.contained > contained {
            tally.contained += 1;
            break;
        }
        if mind.chance(4) {
            let mut gate = Gate::new();
            gate.restore(&state(&guarded.doc)).unwrap();
            reader = Some(gate);
        }
    }
    guarded.check();
}

#[test]
fn what_passes_is_harmless() {
    let tally = workers::run("hostile::worker", workers::histories(16_000));
    println!("{tally:?}");
    assert!(
        tally.admitted >= workers::histories(16_000) as usize * 12,
        "{tally:?}: the generator asks too little"
    );
}

/// Runs in a process of its own: a memory fault must cost the worker only.
#[test]
fn worker() {
    workers::work(history);
}
