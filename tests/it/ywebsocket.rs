//! A y-websocket client opens a document by its URL, and is closed with a code that says what to do next.

use crate::documents::Copy;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws::{Message, decode_server};
use commonplace_tests::{Client, Server};

/// Opens a document and syncs, as y-websocket does.
async fn open(server: &Server, path: &str, copy: &Copy) -> Client {
    let mut client = server.connect(path).await;
    client.send(Message::Sync(Sync::SyncStep1(&copy.state_vector())).encode()).await;
    read_until(&mut client, copy, |message| matches!(message, Message::Sync(Sync::SyncStep2(_))))
        .await;
    client
}

/// Takes in what comes, answering as a client does, until it is what is waited for.
async fn read_until(client: &mut Client, copy: &Copy, is_it: impl Fn(&Message<'_>) -> bool) {
    loop {
        let frame = client.message().await;
        let message = decode_server(&frame).expect("the server speaks well");
        if let Message::Sync(sync) = message
            && let Some(answer) = copy.take(sync)
        {
            client.send(Message::Sync(Sync::SyncStep2(&answer)).encode()).await;
        }
        if is_it(&message) {
            return;
        }
    }
}

async fn read_until_text(client: &mut Client, copy: &Copy, text: &str) {
    while copy.read() != text {
        read_until(client, copy, |message| matches!(message, Message::Sync(_))).await;
    }
}

fn update(bytes: &[u8]) -> Vec<u8> {
    Message::Sync(Sync::Update(bytes)).encode()
}

#[tokio::test]
async fn two_clients_see_what_the_other_writes() {
    let server = Server::start().await;
    let (ada, ben) = (Copy::new(1), Copy::new(2));
    let mut ada_socket = open(&server, "/sync/group/a%20note", &ada).await;
    let mut ben_socket = open(&server, "/sync/group/a%20note", &ben).await;
    ada_socket.send(update(&ada.write("hello"))).await;
    read_until_text(&mut ben_socket, &ben, "hello").await;
    ben_socket.send(update(&ben.write(" there"))).await;
    read_until_text(&mut ada_socket, &ada, "hello there").await;
}

#[tokio::test]
async fn documents_do_not_leak_into_each_other() {
    let server = Server::start().await;
    let (ada, ben) = (Copy::new(1), Copy::new(2));
    let mut ada_socket = open(&server, "/sync/one", &ada).await;
    ada_socket.send(update(&ada.write("hello"))).await;
    // The echo says that it is stored and shown.
    read_until(&mut ada_socket, &ada, |message| matches!(message, Message::Sync(Sync::Update(_))))
        .await;
    let _ben_socket = open(&server, "/sync/one/more", &ben).await;
    assert_eq!(ben.read(), "");
}

#[tokio::test]
async fn a_late_comer_gets_everything() {
    let server = Server::start().await;
    let ada = Copy::new(1);
    let mut ada_socket = open(&server, "/sync/note", &ada).await;
    ada_socket.send(update(&ada.write("hello"))).await;
    read_until(&mut ada_socket, &ada, |message| matches!(message, Message::Sync(Sync::Update(_))))
        .await;
    let ben = Copy::new(2);
    let _ben_socket = open(&server, "/sync/note", &ben).await;
    assert_eq!(ben.read(), "hello");
}

#[tokio::test]
async fn a_reader_reads_and_does_not_write() {
    let server = Server::start().await;
    let (ada, ben) = (Copy::new(1), Copy::new(2));
    let mut ada_socket = open(&server, "/sync/note", &ada).await;
    let mut ben_socket = open(&server, "/sync/note?token=read-only", &ben).await;
    ada_socket.send(update(&ada.write("hello"))).await;
    read_until_text(&mut ben_socket, &ben, "hello").await;
    ben_socket.send(update(&ben.write(" there"))).await;
    ada_socket.send(update(&ada.write("!"))).await;
    read_until_text(&mut ada_socket, &ada, "hello!").await;
    let cleo = Copy::new(3);
    let _cleo_socket = open(&server, "/sync/note", &cleo).await;
    assert_eq!(cleo.read(), "hello!");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_closes_its_sender_only() {
    let server = Server::start().await;
    let ada = Copy::new(1);
    let mut ada_socket = open(&server, "/sync/note", &ada).await;
    for (bytes, code) in
        [(&b"\x00\x07\x00"[..], 1002), (b"\x02\x00\x01x", 1002), (b"\x00\x02\xff", 1002)]
    {
        let mut ben_socket = server.connect("/sync/note").await;
        ben_socket.send(bytes.to_vec()).await;
        assert_eq!(ben_socket.close_code().await.0, code, "{bytes:?}");
    }
    ada_socket.send(update(&ada.write("hello"))).await;
    read_until(&mut ada_socket, &ada, |message| matches!(message, Message::Sync(Sync::Update(_))))
        .await;
}

#[tokio::test]
async fn an_application_s_own_message_is_passed_over() {
    let server = Server::start().await;
    let ada = Copy::new(1);
    let mut socket = server.connect("/sync/note").await;
    socket.send(vec![0xc8, 0x01, 1, 2, 3]).await;
    socket.send(vec![0, 0]).await;
    socket.send(Message::Sync(Sync::SyncStep1(&ada.state_vector())).encode()).await;
    read_until(&mut socket, &ada, |message| matches!(message, Message::Sync(Sync::SyncStep2(_))))
        .await;
}

#[tokio::test]
async fn what_is_written_is_counted() {
    let server = Server::start().await;
    let ada = Copy::new(1);
    let mut client = open(&server, "/sync/counted", &ada).await;
    client.send(update(&ada.write("one"))).await;
    read_until(&mut client, &ada, |message| matches!(message, Message::Sync(Sync::Update(_))))
        .await;
    let counters = server.get("/metrics").await.body;
    for name in [
        "commonplace_rooms",
        "commonplace_peers",
        "commonplace_frames_received_total",
        "commonplace_bytes_sent_total",
        "commonplace_updates_received_total",
        "commonplace_updates_shown_total",
        "commonplace_update_frames_encoded_total",
        "commonplace_updates_waiting",
        "commonplace_append_seconds_count",
    ] {
        let line = counters.lines().find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok());
        let is_counted = value.is_some_and(|value| value > 0.0 || name.ends_with("_waiting"));
        assert!(is_counted, "{name}: {line:?}\n{counters}");
    }
}
