//! What goes wrong?

use super::{FromPeer, PeerId, Scope, StoreError, World};
use crate::client::Client;
use commonplace::room::event::Event;
use commonplace::store::{Position, Snapshot};
use rand::RngExt;

/// The most entries that the log loses at once.
const MOST_LOST: u64 = 12;

impl World {
    pub(super) fn lose_one_message(&mut self, who: usize) {
        // Only edits: the sync itself is what heals a loss.
        if let Some(link) = &mut self.links[who]
            && matches!(link.up.front(), Some(FromPeer::Update(_)))
            && !self.clients[who].is_reader
        {
            // What the room never saw stays unsaved until the client connects anew.
            link.up.pop_front();
            link.lost_something = true;
            self.tally.faults += 1;
        }
    }

    pub(super) fn narrow(&mut self, who: usize) {
        if let Some(link) = &mut self.links[who] {
            link.room = self.random.random_range(1..6);
        }
    }

    pub(super) fn break_store(&mut self) {
        self.tally.faults += 1;
        match self.random.random_range(0..5) {
            0 => self.disk.faults.full = true,
            1 => self.disk.faults.away = true,
            2 => self.disk.faults.unknown_next = Some(true),
            3 => self.disk.faults.unknown_next = Some(false),
            _ => self.disk.faults.fail_next = Some(StoreError::Away("once".to_owned())),
        }
    }

    pub(super) fn mend_store(&mut self) {
        self.disk.faults.full = false;
        self.disk.faults.away = false;
    }

    /// A process dies: memory and sockets are gone. What it had asked of the store may still happen.
    pub(super) fn crash(&mut self, at: usize) -> Result<(), String> {
        self.tally.faults += 1;
        let host = self.hosts[at].take();
        if let Some(append) = host.and_then(|host| host.append)
            && append.written.is_none()
            && self.random.random_bool(0.5)
        {
            let seen = Some(commonplace::store::Expect::Seen(append.seen));
            // Whatever the answer: there is nobody to hear it.
            drop(self.disk.append_now(&self.log, seen, append.id, append.entry));
        }
        self.forget(at);
        if self.hosts.len() == 1 {
            // The machine with it.
            self.disk.crash();
        }
        self.check_after_loss()
    }

    /// An instance is not there any more.
    pub(super) fn forget(&mut self, at: usize) {
        self.hostile[at] = None;
        for link in &mut self.links {
            if link.as_ref().is_some_and(|link| link.host == at) {
                *link = None;
            }
        }
    }

    pub(super) fn stop(&mut self, at: usize) -> Result<(), String> {
        if self.frozen[at] { Ok(()) } else { self.step(at, Event::Stop) }
    }

    /// The store's machine is started again, and the instances live on: what was not synced may be gone, and nobody was told that it was there.
    pub(super) fn power_fails(&mut self) -> Result<(), String> {
        self.tally.faults += 1;
        for append in self.hosts.iter_mut().flatten().filter_map(|host| host.append.as_mut()) {
            append.unanswered |= append.written.is_some();
        }
        self.disk.crash();
        self.check_after_loss()
    }

    /// The log loses its last entries, although they were durable.
    pub(super) fn rewind(&mut self) -> Result<(), String> {
        if !self.rewinds {
            return Ok(());
        }
        self.tally.faults += 1;
        self.rewound = true;
        let head = self.disk.head_now(&self.log).position.0;
        let lost = self.random.random_range(1..=MOST_LOST);
        self.disk.rewind_now(&self.log, Position(head.saturating_sub(lost)));
        self.check_after_loss()
    }

    /// Somebody else compacts the log up to its end.
    pub(super) fn compact_elsewhere(&mut self) -> Result<(), String> {
        let (state, head) = self.load()?;
        if let Err(error) = self.disk.sync_now() {
            return Err(format!("a healthy disk does not sync: {error}"));
        }
        let snapshot = Snapshot { covers: head.position, last: head.id, bytes: state };
        if self.disk.compact_now(&self.log, snapshot).is_ok() {
            self.disk.sync_now().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub(super) fn freeze(&mut self, at: usize) {
        self.tally.faults += 1;
        self.frozen[at] = true;
    }

    pub(super) fn thaw(&mut self) {
        self.frozen.fill(false);
    }

    pub(super) fn lose_touch(&mut self, at: usize) -> Result<(), String> {
        if self.frozen[at] {
            return Ok(());
        }
        self.tally.faults += 1;
        self.step(at, Event::OutOfTouch)
    }

    /// Somebody leaves for good, with all that only they have, and somebody new comes.
    pub(super) fn replace(&mut self, who: usize) -> Result<(), String> {
        if self.clients[who].is_reader {
            return Ok(());
        }
        self.disconnect(who)?;
        let id = self.next_client;
        self.next_client += 1;
        let client = std::mem::replace(&mut self.clients[who], Client::new(id, false));
        self.departed.push(client.depart());
        self.check_after_loss()
    }

    pub(super) fn speak_nonsense(&mut self, at: usize) -> Result<(), String> {
        let is_open = self.hosts[at].as_ref().is_some_and(|host| host.room.is_open());
        if !is_open || self.frozen[at] {
            return Ok(());
        }
        let peer = match self.hostile[at] {
            Some(peer) => peer,
            None => {
                let peer = PeerId(self.next_peer);
                self.next_peer += 1;
                self.hostile[at] = Some(peer);
                self.seat(at, peer, None, Scope::ReadWrite)?;
                peer
            }
        };
        self.tally.faults += 1;
        let bytes = self.scribblers[at].nonsense(&mut self.random);
        let message = if self.random.random_bool(0.5) {
            FromPeer::Update(bytes)
        } else {
            FromPeer::SyncStep2(bytes)
        };
        self.step(at, Event::Received(peer, message))
    }
}
