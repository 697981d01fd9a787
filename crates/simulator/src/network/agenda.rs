//! Owns the order of future events: earliest first, at the same instant in the order planned.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use slab::Slab;

/// Nanoseconds of virtual time.
pub type Time = u64;

/// An event's place: when, in which order planned, and where in the slab it is.
type Place = (Time, u64, u32);

/// Events waiting for their time. What they are lives in a slab, so that the rest moves only
/// small entries.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    /// Events planned in the order of their times, as most are where packets take about as long
    /// as each other: no sorting is needed.
    lane: VecDeque<Place>,
    /// The others.
    heap: BinaryHeap<Reverse<Place>>,
    events: Slab<E>,
    planned: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda { lane: VecDeque::new(), heap: BinaryHeap::new(), events: Slab::new(), planned: 0 }
    }
}

impl<E> Agenda<E> {
    pub(super) fn plan(&mut self, at: Time, event: E) {
        let slot = u32::try_from(self.events.insert(event)).expect("fewer than 2^32 events wait at once");
        let place = (at, self.planned, slot);
        self.planned += 1;
        match self.lane.back() {
            Some(last) if last.0 > at => self.heap.push(Reverse(place)),
            _ => self.lane.push_back(place),
        }
    }

    /// The earliest event, and whether it is in the lane.
    fn first(&self) -> Option<(Place, bool)> {
        match (self.lane.front(), self.heap.peek()) {
            (Some(lane), Some(Reverse(heap))) if heap < lane => Some((*heap, false)),
            (Some(lane), _) => Some((*lane, true)),
            (None, Some(Reverse(heap))) => Some((*heap, false)),
            (None, None) => None,
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.first().map(|((at, ..), _)| at)
    }

    /// The next event, if its time is not after `limit`.
    pub(super) fn take(&mut self, limit: Time) -> Option<(Time, E)> {
        let ((at, _, slot), in_lane) = self.first()?;
        if at > limit {
            return None;
        }
        match in_lane {
            true => drop(self.lane.pop_front()),
            false => drop(self.heap.pop()),
        }
        Some((at, self.events.remove(slot as usize)))
    }

    /// Everything that is to come, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Time, u64, &E)> {
        let places = self.lane.iter().chain(self.heap.iter().map(|Reverse(place)| place));
        places.map(|&(at, planned, slot)| (at, planned, &self.events[slot as usize]))
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
        assert_eq!(agenda.iter().collect::<Vec<_>>(), [(9, 4, &"late")]);
    }

    #[test]
    fn any_mixture_comes_out_sorted() {
        let mut agenda = Agenda::default();
        let mut random = 1_u64;
        let mut seen = Vec::new();
        let mut now = 0;
        for n in 0..5000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            agenda.plan(now + random % 97, n);
            if n % 3 != 0 {
                let (at, event) = agenda.take(u64::MAX).unwrap();
                now = at;
                seen.push((at, event));
            }
        }
        seen.extend(std::iter::from_fn(|| agenda.take(u64::MAX)));
        assert_eq!(seen.len(), 5000);
        assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        // Planned at the same time for the same time: in that order.
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0 || pair[0].1 < pair[1].1));
    }
}
