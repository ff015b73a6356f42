//! Redis dies, hangs, or is slow.

use crate::{SAVED_AGAIN, behind, proxies, saved_within, saving_stops, seat, write};
use commonplace_tests::fleet::hear_until;
use commonplace_tests::instances::{Crowd, Instances, rounds, seed};
use commonplace_tests::person::Dialect;
use commonplace_tests::process::send;
use commonplace_tests::redis::{RedisServer, eventually};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tokio::time::timeout;

/// How often Redis is killed.
const KILLS: u32 = 8;

/// Longer than a server may serve without Redis.
const HANG: Duration = Duration::from_secs(12);

/// What somebody writes into the void meanwhile, who does not wait for anything.
const FLOOD: u32 = 3_000;

/// What a server may hold more than before while Redis hangs. Bytes.
const MOST_HELD: u64 = 64 * 1024 * 1024;

#[tokio::test]
async fn redis_is_killed_and_started_again_and_again() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(9, 2, seed);
    crowd
        .write_during(&instances.open(), async |saves| {
            for _ in 0..rounds(KILLS) {
                saves.reach(saves.count() + random.random_range(5..40)).await;
                redis.kill();
                let pause = Duration::from_millis(random.random_range(0..400));
                saving_stops(saves, pause).await;
                redis.restart().await;
                saved_within(saves, 10, SAVED_AGAIN).await;
            }
        })
        .await;
    redis.kill();
    redis.restart().await;
    instances.settle(&mut crowd.people).await;
}

#[tokio::test]
async fn redis_hangs() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(6, 2, seed);
    let (mut flooder, mut socket) = seat(1, Dialect::Hocuspocus, instances.address(0)).await;
    let before = [instances.process(0).resident(), instances.process(1).resident()];
    let mut random = StdRng::seed_from_u64(seed);
    crowd
        .write_during(&instances.open(), async |saves| {
            saves.reach(20).await;
            redis.hang();
            let flood = async {
                for _ in 0..FLOOD {
                    let message = flooder.write(&mut random);
                    if !send(&mut socket, message).await {
                        break;
                    }
                }
            };
            tokio::join!(flood, saving_stops(saves, HANG));
            for (n, before) in before.into_iter().enumerate() {
                assert!(!instances.is_ready(n).await, "instance {n} says that it is ready");
                eventually("the rooms to be closed", async || {
                    instances.metric(n, "commonplace_peers").await == 0.0
                })
                .await;
                let held = instances.process(n).resident().saturating_sub(before);
                assert!(held < MOST_HELD, "instance {n} holds {held} bytes more than before");
            }
            redis.go_on();
            // The people's own pauses come on top.
            saved_within(saves, 10, 2 * SAVED_AGAIN).await;
        })
        .await;
    crowd.people.push(flooder);
    instances.settle(&mut crowd.people).await;
}

/// How much one person writes at once over a slow way, and how long that would take one by one.
const BURST: u32 = 100;
const ONE_BY_ONE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn redis_is_slow() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let proxies = proxies(2, redis.address).await;
    let mut instances = behind(&proxies).await;
    let mut crowd = Crowd::new(8, 2, seed);
    for proxy in &proxies {
        proxy.set(|weather| {
            weather.there.delay = Duration::from_millis(100);
            weather.back.delay = Duration::from_millis(100);
        });
    }
    let mut random = StdRng::seed_from_u64(seed);
    let (mut anna, mut socket) = seat(1, Dialect::Hocuspocus, instances.address(0)).await;
    crowd
        .write_during(&instances.open(), async |saves| {
            saves.reach(20).await;
            for _ in 0..BURST {
                write(&mut anna, &mut socket, &mut random).await;
            }
            let all_saved = hear_until(&mut anna, &mut socket, |anna| anna.unsaved() == 0);
            let saved = timeout(ONE_BY_ONE / 2, all_saved).await;
            assert!(saved.is_ok(), "a slow way is not used for more than one word at a time");
        })
        .await;
    drop(socket);
    crowd.people.push(anna);
    instances.settle(&mut crowd.people).await;
}
