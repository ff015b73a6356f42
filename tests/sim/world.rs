//! One seed: a room, its store, its peers and the links between them, in virtual time.
//!
//! Nothing here waits. Each operation either does something a person or a fault would do, or lets one queue move. The real pure step, the real gate
//! and the real document are what is tested; the store is the simulated disk.

use crate::client::Client;
use bytes::Bytes;
use commonplace::access::{Principal, Scope};
use commonplace::room::document::reload_check;
use commonplace::room::event::{
    CompactFailure, Dialect, Effect, Event, FromPeer, Join, Now, PeerId, Seating, ToPeer,
};
use commonplace::room::state::Room;
use commonplace::store::sim::SimDisk;
use commonplace::store::{EntryId, LogName, Position, Snapshot, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};

/// Writers in a world.
const WRITERS: usize = 4;

/// Rounds in which a world without faults must come to rest.
const ROUNDS_TO_REST: usize = 2_000;

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
    read: Option<Position>,
    append: Option<Append>,
    compact: Option<(Position, Bytes)>,
    entry_id: Option<(u64, EntryId)>,
    seats: BTreeMap<PeerId, Seat>,
    /// Finished: removed after the effects are done.
    ended: bool,
}

struct Append {
    id: EntryId,
    entry: Bytes,
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
            let (room, effects) = Room::new();
            self.host = Some(Host {
                room,
                wake_at: None,
                read: None,
                append: None,
                compact: None,
                entry_id: None,
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
                    match self.disk.append_now(&self.log, None, append.id, append.entry.clone()) {
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
        if let Some((covers, state)) = host.compact.take() {
            let outcome = match reload_check(&state) {
                Ok(()) => {
                    let stored =
                        self.disk.compact_now(&self.log, Snapshot { covers, bytes: state });
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

    fn step(&mut self, event: Event) -> Result<(), String> {
        let Some(host) = self.host.as_mut().filter(|host| !host.ended) else { return Ok(()) };
        let effects = host.room.step(self.now, event);
        self.carry(effects)
    }

    /// Does what the room wants, as the task does.
    fn carry(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        let mut echoes = VecDeque::new();
        let mut todo = VecDeque::from([effects]);
        while let Some(effects) = todo.pop_front() {
            for effect in effects {
                self.carry_one(effect, &mut echoes)?;
            }
            while let Some(event) = echoes.pop_front() {
                if let Some(host) = self.host.as_mut().filter(|host| !host.ended) {
                    let effects = host.room.step(self.now, event);
                    todo.push_back(effects);
                    break;
                }
            }
            if todo.is_empty() && !echoes.is_empty() {
                todo.push_back(Vec::new());
            }
        }
        Ok(())
    }

    fn carry_one(&mut self, effect: Effect, echoes: &mut VecDeque<Event>) -> Result<(), String> {
        let Some(host) = &mut self.host else { return Ok(()) };
        match effect {
            Effect::Read(after) => host.read = Some(after),
            Effect::Append { number, entry } => {
                if host.append.is_some() {
                    return Err("two appends at once".to_owned());
                }
                let id = match host.entry_id {
                    Some((last, id)) if last == number => id,
                    _ => EntryId(self.random.random()),
                };
                host.entry_id = Some((number, id));
                host.append = Some(Append { id, entry, written: None });
            }
            Effect::Compact { covers, state } => host.compact = Some((covers, state)),
            Effect::Send(peer, message) => {
                if let Some(seat) = host.seats.get_mut(&peer) {
                    push(&mut self.links, peer, seat, message, echoes);
                }
            }
            Effect::Broadcast(not_to, message) => {
                let is_presence = matches!(message, ToPeer::Awareness(_));
                for (&peer, seat) in &mut host.seats {
                    let reaches = seat.seating == Seating::Live
                        || (seat.seating == Seating::Arriving && is_presence);
                    if reaches && Some(peer) != not_to {
                        push(&mut self.links, peer, seat, message.clone(), echoes);
                    }
                }
            }
            Effect::Seat(peer, seating) => {
                if let Some(seat) = host.seats.get_mut(&peer) {
                    seat.seating = seat.seating.then(seating);
                }
            }
            Effect::TellWhenDrained(peer) => {
                let is_empty = self
                    .links
                    .iter()
                    .flatten()
                    .all(|link| link.peer != peer || link.down.is_empty());
                if is_empty {
                    echoes.push_back(Event::Drained(peer));
                } else if let Some(seat) = host.seats.get_mut(&peer) {
                    seat.tell_when_drained = true;
                }
            }
            Effect::Close(peer, code, reason) => {
                let client = host.seats.remove(&peer).and_then(|seat| seat.client);
                echoes.push_back(Event::Leave(peer));
                match client {
                    Some(who) => {
                        return Err(format!(
                            "client {} was closed: {code:?} {reason}",
                            self.clients[who].id
                        ));
                    }
                    None => self.hostile = None,
                }
            }
            Effect::WakeAt(at) => host.wake_at = Some(at),
            Effect::Quarantine(reason) => {
                return Err(format!("the document was set aside: {reason}"));
            }
            Effect::OpenFailed(_) | Effect::Note(_) => {}
            Effect::Finished => host.ended = true,
        }
        Ok(())
    }

    fn end_if_finished(&mut self) {
        if self.host.as_ref().is_some_and(|host| host.ended) {
            self.host = None;
            self.hostile = None;
            self.links.iter_mut().for_each(|link| *link = None);
        }
    }

    /// No more faults: everyone comes back, everything moves, and all must agree.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.mend_store();
        self.disk.faults = commonplace::store::sim::Faults::default();
        for who in 0..self.links.len() {
            if self.links[who].as_ref().is_some_and(|link| link.lost_something) {
                self.disconnect(who)?;
            }
        }
        for _ in 0..ROUNDS_TO_REST {
            for who in 0..self.clients.len() {
                self.connect(who)?;
                if let Some(link) = &mut self.links[who] {
                    link.room = 1_000;
                }
                self.move_up(who, 100)?;
                self.move_down(who, 100)?;
            }
            for _ in 0..4 {
                self.move_store()?;
            }
            self.pass(100)?;
            self.end_if_finished();
            if self.is_at_rest() {
                return self.check_agreement();
            }
        }
        Err(format!("it does not come to rest: {}", self.describe()))
    }

    fn is_at_rest(&self) -> bool {
        let links_are_quiet = self
            .links
            .iter()
            .flatten()
            .all(|link| link.joined && link.up.is_empty() && link.down.is_empty());
        let all_are_here = self.links.iter().all(Option::is_some);
        let store_is_quiet = self.host.as_ref().is_some_and(|host| {
            host.append.is_none() && host.compact.is_none() && host.room.waiting() == 0
        });
        let all_saved = self.clients.iter().all(|client| client.is_reader || client.says_saved());
        let all_equal = self
            .clients
            .iter()
            .all(|client| client.is_reader || client.content() == self.clients[0].content());
        links_are_quiet && all_are_here && store_is_quiet && all_saved && all_equal
    }

    fn describe(&self) -> String {
        let mut lines = Vec::new();
        for (client, link) in self.clients.iter().zip(&self.links) {
            let link = link.as_ref().map(|link| (link.joined, link.up.len(), link.down.len()));
            lines.push(format!(
                "client {} link {link:?} saved {} {:?}",
                client.id,
                client.says_saved(),
                client.state_vector()
            ));
        }
        let first = self.clients[0].content();
        for client in &self.clients {
            if !client.is_reader && client.content() != first {
                let content = client.content();
                lines.push(format!(
                    "client {} has {content:?}, client 100 has {first:?}",
                    client.id
                ));
            }
        }
        lines.push(format!(
            "room {:?}",
            self.host.as_ref().map(|host| (
                host.room.is_open(),
                host.room.waiting(),
                host.append.is_some()
            ))
        ));
        lines.join("; ")
    }

    fn check_agreement(&mut self) -> Result<(), String> {
        let stored = self.stored()?;
        let content = stored.content();
        for client in self.clients.iter().filter(|client| !client.is_reader) {
            if client.content() != content {
                return Err(format!("client {} differs from the store", client.id));
            }
            if client.state_vector() != stored.state_vector() {
                return Err(format!(
                    "client {} has another state vector than the store",
                    client.id
                ));
            }
        }
        self.check_promises()
    }

    /// Saved means saved, seen implies saved, refused is nowhere.
    fn check_promises(&mut self) -> Result<(), String> {
        let stored = self.stored()?;
        for client in &self.clients {
            client.check_promises(&stored)?;
        }
        let reader =
            self.clients.iter().find(|client| client.is_reader).map_or(0, |client| client.id);
        if stored.state_vector().iter().any(|(client, _)| client.get() == reader) {
            return Err("a refused edit is in the store".to_owned());
        }
        Ok(())
    }

    /// A fresh load of what is durable.
    fn stored(&mut self) -> Result<Client, String> {
        let faults = std::mem::take(&mut self.disk.faults);
        let (mut room, mut effects) = Room::new();
        while let Some(after) = effects
            .iter()
            .find_map(|effect| if let Effect::Read(after) = effect { Some(*after) } else { None })
        {
            effects = room.step(self.now, Event::Read(self.disk.read_now(&self.log, after)));
        }
        self.disk.faults = faults;
        if room.is_open() {
            Ok(Client::load(&room.document().state()))
        } else {
            Err("the stored document does not load".to_owned())
        }
    }
}

/// Queues a message for a link, or reports that there was no room.
fn push(
    links: &mut [Option<Link>],
    peer: PeerId,
    seat: &mut Seat,
    message: ToPeer,
    echoes: &mut VecDeque<Event>,
) {
    let Some(who) = seat.client else { return };
    let Some(link) = links[who].as_mut().filter(|link| link.peer == peer) else { return };
    let fits =
        seat.seating != Seating::Behind && (link.down.is_empty() || link.down.len() < link.room);
    if fits {
        link.down.push_back(message);
    } else {
        seat.seating = Seating::Behind;
        seat.tell_when_drained = true;
        echoes.push_back(Event::Behind(peer, message));
    }
}
