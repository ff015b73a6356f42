//! Did every edit of every writer arrive, and exactly once?
//!
//! Every client keeps, for every writer, the clock it expects next. Servers send the same bytes to everybody in a room, so a frame is
//! parsed once and what it holds is remembered: that is what makes it affordable to check a million deliveries a second, every one of them.

use crate::Outcome;
use crate::edits::seat_of;
use commonplace_protocol::ids::Clock;
use commonplace_protocol::update::parse_own;
use hashbrown::HashMap;
use std::rc::Rc;

/// Frames remembered in one generation. Everybody in a room gets a frame within one or two of them.
const GENERATION: usize = 4096;

/// Clocks of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// In which room.
    pub room: usize,
    /// Which writer.
    pub seat: usize,
    /// The first clock.
    pub start: Clock,
    /// The clock after the last one.
    pub end: Clock,
}

/// What is in a frame, parsed once.
#[derive(Debug, Default)]
pub struct Memo {
    young: HashMap<Box<[u8]>, Rc<[Span]>>,
    old: HashMap<Box<[u8]>, Rc<[Span]>>,
}

impl Memo {
    /// The edits in an update.
    pub fn spans(&mut self, update: &[u8]) -> Outcome<Rc<[Span]>> {
        if let Some(known) = self.young.get(update) {
            return Ok(Rc::clone(known));
        }
        let spans = match self.old.remove(update) {
            Some(known) => known,
            None => spans(update)?,
        };
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(update.into(), Rc::clone(&spans));
        Ok(spans)
    }
}

fn spans(update: &[u8]) -> Outcome<Rc<[Span]>> {
    let update = parse_own(update)?;
    let spans = update.sections().iter().filter_map(|section| {
        let (room, seat) = seat_of(section.client)?;
        Some(Span { room, seat, start: section.start, end: section.end })
    });
    Ok(spans.collect())
}

/// What one client has seen of everybody in its room.
#[derive(Debug, Default)]
pub struct Seen {
    next: Vec<Clock>,
    /// What was jumped over: a seat and its clocks. Empty unless the server lost something.
    holes: Vec<(usize, Clock, Clock)>,
    /// Edits that came again.
    pub duplicated: u64,
}

impl Seen {
    /// Nothing yet, of so many writers.
    #[must_use]
    pub fn new(writers: usize) -> Self {
        Self { next: vec![0; writers], ..Self::default() }
    }

    /// The clock after the newest that was seen of a writer.
    #[must_use]
    pub fn next(&self, seat: usize) -> Clock {
        self.next.get(seat).copied().unwrap_or_default()
    }

    /// Notes what has come. Calls `news` with the clocks that were not seen before.
    pub fn note(&mut self, span: &Span, mut news: impl FnMut(Clock, Clock)) {
        let Some(next) = self.next.get_mut(span.seat) else { return };
        if span.start == *next {
            *next = span.end;
            news(span.start, span.end);
            return;
        }
        let known = *next;
        if span.start > known {
            self.holes.push((span.seat, known, span.start));
        }
        if span.end > known {
            *next = span.end;
            news(span.start.max(known), span.end);
        }
        if span.start < known {
            self.again(span.seat, span.start, span.end.min(known), &mut news);
        }
    }

    /// Clocks below the newest: they fill holes, or they are here for the second time.
    fn again(
        &mut self,
        seat: usize,
        start: Clock,
        end: Clock,
        news: &mut impl FnMut(Clock, Clock),
    ) {
        let mut again = u64::from(end - start);
        let mut left = Vec::with_capacity(self.holes.len() + 1);
        for (whose, from, to) in self.holes.drain(..) {
            let (low, high) = (from.max(start), to.min(end));
            if whose != seat || low >= high {
                left.push((whose, from, to));
                continue;
            }
            news(low, high);
            again -= u64::from(high - low);
            left.extend(
                [(whose, from, low), (whose, high, to)].into_iter().filter(|hole| hole.1 < hole.2),
            );
        }
        self.holes = left;
        self.duplicated += again;
    }

    /// Edits of a writer, below `sent`, that never came.
    #[must_use]
    pub fn missing(&self, seat: usize, sent: Clock) -> u64 {
        let holes = self.holes.iter().filter(|hole| hole.0 == seat);
        let inside: u64 = holes.map(|(_, from, to)| u64::from(to - from)).sum();
        inside + u64::from(sent.saturating_sub(self.next(seat)))
    }
}

#[cfg(test)]
mod tests;
