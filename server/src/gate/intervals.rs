//! Which clocks of one client are in a set?

use commonplace_protocol::ids::Clock;
use std::collections::BTreeMap;
use std::ops::Range;

/// A set of clocks, as ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    /// Start to end.
    ranges: BTreeMap<Clock, Clock>,
}

impl Intervals {
    pub(super) fn contains(&self, clock: Clock) -> bool {
        self.ranges.range(..=clock).next_back().is_some_and(|(_, end)| clock < *end)
    }

    pub(super) fn insert(&mut self, range: Range<Clock>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&next);
            end = end.max(next_end);
        }
        self.ranges.insert(start, end);
    }

    /// The parts of `range` that are not in the set.
    pub(super) fn gaps(&self, range: Range<Clock>) -> impl Iterator<Item = Range<Clock>> + '_ {
        let first =
            self.ranges.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        let inside =
            self.ranges.range(first..range.end.max(first)).map(|(start, end)| *start..*end);
        let mut at = range.start;
        inside.chain(std::iter::once(range.end..range.end)).filter_map(move |covered| {
            let gap = at..covered.start.min(range.end);
            at = at.max(covered.end);
            (!gap.is_empty()).then_some(gap)
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }
}
