//! How do instances on one Redis hear each other?
//!
//! By a channel for each document, beside its keys (sharded pub/sub); the store's hub keeps the connections, and says when something may have been
//! missed.

use super::{Bus, Ear, ear};
use crate::store::LogName;
use crate::store::redis::hub::Heard;
use crate::store::redis::{Hub, Keys, RedisStore};
use bytes::Bytes;
use std::sync::Arc;

/// The bus of those who have their store in the same Redis, under the same prefix.
#[derive(Clone, Debug)]
pub struct RedisBus {
    hub: Hub,
    keys: Keys,
}

impl RedisBus {
    /// Beside this store.
    #[must_use]
    pub fn beside(store: &RedisStore) -> Self {
        Self { hub: store.hub().clone(), keys: store.keys().clone() }
    }
}

impl Bus for RedisBus {
    fn listen(&self, topic: &LogName) -> Ear {
        let (teller, ear) = ear();
        let channel = self.keys.of(topic).bus();
        let listener = move |heard| match heard {
            Heard::Message(message) => teller.tell(message),
            Heard::Missed => teller.missed(),
        };
        ear.keeping(self.hub.listen_with(&channel, Arc::new(listener)))
    }

    fn say(&self, topic: &LogName, message: Bytes) {
        self.hub.publish(&self.keys.of(topic).bus(), message);
    }
}
