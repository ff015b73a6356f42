//! Several servers shorten the same log at once, also behind the back of one that is far behind.

use crate::{DOCUMENT, behind, proxies, seat, write};
use commonplace_tests::Client;
use commonplace_tests::fleet::{fresh, hear_until};
use commonplace_tests::instances::{Instances, rounds, seed};
use commonplace_tests::person::{Dialect, Person, check_kept};
use commonplace_tests::redis::{RedisServer, eventually};
use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::Signal;
use std::time::Duration;

/// A server shortens a log of so many entries.
const LONG: u64 = 500;

/// Marks of one person on their way to the server.
const WINDOW: u32 = 40;

/// They write so many marks each, as fast as they are saved, one entry after the other.
async fn write_many(people: &mut [(Person, Client)], marks: u32, seed: u64) {
    let all = people.iter_mut().map(|(person, client)| async move {
        let mut random = StdRng::seed_from_u64(seed ^ person.id);
        let until = person.written + marks;
        while person.written < until {
            write(person, client, &mut random).await;
            let saved = person.written.saturating_sub(WINDOW);
            hear_until(person, client, |person| person.saved >= saved).await;
        }
        hear_until(person, client, |person| person.unsaved() == 0).await;
    });
    join_all(all).await;
}

/// A field of what the log says about itself.
async fn meta(redis: &RedisServer, field: &str) -> String {
    let key = format!("commonplace:{{doc/{DOCUMENT}}}:meta");
    redis.tell(&["HGET", &key, field]).await.text().unwrap_or_default()
}

async fn number(redis: &RedisServer, field: &str) -> u64 {
    meta(redis, field).await.parse().unwrap_or(0)
}

#[tokio::test]
async fn two_servers_shorten_the_same_log_at_once() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let proxies = proxies(2, redis.address).await;
    let mut instances = behind(&proxies).await;
    let mut people = vec![
        seat(1, Dialect::Hocuspocus, instances.address(0)).await,
        seat(2, Dialect::YWebsocket, instances.address(1)).await,
    ];
    // Both are at it for longer than each needs to learn that it is time.
    proxies.iter().for_each(|proxy| {
        proxy.set(|weather| weather.back.delay = Duration::from_millis(30));
    });
    let mut snapshots = 0;
    for _ in 0..rounds(4) {
        let before = meta(&redis, "snaps").await;
        let until = number(&redis, "head").await + LONG;
        while number(&redis, "head").await < until {
            write_many(&mut people, 20, seed).await;
        }
        eventually("a new snapshot", async || meta(&redis, "snaps").await != before).await;
        snapshots += 1;
    }
    assert!(number(&redis, "trimmed").await > 0, "{snapshots} snapshots, and nothing was let go");
    let mut people: Vec<Person> = people.into_iter().map(|(person, _)| person).collect();
    instances.settle(&mut people).await;
}

#[tokio::test]
async fn a_log_is_shortened_past_the_place_of_a_server_that_stands_still() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url()]).await;
    let (mut bert, mut berts) = seat(3, Dialect::YWebsocket, instances.address(0)).await;
    let mut random = StdRng::seed_from_u64(seed);
    write(&mut bert, &mut berts, &mut random).await;
    hear_until(&mut bert, &mut berts, |bert| bert.unsaved() == 0).await;
    let mut people = vec![
        seat(1, Dialect::Hocuspocus, instances.address(1)).await,
        seat(2, Dialect::YWebsocket, instances.address(1)).await,
    ];
    for _ in 0..rounds(1) {
        let place = number(&redis, "head").await;
        instances.process(0).signal(Signal::STOP);
        while number(&redis, "trimmed").await <= place {
            write_many(&mut people, 100, seed).await;
        }
        instances.process(0).signal(Signal::CONT);
        // It may have stood still for too long to keep its people; but whoever comes sees everything.
        eventually("the server to be ready", async || instances.is_ready(0).await).await;
        let (mut stranger, mut client) = seat(4, Dialect::Hocuspocus, instances.address(0)).await;
        let has_all = |stranger: &Person| {
            let known = stranger.knows();
            people.iter().all(|(person, _)| known.get(&person.id) == Some(&person.written))
        };
        hear_until(&mut stranger, &mut client, has_all).await;
    }
    let log = instances.log(0);
    assert!(log.contains("trimmed away"), "it has read every entry: {log}");
    let found = fresh(instances.address(0), DOCUMENT, Dialect::YWebsocket).await;
    let mut people: Vec<Person> = people.into_iter().map(|(person, _)| person).collect();
    people.push(bert);
    check_kept(&people, &found);
    instances.settle(&mut people).await;
}
