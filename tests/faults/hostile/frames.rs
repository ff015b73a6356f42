//! Bytes that are no messages, messages that are too large, and far too many of them.

use super::{DOCUMENTS, Scene, goodbye, name};
use commonplace_protocol::hocuspocus::{Message, encode};
use commonplace_protocol::limits::{MAX_INITIAL_SYNC, MAX_MESSAGE, MAX_MESSAGE_BEFORE_AUTH};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;
use commonplace_tests::patiently;
use commonplace_tests::process::{dial, send};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A y-websocket address of one's own: the token keeps what one client is refused from the others on this computer.
fn path(n: u64) -> String {
    format!("/sync/{}?token=attacker-{n}-{}", name(n % DOCUMENTS), rand::random::<u32>())
}

/// Sends one message, and waits for the goodbye.
async fn code_after(address: SocketAddr, path: &str, message: Vec<u8>) -> Option<u16> {
    let mut client = dial(address, path).await.expect("a socket");
    send(&mut client, message).await;
    goodbye(&mut client).await
}

fn token(document: &str) -> Vec<u8> {
    encode(document.as_bytes(), &Message::Token { token: "", version: Some("4.8.0") })
}

#[tokio::test]
async fn messages_that_are_none() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let malformed: &[&[u8]] = &[
                b"",
                b"\x00",
                b"\x00\x03\x00",
                b"\x00\x02\x05abc",
                b"\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                b"\x00\x00\x05\x80\x80\x80\x80\x01",
                b"\x01\x04\x80\x80\x80\x20",
                b"\x02\x00\x01x",
                b"\x63",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ];
            for (n, message) in malformed.iter().enumerate() {
                let code = code_after(address, &path(n as u64), message.to_vec()).await;
                assert_eq!(code, Some(1002), "{message:?}");
            }
            let malformed: &[&[u8]] = &[
                b"",
                b"\x00",
                b"\x00\x00",
                b"\x05ab",
                b"\x01\x00\x00",
                b"\x04note\x06\x00",
                b"\x04note\x08\x01",
                b"\x04note\x63",
                b"\x02\xc3\x28\x00",
            ];
            for message in malformed {
                assert_eq!(
                    code_after(address, "/sync", message.to_vec()).await,
                    Some(1002),
                    "{message:?}"
                );
            }
        })
        .await;
}

#[tokio::test]
async fn messages_that_are_too_large() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let code = code_after(address, "/sync", vec![1; MAX_MESSAGE_BEFORE_AUTH + 1]).await;
            assert_eq!(code, Some(1009), "before anyone is admitted");
            for n in 0..6 {
                // Largest first; only the header has to arrive for the refusal.
                let code = code_after(address, &path(n), vec![100; MAX_INITIAL_SYNC + 2000]).await;
                assert!(matches!(code, Some(1009) | None), "{code:?}");
                let update = vec![0; MAX_MESSAGE + 1];
                let update = yws::Message::Sync(Sync::Update(&update)).encode();
                assert_eq!(code_after(address, &path(n), update).await, Some(4205));
            }
            let mut client = dial(address, "/sync").await.expect("a socket");
            send(&mut client, token("other")).await;
            client.message().await;
            let update = vec![0; MAX_MESSAGE + 1];
            send(&mut client, encode(b"other", &Message::Sync(Sync::Update(&update)))).await;
            assert_eq!(goodbye(&mut client).await, Some(4205), "comes back, and syncs anew");
        })
        .await;
}

#[tokio::test]
async fn random_bytes() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    scene
        .attack(async {
            for n in 0..150 {
                // As messages, in both dialects; small first bytes get further.
                let path = if n % 2 == 0 { "/sync".to_owned() } else { path(n) };
                let mut client = dial(address, &path).await.expect("a socket");
                if n % 4 == 0 {
                    send(&mut client, token("other")).await;
                }
                for _ in 0..50 {
                    let mut message = vec![0; random.random_range(0..200)];
                    random.fill_bytes(&mut message);
                    for byte in message.iter_mut().take(3) {
                        *byte %= 9;
                    }
                    if n % 4 == 0 {
                        message.splice(0..0, *b"\x05other");
                    }
                    if !send(&mut client, message).await {
                        break;
                    }
                }
            }
            // And as anything but a WebSocket, before and after the handshake.
            for n in 0..50 {
                let mut stream = TcpStream::connect(address).await.expect("the server listens");
                if n % 2 == 0 {
                    let request = "GET /sync/note-0 HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
                        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                    stream.write_all(request.as_bytes()).await.expect("the server reads");
                }
                let mut noise = vec![0; 4000];
                random.fill_bytes(&mut noise);
                stream.write_all(&noise).await.ok();
                // The server ends it by itself.
                let mut answer = Vec::new();
                patiently("the end", stream.read_to_end(&mut answer)).await.ok();
            }
        })
        .await;
}

/// Opens a raw WebSocket.
async fn raw(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream
}

/// Sends these bytes again and again until the server has had enough; the code of its goodbye.
async fn flood(address: SocketAddr, path: &str, first: &[u8], again: &[u8]) -> u16 {
    let stream = raw(address, path).await;
    let (mut reading, mut writing) = stream.into_split();
    let many = again.repeat(200);
    let writes = async {
        writing.write_all(first).await.ok();
        while writing.write_all(&many).await.is_ok() {}
    };
    let reads = async {
        let mut all = Vec::new();
        reading.read_to_end(&mut all).await.ok();
        all
    };
    let mut reads = std::pin::pin!(reads);
    // The end of what the server says ends the flood.
    let ending = async {
        tokio::select! {
            all = &mut reads => all,
            () = writes => reads.await,
        }
    };
    let all = patiently("the server to have had enough", ending).await;
    let close = all.windows(2).rposition(|two| two[0] == 0x88 && two[1] >= 2);
    let close = close.unwrap_or_else(|| panic!("no close frame in {all:?}"));
    u16::from_be_bytes([all[close + 2], all[close + 3]])
}

#[tokio::test]
async fn floods_of_pings_and_fragments() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    let mask = [0; 4];
    let ping = [&[0x89, 0x80][..], &mask].concat();
    let pong = [&[0x8a, 0x80][..], &mask].concat();
    let begin = [&[0x02, 0x81][..], &mask, &[100]].concat();
    let empty = [&[0x00, 0x80][..], &mask].concat();
    let tiny = [&[0x00, 0x81][..], &mask, &[1]].concat();
    scene
        .attack(async {
            for n in 0..3 {
                assert_eq!(flood(address, &path(n), &[], &ping).await, 1008, "pings");
                assert_eq!(flood(address, &path(n), &[], &pong).await, 1008, "pongs");
                assert_eq!(flood(address, &path(n), &begin, &empty).await, 1008, "empty fragments");
                assert_eq!(flood(address, &path(n), &begin, &tiny).await, 1008, "tiny fragments");
                let between = [tiny.clone(), ping.clone()].concat();
                assert_eq!(flood(address, &path(n), &begin, &between).await, 1008, "both");
            }
        })
        .await;
}
