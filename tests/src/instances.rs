//! How do several servers share one Redis, while people move between them?
//!
//! Each instance is a process of its own with a folder of its own. People know all of them, as behind a load balancer: whoever loses an
//! instance goes to the next one, with everything that was not saved, as the published clients do.

use crate::fleet::{Saves, fresh, hear_until, sync};
use crate::person::{Dialect, Mark, Person, check_kept};
use crate::process::{Ended, Launch, Process, dial, send};
use crate::{Client, patiently};
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
use tokio::time::{Instant, sleep_until, timeout};
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

    /// For people who come before the next one is started, and learn of it.
    #[must_use]
    pub fn open(&self) -> watch::Receiver<Vec<Option<SocketAddr>>> {
        self.open.subscribe()
    }

    /// What one says about itself, in Prometheus' words.
    pub async fn metrics(&self, n: usize) -> String {
        ask(self.address(n), "/metrics").await.1
    }

    /// The sum of a metric over all its labels; 0 when it was never touched.
    pub async fn metric(&self, n: usize, name: &str) -> f64 {
        let text = self.metrics(n).await;
        let of_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
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
    /// every instance, have the same document. After a restart of everything strangers find it again.
    ///
    /// # Panics
    /// When something acknowledged or seen is missing, there twice, or back from the dead; when anybody has another document than the others.
    pub async fn settle(&mut self, people: &mut [Person]) {
        for n in 0..self.places.len() {
            if self.places[n].process.is_none() {
                self.restart(n).await;
            }
        }
        come_together(people, &self.addresses()).await;
        self.check(people).await;
        self.restart_all().await;
        self.check(people).await;
        let (written, saved) = counts(people);
        assert_eq!(written, saved, "in the end everything is saved");
        assert!(written > 0, "somebody wrote");
    }

    /// Strangers on every instance find what was acknowledged and seen, and all find the same.
    ///
    /// # Panics
    /// See [`Instances::settle`].
    pub async fn check(&self, people: &[Person]) {
        let documents: BTreeSet<&str> =
            people.iter().map(|person| person.document.as_str()).collect();
        for document in documents {
            let mut first: Option<(BTreeMap<u64, u32>, Vec<Mark>)> = None;
            for (n, address) in self.addresses().into_iter().enumerate() {
                let dialect = if n % 2 == 0 { Dialect::Hocuspocus } else { Dialect::YWebsocket };
                let found = fresh(address, document, dialect).await;
                check_kept(people, &found);
                let found = (found.knows(), found.elements());
                let first = first.get_or_insert_with(|| found.clone());
                assert_eq!(found.0, first.0, "instance {n} knows something else");
                assert!(found.1 == first.1, "instance {n} shows something else");
            }
        }
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for n in 0..self.places.len() {
                let log = self.log(n);
                let from = log.char_indices().rev().nth(LOG_SHOWN).map_or(0, |(at, _)| at);
                println!("--- instance {n} ---\n{}", &log[from..]);
            }
        }
        self.places.clear();
        // The folder goes last: they write into it.
        let _ = &self.folder;
    }
}

/// All marks of these people: how many were written, and how many of them are saved.
#[must_use]
pub fn counts(people: &[Person]) -> (u32, u32) {
    let add = |(written, saved), person: &Person| (written + person.written, saved + person.saved);
    people.iter().fold((0, 0), add)
}

/// Asks for a page; its status and its text.
async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = patiently("a page", asking).await.expect("the server answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

/// People who write while something happens.
#[derive(Debug)]
pub struct Crowd {
    /// Everybody.
    pub people: Vec<Person>,
    /// How many saves they were told of.
    pub saves: Saves,
    seed: u64,
}

impl Crowd {
    /// So many, half of each dialect, over so many documents.
    #[must_use]
    pub fn new(count: u64, documents: u64, seed: u64) -> Self {
        Self { people: crate::fleet::writers(count, documents), saves: Saves::default(), seed }
    }

    /// They write, each beginning at an instance of its own, until the script has been played.
    pub async fn write_during<T>(
        &mut self,
        open: &watch::Receiver<Vec<Option<SocketAddr>>>,
        script: impl AsyncFnOnce(&Saves) -> T,
    ) -> T {
        self.seed = self.seed.wrapping_add(1);
        let (over, is_over) = watch::channel(false);
        let (saves, seed) = (&self.saves, self.seed);
        let writing = join_all(self.people.iter_mut().enumerate().map(|(n, person)| {
            let (open, is_over) = (open.clone(), is_over.clone());
            write(person, n, open, is_over, saves, seed)
        }));
        let script = async {
            let outcome = script(saves).await;
            // Whoever writes listens.
            over.send_replace(true);
            outcome
        };
        tokio::join!(writing, script).1
    }
}

/// Connects, syncs and writes at one instance after the other, until it is over.
async fn write(
    person: &mut Person,
    first: usize,
    mut open: watch::Receiver<Vec<Option<SocketAddr>>>,
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
async fn write_here(
    person: &mut Person,
    address: SocketAddr,
    random: &mut StdRng,
    saves: &Saves,
) {
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

/// All come back, spread over these instances, and stay until every word is saved and everybody has the same document.
///
/// # Panics
/// When they do not agree in the end.
pub async fn come_together(people: &mut [Person], addresses: &[SocketAddr]) {
    let all = people.iter_mut().enumerate().map(|(n, person)| async move {
        let address = addresses[n % addresses.len()];
        let mut client = dial(address, &person.path()).await.expect("the server lets people in");
        sync(person, &mut client).await;
        let is_saved = |person: &Person| person.unsaved() == 0 && !person.unsynced_provider();
        hear_until(person, &mut client, is_saved).await;
        (person, client)
    });
    let mut all = join_all(all).await;
    // Everything is saved now, so the document is final; it may still be on its way to some.
    let mut finals: Vec<Person> = Vec::new();
    for (person, client) in &mut all {
        if !finals.iter().any(|last| last.document == person.document) {
            finals.push(fresh(addresses[0], &person.document, Dialect::YWebsocket).await);
        }
        let last = finals.iter().find(|last| last.document == person.document);
        let last = last.expect("it has just been opened");
        hear_until(person, client, |person| person.elements() == last.elements()).await;
        assert_eq!(person.knows(), last.knows(), "{} knows something else", person.id);
    }
}
