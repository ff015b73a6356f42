//! Does the server carry a plenary, and an evening on which everybody works somewhere else?
//!
//! A smoke test of the real program, small enough for every run: it asks for exact delivery and bounded memory, not for speed. What took how
//! long is printed.

use commonplace_tests::Client;
use commonplace_tests::fleet::{fresh, hear_one, hear_until, sync};
use commonplace_tests::person::{Dialect, Person};
use commonplace_tests::process::{Launch, Process, dial, raise_file_limit, send};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Error;

/// Clients in one document, and how many of them write.
const CROWD: u64 = 1000;
const WRITERS: u64 = 20;
const MARKS_OF_EACH: u32 = 25;

/// Documents with two people in each.
const DOCUMENTS: u64 = 1000;
const TURNS: u32 = 4;

/// Handshakes under way at once: a crowd arrives, but the test's own process is one thread.
const ARRIVING: usize = 100;

/// What the server may hold for each connection in the crowd: 16 KiB of buffers and task, the outbox' share of shared frames, and as much again for
/// the allocator. Bytes.
const MOST_FOR_A_PEER: u64 = 48 * 1024;

/// For each small document with its two connections: two peers, a gate, a yrs document, a room's inbox and task. Bytes.
const MOST_FOR_A_DOCUMENT: u64 = 160 * 1024;

/// A crowd on a busy machine is given longer than a single client.
const CROWD_PATIENCE: Duration = Duration::from_secs(60);

async fn patiently_for<F: Future>(patience: Duration, future: F) -> F::Output {
    match timeout(patience, future).await {
        Ok(output) => output,
        Err(_) => panic!("not everything was delivered within {patience:?}"),
    }
}

struct Seated {
    person: Person,
    client: Client,
}

/// Comes in, also when told to come back later, and syncs.
async fn arrive(mut person: Person, address: SocketAddr) -> Seated {
    let mut client = loop {
        match dial(address, &person.path()).await {
            Ok(client) => break client,
            Err(Error::Http(response)) if response.status() == 503 => {
                let after =
                    response.headers().get("retry-after").and_then(|after| after.to_str().ok());
                let after = after.and_then(|after| after.parse().ok()).expect("it says when");
                // As every client should.
                sleep(Duration::from_secs(after)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    sync(&mut person, &mut client).await;
    Seated { person, client }
}

async fn arrive_all(people: Vec<Person>, address: SocketAddr) -> Vec<Seated> {
    let since = Instant::now();
    let arriving = people.into_iter().map(|person| arrive(person, address));
    let seated: Vec<Seated> = stream::iter(arriving).buffer_unordered(ARRIVING).collect().await;
    println!("{} clients came in within {:?}", seated.len(), since.elapsed());
    seated
}

async fn started() -> (tempfile::TempDir, Process) {
    raise_file_limit();
    let folder = tempfile::tempdir().expect("a folder");
    let server = Launch::new(&folder.path().join("data")).start().await;
    (folder, server)
}

fn dialect(n: u64) -> Dialect {
    if n.is_multiple_of(2) { Dialect::Hocuspocus } else { Dialect::YWebsocket }
}

#[tokio::test]
async fn a_thousand_people_in_one_document() {
    let (_folder, server) = started().await;
    let before = server.most_resident();
    let people = (0..CROWD).map(|n| Person::new(1000 + n, dialect(n), "plenary")).collect();
    let seated = arrive_all(people, server.address).await;
    let since = Instant::now();
    let all = seated.into_iter().map(|Seated { mut person, mut client }| async move {
        let mut random = StdRng::seed_from_u64(person.id);
        let writes = if person.id < 1000 + WRITERS { MARKS_OF_EACH } else { 0 };
        let mut waits = Vec::new();
        let mut sent = Instant::now();
        loop {
            if person.unsaved() == 0 && person.written < writes {
                sent = Instant::now();
                let message = person.write(&mut random);
                assert!(send(&mut client, message).await, "the server reads");
            }
            let known = person.knows();
            let others = (1000..1000 + WRITERS).filter(|writer| *writer != person.id);
            let has_all =
                others.into_iter().all(|writer| known.get(&writer) == Some(&MARKS_OF_EACH));
            if has_all && person.unsaved() == 0 && person.written == writes {
                return (person, client, waits);
            }
            if hear_one(&mut person, &mut client).await {
                waits.push(sent.elapsed());
            }
        }
    });
    let ended = patiently_for(CROWD_PATIENCE, join_all(all)).await;
    println!(
        "{} marks reached everybody in {:?}",
        WRITERS * u64::from(MARKS_OF_EACH),
        since.elapsed()
    );
    let mut waits: Vec<Duration> = ended.iter().flat_map(|(_, _, waits)| waits.clone()).collect();
    waits.sort_unstable();
    println!(
        "saved after {:?} (median), {:?} (slowest)",
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
    let growth = server.most_resident() - before;
    println!("{} KiB for each peer", growth / CROWD / 1024);
    assert!(growth < CROWD * MOST_FOR_A_PEER, "{growth} bytes for {CROWD} peers");

    let last = fresh(server.address, "plenary", Dialect::Hocuspocus).await.elements();
    assert_eq!(last.len() as u64, WRITERS * u64::from(MARKS_OF_EACH));
    for (person, _, _) in &ended {
        assert_eq!(person.elements(), last, "{} has another document", person.id);
    }
}

#[tokio::test]
async fn a_thousand_documents_with_two_people_in_each() {
    let (_folder, server) = started().await;
    let before = server.most_resident();
    let person = |n: u64| Person::new(1000 + n, dialect(n / 2 + n), &format!("small-{}", n / 2));
    let people = (0..2 * DOCUMENTS).map(person).collect();
    let mut seated = arrive_all(people, server.address).await;
    seated.sort_by_key(|seated| seated.person.id);
    let since = Instant::now();
    let mut pairs = Vec::new();
    let mut seated = seated.into_iter();
    while let (Some(one), Some(other)) = (seated.next(), seated.next()) {
        pairs.push(take_turns(one, other));
    }
    let pairs = patiently_for(CROWD_PATIENCE, join_all(pairs)).await;
    println!("{} turns in {:?}", 2 * u64::from(TURNS) * DOCUMENTS, since.elapsed());
    let growth = server.most_resident() - before;
    println!("{} KiB for each document", growth / DOCUMENTS / 1024);
    assert!(growth < DOCUMENTS * MOST_FOR_A_DOCUMENT, "{growth} bytes for {DOCUMENTS} documents");
    for [one, other] in &pairs {
        let marks = one.person.elements();
        assert_eq!(marks.len() as u32, 2 * TURNS);
        assert_eq!(marks, other.person.elements(), "{}", one.person.document);
    }
}

async fn take_turns(one: Seated, other: Seated) -> [Seated; 2] {
    let mut pair = [one, other];
    let mut random = StdRng::seed_from_u64(pair[0].person.id);
    for _ in 0..2 * TURNS {
        let [writer, reader] = &mut pair;
        let message = writer.person.write(&mut random);
        assert!(send(&mut writer.client, message).await, "the server reads");
        hear_until(&mut writer.person, &mut writer.client, |writer| writer.unsaved() == 0).await;
        let written = Some(&writer.person.written);
        let has_seen = |reader: &Person| reader.knows().get(&writer.person.id) == written;
        hear_until(&mut reader.person, &mut reader.client, has_seen).await;
        pair.reverse();
    }
    pair
}
