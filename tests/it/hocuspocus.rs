//! A Hocuspocus provider opens many documents on one socket, each with a token of its own.

use crate::documents::Copy;
use crate::tokens::{Tokens, with_tokens};
use commonplace_protocol::hocuspocus::{Frame, Message, Scope as WireScope, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_tests::{Client, Server, Setup};
use std::sync::Arc;
use std::time::Duration;

const V4: Option<&str> = Some("4.8.0");

/// What a server says about one document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Authenticated(WireScope),
    Denied(String),
    TokenWanted,
    Step1(Vec<u8>),
    Content(Vec<u8>),
    Status(bool),
    Closed(String),
    Other,
}

async fn send(client: &mut Client, address: &str, message: &Message<'_>) {
    client.send(encode(address.as_bytes(), message)).await;
}

async fn hear(client: &mut Client) -> (String, Heard) {
    loop {
        let frame = client.message().await;
        let Frame::Document(address, message) =
            decode_server(&frame).expect("the server speaks well")
        else {
            continue;
        };
        let heard = match message {
            Message::Authenticated { scope } => Heard::Authenticated(scope),
            Message::PermissionDenied { reason } => Heard::Denied(reason.to_owned()),
            Message::TokenRequest => Heard::TokenWanted,
            Message::Sync(Sync::SyncStep1(state_vector)) => Heard::Step1(state_vector.to_vec()),
            Message::Sync(Sync::SyncStep2(update) | Sync::Update(update)) => {
                Heard::Content(update.to_vec())
            }
            Message::SyncStatus(applied) => Heard::Status(applied),
            Message::Close { reason } => Heard::Closed(reason.unwrap_or_default().to_owned()),
            _ => Heard::Other,
        };
        return (String::from_utf8(address.raw.to_vec()).expect("text"), heard);
    }
}

/// Reads until something that fits, and returns it. What is passed over is taken in.
async fn hear_until(client: &mut Client, fits: impl Fn(&str, &Heard) -> bool) -> Heard {
    loop {
        let (address, heard) = hear(client).await;
        if fits(&address, &heard) {
            return heard;
        }
    }
}

async fn token(client: &mut Client, address: &str, token: &str, version: Option<&str>) {
    send(client, address, &Message::Token { token, version }).await;
}

/// What a provider does on open, up to the acknowledgement of its first answer.
async fn open(client: &mut Client, address: &str, copy: &Copy) {
    token(client, address, "", V4).await;
    send(client, address, &Message::Sync(Sync::SyncStep1(&copy.state_vector()))).await;
    assert_eq!(
        hear_until(client, |at, _| at == address).await,
        Heard::Authenticated(WireScope::ReadWrite)
    );
    let mut is_acknowledged = false;
    let mut is_synced = false;
    while !(is_acknowledged && is_synced) {
        match hear_until(client, |at, _| at == address).await {
            Heard::Step1(state_vector) => {
                send(client, address, &Message::Sync(Sync::SyncStep2(&copy.diff(&state_vector))))
                    .await;
            }
            Heard::Content(update) => {
                copy.apply(&update);
                is_synced = true;
            }
            Heard::Status(applied) => is_acknowledged = applied,
            _ => {}
        }
    }
}

async fn write(client: &mut Client, address: &str, copy: &Copy, words: &str) {
    send(client, address, &Message::Sync(Sync::Update(&copy.write(words)))).await;
}

async fn read_until_text(client: &mut Client, address: &str, copy: &Copy, text: &str) {
    while copy.read() != text {
        if let Heard::Content(update) = hear_until(client, |at, _| at == address).await {
            copy.apply(&update);
        }
    }
}

#[tokio::test]
async fn many_documents_share_a_socket() {
    let server = Server::start().await;
    let (mut ada, mut ben) = (server.connect("/sync").await, server.connect("/sync/").await);
    let copies: Vec<_> =
        (0..4).map(|n| (format!("note {n}"), Copy::new(n), Copy::new(100 + n))).collect();
    for (name, adas, bens) in &copies {
        open(&mut ada, name, adas).await;
        open(&mut ben, name, bens).await;
    }
    for (name, adas, _) in &copies {
        write(&mut ada, name, adas, name).await;
        assert_eq!(
            hear_until(&mut ada, |at, heard| at == name && matches!(heard, Heard::Status(_))).await,
            Heard::Status(true)
        );
    }
    for (name, _, bens) in &copies {
        read_until_text(&mut ben, name, bens, name).await;
    }
}

#[tokio::test]
async fn two_sessions_on_one_socket_are_two_peers() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let (first, second) = (Copy::new(1), Copy::new(2));
    open(&mut socket, "note\0aaa", &first).await;
    open(&mut socket, "note\0bbb", &second).await;
    write(&mut socket, "note\0aaa", &first, "hello").await;
    read_until_text(&mut socket, "note\0bbb", &second, "hello").await;
}

#[tokio::test]
async fn what_comes_before_the_answer_to_the_token_is_not_lost() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let copy = Copy::new(1);
    token(&mut socket, "note", "", V4).await;
    send(&mut socket, "note", &Message::Sync(Sync::SyncStep1(&copy.state_vector()))).await;
    write(&mut socket, "note", &copy, "hello").await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Status(true)).await;
}

#[tokio::test]
async fn a_provider_without_a_token_need_not_send_one() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let copy = Copy::new(1);
    send(&mut socket, "note", &Message::Sync(Sync::SyncStep1(&copy.state_vector()))).await;
    assert_eq!(hear(&mut socket).await.1, Heard::Authenticated(WireScope::ReadWrite));
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Content(_))).await;
}

#[tokio::test]
async fn a_document_that_is_left_is_left_alone() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let (one, two) = (Copy::new(1), Copy::new(2));
    open(&mut socket, "one", &one).await;
    open(&mut socket, "two", &two).await;
    send(&mut socket, "one", &Message::Close { reason: None }).await;
    let goodbye =
        hear_until(&mut socket, |at, heard| at == "one" && matches!(heard, Heard::Closed(_))).await;
    assert_eq!(goodbye, Heard::Closed("provider_initiated".to_owned()));
    write(&mut socket, "two", &two, "still here").await;
    hear_until(&mut socket, |at, heard| at == "two" && *heard == Heard::Status(true)).await;
    // And it can be opened again.
    open(&mut socket, "one", &Copy::new(3)).await;
}

#[tokio::test]
async fn a_reader_is_told_that_it_reads() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let copy = Copy::new(1);
    token(&mut socket, "note", "read-only", V4).await;
    send(&mut socket, "note", &Message::Sync(Sync::SyncStep1(&copy.state_vector()))).await;
    assert_eq!(hear(&mut socket).await.1, Heard::Authenticated(WireScope::ReadOnly));
    write(&mut socket, "note", &copy, "hello").await;
    assert_eq!(
        hear_until(&mut socket, |_, heard| matches!(heard, Heard::Status(_))).await,
        Heard::Status(false)
    );
    let other = Copy::new(2);
    open(&mut server.connect("/sync").await, "note", &other).await;
    assert_eq!(other.read(), "");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_its_document_for_those_who_can_be_told() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    let (one, two) = (Copy::new(1), Copy::new(2));
    open(&mut socket, "one", &one).await;
    open(&mut socket, "two", &two).await;
    // Type 6 is for servers among themselves.
    socket.send(b"\x03one\x06\x00".to_vec()).await;
    hear_until(&mut socket, |at, heard| at == "one" && matches!(heard, Heard::Closed(_))).await;
    write(&mut socket, "two", &two, "still here").await;
    hear_until(&mut socket, |at, heard| at == "two" && *heard == Heard::Status(true)).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_the_socket_of_those_who_cannot_be_told() {
    let server = Server::start().await;
    let mut socket = server.connect("/sync").await;
    token(&mut socket, "one", "", None).await;
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Authenticated(_))).await;
    socket.send(b"\x03one\x06\x00".to_vec()).await;
    assert_eq!(socket.close_code().await.0, 1002);
}

#[tokio::test]
async fn a_refused_token_is_answered_and_another_may_follow() {
    let server = with_tokens(Tokens::default()).await;
    let mut socket = server.connect("/sync").await;
    let copy = Copy::new(1);
    token(&mut socket, "note", "ada:nothing", V4).await;
    send(&mut socket, "note", &Message::Sync(Sync::SyncStep1(&copy.state_vector()))).await;
    let denied = Heard::Denied("\"nothing\" is not enough for note".to_owned());
    assert_eq!(hear(&mut socket).await.1, denied);
    token(&mut socket, "note", "ada:write", V4).await;
    // Nothing of what was said under the refused token comes between.
    assert_eq!(hear(&mut socket).await.1, Heard::Authenticated(WireScope::ReadWrite));
}

#[tokio::test]
async fn a_newer_token_changes_what_one_may() {
    let server = with_tokens(Tokens::default()).await;
    let mut socket = server.connect("/sync").await;
    let copy = Copy::new(1);
    token(&mut socket, "note", "ada:write", V4).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadWrite)).await;
    write(&mut socket, "note", &copy, "one").await;
    assert_eq!(
        hear_until(&mut socket, |_, heard| matches!(heard, Heard::Status(_))).await,
        Heard::Status(true)
    );
    token(&mut socket, "note", "ada:read", V4).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadOnly)).await;
    write(&mut socket, "note", &copy, "two").await;
    assert_eq!(
        hear_until(&mut socket, |_, heard| matches!(heard, Heard::Status(_))).await,
        Heard::Status(false)
    );
    token(&mut socket, "note", "ada:", V4).await;
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Closed(_))).await;
}

#[tokio::test]
async fn somebody_else_s_token_makes_a_new_peer() {
    let server = with_tokens(Tokens::default()).await;
    let mut socket = server.connect("/sync").await;
    token(&mut socket, "note", "ada:write", V4).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadWrite)).await;
    token(&mut socket, "note", "ben:read", V4).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadOnly)).await;
}

#[tokio::test]
async fn an_admission_that_ends_is_asked_about_in_time() {
    let server = with_tokens(Tokens::valid_for(Duration::from_millis(400))).await;
    let mut socket = server.connect("/sync").await;
    token(&mut socket, "note", "ada:write", V4).await;
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Authenticated(_))).await;
    for _ in 0..3 {
        hear_until(&mut socket, |_, heard| *heard == Heard::TokenWanted).await;
        token(&mut socket, "note", "ada:write", V4).await;
        hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadWrite))
            .await;
    }
}

#[tokio::test]
async fn who_does_not_answer_is_judged_by_the_old_token() {
    let access = Arc::new(Tokens::valid_for(Duration::from_millis(100)));
    let server = Setup { access: access.clone(), ..Setup::default() }.start().await;
    let mut socket = server.connect("/sync").await;
    token(&mut socket, "note", "ada:write", V4).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::TokenWanted).await;
    hear_until(&mut socket, |_, heard| *heard == Heard::Authenticated(WireScope::ReadWrite)).await;
    access.revoke();
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Closed(_))).await;
    write(&mut socket, "note", &Copy::new(1), "too late").await;
    token(&mut socket, "note", "ada:write", V4).await;
    assert!(
        matches!(hear(&mut socket).await.1, Heard::Denied(_)),
        "and nothing was said about the update"
    );
}

#[tokio::test]
async fn who_cannot_be_told_that_access_has_run_out_loses_the_socket_with_a_code_that_brings_it_back()
 {
    let access = Arc::new(Tokens::valid_for(Duration::from_millis(100)));
    let server = Setup { access: access.clone(), ..Setup::default() }.start().await;
    let mut socket = server.connect("/sync").await;
    token(&mut socket, "note", "ada:write", None).await;
    hear_until(&mut socket, |_, heard| matches!(heard, Heard::Authenticated(_))).await;
    access.revoke();
    assert_eq!(socket.close_code().await.0, 4205);
}
