//! How is a Hocuspocus provider served?
//!
//! One socket, many documents. Each address goes through its own states: it asks, it is let in or not, it leaves. Before it is let in nothing
//! but its token is looked at; what it says meanwhile waits, as raw bytes and not too many.

mod seats;

use super::ending::{Ending, Fault, is_permanent};
use super::{
    Event, Interrupted, Link, MAX_MESSAGE_AFTER_AUTH, NotOpened, Opened, Renewal, admit, kept,
    log_refusal, next_peer, open, sync_for_room, told_to,
};
use crate::access::{Admission, DocumentName};
use crate::outbox::{Closing, SeatNumber};
use crate::room::event::{Dialect, FromPeer};
use crate::rooms::{self, JoinError, Joined};
use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::close::CloseCode;
use commonplace_protocol::hocuspocus::{
    Address, Frame, Message, PONG_FRAME, decode_client, encode,
};
use seats::{Member, Seats, State};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// A provider before version 3 sends no token when it has none: its first message then is about the document. If no token follows within
/// this, there is none.
const ANONYMOUS_AFTER: Duration = Duration::from_millis(250);

/// A new socket on which no document is asked for ends after this: enough for a client that fetches its token only now.
const NOTHING_ASKED: Duration = Duration::from_secs(10);

/// A socket whose documents have all been left or refused ends after this: enough to turn from one note to the next, or to sign in.
const NOTHING_OPEN: Duration = Duration::from_secs(60);

/// The reason providers know for a document that they left themselves.
const LEFT_BY_CLIENT: &str = "provider_initiated";

pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Ending {
    let mut provider = Provider {
        link,
        seats: Seats::default(),
        tells_version: false,
        has_asked: false,
        was_admitted: Arc::default(),
        takes_large: false,
        idle_since: Some(Instant::now()),
    };
    loop {
        let event = provider.next().await;
        if let Err(ending) = provider.handle(event).await {
            return ending;
        }
    }
}

/// One socket of a Hocuspocus provider.
struct Provider<'a, S> {
    link: &'a mut Link<S>,
    seats: Seats,
    /// Whether the provider says which version it is: then it is 4 or later, and can be told about single documents.
    tells_version: bool,
    /// Whether any document has been asked for.
    has_asked: bool,
    /// Whether anyone has been admitted: set before the client is told so, since a large message may follow at once.
    was_admitted: Arc<AtomicBool>,
    /// Whether large messages are taken.
    takes_large: bool,
    /// Since when no document is open or asked for.
    idle_since: Option<Instant>,
}

/// What can happen to a provider's socket.
enum ProviderEvent {
    /// As on any socket.
    Link(Event),
    /// A document has been opened, or not.
    Opened(SeatNumber, Result<Opened, NotOpened>),
    /// A newer token has been judged.
    Renewed(SeatNumber, String, Result<Admission, NotOpened>),
    /// A room has ended.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Provider<'_, S> {
    async fn next(&mut self) -> ProviderEvent {
        let wake_at = self.wake_at();
        let has_room = self.seats.has_room();
        poll_fn(|cx| {
            if let Poll::Ready(event) = self.seats.poll(cx) {
                return Poll::Ready(event);
            }
            if !self.takes_large && self.was_admitted.load(Ordering::Relaxed) {
                self.takes_large = true;
                self.link.socket.set_max_message(MAX_MESSAGE_AFTER_AUTH);
            }
            if let Poll::Ready(event) = self.link.poll_event(cx, has_room, wake_at) {
                return Poll::Ready(ProviderEvent::Link(event));
            }
            // After the look at the outbox: a room that ends has often said why.
            self.seats.poll_gone(cx)
        })
        .await
    }

    /// When something of ours is due.
    fn wake_at(&self) -> Option<Instant> {
        [self.idle_until(), self.seats.wake_at()].into_iter().flatten().min()
    }

    /// When a socket without documents ends.
    fn idle_until(&self) -> Option<Instant> {
        let patience = if self.has_asked { NOTHING_OPEN } else { NOTHING_ASKED };
        self.idle_since.map(|since| since + patience)
    }

    async fn handle(&mut self, event: ProviderEvent) -> Result<(), Ending> {
        match event {
            ProviderEvent::Link(Event::Message(message)) => self.message(message).await?,
            ProviderEvent::Link(Event::Close(closing)) => self.close(closing)?,
            ProviderEvent::Link(Event::Drained) => {
                self.seats.members().for_each(|member| member.joined.drained())
            }
            ProviderEvent::Link(Event::Due) => self.due()?,
            ProviderEvent::Link(Event::Over(ending)) => return Err(ending),
            ProviderEvent::Opened(number, opened) => Box::pin(self.opened(number, opened)).await?,
            ProviderEvent::Renewed(number, token, renewed) => {
                Box::pin(self.renewed(number, token, renewed)).await?
            }
            ProviderEvent::Gone => self.link.room_gone()?,
        }
        if self.seats.is_any_open() {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        Ok(())
    }

    async fn message(&mut self, bytes: Bytes) -> Result<(), Ending> {
        let (address, message) = match decode_client(&bytes) {
            Ok(Frame::Document(address, message)) => (address, message),
            Ok(Frame::Ping) => {
                self.link.socket.send(Bytes::from_static(&PONG_FRAME));
                return Ok(());
            }
            Ok(Frame::Pong | Frame::KeepAlive) => return Ok(()),
            Err(refused) => {
                match refused.address.and_then(|address| self.seats.number_of(address.raw)) {
                    Some(number) => return self.refuse_message(number, refused.why),
                    None => return Err(Fault::Malformed(refused.why).into()),
                }
            }
        };
        let Some(number) = self.seats.number_of(address.raw) else {
            return self.first_message(address, message, &bytes);
        };
        if let Message::Token { token, version } = message {
            self.tells_version |= version.is_some();
            self.token(number, token, &bytes);
            return Ok(());
        }
        if let Message::Close { .. } = message {
            self.seats.remove(number);
            self.say(address.raw, &Message::Close { reason: Some(LEFT_BY_CLIENT) });
            return Ok(());
        }
        match self.seats.state_mut(number) {
            Some(State::Joined(member)) => {
                let joined = Arc::clone(&member.joined);
                match for_room(message, &bytes) {
                    Ok(Some(message)) => self.deliver(number, &joined, message).await,
                    Ok(None) => Ok(()),
                    Err(why) => self.refuse_message(number, why),
                }
            }
            Some(State::Anonymous { .. } | State::Opening) => {
                self.seats.keep_for_later(number, &bytes);
                Ok(())
            }
            // What a refused client had sent behind its token, before it knew.
            Some(State::Refused) | None => Ok(()),
        }
    }

    fn first_message(
        &mut self,
        address: Address<'_>,
        message: Message<'_>,
        bytes: &Bytes,
    ) -> Result<(), Ending> {
        let document = DocumentName::new(address.document)
            .ok_or(Fault::Malformed(Malformed::Rule("a document name is not allowed")))?;
        if matches!(message, Message::Close { .. }) {
            return Ok(());
        }
        let raw = Bytes::copy_from_slice(address.raw);
        if self.seats.is_full() {
            crate::metrics::refusal("too_many_documents");
            self.say(
                address.raw,
                &Message::PermissionDenied {
                    reason: "too many documents are open on this connection",
                },
            );
            return Ok(());
        }
        let number = self.seats.add(raw, document);
        match message {
            Message::Token { token, version } => {
                self.tells_version |= version.is_some();
                self.start_opening(number, token);
            }
            _ => {
                self.seats.set_state(
                    number,
                    State::Anonymous { until: Instant::now() + ANONYMOUS_AFTER },
                );
                self.seats.keep_for_later(number, bytes);
            }
        }
        Ok(())
    }

    /// A token on an address that is known: the first one after other messages, a retry, or a fresh one for an open document.
    fn token(&mut self, number: SeatNumber, token: &str, bytes: &Bytes) {
        match self.seats.state_mut(number) {
            Some(State::Anonymous { .. } | State::Refused) => self.start_opening(number, token),
            Some(State::Opening) => self.seats.keep_for_later(number, bytes),
            Some(State::Joined(_)) => self.start_renewing(number, token.to_owned()),
            None => {}
        }
    }

    fn start_opening(&mut self, number: SeatNumber, token: &str) {
        let Some((address, document)) = self.seats.names(number) else { return };
        self.has_asked = true;
        let ask = self.link.ask(&document, token);
        let outbox = self.link.outbox.for_seat(number);
        let (seat_address, seat_outbox) = (address.clone(), outbox.clone());
        let seat = move |admission: &Admission| rooms::Seat {
            peer: next_peer(),
            dialect: Dialect::Hocuspocus,
            address: seat_address,
            principal: admission.principal.clone(),
            scope: admission.scope,
            outbox: seat_outbox,
        };
        let was_admitted = Arc::clone(&self.was_admitted);
        let tell = move |admission: &Admission| {
            was_admitted.store(true, Ordering::Relaxed);
            let frame =
                encode(&address, &Message::Authenticated { scope: admission.scope.on_the_wire() });
            // A client whose outbox is full cannot be told that it is in, so it is told to come back.
            if outbox.push(frame.into()).is_err()
                && outbox.close(CloseCode::TRY_LATER, "the client takes too little").is_err()
            {
                tracing::trace!("the connection has gone");
            }
        };
        let opening = open(Arc::clone(&self.link.edge), ask, seat, tell);
        self.seats.set_state(number, State::Opening);
        self.seats.wait_for(number, async move { ProviderEvent::Opened(number, opening.await) });
    }

    fn start_renewing(&mut self, number: SeatNumber, token: String) {
        let Some((_, document)) = self.seats.names(number) else { return };
        let ask = self.link.ask(&document, &token);
        let edge = Arc::clone(&self.link.edge);
        self.seats.wait_for(number, async move {
            ProviderEvent::Renewed(number, token, admit(&edge, &ask).await)
        });
    }

    async fn opened(
        &mut self,
        number: SeatNumber,
        opened: Result<Opened, NotOpened>,
    ) -> Result<(), Ending> {
        let opened = match opened {
            Ok(opened) => opened,
            Err(why) => return self.not_opened(number, why),
        };
        self.seats.set_state(number, State::Joined(Box::new(Member::new(opened))));
        for message in self.seats.take_kept(number) {
            // A close among them, or a fault, ends the rest.
            if self.seats.number_exists(number) {
                self.message(message).await?;
            }
        }
        Ok(())
    }

    fn not_opened(&mut self, number: SeatNumber, why: NotOpened) -> Result<(), Ending> {
        let Some((address, document)) = self.seats.names(number) else { return Ok(()) };
        log_refusal(self.link.number, &document, &why);
        let (reason, counted_as) = match why {
            NotOpened::Denied(denied) => (denied.reason, "denied"),
            NotOpened::Join(join @ JoinError::SetAside(_)) => (join.to_string(), "set_aside"),
            // A provider that is refused does not ask again; one whose socket closes does.
            NotOpened::Join(join @ JoinError::Later(_)) => {
                return Err(Ending::told(CloseCode::TRY_LATER, join.to_string(), "join_later"));
            }
            NotOpened::Join(join @ JoinError::StorageAway(_)) => {
                return Err(Ending::told(
                    CloseCode::STORAGE_AWAY,
                    join.to_string(),
                    "storage_away",
                ));
            }
            NotOpened::Join(join @ JoinError::Stopping) => {
                return Err(Ending::told(CloseCode::RESTART, join.to_string(), "stopping"));
            }
            NotOpened::Undecided => {
                return Err(Ending::told(
                    CloseCode::TRY_LATER,
                    "nobody could say in time whether you may",
                    "undecided",
                ));
            }
        };
        crate::metrics::refusal(counted_as);
        self.say(&address, &Message::PermissionDenied { reason: &reason });
        self.seats.set_state(number, State::Refused);
        Ok(())
    }

    async fn renewed(
        &mut self,
        number: SeatNumber,
        token: String,
        renewed: Result<Admission, NotOpened>,
    ) -> Result<(), Ending> {
        let Some((address, document)) = self.seats.names(number) else { return Ok(()) };
        let Some(State::Joined(member)) = self.seats.state_mut(number) else { return Ok(()) };
        let renewed = match renewed {
            Ok(renewed) if renewed.principal == member.admission.principal => renewed,
            // Somebody else on the same socket: a new seat, so that nothing of the old one sticks to them.
            Ok(_) => {
                self.start_opening(number, &token);
                return Ok(());
            }
            // Nobody could say; the admission in force stays until it ends.
            Err(NotOpened::Undecided | NotOpened::Join(_)) if !member.has_ended() => return Ok(()),
            Err(why) => {
                log_refusal(self.link.number, &document, &why);
                return self.end_access(number);
            }
        };
        // Also when it seems to be the same: the room may have been told otherwise meanwhile.
        if member.joined.set_scope(renewed.scope).await.is_err() {
            return self.link.room_gone();
        }
        member.renewal = Renewal::of(&renewed, token);
        member.was_asked = false;
        let scope = renewed.scope.on_the_wire();
        member.admission = renewed;
        self.say(&address, &Message::Authenticated { scope });
        Ok(())
    }

    fn due(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if self.idle_until().is_some_and(|at| at <= now) {
            return Err(Fault::NoDocument.into());
        }
        for number in self.seats.anonymous_until(now) {
            self.start_opening(number, "");
        }
        for (number, address, step) in self.seats.renewals_until(now) {
            match step {
                seats::RenewalStep::Ask => self.say(&address, &Message::TokenRequest),
                // Whoever issued the token may have prolonged it.
                seats::RenewalStep::End(token) => self.start_renewing(number, token),
            }
        }
        Ok(())
    }

    /// A message of an open document that cannot be taken: that document ends, the others stay.
    fn refuse_message(&mut self, number: SeatNumber, why: Malformed) -> Result<(), Ending> {
        crate::metrics::refusal("message");
        let Ending::Told { code, reason, counted_as } = Ending::from(Fault::Malformed(why)) else {
            return Ok(());
        };
        // A provider does not come back to a document that was closed, and that is where a large edit is to come back to.
        if self.tells_version && code != CloseCode::RESET {
            self.close_document(number, &reason);
            return Ok(());
        }
        Err(Ending::Told { code, reason, counted_as })
    }

    fn end_access(&mut self, number: SeatNumber) -> Result<(), Ending> {
        crate::metrics::refusal("expired");
        if self.tells_version {
            self.close_document(number, "your access has run out: sign in again");
            return Ok(());
        }
        // Older providers stop for ever at 4401, and come back with a fresh token after this.
        Err(Ending::told(CloseCode::RESET, "your access has run out", "expired"))
    }

    fn close(&mut self, closing: Closing) -> Result<(), Ending> {
        let Some(number) = closing.seat else { return Err(told_to(closing)) };
        if !self.seats.number_exists(number) {
            return Ok(());
        }
        // A provider does not come back to a document that was closed, only to a socket that was. Whoever broke the protocol in one document
        // has not forfeited the others (P24).
        let is_final = is_permanent(closing.code) || closing.code == CloseCode::PROTOCOL_ERROR;
        if self.tells_version && is_final {
            self.close_document(number, &closing.reason);
            return Ok(());
        }
        let code =
            if closing.code == CloseCode::UNAUTHORIZED { CloseCode::RESET } else { closing.code };
        Err(told_to(Closing { code, ..closing }))
    }

    fn close_document(&mut self, number: SeatNumber, reason: &str) {
        let Some((address, _)) = self.seats.names(number) else { return };
        // Refused, and not forgotten: what is on its way from the client must not look like somebody new.
        self.seats.set_state(number, State::Refused);
        self.say(&address, &Message::Close { reason: Some(reason) });
    }

    async fn deliver(
        &mut self,
        number: SeatNumber,
        joined: &Joined,
        message: FromPeer,
    ) -> Result<(), Ending> {
        match self.link.deliver(number, joined, message).await {
            Ok(()) => Ok(()),
            Err(Interrupted::Close(closing)) => self.close(closing),
            Err(Interrupted::Over(ending)) => Err(ending),
        }
    }

    fn say(&mut self, address: &[u8], message: &Message<'_>) {
        self.link.socket.send(encode(address, message).into());
    }
}

fn for_room(message: Message<'_>, bytes: &Bytes) -> Result<Option<FromPeer>, Malformed> {
    Ok(Some(match message {
        Message::Sync(sync) => sync_for_room(sync, bytes)?,
        Message::Awareness(body) => FromPeer::Awareness(kept(bytes, body)),
        Message::QueryAwareness => FromPeer::QueryAwareness,
        Message::Stateless(text) => FromPeer::Stateless(text.to_owned()),
        // Dealt with before, or only ever sent by servers, which `decode_client` refuses.
        Message::Close { .. }
        | Message::Token { .. }
        | Message::TokenRequest
        | Message::PermissionDenied { .. }
        | Message::Authenticated { .. }
        | Message::SyncStatus(_) => return Ok(None),
    }))
}
