//! One seed: a room, its store, its peers and the links between them, in virtual time.
//!
//! Nothing here waits. Each operation either does something a person or a fault would do, or lets one queue move. The real pure step, the real gate
//! and the real document are what is tested; the store is the simulated disk.

mod carry;
mod rest;

use crate::client::Client;
use bytes::Bytes;
use commonplace::access::{Principal, Scope};
use commonplace::room::document::reload_check;
use commonplace::room::event::{
    CompactFailure, Dialect, Event, FromPeer, Join, Now, PeerId, Seating, ToPeer,
};
use commonplace::room::state::Room;
use commonplace::store::sim::SimDisk;
use commonplace::store::{Bookmark, EntryId, Expect, LogName, Position, Snapshot, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};

/// Writers in a world.
const WRITERS: usize = 4;

/// One seed's world.
pub(crate) struct World {
    random: StdRng,
    now: Now,
    disk: SimDisk,
    log: LogName,
    host: Option<Host>,
    clients: Vec<Client>,
    /// The link of each client, while it has one.
    links: Vec<Option<Link>>,
    /// Somebody who sends nonsense, while it is here.
    hostile: Option<PeerId>,
    scribbler: Client,
    next_peer: u64,
    /// Counted for the report.
    pub(crate) tally: Tally,
}

/// What happened in a world.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Edits made.
    pub(crate) edits: u64,
    /// Faults injected.
    pub(crate) faults: u64,
    /// Times a page said *saved* and was checked.
    pub(crate) saved: u64,
}

/// A running instance of the room.
struct Host {
    room: Room,
    wake_at: Option<u64>,
    read: Option<Bookmark>,
    append: Option<Append>,
    compact: Option<(Bookmark, Bytes)>,
    seats: BTreeMap<PeerId, Seat>,
    /// Finished: removed after the effects are done.
    ended: bool,
}

struct Append {
    id: EntryId,
    entry: Bytes,
    seen: Bookmark,
    written: Option<Position>,
}

struct Seat {
    /// `None` for the hostile one, who listens to nothing.
    client: Option<usize>,
    seating: Seating,
    tell_when_drained: bool,
}

struct Link {
    peer: PeerId,
    joined: bool,
    up: VecDeque<FromPeer>,
    down: VecDeque<ToPeer>,
    /// How many messages fit into its outbox.
    room: usize,
    lost_something: bool,
}

impl World {
    /// The world of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut clients: Vec<Client> =
            (0..WRITERS).map(|n| Client::new(100 + n as u64, false)).collect();
        clients.push(Client::new(900, true));
        let links = clients.iter().map(|_| None).collect();
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Now { mono: 1, wall: 1 },
            disk: SimDisk::new(seed),
            log: LogName::new("doc/sim").expect("a good name"),
            host: None,
            clients,
            links,
            hostile: None,
            scribbler: Client::new(700, true),
            next_peer: 1,
            tally: Tally::default(),
        }
    }

    /// One operation.
    pub(crate) fn operate(&mut self) -> Result<(), String> {
        let who = self.random.random_range(0..self.clients.len());
        match self.random.random_range(0..1_000) {
            0..160 => self.edit(who),
            160..420 => {
                let count = self.random.random_range(1..6);
                self.move_up(who, count)?;
            }
            420..700 => {
                let count = self.random.random_range(1..8);
                self.move_down(who, count)?;
            }
            700..880 => self.move_store()?,
            880..930 => {
                let passed = self.random.random_range(1..60);
                self.pass(passed)?;
            }
            930..965 => self.connect(who)?,
            965..971 => self.disconnect(who)?,
            971..976 => self.lose_one_message(who),
            976..980 => self.break_store(),
            980..986 => self.mend_store(),
            986..989 => self.crash()?,
            989..990 => self.stop()?,
            990..992 => self.pass(40_000)?,
            992..997 => self.speak_nonsense()?,
            _ => self.narrow(who),
        }
        self.end_if_finished();
        Ok(())
    }

    fn edit(&mut self, who: usize) {
        let online = self.links[who].as_ref().is_some_and(|link| link.joined);
        let update = self.clients[who].edit(&mut self.random, online);
        self.tally.edits += 1;
        if let Some(link) = self.links[who].as_mut().filter(|link| link.joined) {
            link.up.push_back(FromPeer::Update(update));
        }
    }

    fn connect(&mut self, who: usize) -> Result<(), String> {
        if self.links[who].is_some() {
            return Ok(());
        }
        if self.host.is_none() {
            let (room, effects) = Room::new(self.random.random());
            self.host = Some(Host {
                room,
                wake_at: None,
                read: None,
                append: None,
                compact: None,
                seats: BTreeMap::new(),
                ended: false,
            });
            self.carry(effects)?;
        }
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let room = self.random.random_range(3..60);
        self.links[who] = Some(Link {
            peer,
            joined: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            room,
            lost_something: false,
        });
        self.let_in()
    }

    /// Whoever waits for an open room gets a seat.
    fn let_in(&mut self) -> Result<(), String> {
        for who in 0..self.links.len() {
            if !self.host.as_ref().is_some_and(|host| host.room.is_open() && !host.ended) {
                return Ok(());
            }
            let Some(link) = self.links[who].as_mut().filter(|link| !link.joined) else { continue };
            link.joined = true;
            link.up.push_back(self.clients[who].hello());
            let scope =
                if self.clients[who].is_reader { Scope::ReadOnly } else { Scope::ReadWrite };
            let peer = link.peer;
            self.seat(peer, Some(who), scope)?;
        }
        Ok(())
    }

    fn seat(&mut self, peer: PeerId, client: Option<usize>, scope: Scope) -> Result<(), String> {
        if let Some(host) = &mut self.host {
            host.seats.insert(
                peer,
                Seat { client, seating: Seating::Arriving, tell_when_drained: false },
            );
        }
        let principal = Principal(format!("p{}", peer.0).into());
        self.step(Event::Join(Join { peer, dialect: Dialect::Hocuspocus, principal, scope }))
    }

    fn disconnect(&mut self, who: usize) -> Result<(), String> {
        let Some(link) = self.links[who].take() else { return Ok(()) };
        if let Some(host) = &mut self.host {
            host.seats.remove(&link.peer);
        }
        if link.joined { self.step(Event::Leave(link.peer)) } else { Ok(()) }
    }

    fn lose_one_message(&mut self, who: usize) {
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

    fn narrow(&mut self, who: usize) {
        if let Some(link) = &mut self.links[who] {
            link.room = self.random.random_range(1..6);
        }
    }

    fn break_store(&mut self) {
        self.tally.faults += 1;
        match self.random.random_range(0..5) {
            0 => self.disk.faults.full = true,
            1 => self.disk.faults.away = true,
            2 => self.disk.faults.unknown_next = Some(true),
            3 => self.disk.faults.unknown_next = Some(false),
            _ => self.disk.faults.fail_next = Some(StoreError::Away("once".to_owned())),
        }
    }

    fn mend_store(&mut self) {
        self.disk.faults.full = false;
        self.disk.faults.away = false;
    }

    /// The process dies: memory and sockets are gone, the disk keeps what was synced.
    fn crash(&mut self) -> Result<(), String> {
        self.tally.faults += 1;
        self.host = None;
        self.hostile = None;
        self.links.iter_mut().for_each(|link| *link = None);
        self.disk.crash();
        self.check_promises()
    }

    fn stop(&mut self) -> Result<(), String> {
        self.step(Event::Stop)
    }

    fn speak_nonsense(&mut self) -> Result<(), String> {
        if !self.host.as_ref().is_some_and(|host| host.room.is_open()) {
            return Ok(());
        }
        let peer = match self.hostile {
            Some(peer) => peer,
            None => {
                let peer = PeerId(self.next_peer);
                self.next_peer += 1;
                self.hostile = Some(peer);
                self.seat(peer, None, Scope::ReadWrite)?;
                peer
            }
        };
        self.tally.faults += 1;
        let bytes = self.scribbler.nonsense(&mut self.random);
        let message = if self.random.random_bool(0.5) {
            FromPeer::Update(bytes)
        } else {
            FromPeer::SyncStep2(bytes)
        };
        self.step(Event::Received(peer, message))
    }

    fn move_up(&mut self, who: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let Some(link) = self.links[who].as_mut().filter(|link| link.joined) else {
                return Ok(());
            };
            let Some(message) = link.up.pop_front() else { return Ok(()) };
            let peer = link.peer;
            self.step(Event::Received(peer, message))?;
        }
        Ok(())
    }

    fn move_down(&mut self, who: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let Some(link) = self.links[who].as_mut() else { return Ok(()) };
            let Some(message) = link.down.pop_front() else { return Ok(()) };
            let (peer, is_empty) = (link.peer, link.down.is_empty());
            let answer = self.clients[who].hear(message)?;
            if self.clients[who].says_saved() {
                self.tally.saved += 1;
            }
            if let (Some(answer), Some(link)) = (answer, self.links[who].as_mut()) {
                link.up.push_back(answer);
            }
            let asked = self
                .host
                .as_mut()
                .and_then(|host| host.seats.get_mut(&peer))
                .filter(|seat| seat.tell_when_drained);
            if let Some(seat) = asked.filter(|_| is_empty) {
                seat.tell_when_drained = false;
                self.step(Event::Drained(peer))?;
            }
        }
        Ok(())
    }

    /// One step of whatever the store has been asked.
    fn move_store(&mut self) -> Result<(), String> {
        let Some(host) = &mut self.host else { return Ok(()) };
        if let Some(after) = host.read.take() {
            let page = self.disk.read_now(&self.log, after);
            self.step(Event::Read(page))?;
            return self.let_in();
        }
        if let Some(append) = &mut host.append {
            let outcome = match append.written {
                None => {
                    let seen = Some(Expect::Seen(append.seen));
                    match self.disk.append_now(&self.log, seen, append.id, append.entry.clone()) {
                        Ok(position) => {
                            append.written = Some(position);
                            return Ok(());
                        }
                        Err(error) => Err(error),
                    }
                }
                Some(position) => self.disk.sync_now().map(|()| position),
            };
            host.append = None;
            return self.step(Event::Stored(outcome));
        }
        if let Some((up_to, state)) = host.compact.take() {
            let Bookmark { position: covers, id: last } = up_to;
            let outcome = match reload_check(&state) {
                Ok(()) => {
                    let stored =
                        self.disk.compact_now(&self.log, Snapshot { covers, last, bytes: state });
                    stored
                        .and_then(|()| self.disk.sync_now())
                        .map(|()| covers)
                        .map_err(CompactFailure::Store)
                }
                Err(difference) => {
                    return Err(format!("a snapshot does not read back: {difference}"));
                }
            };
            return self.step(Event::Compacted(outcome));
        }
        Ok(())
    }

    fn pass(&mut self, millis: u64) -> Result<(), String> {
        self.now.mono += millis;
        self.now.wall += millis;
        if self.host.as_ref().is_some_and(|host| host.wake_at.is_some_and(|at| at <= self.now.mono))
        {
            if let Some(host) = &mut self.host {
                host.wake_at = None;
            }
            self.step(Event::Tick)?;
        }
        Ok(())
    }
}
