//! Redis answers, and takes no writes: no memory, a disk that fails, a replica.

use crate::{SAVED_AGAIN, saved_within, saving_stops, write};
use commonplace_tests::fleet::{fresh, hear_until, sync};
use commonplace_tests::instances::{Crowd, Instances, seed};
use commonplace_tests::person::{Dialect, Person, check_kept};
use commonplace_tests::process::dial;
use commonplace_tests::proxy::FaultProxy;
use commonplace_tests::redis::{RedisServer, eventually, url};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

/// Nothing may be saved for so long.
const REFUSES: Duration = Duration::from_secs(2);

/// While Redis takes nothing: everybody is told what it is, nobody that anything is saved, and what was saved is read. Afterwards it goes on.
async fn takes_nothing_and_takes_it_again(
    redis: &RedisServer,
    said: &str,
    harm: impl AsyncFnOnce(),
    heal: impl AsyncFnOnce(),
) {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut instances = Instances::start(&[redis.url(), redis.url()]).await;
    let mut crowd = Crowd::new(6, 1, seed);
    let mut kept = Person::new(1, Dialect::Hocuspocus, "kept");
    let mut socket = dial(instances.address(0), &kept.path()).await.expect("a socket");
    sync(&mut kept, &mut socket).await;
    write(&mut kept, &mut socket, &mut random).await;
    hear_until(&mut kept, &mut socket, |person| person.unsaved() == 0).await;
    crowd
        .write_during(&instances.open(), async |saves| {
            saves.reach(20).await;
            harm().await;
            saving_stops(saves, REFUSES).await;
            for n in 0..2 {
                eventually("an instance to say that it is not ready", async || {
                    !instances.is_ready(n).await
                })
                .await;
                check_kept(
                    [&kept],
                    &fresh(instances.address(n), "kept", Dialect::YWebsocket).await,
                );
            }
            write(&mut kept, &mut socket, &mut random).await;
            let is_told =
                |person: &Person| person.told.as_ref().is_some_and(|words| words.contains(said));
            hear_until(&mut kept, &mut socket, is_told).await;
            assert_eq!(kept.unsaved(), 1);
            heal().await;
            saved_within(saves, 20, SAVED_AGAIN).await;
            let is_well = |person: &Person| {
                person.unsaved() == 0
                    && person.told.as_ref().is_some_and(|words| words.contains("well"))
            };
            hear_until(&mut kept, &mut socket, is_well).await;
            for n in 0..2 {
                eventually("an instance to be ready", async || instances.is_ready(n).await).await;
            }
        })
        .await;
    crowd.people.push(kept);
    instances.settle(&mut crowd.people).await;
}

#[tokio::test]
async fn redis_has_no_memory_left() {
    let redis = RedisServer::start().await;
    takes_nothing_and_takes_it_again(
        &redis,
        "full",
        async || redis.set("maxmemory", "1mb").await,
        async || redis.set("maxmemory", "0").await,
    )
    .await;
}

#[tokio::test]
async fn redis_cannot_save_to_its_disk() {
    // Snapshots are asked for and cannot be put in their place: a folder stands there.
    let redis = RedisServer::with(&["--save", "3600 100000"]).await;
    let in_the_way = redis.folder().join("dump.rdb");
    let save = async |status: &str| {
        redis.tell(&["BGSAVE"]).await;
        eventually("the snapshot to end", async || {
            redis.info("persistence").await.contains(&format!("rdb_last_bgsave_status:{status}"))
        })
        .await;
    };
    takes_nothing_and_takes_it_again(
        &redis,
        "away",
        async || {
            std::fs::create_dir(&in_the_way).expect("a folder");
            save("err").await;
        },
        async || {
            std::fs::remove_dir(&in_the_way).expect("it is there");
            save("ok").await;
        },
    )
    .await;
}

#[tokio::test]
async fn redis_becomes_a_replica_and_the_name_leads_to_the_new_primary_later() {
    let seed = seed();
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    new.follow(old.address).await;
    let name = FaultProxy::to(old.address).await;
    let mut instances = Instances::start(&[url(name.address), url(name.address)]).await;
    let mut crowd = Crowd::new(6, 2, seed);
    crowd
        .write_during(&instances.open(), async |saves| {
            for (from, to) in [(&old, &new), (&new, &old)] {
                saved_within(saves, 20, 2 * SAVED_AGAIN).await;
                let port = to.address.port().to_string();
                from.tell(&["FAILOVER", "TO", "127.0.0.1", &port]).await;
                eventually("the roles to change", async || {
                    to.info("replication").await.contains("role:master")
                        && from.info("replication").await.contains("master_link_status:up")
                })
                .await;
                saving_stops(saves, REFUSES).await;
                // Connections that are there stay there: whoever needs a primary has to look for it again.
                name.set(|weather| weather.upstream = to.address);
                saved_within(saves, 20, SAVED_AGAIN).await;
            }
        })
        .await;
    instances.settle(&mut crowd.people).await;
}
