//! Presence: wild clocks, a hundred thousand people who are not there, and huge states.

use super::{Scene, goodbye, name};
use commonplace_protocol::presence::{Entry, decode, encode};
use commonplace_protocol::varint::{write_var_str, write_var_u64};
use commonplace_protocol::yws::{Message, decode_server};
use commonplace_tests::process::{dial, send};
use commonplace_tests::{Client, Said};
use std::collections::BTreeSet;

/// How many one connection may speak for (P73).
const MOST_SPOKEN_FOR: usize = 8;

fn about(client: u64, clock: u64, state: &str) -> Vec<u8> {
    let mut update = vec![1];
    write_var_u64(&mut update, client);
    write_var_u64(&mut update, clock);
    write_var_str(&mut update, state);
    Message::Awareness(&update).encode()
}

fn of_many(ids: std::ops::Range<u64>) -> Vec<u8> {
    let mut update = Vec::new();
    write_var_u64(&mut update, ids.end - ids.start);
    for id in ids {
        write_var_u64(&mut update, id);
        update.extend([1, 2, b'{', b'}']);
    }
    Message::Awareness(&update).encode()
}

/// Reads until somebody says that they are `last`; who has been seen until then.
async fn seen_until(watcher: &mut Client, last: u64) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    loop {
        let Said::Message(frame) = watcher.next().await else {
            panic!("the watcher was sent away")
        };
        if let Ok(Message::Awareness(update)) = decode_server(&frame) {
            for entry in decode(update).expect("the server speaks well") {
                seen.insert(entry.client.get());
            }
        }
        if seen.contains(&last) {
            return seen;
        }
    }
}

#[tokio::test]
async fn people_who_are_not_there() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let path = |n: u64| format!("/sync/{}?token=attacker-{n}", name(n % 5));
            let mut watcher = dial(address, &path(0)).await.expect("a socket");
            // Malformed, or beyond a limit: the socket ends.
            let too_large = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
            let too_deep = format!("{}{}", "{\"a\":".repeat(70) + "1", "}".repeat(70));
            for (n, (what, message)) in [
                ("a clock beyond all clocks", about(7, u64::from(u32::MAX), "{}")),
                ("a client beyond all clients", about(1 << 60, 1, "{}")),
                ("a state that is no object", about(7, 1, "[]")),
                ("a state that is no JSON", about(7, 1, "{\"a\":}")),
                ("a state that is too large", about(7, 1, &too_large)),
                ("a state that is too deep", about(7, 1, &too_deep)),
                ("more people than fit", of_many(10_000..110_000)),
                ("a count without people", Message::Awareness(&[0x80, 0x80, 0x80, 0x20]).encode()),
                (
                    "someone twice",
                    Message::Awareness(&[2, 7, 1, 2, b'{', b'}', 7, 1, 2, b'{', b'}']).encode(),
                ),
            ]
            .into_iter()
            .enumerate()
            {
                let mut client = dial(address, &path(100 + n as u64)).await.expect("a socket");
                send(&mut client, message).await;
                let code = goodbye(&mut client).await;
                assert!(matches!(code, Some(1002 | 1009 | 4422)), "{what}: {code:?}");
            }
            // Well-formed, and more than anyone is: passed over.
            let mut liar = dial(address, &path(0)).await.expect("a socket");
            for from in 0..30_u64 {
                assert!(
                    send(
                        &mut liar,
                        of_many(1_000_000 + from * 4000..1_000_000 + (from + 1) * 4000)
                    )
                    .await
                );
            }
            // A leap that would silence its owner for good.
            assert!(send(&mut liar, about(1_000_000, 2_000_000_000, "{}")).await);
            let mut honest = dial(address, &path(0)).await.expect("a socket");
            assert!(send(&mut honest, about(5, 1, "{}")).await);
            let seen = seen_until(&mut watcher, 5).await;
            assert!(seen.len() <= MOST_SPOKEN_FOR + 1, "{} people were seen", seen.len());
            // The honest one is not to be had for the liar.
            assert!(send(&mut liar, about(5, 2, "null")).await);
            assert!(send(&mut honest, about(5, 2, "{\"here\":true}")).await);
            loop {
                let Said::Message(frame) = watcher.next().await else { panic!("sent away") };
                let Ok(Message::Awareness(update)) = decode_server(&frame) else { continue };
                let entries: Vec<Entry<'_>> = decode(update).expect("the server speaks well");
                if let Some(entry) = entries.iter().find(|entry| entry.client.get() == 5) {
                    assert!(entry.state.is_some(), "somebody else has said that it is gone");
                    if entry.clock >= 2 {
                        break;
                    }
                }
            }
            drop(encode(&[]));
        })
        .await;
}
