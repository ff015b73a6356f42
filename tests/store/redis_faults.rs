//! What happens to appends when Redis fails, in every way it knows?

use crate::redis_bench::{open, options};
use crate::redis_proxy::{Fate, Proxy};
use crate::redis_server::{RedisServer, shared};
use bytes::Bytes;
use commonplace::store::redis::{Heard, RedisOptions, RedisStore};
use commonplace::store::{
    Bookmark, Durability, EntryId, LogName, Position, Snapshot, Store, StoreError,
};
use commonplace_tests::logs::{all, name, put};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// After Redis is back, everything works again within this.
const BACK: Duration = Duration::from_secs(5);

/// An answer that waited for nothing but one attempt to connect.
const SOON: Duration = Duration::from_secs(2);

const SAVING: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

async fn append(store: &RedisStore, log: &LogName, id: u128) -> Result<Position, StoreError> {
    store.append(log, None, EntryId(id), Bytes::from(format!("{id}"))).await
}

/// Tries the same append until it is taken, as a room does.
async fn until_taken(store: &RedisStore, log: &LogName, id: u128) -> Position {
    let taken = async {
        loop {
            match append(store, log, id).await {
                Ok(place) => return place,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(BACK, taken).await.expect("Redis is back")
}

async fn until_well(store: &RedisStore) {
    let well = async {
        while store.health().is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BACK, well).await.expect("the store is well again");
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = RedisServer::start(&["--appendonly", "no"]);
    let store = open(&options(&server)).await;
    let log = name("a");
    let forget = || server.ask::<()>(&["SCRIPT", "FLUSH"]);
    forget();
    // Many at once, in the same pipeline.
    let many = (1..=50).map(|id| append(&store, &log, id));
    for (n, place) in futures_util::future::join_all(many).await.into_iter().enumerate() {
        assert_eq!(place, Ok(Position(n as u64 + 1)));
    }
    forget();
    assert_eq!(all(&*store, &log, 0).await.len(), 50);
    forget();
    let snapshot = Snapshot { covers: Position(50), last: None, bytes: "state".into() };
    store.compact(&log, snapshot).await.unwrap();
    forget();
    store.put_blob(&name("b"), "blob".into()).await.unwrap();
    forget();
    store.delete(&log).await.unwrap();
}

#[tokio::test]
async fn s4_a_retry_after_a_cut_answer_is_written_once() {
    let proxy = Proxy::start(shared().port()).await;
    let options = RedisOptions { url: proxy.url(), ..options(shared()) };
    let store = open(&options).await;
    let log = name("a");
    for (n, fate) in [Fate::Cut, Fate::Swallowed, Fate::Cut].into_iter().enumerate() {
        let id = EntryId(n as u128);
        let append = || store.append(&log, None, id, Bytes::from_static(b"cut this one"));
        proxy.plan(b"cut this one", fate);
        assert_eq!(append().await, Err(StoreError::Unknown), "{fate:?}");
        assert_eq!(append().await, Ok(Position(n as u64 + 1)), "{fate:?}");
        assert_eq!(all(&*store, &log, 0).await.len(), n + 1);
    }
    // Those who shared the pipeline do not know either.
    proxy.plan(b"cut this one", Fate::Cut);
    let results = futures_util::future::join_all(
        (10..20)
            .map(|id| store.append(&log, None, EntryId(id), Bytes::from_static(b"cut this one"))),
    )
    .await;
    assert!(results.contains(&Err(StoreError::Unknown)));
    for (id, result) in (10..20).zip(results) {
        let bytes = Bytes::from_static(b"cut this one");
        let again = store.append(&log, None, EntryId(id), bytes).await;
        assert!(result == Err(StoreError::Unknown) || result == again, "{result:?} {again:?}");
    }
    assert_eq!(all(&*store, &log, 0).await.len(), 13);
}

#[tokio::test]
async fn a_write_that_too_few_replicas_have_is_not_acknowledged() {
    // Without the pause in which a primary waits for more replicas to come.
    let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let port = primary.port().to_string();
    let mut replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    let options = RedisOptions { durability: Durability::Replicated(1), ..options(&primary) };
    let store = open(&options).await;
    let log = name("a");
    assert_eq!(until_taken(&store, &log, 1).await, Position(1));
    until_well(&store).await;
    replica.stop();
    assert_eq!(append(&store, &log, 2).await, Err(StoreError::Unknown));
    assert!(matches!(store.health(), Err(StoreError::Away(why)) if why.contains("replicas")));
    // It is there, and trying again changes nothing as long as no replica has it.
    assert_eq!(append(&store, &log, 2).await, Err(StoreError::Unknown));
    assert_eq!(all(&*store, &log, 1).await, [(2, b"2".to_vec())]);
    // Refusals need nobody's confirmation.
    store.quarantine(&name("b"), "why").await.unwrap_err();
    assert!(matches!(append(&store, &name("b"), 3).await, Err(StoreError::Quarantined(_))));
    replica.kill_and_restart();
    assert_eq!(until_taken(&store, &log, 2).await, Position(2));
    until_well(&store).await;
    // The replica has what was acknowledged.
    let of_replica: RedisOptions = RedisOptions { url: replica.url(), ..options };
    let key = commonplace::store::redis::Keys::new(&of_replica.prefix).unwrap().of(&log).log();
    assert_eq!(replica.ask::<u64>(&["XLEN", &key]), 2);
    assert_eq!(store.durability(), Durability::Replicated(1));
}

/// Breaks a server, and mends it again: nothing is written in between, reading goes on, and then it works again.
async fn check(
    server: &RedisServer,
    break_it: &[&[&str]],
    mend_it: &[&[&str]],
    is_expected: impl Fn(&StoreError) -> bool,
) {
    let store = open(&options(server)).await;
    let log = name("a");
    append(&store, &log, 1).await.unwrap();
    for words in break_it {
        let _: redis::Value = server.ask(words);
    }
    for id in 2..5 {
        let refused = append(&store, &log, id).await.expect_err("a refusal");
        assert!(is_expected(&refused), "{refused:?}");
    }
    // The pulse finds the same, and does not take it back.
    store.loaded(&log).await.unwrap_or_default();
    assert!(is_expected(&store.health().unwrap_err()));
    assert_eq!(all(&*store, &log, 0).await, [(1, b"1".to_vec())], "reading goes on");
    assert_eq!(store.out_of_touch(), None);
    for words in mend_it {
        let _: redis::Value = server.ask(words);
    }
    // Nobody has to try: the store finds out by itself.
    until_well(&store).await;
    assert_eq!(until_taken(&store, &log, 3).await, Position(2), "the refused ones are not there");
    assert_eq!(all(&*store, &log, 1).await, [(2, b"3".to_vec())]);
}

fn away(words: &'static str) -> impl Fn(&StoreError) -> bool {
    move |error| matches!(error, StoreError::Away(why) if why.contains(words))
}

#[tokio::test]
async fn a_full_redis_says_so() {
    let server = RedisServer::start(&SAVING);
    let full: &[&[&str]] = &[&["CONFIG", "SET", "maxmemory", "1"]];
    let empty: &[&[&str]] = &[&["CONFIG", "SET", "maxmemory", "0"]];
    check(&server, full, empty, |error| *error == StoreError::Full).await;
    // Marks, deletions and the swap of a snapshot that is there work all the same.
    let store = open(&options(&server)).await;
    let log = name("b");
    append(&store, &log, 1).await.unwrap();
    let _: () = server.ask(full[0]);
    store.quarantine(&log, "why").await.unwrap();
    assert!(matches!(append(&store, &log, 2).await, Err(StoreError::Full)));
    store.release(&log).await.unwrap();
    let snapshot = Snapshot { covers: Position(1), last: None, bytes: "state".into() };
    assert_eq!(store.compact(&log, snapshot).await, Err(StoreError::Full));
    store.delete(&log).await.unwrap();
    assert!(store.read(&log, Bookmark::START).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn a_replica_is_not_taken_for_a_primary() {
    let server = RedisServer::start(&SAVING);
    let demoted: &[&[&str]] = &[&["REPLICAOF", "127.0.0.1", "1"]];
    let store = open(&options(&server)).await;
    let mut ear = store.hub().listen(&store.keys().bus());
    assert_eq!(ear.hear().await, Heard::Missed);
    check(&server, demoted, &[&["REPLICAOF", "NO", "ONE"]], away("replica")).await;
    // Who listens has moved on as well: the address may lead to another Redis by now.
    let demoted: redis::Value = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    drop(demoted);
    append(&store, &name("b"), 1).await.unwrap_err();
    assert_eq!(ear.hear().await, Heard::Missed);
}

#[tokio::test]
async fn a_redis_that_lacks_replicas_takes_no_writes() {
    let server = RedisServer::start(&SAVING);
    let lacking: &[&[&str]] = &[&["CONFIG", "SET", "min-replicas-to-write", "1"]];
    let enough: &[&[&str]] = &[&["CONFIG", "SET", "min-replicas-to-write", "0"]];
    check(&server, lacking, enough, away("too few replicas")).await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_takes_no_writes() {
    let server = RedisServer::start(&["--save", "3600", "1", "--rdbcompression", "no"]);
    let store = open(&options(&server)).await;
    let log = name("a");
    append(&store, &log, 1).await.unwrap();
    // A folder stands where the file should be.
    let file = server.path().join("dump.rdb");
    std::fs::create_dir(&file).unwrap();
    let _: redis::RedisResult<redis::Value> = redis::cmd("SAVE").query(&mut server.connect());
    let _: redis::Value = server.ask(&["BGSAVE"]);
    let refused = async {
        loop {
            match append(&store, &log, 2).await {
                Err(error) => return error,
                // The other process has not failed yet.
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let refused = timeout(BACK, refused).await.expect("saving fails");
    assert!(away("save")(&refused), "{refused:?}");
    assert!(away("save")(&store.health().unwrap_err()));
    let there = all(&*store, &log, 0).await.len();
    std::fs::remove_dir(&file).unwrap();
    let _: redis::Value = server.ask(&["BGSAVE"]);
    until_well(&store).await;
    assert_eq!(until_taken(&store, &log, 3).await, Position(there as u64 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_killed_redis() {
    let mut server = RedisServer::start(&SAVING);
    let store = open(&options(&server)).await;
    let log = name("a");
    let mut acknowledged = Vec::new();
    for round in 0..3_u128 {
        let writes = (0..40).map(|n| append(&store, &log, round * 1000 + n));
        let writes = futures_util::future::join_all(writes);
        let kill = async { tokio::task::block_in_place(|| server.stop()) };
        let (results, ()) = tokio::join!(writes, kill);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(place) => acknowledged.push((place.0, round * 1000 + n as u128)),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        // Nobody waits for a Redis that is away.
        let refused = timeout(SOON, append(&store, &log, round * 1000 + 500)).await;
        let refused = refused.expect("an answer at once").unwrap_err();
        assert!(refused.is_retryable(), "{refused:?}");
        assert!(matches!(store.read(&log, Bookmark::START).await, Err(StoreError::Away(_))));
        server.kill_and_restart();
        let place = until_taken(&store, &log, round * 1000 + 500).await;
        acknowledged.push((place.0, round * 1000 + 500));
        until_well(&store).await;
        let there = all(&*store, &log, 0).await;
        for (place, id) in &acknowledged {
            let found = there.iter().find(|(found, _)| found == place);
            assert_eq!(found, Some(&(*place, id.to_string().into_bytes())));
        }
    }
}

#[tokio::test]
async fn a_redis_that_is_away_is_noticed() {
    let mut server = RedisServer::start(&SAVING);
    let store = open(&options(&server)).await;
    assert_eq!((store.health(), store.out_of_touch()), (Ok(()), None));
    server.stop();
    let noticed = async {
        while store.out_of_touch().is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BACK, noticed).await.expect("touch is lost");
    assert!(matches!(store.health(), Err(StoreError::Away(_))));
    server.kill_and_restart();
    until_well(&store).await;
    assert_eq!(store.out_of_touch(), None);
}

#[tokio::test]
async fn a_user_who_may_do_little_else_suffices() {
    let server = RedisServer::start(&SAVING);
    let mut options = options(&server);
    let (keys, channels) = (format!("~{}:*", options.prefix), format!("&{}:*", options.prefix));
    let mut user = vec!["ACL", "SETUSER", "lab", "on", ">secret", &keys, &channels];
    user.extend(commonplace::store::redis::COMMANDS.split(' '));
    let _: () = server.ask(&user);
    options.url = format!("redis://lab:secret@127.0.0.1:{}/", server.port());
    let store: Arc<RedisStore> = open(&options).await;
    let log = name("a{b}");
    for n in 1..=9 {
        assert_eq!(put(&*store, &log, n.to_string()).await, Position(n));
    }
    for covers in 1..=8 {
        let snapshot = Snapshot { covers: Position(covers), last: None, bytes: "state".into() };
        store.compact(&log, snapshot).await.unwrap();
    }
    assert_eq!(all(&*store, &log, 0).await, [(9, b"9".to_vec())]);
    assert!(!store.read_raw(&log).await.unwrap().is_empty());
    assert_eq!(store.list("a", None, 9).await.unwrap().len(), 1);
    assert_eq!(store.recent("a", 9).await.unwrap().len(), 1);
    store.follow(&log, Bookmark::START).await;
    store.quarantine(&log, "why").await.unwrap();
    store.release(&log).await.unwrap();
    store.note_crashes(std::slice::from_ref(&log)).await.unwrap();
    store.loaded(&log).await.unwrap();
    store.put_blob(&log, "blob".into()).await.unwrap();
    store.put_blob(&log, "again".into()).await.unwrap();
    assert_eq!(store.get_blob(&log).await, Ok(Some("again".into())));
    store.delete_blob(&log).await.unwrap();
    let mut ear = store.hub().listen(&store.keys().bus());
    ear.hear().await;
    store.hub().publish(&store.keys().bus(), "hello".into());
    assert_eq!(ear.hear().await, Heard::Message("hello".into()));
    store.delete(&log).await.unwrap();
    assert_eq!(store.hub().dropped(), 0);
    // Everything else is closed to it.
    let mut elsewhere = options.clone();
    elsewhere.prefix = "elsewhere".into();
    let elsewhere = open(&elsewhere).await;
    let refused = append(&elsewhere, &log, 1).await;
    assert!(matches!(refused, Err(StoreError::Away(why)) if why.contains("may not")));
}

#[tokio::test]
async fn opening_says_what_is_wrong() {
    let open = async |url: &str, prefix: &str| {
        let options = RedisOptions { url: url.into(), prefix: prefix.into(), ..Default::default() };
        RedisStore::open(options).await.expect_err("it cannot be opened").to_string()
    };
    let port = shared().port();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let good = format!("redis://127.0.0.1:{port}/");
    assert!(open("127.0.0.1", "p").await.contains("redis://"));
    assert!(open(&good, "p{").await.contains("prefix"));
    assert!(open(&format!("redis://127.0.0.1:{nobody}/"), "p").await.contains("not running"));
    let stranger = format!("redis://stranger:secret-word@127.0.0.1:{port}/");
    let refused = open(&stranger, "p").await;
    assert!(refused.contains("user and password") && !refused.contains("secret-word"), "{refused}");
    let store = format!("{:?}", RedisOptions { url: stranger, ..Default::default() });
    assert!(!store.contains("secret-word"));
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let options = options(shared());
    let store = open(&options).await;
    let log = name("a");
    let writes = (0..300).map(|id| append(&store, &log, id));
    let (results, ()) = tokio::join!(futures_util::future::join_all(writes), store.close());
    let taken = results.iter().filter(|result| result.is_ok()).count();
    assert!(results.iter().all(|one| matches!(one, Ok(_) | Err(StoreError::Away(_)))));
    drop(store);
    let again = open(&options).await;
    assert_eq!(all(&*again, &log, 0).await.len(), taken);
    assert!(taken > 0);
}
