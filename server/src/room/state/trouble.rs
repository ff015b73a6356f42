//! Who tells people why their words are not being saved?
//!
//! An update that waits for the store is simply not acknowledged, and a client cannot tell a slow moment from a full disk. So when an entry is
//! refused for want of room, or waits for long, the room says so in a stateless message, which a client that does not know it passes over
//! (`PROTOCOL.md`, P86). Clients of the other dialect see only that nothing comes back.

use super::Room;
use crate::room::event::{Dialect, Millis, Now, PeerId, ToPeer};
use crate::store::StoreError;

/// An entry that has waited for so long is worth a word. Longer than any healthy commit, and than a store that is started again takes.
pub(super) const TROUBLE_AFTER: Millis = 2_000;

/// How the store fares, as its users see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Storage {
    #[default]
    Well,
    Away,
    Full,
}

impl Storage {
    pub(super) const fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            _ => Self::Away,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Well => r#"{"storage":"well"}"#,
            Self::Away => r#"{"storage":"away"}"#,
            Self::Full => r#"{"storage":"full"}"#,
        }
    }
}

impl Room {
    /// Tells everyone when the store has begun to fare badly, or well again.
    pub(super) fn tell_trouble(&mut self, now: Now) {
        let fares = self.edits.storage(now.mono);
        if fares == self.told_storage {
            return;
        }
        self.told_storage = fares;
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.say_storage(peer);
        }
    }

    /// A newcomer in bad times hears of them.
    pub(super) fn tell_trouble_to(&mut self, peer: PeerId) {
        if self.told_storage != Storage::Well {
            self.say_storage(peer);
        }
    }

    fn say_storage(&mut self, id: PeerId) {
        if self.peers.get(&id).is_some_and(|peer| peer.dialect == Dialect::Hocuspocus) {
            self.send(id, ToPeer::Stateless(self.told_storage.message().to_owned()));
        }
    }
}
