//! Many people write into one note at once, with clients of both families, and all end up with the same words.

use crate::documents::Copy;
use commonplace_protocol::hocuspocus::{self, Frame, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;
use commonplace_tests::{Client, Server};
use futures_util::future::join_all;

const WRITERS: u64 = 24;
const EDITS: usize = 20;
const WORD: &str = "word ";
const LENGTH: usize = WORD.len() * EDITS * WRITERS as usize;

/// Half of the crowd speaks one dialect, half the other.
fn framed(is_provider: bool, sync: Sync<'_>) -> Vec<u8> {
    if is_provider {
        encode(b"note", &hocuspocus::Message::Sync(sync))
    } else {
        yws::Message::Sync(sync).encode()
    }
}

fn unframed(is_provider: bool, frame: &[u8]) -> Option<Sync<'_>> {
    if is_provider {
        match decode_server(frame).expect("the server speaks well") {
            Frame::Document(_, hocuspocus::Message::Sync(sync)) => Some(sync),
            _ => None,
        }
    } else {
        match yws::decode_server(frame).expect("the server speaks well") {
            yws::Message::Sync(sync) => Some(sync),
            _ => None,
        }
    }
}

async fn take(client: &mut Client, is_provider: bool, copy: &Copy) {
    let frame = client.message().await;
    if let Some(sync) = unframed(is_provider, &frame)
        && let Some(answer) = copy.take(sync)
    {
        client.send(framed(is_provider, Sync::SyncStep2(&answer))).await;
    }
}

async fn person(server: &Server, number: u64) -> String {
    let is_provider = number.is_multiple_of(2);
    let copy = Copy::new(number);
    let mut client = server.connect(if is_provider { "/sync" } else { "/sync/note" }).await;
    if is_provider {
        let token = hocuspocus::Message::Token { token: "", version: None };
        client.send(encode(b"note", &token)).await;
    }
    client.send(framed(is_provider, Sync::SyncStep1(&copy.state_vector()))).await;
    for edit in 0..EDITS {
        client.send(framed(is_provider, Sync::Update(&copy.write(WORD)))).await;
        if edit % 3 == 0 {
            take(&mut client, is_provider, &copy).await;
        }
    }
    while copy.read().len() < LENGTH {
        take(&mut client, is_provider, &copy).await;
    }
    copy.read()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_both_families_converges() {
    let server = Server::start().await;
    let texts = join_all((1..=WRITERS).map(|number| person(&server, number))).await;
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert_eq!(texts[0].matches(WORD).count(), EDITS * WRITERS as usize);
}
