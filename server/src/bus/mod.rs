//! How do instances tell each other what is never stored?
//!
//! Presence, an application's texts, a change of rights, "close this document": none of it is in a log, so none of it may matter for long. The bus is
//! best effort, and everything on it is put right by something else: presence by the next repetition ([`crate::room::presence`]), a right
//! by whoever asks for it next.
//!
//! - **B1** `say` never waits and never fails: when there is no room, or nobody to hear, the message is gone.
//! - **B2** A message arrives at most once, and in the order in which its instance said it.
//! - **B3** An [`Ear`] hears what is said about its topic, from everyone, itself included.
//! - **B4** [`Heard::Missed`] comes first, when listening has really begun, and again whenever something may have been said that was not heard: the
//!   line was cut, or the listener was too slow. It may come once too often, and never too late: whoever asks "who is there?" upon it is told
//!   everything from then on.
//! - **B5** What waits for a listener is bounded ([`EAR_MESSAGES`], [`EAR_BYTES`]).
//! - **B6** A dropped ear listens no more.

mod hall;
pub mod message;
mod redis;
mod speaker;

pub use hall::{Hall, Voice};
pub use redis::RedisBus;
pub use speaker::Speaker;

use crate::store::LogName;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Messages that wait for one listener: a plenary's presence from several instances, repeated at once.
pub const EAR_MESSAGES: usize = 1_024;

/// Bytes that wait for one listener. What does not fit is missed, and asked for.
pub const EAR_BYTES: usize = 4 * 1024 * 1024;

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody has said this.
    Message(Bytes),
    /// Something may have been said that was not heard (B4).
    Missed,
}

/// A way to all instances that have the same topic open.
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Listens from soon on (B4) until the ear is dropped (B6).
    fn listen(&self, topic: &LogName) -> Ear;
    /// Tells everyone who listens (B1).
    fn say(&self, topic: &LogName, message: Bytes);
}

/// There is one instance only: nobody to hear, nobody to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Bus for Alone {
    fn listen(&self, _: &LogName) -> Ear {
        ear().1
    }

    fn say(&self, _: &LogName, _: Bytes) {}
}

/// The listener's end.
#[derive(Debug)]
pub struct Ear {
    heard: mpsc::Receiver<Bytes>,
    counts: Arc<Counts>,
    /// What the bus must know to be over when nobody listens any more.
    keeps: Option<Box<dyn Kept>>,
}

/// Dropped together with an ear.
trait Kept: Send + Sync + fmt::Debug {}

impl<T: Send + Sync + fmt::Debug> Kept for T {}

/// The bus' end of an [`Ear`].
#[derive(Clone, Debug)]
pub struct Teller {
    messages: mpsc::Sender<Bytes>,
    counts: Arc<Counts>,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Counts {
    /// Bytes that wait.
    bytes: AtomicUsize,
    /// Whether something was missed since the listener was last told so.
    missed: AtomicBool,
    /// Wakes a listener that waits for messages when there is only something missed to hear of.
    woken: tokio::sync::Notify,
}

/// An ear, and the way into it.
#[must_use]
pub fn ear() -> (Teller, Ear) {
    let (messages, heard) = mpsc::channel(EAR_MESSAGES);
    let counts = Arc::new(Counts::default());
    (Teller { messages, counts: Arc::clone(&counts) }, Ear { heard, counts, keeps: None })
}

impl Teller {
    /// Hands on one message, or notes that it was missed (B5).
    pub fn tell(&self, message: Bytes) {
        let len = message.len();
        let before = self.counts.bytes.fetch_add(len, Ordering::SeqCst);
        if before + len > EAR_BYTES || self.messages.try_send(message).is_err() {
            self.counts.bytes.fetch_sub(len, Ordering::SeqCst);
            self.missed();
        }
    }

    /// Something may not have been heard.
    pub fn missed(&self) {
        self.counts.missed.store(true, Ordering::SeqCst);
        self.counts.woken.notify_one();
    }

    /// Whether nobody listens any more (B6).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Resolves when nobody listens any more (B6).
    pub async fn closed(&self) {
        self.messages.closed().await;
    }
}

impl Ear {
    /// The same ear; `guard` is dropped with it (B6).
    fn keeping(mut self, guard: impl Send + Sync + fmt::Debug + 'static) -> Self {
        self.keeps = Some(Box::new(guard));
        self
    }

    /// What is heard next. Pending for ever when there is nobody to hear.
    ///
    /// Cancel safety: a dropped call has taken nothing.
    pub async fn next(&mut self) -> Heard {
        loop {
            if self.counts.missed.swap(false, Ordering::SeqCst) {
                return Heard::Missed;
            }
            tokio::select! {
                biased;
                // Cancel safety: a wake-up taken here leads to the look at `missed` above before anything waits again; one that is lost with a
                // dropped call is made up for by that look at the start of the next.
                () = self.counts.woken.notified() => {}
                // Cancel safety: `recv` takes nothing unless it completes.
                message = self.heard.recv() => match message {
                    Some(message) => {
                        self.counts.bytes.fetch_sub(message.len(), Ordering::SeqCst);
                        return Heard::Message(message);
                    }
                    None => self.counts.woken.notified().await,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
