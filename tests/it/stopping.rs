//! A server that stops keeps what it has acknowledged, and sends its clients to the next one.

use crate::documents::Copy;
use commonplace::{Stopped, store::Store};
use commonplace_protocol::hocuspocus::{Frame, Message, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;
use commonplace_tests::{Said, Server, Setup};
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

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_stop_in_the_middle_of_work() {
    let store: Arc<dyn Store> = Arc::new(commonplace::store::sim::SimStore::new(1));
    let server = Setup { store: Arc::clone(&store), ..Setup::default() }.start().await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = server.connect("/sync").await;
        socket.send(encode(b"note", &Message::Token { token: "", version: Some("4.8.0") })).await;
        sockets.push(socket);
    }
    let tasks = server.tasks.clone();
    // Each writes its own name, again and again, and counts what is acknowledged; the third acknowledgement of the first stops the server.
    let writers = sockets.into_iter().zip(1_u64..).map(|(mut socket, client)| {
        let tasks = tasks.clone();
        async move {
            let copy = Copy::new(client);
            let mut acknowledged = 0;
            let word = format!("<{client}>");
            'writing: loop {
                let update = copy.write(&word);
                socket.send_if_open(encode(b"note", &Message::Sync(Sync::Update(&update)))).await;
                loop {
                    let Said::Message(frame) = socket.next().await else { break 'writing };
                    if let Ok(Frame::Document(_, Message::SyncStatus(true))) = decode_server(&frame)
                    {
                        acknowledged += 1;
                        break;
                    }
                }
                if client == 1 && acknowledged == 3 {
                    tasks.stop();
                }
            }
            (word, acknowledged)
        }
    });
    let (stopped, counts) = tokio::join!(server.stopped(), futures_util::future::join_all(writers));
    assert_eq!(stopped, Stopped::Whole);

    let server = Setup { store, ..Setup::default() }.start().await;
    let mut socket = server.connect("/sync/note").await;
    socket.send(yws::Message::Sync(Sync::SyncStep1(&[0])).encode()).await;
    let copy = Copy::new(100);
    loop {
        let frame = socket.message().await;
        if let Ok(yws::Message::Sync(sync @ Sync::SyncStep2(_))) = yws::decode_server(&frame) {
            copy.take(sync);
            break;
        }
    }
    let text = copy.read();
    for (word, acknowledged) in counts {
        let kept = text.matches(&word).count();
        assert!(kept >= acknowledged, "{word}: {acknowledged} acknowledged, {kept} kept");
    }
    assert!(text.matches("<1>").count() >= 3);
}
