//! Updates that bring yrs down, each class once, sent into documents where people are writing.
//!
//! The gate's own tests go through hundreds of thousands of them; here it matters what the sender is told, and that nobody else notices. The
//! pairs' documents are yrs too: what the server let through would bring them down as well.

#[path = "../../gate/wire.rs"]
#[expect(dead_code, reason = "the gate's tests use all of it")]
mod wire;

use super::{DOCUMENTS, Scene, name};
use commonplace_protocol::hocuspocus::{Frame, Message, decode_server, encode};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::varint::write_var_u64;
use commonplace_tests::Client;
use commonplace_tests::process::{dial, send};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Block, Content, Parent, Update};

/// What the sender of an update is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is saved.
    Saved,
    /// It will never be.
    Refused,
    /// "Send me everything": something is missing.
    Asked,
    /// The document is closed for it: that was no message.
    Closed,
}

struct Attacker {
    client: Client,
    document: String,
}

impl Attacker {
    async fn open(address: SocketAddr, document: &str) -> Self {
        let client = dial(address, "/sync").await.expect("a socket");
        let mut attacker = Self { client, document: document.to_owned() };
        attacker.say(&Message::Token { token: "", version: Some("4.8.0") }).await;
        attacker
    }

    async fn say(&mut self, message: &Message<'_>) {
        assert!(send(&mut self.client, encode(self.document.as_bytes(), message)).await);
    }

    async fn offer(&mut self, update: &[u8]) -> Told {
        self.say(&Message::Sync(Sync::Update(update))).await;
        loop {
            let frame = self.client.message().await;
            match decode_server(&frame).expect("the server speaks well") {
                Frame::Document(_, Message::SyncStatus(true)) => return Told::Saved,
                Frame::Document(_, Message::SyncStatus(false)) => return Told::Refused,
                Frame::Document(_, Message::Sync(Sync::SyncStep1(_))) => return Told::Asked,
                Frame::Document(_, Message::Close { .. }) => return Told::Closed,
                _ => {}
            }
        }
    }
}

fn block(origin: Option<(u64, u32)>, parent: Parent, content: Content) -> Block {
    Block { origin, right: None, parent, key: None, content }
}

fn at_root(content: Content) -> Block {
    block(None, Parent::Root("t".to_owned()), content)
}

fn under_key(content: Content) -> Block {
    Block { key: Some("k".to_owned()), ..at_root(content) }
}

fn after(origin: (u64, u32), content: Content) -> Block {
    block(Some(origin), Parent::Root(String::new()), content)
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn one(client: u64, start: u32, blocks: Vec<Block>) -> Vec<u8> {
    Update { sections: vec![(client, start, blocks)], deletes: Vec::new() }.bytes()
}

fn many(sections: Vec<(u64, u32, Vec<Block>)>) -> Vec<u8> {
    Update { sections, deletes: Vec::new() }.bytes()
}

/// One block whose content is written by hand, in the list `t`.
fn by_hand(client: u64, info: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1];
    write_var_u64(&mut out, client);
    out.extend([0, info, 1, 1, b't']);
    out.extend(content);
    out.push(0);
    out
}

/// Each class: what it is, what is sent, and what the sender is told of the last of it. `c` is a client id that nobody else uses.
fn classes(c: u64) -> Vec<(&'static str, Vec<Vec<u8>>, Told)> {
    use Told::{Asked, Refused};
    let nested_values = |depth: usize| [vec![1], [117, 1].repeat(depth), vec![127]].concat();
    let chain = (0..10_000).map(|n| match n {
        0 => at_root(Content::Type(0)),
        n => block(None, Parent::Type((c, n - 1)), Content::Type(0)),
    });
    let empty_sections = {
        let mut out = Vec::new();
        write_var_u64(&mut out, 30_000);
        for n in 0..30_000_u64 {
            out.push(0);
            write_var_u64(&mut out, c + n);
            out.push(0);
        }
        out.push(0);
        out
    };
    let deletes = |ranges: u32| {
        Update {
            sections: Vec::new(),
            deletes: vec![(c, (0..ranges).map(|n| (2 * n, 1)).collect())],
        }
        .bytes()
    };
    vec![
        ("nothing at all", vec![vec![]], Told::Closed),
        (
            "an update that is cut",
            vec![one(c, 0, vec![at_root(text("abc"))])[..9].to_vec()],
            Refused,
        ),
        ("134 MB of sections in 4 bytes", vec![vec![0x80, 0x80, 0x80, 0x20]], Refused),
        ("527 MB of sections in 5 bytes", vec![vec![0x80, 0x80, 0x80, 0x80, 0x01]], Refused),
        (
            "the same block twice",
            vec![many(vec![
                (c, 0, vec![at_root(text("abc"))]),
                (c, 0, vec![at_root(text("abc"))]),
            ])],
            Refused,
        ),
        (
            "clocks known as something else",
            vec![
                one(c, 0, vec![at_root(text("abc"))]),
                one(c, 0, vec![at_root(Content::Embed("{}".to_owned()))]),
            ],
            Refused,
        ),
        (
            "history with other letters",
            vec![one(c, 0, vec![at_root(text("abc"))]), one(c, 0, vec![at_root(text("xyz"))])],
            Refused,
        ),
        (
            "a map entry that is too long",
            vec![one(c, 0, vec![under_key(Content::Any(vec![1, 2, 3]))])],
            Refused,
        ),
        ("text under a key", vec![one(c, 0, vec![under_key(text("a"))])], Refused),
        (
            "a format under a key",
            vec![one(c, 0, vec![under_key(Content::Format("b".to_owned(), "true".to_owned()))])],
            Refused,
        ),
        (
            "its own parent",
            vec![one(c, 0, vec![block(None, Parent::Type((c, 0)), text("a"))])],
            Refused,
        ),
        ("its own origin", vec![one(c, 0, vec![after((c, 0), text("a"))])], Refused),
        ("its own future", vec![one(c, 0, vec![after((c, 7), text("a"))])], Refused),
        (
            "a circle",
            vec![many(vec![
                (c, 0, vec![after((c + 1, 0), text("a"))]),
                (c + 1, 0, vec![after((c, 0), text("b"))]),
            ])],
            Refused,
        ),
        (
            "a parent that is no type",
            vec![one(
                c,
                0,
                vec![at_root(text("abc")), block(None, Parent::Type((c, 0)), text("a"))],
            )],
            Refused,
        ),
        ("a gap", vec![one(c, 5, vec![at_root(text("abc"))])], Asked),
        ("a missing origin", vec![one(c, 0, vec![after((c + 9, 7), text("abc"))])], Asked),
        (
            "a missing parent",
            vec![one(c, 0, vec![block(None, Parent::Type((c + 9, 7)), text("a"))])],
            Asked,
        ),
        ("250,000 deletions of nothing", vec![deletes(250_000)], Asked),
        (
            "20,000 deletions at once",
            vec![one(c, 0, vec![at_root(text(&"ab".repeat(20_000)))]), deletes(20_000)],
            Refused,
        ),
        (
            "a clock at the end of all clocks",
            vec![one(c, 0x7fff_ffff, vec![at_root(text("abc"))])],
            Refused,
        ),
        ("a clock beyond it", vec![one(c, u32::MAX, vec![at_root(text("abc"))])], Refused),
        (
            "a length beyond it",
            vec![one(c, 0, vec![at_root(Content::Deleted(0x8000_0000))])],
            Refused,
        ),
        ("a client id of 60 bits", vec![one(1 << 60 | 5, 0, vec![at_root(text("a"))])], Refused),
        ("a client id of 54 bits", vec![one(1 << 53, 0, vec![at_root(text("a"))])], Refused),
        ("values in values", vec![by_hand(c, 8, &nested_values(10_000))], Refused),
        ("types in types", vec![one(c, 0, chain.collect())], Refused),
        ("30,000 empty sections", vec![empty_sections], Refused),
        ("content of the old kind", vec![by_hand(c, 2, b"\x01\x03{}\x20")], Refused),
        ("a hole", vec![vec![1, 1, 9, 0, 10, 5, 0]], Asked),
        ("a block of no length", vec![one(c, 0, vec![at_root(Content::Deleted(0))])], Refused),
        ("text that is no text", vec![by_hand(c, 4, b"\x02\xc3\x28")], Refused),
        ("a type nobody knows", vec![one(c, 0, vec![at_root(Content::Type(9))])], Refused),
        (
            "bytes after the end",
            vec![[one(c, 0, vec![at_root(text("abc"))]), vec![0]].concat()],
            Refused,
        ),
        ("the other encoding", vec![vec![0; 13]], Refused),
        (
            "a hundred roots",
            vec![one(
                c,
                0,
                (0..100)
                    .map(|n| block(None, Parent::Root(format!("root {n}")), text("a")))
                    .collect(),
            )],
            Refused,
        ),
    ]
}

#[tokio::test]
async fn every_class_of_hostile_update() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let mut wrong = Vec::new();
            for document in 0..DOCUMENTS {
                let client = |n: u64| 1_000_000 * (document + 1) + 50_000 * n;
                for n in 0..classes(0).len() {
                    let (what, updates, expected) = classes(client(n as u64)).swap_remove(n);
                    let mut attacker = Attacker::open(address, &name(document)).await;
                    let mut told = None;
                    for update in &updates {
                        told = Some(attacker.offer(update).await);
                    }
                    if told != Some(expected) {
                        wrong.push(format!("{what}: {told:?}"));
                    }
                }
            }
            assert!(wrong.is_empty(), "{wrong:?}");
        })
        .await;
}

#[tokio::test]
async fn a_hundred_thousand_letters_one_by_one() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            // Applied in one transaction it would take gigabytes.
            let blocks = (0..100_000).map(|n| match n {
                0 => at_root(text("a")),
                n => after((9, n - 1), text("a")),
            });
            let update = one(9, 0, blocks.collect());
            let since = Instant::now();
            let mut attacker = Attacker::open(address, &name(0)).await;
            assert_eq!(attacker.offer(&update).await, Told::Saved);
            assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        })
        .await;
}

#[tokio::test]
async fn thousands_of_updates_that_cannot_be_placed() {
    let scene = Scene::with(&[]).await;
    let address = scene.address();
    scene
        .attack(async {
            let mut attacker = Attacker::open(address, &name(0)).await;
            for n in 0..16_000_u32 {
                let update = one(9, 0, vec![after((10, n), text("a"))]);
                attacker.say(&Message::Sync(Sync::Update(&update))).await;
            }
            // One question covers them all, and what answers it settles them all.
            assert_eq!(
                attacker.offer(&one(9, 0, vec![after((10, 0), text("a"))])).await,
                Told::Asked
            );
            attacker.say(&Message::Sync(Sync::SyncStep2(&[0, 0]))).await;
            for _ in 0..16_001 {
                let frame = attacker.client.message().await;
                let status = decode_server(&frame).expect("the server speaks well");
                assert!(
                    matches!(
                        status,
                        Frame::Document(
                            _,
                            Message::SyncStatus(true)
                                | Message::Awareness(_)
                                | Message::Sync(Sync::Update(_))
                        )
                    ),
                    "{status:?}"
                );
            }
        })
        .await;
}
