//! Timers of one instance: a 4-ary heap keyed by (deadline, order of creation), with lazy
//! cancellation. Pure data: never reads a clock.

use std::time::Duration;

/// Children per node: four keys of a node share a cache line pair, so a sift touches fewer lines
/// than in a binary heap (measured at 100,000 timers: 10.6 against 8 million events a second).
const ARITY: usize = 4;

/// Below this many cancelled timers the heap is not swept.
const SWEEP_FLOOR: usize = 64;

/// Identifies a timer: never repeats within an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId(u64);

impl TimerId {
    /// Identifies no timer.
    pub const NONE: TimerId = TimerId(0);
}

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    /// Deadline in nanoseconds, then the id: equal deadlines fire in order of creation.
    key: u128,
    target: T,
}

/// A heap of timers for targets of type `T`.
#[derive(Debug)]
pub struct Timers<T> {
    heap: Vec<Entry<T>>,
    next: u64,
    cancelled: usize,
}

impl<T: Copy> Default for Timers<T> {
    fn default() -> Self {
        Timers { heap: Vec::new(), next: 1, cancelled: 0 }
    }
}

impl<T: Copy> Timers<T> {
    /// Adds a timer.
    pub fn add(&mut self, deadline: Duration, target: T) -> TimerId {
        let id = self.next;
        self.next += 1;
        let nanoseconds = deadline.as_nanos().min(u128::from(u64::MAX));
        self.heap.push(Entry { key: (nanoseconds << 64) | u128::from(id), target });
        self.sift_up(self.heap.len() - 1);
        TimerId(id)
    }

    /// Notes that one timer in the heap will never be taken for valid again. `valid` tells the
    /// others apart when it is time to sweep.
    pub fn cancel_one(&mut self, valid: impl Fn(TimerId, T) -> bool) {
        self.cancelled += 1;
        if self.cancelled > SWEEP_FLOOR && self.cancelled * 2 > self.heap.len() {
            self.heap.retain(|entry| valid(TimerId(entry.key as u64), entry.target));
            self.cancelled = 0;
            self.rebuild();
        }
    }

    /// Earliest deadline, cancelled timers included.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.heap.first().map(|entry| Duration::from_nanos((entry.key >> 64) as u64))
    }

    /// Takes the earliest timer if its deadline is not after `now`.
    pub fn pop_due(&mut self, now: Duration) -> Option<(TimerId, T)> {
        let first = self.heap.first()?;
        if (first.key >> 64) > now.as_nanos() {
            return None;
        }
        let entry = *first;
        let last = self.heap.pop().expect("not empty: it has a first entry");
        if !self.heap.is_empty() {
            self.heap[0] = last;
            self.sift_down(0);
        }
        Some((TimerId(entry.key as u64), entry.target))
    }

    /// As [`Timers::pop_due`], but stops at a timer made at or after `boundary`
    /// (see [`Timers::next_id`]).
    pub fn pop_due_before(&mut self, now: Duration, boundary: TimerId) -> Option<(TimerId, T)> {
        if self.heap.first().is_some_and(|entry| entry.key as u64 >= boundary.0) {
            return None;
        }
        self.pop_due(now)
    }

    /// The id that the next timer will get.
    pub fn next_id(&self) -> TimerId {
        TimerId(self.next)
    }

    /// A timer that [`Timers::pop_due`] returned had been cancelled.
    pub fn dropped_cancelled(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// Timers that still count.
    pub fn live(&self) -> usize {
        self.heap.len() - self.cancelled.min(self.heap.len())
    }

    /// All timers in no order, cancelled ones included: which, when, for whom.
    pub fn iter(&self) -> impl Iterator<Item = (TimerId, Duration, T)> {
        self.heap.iter().map(|entry| {
            (TimerId(entry.key as u64), Duration::from_nanos((entry.key >> 64) as u64), entry.target)
        })
    }

    fn rebuild(&mut self) {
        for at in (0..self.heap.len() / ARITY + 1).rev() {
            if at < self.heap.len() {
                self.sift_down(at);
            }
        }
        if self.heap.capacity() > 4 * (self.heap.len() + SWEEP_FLOOR) {
            self.heap.shrink_to(2 * self.heap.len());
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent].key <= entry.key {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = entry;
    }

    fn sift_down(&mut self, mut at: usize) {
        let entry = self.heap[at];
        let len = self.heap.len();
        loop {
            let first = at * ARITY + 1;
            if first >= len {
                break;
            }
            let mut least = first;
            for child in first + 1..(first + ARITY).min(len) {
                if self.heap[child].key < self.heap[least].key {
                    least = child;
                }
            }
            if self.heap[least].key >= entry.key {
                break;
            }
            self.heap[at] = self.heap[least];
            at = least;
        }
        self.heap[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn equal_deadlines_fire_in_order_of_creation() {
        let mut timers = Timers::default();
        for target in 0..10 {
            timers.add(ms(5), target);
        }
        let fired: Vec<i32> = std::iter::from_fn(|| timers.pop_due(ms(5)).map(|(_, t)| t)).collect();
        assert_eq!(fired, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut timers = Timers::default();
        let live = timers.add(ms(1_000_000), u64::MAX);
        for n in 0..100_000_u64 {
            timers.add(ms(60_000), n);
            timers.cancel_one(|id, _| id == live);
        }
        assert!(timers.heap.len() < 3 * SWEEP_FLOOR, "{} entries kept", timers.heap.len());
        assert_eq!(timers.live(), 1);
        let popped: Vec<_> = std::iter::from_fn(|| timers.pop_due(ms(2_000_000))).collect();
        assert!(popped.contains(&(live, u64::MAX)));
    }

    proptest! {
        #[test]
        fn pops_sorted(deadlines in prop::collection::vec(0_u64..1000, 0..300), kill in any::<u64>()) {
            let mut timers = Timers::default();
            let ids: Vec<_> = deadlines.iter().enumerate().map(|(n, d)| timers.add(ms(*d), n)).collect();
            let dead = |n: usize| (kill >> (n % 64)) & 1 == 1;
            for n in 0..ids.len() {
                if dead(n) {
                    timers.cancel_one(|_, target| !dead(target) || target > n);
                }
            }
            let mut got = Vec::new();
            while let Some((_, n)) = timers.pop_due(ms(1000)) {
                if dead(n) { timers.dropped_cancelled(); } else { got.push((deadlines[n], n)); }
            }
            let mut want: Vec<_> =
                deadlines.iter().enumerate().filter(|(n, _)| !dead(*n)).map(|(n, d)| (*d, n)).collect();
            want.sort_unstable();
            prop_assert_eq!(got, want);
        }
    }
}
