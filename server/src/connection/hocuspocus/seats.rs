//! Which documents does one socket hold, and how far is each of them?

use super::ProviderEvent;
use crate::access::{Admission, DocumentName};
use crate::connection::{Opened, Renewal};
use crate::outbox::SeatNumber;
use crate::rooms::Joined;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Documents of one socket: more than anybody has open, few enough to look through for each message.
const MOST_SEATS: usize = 256;

/// Documents that are being opened at the same time. With more, the socket is not read until one is done.
const MOST_OPENING: usize = 100;

/// Refused addresses that are remembered, so that what their clients had sent already is dropped. The oldest is forgotten first.
const MOST_REFUSED: usize = 100;

/// Messages that wait for their document to open, all together: a client that opens all its documents at once sends two each. With more, the
/// socket is not read until a document has opened.
const MOST_KEPT: usize = 2 * MOST_SEATS;

/// The same in bytes. Before a document is open nothing large has been asked for.
const MOST_KEPT_BYTES: usize = 256 * 1024;

type Waiting = Pin<Box<dyn Future<Output = ProviderEvent> + Send>>;

/// The documents of one socket.
#[derive(Default)]
pub(super) struct Seats {
    seats: Vec<Seat>,
    next: SeatNumber,
    /// Decisions under way, for the connection's own task to poll: at most one or two for each seat.
    waiting: Vec<(SeatNumber, Waiting)>,
    kept: usize,
    kept_bytes: usize,
}

struct Seat {
    number: SeatNumber,
    address: Bytes,
    document: DocumentName,
    state: State,
    kept: Vec<Bytes>,
}

/// How far a document is.
pub(super) enum State {
    /// No token yet; if none comes, there is none.
    Anonymous {
        /// When the wait for one ends.
        until: Instant,
    },
    /// Somebody decides, or the room opens.
    Opening,
    /// Open.
    Joined(Box<Member>),
    /// No.
    Refused,
}

/// A seat taken.
pub(super) struct Member {
    pub(super) joined: Arc<Joined>,
    pub(super) admission: Admission,
    pub(super) renewal: Option<Renewal>,
    /// Whether the client has been asked for a fresh token.
    pub(super) was_asked: bool,
    /// Resolves when the room has ended; `None` once it has.
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("admission", &self.admission).finish_non_exhaustive()
    }
}

/// What is due for an admission.
pub(super) enum RenewalStep {
    /// Ask the client for a fresh token.
    Ask,
    /// Ask whoever decides whether this one still holds.
    End(String),
}

impl Member {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { joined, admission, token } = opened;
        let room = Arc::clone(&joined);
        let gone: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { room.gone().await });
        let renewal = Renewal::of(&admission, token);
        Self { joined, admission, renewal, was_asked: false, gone: Some(gone) }
    }

    /// Whether the admission has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.renewal.as_ref().is_some_and(|renewal| renewal.ends_at <= Instant::now())
    }

    fn wake_at(&self) -> Option<Instant> {
        let renewal = self.renewal.as_ref()?;
        Some(if self.was_asked { renewal.ends_at } else { renewal.ask_at })
    }
}

impl Seats {
    /// Decisions under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ProviderEvent> {
        for index in 0..self.waiting.len() {
            if let Poll::Ready(event) = self.waiting[index].1.as_mut().poll(cx) {
                drop(self.waiting.swap_remove(index));
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }

    /// Rooms that have ended.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ProviderEvent> {
        for member in self.members() {
            if let Some(gone) = &mut member.gone
                && gone.as_mut().poll(cx).is_ready()
            {
                member.gone = None;
                return Poll::Ready(ProviderEvent::Gone);
            }
        }
        Poll::Pending
    }

    /// Has `decision` polled, for as long as the seat exists.
    pub(super) fn wait_for(
        &mut self,
        number: SeatNumber,
        decision: impl Future<Output = ProviderEvent> + Send + 'static,
    ) {
        // One token overtakes another: only the newest counts.
        self.waiting.retain(|(waiting, _)| *waiting != number);
        self.waiting.push((number, Box::pin(decision)));
    }

    pub(super) fn number_of(&self, address: &[u8]) -> Option<SeatNumber> {
        self.seats.iter().find(|seat| seat.address == address).map(|seat| seat.number)
    }

    pub(super) fn number_exists(&self, number: SeatNumber) -> bool {
        self.seat(number).is_some()
    }

    pub(super) fn names(&self, number: SeatNumber) -> Option<(Bytes, DocumentName)> {
        self.seat(number).map(|seat| (seat.address.clone(), seat.document.clone()))
    }

    pub(super) fn state_mut(&mut self, number: SeatNumber) -> Option<&mut State> {
        self.seat_mut(number).map(|seat| &mut seat.state)
    }

    pub(super) fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.seats.iter_mut().filter_map(|seat| match &mut seat.state {
            State::Joined(member) => Some(&mut **member),
            State::Anonymous { .. } | State::Opening | State::Refused => None,
        })
    }

    /// Whether another document would be too many. Refused ones do not count.
    pub(super) fn is_full(&self) -> bool {
        self.seats.iter().filter(|seat| !matches!(seat.state, State::Refused)).count() >= MOST_SEATS
    }

    /// Whether the socket may be read: there is room for what a message could start or leave waiting.
    pub(super) fn has_room(&self) -> bool {
        let opening = |seat: &&Seat| matches!(seat.state, State::Anonymous { .. } | State::Opening);
        self.kept < MOST_KEPT
            && self.kept_bytes < MOST_KEPT_BYTES
            && self.seats.iter().filter(opening).count() < MOST_OPENING
    }

    /// Whether a document is open, or on its way.
    pub(super) fn is_any_open(&self) -> bool {
        self.seats.iter().any(|seat| !matches!(seat.state, State::Refused))
    }

    pub(super) fn add(&mut self, address: Bytes, document: DocumentName) -> SeatNumber {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        if self.seats.is_empty() {
            // Most have one document and no more.
            self.seats.reserve_exact(1);
        }
        self.seats.push(Seat {
            number,
            address,
            document,
            state: State::Opening,
            kept: Vec::new(),
        });
        number
    }

    pub(super) fn set_state(&mut self, number: SeatNumber, state: State) {
        let is_refused = matches!(state, State::Refused);
        if let Some(seat) = self.seat_mut(number) {
            seat.state = state;
        }
        if !is_refused {
            return;
        }
        self.waiting.retain(|(waiting, _)| *waiting != number);
        drop(self.take_kept(number));
        let refused = |seat: &&Seat| matches!(seat.state, State::Refused);
        if self.seats.iter().filter(refused).count() > MOST_REFUSED
            && let Some(oldest) = self.seats.iter().find(refused).map(|seat| seat.number)
        {
            self.remove(oldest);
        }
    }

    /// Leaves the room, if one was joined, and forgets what waits.
    pub(super) fn remove(&mut self, number: SeatNumber) {
        drop(self.take_kept(number));
        self.waiting.retain(|(waiting, _)| *waiting != number);
        self.seats.retain(|seat| seat.number != number);
    }

    /// Keeps a message until its document is open.
    pub(super) fn keep_for_later(&mut self, number: SeatNumber, message: &[u8]) {
        let len = message.len();
        if let Some(seat) = self.seat_mut(number) {
            // The buffer it came in is of the socket's size; what is kept is copied to its own.
            seat.kept.push(Bytes::copy_from_slice(message));
            self.kept += 1;
            self.kept_bytes += len;
        }
    }

    pub(super) fn take_kept(&mut self, number: SeatNumber) -> Vec<Bytes> {
        let kept =
            self.seat_mut(number).map(|seat| std::mem::take(&mut seat.kept)).unwrap_or_default();
        self.kept -= kept.len();
        self.kept_bytes -= kept.iter().map(Bytes::len).sum::<usize>();
        kept
    }

    /// When something is due for one of the documents.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let due = self.seats.iter().filter_map(|seat| match &seat.state {
            State::Anonymous { until } => Some(*until),
            // While a newer token is judged, nothing is due.
            State::Joined(_) if self.waiting.iter().any(|(number, _)| *number == seat.number) => {
                None
            }
            State::Joined(member) => member.wake_at(),
            State::Opening | State::Refused => None,
        });
        due.min()
    }

    /// Those whose wait for a token is over.
    pub(super) fn anonymous_until(&self, now: Instant) -> Vec<SeatNumber> {
        let over = |seat: &&Seat| matches!(seat.state, State::Anonymous { until } if until <= now);
        self.seats.iter().filter(over).map(|seat| seat.number).collect()
    }

    /// What is due for admissions that end.
    pub(super) fn renewals_until(&mut self, now: Instant) -> Vec<(SeatNumber, Bytes, RenewalStep)> {
        let waiting = &self.waiting;
        let due = self.seats.iter_mut().filter_map(|seat| {
            let State::Joined(member) = &mut seat.state else { return None };
            let renewal = member.renewal.as_ref()?;
            let step = if waiting.iter().any(|(number, _)| *number == seat.number) {
                return None;
            } else if renewal.ends_at <= now {
                RenewalStep::End(renewal.token.clone())
            } else if renewal.ask_at <= now && !std::mem::replace(&mut member.was_asked, true) {
                RenewalStep::Ask
            } else {
                return None;
            };
            Some((seat.number, seat.address.clone(), step))
        });
        due.collect()
    }

    fn seat(&self, number: SeatNumber) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.number == number)
    }

    fn seat_mut(&mut self, number: SeatNumber) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.number == number)
    }
}
