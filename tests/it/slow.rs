//! A peer that does not read costs no memory, loses nothing, and nobody waits for it.

use crate::documents::Copy;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws::{Message, decode_server};
use commonplace_tests::{Client, Server};

async fn take(client: &mut Client, copy: &Copy) {
    let frame = client.message().await;
    if let Ok(Message::Sync(sync)) = decode_server(&frame)
        && let Some(answer) = copy.take(sync)
    {
        client.send(Message::Sync(Sync::SyncStep2(&answer)).encode()).await;
    }
}

async fn write(client: &mut Client, copy: &Copy, words: &str) {
    client.send(Message::Sync(Sync::Update(&copy.write(words))).encode()).await;
}

async fn open(server: &Server, copy: &Copy) -> Client {
    let mut client = server.connect("/sync/note").await;
    client.send(Message::Sync(Sync::SyncStep1(&copy.state_vector())).encode()).await;
    client
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_caught_up_when_it_does() {
    let server = Server::start().await;
    let (ada, ben, cleo) = (Copy::new(1), Copy::new(2), Copy::new(3));
    let mut ada_socket = open(&server, &ada).await;
    let mut ben_socket = open(&server, &ben).await;
    let mut cleo_socket = open(&server, &cleo).await;
    // Far more than the kernel's buffers and the outbox of one peer hold together. Ben does not read any of it.
    let page = "x".repeat(256 * 1024);
    for n in 1..=64 {
        write(&mut ada_socket, &ada, &page).await;
        while cleo.read().len() < n * page.len() {
            take(&mut cleo_socket, &cleo).await;
        }
        // Her own echoes.
        take(&mut ada_socket, &ada).await;
    }
    let counters = commonplace::metrics::render().expect("no other recorder in this process");
    let behind =
        counters.lines().find(|line| line.starts_with("commonplace_outbox_refused_total "));
    assert!(behind.is_some_and(|line| !line.ends_with(" 0")), "he has been behind");
    let words = ada.read();
    while ben.read().len() < words.len() {
        take(&mut ben_socket, &ben).await;
    }
    assert_eq!((ben.read() == words, cleo.read() == words), (true, true));
    // And from then on he is as live as everybody else.
    write(&mut ada_socket, &ada, "the end").await;
    while !ben.read().ends_with("the end") {
        take(&mut ben_socket, &ben).await;
    }
}

#[tokio::test]
async fn a_peer_that_only_writes_is_heard() {
    let server = Server::start().await;
    let (ada, ben) = (Copy::new(1), Copy::new(2));
    let mut ada_socket = server.connect("/sync/note").await;
    let mut ben_socket = open(&server, &ben).await;
    for n in 0..500 {
        write(&mut ada_socket, &ada, &format!("{n} ")).await;
    }
    while !ben.read().ends_with("499 ") {
        take(&mut ben_socket, &ben).await;
    }
}
