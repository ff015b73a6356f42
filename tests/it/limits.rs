//! Too much of anything costs only its sender.

use commonplace_protocol::hocuspocus::{self, Message, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_tests::Server;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message as Frame;

fn token(address: &str) -> Vec<u8> {
    encode(address.as_bytes(), &Message::Token { token: "", version: Some("4.8.0") })
}

#[tokio::test]
async fn text_has_no_meaning() {
    let server = Server::start().await;
    for path in ["/sync", "/sync/note"] {
        let mut socket = server.connect(path).await;
        socket.socket.send(Frame::text("hello")).await.expect("the server reads");
        assert_eq!(socket.close_code().await.0, 1003, "{path}");
    }
}

#[tokio::test]
async fn nothing_large_is_taken_before_a_document_is_open() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    socket.send(vec![1; 17 * 1024]).await;
    assert_eq!(socket.close_code().await.0, 1009);
}

#[tokio::test]
async fn a_sync_above_the_limit_is_refused_for_good() {
    let server = Server::start().await;
    let large = vec![0; commonplace_protocol::limits::MAX_INITIAL_SYNC + 1];
    let mut socket = server.connect("/sync/note").await;
    socket.send(commonplace_protocol::yws::Message::Sync(Sync::SyncStep2(&large)).encode()).await;
    assert_eq!(socket.close_code().await.0, 4422);
}

#[tokio::test]
async fn p43_an_edit_above_the_limit_of_edits_comes_back_as_a_sync() {
    let server = Server::start().await;
    let copy = crate::documents::Copy::new(1);
    let edit = copy.write(&"a chapter ".repeat(150_000));
    let mut socket = server.connect("/sync/note").await;
    socket.send(commonplace_protocol::yws::Message::Sync(Sync::Update(&edit)).encode()).await;
    assert_eq!(socket.close_code().await.0, 4205);
    // For providers too, whether or not single documents can be closed for them.
    for version in [None, Some("4.8.0")] {
        let mut socket = server.connect("/sync").await;
        socket.send(encode(b"note", &Message::Token { token: "", version })).await;
        while !matches!(
            decode_server(&socket.message().await),
            Ok(hocuspocus::Frame::Document(_, Message::Authenticated { .. }))
        ) {}
        socket.send(encode(b"note", &Message::Sync(Sync::Update(&edit)))).await;
        assert_eq!(socket.close_code().await.0, 4205);
    }
    let mut socket = server.connect("/sync").await;
    socket.send(token("note")).await;
    socket.send(encode(b"note", &Message::Sync(Sync::SyncStep2(&edit)))).await;
    loop {
        let frame = socket.message().await;
        if let Ok(hocuspocus::Frame::Document(_, Message::SyncStatus(applied))) =
            decode_server(&frame)
        {
            assert!(applied);
            return;
        }
    }
}

#[tokio::test]
async fn pings_are_answered_but_not_without_end() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync/note").await;
    for _ in 0..11 {
        socket.socket.send(Frame::Ping(Vec::new().into())).await.expect("the server reads");
    }
    assert_eq!(socket.close_code().await.0, 1008);
}

#[tokio::test]
async fn a_socket_holds_so_many_documents_and_no_more() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    for n in 0..257 {
        socket.send(token(&format!("note {n}"))).await;
    }
    let (mut opened, mut refused) = (0, Vec::new());
    while opened + refused.len() < 257 {
        let frame = socket.message().await;
        match decode_server(&frame) {
            Ok(hocuspocus::Frame::Document(_, Message::Authenticated { .. })) => opened += 1,
            Ok(hocuspocus::Frame::Document(address, Message::PermissionDenied { .. })) => {
                refused.push(address.document.to_owned())
            }
            _ => {}
        }
    }
    assert_eq!((opened, refused), (256, vec!["note 256".to_owned()]));
}

#[tokio::test]
async fn a_client_that_hammers_one_address_with_refused_documents_is_not_kept_in_memory() {
    let server = crate::tokens::with_tokens(crate::tokens::Tokens::default()).await;
    let mut socket = server.connect("/sync").await;
    for n in 0..500 {
        socket.send(token(&format!("note {n}"))).await;
        socket.message().await;
    }
}
