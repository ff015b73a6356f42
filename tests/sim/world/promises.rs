//! Was every promise kept?
//!
//! Saved means saved, seen implies saved, refused is nowhere. Where the log went back in time, what it lost must be back at rest as long as a room or
//! a client had it all the while; of clients that have departed nobody asks for more.

use super::World;
use crate::client::{Client, Fact};
use bytes::Bytes;
use commonplace::room::event::{Effect, Event};
use commonplace::room::state::Room;
use commonplace::store::Bookmark;
use std::collections::BTreeMap;

/// What a client that will not come back was told.
pub(crate) struct Departed {
    /// Its client id.
    pub(crate) id: u64,
    /// Its own marks.
    pub(crate) facts: BTreeMap<String, Fact>,
    /// Its clock when the page last said *saved*.
    pub(crate) saved_clock: u32,
}

impl Departed {
    fn check(&self, stored: &Client) -> Result<(), String> {
        let clock = stored.clock_of(self.id);
        if self.saved_clock > clock {
            return Err(format!(
                "client {}, departed, was told that {} is saved, and {clock} is",
                self.id, self.saved_clock
            ));
        }
        let (_, marks) = stored.content();
        for (mark, fact) in &self.facts {
            let is_there = marks.binary_search(mark).is_ok();
            match fact.saved {
                Some(true) if !is_there && fact.stands => {
                    return Err(format!("the saved mark {mark} of a departed client is gone"));
                }
                Some(false) if is_there => {
                    return Err(format!("the deleted mark {mark} of a departed client is back"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes back what nobody has any more. Returns how much that was.
    fn excuse(&mut self, all: &Client) -> u64 {
        let (_, marks) = all.content();
        let before = self.facts.len();
        self.facts.retain(|mark, fact| {
            let is_there = marks.binary_search(mark).is_ok();
            match fact.saved {
                Some(true) => is_there || !fact.stands,
                Some(false) => !is_there,
                None => true,
            }
        });
        self.saved_clock = self.saved_clock.min(all.clock_of(self.id));
        (before - self.facts.len()) as u64
    }
}

impl World {
    /// Something is gone: an instance, a client, or the end of the log.
    pub(super) fn check_after_loss(&mut self) -> Result<(), String> {
        if !self.rewound {
            return self.check_promises();
        }
        // Until the log is healed it lacks what it lost; what nobody has any more it will lack for ever.
        let all = self.stored()?;
        for host in self.hosts.iter_mut().flatten() {
            all.learn(&host.room.document().state())?;
        }
        for client in self.clients.iter().filter(|client| !client.is_reader) {
            all.learn(&client.state())?;
        }
        for departed in &mut self.departed {
            self.tally.excused += departed.excuse(&all);
        }
        Ok(())
    }

    /// Saved means saved, seen implies saved, refused is nowhere.
    pub(super) fn check_promises(&mut self) -> Result<(), String> {
        let stored = self.stored()?;
        for client in &self.clients {
            client.check_promises(&stored, self.rewound)?;
        }
        for departed in &self.departed {
            departed.check(&stored)?;
        }
        let reader =
            self.clients.iter().find(|client| client.is_reader).map_or(0, |client| client.id);
        if stored.state_vector().iter().any(|(client, _)| client.get() == reader) {
            return Err("a refused edit is in the store".to_owned());
        }
        Ok(())
    }

    pub(super) fn check_agreement(&mut self) -> Result<(), String> {
        let stored = self.stored()?;
        let content = stored.content();
        for client in self.clients.iter().filter(|client| !client.is_reader) {
            if client.content() != content {
                return Err(format!("client {} differs from the store", client.id));
            }
            if client.state_vector() != stored.state_vector() {
                return Err(format!(
                    "client {} has another state vector than the store",
                    client.id
                ));
            }
        }
        for (at, host) in self.hosts.iter_mut().enumerate() {
            let Some(host) = host else { continue };
            let held = Client::load(&host.room.document().state());
            if held.content() != content || held.state_vector() != stored.state_vector() {
                return Err(format!("the room of instance {at} differs from the store"));
            }
        }
        self.check_promises()
    }

    /// A fresh load of what is durable.
    fn stored(&mut self) -> Result<Client, String> {
        self.load().map(|(state, _)| Client::load(&state))
    }

    /// The same as bytes, with where that is.
    pub(super) fn load(&mut self) -> Result<(Bytes, Bookmark), String> {
        let faults = std::mem::take(&mut self.disk.faults);
        let (mut room, mut effects) = Room::new(0);
        while let Some(after) = effects
            .iter()
            .find_map(|effect| if let Effect::Read(after) = effect { Some(*after) } else { None })
        {
            effects = room.step(self.now, Event::Read(self.disk.read_now(&self.log, after)));
        }
        self.disk.faults = faults;
        if room.is_open() {
            Ok((room.document().state(), room.head()))
        } else {
            Err("the stored document does not load".to_owned())
        }
    }
}
