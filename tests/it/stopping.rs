//! A server that stops keeps what it has acknowledged, and sends its clients to the next one.

use crate::documents::Copy;
use commonplace::{Stopped, store::Store};
use commonplace_protocol::hocuspocus::{Frame, Message, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_tests::{Server, Setup};
use std::sync::Arc;

#[tokio::test]
async fn clients_are_sent_away_with_a_code_that_brings_them_back() {
    let server = Server::start().await;
    let mut ada = server.connect("/sync/note").await;
    let mut ben = server.connect("/sync").await;
    let (stopped, ada, ben) = tokio::join!(server.stop(), ada.close_code(), ben.close_code());
    assert_eq!((stopped, ada.0, ben.0), (Stopped::Whole, 1012, 1012));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_in_the_next_process() {
    let store: Arc<dyn Store> = Arc::new(commonplace::store::sim::SimStore::new(1));
    let server = Setup { store: Arc::clone(&store), ..Setup::default() }.start().await;
    let copy = Copy::new(1);
    let mut socket = server.connect("/sync").await;
    socket.send(encode(b"note", &Message::Token { token: "", version: Some("4.8.0") })).await;
    socket.send(encode(b"note", &Message::Sync(Sync::Update(&copy.write("hello"))))).await;
    loop {
        let frame = socket.message().await;
        if let Ok(Frame::Document(_, Message::SyncStatus(applied))) = decode_server(&frame) {
            assert!(applied);
            break;
        }
    }
    let (stopped, _) = tokio::join!(server.stop(), socket.close_code());
    assert_eq!(stopped, Stopped::Whole);

    let server = Setup { store, ..Setup::default() }.start().await;
    let mut socket = server.connect("/sync").await;
    socket.send(encode(b"note", &Message::Token { token: "", version: None })).await;
    socket.send(encode(b"note", &Message::Sync(Sync::SyncStep1(&[0])))).await;
    let copy = Copy::new(2);
    while copy.read() != "hello" {
        let frame = socket.message().await;
        if let Ok(Frame::Document(_, Message::Sync(sync))) = decode_server(&frame) {
            copy.take(sync);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_listen_does_not_hold_the_server_up() {
    let server = Server::start().await;
    // Open, and never read.
    let _silent = server.connect("/sync").await;
    assert_eq!(server.stop().await, Stopped::Whole);
}
