//! Too many sockets, too many documents, too much before anyone is known, and a peer that never reads.

use super::{Scene, goodbye, name};
use commonplace_protocol::hocuspocus::{Frame, Message, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;
use commonplace_tests::fleet::{hear_until, sync};
use commonplace_tests::patiently;
use commonplace_tests::person::{Dialect, Person};
use commonplace_tests::process::{dial, send};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

#[tokio::test]
async fn more_sockets_than_there_are_places() {
    // Twenty places are taken by the pairs.
    let scene = Scene::with(&["--max-connections", "60"]).await;
    let address = scene.address();
    scene
        .attack(async {
            let mut taken = Vec::new();
            let mut refused = 0;
            for _ in 0..100 {
                match dial(address, "/sync").await {
                    Ok(client) => taken.push(client),
                    Err(Error::Http(response)) => {
                        assert_eq!(response.status(), 503);
                        assert!(response.headers().contains_key("retry-after"));
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!((taken.len(), refused), (40, 60));
            // A place that is given up can be taken.
            let mut leaving = taken.pop().expect("there are forty");
            leaving.socket.close(None).await.expect("the server listens");
            goodbye(&mut leaving).await;
            while dial(address, "/sync").await.is_err() {}
        })
        .await;
}

#[tokio::test]
async fn sockets_that_never_say_what_they_want() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            // More than the server has places for requests.
            let silent = (0..1100).map(|n| async move {
                let mut stream = TcpStream::connect(address).await.expect("the kernel queues it");
                if n % 2 == 0 {
                    stream.write_all(b"GET /sync HTTP/1.1\r\nhost: ").await.ok();
                }
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.ok();
            });
            // Sockets that are open, and on which no document is asked for.
            let mut idle = Vec::new();
            for _ in 0..100 {
                idle.push(dial(address, "/sync").await.expect("a socket"));
            }
            let idle = join_all(idle.iter_mut().map(goodbye));
            let (_, codes) =
                tokio::join!(patiently("the server's patience", join_all(silent)), idle);
            assert!(codes.iter().all(|code| *code == Some(4504)), "{codes:?}");
        })
        .await;
}

#[tokio::test]
async fn more_sockets_than_the_system_has_files_for() {
    let few_files = ["sh", "-c", "ulimit -n 128; exec \"$0\" \"$@\""];
    let scene = Scene::under(&few_files, &[]).await;
    let (address, log) = (scene.address(), scene.server.log_file());
    scene
        .attack(async {
            let mut taken = Vec::new();
            // The kernel takes them all; the server finds no file for the last ones.
            for _ in 0..180 {
                taken.push(TcpStream::connect(address).await.expect("the kernel queues it"));
            }
            // Whoever says nothing has to go, and then the next are let in.
            for mut stream in taken {
                let mut answer = Vec::new();
                patiently("the end", stream.read_to_end(&mut answer)).await.ok();
            }
            dial(address, "/sync").await.expect("there is room again");
            let log = std::fs::read_to_string(log).expect("a log");
            assert!(log.contains("cannot accept connections now"), "{log}");
        })
        .await;
}

#[tokio::test]
async fn three_hundred_documents_on_a_socket() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let mut client = dial(address, "/sync").await.expect("a socket");
            for n in 0..300 {
                let token = Message::Token { token: "", version: Some("4.8.0") };
                send(&mut client, encode(format!("other {n}").as_bytes(), &token)).await;
            }
            let (mut opened, mut refused) = (0, 0);
            while opened + refused < 300 {
                let frame = client.message().await;
                match decode_server(&frame).expect("the server speaks well") {
                    Frame::Document(_, Message::Authenticated { .. }) => opened += 1,
                    Frame::Document(_, Message::PermissionDenied { .. }) => refused += 1,
                    _ => {}
                }
            }
            assert_eq!((opened, refused), (256, 44));
        })
        .await;
}

/// A quarter of a megabyte waits for each of twenty decisions; with buffers, what the pairs need and what a busy machine leaves lying, six times as
/// much. All that is sent is three times more again. Bytes.
const MOST_BEFORE_ANYONE_IS_KNOWN: u64 = 32 * 1024 * 1024;

#[tokio::test]
async fn a_flood_before_anyone_is_known() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack_within(MOST_BEFORE_ANYONE_IS_KNOWN, async {
            let floods = (0..20).map(|n| async move {
                let mut client = dial(address, "/sync").await.expect("a socket");
                let document = name(n % 5);
                let awareness = Message::Awareness(&[0]);
                // Without a token the decision takes a moment, and everything waits for it.
                let large = "x".repeat(16_000);
                for _ in 0..300 {
                    send(&mut client, encode(document.as_bytes(), &awareness)).await;
                    send(&mut client, encode(document.as_bytes(), &Message::Stateless(&large)))
                        .await;
                }
                let question = Message::Sync(Sync::SyncStep1(&[0]));
                send(&mut client, encode(document.as_bytes(), &question)).await;
                // All of it is taken in the end, in its order.
                loop {
                    let frame = client.message().await;
                    if let Ok(Frame::Document(_, Message::Sync(Sync::SyncStep2(_)))) =
                        decode_server(&frame)
                    {
                        return;
                    }
                }
            });
            join_all(floods).await;
        })
        .await;
}

#[tokio::test]
async fn peers_that_never_read() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    // A document of 3 MB, so that each question is answered with a lot.
    let mut author = Person::new(1, Dialect::Hocuspocus, "large");
    let mut socket = dial(address, &author.path()).await.expect("a socket");
    sync(&mut author, &mut socket).await;
    for n in 0..6_u8 {
        let large = raw_text(9, u32::from(n) * 500_000, &"x".repeat(500_000));
        send(&mut socket, encode(b"large", &Message::Sync(Sync::Update(&large)))).await;
    }
    hear_until(&mut author, &mut socket, |author| !author.unsynced_provider()).await;
    scene
        .attack(async {
            let question = yws::Message::Sync(Sync::SyncStep1(&[0])).encode();
            let mut silent = Vec::new();
            for _ in 0..20 {
                let mut client = dial(address, "/sync/large").await.expect("a socket");
                for _ in 0..100 {
                    // Once the server has had enough it does not read either.
                    let asked = send(&mut client, question.clone());
                    if tokio::time::timeout(std::time::Duration::from_millis(50), asked)
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
                silent.push(client);
            }
            // Their places stay taken while the pairs go on; `dead` waits for their end.
            for turn in 0..20 {
                let mut reader = Person::new(100 + turn, Dialect::YWebsocket, "large-2");
                let mut client = dial(address, &reader.path()).await.expect("a socket");
                sync(&mut reader, &mut client).await;
            }
            drop(silent);
        })
        .await;
}

/// Text of one client in a list of its own, as Yjs would write it.
fn raw_text(client: u8, clock: u32, text: &str) -> Vec<u8> {
    use commonplace_protocol::varint::{write_var_str, write_var_u64};
    let mut out = vec![1, 1, client];
    write_var_u64(&mut out, u64::from(clock));
    if clock == 0 {
        out.extend([4, 1]);
        write_var_str(&mut out, "t");
    } else {
        out.extend([0x84, client]);
        write_var_u64(&mut out, u64::from(clock - 1));
    }
    write_var_str(&mut out, text);
    out.push(0);
    out
}
