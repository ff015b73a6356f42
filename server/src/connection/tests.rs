//! The life of a connection in virtual time, over a pipe: what happens when nothing happens.

use super::*;
use crate::access::{Access, Sandbox};
use crate::bus::Alone;
use crate::config::Door;
use crate::http::UpgradeBudget;
use crate::rooms::Rooms;
use crate::serve::Options;
use crate::shutdown::Tasks;
use crate::store::sim::SimStore;
use async_trait::async_trait;
use commonplace_protocol::hocuspocus::{Message, encode};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

const PIPE: usize = 1 << 20;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;
const BINARY: u8 = 0x82;

fn edge(access: impl Access) -> Arc<Edge> {
    let tasks = Tasks::new();
    let store = Arc::new(SimStore::new(1));
    let options = Options {
        door: Door::Sandbox,
        allow_origins: Vec::new(),
        max_connections: 500,
        listens_on_loopback: true,
    };
    Arc::new(Edge {
        rooms: Rooms::new(store.clone(), Arc::new(Alone), None, tasks.clone()),
        store,
        access: Arc::new(access),
        tasks,
        registry: Registry::new(options.max_connections),
        budget: UpgradeBudget::new(),
        options,
    })
}

/// A client that does nothing by itself, not even answer pings.
struct Client {
    io: DuplexStream,
    began: Instant,
    served: JoinHandle<()>,
}

fn connect(edge: &Arc<Edge>, line: Line, pipe: usize) -> Client {
    let (ours, io) = duplex(pipe);
    let place = edge.registry.take_place().expect("there is a place");
    let remote = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let served =
        edge.tasks.spawn(serve(Arc::clone(edge), place, ours, Bytes::new(), remote, line, None));
    Client { io, began: Instant::now(), served }
}

fn y_websocket() -> Line {
    Line::YWebsocket { document: DocumentName::new("note").expect("a name"), token: String::new() }
}

impl Client {
    async fn send(&mut self, first: u8, body: &[u8]) {
        let mut frame = vec![first, 0x80 | u8::try_from(body.len()).expect("short"), 0, 0, 0, 0];
        frame.extend(body);
        self.io.write_all(&frame).await.expect("the server reads");
    }

    async fn say(&mut self, message: &Message<'_>) {
        self.send(BINARY, &encode(b"note", message)).await;
    }

    /// The next frame.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.io.read_u8().await.expect("a frame");
        let len = match self.io.read_u8().await.expect("a frame") {
            126 => usize::from(self.io.read_u16().await.expect("a frame")),
            127 => usize::try_from(self.io.read_u64().await.expect("a frame")).expect("it fits"),
            short => usize::from(short),
        };
        let mut body = vec![0; len];
        self.io.read_exact(&mut body).await.expect("a frame");
        (first, body)
    }

    /// When the next frame like this comes, in whole seconds since the connection began.
    async fn second_of(&mut self, expected: u8, body: &[u8]) -> u64 {
        loop {
            let (first, found) = self.frame().await;
            if first == expected && found.starts_with(body) {
                return self.began.elapsed().as_secs();
            }
        }
    }

    /// When the server closes, and with which code.
    async fn closed(&mut self) -> (u64, CloseCode) {
        loop {
            let (first, body) = self.frame().await;
            if first == CLOSE {
                let code = u16::from_be_bytes([body[0], body[1]]);
                return (self.began.elapsed().as_secs(), CloseCode(code));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_client_is_fed_before_its_watchdog_bites() {
    let edge = edge(Sandbox);
    for (line, keep_alive) in [(Line::Hocuspocus, &[1, 0][..]), (y_websocket(), &[1, 1, 0])] {
        let is_provider = matches!(line, Line::Hocuspocus);
        let mut client = connect(&edge, line, PIPE);
        if is_provider {
            client.say(&Message::Token { token: "", version: None }).await;
        }
        assert_eq!(client.second_of(BINARY, keep_alive).await, 20);
        assert_eq!(client.second_of(PING, b"").await, 25);
        assert_eq!(client.second_of(BINARY, keep_alive).await, 40);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_heard_for_a_minute_is_gone() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, y_websocket(), PIPE);
    assert_eq!(client.closed().await, (60, CloseCode::TIMEOUT));
    client.served.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_pong_is_a_sign_of_life() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, y_websocket(), PIPE);
    for n in 1..20 {
        assert_eq!(client.second_of(PING, b"").await, 25 * n);
        client.send(0x8a, b"").await;
    }
    assert_eq!(client.closed().await, (25 * 19 + 60, CloseCode::TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_asks_for_nothing_ends_soon() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, Line::Hocuspocus, PIPE);
    assert_eq!(client.closed().await, (10, CloseCode::TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_documents_were_left_has_a_minute() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, Line::Hocuspocus, PIPE);
    client.say(&Message::Token { token: "", version: None }).await;
    client.say(&Message::Sync(Sync::SyncStep1(&[0]))).await;
    client.second_of(BINARY, b"\x04note\x00").await;
    client.say(&Message::Close { reason: None }).await;
    for _ in 0..2 {
        client.second_of(PING, b"").await;
        client.send(0x8a, b"").await;
    }
    assert_eq!(client.closed().await, (60, CloseCode::TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn half_a_message_is_not_waited_for() {
    let edge = edge(Sandbox);
    for first in [&b"\x82\x85\x00"[..], b"\x02\x81\x00\x00\x00\x00x", b"\x89\x81\x00\x00\x00\x00"] {
        let mut client = connect(&edge, y_websocket(), PIPE);
        client.io.write_all(first).await.expect("the server reads");
        assert_eq!(client.closed().await, (10, CloseCode::TIMEOUT));
    }
}

#[tokio::test(start_paused = true)]
async fn empty_fragments_do_not_keep_a_message_alive() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, y_websocket(), PIPE);
    client.send(0x02, b"").await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(99)).await;
        client.send(0x00, b"").await;
    }
    assert_eq!(client.closed().await, (10, CloseCode::TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_cut() {
    let edge = edge(Sandbox);
    let Client { io, began, served } = connect(&edge, y_websocket(), 2);
    served.await.expect("no panic");
    // The first frame that does not fit is the keep-alive.
    assert_eq!(began.elapsed().as_secs(), 50);
    drop(io);
}

/// An access that never decides.
#[derive(Debug)]
struct Undecided;

#[async_trait]
impl Access for Undecided {
    async fn admit(&self, _: &Ask) -> Result<Admission, Denied> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_to_be_let_in() {
    let edge = edge(Undecided);
    let mut client = connect(&edge, y_websocket(), PIPE);
    assert_eq!(client.closed().await, (10, CloseCode::TRY_LATER));
    let mut client = connect(&edge, Line::Hocuspocus, PIPE);
    client.say(&Message::Token { token: "", version: None }).await;
    assert_eq!(client.closed().await, (10, CloseCode::TRY_LATER));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_within_the_grace_counts() {
    let edge = edge(Sandbox);
    for (after, scope) in
        [(200, &b"\x04note\x02\x02\x08readonly"[..]), (300, b"\x04note\x02\x02\x0aread-write")]
    {
        let mut client = connect(&edge, Line::Hocuspocus, PIPE);
        client.say(&Message::QueryAwareness).await;
        tokio::time::sleep(Duration::from_millis(after)).await;
        client.say(&Message::Token { token: "read-only", version: None }).await;
        assert_eq!(client.frame().await, (BINARY, scope.to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_when_the_connection_ends() {
    let edge = edge(Sandbox);
    for _ in 0..edge.options.max_connections + 1 {
        let Client { io, served, .. } = connect(&edge, y_websocket(), PIPE);
        drop(io);
        served.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_ends_sends_its_peers_back() {
    let edge = edge(Sandbox);
    let (mut ada, mut ben) =
        (connect(&edge, y_websocket(), PIPE), connect(&edge, Line::Hocuspocus, PIPE));
    ben.say(&Message::Token { token: "", version: None }).await;
    ben.second_of(BINARY, b"\x04note\x02\x02").await;
    // Not the server stops, only the rooms: as if they had failed.
    edge.rooms.stop().await;
    assert_eq!(ada.closed().await.1, CloseCode::RESTART);
    assert_eq!(ben.closed().await.1, CloseCode::RESTART);
}

#[tokio::test(start_paused = true)]
async fn who_sends_what_can_never_be_stored_does_not_come_back_at_once() {
    let edge = edge(Sandbox);
    let mut client = connect(&edge, y_websocket(), PIPE);
    let nonsense = Sync::Update(&[1, 1, 7, 0, 0xff]);
    client.send(BINARY, &commonplace_protocol::yws::Message::Sync(nonsense).encode()).await;
    assert_eq!(client.closed().await, (2, CloseCode::UPDATE_REFUSED));
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_a_refusal_but_the_close() {
    let edge = edge(Sandbox);
    let Line::YWebsocket { document, .. } = y_websocket() else { unreachable!() };
    let token = crate::access::SANDBOX_READ_ONLY_TOKEN.to_owned();
    let mut client = connect(&edge, Line::YWebsocket { document, token }, PIPE);
    // An edit, and y-sweet's "tell me when that is safe" behind it.
    client.send(BINARY, &[0, 2, 11, 1, 1, 1, 0, 4, 1, 1, b'a', 1, b'x', 0]).await;
    client.send(BINARY, &[102, 1, 7]).await;
    loop {
        let (first, body) = client.frame().await;
        assert_ne!(body.first(), Some(&102), "it is not safe");
        if first == CLOSE {
            assert_eq!(body[..2], CloseCode::FORBIDDEN.0.to_be_bytes());
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_silent_sockets_leaves_the_others_in_peace() {
    let edge = edge(Sandbox);
    let mut ada = connect(&edge, y_websocket(), PIPE);
    let mut crowd: Vec<_> =
        (1..edge.options.max_connections).map(|_| connect(&edge, Line::Hocuspocus, 64)).collect();
    assert!(edge.registry.take_place().is_none(), "they take every place");
    for silent in &mut crowd {
        assert_eq!(silent.closed().await, (10, CloseCode::TIMEOUT));
    }
    drop(crowd);
    ada.send(BINARY, &commonplace_protocol::yws::Message::Sync(Sync::SyncStep1(&[0])).encode())
        .await;
    ada.second_of(BINARY, &[0, 1]).await;
}

#[test]
fn an_idle_connection_is_small() {
    let edge = edge(Sandbox);
    let place = edge.registry.take_place().expect("there is a place");
    let (io, _client) = duplex(1);
    let task = serve(
        edge,
        place,
        io,
        Bytes::new(),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        Line::Hocuspocus,
        None,
    );
    let bytes = size_of_val(&task);
    assert!(bytes <= 4 * 1024, "the task of a connection takes {bytes} bytes");
}
