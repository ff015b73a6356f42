//! What do several instances on one Redis see of each other, and do they ever harm each other?

use crate::redis_bench::{entry_names, open, options, rewind};
use crate::redis_server::shared;
use bytes::Bytes;
use commonplace::store::redis::{Ear, Heard, Keys, RedisOptions, RedisStore};
use commonplace::store::{
    Bookmark, EntryId, Expect, FOLLOW_POLL, KEPT_SNAPSHOTS, LogName, Page, Position, Snapshot,
    Store, StoreError,
};
use commonplace_tests::logs::{all, fresh, name, put};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Far less than the shortest time between two polls: who hears within this has heard a hint.
const HINT: Duration = Duration::from_millis(1500);

async fn two(options: &RedisOptions) -> (Arc<RedisStore>, Arc<RedisStore>) {
    (open(options).await, open(options).await)
}

/// The place after a page.
fn end(page: &Page) -> Bookmark {
    let last = page.entries.last();
    last.map(|entry| Bookmark { position: entry.position, id: entry.id }).unwrap_or_default()
}

async fn seen(store: &RedisStore, log: &LogName) -> Bookmark {
    end(&store.read(log, Bookmark::START).await.unwrap())
}

/// All keys of a test.
fn keys(options: &RedisOptions) -> Vec<String> {
    let mut keys: Vec<String> = shared().ask(&["KEYS", &format!("{}:*", options.prefix)]);
    keys.sort();
    keys
}

#[tokio::test]
async fn s16_a_hint_tells_the_others() {
    let (one, two) = two(&options(shared())).await;
    let log = name("a");
    put(&*one, &log, "own").await;
    let place = seen(&one, &log).await;
    // Until somebody listens, the first look finds it; so begin with one that was heard.
    put(&*two, &log, "news").await;
    timeout(HINT, one.follow(&log, place)).await.expect("found at the first look");
    for n in 0..20 {
        let place = seen(&one, &log).await;
        let followed = one.follow(&log, place);
        let (heard, _) = tokio::join!(timeout(HINT, followed), put(&*two, &log, format!("{n}")));
        heard.expect("a hint");
    }
    // One that comes while nobody follows is not lost.
    let place = seen(&one, &log).await;
    put(&*two, &log, "more news").await;
    timeout(HINT, one.follow(&log, place)).await.expect("a hint that came before");
}

#[tokio::test]
async fn s16_a_lost_hint_is_made_up_for_by_a_poll() {
    let mut options = options(shared());
    // This user may not use any channel: nothing is said and nothing heard.
    let keys = format!("~{}:*", options.prefix);
    let user: [&str; 8] =
        ["ACL", "SETUSER", &options.prefix, "on", ">secret", "resetchannels", &keys, "+@all"];
    let _: () = shared().ask(&user);
    options.url = format!("redis://{}:secret@127.0.0.1:{}/", options.prefix, shared().port());
    let (one, two) = two(&options).await;
    let log = name("a");
    put(&*two, &log, "1").await;
    timeout(HINT, one.follow(&log, Bookmark::START)).await.expect("found at the first look");
    let place = seen(&one, &log).await;
    let within = FOLLOW_POLL + Duration::from_secs(1);
    let (heard, _) = tokio::join!(timeout(within, one.follow(&log, place)), put(&*two, &log, "2"));
    heard.expect("found by the poll");
}

#[tokio::test]
async fn s18_a_log_that_went_back_is_noticed() {
    let options = options(shared());
    let (store, other) = two(&options).await;
    let log = name("a");
    for text in ["1", "2", "3"] {
        put(&*store, &log, text).await;
    }
    let page = store.read(&log, Bookmark::START).await.unwrap();
    let mark = |n: usize| Bookmark { position: Position(n as u64 + 1), id: page.entries[n].id };
    let (first, second, third) = (mark(0), mark(1), mark(2));
    let append = |seen, text: &'static str| {
        store.append(&log, Some(Expect::Seen(seen)), fresh(), text.into())
    };
    // Every place is still the same, wherever it is looked up.
    for place in [Bookmark::START, first, second, third] {
        assert_eq!(end(&store.read(&log, place).await.unwrap()).position.0 % 3, 0);
    }
    rewind(shared(), &options, &log, 2);
    let rewound = StoreError::Rewound { head: Position(2) };
    assert_eq!(store.read(&log, third).await, Err(rewound.clone()));
    assert_eq!(append(third, "4").await, Err(rewound));
    timeout(HINT, store.follow(&log, third)).await.expect("found at the first look");
    assert_eq!(append(second, "another 3").await, Ok(Position(3)));
    // Now there is an entry in that place, and it is another one.
    let rewound = StoreError::Rewound { head: Position(3) };
    assert_eq!(append(third, "4").await, Err(rewound.clone()));
    assert_eq!(store.read(&log, third).await, Err(rewound.clone()));
    let of_the_past = Snapshot { covers: Position(3), last: third.id, bytes: "old".into() };
    assert_eq!(store.compact(&log, of_the_past).await, Err(rewound));
    timeout(HINT, store.follow(&log, third)).await.expect("another entry stands there");
    // Others' appends are no reason to worry, however far on they are.
    let place = seen(&store, &log).await;
    for n in 4..8 {
        assert_eq!(put(&*other, &log, n.to_string()).await, Position(n));
    }
    assert_eq!(append(place, "8").await, Ok(Position(8)));
    assert_eq!(append(first, "9").await, Ok(Position(9)));
    // In the middle of the log it is compared as well.
    let wrong = Bookmark { position: Position(4), id: third.id };
    let rewound = StoreError::Rewound { head: Position(9) };
    assert_eq!(append(wrong, "x").await, Err(rewound.clone()));
    assert_eq!(store.read(&log, wrong).await, Err(rewound));
    // Whoever looks at the log sees where it went back, however often that was noticed.
    let epochs: Vec<String> = entry_names(shared(), &options, &log).into_iter().take(4).collect();
    assert_eq!(epochs, ["1-0", "2-0", "3-1", "4-1"]);
}

#[tokio::test]
async fn s18_a_snapshot_remembers_what_stood_there() {
    let store = open(&options(shared())).await;
    let log = name("a");
    for n in 1..=6 {
        put(&*store, &log, n.to_string()).await;
    }
    let page = store.read(&log, Bookmark::START).await.unwrap();
    let last = page.entries[3].id;
    let snapshot = Snapshot { covers: Position(4), last, bytes: "four".into() };
    store.compact(&log, snapshot.clone()).await.unwrap();
    assert_eq!(store.read(&log, Bookmark::START).await.unwrap().snapshot, Some(snapshot));
    let right = Bookmark { position: Position(4), id: last };
    let wrong = Bookmark { position: Position(4), id: page.entries[2].id };
    let rewound = StoreError::Rewound { head: Position(6) };
    assert_eq!(store.read(&log, right).await.unwrap().entries.len(), 2);
    assert_eq!(store.read(&log, wrong).await, Err(rewound.clone()));
    let append =
        |seen| store.append(&log, Some(Expect::Seen(seen)), fresh(), Bytes::from_static(b"7"));
    assert_eq!(append(wrong).await, Err(rewound));
    assert_eq!(append(right).await, Ok(Position(7)));
    // What cannot be compared any more passes, and gets the snapshot.
    let trimmed = Bookmark { position: Position(2), id: page.entries[1].id };
    assert!(store.read(&log, trimmed).await.unwrap().snapshot.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_sixteen_compactors_and_a_writer_lose_nothing() {
    let options = options(shared());
    let (one, two) = two(&options).await;
    let log = name("a");
    let mut head = 0;
    for round in 0..12 {
        for _ in 0..20 {
            head += 1;
            put(&*one, &log, head.to_string()).await;
        }
        let racers = (0..16).map(|n| {
            let store = Arc::clone(if n % 2 == 0 { &one } else { &two });
            let (log, covers) = (log.clone(), head - n % 8);
            async move {
                // Of a size that takes several pieces.
                let mut bytes = format!("state at {covers}").into_bytes();
                bytes.resize(700_000, b'.');
                let bytes = Bytes::from(bytes);
                store.compact(&log, Snapshot { covers: Position(covers), last: None, bytes }).await
            }
        });
        let writes = (0..10).map(|n| put(&*two, &log, (head + 1 + n).to_string()));
        let (results, _) = tokio::join!(join_all(racers), join_all(writes));
        for result in results {
            assert!(matches!(result, Ok(()) | Err(StoreError::Stale { .. })), "{result:?}");
        }
        let covered = head;
        head += 10;
        let page = one.read(&log, Bookmark::START).await.unwrap();
        let snapshot = page.snapshot.expect("a snapshot");
        assert_eq!(snapshot.covers, Position(covered), "round {round}");
        assert!(snapshot.bytes.starts_with(format!("state at {covered}.").as_bytes()));
        assert_eq!(page.entries.len(), 10);
        // Every entry that the oldest kept snapshot does not contain is there.
        let raw = one.read_raw(&log).await.unwrap();
        assert!(raw.iter().all(|record| record.intact));
        let (kept, entries): (Vec<_>, Vec<_>) = raw.iter().partition(|record| record.is_snapshot);
        assert!(kept.len() <= KEPT_SNAPSHOTS);
        let oldest = kept.iter().map(|kept| kept.position.0).min().unwrap();
        let places: Vec<u64> = entries.iter().map(|entry| entry.position.0).collect();
        assert_eq!(places, (oldest + 1..=head).collect::<Vec<_>>());
        // Nothing is left of those who lost.
        let objects = keys(&options).iter().filter(|key| key.contains(":snap:")).count();
        assert_eq!(objects, kept.len(), "round {round}");
    }
}

#[tokio::test]
async fn s12_a_deleted_log_leaves_no_key() {
    let options = options(shared());
    let store = open(&options).await;
    let log = name("note/{1}%");
    for n in 1..=5 {
        put(&*store, &log, n.to_string()).await;
    }
    for covers in [2, 3, 4, 5] {
        let snapshot = Snapshot { covers: Position(covers), last: None, bytes: "state".into() };
        store.compact(&log, snapshot).await.unwrap();
    }
    store.put_blob(&name("blob"), "kept".into()).await.unwrap();
    store.note_crashes(std::slice::from_ref(&log)).await.unwrap();
    store.quarantine(&log, "why").await.unwrap();
    store.delete(&log).await.unwrap();
    let names = Keys::new(&options.prefix).unwrap();
    assert_eq!(keys(&options), [names.of(&name("blob")).blob(), names.blobs()]);
    store.delete_blob(&name("blob")).await.unwrap();
    assert_eq!(keys(&options), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_log_that_is_begun_again_while_it_is_deleted_is_listed() {
    let options = options(shared());
    let (one, two) = two(&options).await;
    // One instance thinks that it is listed, another has deleted it.
    let log = name("log");
    put(&*one, &log, "x").await;
    two.delete(&log).await.unwrap();
    assert_eq!(one.list("", None, 9).await, Ok(Vec::new()));
    put(&*one, &log, "x").await;
    assert_eq!(one.list("", None, 9).await.unwrap().len(), 1);
    for round in 0..100 {
        let log = name(&format!("log {}", round % 3));
        let (_, deleted) = tokio::join!(put(&*one, &log, "x"), two.delete(&log));
        deleted.unwrap();
        let exists = !one.read(&log, Bookmark::START).await.unwrap().entries.is_empty();
        let listed = one.list(log.as_str(), None, 1).await.unwrap().len() == 1;
        let recent = one.recent(log.as_str(), 1).await.unwrap().len() == 1;
        assert_eq!((exists, exists), (listed, recent), "round {round}");
    }
}

#[tokio::test]
async fn s17_a_log_that_crashed_twice_is_set_aside() {
    let store = open(&options(shared())).await;
    let (poison, lucky) = (name("poison"), name("lucky"));
    let both = [poison.clone(), lucky.clone()];
    for log in &both {
        put(&*store, log, "x").await;
    }
    store.note_crashes(&both).await.unwrap();
    assert!(store.read(&poison, Bookmark::START).await.is_ok());
    store.loaded(&lucky).await.unwrap();
    store.note_crashes(&both).await.unwrap();
    let read = store.read(&poison, Bookmark::START).await;
    assert!(matches!(read, Err(StoreError::Quarantined(why)) if why.contains("crashed")));
    assert!(store.read(&lucky, Bookmark::START).await.is_ok());
    store.release(&poison).await.unwrap();
    store.note_crashes(&both[..1]).await.unwrap();
    assert!(store.read(&poison, Bookmark::START).await.is_ok(), "a release forgets");
}

#[tokio::test]
async fn instances_share_what_they_append() {
    let options = options(shared());
    let (one, two) = two(&options).await;
    let log = name("a");
    let id = EntryId(7);
    assert_eq!(one.append(&log, None, id, "1".into()).await, Ok(Position(1)));
    // A retry that reaches Redis by way of another instance is still a retry.
    assert_eq!(two.append(&log, None, id, "1".into()).await, Ok(Position(1)));
    let both = (0..40).map(|n| {
        let store = if n % 2 == 0 { &one } else { &two };
        put(&**store, &log, n.to_string())
    });
    let mut places: Vec<u64> = join_all(both).await.into_iter().map(|place| place.0).collect();
    places.sort_unstable();
    assert_eq!(places, (2..=41).collect::<Vec<_>>());
    assert_eq!(all(&*one, &log, 0).await, all(&*two, &log, 0).await);
    // Another prefix is another world.
    let elsewhere = open(&crate::redis_bench::options(shared())).await;
    assert_eq!(elsewhere.read(&log, Bookmark::START).await, Ok(Page::default()));
}

#[tokio::test]
async fn the_hub_carries_messages_between_instances() {
    let (one, two) = two(&options(shared())).await;
    let channel = one.keys().of(&name("a")).bus();
    let mut ear = one.hub().listen(&channel);
    assert_eq!(ear.hear().await, Heard::Missed, "from now on everything is heard");
    let mut second = one.hub().listen(&channel);
    assert_eq!(second.hear().await, Heard::Missed);
    for message in ["one", "two", "three"] {
        two.hub().publish(&channel, message.into());
    }
    for message in ["one", "two", "three"] {
        assert_eq!(ear.hear().await, Heard::Message(message.into()));
        assert_eq!(second.hear().await, Heard::Message(message.into()));
    }
    // Binary, and one's own.
    one.hub().publish(&channel, Bytes::from_static(&[0, 255, 13, 10]));
    assert_eq!(ear.hear().await, Heard::Message(Bytes::from_static(&[0, 255, 13, 10])));
}

#[tokio::test]
async fn an_ear_that_does_not_listen_is_told_that_it_missed_something() {
    let store = open(&options(shared())).await;
    let channel = store.keys().bus();
    let mut deaf = store.hub().listen(&channel);
    let mut ear = store.hub().listen(&channel);
    assert_eq!(ear.hear().await, Heard::Missed);
    for n in 0..600_u32 {
        store.hub().publish(&channel, n.to_string().into());
        // Its neighbour hears every one.
        assert_eq!(ear.hear().await, Heard::Message(n.to_string().into()));
    }
    let publish = async |ear: &mut Ear, message: Bytes| {
        store.hub().publish(&channel, message.clone());
        assert_eq!(ear.hear().await, Heard::Message(message));
    };
    assert_eq!(deaf.hear().await, Heard::Missed);
    // From now on it hears everything again.
    publish(&mut ear, "again".into()).await;
    assert_eq!(deaf.hear().await, Heard::Message("again".into()));
    // Too many bytes are too much as well.
    for _ in 0..5 {
        publish(&mut ear, Bytes::from(vec![0; 1024 * 1024])).await;
    }
    assert_eq!(deaf.hear().await, Heard::Missed);
    publish(&mut ear, "and again".into()).await;
    assert_eq!(deaf.hear().await, Heard::Message("and again".into()));
}

#[tokio::test]
async fn after_a_lost_connection_listeners_are_told() {
    // Its own server: others' connections must not be cut.
    let server = crate::redis_server::RedisServer::start(&["--appendonly", "no"]);
    let options = options(&server);
    let store = open(&options).await;
    let channel = store.keys().bus();
    let mut ear = store.hub().listen(&channel);
    assert_eq!(ear.hear().await, Heard::Missed);
    for _ in 0..3 {
        let cut: u64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        assert_eq!(cut, 1);
        assert_eq!(ear.hear().await, Heard::Missed);
        store.hub().publish(&channel, "again".into());
        assert_eq!(ear.hear().await, Heard::Message("again".into()));
    }
    // What was appended while nothing could be heard is looked for as soon as it can.
    let (other, log) = (open(&options).await, name("a"));
    put(&*store, &log, "1").await;
    let mut place = Bookmark::START;
    timeout(HINT, store.follow(&log, place)).await.expect("found at the first look");
    for text in ["2", "3", "4"] {
        place = seen(&store, &log).await;
        let _: u64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        put(&*other, &log, text).await;
        timeout(HINT, store.follow(&log, place)).await.expect("found without waiting for the poll");
    }
    drop(other);
    // Nobody listens: soon nobody is subscribed to it.
    drop(ear);
    let subscribed = || -> Vec<String> { server.ask(&["PUBSUB", "SHARDCHANNELS"]) };
    timeout(Duration::from_secs(10), async {
        while subscribed().contains(&channel) {
            // The hub works in between.
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the subscription ends");
}
