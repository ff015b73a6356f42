//! How does this instance speak on the bus, and whom does it listen to?
//!
//! Its own words come back to it (B3) and are passed over here, so that no room ever takes itself for somebody else.

use super::message::{self, Envelope, InstanceId, Message};
use super::{Bus, Ear};
use crate::metrics;
use crate::store::LogName;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One instance's name and voice, shared by all its rooms.
#[derive(Clone, Debug)]
pub struct Speaker {
    bus: Arc<dyn Bus>,
    id: InstanceId,
    /// The number of the last message, of all rooms together: a room that is opened again goes on above the one before.
    last: Arc<AtomicU64>,
}

impl Speaker {
    /// A new instance.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, id: InstanceId(rand::random()), last: Arc::default() }
    }

    /// Tells all other instances.
    pub fn say(&self, topic: &LogName, message: Message) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let said = Envelope { from: self.id, number, message }.encode();
        metrics::bus_said();
        self.bus.say(topic, said.into());
    }

    /// Listens.
    #[must_use]
    pub fn listen(&self, topic: &LogName) -> Ear {
        self.bus.listen(topic)
    }

    /// What somebody else has said. `None` for our own words, and for those of another release.
    #[must_use]
    pub fn understand(&self, topic: &LogName, said: &Bytes) -> Option<Envelope> {
        match Envelope::decode(said) {
            Ok(message::Heard::Known(said)) if said.from == self.id => None,
            Ok(message::Heard::Known(said)) => {
                metrics::bus_heard();
                Some(said)
            }
            Ok(message::Heard::Unknown) => {
                metrics::bus_unread();
                None
            }
            Err(malformed) => {
                metrics::bus_unread();
                tracing::debug!(document = %topic, %malformed, "what another instance said cannot be read");
                None
            }
        }
    }
}
