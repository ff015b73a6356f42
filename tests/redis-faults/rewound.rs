//! Redis goes back in time: a replica that lacks the last entries is promoted, or an old file is put back.
//!
//! What was acknowledged meanwhile is in no log any more. It lives in the servers that have the document open, and in the clients: each of them
//! alone is enough.

use crate::{SAVED_AGAIN, saved_within};
use commonplace_tests::fleet::{fresh, hear_until, sync};
use commonplace_tests::instances::{Crowd, Instances, seed};
use commonplace_tests::person::{Dialect, Person, check_kept};
use commonplace_tests::process::dial;
use commonplace_tests::proxy::FaultProxy;
use commonplace_tests::redis::{RedisServer, url};
use std::collections::BTreeMap;

/// How much is acknowledged that the log then loses.
const LOST: u64 = 60;

/// A server that does not run before the log has gone back: what people find there is in the log.
const WITNESS: usize = 3;

/// Who still has what the log has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survivors {
    Everybody,
    /// All people have gone, and do not come back before the servers have mended it.
    Servers,
    /// All servers were killed as well.
    People,
}

/// A name that leads to the Redis in charge.
struct Site {
    primary: RedisServer,
    replica: RedisServer,
    /// The way from the primary to its replica.
    between: FaultProxy,
    name: FaultProxy,
}

impl Site {
    async fn start() -> Self {
        let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
        let between = FaultProxy::for_replica(primary.address).await;
        replica.follow(between.address).await;
        let name = FaultProxy::to(primary.address).await;
        Self { primary, replica, between, name }
    }
}

async fn a_failover_loses_the_tail(survivors: Survivors) {
    let seed = seed();
    let Site { mut primary, replica, between, name } = Site::start().await;
    let redis = url(name.address);
    let mut instances =
        Instances::start(&[redis.clone(), redis.clone(), redis.clone(), redis]).await;
    instances.kill(WITNESS).await;
    let mut crowd = Crowd::new(9, 2, seed);
    let open = instances.open();
    crowd
        .write_during(&open, async |saves| {
            saves.reach(40).await;
            between.set(|weather| weather.back.holds = true);
            saves.reach(saves.count() + LOST).await;
            if survivors == Survivors::Everybody {
                primary.kill();
                replica.promote().await;
                name.lead_to(replica.address);
                saved_within(saves, 20, 2 * SAVED_AGAIN).await;
            }
        })
        .await;
    if survivors != Survivors::Everybody {
        primary.kill();
        if survivors == Survivors::People {
            for n in 0..3 {
                instances.kill(n).await;
            }
        }
        replica.promote().await;
        name.lead_to(replica.address);
    }
    after(survivors, &mut instances, &mut crowd).await;
}

async fn an_old_file_is_put_back(survivors: Survivors) {
    let seed = seed();
    let mut redis = RedisServer::start().await;
    let mut instances =
        Instances::start(&[redis.url(), redis.url(), redis.url(), redis.url()]).await;
    instances.kill(WITNESS).await;
    let mut crowd = Crowd::new(9, 2, seed);
    let open = instances.open();
    let disk = crowd
        .write_during(&open, async |saves| {
            saves.reach(40).await;
            let disk = redis.disk();
            saves.reach(saves.count() + LOST).await;
            if survivors == Survivors::Everybody {
                redis.kill();
                redis.put_back(disk.path());
                redis.restart().await;
                saved_within(saves, 20, 2 * SAVED_AGAIN).await;
            }
            disk
        })
        .await;
    if survivors != Survivors::Everybody {
        redis.kill();
        if survivors == Survivors::People {
            for n in 0..3 {
                instances.kill(n).await;
            }
        }
        redis.put_back(disk.path());
        redis.restart().await;
    }
    after(survivors, &mut instances, &mut crowd).await;
}

async fn after(survivors: Survivors, instances: &mut Instances, crowd: &mut Crowd) {
    if survivors == Survivors::Servers {
        instances.restart(WITNESS).await;
        for document in ["note-0", "note-1"] {
            // What anybody was told is saved, or was shown.
            let mut told: BTreeMap<u64, u32> = BTreeMap::new();
            for person in crowd.people.iter().filter(|person| person.document == document) {
                let seen = person.knows().into_iter().filter(|(author, _)| *author != person.id);
                for (author, clock) in seen.chain([(person.id, person.saved)]) {
                    let most = told.entry(author).or_default();
                    *most = clock.max(*most);
                }
            }
            let is_back = |found: &Person| {
                let known = found.knows();
                told.iter().all(|(author, clock)| known.get(author) >= Some(clock))
            };
            let mut stranger = Person::new(1, Dialect::YWebsocket, document);
            let address = instances.address(WITNESS);
            let mut client = dial(address, &stranger.path()).await.expect("a socket");
            sync(&mut stranger, &mut client).await;
            hear_until(&mut stranger, &mut client, is_back).await;
        }
        instances.restart_all().await;
        for document in ["note-0", "note-1"] {
            let found = fresh(instances.address(1), document, Dialect::Hocuspocus).await;
            check_kept(&crowd.people, &found);
        }
    }
    if survivors != Survivors::People {
        let healed = (0..3).map(|n| instances.log(n)).filter(|log| log.contains("back in time"));
        assert!(healed.count() > 0, "nobody has noticed anything");
    }
    instances.settle(&mut crowd.people).await;
}

#[tokio::test]
async fn a_failover_loses_the_tail_while_everybody_writes() {
    a_failover_loses_the_tail(Survivors::Everybody).await;
}

#[tokio::test]
async fn a_failover_loses_the_tail_and_only_the_servers_have_it() {
    a_failover_loses_the_tail(Survivors::Servers).await;
}

#[tokio::test]
async fn a_failover_loses_the_tail_and_only_the_people_have_it() {
    a_failover_loses_the_tail(Survivors::People).await;
}

#[tokio::test]
async fn an_old_file_is_put_back_while_everybody_writes() {
    an_old_file_is_put_back(Survivors::Everybody).await;
}

#[tokio::test]
async fn an_old_file_is_put_back_and_only_the_servers_have_the_rest() {
    an_old_file_is_put_back(Survivors::Servers).await;
}

#[tokio::test]
async fn an_old_file_is_put_back_and_only_the_people_have_the_rest() {
    an_old_file_is_put_back(Survivors::People).await;
}
