//! Who is here, and what do they show of themselves?
//!
//! Memory only, latest state wins, never stored. The clock rules are those of y-protocols' awareness, and the answers to their weak spots
//! are numbered in `PROTOCOL.md` ("Presence"). Pure: no clock, no socket. [`others`] is about those who are with other instances.

pub mod others;

use super::event::{Millis, PeerId};
use crate::bus::message::InstanceId;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::limits::MAX_AWARENESS_MESSAGE;
use commonplace_protocol::presence::{self, Entry};
use others::{FRESH_CLOCK, Others};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One program has one client id; a browser's other tabs may be relayed over the same socket for a while.
pub const MAX_IDS_PER_PEER: usize = 8;

/// A clock further ahead than this of what is known is no renewal but an attempt to silence somebody. An hour of busy typing is below.
pub const MAX_CLOCK_JUMP: u32 = 100_000;

/// While its owner has been heard within this time, nobody else speaks for a client id; a client whose old socket died in silence comes back
/// later than this.
pub const OWNER_SILENCE: Millis = 5_000;

/// A state not renewed for this long is taken down although its socket lives. Clients renew every 15 s, in sleeping tabs once a minute.
pub const EXPIRY: Millis = 90_000;

/// How long the clock of somebody who left is remembered, so that a return is seen at once.
pub const TOMBSTONE_LIFE: Millis = 300_000;

/// A room younger than this may be that of a server that was started again: its clients remember clocks that it does not. Whoever has been away for
/// longer has renewed its presence meanwhile, and so has a newer clock by itself.
pub const OTHERS_REMEMBER: Millis = 30_000;

/// How many of those who left are remembered at most.
pub const MAX_TOMBSTONES: usize = 4_096;

/// One message of a larger table stays below what every receiver takes.
const MESSAGE_BUDGET: usize = MAX_AWARENESS_MESSAGE / 2;

#[derive(Debug)]
struct Known {
    clock: u32,
    /// `None` once they have left.
    state: Option<Arc<str>>,
    /// Who speaks for this id. `None` once they have left.
    owner: Option<Owner>,
    heard: Millis,
    /// When its clock last rose.
    moved: Millis,
    /// The room has moved it past the clock its client knows of; what that client has sent meanwhile is news at any clock.
    ahead: bool,
    /// Another instance says that the client is there, and this peer has not been heard since: it may be a dead socket, and is not moved with the
    /// others, or it would keep up with the living.
    contested: bool,
}

/// Who speaks for a client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A peer of this room.
    Peer(PeerId),
    /// Another instance, for one of its peers.
    Instance(InstanceId),
}

/// The presence of one room.
#[derive(Debug, Default)]
pub struct Presence {
    table: BTreeMap<ClientId, Known>,
    /// Every id a peer has spoken for, here or gone: what [`MAX_IDS_PER_PEER`] counts.
    spoken_for: BTreeMap<PeerId, BTreeSet<ClientId>>,
    /// The id that a peer named alone in its very first message: every client begins with itself, before it can repeat what it is shown. `None` for
    /// peers that began otherwise.
    itself: BTreeMap<PeerId, Option<ClientId>>,
    others: Others,
    changed: BTreeMap<ClientId, Option<PeerId>>,
    /// Until when others may remember clocks that this room does not; set when it hears of anybody for the first time.
    young_until: Option<Millis>,
}

/// What is to be said to peers about their own ids.
type Corrections = BTreeMap<PeerId, Vec<Entry<'static>>>;

fn encoded(corrections: Corrections) -> Vec<Correction> {
    corrections.into_iter().map(|(peer, entries)| (peer, presence::encode(&entries))).collect()
}

/// Told to whoever speaks for the ids: they are gone at these clocks, at which a client that is there moves past them.
pub type Correction = (PeerId, Vec<u8>);

/// What is to be shown to everyone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Encoded awareness updates.
    pub messages: Vec<Vec<u8>>,
    /// Set when all of it came from this one peer, who needs no copy.
    pub only_from: Option<PeerId>,
}

impl Presence {
    /// Takes in what a peer says of itself. Returns what must be said back to it, and to others whom it could not see otherwise.
    pub fn receive(&mut self, peer: PeerId, entries: &[Entry<'_>], now: Millis) -> Vec<Correction> {
        self.young_until.get_or_insert(now + OTHERS_REMEMBER);
        let newcomer = !self.spoken_for.contains_key(&peer);
        let is_first = !self.itself.contains_key(&peer);
        if is_first {
            let itself = if let [only] = entries { Some(only.client) } else { None };
            self.itself.insert(peer, itself);
        }
        let mut corrections = BTreeMap::new();
        for entry in entries {
            if self.is_elsewhere(entry.client) {
                self.reclaim(peer, entry, is_first, now, &mut corrections);
            } else {
                self.receive_one(peer, entry, newcomer, now, &mut corrections);
            }
        }
        encoded(corrections)
    }

    fn receive_one(
        &mut self,
        peer: PeerId,
        entry: &Entry<'_>,
        newcomer: bool,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        let client = entry.client;
        let Some(known) = self.table.get_mut(&client) else {
            if entry.clock > 0 && entry.state.is_some() && self.may_speak_for_more(peer) {
                let others_may_remember = newcomer
                    && self.young_until.is_some_and(|until| now < until)
                    && entry.clock <= MAX_CLOCK_JUMP;
                if others_may_remember {
                    self.move_past(entry.clock, peer, client, entry.state, now, corrections);
                    if entry.clock > FRESH_CLOCK {
                        // So are the clients of other instances.
                        self.others.renew(now);
                    }
                } else {
                    self.put(peer, client, entry.clock, entry.state, now);
                }
            }
            return;
        };
        match known.owner {
            Some(owner) if owner != Owner::Peer(peer) => {
                let taken_over =
                    entry.clock > known.clock && now.saturating_sub(known.heard) > OWNER_SILENCE;
                if !taken_over {
                    return;
                }
            }
            Some(_) => {
                known.heard = now;
                known.contested = false;
            }
            None => {}
        }
        if entry.clock > known.clock.saturating_add(MAX_CLOCK_JUMP) {
            return;
        }
        let returns =
            newcomer && known.state.is_none() && known.owner.is_none() && entry.state.is_some();
        let (tombstone, left) = (known.clock, known.heard);
        if entry.clock > known.clock
            || (entry.clock == known.clock && entry.state.is_none() && known.state.is_some())
        {
            let is_new_owner = known.owner != Some(Owner::Peer(peer));
            if !is_new_owner || self.may_speak_for_more(peer) {
                self.put(peer, client, entry.clock, entry.state, now);
                if returns {
                    self.move_for_one_who_returns(left, client, now, corrections);
                }
            }
            return;
        }
        let not_yet_told = known.ahead
            && known.owner == Some(Owner::Peer(peer))
            && entry.state.is_some()
            && known.state.as_deref() != entry.state;
        if not_yet_told {
            let clock = known.clock;
            self.move_past(clock, peer, client, entry.state, now, corrections);
            return;
        }
        // Somebody who left is back with a clock that others would ignore for up to half a minute: move both sides past the tombstone.
        if returns {
            self.move_past(tombstone, peer, client, entry.state, now, corrections);
            self.move_for_one_who_returns(left, client, now, corrections);
        }
    }

    /// Here at once, and where other instances are asked to.
    fn move_for_one_who_returns(
        &mut self,
        left: Millis,
        client: ClientId,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        self.move_those_unmoved_since(left, Some(client), now, corrections);
        self.others.renew(now);
    }

    /// Shows a client at a clock that nobody has seen, and lets it move there too.
    fn move_past(
        &mut self,
        clock: u32,
        peer: PeerId,
        client: ClientId,
        state: Option<&str>,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        self.put(peer, client, clock + 2, state, now);
        if let Some(known) = self.table.get_mut(&client) {
            known.ahead = true;
        }
        corrections.entry(peer).or_default().push(Entry { client, clock: clock + 1, state: None });
    }

    /// A client that loses its line takes everyone down and keeps their clocks; it would ignore whoever has the same clock when it is back.
    fn move_those_unmoved_since(
        &mut self,
        left: Millis,
        returned: Option<ClientId>,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        let unmoved: Vec<(ClientId, u32)> = self
            .table
            .iter()
            .filter(|(client, known)| Some(**client) != returned && known.moved <= left)
            .map(|(&client, known)| (client, known.clock))
            .collect();
        for (client, clock) in unmoved {
            self.move_on(client, clock, now, corrections);
        }
    }

    /// Moves a client of this room past a clock although it has said nothing. Those of other instances are moved there.
    fn move_on(
        &mut self,
        client: ClientId,
        clock: u32,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        let Some(Known {
            owner: Some(Owner::Peer(peer)),
            state: Some(state),
            heard,
            contested: false,
            ..
        }) = self.table.get(&client)
        else {
            return;
        };
        let (peer, state, heard) = (*peer, state.clone(), *heard);
        self.move_past(clock, peer, client, Some(&state), now, corrections);
        if let Some(known) = self.table.get_mut(&client) {
            known.heard = heard;
        }
    }

    fn may_speak_for_more(&self, peer: PeerId) -> bool {
        self.spoken_for.get(&peer).is_none_or(|ids| ids.len() < MAX_IDS_PER_PEER)
    }

    /// What a peer says of an id is news.
    fn put(
        &mut self,
        peer: PeerId,
        client: ClientId,
        clock: u32,
        state: Option<&str>,
        now: Millis,
    ) {
        self.set(Owner::Peer(peer), client, clock, state, now);
        self.spoken_for.entry(peer).or_default().insert(client);
        self.note_change(client, Some(peer));
        self.others.tell(client);
    }

    fn set(
        &mut self,
        owner: Owner,
        client: ClientId,
        clock: u32,
        state: Option<&str>,
        now: Millis,
    ) {
        let state: Option<Arc<str>> = state.map(Arc::from);
        let owner_now = state.is_some().then_some(owner);
        let known = Known {
            clock,
            state,
            owner: owner_now,
            heard: now,
            moved: now,
            ahead: false,
            contested: false,
        };
        let before = self.table.insert(client, known).and_then(|known| known.owner);
        self.others.count(before, owner_now);
        if let Some(Owner::Peer(previous)) = before
            && Owner::Peer(previous) != owner
            && let Some(ids) = self.spoken_for.get_mut(&previous)
        {
            ids.remove(&client);
        }
    }

    /// They are gone, with the clock they had.
    fn take_down(&mut self, client: ClientId, now: Millis) {
        let Some(known) = self.table.get_mut(&client) else { return };
        let before = known.owner.take();
        known.state = None;
        known.heard = now;
        self.others.count(before, None);
        self.note_change(client, None);
        if matches!(before, Some(Owner::Peer(_))) {
            self.others.tell(client);
        }
    }

    fn note_change(&mut self, client: ClientId, by: Option<PeerId>) {
        self.changed
            .entry(client)
            .and_modify(|who| *who = if *who == by { by } else { None })
            .or_insert(by);
    }

    /// A peer has left: those it spoke for are gone, with the clock they had, so that a return is newer than the removal.
    pub fn leave(&mut self, peer: PeerId, now: Millis) {
        self.itself.remove(&peer);
        for client in self.spoken_for.remove(&peer).unwrap_or_default() {
            if self.table.get(&client).is_some_and(|known| known.owner == Some(Owner::Peer(peer))) {
                self.take_down(client, now);
            }
        }
    }

    /// Takes down what was not renewed, and forgets those who left long ago.
    pub fn expire(&mut self, now: Millis) {
        self.expire_instances(now);
        let silent: Vec<ClientId> = self
            .table
            .iter()
            .filter(|(_, known)| known.state.is_some() && now.saturating_sub(known.heard) > EXPIRY)
            .map(|(&client, _)| client)
            .collect();
        for client in silent {
            self.take_down(client, now);
        }
        let changed = &self.changed;
        self.table.retain(|client, known| {
            known.state.is_some()
                || changed.contains_key(client)
                || now.saturating_sub(known.heard) < TOMBSTONE_LIFE
        });
        let tombstones = self.table.values().filter(|known| known.state.is_none()).count();
        if tombstones > MAX_TOMBSTONES {
            let mut oldest: Vec<(Millis, ClientId)> = self
                .table
                .iter()
                .filter(|(_, known)| known.state.is_none())
                .map(|(&client, known)| (known.heard, client))
                .collect();
            oldest.sort_unstable();
            for (_, client) in oldest.into_iter().take(tombstones - MAX_TOMBSTONES) {
                self.table.remove(&client);
            }
        }
    }

    /// Whether something waits to be shown, or to be told to other instances.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty() || self.others.wait_for_something()
    }

    /// What has changed since the last call.
    pub fn take_changes(&mut self) -> Shown {
        let changed = std::mem::take(&mut self.changed);
        let mut authors = changed.values();
        let first = authors.next().copied().flatten();
        let only_from = first.filter(|_| authors.all(|author| *author == first));
        Shown { messages: self.encode(changed.keys().copied()), only_from }
    }

    /// Everyone who is here, for a newcomer.
    #[must_use]
    pub fn everyone(&self) -> Vec<Vec<u8>> {
        self.encode(
            self.table.iter().filter(|(_, known)| known.state.is_some()).map(|(&client, _)| client),
        )
    }

    /// How many are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.values().filter(|known| known.state.is_some()).count()
    }

    /// Whether nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn encode(&self, clients: impl Iterator<Item = ClientId>) -> Vec<Vec<u8>> {
        self.batches(clients).into_iter().map(|batch| presence::encode(&batch)).collect()
    }

    /// What is known of these, in portions that fit a message.
    fn batches(&self, clients: impl Iterator<Item = ClientId>) -> Vec<Vec<Entry<'_>>> {
        let mut batches = Vec::new();
        let mut batch: Vec<Entry<'_>> = Vec::new();
        let mut size = 0;
        for client in clients {
            let Some(known) = self.table.get(&client) else { continue };
            let entry = Entry { client, clock: known.clock, state: known.state.as_deref() };
            let len = entry.encoded_len();
            if size + len > MESSAGE_BUDGET && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += len;
            batch.push(entry);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

#[cfg(test)]
mod tests;
