//! What do other instances, and the server itself, want of a room?
//!
//! What other instances say of presence goes to the table. A command is the same wherever it was given: the instance that was asked and all others that
//! have the document open do the same.

use super::Room;
use crate::access::{Principal, Scope};
use crate::bus::message::{Command, Envelope, Message};
use crate::room::event::{Effect, Millis, Note, Now, PeerId, Seating, ToPeer};
use crate::room::presence::Correction;
use bytes::Bytes;
use commonplace_protocol::close::CloseCode;
use std::collections::VecDeque;

/// A right that changed is applied for this long to whoever takes a seat, too: they may have been admitted before it changed. Whoever decides has ten
/// seconds, and the room may have to be opened.
const RIGHTS_REMEMBERED: Millis = 15_000;

/// Changes remembered at once; the oldest is forgotten first.
const MAX_RIGHTS_REMEMBERED: usize = 256;

/// Rights that changed a moment ago.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// The newest last.
    changes: VecDeque<(Millis, Principal, Option<Scope>)>,
}

impl Rights {
    fn remember(&mut self, now: Millis, principal: Principal, scope: Option<Scope>) {
        self.changes.retain(|(at, who, _)| {
            *who != principal && now.saturating_sub(*at) < RIGHTS_REMEMBERED
        });
        if self.changes.len() >= MAX_RIGHTS_REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back((now, principal, scope));
    }

    fn of(&self, now: Millis, principal: &Principal) -> Option<Option<Scope>> {
        self.changes
            .iter()
            .find(|(at, who, _)| who == principal && now.saturating_sub(*at) < RIGHTS_REMEMBERED)
            .map(|(_, _, scope)| *scope)
    }
}

impl Room {
    pub(super) fn heard(&mut self, now: Now, said: Envelope) {
        let Envelope { from, number, message } = said;
        match message {
            Message::Command(command) => self.command(now, command),
            about_presence => match self.presence.hear(from, number, &about_presence, now.mono) {
                Ok(corrections) => self.correct(corrections),
                // Another release, with other limits; what it means is said again, or runs out.
                Err(malformed) => self.note(Note::Unread(malformed)),
            },
        }
    }

    /// Tells peers about their own ids.
    pub(super) fn correct(&mut self, corrections: Vec<Correction>) {
        for (to, correction) in corrections {
            self.send(to, ToPeer::Awareness(correction.into()));
        }
    }

    pub(super) fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Stateless(text) => {
                self.effects.push(Effect::Broadcast(None, ToPeer::Stateless(text)));
            }
            Command::Rights { principal, scope } => {
                let theirs = self.peers.iter().filter(|(_, peer)| peer.principal == principal);
                let ids: Vec<PeerId> = theirs.map(|(&id, _)| id).collect();
                for id in ids {
                    self.set_rights(now, id, scope);
                }
                self.rights.remember(now.mono, principal, scope);
            }
            Command::Close { code, reason } => {
                self.effects.push(Effect::CloseAll(code, reason));
                self.end();
            }
        }
    }

    /// Whoever takes a seat may have been admitted before their rights changed.
    pub(super) fn set_rights_of_newcomer(&mut self, now: Now, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        if let Some(scope) = self.rights.of(now.mono, &peer.principal) {
            self.set_rights(now, id, scope);
        }
    }

    fn set_rights(&mut self, now: Now, id: PeerId, scope: Option<Scope>) {
        match scope {
            Some(scope) => {
                if self.set_scope(id, scope) {
                    self.send(id, ToPeer::Scope(scope));
                }
            }
            None => {
                self.leave(now, id);
                // Nothing more of the room reaches it, however long its connection takes to end.
                self.effects.push(Effect::Seat(id, Seating::Behind));
                self.effects.push(Effect::Close(
                    id,
                    CloseCode::FORBIDDEN,
                    "you may not open this document any more",
                ));
            }
        }
    }

    /// Returns whether it has changed.
    pub(super) fn set_scope(&mut self, id: PeerId, scope: Scope) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if std::mem::replace(&mut peer.scope, scope) == scope {
            return false;
        }
        if scope == Scope::ReadWrite && peer.told_version.is_some() {
            // What it wrote while it could only read is still with it.
            self.owe(id, 0);
        }
        true
    }

    /// Shows what has changed, and tells the other instances, when the pace allows.
    pub(super) fn show_presence(&mut self, now: Now) {
        let has_peers = !self.peers.is_empty();
        let is_due = self.presence.due_at(has_peers).is_some_and(|at| now.mono >= at);
        let waits = is_due || self.presence.has_changes();
        if !self.presence_may_go(now, waits) {
            return;
        }
        let (messages, corrections) = self.presence.tell_others(has_peers, now.mono);
        self.correct(corrections);
        let shown = self.presence.take_changes();
        // A sign of life keeps nobody waiting.
        if !shown.messages.is_empty() || messages.iter().any(|it| *it != Message::Hello) {
            self.show.presence_sent(now.mono, self.peers.len());
        }
        for message in messages {
            self.effects.push(Effect::Say(message));
        }
        for message in shown.messages {
            let message = ToPeer::Awareness(Bytes::from(message));
            self.effects.push(Effect::Broadcast(shown.only_from, message));
        }
    }

    /// When presence is to be looked at again although nothing happens.
    pub(super) fn presence_wake(&self) -> Option<Millis> {
        let due = self.presence.due_at(!self.peers.is_empty())?;
        Some(due.max(self.show.presence_due()))
    }
}
