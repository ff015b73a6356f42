//! Does a real Redis say of itself what the check reads, and is a promise dropped that it does not keep any more?

use crate::redis_bench;
use crate::redis_server::RedisServer;
use crate::transfer::{everything, fill};
use commonplace::store::redis::check::{Guard, Obstacle, Refusal, Target, examine, user_line};
use commonplace::store::redis::{RedisOptions, RedisStore};
use commonplace::store::{Bookmark, Durability, Position, Store, StoreError};
use commonplace_tests::logs::{fresh, name, put};
use std::sync::Arc;

fn here(prefix: &str) -> Target {
    Target { has_password: false, is_this_computer: true, prefix: prefix.to_owned() }
}

const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// What may be promised, or what is in the way.
async fn promised(
    url: &str,
    target: &Target,
    wanted: Option<Durability>,
) -> Result<Durability, Vec<Obstacle>> {
    match examine(url, target, wanted).await {
        Ok(promise) => Ok(promise.durability),
        Err(Refusal::Unfit(unfit)) => Err(unfit.0),
        Err(Refusal::Away(words)) => panic!("{words}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_it_is_told_to_change_make_a_redis_fit() {
    let server = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let (url, target) = (server.url(), here("p"));
    let unfit = promised(&url, &target, None).await.unwrap_err();
    assert_eq!(unfit.len(), 3, "{unfit:?}");
    assert_eq!(promised(&url, &target, Some(Durability::Memory)).await.unwrap_err().len(), 1);
    // Does what the words say, nothing else.
    let words: String = unfit.iter().map(|obstacle| format!("{obstacle}\n")).collect();
    let lines: Vec<&str> = words.split('`').filter(|part| part.starts_with("CONFIG SET")).collect();
    assert_eq!(lines.len(), 3, "{words}");
    for line in lines {
        let _: redis::Value = server.ask(&line.split(' ').collect::<Vec<_>>());
    }
    assert_eq!(promised(&url, &target, None).await, Ok(Durability::Fsync));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_counted_when_they_take_part() {
    let server = RedisServer::start(&[]);
    let port = server.port().to_string();
    let wanted = Some(Durability::Replicated(1));
    let few = promised(&server.url(), &here("p"), wanted).await;
    assert_eq!(few, Err(vec![Obstacle::TooFewReplicas { connected: 0, wanted: 1 }]));
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    // `WAIT` answers with how many have everything; it waits for the first synchronisation too.
    let _: redis::Value = server.ask(&["SET", "x", "y"]);
    let have: u8 = server.ask(&["WAIT", "1", "20000"]);
    assert_eq!(have, 1);
    assert_eq!(promised(&server.url(), &here("p"), wanted).await, Ok(Durability::Replicated(1)));
    assert_eq!(promised(&server.url(), &here("p"), None).await, Ok(Durability::Replicated(1)));
    let unfit = promised(&replica.url(), &here("p"), Some(Durability::Memory)).await.unwrap_err();
    assert_eq!(unfit, [Obstacle::Replica(format!("127.0.0.1:{port}"))]);
}

/// Options for the user of the line in the manual, and the target they lead to.
fn as_limited_user(server: &RedisServer, prefix: &str) -> (RedisOptions, Target) {
    let line = user_line(prefix).replace("PASSWORD", "s3cret");
    let _: redis::Value = server.ask(&line.split(' ').collect::<Vec<_>>());
    let url = server.url().replace("redis://", "redis://commonplace:s3cret@");
    let options = RedisOptions { url, prefix: prefix.to_owned(), durability: Durability::Fsync };
    (options, Target { has_password: true, is_this_computer: false, prefix: prefix.to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limited_user_may_do_all_that_is_needed_and_only_with_our_keys() {
    let server = RedisServer::start(&SAFE);
    let (options, target) = as_limited_user(&server, "ours");
    assert_eq!(promised(&options.url, &target, None).await, Ok(Durability::Fsync));
    let guard = Guard { target: target.clone(), durability: Durability::Fsync };
    let store = RedisStore::open_guarded(options.clone(), Some(guard)).await.unwrap();
    fill(&*store).await;
    let log = name("note/short");
    let seen = store.read(&log, Bookmark::START).await.unwrap().entries[0].clone();
    let other = redis_bench::open(&options).await;
    put(&*other, &log, "from elsewhere").await;
    store.follow(&log, Bookmark { position: seen.position, id: seen.id }).await;
    let moved = crate::moving::contents(&*store, "note/long").await;
    store.import(&name("moved"), moved).await.unwrap();
    store.loaded(&log).await.unwrap();
    store.note_crashes(std::slice::from_ref(&log)).await.unwrap();
    store.release(&name("other")).await.unwrap();
    store.delete(&name("other")).await.unwrap();
    store.delete_blob(&name("blob/empty")).await.unwrap();
    assert!(everything(&*store).await.contains("blob/large"));
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert!(keys.len() > 5 && keys.iter().all(|key| key.starts_with("ours:")), "{keys:?}");
    let theirs = RedisOptions { prefix: "theirs".into(), ..options.clone() };
    let refused = match RedisStore::open(theirs).await {
        Ok(store) => store.append(&log, None, fresh(), "x".into()).await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("may not do this"), "{refused}");
    // Without the settings nobody can say what its disk does, and the words say what to grant.
    let _: redis::Value = server.ask(&["ACL", "SETUSER", "commonplace", "-config|get"]);
    let unfit = promised(&options.url, &target, Some(Durability::Fsync)).await.unwrap_err();
    assert_eq!(unfit, [Obstacle::SettingsHidden("commonplace".into())]);
    let _: redis::Value = server.ask(&["ACL", "SETUSER", "commonplace", "+config|get", "-info"]);
    let unfit = promised(&options.url, &target, None).await.unwrap_err();
    assert_eq!(unfit, [Obstacle::InfoHidden("commonplace".into())]);
    // The one that anybody can be is refused on the network, whatever password is given.
    let anybody = server.url().replace("redis://", "redis://default:any@");
    let unfit = promised(&anybody, &target, None).await.unwrap_err();
    assert_eq!(unfit, [Obstacle::OpenToAll(user_line("ours"))]);
}

/// Appends until it is taken.
async fn append_until_taken(store: &RedisStore) -> Position {
    loop {
        match store.append(&name("a"), None, fresh(), "x".into()).await {
            Ok(position) => return position,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_not_kept_any_more_stops_the_saving() {
    let server = RedisServer::start(&SAFE);
    let options = redis_bench::options(&server);
    let guard = Guard { target: here(&options.prefix), durability: Durability::Fsync };
    let store = RedisStore::open_guarded(options, Some(guard)).await.unwrap();
    put(&*store, &name("a"), "1").await;
    for is_connection_lost in [false, true] {
        let _: redis::Value = server.ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
        if is_connection_lost {
            let _: redis::Value =
                server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        // Without a lost connection the pulse notices: it asks again now and then.
        let words = loop {
            match store.append(&name("a"), None, fresh(), "x".into()).await {
                Err(StoreError::Away(words)) if words.contains("appendfsync always") => {
                    break words;
                }
                _ => tokio::task::yield_now().await,
            }
        };
        assert!(words.contains("cannot be used as it is"), "{words}");
        let health = store.health().unwrap_err().to_string();
        assert!(health.contains("CONFIG SET appendfsync always"), "{health}");
        let read = store.read(&name("a"), Bookmark::START).await;
        assert!(read.is_ok(), "reading goes on: {read:?}");
        let _: redis::Value = server.ask(&["CONFIG", "SET", "appendfsync", "always"]);
        append_until_taken(&store).await;
    }
    let store: Arc<dyn Store> = store;
    store.close().await;
}
