//! Two servers on one store are one: people on either write in the same document, and a log that goes back in time loses nothing.

use crate::documents::Copy;
use commonplace::store::sim::SimStore;
use commonplace::store::{LogName, OUT_OF_TOUCH, Position};
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws::{Message, decode_server};
use commonplace_tests::{Client, Server, Setup};
use std::sync::Arc;
use std::time::Duration;

/// Two instances, and the store for a look at it.
async fn two() -> (Server, Server, SimStore) {
    let store = SimStore::new(1);
    let one = Setup { store: Arc::new(store.another_instance()), ..Setup::default() };
    let two = Setup { store: Arc::new(store.another_instance()), ..Setup::default() };
    (one.start().await, two.start().await, store)
}

/// Somebody with the note open.
struct Person {
    copy: Copy,
    socket: Client,
}

impl Person {
    async fn on(server: &Server, id: u64) -> Self {
        let mut socket = server.connect("/sync/note").await;
        let copy = Copy::new(id);
        let hello = copy.state_vector();
        socket.send(Message::Sync(Sync::SyncStep1(&hello)).encode()).await;
        Self { copy, socket }
    }

    async fn write(&mut self, words: &str) {
        let update = self.copy.write(words);
        self.socket.send(Message::Sync(Sync::Update(&update)).encode()).await;
    }

    /// Listens until these words are there. One's own come back when they are saved.
    async fn hears(&mut self, words: &str) {
        loop {
            let message = self.socket.message().await;
            let Ok(Message::Sync(sync)) = decode_server(&message) else { continue };
            let is_news = !matches!(sync, Sync::SyncStep1(_));
            if let Some(answer) = self.copy.take(sync) {
                self.socket.send(Message::Sync(Sync::SyncStep2(&answer)).encode()).await;
            }
            if is_news && self.copy.read().contains(words) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn people_on_two_instances_write_in_one_document() {
    let (one, two, _store) = two().await;
    let (mut ada, mut ben) = (Person::on(&one, 1).await, Person::on(&two, 2).await);
    ada.write("Hello Ben. ").await;
    ben.hears("Hello Ben. ").await;
    ben.write("Hello Ada. ").await;
    ada.hears("Hello Ada. ").await;
    assert_eq!(ada.copy.read(), ben.copy.read());
}

#[tokio::test]
async fn what_a_store_forgets_the_instances_put_back() {
    let (one, two, store) = two().await;
    let (mut ada, mut ben) = (Person::on(&one, 1).await, Person::on(&two, 2).await);
    ada.write("kept ").await;
    ben.hears("kept ").await;
    // Ada leaves, with the only copy that is not a server's or Ben's; Ben's is closed too.
    drop(ada);
    drop(ben);
    let log = LogName::new("doc/note").expect("a name");
    store.disk().rewind_now(&log, Position::START);
    let mut cid = Person::on(&two, 3).await;
    cid.write("new ").await;
    cid.hears("kept ").await;
    let three = Setup { store: Arc::new(store.another_instance()), ..Setup::default() }.start();
    let mut dan = Person::on(&three.await, 4).await;
    dan.hears("kept ").await;
    assert!(store.disk().head_now(&log).position > Position::START);
}

#[tokio::test]
async fn an_instance_that_has_lost_touch_with_the_store_serves_nobody_until_it_is_back() {
    let (one, _two, store) = two().await;
    let mut ada = Person::on(&one, 1).await;
    ada.write("before ").await;
    ada.hears("before ").await;
    store.disk().faults.silent_for = Some(OUT_OF_TOUCH - Duration::from_millis(1));
    ada.write("still ").await;
    ada.hears("still ").await;
    store.disk().faults.silent_for = Some(OUT_OF_TOUCH);
    assert_eq!(ada.socket.close_code().await.0, CloseCode::STORAGE_AWAY.0);
    let mut ben = Person::on(&one, 2).await;
    assert_eq!(ben.socket.close_code().await.0, CloseCode::STORAGE_AWAY.0);
    store.disk().faults.silent_for = None;
    let mut cid = Person::on(&one, 3).await;
    cid.hears("before still ").await;
}
