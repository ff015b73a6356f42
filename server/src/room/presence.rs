//! Who is here, and what do they show of themselves?
//!
//! Memory only, latest state wins, never stored. The clock rules are those of y-protocols' awareness, and the answers to their weak spots
//! are numbered in `PROTOCOL.md` ("Presence"). Pure: no clock, no socket.

use super::event::{Millis, PeerId};
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::limits::MAX_AWARENESS_MESSAGE;
use commonplace_protocol::presence::{self, Entry};
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
    /// The peer that speaks for this id.
    owner: Option<PeerId>,
    heard: Millis,
    /// When its clock last rose.
    moved: Millis,
    /// The room has moved it past the clock its client knows of; what that client has sent meanwhile is news at any clock.
    ahead: bool,
}

/// The presence of one room.
#[derive(Debug, Default)]
pub struct Presence {
    table: BTreeMap<ClientId, Known>,
    /// Every id a peer has spoken for, here or gone: what [`MAX_IDS_PER_PEER`] counts.
    spoken_for: BTreeMap<PeerId, BTreeSet<ClientId>>,
    changed: BTreeMap<ClientId, Option<PeerId>>,
    /// Until when others may remember clocks that this room does not; set when it hears of anybody for the first time.
    young_until: Option<Millis>,
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
        let mut corrections = BTreeMap::new();
        for entry in entries {
            self.receive_one(peer, entry, newcomer, now, &mut corrections);
        }
        corrections.into_iter().map(|(peer, entries)| (peer, presence::encode(&entries))).collect()
    }

    fn receive_one(
        &mut self,
        peer: PeerId,
        entry: &Entry<'_>,
        newcomer: bool,
        now: Millis,
        corrections: &mut BTreeMap<PeerId, Vec<Entry<'static>>>,
    ) {
        let client = entry.client;
        let Some(known) = self.table.get_mut(&client) else {
            if entry.clock > 0 && entry.state.is_some() && self.may_speak_for_more(peer) {
                let others_may_remember = newcomer
                    && self.young_until.is_some_and(|until| now < until)
                    && entry.clock <= MAX_CLOCK_JUMP;
                if others_may_remember {
                    self.move_past(entry.clock, peer, client, entry.state, now, corrections);
                } else {
                    self.put(peer, client, entry.clock, entry.state, now);
                }
            }
            return;
        };
        match known.owner {
            Some(owner) if owner != peer => {
                let taken_over =
                    entry.clock > known.clock && now.saturating_sub(known.heard) > OWNER_SILENCE;
                if !taken_over {
                    return;
                }
            }
            Some(_) => known.heard = now,
            None => {}
        }
        if entry.clock > known.clock.saturating_add(MAX_CLOCK_JUMP) {
            return;
        }
        if entry.clock > known.clock
            || (entry.clock == known.clock && entry.state.is_none() && known.state.is_some())
        {
            let is_new_owner = known.owner != Some(peer);
            if !is_new_owner || self.may_speak_for_more(peer) {
                self.put(peer, client, entry.clock, entry.state, now);
            }
            return;
        }
        let not_yet_told = known.ahead
            && known.owner == Some(peer)
            && entry.state.is_some()
            && known.state.as_deref() != entry.state;
        if not_yet_told {
            let clock = known.clock;
            self.move_past(clock, peer, client, entry.state, now, corrections);
            return;
        }
        // Somebody who left is back with a clock that others would ignore for up to half a minute: move both sides past the tombstone.
        let returns =
            newcomer && known.state.is_none() && known.owner.is_none() && entry.state.is_some();
        if returns {
            let (tombstone, left) = (known.clock, known.heard);
            self.move_past(tombstone, peer, client, entry.state, now, corrections);
            self.move_those_unmoved_since(left, client, now, corrections);
        }
    }

    /// Shows a client at a clock that nobody has seen, and lets it move there too.
    fn move_past(
        &mut self,
        clock: u32,
        peer: PeerId,
        client: ClientId,
        state: Option<&str>,
        now: Millis,
        corrections: &mut BTreeMap<PeerId, Vec<Entry<'static>>>,
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
        returned: ClientId,
        now: Millis,
        corrections: &mut BTreeMap<PeerId, Vec<Entry<'static>>>,
    ) {
        let unmoved: Vec<(PeerId, ClientId, u32, Arc<str>)> = self
            .table
            .iter()
            .filter(|(client, known)| **client != returned && known.moved <= left)
            .filter_map(|(&client, known)| {
                Some((known.owner?, client, known.clock, known.state.clone()?))
            })
            .collect();
        for (owner, client, clock, state) in unmoved {
            self.move_past(clock, owner, client, Some(&state), now, corrections);
        }
    }

    fn may_speak_for_more(&self, peer: PeerId) -> bool {
        self.spoken_for.get(&peer).is_none_or(|ids| ids.len() < MAX_IDS_PER_PEER)
    }

    fn put(
        &mut self,
        peer: PeerId,
        client: ClientId,
        clock: u32,
        state: Option<&str>,
        now: Millis,
    ) {
        let owner = state.is_some().then_some(peer);
        let before = self.table.insert(
            client,
            Known {
                clock,
                state: state.map(Arc::from),
                owner,
                heard: now,
                moved: now,
                ahead: false,
            },
        );
        if let Some(previous) = before.and_then(|known| known.owner)
            && previous != peer
            && let Some(ids) = self.spoken_for.get_mut(&previous)
        {
            ids.remove(&client);
        }
        self.spoken_for.entry(peer).or_default().insert(client);
        self.note_change(client, Some(peer));
    }

    fn note_change(&mut self, client: ClientId, by: Option<PeerId>) {
        self.changed
            .entry(client)
            .and_modify(|who| *who = if *who == by { by } else { None })
            .or_insert(by);
    }

    /// A peer has left: those it spoke for are gone, with the clock they had, so that a return is newer than the removal.
    pub fn leave(&mut self, peer: PeerId, now: Millis) {
        for client in self.spoken_for.remove(&peer).unwrap_or_default() {
            if let Some(known) =
                self.table.get_mut(&client).filter(|known| known.owner == Some(peer))
            {
                known.state = None;
                known.owner = None;
                known.heard = now;
                self.note_change(client, None);
            }
        }
    }

    /// Takes down what was not renewed, and forgets those who left long ago.
    pub fn expire(&mut self, now: Millis) {
        let silent: Vec<ClientId> = self
            .table
            .iter()
            .filter(|(_, known)| known.state.is_some() && now.saturating_sub(known.heard) > EXPIRY)
            .map(|(&client, _)| client)
            .collect();
        for client in silent {
            if let Some(known) = self.table.get_mut(&client) {
                known.owner = None;
                known.state = None;
                known.heard = now;
                self.note_change(client, None);
            }
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

    /// Whether something waits to be shown.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
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
        let mut messages = Vec::new();
        let mut batch: Vec<Entry<'_>> = Vec::new();
        let mut size = 0;
        for client in clients {
            let Some(known) = self.table.get(&client) else { continue };
            let len = known.state.as_ref().map_or(4, |state| state.len()) + 16;
            if size + len > MESSAGE_BUDGET && !batch.is_empty() {
                messages.push(presence::encode(&batch));
                batch.clear();
                size = 0;
            }
            size += len;
            batch.push(Entry { client, clock: known.clock, state: known.state.as_deref() });
        }
        if !batch.is_empty() {
            messages.push(presence::encode(&batch));
        }
        messages
    }
}

#[cfg(test)]
mod tests;
