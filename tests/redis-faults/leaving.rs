//! Servers come and go, and the others serve the same documents.

use crate::{SAVED_AGAIN, saved_within, seat};
use commonplace_tests::fleet::hear_until;
use commonplace_tests::instances::{Crowd, Instances, rounds, seed};
use commonplace_tests::person::Dialect;
use commonplace_tests::process::send;
use commonplace_tests::redis::RedisServer;
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Whoever was at a server that died is gone from the others' screens.
const GONE: Duration = Duration::from_secs(60);

/// A server that is asked to stop has so long.
const LONGEST_STOP: Duration = Duration::from_secs(30);

/// How often all servers are replaced, one after the other.
const DEPLOYS: u32 = 2;

#[tokio::test]
async fn one_of_three_servers_is_killed_for_good() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(9, 1, seed);
    let (anna, mut annas) = seat(1, Dialect::Hocuspocus, instances.address(0)).await;
    let (mut bert, mut berts) = seat(2, Dialect::YWebsocket, instances.address(1)).await;
    // The first state of a client nobody has heard of is ignored, as the clock says nothing.
    for clock in 1..3 {
        assert!(send(&mut annas, anna.wave(clock)).await);
    }
    hear_until(&mut bert, &mut berts, |bert| bert.here.contains(&1)).await;
    let open = instances.open();
    crowd
        .write_during(&open, async |saves| {
            saves.reach(20).await;
            instances.kill(0).await;
            let killed = Instant::now();
            saved_within(saves, 30, 2 * SAVED_AGAIN).await;
            let sees_her_leave = async {
                while bert.here.contains(&1) {
                    let message = berts.socket.next().await.expect("the socket stays");
                    if let tokio_tungstenite::tungstenite::Message::Binary(message) =
                        message.expect("a message")
                    {
                        for answer in bert.hear(&message).answers {
                            assert!(send(&mut berts, answer).await);
                        }
                    }
                }
            };
            let gone = timeout(GONE, sees_her_leave).await;
            assert!(gone.is_ok(), "{:?} later she is still shown", killed.elapsed());
            println!("the presence of those who were there went after {:?}", killed.elapsed());
        })
        .await;
    drop((annas, berts));
    instances.settle(&mut crowd.people).await;
}

#[tokio::test]
async fn servers_are_killed_one_after_the_other() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(9, 2, seed);
    let open = instances.open();
    crowd
        .write_during(&open, async |saves| {
            for _ in 0..rounds(6) {
                saves.reach(saves.count() + random.random_range(5..40)).await;
                let n = random.random_range(0..3);
                let ended = instances.kill(n).await;
                assert_eq!(ended.signal, Some(9), "it ended by itself: {}", ended.log);
                saved_within(saves, 5, 2 * SAVED_AGAIN).await;
                instances.restart(n).await;
            }
        })
        .await;
    instances.settle(&mut crowd.people).await;
}

#[tokio::test]
async fn all_servers_are_replaced_under_load() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let mut instances = Instances::start(&[redis.url(), redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(12, 3, seed);
    let open = instances.open();
    crowd
        .write_during(&open, async |saves| {
            for _ in 0..rounds(DEPLOYS) {
                for n in 0..3 {
                    saves.reach(saves.count() + 30).await;
                    let since = Instant::now();
                    let ended = instances.stop(n).await;
                    assert_eq!(ended.code, Some(0), "{}", ended.log);
                    assert!(since.elapsed() < LONGEST_STOP, "it took {:?}", since.elapsed());
                    instances.restart(n).await;
                }
            }
            saved_within(saves, 30, 2 * SAVED_AGAIN).await;
        })
        .await;
    instances.settle(&mut crowd.people).await;
}
