//! How do several servers share one Redis, while people move between them?
//!
//! Each instance is a process of its own with a folder of its own. People know all of them, as behind a load balancer: whoever loses an
//! instance goes to the next one, with everything that was not saved, as the published clients do.

use crate::fleet::{Saves, sync};
use crate::person::{Dialect, Mark, Person, check_kept};
use crate::process::{Ended, Launch, Process, dial, send};
use crate::{Client, PATIENCE, patiently};
use futures_util::StreamExt;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

/// Marks on their way to the server, for each participant.
const WINDOW: u32 = 3;

/// The longest pause between two marks of a participant: enough marks for trouble, few enough that nobody is busy with reading them.
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// The published clients leave after so long without a message.
const SILENCE: Duration = Duration::from_secs(30);

/// They come back after a pause; theirs grows to seconds.
const COMES_BACK: Duration = Duration::from_millis(400);

/// How much of each log is printed when a test fails. Characters.
const LOG_SHOWN: usize = 6_000;

/// What a failed test needs to be repeated.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("the same choices again: FAULTS_SEED={seed}");
    seed
}

/// How often something is done: a number for every run, and more by `FAULTS_ROUNDS`.
#[must_use]
pub fn rounds(usual: u32) -> u32 {
    let rounds = std::env::var("FAULTS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.map_or(usual, |rounds: u32| usual.saturating_mul(rounds))
}

/// One server, or the place of one.
#[derive(Debug)]
struct Place {
    data: PathBuf,
    redis: String,
    process: Option<Process>,
}

/// Several servers. Killed when dropped; if a test fails, what they logged is printed.
#[derive(Debug)]
pub struct Instances {
    folder: tempfile::TempDir,
    words: Vec<String>,
    places: Vec<Place>,
    /// Where people may go.
    open: watch::Sender<Vec<Option<SocketAddr>>>,
}

impl Instances {
    /// One for each of these addresses of Redis, which may be the same or lead through proxies.
    pub async fn start(redis: &[String]) -> Self {
        Self::with(redis, &[]).await
    }

    /// The same with these words on the command lines as well.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn with(redis: &[String], words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |(n, redis): (usize, &String)| Place {
            data: folder.path().join(format!("instance-{n}")),
            redis: redis.clone(),
            process: None,
        };
        let places: Vec<Place> = redis.iter().enumerate().map(place).collect();
        let mut all = Self {
            open: watch::Sender::new(vec![None; places.len()]),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            places,
            folder,
        };
        for n in 0..redis.len() {
            all.restart(n).await;
        }
        all
    }

    /// Starts one that was killed or has stopped.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self, n: usize) {
        let place = &mut self.places[n];
        assert!(place.process.is_none(), "it still runs");
        let mut launch = Launch::new(&place.data).arg("--redis").arg(&place.redis);
        for word in &self.words {
            launch = launch.arg(word);
        }
        let process = launch.start().await;
        self.open.send_modify(|open| open[n] = Some(process.address));
        place.process = Some(process);
    }

    /// `kill -9`.
    pub async fn kill(&mut self, n: usize) -> Ended {
        let process = self.take(n);
        process.kill().await
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self, n: usize) -> Ended {
        let mut process = self.take(n);
        process.signal(Signal::TERM);
        process.ended().await
    }

    fn take(&mut self, n: usize) -> Process {
        self.open.send_modify(|open| open[n] = None);
        self.places[n].process.take().expect("it runs")
    }

    /// One that runs.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn process(&self, n: usize) -> &Process {
        self.places[n].process.as_ref().expect("it runs")
    }

    /// Where one listens.
    #[must_use]
    pub fn address(&self, n: usize) -> SocketAddr {
        self.process(n).address
    }

    /// All that run.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.borrow().iter().flatten().copied().collect()
    }

    /// Where people may go, now and later.
    #[must_use]
    pub fn open(&self) -> Open {
        self.open.subscribe()
    }

    /// For people who know of one only.
    #[must_use]
    pub fn open_only(&self, n: usize) -> Open {
        watch::Sender::new(vec![Some(self.address(n))]).subscribe()
    }

    /// What one says about itself, in Prometheus' words.
    pub async fn metrics(&self, n: usize) -> String {
        ask(self.address(n), "/metrics").await.1
    }

    /// The sum of a metric over all its labels; 0 when it was never touched.
    pub async fn metric(&self, n: usize, name: &str) -> f64 {
        let text = self.metrics(n).await;
        let of_it =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(of_it).filter_map(value).sum()
    }

    /// Whether one says that it is ready.
    pub async fn is_ready(&self, n: usize) -> bool {
        ask(self.address(n), "/readyz").await.0 == 200
    }

    /// What one has logged, in all its lives.
    #[must_use]
    pub fn log(&self, n: usize) -> String {
        let log = self.places[n].data.with_extension("log");
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// Ends everything at once and starts it again.
    pub async fn restart_all(&mut self) {
        for n in 0..self.places.len() {
            if self.places[n].process.is_some() {
                self.kill(n).await;
            }
        }
        for n in 0..self.places.len() {
            self.restart(n).await;
        }
    }

    /// The oracle. Everybody comes back, spread over the instances, and stays until every word is saved; then all of them, and strangers on
    /// every instance, have the same document. After a restart of everything strangers find it again, at once.
    ///
    /// # Panics
    /// When something is missing, there twice, or back from the dead; when anybody has another document than the others.
    pub async fn settle(&mut self, people: &mut [Person]) {
        for n in 0..self.places.len() {
            if self.places[n].process.is_none() {
                self.restart(n).await;
            }
        }
        let all = Whole::of(people);
        let addresses = self.addresses();
        come_together(people, &addresses, &all).await;
        for (document, whole) in &all {
            for &address in &addresses {
                // It may not have heard of everything yet: nobody there has this document open.
                let (mut stranger, mut client) = stranger(address, document).await;
                become_whole(&mut stranger, &mut client, whole).await;
            }
        }
        self.restart_all().await;
        let mut order = BTreeMap::new();
        for (document, whole) in &all {
            for (n, address) in self.addresses().into_iter().enumerate() {
                let (stranger, _client) = stranger(address, document).await;
                check_kept(people.iter(), &stranger);
                assert!(whole.is_what(&stranger), "{document} is not whole on instance {n}");
                let order = order.entry(document).or_insert_with(|| stranger.elements());
                assert!(*order == stranger.elements(), "{document} has another order on {n}");
            }
        }
        for person in people {
            assert!(
                order[&person.document] == person.elements(),
                "{} has another order",
                person.id
            );
        }
    }
}

/// Someone who has never been there.
async fn stranger(address: SocketAddr, document: &str) -> (Person, Client) {
    let dialect = if rand::random() { Dialect::Hocuspocus } else { Dialect::YWebsocket };
    let mut person = Person::new(rand::random_range(1 << 32..1 << 52), dialect, document);
    let mut client = dial(address, &person.path()).await.expect("the server lets people in");
    sync(&mut person, &mut client).await;
    (person, client)
}

/// What is in a document when everything that these people wrote and took back has arrived.
#[derive(Debug, Default)]
struct Whole {
    knows: BTreeMap<u64, u32>,
    marks: BTreeSet<Mark>,
}

impl Whole {
    /// Of each of their documents.
    fn of(people: &[Person]) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for person in people.iter().filter(|person| person.written > 0) {
            let whole = all.entry(person.document.clone()).or_default();
            whole.knows.insert(person.id, person.written);
            let stays = |clock: &u32| !person.taken_back.contains_key(clock);
            whole.marks.extend((0..person.written).filter(stays).map(|clock| (person.id, clock)));
        }
        assert!(!all.is_empty(), "nobody has written anything");
        all
    }

    fn is_what(&self, person: &Person) -> bool {
        person.knows() == self.knows && person.marks() == self.marks
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for n in 0..self.places.len() {
                // Who came and went is most of it, and says least.
                let log = self.log(n);
                let lines = log.lines().filter(|line| !line.contains(" a connection "));
                let log = lines.collect::<Vec<_>>().join("\n");
                let from = log.char_indices().rev().nth(LOG_SHOWN).map_or(0, |(at, _)| at);
                println!("--- instance {n} ---\n{}", &log[from..]);
            }
        }
        self.places.clear();
        // The folder goes last: they write into it.
        let _ = &self.folder;
    }
}

/// Asks for a page; its status and its text.
async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = patiently("a page", asking).await.expect("the server answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

/// Where people may go now.
pub type Open = watch::Receiver<Vec<Option<SocketAddr>>>;

/// People who write while something happens.
#[derive(Debug)]
pub struct Crowd {
    /// Everybody.
    pub people: Vec<Person>,
    /// How many saves they were told of.
    pub saves: Saves,
    documents: usize,
    seed: u64,
}

impl Crowd {
    /// So many, half of each dialect, over so many documents.
    #[must_use]
    pub fn new(count: u64, documents: u32, seed: u64) -> Self {
        Self::from(1000, count, documents, seed)
    }

    /// The same with ids from here on, for tests with several crowds.
    #[must_use]
    pub fn from(first_id: u64, count: u64, documents: u32, seed: u64) -> Self {
        let person = |n: u64| {
            // Both dialects meet in each document.
            let dialect = match n / u64::from(documents) % 2 {
                0 => Dialect::Hocuspocus,
                _ => Dialect::YWebsocket,
            };
            Person::new(first_id + n, dialect, &format!("note-{}", n % u64::from(documents)))
        };
        let people = (0..count).map(person).collect();
        Self { people, saves: Saves::default(), documents: documents as usize, seed }
    }

    /// They write, each beginning at an instance of its own, until the script has been played.
    pub async fn write_during<T>(
        &mut self,
        open: &Open,
        script: impl AsyncFnOnce(&Saves) -> T,
    ) -> T {
        write_during([(self, open)], async |[saves]| script(saves).await).await
    }
}

/// Several crowds write, each where it may go, until the script has been played.
pub async fn write_during<T, const N: usize>(
    crowds: [(&mut Crowd, &Open); N],
    script: impl AsyncFnOnce([&Saves; N]) -> T,
) -> T {
    let (over, is_over) = watch::channel(false);
    let mut writing = Vec::new();
    let all_saves = crowds.map(|(crowd, open)| {
        let Crowd { people, saves, documents, seed } = crowd;
        *seed = seed.wrapping_add(1);
        for (n, person) in people.iter_mut().enumerate() {
            let (open, is_over) = (open.clone(), is_over.clone());
            writing.push(write(person, n / *documents, open, is_over, saves, *seed));
        }
        &*saves
    });
    let script = async {
        let outcome = script(all_saves).await;
        // Whoever writes listens.
        over.send_replace(true);
        outcome
    };
    tokio::join!(join_all(writing), script).1
}

/// Connects, syncs and writes at one instance after the other, until it is over.
async fn write(
    person: &mut Person,
    first: usize,
    mut open: Open,
    mut is_over: watch::Receiver<bool>,
    saves: &Saves,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed ^ person.id);
    let mut next = first;
    loop {
        let address = {
            let known = open.borrow_and_update();
            let places = (0..known.len()).map(|n| (next + n) % known.len());
            places.into_iter().find_map(|n| Some((n, known[n]?)))
        };
        if let Some((n, address)) = address {
            next = n + 1;
            tokio::select! {
                () = write_here(person, address, &mut random, saves) => {}
                _ = is_over.wait_for(|over| *over) => return,
            }
        }
        let comes_back = Instant::now() + COMES_BACK.mul_f64(random.random_range(0.2..=1.0));
        tokio::select! {
            () = sleep_until(comes_back) => {}
            _ = is_over.wait_for(|over| *over) => return,
        }
    }
}

/// Connects, syncs and writes until the instance ends the socket or has been silent for too long.
async fn write_here(person: &mut Person, address: SocketAddr, random: &mut StdRng, saves: &Saves) {
    let Ok(Ok(mut client)) = timeout(SILENCE / 3, dial(address, &person.path())).await else {
        return;
    };
    for message in person.hello() {
        if !send(&mut client, message).await {
            return;
        }
    }
    let mut writes = Instant::now();
    let mut leaves = Instant::now() + SILENCE;
    loop {
        let message = tokio::select! {
            message = client.socket.next() => message,
            () = sleep_until(writes), if person.unsaved() < WINDOW => {
                writes = Instant::now() + LONGEST_PAUSE.mul_f64(random.random());
                let taken_back =
                    if random.random_bool(0.1) { person.take_back(random) } else { None };
                let message = taken_back.unwrap_or_else(|| person.write(random));
                if !send(&mut client, message).await {
                    return;
                }
                continue;
            }
            () = sleep_until(leaves) => return,
        };
        match message {
            Some(Ok(Message::Binary(message))) => {
                leaves = Instant::now() + SILENCE;
                if !hear(person, &mut client, &message, saves).await {
                    return;
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(_)) => {}
        }
    }
}

/// Takes in one message; whether the socket still takes the answers.
async fn hear(person: &mut Person, client: &mut Client, message: &[u8], saves: &Saves) -> bool {
    let heard = person.hear(message);
    assert!(!heard.refused, "an honest edit of {} was refused", person.id);
    if heard.saved {
        saves.add();
    }
    for answer in heard.answers {
        if !send(client, answer).await {
            return false;
        }
    }
    true
}

/// All come back, spread over these instances, and stay until every word is saved and everybody has all of it.
async fn come_together(
    people: &mut [Person],
    addresses: &[SocketAddr],
    all: &BTreeMap<String, Whole>,
) {
    let all = people.iter_mut().enumerate().map(|(n, person)| async move {
        // Not where they were first.
        let address = addresses[(n / all.len() + 1) % addresses.len()];
        let mut client = dial(address, &person.path()).await.expect("the server lets people in");
        sync(person, &mut client).await;
        let whole = &all[&person.document];
        become_whole(person, &mut client, whole).await;
    });
    join_all(all).await;
}

/// Stays until every word is saved and everything has arrived.
///
/// # Panics
/// When that takes too long, with what is missing.
async fn become_whole(person: &mut Person, client: &mut Client, whole: &Whole) {
    let is_done = |person: &Person| {
        person.unsaved() == 0 && !person.unsynced_provider() && whole.is_what(person)
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_done(person) {
        // Only a test that fails gets there, and then it should say what is missing.
        let Ok(message) = timeout_at(deadline, client.socket.next()).await else {
            let marks: BTreeSet<Mark> = person.elements().into_iter().collect();
            panic!(
                "{} ({:?}) in {} with {} unsaved, unsynced: {}; knows {:?} of {:?}; lacks {:?}; has too much: {:?}",
                person.id,
                person.dialect,
                person.document,
                person.unsaved(),
                person.unsynced_provider(),
                person.knows(),
                whole.knows,
                whole.marks.difference(&marks).collect::<Vec<_>>(),
                marks.difference(&whole.marks).collect::<Vec<_>>(),
            )
        };
        match message {
            Some(Ok(Message::Binary(message))) => {
                let answers = person.hear(&message).answers;
                for answer in answers {
                    assert!(send(client, answer).await, "the server reads");
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => panic!("the socket has ended"),
            Some(Ok(_)) => {}
        }
    }
}
