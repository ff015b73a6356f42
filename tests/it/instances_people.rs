//! People meet in a document although they are connected to different instances.

use crate::documents::Copy;
use crate::tokens::Tokens;
use commonplace::Stopped;
use commonplace::access::{Principal, Scope};
use commonplace::bus::message::{Command, Message as Said};
use commonplace::bus::{Hall, Speaker, Voice};
use commonplace::store::LogName;
use commonplace::store::sim::SimStore;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::hocuspocus::{self, Frame, Message, Scope as WireScope, decode_server};
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::presence::{self, Entry};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;
use commonplace_tests::{Client, Server, Setup};
use std::sync::Arc;

/// Two instances on one store.
struct Instances {
    one: Server,
    two: Server,
    /// The way of the second to the first.
    voice_of_two: Voice,
    hall: Hall,
}

impl Instances {
    async fn start() -> Self {
        let (store, hall) = (SimStore::new(1), Hall::new());
        let voice_of_two = hall.voice();
        let start = async |store: SimStore, voice: Voice| {
            let access = Arc::new(Tokens::default());
            Setup { store: Arc::new(store), bus: Arc::new(voice), access, ..Setup::default() }
                .start()
                .await
        };
        let two = start(store.another_instance(), voice_of_two.clone()).await;
        let one = start(store, hall.voice()).await;
        Self { one, two, voice_of_two, hall }
    }

    /// A third instance, on which nobody has the document open, is told to do this.
    fn command(&self, command: Command) {
        let log = LogName::new("doc/note").expect("a name");
        Speaker::new(Arc::new(self.hall.voice())).say(&log, Said::Command(command));
    }
}

fn id(client: u64) -> ClientId {
    ClientId::new(client).expect("small")
}

fn awareness(client: u64, clock: u32, state: Option<&str>) -> Vec<u8> {
    presence::encode(&[Entry { client: id(client), clock, state }])
}

/// A y-websocket client that shows itself.
async fn y_websocket(server: &Server, token: &str, client: u64) -> Client {
    let mut socket = server.connect(&format!("/sync/note?token={token}")).await;
    let nothing = Copy::new(client).state_vector();
    socket.send(yws::Message::Sync(Sync::SyncStep1(&nothing)).encode()).await;
    socket.send(yws::Message::Awareness(&awareness(client, 1, Some("{}"))).encode()).await;
    socket
}

/// Reads until this client is there, or gone.
async fn y_sees(socket: &mut Client, client: u64, there: bool) {
    loop {
        let frame = socket.message().await;
        if let yws::Message::Awareness(update) = yws::decode_server(&frame).expect("it speaks well")
            && shows(update, client, there)
        {
            return;
        }
    }
}

fn shows(update: &[u8], client: u64, there: bool) -> bool {
    let entries = presence::decode(update).expect("it speaks well");
    entries.iter().any(|entry| entry.client == id(client) && entry.state.is_some() == there)
}

/// A Hocuspocus provider.
async fn provider(server: &Server, token: &str) -> Client {
    let mut socket = server.connect("/sync").await;
    say(&mut socket, &Message::Token { token, version: Some("4.8.0") }).await;
    say(&mut socket, &Message::Sync(Sync::SyncStep1(&Copy::new(9).state_vector()))).await;
    hear(&mut socket, |message| matches!(message, Message::Sync(Sync::SyncStep2(_)))).await;
    say(&mut socket, &Message::Sync(Sync::SyncStep2(&[0, 0]))).await;
    hear(&mut socket, |message| matches!(message, Message::SyncStatus(true))).await;
    socket
}

async fn say(socket: &mut Client, message: &Message<'_>) {
    socket.send(hocuspocus::encode(b"note", message)).await;
}

/// Reads until this.
async fn hear(socket: &mut Client, is_it: impl Fn(&Message<'_>) -> bool) {
    loop {
        let frame = socket.message().await;
        if let Frame::Document(_, message) = decode_server(&frame).expect("it speaks well")
            && is_it(&message)
        {
            return;
        }
    }
}

async fn provider_sees(socket: &mut Client, client: u64, there: bool) {
    let is_it = |message: &Message<'_>| matches!(message, Message::Awareness(update) if shows(update, client, there));
    hear(socket, is_it).await;
}

#[tokio::test]
async fn who_is_at_one_instance_is_seen_at_the_other_until_they_leave() {
    let instances = Instances::start().await;
    let mut ada = y_websocket(&instances.one, "ada:write", 10).await;
    let mut ben = provider(&instances.two, "ben:write").await;
    provider_sees(&mut ben, 10, true).await;
    say(&mut ben, &Message::Awareness(&awareness(20, 1, Some("{}")))).await;
    y_sees(&mut ada, 20, true).await;
    // Whoever comes later is told at once.
    let mut carl = y_websocket(&instances.two, "carl:write", 30).await;
    y_sees(&mut carl, 10, true).await;
    y_sees(&mut ada, 30, true).await;
    drop(carl);
    y_sees(&mut ada, 30, false).await;
    ada.socket.close(None).await.expect("it closes");
    provider_sees(&mut ben, 10, false).await;
}

#[tokio::test]
async fn an_instance_that_stops_takes_its_people_down() {
    let instances = Instances::start().await;
    let mut ada = y_websocket(&instances.one, "ada:write", 10).await;
    let mut ben = y_websocket(&instances.two, "ben:write", 20).await;
    y_sees(&mut ada, 20, true).await;
    y_sees(&mut ben, 10, true).await;
    let leaves = async { drop(ada.close_code().await) };
    let (stopped, ()) = tokio::join!(instances.one.stop(), leaves);
    assert_eq!(stopped, Stopped::Whole);
    y_sees(&mut ben, 10, false).await;
    // And is seen again at once where it comes back, with the clock it had.
    let _ada = y_websocket(&instances.two, "ada:write", 10).await;
    y_sees(&mut ben, 10, true).await;
}

#[tokio::test]
async fn an_instance_that_was_cut_off_asks_who_is_there() {
    let instances = Instances::start().await;
    let mut ada = y_websocket(&instances.one, "ada:write", 10).await;
    let mut ben = y_websocket(&instances.two, "ben:write", 20).await;
    y_sees(&mut ben, 10, true).await;
    y_sees(&mut ada, 20, true).await;
    instances.voice_of_two.cut_off();
    let _carl = y_websocket(&instances.one, "carl:write", 30).await;
    y_sees(&mut ada, 30, true).await;
    instances.voice_of_two.restore();
    y_sees(&mut ben, 30, true).await;
}

#[tokio::test]
async fn p91_a_text_of_the_server_reaches_every_provider() {
    let instances = Instances::start().await;
    let mut ada = provider(&instances.one, "ada:write").await;
    let mut ben = provider(&instances.two, "ben:read").await;
    instances.command(Command::Stateless("lunch".to_owned()));
    for socket in [&mut ada, &mut ben] {
        hear(socket, |message| matches!(message, Message::Stateless("lunch"))).await;
    }
}

#[tokio::test]
async fn p29_a_text_of_a_client_reaches_nobody() {
    let instances = Instances::start().await;
    let mut ada = provider(&instances.one, "ada:write").await;
    let mut ben = provider(&instances.two, "ben:write").await;
    say(&mut ada, &Message::Stateless("psst")).await;
    // What the server says afterwards comes first.
    say(&mut ada, &Message::Awareness(&awareness(10, 1, Some("{}")))).await;
    hear(&mut ben, |message| match message {
        Message::Stateless(text) => panic!("{text}"),
        Message::Awareness(update) => shows(update, 10, true),
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn p92_a_writer_becomes_a_reader_and_then_a_stranger_on_every_instance() {
    let instances = Instances::start().await;
    let rights = |scope| Command::Rights { principal: Principal("ada".into()), scope };
    let mut sockets =
        [provider(&instances.one, "ada:write").await, provider(&instances.two, "ada:write").await];
    let mut plain = y_websocket(&instances.two, "ada:write", 10).await;
    let mut ben = provider(&instances.two, "ben:write").await;
    provider_sees(&mut ben, 10, true).await;
    instances.command(rights(Some(Scope::ReadOnly)));
    for (socket, writer) in sockets.iter_mut().zip([40, 50]) {
        let told = |message: &Message<'_>| {
            matches!(message, Message::Authenticated { scope: WireScope::ReadOnly })
        };
        hear(socket, told).await;
        // An edit on its way is refused.
        let edit = Copy::new(writer).write("no");
        say(socket, &Message::Sync(Sync::Update(&edit))).await;
        hear(socket, |message| matches!(message, Message::SyncStatus(false))).await;
    }
    instances.command(rights(None));
    for socket in &mut sockets {
        hear(socket, |message| matches!(message, Message::Close { .. })).await;
    }
    assert_eq!(plain.close_code().await.0, CloseCode::FORBIDDEN.0);
    // Nobody else has noticed.
    say(&mut ben, &Message::Sync(Sync::Update(&Copy::new(20).write("still here")))).await;
    hear(&mut ben, |message| matches!(message, Message::SyncStatus(true))).await;
}

#[tokio::test]
async fn p93_a_document_is_closed_on_every_instance_with_the_reason() {
    let instances = Instances::start().await;
    let mut ada = y_websocket(&instances.one, "ada:write", 10).await;
    let mut ben = provider(&instances.two, "ben:write").await;
    provider_sees(&mut ben, 10, true).await;
    let reason = "it was moved to the archive".to_owned();
    instances.command(Command::Close { code: CloseCode::SET_ASIDE, reason: reason.clone() });
    assert_eq!(ada.close_code().await, (CloseCode::SET_ASIDE.0, reason.clone()));
    hear(
        &mut ben,
        |message| matches!(message, Message::Close { reason: Some(why) } if *why == reason),
    )
    .await;
}
