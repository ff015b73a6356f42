//! How is a y-websocket or y-sweet client served?
//!
//! One socket, one document, named and vouched for by the URL. The client starts talking as soon as the socket is open; nothing of it is read
//! before it is known who it is.

use super::ending::{Ending, Fault};
use super::{
    Event, Interrupted, Link, NotOpened, Opened, Renewal, admit, kept, log_refusal, next_peer,
    open, sync_for_room, told_to,
};
use crate::access::DocumentName;
use crate::outbox::SeatNumber;
use crate::room::event::{Dialect, FromPeer};
use crate::rooms::{JoinError, Seat};
use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::sync::EDIT;
use commonplace_protocol::yws::{Message, decode};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A client that is refused for good is held this long before it is closed: about as long as y-websocket waits at most between its attempts.
const BEFORE_REFUSED_CLIENTS_RETURN: Duration = Duration::from_secs(2);

/// The only seat.
const SEAT: SeatNumber = 0;

pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    document: DocumentName,
    token: String,
) -> Ending {
    let ending = match seated(link, &document, &token).await {
        Ok(opened) => stay(link, &document, &token, opened).await,
        Err(ending) => {
            // Decided by name and token alone, so whoever brings the same again gets the same answer. What happens later concerns one client;
            // others with the same token, perhaps behind the same address, must not suffer for it.
            if ending.is_permanent() {
                link.edge.budget.remember_refusal(link.remote, document.as_str(), &token);
            }
            return ending;
        }
    };
    if ending.is_permanent() {
        // Clients before 3.1 come back 100 ms after any close, for ever, with the same edit.
        link.pause(BEFORE_REFUSED_CLIENTS_RETURN).await;
    }
    ending
}

async fn seated<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    document: &DocumentName,
    token: &str,
) -> Result<Opened, Ending> {
    let outbox = link.outbox.for_seat(SEAT);
    let seat = |admission: &crate::access::Admission| Seat {
        peer: next_peer(),
        dialect: Dialect::YWebsocket,
        address: Bytes::new(),
        principal: admission.principal.clone(),
        scope: admission.scope,
        outbox,
    };
    let opening = Box::pin(open(Arc::clone(&link.edge), link.ask(document, token), seat, |_| ()));
    match link.while_writing(Some(SEAT), opening).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(why)) => {
            log_refusal(link.number, document, &why);
            Err(refusal(link, why))
        }
        Err(interrupted) => Err(ended(interrupted)),
    }
}

/// Clients of this dialect print a refusal and go on, so a close code follows; 3.1 stops at the permanent ones.
fn refusal<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, why: NotOpened) -> Ending {
    let (code, reason, counted_as) = match why {
        NotOpened::Denied(denied) => (CloseCode::FORBIDDEN, denied.reason, "denied"),
        NotOpened::Join(join @ JoinError::SetAside(_)) => {
            (CloseCode::SET_ASIDE, join.to_string(), "set_aside")
        }
        NotOpened::Join(join @ JoinError::Later(_)) => {
            (CloseCode::TRY_LATER, join.to_string(), "join_later")
        }
        NotOpened::Join(join @ JoinError::StorageAway(_)) => {
            (CloseCode::STORAGE_AWAY, join.to_string(), "storage_away")
        }
        NotOpened::Join(join @ JoinError::Stopping) => {
            (CloseCode::RESTART, join.to_string(), "stopping")
        }
        NotOpened::Undecided => (
            CloseCode::TRY_LATER,
            "nobody could say in time whether you may".to_owned(),
            "undecided",
        ),
    };
    crate::metrics::refusal(counted_as);
    if super::ending::is_permanent(code) {
        link.socket.send(Message::PermissionDenied(&reason).encode().into());
    }
    Ending::told(code, reason, counted_as)
}

fn ended(interrupted: Interrupted) -> Ending {
    match interrupted {
        Interrupted::Close(closing) => told_to(closing),
        Interrupted::Over(ending) => ending,
    }
}

async fn stay<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    document: &DocumentName,
    token: &str,
    opened: Opened,
) -> Ending {
    let Opened { joined, mut admission, .. } = opened;
    let mut renewal = Renewal::of(&admission, String::new());
    let room = Arc::clone(&joined);
    let mut gone = pin!(async move { room.gone().await });
    let mut is_gone = false;
    loop {
        // This dialect has no way to ask for a fresh token, so only the end of the admission matters.
        let wake_at = renewal.as_ref().map(|renewal| renewal.ends_at);
        let event = poll_fn(|cx| {
            // Before the look at the room: one that ends has often said why.
            if let Poll::Ready(event) = link.poll_event(cx, true, wake_at) {
                return Poll::Ready(event);
            }
            if !is_gone && gone.as_mut().poll(cx).is_ready() {
                is_gone = true;
                if let Err(ending) = link.room_gone() {
                    return Poll::Ready(Event::Over(ending));
                }
            }
            Poll::Pending
        });
        match event.await {
            Event::Message(message) => match for_room(&message) {
                Ok(Some(message)) => {
                    if let Err(interrupted) = link.deliver(SEAT, &joined, message).await {
                        return ended(interrupted);
                    }
                }
                Ok(None) => {}
                Err(why) => return refused_message(why),
            },
            Event::Close(closing) => return told_to(closing),
            Event::Drained => joined.drained(),
            Event::Due => {
                // The same token may still be good; whoever issued it knows.
                let (edge, ask) = (Arc::clone(&link.edge), link.ask(document, token));
                let renewed = match link
                    .while_writing(Some(SEAT), Box::pin(async move { admit(&edge, &ask).await }))
                    .await
                {
                    Ok(renewed) => renewed,
                    Err(interrupted) => return ended(interrupted),
                };
                match renewed {
                    Ok(renewed) if renewed.principal == admission.principal => {
                        // Also when it seems to be the same: the room may have been told otherwise meanwhile.
                        if joined.set_scope(renewed.scope).await.is_err()
                            && let Err(ending) = link.room_gone()
                        {
                            return ending;
                        }
                        admission = renewed;
                        renewal = Renewal::of(&admission, String::new());
                    }
                    Ok(_) | Err(_) => {
                        return Ending::told(
                            CloseCode::UNAUTHORIZED,
                            "your access has run out: sign in again",
                            "expired",
                        );
                    }
                }
            }
            Event::Over(ending) => return ending,
        }
    }
}

fn for_room(message: &Bytes) -> Result<Option<FromPeer>, Malformed> {
    Ok(Some(match decode(message)? {
        Message::Sync(sync) => sync_for_room(sync, message)?,
        Message::Awareness(body) => FromPeer::Awareness(kept(message, body)),
        Message::QueryAwareness => FromPeer::QueryAwareness,
        Message::SyncStatus(body) => FromPeer::SyncStatus(kept(message, body)),
        Message::PermissionDenied(_) => {
            return Err(Malformed::UnknownTag { what: "message type", tag: 2 });
        }
        // An application's own, or nothing at all: no answer.
        Message::Private { .. } | Message::Padding => return Ok(None),
    }))
}

/// What is above a limit now would be above it again, and its client would send it for ever: only the permanent code stops it. An edit is
/// another matter (P43).
fn refused_message(why: Malformed) -> Ending {
    crate::metrics::refusal("message");
    match why {
        Malformed::TooLarge(what) if what != EDIT => Ending::told(
            CloseCode::UPDATE_REFUSED,
            format!("{what} is larger than the published limit"),
            "too_large",
        ),
        _ => Fault::Malformed(why).into(),
    }
}
