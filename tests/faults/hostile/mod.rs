//! Whatever is sent to the server, and however, costs only its sender.
//!
//! Each test attacks a server of its own while ten pairs of people edit in five documents. Every edit of theirs has to be saved and to reach the
//! other within seconds, all of them agree in the end, and the server's memory stays bounded.

mod dead;
mod floods;
mod frames;
mod presence;
mod updates;

use commonplace_tests::fleet::{come_together, fresh, hear_until, sync};
use commonplace_tests::person::{Dialect, Person, check_kept};
use commonplace_tests::process::{Launch, Process, dial, send};
use commonplace_tests::{Client, PATIENCE};
use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval};

const PAIRS: u64 = 10;

/// Two pairs in each.
pub(crate) const DOCUMENTS: u64 = 5;

/// How fast a pair takes turns when nothing is in its way.
const TURN_EVERY: Duration = Duration::from_millis(40);

/// Even the shortest attack meets this many turns of each pair.
const FEWEST_TURNS: u64 = 10;

/// From writing to the other's eyes, on a machine that is busy with other tests as well.
const LONGEST_TURN: Duration = Duration::from_secs(8);

/// What any attack may make the server hold beyond what it held before: a few messages of the largest size under way. Bytes.
const MOST_GROWTH: u64 = 96 * 1024 * 1024;

/// A server under attack.
pub(crate) struct Scene {
    pub(crate) server: Process,
    folder: TempDir,
}

impl Scene {
    /// With these words on its command line.
    pub(crate) async fn with(words: &[&str]) -> Self {
        Self::under(&[], words).await
    }

    /// The same under another program.
    pub(crate) async fn under(wrapper: &[&str], words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let launch = Launch::under(wrapper, &folder.path().join("data"));
        let launch = words.iter().fold(launch, |launch, word| launch.arg(word));
        Self { server: launch.start().await, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Lets the pairs edit until the attack is over, and longer; then looks what is left, now and after a restart.
    pub(crate) async fn attack<T>(self, attack: impl Future<Output = T>) -> T {
        self.attack_within(MOST_GROWTH, attack).await
    }

    /// The same for an attack that must not cost so much memory.
    pub(crate) async fn attack_within<T>(self, most: u64, attack: impl Future<Output = T>) -> T {
        let address = self.address();
        let is_over = Cell::new(false);
        let mut pairs = Vec::new();
        for number in 0..PAIRS {
            pairs.push(Pair::open(number, address).await);
        }
        let before = self.server.most_resident();
        let attack = async {
            let outcome = attack.await;
            is_over.set(true);
            outcome
        };
        let editing = join_all(pairs.into_iter().map(|pair| pair.take_turns(&is_over)));
        let (outcome, pairs) = tokio::join!(attack, editing);
        let growth = self.server.most_resident().saturating_sub(before);
        println!("grew by {} KiB", growth / 1024);
        assert!(growth < most, "the server grew by {growth} bytes");

        let mut people: Vec<Person> = pairs.into_iter().flatten().collect();
        come_together(&mut people, address).await;
        self.server.kill().await;
        let again = Launch::new(&self.folder.path().join("data")).start().await;
        for document in 0..DOCUMENTS {
            let kept = fresh(again.address, &name(document), Dialect::Hocuspocus).await;
            check_kept(&people, &kept);
        }
        outcome
    }
}

/// The documents of the pairs. Attackers may be in them too.
pub(crate) fn name(document: u64) -> String {
    format!("note-{document}")
}

struct Pair {
    people: [Person; 2],
    sockets: [Client; 2],
    random: StdRng,
}

impl Pair {
    async fn open(number: u64, address: SocketAddr) -> Self {
        let document = name(number % DOCUMENTS);
        // Two providers, two y-websocket clients, or one of each.
        let dialect = |n| if n % 2 == 0 { Dialect::Hocuspocus } else { Dialect::YWebsocket };
        let mut people = [
            Person::new(2000 + 2 * number, dialect(number), &document),
            Person::new(2001 + 2 * number, dialect(number / 2), &document),
        ];
        let mut sockets = Vec::new();
        for person in &mut people {
            let mut socket = dial(address, &person.path()).await.expect("a socket");
            sync(person, &mut socket).await;
            sockets.push(socket);
        }
        let sockets = sockets.try_into().expect("one for each");
        Self { people, sockets, random: StdRng::seed_from_u64(number) }
    }

    async fn take_turns(mut self, is_over: &Cell<bool>) -> [Person; 2] {
        let mut pace = interval(TURN_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turns = 0;
        while turns < FEWEST_TURNS || !is_over.get() {
            pace.tick().await;
            let since = Instant::now();
            let [writer, reader] = &mut self.people;
            let [writers_socket, readers_socket] = &mut self.sockets;
            let message = writer.write(&mut self.random);
            assert!(send(writers_socket, message).await, "the server reads");
            hear_until(writer, writers_socket, |writer| writer.unsaved() == 0).await;
            let written = Some(&writer.written);
            let has_seen = |reader: &Person| reader.knows().get(&writer.id) == written;
            hear_until(reader, readers_socket, has_seen).await;
            assert!(since.elapsed() < LONGEST_TURN, "a turn took {:?}", since.elapsed());
            self.people.reverse();
            self.sockets.reverse();
            turns += 1;
        }
        self.people
    }
}

/// What the server says in its goodbye, whatever it says before; nothing when it has no more patience with us than to hang up.
pub(crate) async fn goodbye(client: &mut Client) -> Option<u16> {
    use commonplace_tests::Said;
    loop {
        match client.next().await {
            Said::Message(_) => {}
            Said::Closed { code, .. } => return Some(code),
            Said::Gone => return None,
        }
    }
}

const _: () = assert!(LONGEST_TURN.as_secs() < PATIENCE.as_secs());
