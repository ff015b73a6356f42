//! In which order can the blocks of an update be taken, so that each finds what it refers to?

use super::{Block, Body, Parent, Update};
use crate::ids::{ClientId, Clock, Id};
use std::collections::HashMap;

/// One block in causal order: a section of the update and the block's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index into [`Update::sections`].
    pub section: u32,
    /// Number of the block in that section.
    pub block: u32,
}

/// Why there is no such order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Something referred to is neither known nor in the update.
    Missing(Id),
    /// A block refers to itself, to later clocks of its own client, or around a circle.
    Circle(Id),
}

impl<'a> Update<'a> {
    /// The order in which each block comes after its origin, right origin and parent, and after the earlier blocks of its
    /// client. `known` says how much of a client is there already, for what is not in the update.
    ///
    /// Blocks that are known are put in order like the others: so an order here is also one for whoever knows nothing.
    ///
    /// Takes time in proportion to the number of blocks: a section that waits is put on a stack, as in Yjs.
    pub fn causal_order(&self, known: impl Fn(ClientId) -> Clock) -> Result<Vec<Step>, Stuck> {
        let mut progress: HashMap<ClientId, Progress> =
            HashMap::with_capacity(self.sections().len());
        for (index, section) in self.sections().iter().enumerate() {
            let known = known(section.client);
            if section.start > known {
                return Err(Stuck::Missing(Id { client: section.client, clock: known }));
            }
            let have = section.start;
            progress
                .insert(section.client, Progress { section: index, next: 0, have, waiting: false });
        }
        let mut order = Vec::with_capacity(self.len());
        let mut stack: Vec<(ClientId, Clock)> = Vec::new();
        for section in self.sections() {
            stack.push((section.client, section.end));
            while let Some(&(client, until)) = stack.last() {
                match self.advance(client, until, &mut progress, &known, &mut order)? {
                    Some(wanted) => stack.push((wanted.client, wanted.clock + 1)),
                    None => drop(stack.pop()),
                }
            }
        }
        Ok(order)
    }

    /// Takes blocks of one client until the clock `until` is there (`None`) or a unit of another section is wanted first.
    fn advance(
        &self,
        client: ClientId,
        until: Clock,
        progress: &mut HashMap<ClientId, Progress>,
        known: &impl Fn(ClientId) -> Clock,
        order: &mut Vec<Step>,
    ) -> Result<Option<Id>, Stuck> {
        let Some(own) = progress.get(&client).copied() else { return Ok(None) };
        let Some(section) = self.sections().get(own.section) else { return Ok(None) };
        let (mut next, mut have) = (own.next, own.have);
        while let Some(block) = self.block(section, next) {
            if block.id.clock >= until {
                break;
            }
            for dependency in dependencies(&block) {
                if dependency.client == client {
                    if dependency.clock >= block.id.clock {
                        return Err(Stuck::Circle(block.id));
                    }
                    continue;
                }
                let other = progress.get(&dependency.client);
                let section = other.and_then(|other| self.sections().get(other.section));
                let (Some(other), Some(_)) =
                    (other, section.filter(|section| dependency.clock < section.end))
                else {
                    if dependency.clock < known(dependency.client) {
                        continue;
                    }
                    return Err(Stuck::Missing(dependency));
                };
                if dependency.clock < other.have {
                    continue;
                }
                if other.waiting {
                    return Err(Stuck::Circle(block.id));
                }
                progress.insert(client, Progress { next, have, waiting: true, ..own });
                return Ok(Some(dependency));
            }
            have = block.end();
            let step = |n: usize| {
                u32::try_from(n).expect("fewer blocks than bytes, and of those fewer than 4 GiB")
            };
            order.push(Step { section: step(own.section), block: step(next) });
            next += 1;
        }
        progress.insert(client, Progress { next, have, waiting: false, ..own });
        Ok(None)
    }
}

#[derive(Clone, Copy)]
struct Progress {
    section: usize,
    next: usize,
    have: Clock,
    /// On the stack, below the section being taken: whoever waits for it waits for ever.
    waiting: bool,
}

fn dependencies(block: &Block<'_>) -> impl Iterator<Item = Id> {
    let (origin, right, parent) = match block.body {
        Body::Gc => (None, None, None),
        Body::Item(item) => {
            let parent = if let Parent::Type(id) = item.parent { Some(id) } else { None };
            (item.origin, item.right_origin, parent)
        }
    };
    [origin, right, parent].into_iter().flatten()
}
