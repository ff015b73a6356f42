//! How does one WebSocket live, from upgrade to close?
//!
//! One task per connection. It reads, writes, keeps time and waits for rooms, all at once: the only thing that stops it from reading is its
//! own client (answers it does not take, documents it opens too fast) or a room whose inbox is full; nothing stops it from writing.
//!
//! [`socket`] makes messages out of bytes, [`meter`] watches for floods below them, [`heart`] keeps the time, [`yws`] and [`hocuspocus`] speak
//! the two dialects, [`ending`] says why it is over, and [`registry`] knows everyone.

mod ending;
mod heart;
mod hocuspocus;
mod meter;
mod registry;
mod socket;
mod tcp;
mod yws;

pub(crate) use registry::{Place, Registry};
pub(crate) use tcp::Tcp;

use crate::Edge;
use crate::access::{Admission, Ask, Denied, DocumentName};
use crate::outbox::{Closing, Outbox, SeatNumber, Wire, outbox};
use crate::room::event::{FromPeer, PeerId};
use crate::rooms::{JoinError, Joined, NotTaken, RoomGone, Seat};
use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::limits::{MAX_INITIAL_SYNC, MAX_MESSAGE_BEFORE_AUTH};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::update::StateVector;
use ending::{Ending, Fault};
use heart::Heart;
use socket::{Incoming, Socket};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// The largest message once a document is open: a whole offline document, with address and type around it.
const MAX_MESSAGE_AFTER_AUTH: usize = MAX_INITIAL_SYNC + 1024;

/// Who is asked for an admission has this long to decide.
const ADMISSION_DEADLINE: Duration = Duration::from_secs(10);

/// After our close frame the client has this long to answer with its own.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(3);

/// Parts of messages up to this size are copied, so that an edit of 30 bytes does not hold on to the buffer it came in.
const COPIED_BELOW: usize = 1024;

/// Peers are numbered for the whole process: rooms of several servers in one process (as in tests) never confuse them.
static NEXT_PEER: AtomicU64 = AtomicU64::new(1);

/// Which dialect a socket speaks, decided by its URL. Not printed: it holds a token.
#[derive(Clone)]
pub(crate) enum Line {
    /// `/sync`.
    Hocuspocus,
    /// `/sync/{document}`.
    YWebsocket {
        /// Which document.
        document: DocumentName,
        /// From the URL; empty when there is none.
        token: String,
    },
}

/// The whole life of one WebSocket. `early` is what the client sent before it could know that it may; through `wire`, if the transport has one,
/// rooms write to it by themselves.
pub(crate) async fn serve<S>(
    edge: Arc<Edge>,
    place: Place,
    io: S,
    early: Bytes,
    remote: IpAddr,
    line: Line,
    wire: Option<Arc<dyn Wire>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let connection = place.number;
    let (max_message, keep_alive): (_, &'static [u8]) = match line {
        Line::Hocuspocus => {
            (MAX_MESSAGE_BEFORE_AUTH, &commonplace_protocol::hocuspocus::KEEP_ALIVE)
        }
        Line::YWebsocket { .. } => (MAX_MESSAGE_AFTER_AUTH, &commonplace_protocol::yws::KEEP_ALIVE),
    };
    let (outbox, tail) = outbox(wire);
    let Ok(socket) = Socket::new(io, &early, max_message, tail) else { return };
    drop(early);
    info!(connection, %remote, "a connection opens");
    crate::metrics::connection_opened();
    place.register(&outbox);
    let mut link = Link {
        socket,
        heart: Heart::new(keep_alive),
        outbox,
        postponed: None,
        edge,
        remote,
        number: connection,
    };
    let ending = match line {
        Line::Hocuspocus => hocuspocus::run(&mut link).await,
        Line::YWebsocket { document, token } => yws::run(&mut link, document, token).await,
    };
    crate::metrics::connection_closed(ending.counted_as());
    match &ending {
        Ending::Cut(Fault::TakesNothing) => {
            warn!(connection, %remote, waiting_bytes = link.outbox.bytes(), "a peer that takes nothing is cut")
        }
        Ending::Told { code, reason, .. } => {
            info!(connection, %remote, code = code.0, %reason, "a connection is closed")
        }
        Ending::ByClient | Ending::Cut(_) => {
            info!(connection, %remote, why = ending.counted_as(), "a connection ends")
        }
    }
    link.say_goodbye(&ending).await;
}

/// What both dialects share: the socket, its time, and the way in and out.
struct Link<S> {
    socket: Socket<S>,
    heart: Heart,
    /// For the seats, which hand it to their rooms.
    outbox: Outbox,
    /// A close of a seat that came up while another seat's room was waited for. Nothing behind it is taken before it is done.
    postponed: Option<Closing>,
    edge: Arc<Edge>,
    remote: IpAddr,
    number: u64,
}

/// What can happen to a connection, whatever its dialect.
#[derive(Debug)]
enum Event {
    /// A message has come.
    Message(Bytes),
    /// A room, or the server, wants something closed.
    Close(Closing),
    /// Everything has been written, after a push had found no room.
    Drained,
    /// The dialect's own deadline has come.
    Due,
    /// Nothing more will happen.
    Over(Ending),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Waits for the next event. With `is_reading` false no message is taken from the socket.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        is_reading: bool,
        wake_at: Option<Instant>,
    ) -> Poll<Event> {
        let is_reading = is_reading && self.socket.may_read();
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }
        if is_reading && let Poll::Ready(read) = self.socket.poll_read(cx) {
            return Poll::Ready(match read {
                Ok(Incoming::Message(message)) => Event::Message(message),
                Ok(Incoming::Goodbye) => Event::Over(Ending::ByClient),
                Err(fault) => Event::Over(fault.into()),
            });
        }
        if let Poll::Ready(beat) = self.heart.poll_beat(cx, &mut self.socket, is_reading, wake_at) {
            return Poll::Ready(match beat {
                Ok(()) => Event::Due,
                Err(fault) => Event::Over(fault.into()),
            });
        }
        // What reading (pongs) and the clock (pings, keep-alives) have queued.
        self.poll_write(cx)
    }

    /// Writes what the rooms have not written themselves. Pending whether it waits for frames or for the socket.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(closing) = self.postponed.take() {
            return Poll::Ready(Event::Close(closing));
        }
        if let Some(closing) = self.socket.take_close(cx) {
            return Poll::Ready(Event::Close(closing));
        }
        if let Err(fault) = ready!(self.socket.poll_write(cx)) {
            return Poll::Ready(Event::Over(fault.into()));
        }
        if self.socket.take_refusal() { Poll::Ready(Event::Drained) } else { Poll::Pending }
    }

    /// Waits for something a message needs, without reading more, while writing goes on. A close of `seat` (or of the socket) cuts it short.
    async fn while_writing<F: Future>(
        &mut self,
        seat: Option<SeatNumber>,
        future: F,
    ) -> Result<F::Output, Interrupted> {
        let mut future = pin!(future);
        let mut was_drained = false;
        let output = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if let Poll::Ready(Err(fault)) = self.heart.poll_beat(cx, &mut self.socket, false, None)
            {
                return Poll::Ready(Err(Interrupted::Over(fault.into())));
            }
            while self.postponed.is_none() {
                match self.poll_write(cx) {
                    Poll::Ready(Event::Close(closing))
                        if closing.seat.is_none() || closing.seat == seat =>
                    {
                        return Poll::Ready(Err(Interrupted::Close(closing)));
                    }
                    Poll::Ready(Event::Close(closing)) => self.postponed = Some(closing),
                    Poll::Ready(Event::Over(ending)) => {
                        return Poll::Ready(Err(Interrupted::Over(ending)));
                    }
                    Poll::Ready(Event::Drained) => was_drained = true,
                    Poll::Ready(Event::Message(_) | Event::Due) | Poll::Pending => {
                        return Poll::Pending;
                    }
                }
            }
            match self.socket.poll_write(cx) {
                Poll::Ready(Err(fault)) => Poll::Ready(Err(Interrupted::Over(fault.into()))),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if was_drained {
            // The rooms hear of it as soon as there is time for them.
            self.socket.put_refusal_back();
        }
        output
    }

    /// Hands a message to a room, and waits while its inbox is full: the one place where an edit may wait, and only its sender does.
    async fn deliver(
        &mut self,
        seat: SeatNumber,
        room: &Joined,
        message: FromPeer,
    ) -> Result<(), Interrupted> {
        let sent = match room.offer(message) {
            Ok(()) => Ok(()),
            Err(NotTaken::Gone) => Err(RoomGone),
            // Rare, and far larger than everything else a connection holds while it is served.
            Err(NotTaken::Full(message)) => {
                Box::pin(self.while_writing(Some(seat), room.send(message))).await?
            }
        };
        sent.or_else(|_| self.room_gone().map_err(Interrupted::Over))
    }

    /// A room has ended under its peers: they come back and find another. When the server stops, they are sent away a few at a time instead,
    /// and what they say meanwhile is neither stored nor acknowledged.
    fn room_gone(&self) -> Result<(), Ending> {
        if self.edge.tasks.is_stopping() {
            return Ok(());
        }
        Err(Ending::told(CloseCode::RESTART, "the document was reopened", "room_gone"))
    }

    fn ask(&self, document: &DocumentName, token: &str) -> Ask {
        Ask {
            document: document.clone(),
            token: token.to_owned(),
            remote: self.remote,
            connection: self.number,
        }
    }

    /// Does nothing for a while but write what it has begun to. What the rooms still say is not taken any more: it follows a close, and a status
    /// among it would be taken for an answer to what was refused.
    async fn pause(&mut self, duration: Duration) {
        self.socket.shut_out_rooms();
        let mut sleep = pin!(tokio::time::sleep(duration));
        poll_fn(|cx| match self.socket.poll_write(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => sleep.as_mut().poll(cx),
        })
        .await;
    }

    /// The last words, as far as the client lets us: everything queued, a close frame, and a moment for its answer.
    async fn say_goodbye(&mut self, ending: &Ending) {
        if let Ending::Cut(_) = ending {
            return;
        }
        self.socket.shut_out_rooms();
        if let Ending::Told { code, reason, .. } = ending {
            self.socket.close(*code, reason);
        }
        let socket = &mut self.socket;
        let farewell = async {
            poll_fn(|cx| socket.poll_write(cx)).await?;
            // Unread bytes would make the kernel reset the connection, and the close frame could be lost with it.
            poll_fn(|cx| socket.poll_goodbye(cx)).await;
            Ok::<_, Fault>(())
        };
        // Too late, or gone: dropping the socket says the same.
        drop(tokio::time::timeout(GOODBYE_DEADLINE, farewell).await);
    }
}

/// Why waiting for a room was cut short.
#[derive(Debug)]
enum Interrupted {
    /// The seat, or the socket, is to be closed.
    Close(Closing),
    /// The connection is over.
    Over(Ending),
}

/// The server asked the whole socket to close.
fn told_to(closing: Closing) -> Ending {
    let counted_as = match closing.code {
        CloseCode::RESTART => "restart",
        CloseCode::TRY_LATER => "try_later",
        _ => "by_room",
    };
    Ending::told(closing.code, closing.reason, counted_as)
}

/// Why a document could not be opened.
#[derive(Debug)]
enum NotOpened {
    /// Access says no.
    Denied(Denied),
    /// The room says no.
    Join(JoinError),
    /// Nobody decided in time.
    Undecided,
}

/// What opening a document yields.
struct Opened {
    joined: Arc<Joined>,
    admission: Admission,
    /// What it was admitted with.
    token: String,
}

/// Asks who this is, tells the client, takes the seat. Independent of the connection's own state, so that several can be under way.
async fn open<T>(
    edge: Arc<Edge>,
    ask: Ask,
    seat: impl FnOnce(&Admission) -> Seat,
    tell: T,
) -> Result<Opened, NotOpened>
where
    T: FnOnce(&Admission),
{
    let admission = admit(&edge, &ask).await?;
    // Before the room sends anything: clients expect the answer to their question first.
    tell(&admission);
    let joined = edge.rooms.join(&ask.document, seat(&admission)).await.map_err(NotOpened::Join)?;
    Ok(Opened { joined: Arc::new(joined), admission, token: ask.token })
}

/// Asks who this is.
async fn admit(edge: &Edge, ask: &Ask) -> Result<Admission, NotOpened> {
    match tokio::time::timeout(ADMISSION_DEADLINE, edge.access.admit(ask)).await {
        Ok(decided) => decided.map_err(NotOpened::Denied),
        Err(_) => Err(NotOpened::Undecided),
    }
}

fn next_peer() -> PeerId {
    PeerId(NEXT_PEER.fetch_add(1, Ordering::Relaxed))
}

/// A sync message for the room.
fn sync_for_room(sync: Sync<'_>, message: &Bytes) -> Result<FromPeer, Malformed> {
    Ok(match sync {
        Sync::SyncStep1(state_vector) => FromPeer::SyncStep1(StateVector::decode(state_vector)?),
        Sync::SyncStep2(update) => FromPeer::SyncStep2(kept(message, update)),
        Sync::Update(update) => FromPeer::Update(kept(message, update)),
    })
}

/// A part of a message that outlives it.
fn kept(message: &Bytes, part: &[u8]) -> Bytes {
    if part.len() < COPIED_BELOW { Bytes::copy_from_slice(part) } else { message.slice_ref(part) }
}

/// When an admission has to be renewed. Not printed: it holds a token.
struct Renewal {
    /// When a client that can be asked is asked for a fresh token.
    ask_at: Instant,
    /// When the admission ends.
    ends_at: Instant,
    /// What it was admitted with.
    token: String,
}

/// An admission that ended at once would be asked for again and again without a pause.
const SHORTEST_ADMISSION: Duration = Duration::from_millis(50);

/// A client is asked this long before its admission ends, or at half time if that is later.
const ASKED_BEFORE: Duration = Duration::from_secs(30);

impl Renewal {
    fn of(admission: &Admission, token: String) -> Option<Self> {
        let valid_for = admission.valid_for?.max(SHORTEST_ADMISSION);
        let now = Instant::now();
        let ask_at = now + valid_for.saturating_sub(ASKED_BEFORE).max(valid_for / 2);
        Some(Self { ask_at, ends_at: now + valid_for, token })
    }
}

fn log_refusal(number: u64, document: &DocumentName, why: &NotOpened) {
    debug!(connection = number, %document, ?why, "a document is not opened");
}

#[cfg(test)]
mod tests;
