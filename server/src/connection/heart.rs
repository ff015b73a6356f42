//! Is the other end still there, and does it know that we are?
//!
//! One timer per connection serves all its deadlines.

use super::ending::Fault;
use super::socket::Socket;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

/// A WebSocket ping this often: below the 30 s to 60 s after which proxies forget a quiet connection.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Two pings without any sign of life: the other end has gone.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// A data message at least this often: clients close after 30 s without one, check every 3 s, and pings do not count for them.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);

/// A peer that takes nothing for this long is not slow but stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Heart {
    sleep: Pin<Box<Sleep>>,
    ping_at: Instant,
    keep_alive: &'static [u8],
}

impl Heart {
    /// `keep_alive` is the smallest message of the connection's dialect that means nothing.
    pub(super) fn new(keep_alive: &'static [u8]) -> Self {
        let now = Instant::now();
        Self {
            sleep: Box::pin(tokio::time::sleep(PING_EVERY)),
            ping_at: now + PING_EVERY,
            keep_alive,
        }
    }

    /// Does what is due. Ready when something has gone wrong, or when the caller's own deadline has come.
    pub(super) fn poll_beat<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket<S>,
        is_reading: bool,
        wake_at: Option<Instant>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            let now = Instant::now();
            let next = match self.due(socket, now, is_reading) {
                Ok(next) => next,
                Err(fault) => return Poll::Ready(Err(fault)),
            };
            if wake_at.is_some_and(|wake_at| wake_at <= now) {
                return Poll::Ready(Ok(()));
            }
            let next = wake_at.map_or(next, |wake_at| wake_at.min(next));
            // An alarm that is too early costs one needless turn; moving it for each message would cost more.
            if next < self.sleep.deadline() || self.sleep.is_elapsed() {
                self.sleep.as_mut().reset(next);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Checks and does what is due by `now`; says when something will be next.
    fn due<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        now: Instant,
        is_reading: bool,
    ) -> Result<Instant, Fault> {
        if !is_reading {
            socket.excuse_silence();
        }
        let dead_at = socket.heard_at() + DEAD_AFTER;
        if dead_at <= now {
            return Err(Fault::Silent);
        }
        let stuck_at = socket.stuck_since().map(|since| since + STUCK_AFTER);
        if stuck_at.is_some_and(|at| at <= now) {
            return Err(Fault::TakesNothing);
        }
        let message_at = socket.message_deadline().filter(|_| is_reading);
        if message_at.is_some_and(|at| at <= now) {
            return Err(Fault::SlowMessage);
        }
        if self.ping_at <= now {
            socket.ping();
            self.ping_at = now + PING_EVERY;
        }
        if stuck_at.is_none() && socket.sent_at() + KEEP_ALIVE_EVERY <= now {
            socket.send(Bytes::from_static(self.keep_alive));
        }
        let keep_alive_at = (socket.sent_at() + KEEP_ALIVE_EVERY).max(now + Duration::from_secs(1));
        let soonest = [stuck_at, message_at]
            .into_iter()
            .flatten()
            .fold(dead_at.min(self.ping_at), Instant::min);
        Ok(soonest.min(keep_alive_at))
    }
}
