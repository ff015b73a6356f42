//! Several instances in virtual time, without sockets: what a connection would be handed.

use super::*;
use crate::bus::{Alone, Hall, Voice};
use crate::outbox::{OutboxTail, Outgoing, outbox};
use crate::store::sim::SimStore;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::ids::ClientId;
use commonplace_protocol::presence::{self, Entry};
use commonplace_protocol::yws;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3_600);

static NEXT_PEER: AtomicU64 = AtomicU64::new(1);

/// A connection that has joined.
struct Peer {
    joined: Joined,
    tail: OutboxTail,
}

fn document() -> DocumentName {
    DocumentName::new("note").expect("a name")
}

fn instance(store: SimStore, voice: &Voice) -> Rooms {
    Rooms::new(Arc::new(store), Arc::new(voice.clone()), None, Tasks::new())
}

async fn join(rooms: &Rooms, who: &str) -> Peer {
    let (outbox, tail) = outbox();
    let seat = Seat {
        peer: PeerId(NEXT_PEER.fetch_add(1, Ordering::Relaxed)),
        dialect: Dialect::YWebsocket,
        address: Bytes::new(),
        principal: Principal(who.into()),
        scope: Scope::ReadWrite,
        outbox,
    };
    Peer { joined: rooms.join(&document(), seat).await.expect("it opens"), tail }
}

impl Peer {
    async fn shows(&self, client: u64, clock: u32) {
        let client = ClientId::new(client).expect("small");
        let update = presence::encode(&[Entry { client, clock, state: Some("{}") }]);
        self.joined.send(FromPeer::Awareness(update.into())).await.expect("the room is there");
    }

    /// Reads until this client is there, or gone.
    async fn sees(&mut self, client: u64, there: bool) {
        timeout(PATIENCE, self.read_until(client, there)).await.expect("it is shown in the end");
    }

    async fn read_until(&mut self, client: u64, there: bool) {
        loop {
            let Some(Outgoing::Frame(frame)) = poll_fn(|cx| self.tail.poll_next(cx)).await else {
                panic!("closed");
            };
            if let Ok(yws::Message::Awareness(update)) = yws::decode_server(&frame)
                && presence::decode(update)
                    .expect("it decodes")
                    .iter()
                    .any(|entry| entry.client.get() == client && entry.state.is_some() == there)
            {
                return;
            }
        }
    }

    async fn close(&mut self) -> CloseCode {
        loop {
            match poll_fn(|cx| self.tail.poll_next(cx)).await {
                Some(Outgoing::Close(closing)) => return closing.code,
                Some(Outgoing::Frame(_)) => {}
                None => panic!("the room has let go without a close"),
            }
        }
    }
}

/// Somebody goes on renewing their presence.
async fn renew(peer: &Peer, client: u64) {
    for clock in 1.. {
        peer.shows(client, clock).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_people_of_an_instance_that_is_not_heard_any_more_are_gone_within_a_minute() {
    let (hall, store) = (Hall::new(), SimStore::new(1));
    let (dies, lives) = (hall.voice(), hall.voice());
    let one = instance(store.another_instance(), &dies);
    let two = instance(store, &lives);
    let (ada, mut ben) = (join(&one, "ada").await, join(&two, "ben").await);
    tokio::select! {
        () = renew(&ada, 10) => {}
        () = async {
            ben.sees(10, true).await;
            // As long as it is heard, they stay.
            assert!(timeout(Duration::from_secs(600), ben.sees(10, false)).await.is_err());
            dies.cut_off();
            let since = Instant::now();
            ben.sees(10, false).await;
            let seconds = since.elapsed().as_secs();
            assert!((30..=60).contains(&seconds), "{seconds} s");
            // It was only the line: they are back when it is.
            dies.restore();
            ben.sees(10, true).await;
        } => {}
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_from_an_instance_that_died_is_seen_at_once() {
    let (hall, store) = (Hall::new(), SimStore::new(1));
    let (dies, lives) = (hall.voice(), hall.voice());
    let one = instance(store.another_instance(), &dies);
    let two = instance(store, &lives);
    let (ada, mut ben) = (join(&one, "ada").await, join(&two, "ben").await);
    ada.shows(10, 7).await;
    ben.shows(20, 7).await;
    ben.sees(10, true).await;
    dies.cut_off();
    let since = Instant::now();
    let mut ada = join(&two, "ada").await;
    ada.shows(10, 7).await;
    ben.sees(10, true).await;
    ada.sees(20, true).await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    // And is not taken down when the old instance is given up.
    tokio::select! {
        () = async { for clock in 20.. {
            ada.shows(10, clock).await;
            tokio::time::sleep(Duration::from_secs(15)).await;
        } } => {}
        gone = timeout(Duration::from_secs(300), ben.sees(10, false)) => assert!(gone.is_err()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_done_here_and_on_every_other_instance() {
    let (hall, store) = (Hall::new(), SimStore::new(1));
    let one = instance(store.another_instance(), &hall.voice());
    let two = instance(store, &hall.voice());
    let mut adas = [join(&one, "ada").await, join(&two, "ada").await];
    let mut bens = [join(&one, "ben").await, join(&two, "ben").await];
    let rights = Command::Rights { principal: Principal("ada".into()), scope: None };
    one.command(&document(), rights).await.expect("it fits");
    for ada in &mut adas {
        assert_eq!(ada.close().await, CloseCode::FORBIDDEN);
    }
    let close = Command::Close { code: CloseCode::RESET, reason: "again".to_owned() };
    two.command(&document(), close).await.expect("it fits");
    for ben in &mut bens {
        assert_eq!(ben.close().await, CloseCode::RESET);
        ben.joined.gone().await;
    }
    // Whoever comes back finds it open.
    drop(join(&one, "ben").await);
}

#[tokio::test(start_paused = true)]
async fn a_command_about_a_document_that_is_not_open_here_is_still_told_to_others() {
    let (hall, store) = (Hall::new(), SimStore::new(1));
    let one = instance(store.another_instance(), &hall.voice());
    let two = instance(store, &hall.voice());
    let mut ada = join(&two, "ada").await;
    let rights = Command::Rights { principal: Principal("ada".into()), scope: None };
    one.command(&document(), rights).await.expect("it fits");
    assert_eq!(ada.close().await, CloseCode::FORBIDDEN);
    assert!(one.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_fit_is_refused() {
    let rooms = Rooms::new(Arc::new(SimStore::new(1)), Arc::new(Alone), None, Tasks::new());
    let text = "x".repeat(commonplace_protocol::limits::MAX_STATELESS + 1);
    assert_eq!(rooms.command(&document(), Command::Stateless(text)).await, Err(TooLong));
}
