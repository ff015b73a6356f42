//! How are a room's wishes carried out in virtual time? As its task does, without waiting.

use super::host::{Append, Seat};
use super::{Link, World};
use commonplace::room::event::{Effect, Event, Note, PeerId, Seating, ToPeer};
use commonplace_protocol::close::CloseCode;
use std::collections::VecDeque;

impl World {
    pub(super) fn step(&mut self, at: usize, event: Event) -> Result<(), String> {
        let Some(host) = self.hosts[at].as_mut().filter(|host| !host.ended) else { return Ok(()) };
        let effects = host.room.step(self.now, event);
        self.carry(at, effects)
    }

    /// Does what the room wants, as the task does.
    pub(super) fn carry(&mut self, at: usize, effects: Vec<Effect>) -> Result<(), String> {
        let mut echoes = VecDeque::new();
        let mut todo = VecDeque::from([effects]);
        while let Some(effects) = todo.pop_front() {
            for effect in effects {
                self.carry_one(at, effect, &mut echoes)?;
            }
            while let Some(event) = echoes.pop_front() {
                if let Some(host) = self.hosts[at].as_mut().filter(|host| !host.ended) {
                    let effects = host.room.step(self.now, event);
                    todo.push_back(effects);
                    break;
                }
            }
            if todo.is_empty() && !echoes.is_empty() {
                todo.push_back(Vec::new());
            }
        }
        Ok(())
    }

    fn carry_one(
        &mut self,
        at: usize,
        effect: Effect,
        echoes: &mut VecDeque<Event>,
    ) -> Result<(), String> {
        let Some(host) = &mut self.hosts[at] else { return Ok(()) };
        match effect {
            Effect::Read(after) => {
                if host.read.is_some() {
                    return Err("two reads at once".to_owned());
                }
                host.read = Some(after);
            }
            Effect::Append { id, entry, seen } => {
                if host.append.is_some() {
                    return Err("two appends at once".to_owned());
                }
                host.append = Some(Append { id, entry, seen, written: None, unanswered: false });
            }
            Effect::Compact { up_to, state } => host.compact = Some((up_to, state)),
            Effect::Send(peer, message) => {
                if let Some(seat) = host.seats.get_mut(&peer) {
                    push(&mut self.links, peer, seat, message, echoes);
                }
            }
            Effect::Broadcast(not_to, message) => {
                let is_presence = matches!(message, ToPeer::Awareness(_));
                for (&peer, seat) in &mut host.seats {
                    let reaches = seat.seating == Seating::Live
                        || (seat.seating == Seating::Arriving && is_presence);
                    if reaches && Some(peer) != not_to {
                        push(&mut self.links, peer, seat, message.clone(), echoes);
                    }
                }
            }
            Effect::Seat(peer, seating) => {
                if let Some(seat) = host.seats.get_mut(&peer) {
                    seat.seating = seat.seating.then(seating);
                }
            }
            Effect::TellWhenDrained(peer) => {
                let is_empty = self
                    .links
                    .iter()
                    .flatten()
                    .all(|link| link.peer != peer || link.down.is_empty());
                if is_empty {
                    echoes.push_back(Event::Drained(peer));
                } else if let Some(seat) = host.seats.get_mut(&peer) {
                    seat.tell_when_drained = true;
                }
            }
            Effect::Close(peer, code, reason) => {
                let client = host.seats.remove(&peer).and_then(|seat| seat.client);
                echoes.push_back(Event::Leave(peer));
                match client {
                    Some(who) if code == CloseCode::STORAGE_AWAY => self.links[who] = None,
                    Some(who) => {
                        return Err(format!(
                            "client {} was closed: {code:?} {reason}",
                            self.clients[who].id
                        ));
                    }
                    None => self.hostile[at] = None,
                }
            }
            Effect::WakeAt(time) => host.wake_at = Some(time),
            Effect::Quarantine(reason) => {
                return Err(format!("the document was set aside: {reason}"));
            }
            Effect::Note(Note::Healed { parts, .. }) => {
                self.tally.healed += 1;
                self.tally.put_back += parts as u64;
            }
            Effect::Note(Note::Reloaded(_)) => self.tally.reloaded += 1,
            Effect::CloseAll(code, reason) => {
                return Err(format!("everybody was closed: {code:?} {reason}"));
            }
            // Presence has tests of its own.
            Effect::Say(_) => {}
            Effect::OpenFailed(_) | Effect::Note(_) => {}
            Effect::Finished => host.ended = true,
        }
        Ok(())
    }

    pub(super) fn end_the_finished(&mut self) -> Result<(), String> {
        for at in 0..self.hosts.len() {
            if self.hosts[at].as_ref().is_some_and(|host| host.ended) {
                self.hosts[at] = None;
                self.forget(at);
                if self.rewound {
                    self.check_after_loss()?;
                }
            }
        }
        Ok(())
    }
}

/// Queues a message for a link, or reports that there was no room.
fn push(
    links: &mut [Option<Link>],
    peer: PeerId,
    seat: &mut Seat,
    message: ToPeer,
    echoes: &mut VecDeque<Event>,
) {
    let Some(who) = seat.client else { return };
    let Some(link) = links[who].as_mut().filter(|link| link.peer == peer) else { return };
    let fits =
        seat.seating != Seating::Behind && (link.down.is_empty() || link.down.len() < link.room);
    if fits {
        link.down.push_back(message);
    } else {
        seat.seating = Seating::Behind;
        seat.tell_when_drained = true;
        echoes.push_back(Event::Behind(peer, message));
    }
}
