//! What do a room's messages look like on the wire of each dialect?
//!
//! One message to a thousand peers is encoded once for each dialect and address, and shared by reference count.

use super::event::{Dialect, ToPeer};
use bytes::Bytes;
use commonplace_protocol::hocuspocus;
use commonplace_protocol::sync::Sync;
use commonplace_protocol::yws;

/// A frame, and how often it is sent: a Hocuspocus provider counts one status for each of its updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) frame: Bytes,
    pub(super) times: u32,
}

/// Encodes, and remembers the last two messages for each address: a broadcast asks for the same one again and again, and of those who join at
/// once each gets a question of its own and the same answer.
#[derive(Debug, Default)]
pub(super) struct Framer {
    last: Encoded,
    before: Encoded,
}

#[derive(Debug, Default)]
struct Encoded {
    message: Option<ToPeer>,
    frames: Vec<(Dialect, Bytes, Option<Frames>)>,
}

impl Framer {
    /// The frames for one peer. `None` when its dialect has no such message.
    pub(super) fn frames(
        &mut self,
        dialect: Dialect,
        address: &Bytes,
        message: &ToPeer,
    ) -> Option<Frames> {
        if !self.last.is_of(message) {
            std::mem::swap(&mut self.last, &mut self.before);
        }
        if !self.last.is_of(message) {
            self.last.message = Some(message.clone());
            self.last.frames.clear();
        }
        if let Some((_, _, frames)) =
            self.last.frames.iter().find(|(d, a, _)| *d == dialect && a == address)
        {
            return frames.clone();
        }
        let frames = match dialect {
            Dialect::YWebsocket => yws_frame(message).map(|frame| Frames { frame, times: 1 }),
            Dialect::Hocuspocus => hocuspocus_frames(address, message),
        };
        if self.last.frames.len() < REMEMBERED_ADDRESSES {
            self.last.frames.push((dialect, address.clone(), frames.clone()));
        }
        frames
    }

    /// Forgets: a frame kept for a quiet room would only hold memory.
    pub(super) fn clear(&mut self) {
        for encoded in [&mut self.last, &mut self.before] {
            encoded.message = None;
            encoded.frames.clear();
        }
    }
}

impl Encoded {
    fn is_of(&self, message: &ToPeer) -> bool {
        self.message.as_ref().is_some_and(|last| is_same(last, message))
    }
}

/// Nearly every peer of a room has the same address; providers with session addresses each have their own and are encoded for one by one.
const REMEMBERED_ADDRESSES: usize = 8;

/// The same payload, not an equal one: comparing a megabyte for each peer would cost more than encoding it.
fn is_same(a: &ToPeer, b: &ToPeer) -> bool {
    match (a, b) {
        (ToPeer::SyncStep1(a), ToPeer::SyncStep1(b))
        | (ToPeer::SyncStep2(a), ToPeer::SyncStep2(b))
        | (ToPeer::Update(a), ToPeer::Update(b))
        | (ToPeer::Awareness(a), ToPeer::Awareness(b)) => {
            a.as_ptr() == b.as_ptr() && a.len() == b.len()
        }
        (ToPeer::Applied(a), ToPeer::Applied(b)) => a == b,
        (ToPeer::Scope(a), ToPeer::Scope(b)) => a == b,
        (ToPeer::Stateless(a), ToPeer::Stateless(b)) => a == b,
        (ToPeer::Refused, ToPeer::Refused) | (ToPeer::KeepAlive, ToPeer::KeepAlive) => true,
        _ => false,
    }
}

fn yws_frame(message: &ToPeer) -> Option<Bytes> {
    let message = match message {
        ToPeer::SyncStep1(state_vector) => yws::Message::Sync(Sync::SyncStep1(state_vector)),
        ToPeer::SyncStep2(update) => yws::Message::Sync(Sync::SyncStep2(update)),
        ToPeer::Update(update) => yws::Message::Sync(Sync::Update(update)),
        ToPeer::Awareness(update) => yws::Message::Awareness(update),
        ToPeer::SyncStatus(status) => yws::Message::SyncStatus(status),
        ToPeer::KeepAlive => return Some(Bytes::from_static(&yws::KEEP_ALIVE)),
        // The dialect has no status, no scope, and no place for an application's text.
        ToPeer::Applied(_) | ToPeer::Refused | ToPeer::Stateless(_) | ToPeer::Scope(_) => {
            return None;
        }
    };
    Some(message.encode().into())
}

fn hocuspocus_frames(address: &Bytes, message: &ToPeer) -> Option<Frames> {
    let (message, times) = match message {
        ToPeer::SyncStep1(state_vector) => {
            (hocuspocus::Message::Sync(Sync::SyncStep1(state_vector)), 1)
        }
        ToPeer::SyncStep2(update) => (hocuspocus::Message::Sync(Sync::SyncStep2(update)), 1),
        ToPeer::Update(update) => (hocuspocus::Message::Sync(Sync::Update(update)), 1),
        ToPeer::Awareness(update) => (hocuspocus::Message::Awareness(update), 1),
        ToPeer::Applied(count) => (hocuspocus::Message::SyncStatus(true), *count),
        ToPeer::Refused => (hocuspocus::Message::SyncStatus(false), 1),
        ToPeer::Stateless(text) => (hocuspocus::Message::Stateless(text), 1),
        ToPeer::Scope(scope) => {
            (hocuspocus::Message::Authenticated { scope: scope.on_the_wire() }, 1)
        }
        ToPeer::KeepAlive => {
            return Some(Frames { frame: Bytes::from_static(&hocuspocus::KEEP_ALIVE), times: 1 });
        }
        ToPeer::SyncStatus(_) => return None,
    };
    Some(Frames { frame: hocuspocus::encode(address, &message).into(), times })
}
