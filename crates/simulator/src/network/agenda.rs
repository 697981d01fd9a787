//! Owns the order of future events: earliest first, at the same instant in the order planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

/// Nanoseconds of virtual time.
pub type Time = u64;

/// Events waiting for their time. What they are lives in a slab, so that the heap moves only
/// small entries.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Slab<E>,
    planned: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda { heap: BinaryHeap::new(), events: Slab::new(), planned: 0 }
    }
}

impl<E> Agenda<E> {
    pub(super) fn plan(&mut self, at: Time, event: E) {
        let slot = u32::try_from(self.events.insert(event)).expect("fewer than 2^32 events wait at once");
        self.heap.push(Reverse((at, self.planned, slot)));
        self.planned += 1;
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next event, if its time is not after `limit`.
    pub(super) fn take(&mut self, limit: Time) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = *self.heap.peek()?;
        if at > limit {
            return None;
        }
        self.heap.pop();
        Some((at, self.events.remove(slot as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn orders_by_time_then_by_planning() {
        let mut agenda = Agenda::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (3, "b")] {
            agenda.plan(at, name);
        }
        assert_eq!(agenda.next(), Some(1));
        let mut seen = Vec::new();
        while let Some((_, name)) = agenda.take(5) {
            seen.push(name);
        }
        assert_eq!(seen, ["a", "b", "c", "d"]);
        agenda.plan(9, "late");
        assert_eq!(agenda.take(8), None);
    }
}
