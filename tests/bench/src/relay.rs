//! What is the least a server can do? Passes every frame on to everybody else in the room, and nothing more.
//!
//! No CRDT, no storage, no checks: the floor under the table, as one would write it in an afternoon. Frames that wait together share a flush.

use crate::Outcome;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::update::EMPTY;
use commonplace_protocol::yws::{Message as YWebsocket, decode};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Frames that may wait for one peer. One that is further behind is let go.
const WAITING: usize = 16 * 1024;

type Peers = HashMap<usize, Sender<Message>>;
type Rooms = Arc<Mutex<HashMap<String, Peers>>>;
type Socket = WebSocketStream<TcpStream>;

/// Relays at this address until it is killed.
pub fn serve(address: SocketAddr) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(accept(address))
}

async fn accept(address: SocketAddr) -> Outcome<()> {
    let listener = TcpListener::bind(address).await?;
    let rooms = Rooms::default();
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        #[expect(clippy::disallowed_methods, reason = "the relay ends by being killed")]
        tokio::spawn(Box::pin(peer(stream, number, Arc::clone(&rooms))));
    }
    Ok(())
}

async fn peer(stream: TcpStream, number: usize, rooms: Rooms) {
    let mut room = String::new();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let note_path = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut room);
        Ok(response)
    };
    // Whoever looks whether the port is open says nothing.
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, note_path).await else { return };
    let (to_peer, waiting) = channel(WAITING);
    with(&rooms, &room, |peers| peers.insert(number, to_peer.clone()));
    carry(socket, waiting, |frame| match decode(&frame) {
        Ok(YWebsocket::Sync(Sync::SyncStep1(_))) => {
            let answer = YWebsocket::Sync(Sync::SyncStep2(EMPTY)).encode();
            // A queue that is full already is found out by the next frame for everybody.
            to_peer.try_send(Message::binary(answer)).ok();
        }
        Ok(YWebsocket::Sync(Sync::Update(_)) | YWebsocket::Awareness(_)) => {
            with(&rooms, &room, |peers| {
                let is_other = |peer: &usize| *peer != number;
                peers.retain(|peer, queue| {
                    !is_other(peer) || queue.try_send(Message::Binary(frame.clone())).is_ok()
                });
            });
        }
        _ => {}
    })
    .await;
    with(&rooms, &room, |peers| peers.remove(&number));
}

fn with<T>(rooms: &Rooms, room: &str, then: impl FnOnce(&mut Peers) -> T) -> T {
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    then(rooms.entry(room.to_owned()).or_default())
}

/// Both directions of one socket, until it ends.
async fn carry(socket: Socket, mut waiting: Receiver<Message>, mut came: impl FnMut(Bytes)) {
    let (mut to_peer, mut from_peer) = socket.split();
    loop {
        // Cancel safety: both arms only wait; what they return is dealt with below them.
        let sent = tokio::select! {
            message = from_peer.next() => match message {
                Some(Ok(Message::Binary(frame))) => { came(frame); continue }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            Some(first) = waiting.recv() => async {
                to_peer.feed(first).await?;
                while let Ok(next) = waiting.try_recv() {
                    to_peer.feed(next).await?;
                }
                to_peer.flush().await
            }
            .await,
        };
        if sent.is_err() {
            return;
        }
    }
}
