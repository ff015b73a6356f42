//! Do all instances, and all clients, agree on who is here, whatever gets lost?
//!
//! Clients keep y-protocols' rules and the habits of its versions; they come, move, lose their lines with and without anybody noticing. The bus drops,
//! repeats and delays. Then the faults end, a repetition goes by, and everyone must see everyone.

use super::super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const INSTANCES: usize = 3;
const CLIENTS: usize = 6;
const OPERATIONS: usize = 150;
const SEEDS: u64 = 300;
/// A server notices that late that a socket is dead.
const HALF_OPEN: Millis = 60_000;
const RENEWAL: Millis = 15_000;
const SWEEP: Millis = 10_000;

struct Server {
    table: Presence,
    number: u64,
    inbox: Vec<(usize, u64, Message)>,
}

struct Line {
    server: usize,
    peer: PeerId,
}

struct Person {
    me: ClientId,
    line: Option<Line>,
    clock: u32,
    state: String,
    /// Of everybody else: the clock heard last, and what is shown.
    seen: BTreeMap<ClientId, (u32, Option<String>)>,
    changed_at: Millis,
    /// Sends back whatever it is shown, as clients up to version 4.4 do.
    echoes: bool,
}

struct World {
    now: Millis,
    random: StdRng,
    servers: Vec<Server>,
    people: Vec<Person>,
    /// Peers whose sockets are dead, and when that is noticed.
    dead: Vec<(Millis, usize, PeerId)>,
    peers: u64,
    loses: bool,
    /// From servers to people, in order.
    posts: std::collections::VecDeque<(usize, PeerId, Vec<u8>)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let servers = (0..INSTANCES)
            .map(|_| Server { table: Presence::default(), number: 0, inbox: Vec::new() })
            .collect();
        let people = (0..CLIENTS)
            .map(|n| Person {
                me: ClientId::new(10 + n as u64).expect("small"),
                line: None,
                clock: random.random_range(0..3),
                state: "{}".to_owned(),
                seen: BTreeMap::new(),
                changed_at: 0,
                echoes: random.random_bool(0.5),
            })
            .collect();
        Self {
            now: 100_000,
            random,
            servers,
            people,
            dead: Vec::new(),
            peers: 0,
            loses: true,
            posts: std::collections::VecDeque::new(),
        }
    }

    fn say(&mut self, who: usize, entries: &[(ClientId, u32, Option<String>)]) {
        let Some(Line { server, peer }) = &self.people[who].line else { return };
        let (server, peer) = (*server, *peer);
        let entries: Vec<Entry<'_>> = entries
            .iter()
            .map(|(client, clock, state)| Entry {
                client: *client,
                clock: *clock,
                state: state.as_deref(),
            })
            .collect();
        for (to, message) in self.servers[server].table.receive(peer, &entries, self.now) {
            self.posts.push_back((server, to, message));
        }
    }

    fn announce(&mut self, who: usize) {
        let person = &self.people[who];
        let entry = (person.me, person.clock, Some(person.state.clone()));
        self.say(who, &[entry]);
    }

    fn connect(&mut self, who: usize) {
        let server = self.random.random_range(0..INSTANCES);
        self.connect_to(who, server);
    }

    fn connect_to(&mut self, who: usize, server: usize) {
        self.peers += 1;
        let peer = PeerId(self.peers);
        self.people[who].line = Some(Line { server, peer });
        for message in self.servers[server].table.everyone() {
            self.posts.push_back((server, peer, message));
        }
        self.announce(who);
    }

    /// The line is lost; `noticed` by the server at once, or late.
    fn lose_line(&mut self, who: usize, noticed: bool) {
        let Some(Line { server, peer }) = self.people[who].line.take() else { return };
        if noticed {
            self.servers[server].table.leave(peer, self.now);
        } else {
            self.dead.push((self.now + HALF_OPEN, server, peer));
        }
        for (_, shown) in self.people[who].seen.values_mut() {
            *shown = None;
        }
    }

    fn change(&mut self, who: usize) {
        let now = self.now;
        let n: u32 = self.random.random_range(0..1_000);
        let person = &mut self.people[who];
        person.clock += 1;
        person.state = format!(r#"{{"n":{n}}}"#);
        person.changed_at = now;
        self.announce(who);
    }

    /// y-protocols' `applyAwarenessUpdate`.
    fn take(&mut self, who: usize, message: &[u8]) {
        let mut changed = Vec::new();
        let mut announces = false;
        let person = &mut self.people[who];
        for entry in presence::decode(message).expect("a server speaks well") {
            let state = entry.state.map(str::to_owned);
            if entry.client == person.me {
                if entry.clock > person.clock || (entry.clock == person.clock && state.is_none()) {
                    match state {
                        None => {
                            person.clock = entry.clock + 1;
                            announces = true;
                        }
                        Some(state) => {
                            person.clock = entry.clock;
                            person.state = state;
                        }
                    }
                }
                continue;
            }
            let (clock, shown) = person.seen.entry(entry.client).or_default();
            if entry.clock > *clock || (entry.clock == *clock && state.is_none() && shown.is_some())
            {
                (*clock, *shown) = (entry.clock, state);
                changed.push((entry.client, *clock, shown.clone()));
            }
        }
        let echoes = person.echoes;
        if announces && echoes {
            self.announce(who);
        }
        if echoes && !changed.is_empty() {
            self.say(who, &changed);
        }
    }

    fn deliver_posts(&mut self) {
        while let Some((server, peer, message)) = self.posts.pop_front() {
            let to = self.people.iter().position(|person| {
                person.line.as_ref().is_some_and(|line| line.server == server && line.peer == peer)
            });
            if let Some(who) = to {
                self.take(who, &message);
            }
        }
    }

    /// Everything whose time has come at the servers.
    fn turn(&mut self) {
        for n in 0..INSTANCES {
            let has_peers = self
                .people
                .iter()
                .any(|person| person.line.as_ref().is_some_and(|line| line.server == n))
                || self.dead.iter().any(|(_, server, _)| *server == n);
            let (messages, corrections) = self.servers[n].table.tell_others(has_peers, self.now);
            for message in messages {
                self.servers[n].number += 1;
                let number = self.servers[n].number;
                for other in (0..INSTANCES).filter(|other| *other != n) {
                    let copies = if !self.loses {
                        1
                    } else {
                        [0, 1, 1, 1, 1, 2][self.random.random_range(0..6)]
                    };
                    for _ in 0..copies {
                        self.servers[other].inbox.push((n, number, message.clone()));
                    }
                }
            }
            for (peer, message) in corrections {
                self.posts.push_back((n, peer, message));
            }
            let shown = self.servers[n].table.take_changes();
            let peers: Vec<PeerId> = self
                .people
                .iter()
                .filter_map(|person| person.line.as_ref())
                .filter(|line| line.server == n && Some(line.peer) != shown.only_from)
                .map(|line| line.peer)
                .collect();
            for message in shown.messages {
                for &peer in &peers {
                    self.posts.push_back((n, peer, message.clone()));
                }
            }
        }
        self.deliver_posts();
    }

    fn deliver_bus(&mut self) {
        for n in 0..INSTANCES {
            let mut inbox = std::mem::take(&mut self.servers[n].inbox);
            if self.loses && inbox.len() > 1 && self.random.random_bool(0.3) {
                let (a, b) = (
                    self.random.random_range(0..inbox.len()),
                    self.random.random_range(0..inbox.len()),
                );
                inbox.swap(a, b);
            }
            let keep = if self.loses && self.random.random_bool(0.3) { inbox.len() / 2 } else { 0 };
            let later = inbox.split_off(inbox.len() - keep);
            for (from, number, message) in inbox {
                let from = InstanceId(from as u64);
                let corrections = self.servers[n]
                    .table
                    .hear(from, number, &message, self.now)
                    .expect("it can be read");
                for (peer, message) in corrections {
                    self.posts.push_back((n, peer, message));
                }
            }
            self.servers[n].inbox.splice(0..0, later);
        }
        self.deliver_posts();
    }

    fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            let step = (end - self.now).min(1_000);
            let swept = self.now / SWEEP;
            self.now += step;
            let now = self.now;
            let (due, dead) = self.dead.drain(..).partition(|(at, ..)| *at <= now);
            self.dead = dead;
            let due: Vec<(Millis, usize, PeerId)> = due;
            for (_, server, peer) in due {
                self.servers[server].table.leave(peer, now);
            }
            for who in 0..CLIENTS {
                if now.saturating_sub(self.people[who].changed_at) >= RENEWAL {
                    self.people[who].clock += 1;
                    self.people[who].changed_at = now;
                    self.announce(who);
                }
            }
            if now / SWEEP != swept {
                self.servers.iter_mut().for_each(|server| server.table.expire(now));
            }
            self.turn();
            self.deliver_bus();
            self.turn();
        }
    }

    fn operate(&mut self) {
        let who = self.random.random_range(0..CLIENTS);
        match self.random.random_range(0..10) {
            0..2 if self.people[who].line.is_none() => self.connect(who),
            2..4 => {
                let noticed = self.random.random_bool(0.6);
                self.lose_line(who, noticed);
                // Most come back at once.
                if self.random.random_bool(0.7) {
                    self.connect(who);
                }
            }
            4..7 => self.change(who),
            7 => self.turn(),
            8 => self.deliver_bus(),
            _ => {
                let time = self.random.random_range(1..8_000);
                self.pass(time);
            }
        }
        self.deliver_posts();
    }

    /// Who is really there.
    fn truth(&self) -> BTreeMap<ClientId, String> {
        self.people
            .iter()
            .filter(|person| person.line.is_some())
            .map(|person| (person.me, person.state.clone()))
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        let truth = self.truth();
        for (n, server) in self.servers.iter().enumerate() {
            let live: BTreeMap<ClientId, String> = server
                .table
                .table
                .iter()
                .filter_map(|(&client, known)| Some((client, known.state.as_deref()?.to_owned())))
                .collect();
            if live != truth {
                return Err(format!("server {n} has {live:?}, and not {truth:?}"));
            }
            let owned = server.table.table.values();
            let elsewhere = owned.filter(|known| matches!(known.owner, Some(Owner::Instance(_))));
            if elsewhere.count() != server.table.elsewhere() {
                return Err(format!("server {n} has miscounted"));
            }
        }
        for person in self.people.iter().filter(|person| person.line.is_some()) {
            let mut sees: BTreeMap<ClientId, String> = person
                .seen
                .iter()
                .filter_map(|(&client, (_, state))| Some((client, state.clone()?)))
                .collect();
            sees.insert(person.me, person.state.clone());
            if sees != truth {
                return Err(format!("{:?} sees {sees:?}, and not {truth:?}", person.me));
            }
        }
        Ok(())
    }
}

fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    for _ in 0..OPERATIONS {
        world.operate();
    }
    world.loses = false;
    // Dead sockets are noticed, an instance whose last words were lost is given up, everybody has renewed.
    world.pass(HALF_OPEN + 2 * HEARTBEAT);
    world.check()?;
    // From here on whoever moves is seen at once by everyone, and sees everyone.
    for who in 0..CLIENTS {
        let noticed = world.random.random_bool(0.5);
        let before = world.people[who].line.as_ref().map_or(0, |line| line.server);
        world.lose_line(who, noticed);
        world.pass(1_000);
        // At the server that still believes in the dead socket it would have to wait (P73).
        let elsewhere = world.random.random_range(1..INSTANCES);
        world.connect_to(who, (before + elsewhere) % INSTANCES);
        world.deliver_posts();
        world.pass(4_000);
        world.check().map_err(|why| format!("after {who} has moved: {why}"))?;
    }
    Ok(())
}

#[test]
fn everyone_agrees_once_the_faults_are_over() {
    for seed in 0..SEEDS {
        if let Err(why) = run(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}
