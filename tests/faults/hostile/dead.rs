//! Peers that have gone without a word: the kernel takes what is sent to them, and nothing ever comes back.

use super::Scene;
use commonplace_protocol::presence;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::varint::{write_var_str, write_var_u64};
use commonplace_protocol::yws::{Message, decode_server};
use commonplace_tests::Client;
use commonplace_tests::process::{dial, send};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// The server takes a peer that says nothing for 60 s to be gone, and looks every few seconds.
const NOTICED_AFTER: Duration = Duration::from_secs(75);

/// A network between one client and the server, that can swallow everything and keep both ends open.
struct Network {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
}

impl Network {
    async fn to(server: SocketAddr) -> (Self, impl Future<Output = ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let swallows = Arc::new(AtomicBool::new(false));
        let network = Self { address, swallows: Arc::clone(&swallows) };
        let carries = async move {
            let (client, _) = listener.accept().await.expect("the client comes");
            let server = TcpStream::connect(server).await.expect("the server listens");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let there = carry(from_client, to_server, &swallows);
            let back = carry(from_server, to_client, &swallows);
            tokio::join!(there, back);
        };
        (network, carries)
    }
}

/// Until the sender ends. The receiver's socket stays open even then.
async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    swallows: &AtomicBool,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::Relaxed) {
            to.write_all(&buffer[..read]).await.ok();
        }
    }
}

fn here(client: u64, clock: u64) -> Vec<u8> {
    let mut update = vec![1];
    write_var_u64(&mut update, client);
    write_var_u64(&mut update, clock);
    write_var_str(&mut update, "{\"here\":true}");
    Message::Awareness(&update).encode()
}

/// Reads until `client` is here, or gone; renews the watcher's own signs of life as it goes.
async fn until(watcher: &mut Client, client: u64, is_here: bool, within: Duration) -> Duration {
    let since = Instant::now();
    loop {
        // Pings and keep-alives come every 20 s.
        let left = within.saturating_sub(since.elapsed());
        let next = timeout(left, watcher.socket.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{client} was not noticed in {within:?}"));
        let frame = next.expect("the socket lives").expect("the socket lives").into_data();
        let Ok(Message::Awareness(update)) = decode_server(&frame) else { continue };
        let entries = presence::decode(update).expect("the server speaks well");
        if entries
            .iter()
            .any(|entry| entry.client.get() == client && entry.state.is_some() == is_here)
        {
            return since.elapsed();
        }
    }
}

#[tokio::test]
async fn the_half_open_and_the_stuck_are_noticed() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    // The pairs would write for a minute: here two people are enough.
    let server = &scene.server;
    let mut watcher = dial(address, "/sync/note").await.expect("a socket");

    // One whose network goes away.
    let (network, carries) = Network::to(address).await;
    let half_open = async {
        let mut client = dial(network.address, "/sync/note").await.expect("a socket");
        assert!(send(&mut client, here(77, 1)).await);
        until(&mut watcher, 77, true, Duration::from_secs(20)).await;
        network.swallows.store(true, Ordering::Relaxed);
        let took = until(&mut watcher, 77, false, NOTICED_AFTER).await;
        assert!(took > Duration::from_secs(20), "a pause of {took:?} is no death");
        drop(client);
    };

    // One who stops reading, with megabytes on the way to it.
    let stuck = async {
        let large = "x".repeat(900_000);
        let question = Message::Sync(Sync::SyncStep1(&[0])).encode();
        let mut author = dial(address, "/sync/large").await.expect("a socket");
        assert!(send(&mut author, question.clone()).await);
        for n in 0..14_u32 {
            let mut update = vec![1, 1, 9];
            write_var_u64(&mut update, u64::from(n) * 900_000);
            if n == 0 {
                update.extend([4, 1, 1, b't']);
            } else {
                update.extend([0x84, 9]);
                write_var_u64(&mut update, u64::from(n) * 900_000 - 1);
            }
            write_var_str(&mut update, &large);
            update.push(0);
            assert!(send(&mut author, Message::Sync(Sync::Update(&update)).encode()).await);
            // Until its echo, which says that it is stored.
            while author.message().await.len() < large.len() {}
        }
        drop(author);
        let mut client = dial(address, "/sync/large").await.expect("a socket");
        let mut watcher = dial(address, "/sync/large").await.expect("a socket");
        assert!(send(&mut client, here(78, 1)).await);
        until(&mut watcher, 78, true, Duration::from_secs(20)).await;
        for _ in 0..4 {
            assert!(send(&mut client, question.clone()).await);
        }
        until(&mut watcher, 78, false, NOTICED_AFTER).await;
        drop(client);
    };
    let people = async { tokio::join!(half_open, stuck) };
    tokio::select! {
        _ = people => {}
        () = async { carries.await; std::future::pending::<()>().await } => {}
    }
    assert!(server.most_resident() < 300 * 1024 * 1024, "{}", server.most_resident());
    assert!(server.log().contains("a peer that takes nothing is cut"), "{}", server.log());
}
