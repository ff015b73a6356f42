//! How do thousands of clients fit into one thread?
//!
//! One loop waits for the kernel, reads what has come into one shared buffer, looks at it there, and types when somebody is due. No client
//! has a task, a timer or a buffer of its own (but for a message that came in part), so the load's core keeps up with the server's.

mod client;
mod figures;

use crate::clock::now;
use crate::dialect::{Dialect, Heard};
use crate::edits::{character, client_id, cursor, line_units, lines};
use crate::ledger::Memo;
use crate::server::Endpoint;
use crate::{Outcome, machine};
use client::{Came, Client};
pub use figures::{Figures, Tally};
use mio::{Events, Interest, Poll, Token};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// What one read may bring. Bytes.
const BUFFER: usize = 256 * 1024;

/// Handshakes under way at once: more would only wait in the kernel's queue.
const ARRIVING: usize = 100;

/// How long one look at the kernel may take when nobody is due.
const LOOK: Duration = Duration::from_millis(50);

/// A server that is told nothing for so long has lost something.
const PATIENCE: Duration = Duration::from_secs(20);

/// However slowly it arrives: what has not come after this is missing.
const LAST_CALL: Duration = Duration::from_secs(30);

/// A client that was sent away with "too many at once" comes back after this.
const COME_BACK: Duration = Duration::from_millis(200);

/// Nobody types like a metronome: pauses vary by this part of the mean, up and down.
const UNEVEN: f64 = 0.5;

/// Who is there, and what they do.
#[derive(Clone, Debug)]
pub struct Cast {
    /// What the documents' names begin with.
    pub name: String,
    /// How many documents.
    pub rooms: usize,
    /// Clients in each.
    pub clients: usize,
    /// How many of them write. Always fewer than there are clients, as one begins the text.
    pub writers: usize,
    /// Edits a second of each writer.
    pub rate: f64,
    /// Whether a caret is sent with each edit.
    pub cursors: bool,
    /// Whether clients keep the updates they get.
    pub keep: bool,
}

/// One document, as the load knows it.
#[derive(Debug)]
struct Room {
    name: String,
    /// For each author and each of their edits: when it was sent, in nanoseconds of the crowd's time.
    sent: Vec<Vec<u64>>,
}

/// All clients of one run.
#[derive(Debug)]
pub struct Crowd {
    poll: Poll,
    events: Events,
    endpoint: Endpoint,
    cast: Cast,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    memo: Memo,
    tally: Tally,
    began: Instant,
    /// Who types next, and when. Empty while nobody does.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    /// Who comes next, and not before when.
    arrivals: VecDeque<(u64, usize)>,
    arriving: usize,
    synced: usize,
    random: StdRng,
    buffer: Box<[u8]>,
    /// Bytes that were not taken at once, and a scratch for those that are made.
    scratch: Vec<u8>,
}

impl Crowd {
    /// A crowd that has not come yet.
    pub fn new(endpoint: &Endpoint, cast: Cast) -> Outcome<Self> {
        let room = |n| Room {
            name: format!("{}-{n}", cast.name),
            sent: vec![Vec::new(); cast.writers + 1],
        };
        let rooms: Vec<Room> = (0..cast.rooms).map(room).collect();
        let clients = (0..cast.rooms * cast.clients)
            .map(|n| Client::new(n / cast.clients, n % cast.clients, cast.writers + 1, cast.keep))
            .collect();
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            endpoint: endpoint.clone(),
            cast,
            clients,
            rooms,
            memo: Memo::default(),
            tally: Tally::default(),
            began: now(),
            due: BinaryHeap::new(),
            arrivals: VecDeque::new(),
            arriving: 0,
            synced: 0,
            random: StdRng::seed_from_u64(1),
            buffer: vec![0; BUFFER].into(),
            scratch: Vec::new(),
        })
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn dialect(&self) -> Dialect {
        self.endpoint.dialect
    }

    /// Everybody connects, so many a second, and is in when the server has told them all it has.
    pub fn gather(&mut self, per_second: u32) -> Outcome<()> {
        let first = self.nanos();
        let gap = 1_000_000_000 / u64::from(per_second);
        self.arrivals = (0..self.clients.len()).map(|n| (first + gap * n as u64, n)).collect();
        let coming = Duration::from_nanos(gap * self.clients.len() as u64);
        let everybody = self.clients.len();
        self.run_until(coming + PATIENCE, |crowd| crowd.synced >= everybody)?;
        match self.clients.iter().find_map(|client| client.ended.as_ref()) {
            _ if self.synced >= everybody => Ok(()),
            Some(why) => {
                Err(format!("{} of {everybody} came in; one was sent away: {why}", self.synced)
                    .into())
            }
            None => Err(format!("only {} of {everybody} came in", self.synced).into()),
        }
    }

    /// In each room the first client that does not write begins the text; returns when everybody has it.
    pub fn begin_texts(&mut self) -> Outcome<()> {
        let (writers, author) = (self.cast.writers, self.cast.writers);
        let units = line_units(writers);
        for room in 0..self.rooms.len() {
            let update = lines(client_id(room, author), writers);
            let now = self.nanos();
            if let Some(sent) = self.rooms[room].sent.get_mut(author) {
                sent.resize(units as usize, now);
            }
            self.send_update(room * self.cast.clients + author, &update, now)?;
        }
        let has_it = |client: &Client| client.seat == author || client.seen.next(author) == units;
        self.run_until(PATIENCE, |crowd| crowd.clients.iter().all(has_it))?;
        let without = self.clients.iter().filter(|client| !has_it(client)).count();
        if without == 0 {
            Ok(())
        } else {
            Err(format!("{without} clients never got the text's beginning").into())
        }
    }

    /// All writers begin, each at a moment of their own.
    pub fn start_typing(&mut self) {
        let first = self.nanos();
        let pause = self.pause();
        for (n, client) in self.clients.iter().enumerate() {
            if client.seat < self.cast.writers && client.ended.is_none() {
                self.due.push(Reverse((first + self.random.random_range(0..pause), n)));
            }
        }
    }

    fn pause(&self) -> u64 {
        (1e9 / self.cast.rate) as u64
    }

    /// Nobody types any more.
    pub fn stop_typing(&mut self) {
        self.due.clear();
    }

    /// What is counted is counted from here.
    pub fn open_window(&mut self, pid: i32) -> Outcome<()> {
        let ever = self.tally.delivered_ever;
        self.tally = Tally::open(self.nanos(), machine::cpu_of(pid)?)?;
        self.tally.delivered_ever = ever;
        Ok(())
    }

    /// What has been counted since.
    pub fn close_window(&mut self, pid: i32) -> Outcome<()> {
        let now = self.nanos();
        self.tally.close(now, machine::cpu_of(pid)?)
    }

    /// Waits until everybody has everything, or nothing has arrived for so long; how that went.
    pub fn settle(&mut self, patience: Duration) -> Outcome<Figures> {
        let mut before = None;
        let since = now();
        loop {
            let at = self.tally.delivered_ever;
            if before == Some(at) || since.elapsed() > LAST_CALL {
                break;
            }
            before = Some(at);
            if self.run_until(patience, |crowd| crowd.missing() == 0)? {
                break;
            }
        }
        let ended = self.clients.iter().filter(|client| client.ended.is_some()).count();
        let why = self.clients.iter().find_map(|client| client.ended.clone());
        let duplicated = self.clients.iter().map(|client| client.seen.duplicated).sum();
        Ok(self.tally.figures(self.missing(), duplicated, ended, why))
    }

    fn missing(&self) -> u64 {
        let of = |client: &Client| -> u64 {
            let sent = self.rooms[client.room].sent.iter().enumerate();
            sent.filter(|(seat, _)| *seat != client.seat)
                .map(|(seat, sent)| client.seen.missing(seat, sent.len() as u32))
                .sum()
        };
        self.clients.iter().map(of).sum()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, how_long: Duration) -> Outcome<()> {
        self.run_until(how_long, |_| false).map(drop)
    }

    /// Lets time pass until something is so; whether it became so.
    pub fn run_until(&mut self, at_most: Duration, so: impl Fn(&Self) -> bool) -> Outcome<bool> {
        let until = self.nanos() + at_most.as_nanos() as u64;
        // Looking is expensive with thousands of clients: not more often than the clock ticks.
        let mut next_look = 0;
        loop {
            let now = self.nanos();
            if now >= next_look {
                if so(self) {
                    return Ok(true);
                }
                let took = self.nanos() - now;
                next_look = now + took * 20;
            }
            if now >= until {
                return Ok(false);
            }
            self.turn(until.min(now + LOOK.as_nanos() as u64))?;
        }
    }

    /// One look at the kernel, and everything that follows from it.
    fn turn(&mut self, until: u64) -> Outcome<()> {
        let arrival = self.arrivals.front().filter(|_| self.arriving < ARRIVING).map(|(at, _)| *at);
        let typing = self.due.peek().map(|Reverse((at, _))| *at);
        let wake = [Some(until), arrival, typing].into_iter().flatten().min().unwrap_or(until);
        let wait = Duration::from_nanos(wake.saturating_sub(self.nanos()));
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            polled => polled?,
        }
        for event in &events {
            let n = event.token().0;
            if event.is_writable() {
                self.clients[n].flush();
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(n)?;
            }
            // A crowd that floods us must not keep anybody from typing.
            self.type_what_is_due()?;
        }
        self.events = events;
        self.type_what_is_due()?;
        self.let_in()
    }

    fn let_in(&mut self) -> Outcome<()> {
        let now = self.nanos();
        while self.arriving < ARRIVING
            && let Some((_, n)) = self.arrivals.pop_front_if(|(at, _)| *at <= now)
        {
            let path = self.endpoint.path(&self.rooms[self.clients[n].room].name);
            let stream = self.clients[n].connect(self.endpoint.address, &path, now)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(stream, Token(n), interest)?;
            self.arriving += 1;
        }
        Ok(())
    }

    fn type_what_is_due(&mut self) -> Outcome<()> {
        while let Some(Reverse((at, _))) = self.due.peek() {
            let now = self.nanos();
            if *at > now {
                return Ok(());
            }
            let Some(Reverse((at, n))) = self.due.pop() else { return Ok(()) };
            self.tally.was_late(now - at);
            if self.clients[n].ended.is_none() {
                self.type_one(n)?;
                let uneven = self.random.random_range(1.0 - UNEVEN..1.0 + UNEVEN);
                self.due.push(Reverse((at + (self.pause() as f64 * uneven) as u64, n)));
            }
        }
        Ok(())
    }

    /// One character of this writer, and its caret where the cast says so.
    pub fn type_one(&mut self, n: usize) -> Outcome<()> {
        let (room, seat) = (self.clients[n].room, self.clients[n].seat);
        let (writer, author) = (client_id(room, seat), client_id(room, self.cast.writers));
        let clock = self.rooms[room].sent[seat].len() as u32;
        let mut update = std::mem::take(&mut self.scratch);
        update.clear();
        character(&mut update, writer, clock, author, seat);
        if self.cast.cursors {
            let caret = cursor(writer, clock + 1, clock);
            let caret = self.dialect().presence(&self.rooms[room].name, &caret);
            self.clients[n].queue(&caret);
        }
        let now = self.nanos();
        self.rooms[room].sent[seat].push(now);
        self.tally.sent(now);
        self.send_update(n, &update, now)?;
        self.scratch = update;
        Ok(())
    }

    /// An update of this client, made elsewhere.
    pub fn send_update(&mut self, n: usize, update: &[u8], now: u64) -> Outcome<()> {
        let dialect = self.dialect();
        let client = &mut self.clients[n];
        let name = &self.rooms[client.room].name;
        client.queue(&dialect.update(name, update));
        client.unacknowledged.push_back(now);
        if let Some(receipt) = dialect.receipt(client.unacknowledged.len() as u8) {
            client.queue(&receipt);
        }
        client.flush();
        Ok(())
    }

    fn read(&mut self, n: usize) -> Outcome<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            match self.clients[n].read(&mut buffer) {
                Came::Nothing => break,
                Came::Bytes { len, drained } => {
                    self.look_at(n, &buffer[..len])?;
                    if drained {
                        break;
                    }
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Takes messages off the front of what a client has got, and keeps the rest.
    fn look_at(&mut self, n: usize, bytes: &[u8]) -> Outcome<()> {
        let now = self.nanos();
        let Some(joined) = self.clients[n].join(bytes) else { return Ok(()) };
        let mut rest: &[u8] = joined.as_deref().unwrap_or(bytes);
        if self.clients[n].is_shaking_hands() {
            match self.clients[n].hands_shaken(rest) {
                Ok(None) => {
                    self.clients[n].keep(rest, rest.len() + 1);
                    return Ok(());
                }
                Ok(Some(used)) => {
                    rest = &rest[used..];
                    self.say_hello(n);
                }
                Err(503) => {
                    self.arriving -= 1;
                    self.clients[n].go_away();
                    self.arrivals.push_back((now + COME_BACK.as_nanos() as u64, n));
                    return Ok(());
                }
                Err(status) => {
                    self.clients[n].end(format!("HTTP status {status}"));
                    return Ok(());
                }
            }
        }
        while let Some((message, used)) = self.clients[n].next_message(rest) {
            if let Some(message) = message {
                self.tally.frame(message.len(), now);
                if let Err(why) = self.hear(n, message, now) {
                    self.clients[n].end(why.to_string());
                    return Ok(());
                }
            }
            rest = &rest[used..];
        }
        Ok(())
    }

    fn say_hello(&mut self, n: usize) {
        let client = &mut self.clients[n];
        let name = &self.rooms[client.room].name;
        for message in self.endpoint.dialect.hello(name) {
            client.queue(&message);
        }
        client.flush();
    }

    fn hear(&mut self, n: usize, message: &[u8], now: u64) -> Outcome<()> {
        match self.endpoint.dialect.hear(message)? {
            Heard::Question => {
                let client = &mut self.clients[n];
                let answer = self.endpoint.dialect.answer(&self.rooms[client.room].name);
                client.queue(&answer);
                client.flush();
                if self.endpoint.dialect == Dialect::Hocuspocus {
                    // Answered by a status of its own, like an edit.
                    client.unacknowledged.push_back(0);
                }
            }
            Heard::Synced(update) => {
                let client = &mut self.clients[n];
                if client.synced_after.is_none() {
                    client.synced_after = Some(now - client.came_at);
                    self.synced += 1;
                    self.arriving -= 1;
                }
                self.arrived(n, update, now)?;
            }
            Heard::Update(update) => self.arrived(n, update, now)?,
            Heard::Presence => self.tally.presence(now),
            Heard::Status(true) | Heard::Echo => {
                let client = &mut self.clients[n];
                client.acknowledged(1, |sent| self.tally.acknowledged(sent, now));
            }
            Heard::Status(false) => return Err("an update was refused".into()),
            Heard::Other => {}
        }
        Ok(())
    }

    fn arrived(&mut self, n: usize, update: &[u8], now: u64) -> Outcome<()> {
        let client = &mut self.clients[n];
        if let Some(kept) = &mut client.kept {
            kept.push(update.into());
        }
        self.tally.update(now);
        let spans = self.memo.spans(update)?;
        for span in spans.iter() {
            if span.room != client.room {
                return Err("an edit of another document came".into());
            }
            if span.seat != client.seat {
                let sent = self.rooms[span.room].sent.get(span.seat);
                let tally = &mut self.tally;
                client.seen.note(span, |from, to| tally.delivered(from, to, sent, now));
            } else if self.endpoint.dialect == Dialect::YWebsocket {
                client
                    .acknowledged(span.end - span.start, |sent| self.tally.acknowledged(sent, now));
            }
        }
        Ok(())
    }

    /// All clients, for rows that look at more than figures.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }
}
