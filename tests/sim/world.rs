//! One seed: the instances of a server, their store, a document's peers and the links between them, in virtual time.
//!
//! Nothing here waits. Each operation either does something a person or a fault would do, or lets one queue move. The real pure step, the real gate
//! and the real document are what is tested; the store is the simulated disk.

mod carry;
mod faults;
mod host;
mod promises;
mod rest;

use crate::client::Client;
use commonplace::access::{Principal, Scope};
use commonplace::room::event::{Dialect, Event, FromPeer, Join, Now, PeerId, Seating, ToPeer};
use commonplace::store::sim::SimDisk;
use commonplace::store::{LogName, StoreError};
use host::{Host, Seat};
pub(crate) use promises::Departed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;

/// Writers in a world.
const WRITERS: usize = 4;

/// The most instances in a world.
const MAX_INSTANCES: u64 = 3;

/// One seed's world.
pub(crate) struct World {
    random: StdRng,
    now: Now,
    disk: SimDisk,
    log: LogName,
    /// The instances, and the room of each while it is open.
    hosts: Vec<Option<Host>>,
    /// Instances that are stopped in their tracks.
    frozen: Vec<bool>,
    clients: Vec<Client>,
    /// The link of each client, while it has one.
    links: Vec<Option<Link>>,
    /// Clients that will not come back, with what they were told.
    departed: Vec<Departed>,
    next_client: u64,
    /// Somebody who sends nonsense to an instance, while it is there.
    hostile: Vec<Option<PeerId>>,
    /// Those who send it: under one client id, each with words of its own. Where the log goes back in time each has an id of its own: there the words
    /// of one may have been seen by some before the other's are all that is stored, and no server can take back what a client has seen.
    scribblers: Vec<Client>,
    next_peer: u64,
    /// How many hints of a thousand arrive at an operation of the store; the rest are lost, and the poll finds out.
    hints: u32,
    /// Whether the log goes back in time here, and whether it has.
    rewinds: bool,
    rewound: bool,
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
    /// Logs that went back in time and were healed.
    pub(crate) healed: u64,
    /// Parts that were put back.
    pub(crate) put_back: u64,
    /// Documents loaded anew for other reasons.
    pub(crate) reloaded: u64,
    /// Snapshots taken.
    pub(crate) compacted: u64,
    /// Snapshots that came too late.
    pub(crate) stale: u64,
    /// Edits of departed clients that no room and no client had any more.
    pub(crate) excused: u64,
}

impl Tally {
    /// Adds up.
    pub(crate) fn add(&mut self, other: Self) {
        self.edits += other.edits;
        self.faults += other.faults;
        self.saved += other.saved;
        self.healed += other.healed;
        self.put_back += other.put_back;
        self.reloaded += other.reloaded;
        self.compacted += other.compacted;
        self.stale += other.stale;
        self.excused += other.excused;
    }
}

struct Link {
    peer: PeerId,
    /// The instance it leads to.
    host: usize,
    joined: bool,
    up: VecDeque<FromPeer>,
    down: VecDeque<ToPeer>,
    /// How many messages fit into its outbox.
    room: usize,
    lost_something: bool,
}

impl World {
    /// The world of one seed. A third of them have one instance, and half of the others a log that goes back in time.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let instances = usize::try_from(1 + seed % MAX_INSTANCES).unwrap_or(1);
        let mut clients: Vec<Client> =
            (0..WRITERS).map(|n| Client::new(100 + n as u64, false)).collect();
        clients.push(Client::new(900, true));
        let rewinds = seed / MAX_INSTANCES % 2 == 1;
        let scribbler = |at: usize| Client::new(700 + if rewinds { at as u64 } else { 0 }, true);
        Self {
            now: Now { mono: 1, wall: 1 },
            disk: SimDisk::new(seed),
            log: LogName::new("doc/sim").expect("a good name"),
            hosts: (0..instances).map(|_| None).collect(),
            frozen: vec![false; instances],
            links: clients.iter().map(|_| None).collect(),
            clients,
            departed: Vec::new(),
            next_client: 200,
            hostile: vec![None; instances],
            scribblers: (0..instances).map(scribbler).collect(),
            next_peer: 1,
            hints: [0, 100, 900][random.random_range(0..3)],
            rewinds,
            rewound: false,
            tally: Tally::default(),
            random,
        }
    }

    /// One operation.
    pub(crate) fn operate(&mut self) -> Result<(), String> {
        let who = self.random.random_range(0..self.clients.len());
        let host = self.random.random_range(0..self.hosts.len());
        match self.random.random_range(0..1_000) {
            0..160 => self.edit(who),
            160..400 => {
                let count = self.random.random_range(1..6);
                self.move_up(who, count)?;
            }
            400..650 => {
                let count = self.random.random_range(1..8);
                self.move_down(who, count)?;
            }
            650..860 => self.move_store(host)?,
            860..910 => {
                let passed = self.random.random_range(1..60);
                self.pass(passed)?;
            }
            910..950 => self.connect(who, host)?,
            950..957 => self.disconnect(who)?,
            957..961 => self.lose_one_message(who),
            961..964 => self.break_store(),
            964..972 => self.mend_store(),
            972..975 => self.crash(host)?,
            975..976 => self.stop(host)?,
            976..978 => self.pass(40_000)?,
            978..983 => self.speak_nonsense(host)?,
            983..986 => self.narrow(who),
            986..987 => self.replace(who)?,
            987..988 => self.lose_touch(host)?,
            988..990 => self.power_fails()?,
            990..992 => self.rewind()?,
            992..994 => self.compact_elsewhere()?,
            994..995 => self.freeze(host),
            _ => self.thaw(),
        }
        self.end_the_finished()
    }

    fn edit(&mut self, who: usize) {
        let online = self.links[who].as_ref().is_some_and(|link| link.joined);
        let update = self.clients[who].edit(&mut self.random, online);
        self.tally.edits += 1;
        if let Some(link) = self.links[who].as_mut().filter(|link| link.joined) {
            link.up.push_back(FromPeer::Update(update));
        }
    }

    fn connect(&mut self, who: usize, host: usize) -> Result<(), String> {
        if self.links[who].is_some() || self.frozen[host] {
            return Ok(());
        }
        self.open(host)?;
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let room = self.random.random_range(3..60);
        self.links[who] = Some(Link {
            peer,
            host,
            joined: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            room,
            lost_something: false,
        });
        self.let_in(host)
    }

    /// Whoever waits for an open room gets a seat.
    fn let_in(&mut self, at: usize) -> Result<(), String> {
        for who in 0..self.links.len() {
            if !self.hosts[at].as_ref().is_some_and(|host| host.room.is_open() && !host.ended) {
                return Ok(());
            }
            let waits = |link: &&mut Link| !link.joined && link.host == at;
            let Some(link) = self.links[who].as_mut().filter(waits) else { continue };
            link.joined = true;
            link.up.push_back(self.clients[who].hello());
            let scope =
                if self.clients[who].is_reader { Scope::ReadOnly } else { Scope::ReadWrite };
            let peer = link.peer;
            self.seat(at, peer, Some(who), scope)?;
        }
        Ok(())
    }

    fn seat(
        &mut self,
        host: usize,
        peer: PeerId,
        client: Option<usize>,
        scope: Scope,
    ) -> Result<(), String> {
        if let Some(host) = &mut self.hosts[host] {
            host.seats.insert(
                peer,
                Seat { client, seating: Seating::Arriving, tell_when_drained: false },
            );
        }
        let principal = Principal(format!("p{}", peer.0).into());
        let dialect = Dialect::Hocuspocus;
        self.step(host, Event::Join(Join { peer, dialect, principal, scope }))
    }

    fn disconnect(&mut self, who: usize) -> Result<(), String> {
        let Some(link) = self.links[who].take() else { return Ok(()) };
        if let Some(host) = &mut self.hosts[link.host] {
            host.seats.remove(&link.peer);
        }
        if link.joined { self.step(link.host, Event::Leave(link.peer)) } else { Ok(()) }
    }

    fn move_up(&mut self, who: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let Some(link) = self.links[who].as_mut().filter(|link| link.joined) else {
                return Ok(());
            };
            if self.frozen[link.host] {
                return Ok(());
            }
            let Some(message) = link.up.pop_front() else { return Ok(()) };
            let (host, peer) = (link.host, link.peer);
            self.step(host, Event::Received(peer, message))?;
        }
        Ok(())
    }

    fn move_down(&mut self, who: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let Some(link) = self.links[who].as_mut() else { return Ok(()) };
            if self.frozen[link.host] {
                return Ok(());
            }
            let Some(message) = link.down.pop_front() else { return Ok(()) };
            let (host, peer, is_empty) = (link.host, link.peer, link.down.is_empty());
            let answer = self.clients[who].hear(message)?;
            if self.clients[who].says_saved() {
                self.tally.saved += 1;
            }
            if let (Some(answer), Some(link)) = (answer, self.links[who].as_mut()) {
                link.up.push_back(answer);
            }
            let asked = self.hosts[host]
                .as_mut()
                .and_then(|host| host.seats.get_mut(&peer))
                .filter(|seat| seat.tell_when_drained);
            if let Some(seat) = asked.filter(|_| is_empty) {
                seat.tell_when_drained = false;
                self.step(host, Event::Drained(peer))?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, millis: u64) -> Result<(), String> {
        self.now.mono += millis;
        self.now.wall += millis;
        for at in 0..self.hosts.len() {
            let now = self.now.mono;
            let Some(host) = self.hosts[at].as_mut().filter(|_| !self.frozen[at]) else { continue };
            if host.wake_at.is_some_and(|at| at <= now) {
                host.wake_at = None;
                self.step(at, Event::Tick)?;
            }
        }
        Ok(())
    }
}
