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
}

/// The presence of one room.
#[derive(Debug, Default)]
pub struct Presence {
    table: BTreeMap<ClientId, Known>,
    /// Every id a peer has spoken for, here or gone: what [`MAX_IDS_PER_PEER`] counts.
    spoken_for: BTreeMap<PeerId, BTreeSet<ClientId>>,
    changed: BTreeMap<ClientId, Option<PeerId>>,
}

/// What is to be shown to everyone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Encoded awareness updates.
    pub messages: Vec<Vec<u8>>,
    /// Set when all of it came from this one peer, who needs no copy.
    pub only_from: Option<PeerId>,
}

impl Presence {
    /// Takes in what a peer says of itself. Returns what must be said back to it, if anything.
    pub fn receive(&mut self, peer: PeerId, entries: &[Entry<'_>], now: Millis) -> Option<Vec<u8>> {
        let newcomer = !self.spoken_for.contains_key(&peer);
        let mut corrections = Vec::new();
        for entry in entries {
            if let Some(correction) = self.receive_one(peer, entry, newcomer, now) {
                corrections.push(correction);
            }
        }
        if corrections.is_empty() {
            return None;
        }
        let entries: Vec<Entry<'_>> = corrections
            .iter()
            .map(|&(client, clock)| Entry { client, clock, state: None })
            .collect();
        Some(presence::encode(&entries))
    }

    /// Returns the removal to send back to a peer that came back with an old clock.
    fn receive_one(
        &mut self,
        peer: PeerId,
        entry: &Entry<'_>,
        newcomer: bool,
        now: Millis,
    ) -> Option<(ClientId, u32)> {
        let client = entry.client;
        let Some(known) = self.table.get_mut(&client) else {
            if entry.clock > 0 && entry.state.is_some() && self.may_speak_for_more(peer) {
                self.put(peer, client, entry.clock, entry.state, now);
            }
            return None;
        };
        match known.owner {
            Some(owner) if owner != peer => {
                let taken_over =
                    entry.clock > known.clock && now.saturating_sub(known.heard) > OWNER_SILENCE;
                if !taken_over {
                    return None;
                }
            }
            Some(_) => known.heard = now,
            None => {}
        }
        if entry.clock > known.clock.saturating_add(MAX_CLOCK_JUMP) {
            return None;
        }
        if entry.clock > known.clock
            || (entry.clock == known.clock && entry.state.is_none() && known.state.is_some())
        {
            let is_new_owner = known.owner != Some(peer);
            if !is_new_owner || self.may_speak_for_more(peer) {
                self.put(peer, client, entry.clock, entry.state, now);
            }
            return None;
        }
        // Somebody who left is back with a clock that others would ignore for up to half a minute: move both sides past the tombstone.
        let returns =
            newcomer && known.state.is_none() && known.owner.is_none() && entry.state.is_some();
        if returns {
            let tombstone = known.clock;
            self.put(peer, client, tombstone + 2, entry.state, now);
            return Some((client, tombstone + 1));
        }
        None
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
        let before = self
            .table
            .insert(client, Known { clock, state: state.map(Arc::from), owner, heard: now });
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
