//! Does everything come to rest?

use super::World;
use commonplace::store::sim::Faults;

/// Rounds in which a world without faults must come to rest.
const ROUNDS_TO_REST: usize = 2_000;

impl World {
    /// No more faults: everyone comes back, everything moves, and all must agree.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.mend_store();
        self.disk.faults = Faults::default();
        self.thaw();
        for who in 0..self.links.len() {
            if self.links[who].as_ref().is_some_and(|link| link.lost_something) {
                self.disconnect(who)?;
            }
        }
        for _ in 0..ROUNDS_TO_REST {
            for who in 0..self.clients.len() {
                self.connect(who, who % self.hosts.len())?;
                if let Some(link) = &mut self.links[who] {
                    link.room = 1_000;
                }
                self.move_up(who, 100)?;
                self.move_down(who, 100)?;
            }
            for at in 0..self.hosts.len() {
                for _ in 0..4 {
                    self.move_store(at)?;
                }
                self.move_hint(at)?;
            }
            self.pass(100)?;
            self.end_the_finished()?;
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
        let head = self.disk.head_now(&self.log);
        let store_is_quiet = self.hosts.iter().flatten().all(|host| {
            host.append.is_none()
                && host.compact.is_none()
                && host.room.waiting() == 0
                && host.room.follows() == Some(head)
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
        for host in &self.hosts {
            lines.push(format!(
                "room {:?}",
                host.as_ref().map(|host| (
                    host.room.is_open(),
                    host.room.waiting(),
                    host.append.is_some(),
                    host.room.follows()
                ))
            ));
        }
        lines.join("; ")
    }
}
