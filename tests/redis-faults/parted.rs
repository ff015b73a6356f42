//! One server is parted from Redis, hears no hints, or does not hear that what it asked was done.

use crate::{SAVED_AGAIN, behind, proxies, saved_within, saving_stops, seat, write};
use commonplace_tests::fleet::hear_until;
use commonplace_tests::instances::{Crowd, Open, rounds, seed, write_during};
use commonplace_tests::person::{Dialect, Person};
use commonplace_tests::proxy::FaultProxy;
use commonplace_tests::redis::{RedisServer, eventually};
use commonplace_tests::resp::Value;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than a server may serve without Redis.
const PARTED: Duration = Duration::from_secs(12);

/// A mark is seen elsewhere within 5 s even without hints; on a busy machine a little later.
const SEEN_WITHOUT_HINTS: Duration = Duration::from_secs(7);

/// How many answers are cut off for each server, one after the other.
const CUTS: u32 = 8;

#[tokio::test]
async fn some_servers_are_parted_from_redis_in_one_way_or_both() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let proxies = proxies(4, redis.address).await;
    let mut instances = behind(&proxies).await;
    let open: Vec<Open> = (0..4).map(|n| instances.open_only(n)).collect();
    let mut crowds: Vec<Crowd> =
        (0..4).map(|n| Crowd::from(1000 * (n + 1), 3, 1, seed.wrapping_add(n))).collect();
    let [both, there, back, others] = &mut crowds[..] else { unreachable!("there are four") };
    let crowds_at = [(both, &open[0]), (there, &open[1]), (back, &open[2]), (others, &open[3])];
    write_during(crowds_at, async |saves| {
        for saves in saves {
            saves.reach(5).await;
        }
        proxies[0].set(|weather| {
            weather.there.holds = true;
            weather.back.holds = true;
        });
        proxies[1].set(|weather| weather.there.holds = true);
        proxies[2].set(|weather| weather.back.holds = true);
        let [both, there, back, others] = saves;
        let others_before = others.count();
        tokio::join!(
            saving_stops(both, PARTED),
            saving_stops(there, PARTED),
            saving_stops(back, PARTED),
        );
        assert!(others.count() >= others_before + 50, "the others go on");
        for n in 0..3 {
            assert!(!instances.is_ready(n).await, "instance {n} is ready");
            eventually("the rooms to be closed", async || {
                instances.metric(n, "commonplace_peers").await == 0.0
            })
            .await;
        }
        assert!(instances.is_ready(3).await);
        proxies.iter().for_each(FaultProxy::clear);
        tokio::join!(
            saved_within(both, 5, 2 * SAVED_AGAIN),
            saved_within(there, 5, 2 * SAVED_AGAIN),
            saved_within(back, 5, 2 * SAVED_AGAIN),
        );
    })
    .await;
    let mut people: Vec<Person> = crowds.into_iter().flat_map(|crowd| crowd.people).collect();
    instances.settle(&mut people).await;
}

#[tokio::test]
async fn no_hint_arrives_anywhere() {
    let mut random = StdRng::seed_from_u64(seed());
    let redis = RedisServer::start().await;
    let proxies = proxies(2, redis.address).await;
    let mut instances = behind(&proxies).await;
    let (mut anna, mut annas) = seat(1, Dialect::Hocuspocus, instances.address(0)).await;
    let (mut bert, mut berts) = seat(2, Dialect::YWebsocket, instances.address(1)).await;
    proxies.iter().for_each(|proxy| proxy.set(|weather| weather.deaf_to = Some("")));
    for _ in 0..rounds(3) {
        write(&mut anna, &mut annas, &mut random).await;
        write(&mut bert, &mut berts, &mut random).await;
        let since = Instant::now();
        let (annas_mark, berts_mark) = (anna.written, bert.written);
        tokio::join!(
            hear_until(&mut anna, &mut annas, |anna| anna.knows().get(&2) == Some(&berts_mark)),
            hear_until(&mut bert, &mut berts, |bert| bert.knows().get(&1) == Some(&annas_mark)),
        );
        assert!(since.elapsed() < SEEN_WITHOUT_HINTS, "it took {:?}", since.elapsed());
    }
    let lost: u64 = proxies.iter().map(|proxy| proxy.pushes_lost()).sum();
    assert!(lost > 0, "there were no hints to lose");
    drop((annas, berts));
    instances.settle(&mut [anna, bert]).await;
}

#[tokio::test]
async fn answers_to_appends_are_cut_off() {
    let seed = seed();
    let redis = RedisServer::start().await;
    let proxies = proxies(3, redis.address).await;
    let mut instances = behind(&proxies).await;
    let mut crowd = Crowd::new(9, 1, seed);
    crowd
        .write_during(&instances.open(), async |saves| {
            for _ in 0..rounds(1) {
                saves.reach(saves.count() + 10).await;
                let before: Vec<u64> = proxies.iter().map(FaultProxy::answers_cut).collect();
                for proxy in &proxies {
                    // Only an append speaks of the ids that the log remembers.
                    proxy.set(|weather| weather.cuts_answers_to = Some((":ids", CUTS)));
                }
                for (proxy, before) in proxies.iter().zip(before) {
                    eventually("the answers to be cut off", async || {
                        proxy.answers_cut() >= before + u64::from(CUTS)
                    })
                    .await;
                }
            }
            saved_within(saves, 10, SAVED_AGAIN).await;
        })
        .await;
    instances.settle(&mut crowd.people).await;

    // One copy in the log, too: no two entries have the same id, and there are no more entries than marks and deletions.
    let keys = redis.tell(&["KEYS", "*:log"]).await;
    let Value::List(keys) = keys else { panic!("{keys:?}") };
    for key in keys {
        let key = key.text().expect("a key");
        let Value::List(entries) = redis.tell(&["XRANGE", &key, "-", "+"]).await else {
            panic!("{key} is not a stream")
        };
        let id = |entry: &Value| {
            let Value::List(entry) = entry else { return None };
            let Value::List(fields) = entry.get(1)? else { return None };
            let at = fields.iter().position(|field| *field == Value::Text("i".into()))?;
            match fields.get(at + 1)? {
                Value::Text(id) => Some(id.clone()),
                _ => None,
            }
        };
        let ids: Vec<Vec<u8>> = entries.iter().filter_map(id).collect();
        let once: BTreeSet<&Vec<u8>> = ids.iter().collect();
        assert!(!ids.is_empty(), "{key} is empty");
        assert_eq!(once.len(), ids.len(), "an entry is there twice in {key}");
    }
}
