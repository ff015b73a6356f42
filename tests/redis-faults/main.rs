//! What happens to several servers on one Redis, and to what people were told is saved, when a part of it fails?
//!
//! Everything here is real: the servers, Redis, the sockets between them. Each test is named after what goes wrong. `make redis-faults
//! ROUNDS=20` does all of it more often.

mod away;
mod compacting;
mod harness;
mod leaving;
mod parted;
mod refusing;
mod rewound;

use commonplace_tests::Client;
use commonplace_tests::fleet::{Saves, sync};
use commonplace_tests::instances::Instances;
use commonplace_tests::person::{Dialect, Person};
use commonplace_tests::process::{dial, send};
use commonplace_tests::proxy::FaultProxy;
use commonplace_tests::redis::url;
use futures_util::future::join_all;
use rand::Rng;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What was on its way when something failed has arrived by then, one after the other.
const IN_FLIGHT: Duration = Duration::from_millis(400);
const STOPS: Duration = Duration::from_secs(3);

/// After trouble has ended, words are saved again within this time.
const SAVED_AGAIN: Duration = Duration::from_secs(5);

/// The document that tests with one document use.
const DOCUMENT: &str = "note-0";

/// A proxy for each of so many servers.
async fn proxies(count: usize, upstream: SocketAddr) -> Vec<FaultProxy> {
    join_all((0..count).map(|_| FaultProxy::to(upstream))).await
}

/// Servers that each have a proxy of their own.
async fn behind(proxies: &[FaultProxy]) -> Instances {
    let addresses: Vec<String> = proxies.iter().map(|proxy| url(proxy.address)).collect();
    Instances::start(&addresses).await
}

/// Someone in the document, at this server.
async fn seat(id: u64, dialect: Dialect, address: SocketAddr) -> (Person, Client) {
    let mut person = Person::new(id, dialect, DOCUMENT);
    let mut client = dial(address, &person.path()).await.expect("the server lets people in");
    sync(&mut person, &mut client).await;
    (person, client)
}

/// They write one more mark.
async fn write(person: &mut Person, client: &mut Client, random: &mut impl Rng) {
    let message = person.write(random);
    assert!(send(client, message).await, "the server reads");
}

/// Nobody is told any more that something is saved, but for what was on its way, for at least so long.
async fn saving_stops(saves: &Saves, duration: Duration) {
    let stops = async { while timeout(IN_FLIGHT, saves.reach(saves.count() + 1)).await.is_ok() {} };
    let stopped = timeout(STOPS, stops).await;
    assert!(stopped.is_ok(), "people are told that something is saved, {STOPS:?} later");
    let more = timeout(duration, saves.reach(saves.count() + 1)).await;
    assert!(more.is_err(), "somebody was told that something is saved");
}

/// So many more saves are told of, within this time.
async fn saved_within(saves: &Saves, more: u64, duration: Duration) {
    let until = saves.count() + more;
    let reached = timeout(duration, saves.reach(until)).await;
    assert!(reached.is_ok(), "{} saves are missing after {duration:?}", until - saves.count());
}
