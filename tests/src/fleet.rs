//! How do many participants write at once, until something happens to the server?

use crate::person::{Dialect, Person};
use crate::process::{dial, send};
use crate::{Client, Said};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::net::SocketAddr;
use tokio::sync::watch;

/// Marks on their way to the server, for each participant.
const WINDOW: u32 = 3;

/// How many saves were reported to the participants so far.
#[derive(Debug, Default)]
pub struct Saves(watch::Sender<u64>);

impl Saves {
    /// How many so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// One more.
    pub fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Resolves when there are that many.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn reach(&self, count: u64) {
        let mut seen = self.0.subscribe();
        drop(crate::patiently("saves", seen.wait_for(|now| *now >= count)).await);
    }
}

/// How a participant's socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server said goodbye with this code.
    Closed(u16),
    /// The socket broke, or never opened.
    Gone,
}

/// Writers, half of each dialect, over so many documents.
#[must_use]
pub fn writers(count: u64, documents: u64) -> Vec<Person> {
    let writer = |n: u64| {
        // Both dialects meet in each document.
        let dialect = if (n / documents).is_multiple_of(2) {
            Dialect::Hocuspocus
        } else {
            Dialect::YWebsocket
        };
        Person::new(1000 + n, dialect, &format!("note {}", n % documents).replace(' ', "-"))
    };
    (0..count).map(writer).collect()
}

/// Connects, syncs, and writes as fast as its words are saved, until the server ends the socket.
pub async fn write_until_the_end(
    person: &mut Person,
    address: SocketAddr,
    saves: &Saves,
    seed: u64,
) -> End {
    let mut random = StdRng::seed_from_u64(seed ^ person.id);
    let Ok(mut client) = dial(address, &person.path()).await else { return End::Gone };
    let mut takes = true;
    let mut first = person.hello();
    if random.random_bool(0.3) {
        // Some type before they are synced.
        first.push(person.write(&mut random));
    }
    for message in first {
        takes = takes && send(&mut client, message).await;
    }
    loop {
        while takes && person.unsaved() < WINDOW {
            let message = match random.random_bool(0.1) {
                true => person.take_back(&mut random),
                false => None,
            };
            let message = message.unwrap_or_else(|| person.write(&mut random));
            takes = send(&mut client, message).await;
        }
        // What had arrived before the socket broke still counts.
        match client.next().await {
            Said::Message(message) => {
                let heard = person.hear(&message);
                assert!(!heard.refused, "an honest edit of {} was refused", person.id);
                if heard.saved {
                    saves.add();
                }
                for answer in heard.answers {
                    takes = takes && send(&mut client, answer).await;
                }
            }
            Said::Closed { code, .. } => return End::Closed(code),
            Said::Gone => return End::Gone,
        }
    }
}

/// Someone who has never been there opens the document and takes in all of it.
///
/// # Panics
/// When that does not work.
pub async fn fresh(address: SocketAddr, document: &str, dialect: Dialect) -> Person {
    let mut person = Person::new(rand::random_range(1 << 32..1 << 52), dialect, document);
    let mut client = dial(address, &person.path()).await.expect("the server lets people in");
    sync(&mut person, &mut client).await;
    person
}

/// Says hello, and takes in everything until the answer is whole.
///
/// # Panics
/// When the socket ends before.
pub async fn sync(person: &mut Person, client: &mut Client) {
    for message in person.hello() {
        assert!(send(client, message).await, "the server reads");
    }
    hear_until(person, client, |person| person.synced).await;
}

/// Takes in messages until something is so.
///
/// # Panics
/// When that takes too long: keep-alives come for ever, and are no progress.
pub async fn hear_until(person: &mut Person, client: &mut Client, is_so: impl Fn(&Person) -> bool) {
    let hearing = async {
        while !is_so(person) {
            hear_one(person, client).await;
        }
    };
    crate::patiently("what a person waits for", hearing).await;
}

/// Takes in one message, and answers it.
///
/// # Panics
/// When the socket ends instead.
pub async fn hear_one(person: &mut Person, client: &mut Client) -> bool {
    let message = client.message().await;
    let heard = person.hear(&message);
    assert!(!heard.refused, "an honest edit of {} was refused", person.id);
    for answer in heard.answers {
        assert!(send(client, answer).await, "the server reads");
    }
    heard.saved
}

/// All come back, and stay until every word is saved and everybody has the same document.
///
/// # Panics
/// When they do not agree in the end.
pub async fn come_together(people: &mut [Person], address: SocketAddr) {
    let all = people.iter_mut().map(|person| async move {
        let mut client = dial(address, &person.path()).await.expect("the server lets people in");
        sync(person, &mut client).await;
        let is_saved = |person: &Person| person.unsaved() == 0 && !person.unsynced_provider();
        hear_until(person, &mut client, is_saved).await;
        (person, client)
    });
    let mut all = futures_util::future::join_all(all).await;
    // Everything is saved now, so the document is final; it may still be on its way to some.
    let mut finals: Vec<Person> = Vec::new();
    for (person, client) in &mut all {
        if !finals.iter().any(|last| last.document == person.document) {
            finals.push(fresh(address, &person.document, Dialect::YWebsocket).await);
        }
        let last = finals.iter().find(|last| last.document == person.document);
        let last = last.expect("it has just been opened").elements();
        hear_until(person, client, |person| person.elements() == last).await;
    }
}
