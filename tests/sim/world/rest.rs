//! Does everything come to rest, and was every promise kept?

use super::World;
use crate::client::Client;
use commonplace::room::event::{Effect, Event};
use commonplace::room::state::Room;
use commonplace::store::sim::Faults;

/// Rounds in which a world without faults must come to rest.
const ROUNDS_TO_REST: usize = 2_000;

impl World {
    /// No more faults: everyone comes back, everything moves, and all must agree.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.mend_store();
        self.disk.faults = Faults::default();
        for who in 0..self.links.len() {
            if self.links[who].as_ref().is_some_and(|link| link.lost_something) {
                self.disconnect(who)?;
            }
        }
        for _ in 0..ROUNDS_TO_REST {
            for who in 0..self.clients.len() {
                self.connect(who)?;
                if let Some(link) = &mut self.links[who] {
                    link.room = 1_000;
                }
                self.move_up(who, 100)?;
                self.move_down(who, 100)?;
            }
            for _ in 0..4 {
                self.move_store()?;
            }
            self.pass(100)?;
            self.end_if_finished();
            if self.is_at_rest() {
                return self.check_agreement();
            }
        }
        Err(format!("it does not come to rest: {}", self.describe()))
    }

    fn is_at_rest(&self) -> bool {
        let links_are_quiet = self
            .links
            .iter()
            .flatten()
            .all(|link| link.joined && link.up.is_empty() && link.down.is_empty());
        let all_are_here = self.links.iter().all(Option::is_some);
        let store_is_quiet = self.host.as_ref().is_some_and(|host| {
            host.append.is_none() && host.compact.is_none() && host.room.waiting() == 0
        });
        let all_saved = self.clients.iter().all(|client| client.is_reader || client.says_saved());
        let all_equal = self
            .clients
            .iter()
            .all(|client| client.is_reader || client.content() == self.clients[0].content());
        links_are_quiet && all_are_here && store_is_quiet && all_saved && all_equal
    }

    fn describe(&self) -> String {
        let mut lines = Vec::new();
        for (client, link) in self.clients.iter().zip(&self.links) {
            let link = link.as_ref().map(|link| (link.joined, link.up.len(), link.down.len()));
            lines.push(format!(
                "client {} link {link:?} saved {} {:?}",
                client.id,
                client.says_saved(),
                client.state_vector()
            ));
        }
        let first = self.clients[0].content();
        for client in &self.clients {
            if !client.is_reader && client.content() != first {
                let content = client.content();
                lines.push(format!(
                    "client {} has {content:?}, client 100 has {first:?}",
                    client.id
                ));
            }
        }
        lines.push(format!(
            "room {:?}",
            self.host.as_ref().map(|host| (
                host.room.is_open(),
                host.room.waiting(),
                host.append.is_some()
            ))
        ));
        lines.join("; ")
    }

    fn check_agreement(&mut self) -> Result<(), String> {
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
        self.check_promises()
    }

    /// Saved means saved, seen implies saved, refused is nowhere.
    pub(super) fn check_promises(&mut self) -> Result<(), String> {
        let stored = self.stored()?;
        for client in &self.clients {
            client.check_promises(&stored)?;
        }
        let reader =
            self.clients.iter().find(|client| client.is_reader).map_or(0, |client| client.id);
        if stored.state_vector().iter().any(|(client, _)| client.get() == reader) {
            return Err("a refused edit is in the store".to_owned());
        }
        Ok(())
    }

    /// A fresh load of what is durable.
    fn stored(&mut self) -> Result<Client, String> {
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
            Ok(Client::load(&room.document().state()))
        } else {
            Err("the stored document does not load".to_owned())
        }
    }
}
