//! Who is here by way of another instance, and what do instances tell each other about it?
//!
//! Each instance checks what its own peers say (P70 to P77) and tells the others the outcome; they take it by the same clock rules. Nothing is
//! resent: each repeats everyone who is with it every [`HEARTBEAT`], and that puts right whatever was lost.
//!
//! - **P78** Whoever is connected here speaks for itself. Another instance takes an id over with a newer clock once its peer has been silent for
//!   [`OWNER_SILENCE`]. It takes down only whom it has claimed before; if it says that anybody else is gone, at a clock that others believe, the
//!   client is moved past that.
//! - **P79** A client that begins a connection with an id that is known from elsewhere has moved here, and speaks for it at once, past every
//!   clock known; its old instance may still be waiting for it. Any other peer speaks for such an id only when the instance
//!   has missed a repetition, since tabs of one browser relay each other.

use super::{
    Correction, Corrections, EXPIRY, MAX_CLOCK_JUMP, OWNER_SILENCE, Owner, Presence, encoded,
};
use crate::bus::message::{InstanceId, Message, Told};
use crate::room::event::{Millis, PeerId};
use commonplace_protocol::Malformed;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::limits::MAX_CLIENT_ID;
use commonplace_protocol::presence::{self, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// How often an instance repeats everyone who is with it, while it has peers.
pub const HEARTBEAT: Millis = 15_000;

/// An instance not heard for this long is gone, and with it everyone it spoke for: two repetitions may get lost.
pub const INSTANCE_SILENCE: Millis = 45_000;

/// An instance that has not repeated itself for this long no longer keeps others from speaking for its clients.
const MISSED_HEARTBEAT: Millis = HEARTBEAT + OWNER_SILENCE;

/// Ids that one instance may speak for in one document: more people than one instance serves in a plenary. At 200 bytes each they
/// take 3 MiB, and at the very most 64.
pub const MAX_IDS_PER_INSTANCE: usize = 16_384;

/// Instances that one room knows of: more than anybody runs.
pub const MAX_INSTANCES: usize = 64;

/// No client is back sooner than this after it lost its line: y-websocket waits 100 ms before its first attempt.
const FASTEST_RETURN: Millis = 100;

/// A page that has just been opened has announced itself no more often than this, and remembers nobody.
pub(super) const FRESH_CLOCK: u32 = 3;

/// Everyone is moved for those who come back at most this often: when an instance is lost, its whole crowd is back within two seconds.
const RENEW_PAUSE: Millis = 2_000;

const _: () =
    assert!(INSTANCE_SILENCE < EXPIRY, "nobody expires while their instance is waited for");

/// What a room knows of other instances, and has yet to tell them.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: BTreeMap<InstanceId, Other>,
    /// Ids that any of them speaks for.
    ids: usize,
    /// Ids of which the others must hear.
    to_tell: BTreeSet<ClientId>,
    /// Everyone must be told to them.
    tell_everyone: bool,
    /// They must hear that we are there, and ask who else is.
    say_hello: bool,
    /// Whoever is elsewhere and has not moved since then must be moved: somebody came back who remembers them.
    renew_since: Option<Millis>,
    /// The same for whoever is here.
    renew_here: bool,
    renew_not_before: Millis,
    next_heartbeat: Millis,
}

#[derive(Debug)]
struct Other {
    heard: Millis,
    /// The number of the last message. An older one is passed over: it may say that somebody is gone who has come meanwhile.
    number: u64,
    /// How many ids it speaks for.
    ids: usize,
    /// It has not said goodbye.
    is_here: bool,
}

impl Others {
    /// The others must hear of this id.
    pub(super) fn tell(&mut self, client: ClientId) {
        // Nobody to tell: whoever comes is told everyone.
        if self.are_here() {
            self.to_tell.insert(client);
        }
    }

    /// Somebody has come back who took everyone down, and remembers their clocks.
    pub(super) fn renew(&mut self, now: Millis) {
        self.renew_since = Some(now.saturating_sub(FASTEST_RETURN));
    }

    /// An id has changed hands.
    pub(super) fn count(&mut self, before: Option<Owner>, after: Option<Owner>) {
        if let Some(Owner::Instance(instance)) = before {
            self.ids -= 1;
            if let Some(other) = self.known.get_mut(&instance) {
                other.ids -= 1;
            }
        }
        if let Some(Owner::Instance(instance)) = after {
            self.ids += 1;
            if let Some(other) = self.known.get_mut(&instance) {
                other.ids += 1;
            }
        }
    }

    pub(super) fn wait_for_something(&self) -> bool {
        self.say_hello || self.are_here() && (self.tell_everyone || !self.to_tell.is_empty())
    }

    fn are_here(&self) -> bool {
        self.known.values().any(|other| other.is_here)
    }

    fn may_have_more(&self, instance: InstanceId) -> bool {
        self.known.get(&instance).is_some_and(|other| other.ids < MAX_IDS_PER_INSTANCE)
    }

    /// Notes that an instance was heard. `false` when this is to be passed over.
    fn meet(&mut self, from: InstanceId, number: u64, says_goodbye: bool, now: Millis) -> bool {
        if !self.known.contains_key(&from) && self.known.len() >= MAX_INSTANCES {
            return false;
        }
        let other = self.known.entry(from).or_insert(Other {
            heard: now,
            number: 0,
            ids: 0,
            is_here: false,
        });
        if number <= other.number {
            return false;
        }
        other.number = number;
        other.heard = now;
        let is_new = !std::mem::replace(&mut other.is_here, !says_goodbye);
        // It may know nothing of us, whatever it says first.
        self.tell_everyone |= is_new && !says_goodbye;
        true
    }
}

impl Presence {
    /// Takes in what another instance says. Returns what must be said to peers about their own ids.
    pub fn hear(
        &mut self,
        from: InstanceId,
        number: u64,
        message: &Message,
        now: Millis,
    ) -> Result<Vec<Correction>, Malformed> {
        let mut corrections = Corrections::new();
        let says_goodbye = matches!(message, Message::Bye);
        // Commands are not about presence.
        if matches!(message, Message::Command(_))
            || !self.others.meet(from, number, says_goodbye, now)
        {
            return Ok(Vec::new());
        }
        match message {
            Message::Hello => self.others.tell_everyone = true,
            Message::Presence(told) => self.hear_presence(from, told, now, &mut corrections)?,
            Message::Renew { unmoved_for } => {
                let since = now.saturating_sub(*unmoved_for);
                self.move_those_unmoved_since(since, None, now, &mut corrections);
            }
            Message::Bye => self.take_down_all_of(from, now),
            Message::Command(_) => {}
        }
        Ok(encoded(corrections))
    }

    /// Something may not have been heard: asks who is there.
    pub fn missed(&mut self) {
        self.others.say_hello = true;
    }

    /// What the other instances must be told now, and what must be said to peers about their own ids. `has_peers`: somebody is connected here.
    pub fn tell_others(&mut self, has_peers: bool, now: Millis) -> (Vec<Message>, Vec<Correction>) {
        let mut corrections = Corrections::new();
        let mut messages = Vec::new();
        if std::mem::take(&mut self.others.say_hello) {
            messages.push(Message::Hello);
        }
        if has_peers && now >= self.others.next_heartbeat {
            self.others.next_heartbeat = now + HEARTBEAT;
            if self.others.are_here() {
                self.others.tell_everyone = true;
            } else if messages.is_empty() {
                // A sign of life to those whose own was lost.
                messages.push(Message::Hello);
            }
        }
        if !self.others.are_here() {
            return (messages, Vec::new());
        }
        let renew = self.others.renew_since.filter(|_| now >= self.others.renew_not_before);
        if let Some(since) = renew {
            self.others.renew_since = None;
            self.others.renew_not_before = now + RENEW_PAUSE;
            if std::mem::take(&mut self.others.renew_here) {
                self.move_those_unmoved_since(since, None, now, &mut corrections);
            }
        }
        let tell_everyone = std::mem::take(&mut self.others.tell_everyone);
        let changed = std::mem::take(&mut self.others.to_tell);
        let changed = changed.into_iter().filter(|client| match self.table.get(client) {
            // Those who are here are among everyone.
            Some(known) => match known.owner {
                Some(Owner::Peer(_)) => !tell_everyone,
                Some(Owner::Instance(_)) => false,
                None => true,
            },
            None => false,
        });
        for update in self.encode(changed) {
            messages.push(Message::Presence(Told { covers: None, update: update.into() }));
        }
        if tell_everyone {
            messages.extend(self.everyone_here().into_iter().map(Message::Presence));
        }
        // After the presence of whoever came back, so that nobody who waits for them in vain moves them as well.
        if let Some(since) = renew {
            messages.push(Message::Renew { unmoved_for: now.saturating_sub(since) });
        }
        (messages, encoded(corrections))
    }

    /// When something is to be told to the other instances although nothing happens.
    #[must_use]
    pub fn due_at(&self, has_peers: bool) -> Option<Millis> {
        let heartbeat = has_peers.then_some(self.others.next_heartbeat);
        let renews = self.others.renew_since.is_some() && self.others.are_here();
        heartbeat.into_iter().chain(renews.then_some(self.others.renew_not_before)).min()
    }

    /// How many are here by way of other instances.
    #[must_use]
    pub const fn elsewhere(&self) -> usize {
        self.others.ids
    }

    /// Everyone who is with this instance, in portions that together cover every id there can be.
    fn everyone_here(&self) -> Vec<Told> {
        let here = self
            .table
            .iter()
            .filter(|(_, known)| matches!(known.owner, Some(Owner::Peer(_))))
            .map(|(&client, _)| client);
        let mut batches = self.batches(here);
        if batches.is_empty() {
            batches.push(Vec::new());
        }
        let mut next = 0;
        let mut told = Vec::with_capacity(batches.len());
        for (n, batch) in batches.iter().enumerate() {
            let last = match batch.last() {
                Some(entry) if n + 1 < batches.len() => entry.client.get(),
                Some(_) | None => MAX_CLIENT_ID,
            };
            told.push(Told {
                covers: ClientId::new(next).ok().zip(ClientId::new(last).ok()),
                update: presence::encode(batch).into(),
            });
            next = last + 1;
        }
        told
    }

    fn hear_presence(
        &mut self,
        from: InstanceId,
        told: &Told,
        now: Millis,
        corrections: &mut Corrections,
    ) -> Result<(), Malformed> {
        let entries = presence::decode(&told.update)?;
        for entry in &entries {
            self.hear_one(from, entry, now, corrections);
        }
        let Some((first, last)) = told.covers else { return Ok(()) };
        let named: BTreeSet<ClientId> = entries.iter().map(|entry| entry.client).collect();
        let gone: Vec<ClientId> = self
            .table
            .range(first..=last)
            .filter(|(client, known)| {
                known.owner == Some(Owner::Instance(from)) && !named.contains(client)
            })
            .map(|(&client, _)| client)
            .collect();
        for client in gone {
            self.take_down(client, now);
        }
        Ok(())
    }

    fn hear_one(
        &mut self,
        from: InstanceId,
        entry: &Entry<'_>,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        let client = entry.client;
        let Some(known) = self.table.get_mut(&client) else {
            if entry.clock > 0 && entry.state.is_some() && self.others.may_have_more(from) {
                self.put_elsewhere(from, entry, now);
            }
            return;
        };
        if entry.clock > known.clock.saturating_add(MAX_CLOCK_JUMP) {
            return;
        }
        let is_newer = entry.clock > known.clock;
        let takes_down =
            entry.state.is_none() && known.state.is_some() && entry.clock >= known.clock;
        let is_news = match known.owner {
            // P78.
            Some(Owner::Peer(_)) if takes_down && known.contested => true,
            Some(Owner::Peer(_)) if takes_down => {
                self.move_on(client, entry.clock, now, corrections);
                false
            }
            Some(Owner::Peer(_)) => {
                let is_silent = now.saturating_sub(known.heard) > OWNER_SILENCE;
                known.contested |= is_newer || is_silent && entry.clock == known.clock;
                is_newer && is_silent
            }
            Some(Owner::Instance(instance)) if instance == from => {
                known.heard = now;
                is_newer || takes_down
            }
            Some(Owner::Instance(_)) => is_newer,
            None => {
                if !is_newer && entry.state.is_some() {
                    // Where it is connected, the client has to be moved past the clock at which it left.
                    self.others.to_tell.insert(client);
                }
                is_newer
            }
        };
        let is_mine =
            self.table.get(&client).and_then(|known| known.owner) == Some(Owner::Instance(from));
        if is_news && (is_mine || entry.state.is_none() || self.others.may_have_more(from)) {
            self.put_elsewhere(from, entry, now);
        }
    }

    fn put_elsewhere(&mut self, from: InstanceId, entry: &Entry<'_>, now: Millis) {
        self.set(Owner::Instance(from), entry.client, entry.clock, entry.state, now);
        self.note_change(entry.client, None);
    }

    /// Whether another instance speaks for this id.
    pub(super) fn is_elsewhere(&self, client: ClientId) -> bool {
        self.table.get(&client).is_some_and(|known| matches!(known.owner, Some(Owner::Instance(_))))
    }

    /// P79: a peer names an id that another instance speaks for.
    pub(super) fn reclaim(
        &mut self,
        peer: PeerId,
        entry: &Entry<'_>,
        is_first: bool,
        now: Millis,
        corrections: &mut Corrections,
    ) {
        let client = entry.client;
        let is_itself = self.itself.get(&peer) == Some(&Some(client));
        let may_speak = self.may_speak_for_more(peer);
        let Some(known) = self.table.get(&client).filter(|_| may_speak) else { return };
        if entry.clock > known.clock.saturating_add(MAX_CLOCK_JUMP) {
            return;
        }
        let is_newer = entry.clock > known.clock;
        let has_missed_heartbeat = now.saturating_sub(known.heard) > MISSED_HEARTBEAT;
        if is_itself && is_first && entry.state.is_some() {
            // Wherever it was before, it took everyone down on its way.
            self.others.renew(now);
            self.others.renew_here = true;
            let clock = known.clock.max(entry.clock);
            self.move_past(clock, peer, client, entry.state, now, corrections);
        } else if is_newer && (is_itself || has_missed_heartbeat) {
            self.put(peer, client, entry.clock, entry.state, now);
        }
    }

    /// Takes down whoever an instance spoke for.
    fn take_down_all_of(&mut self, instance: InstanceId, now: Millis) {
        let gone: Vec<ClientId> = self
            .table
            .iter()
            .filter(|(_, known)| known.owner == Some(Owner::Instance(instance)))
            .map(|(&client, _)| client)
            .collect();
        for client in gone {
            self.take_down(client, now);
        }
    }

    /// Takes down whoever an instance spoke for that is not heard any more, and forgets it.
    pub(super) fn expire_instances(&mut self, now: Millis) {
        let silent: Vec<InstanceId> = self
            .others
            .known
            .iter()
            .filter(|(_, other)| now.saturating_sub(other.heard) > INSTANCE_SILENCE)
            .map(|(&instance, _)| instance)
            .collect();
        for instance in silent {
            self.take_down_all_of(instance, now);
            self.others.known.remove(&instance);
        }
    }
}

#[cfg(test)]
mod tests;
