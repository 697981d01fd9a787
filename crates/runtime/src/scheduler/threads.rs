//! The table of an instance's threads (Lua coroutines). Pure data: knows neither Lua nor clocks.

use super::timers::TimerId;

/// Bits of a name that hold the slot: 268 million threads in an instance.
const INDEX_BITS: u32 = 28;

/// Set in every name, above the generation's 32 bits.
const NAMED: u64 = 1 << (INDEX_BITS + 32);

/// Names a thread: slot in the table and how often the slot had been used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId {
    index: u32,
    generation: u32,
}

impl ThreadId {
    /// Slot in the table, also the coroutine's place in the anchor table (plus one).
    pub fn index(self) -> u32 {
        self.index
    }

    /// One number for the whole name: shown to Lua as `thread: 0x...`.
    pub fn to_bits(self) -> u64 {
        NAMED | (u64::from(self.generation) << INDEX_BITS) | u64::from(self.index)
    }

    /// Reads a number made by [`ThreadId::to_bits`].
    pub fn from_bits(bits: u64) -> Option<ThreadId> {
        let rest = bits.checked_sub(NAMED).filter(|rest| *rest < NAMED)?;
        let index = (rest & ((1 << INDEX_BITS) - 1)) as u32;
        Some(ThreadId { index, generation: (rest >> INDEX_BITS) as u32 })
    }
}

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Created, not yet run.
    New,
    /// Running, or waiting for a coroutine or native call it resumed.
    Running,
    /// Will run again in the next pass.
    Yielded,
    /// Waits for a timer only.
    Sleeping,
    /// Waits for an event (and perhaps a timer): slot of the event.
    Event(u32),
    /// Waits for a native request (and perhaps a timer).
    Request,
}

/// One thread. `C` is the coroutine handle, `R` a pending native request, `E` what to do at its end.
#[derive(Debug)]
pub struct Thread<C, R, E> {
    generation: u32,
    used: bool,
    /// Doing what.
    pub status: Status,
    /// Valid timer, or [`TimerId::NONE`].
    pub timer: TimerId,
    /// Its coroutine.
    pub coroutine: C,
    /// The native request it waits for.
    pub request: Option<R>,
    /// Whom to tell when it ends.
    pub end: Option<E>,
    /// Lua holds its coroutine object: not recycled.
    pub escaped: bool,
    /// It holds a secure lock: `splay.events` is told of its end.
    pub holds_lock: bool,
    /// `wait` had a timeout: results begin with `true`.
    pub timed: bool,
}

/// All threads of an instance.
#[derive(Debug)]
pub struct Threads<C, R, E> {
    slots: Vec<Thread<C, R, E>>,
    free: Vec<u32>,
    live: usize,
}

impl<C, R, E> Default for Threads<C, R, E> {
    fn default() -> Self {
        Threads { slots: Vec::new(), free: Vec::new(), live: 0 }
    }
}

impl<C: Copy, R, E> Threads<C, R, E> {
    /// The slot the next thread will use, and the coroutine left there for reuse, if any.
    pub fn vacant(&self) -> (u32, Option<C>) {
        match self.free.last() {
            Some(&index) => {
                let slot = &self.slots[index as usize];
                (index, (!slot.escaped).then_some(slot.coroutine))
            }
            None => (self.slots.len() as u32, None),
        }
    }

    /// Adds a thread in the slot that [`Threads::vacant`] named.
    pub fn add(&mut self, coroutine: C) -> ThreadId {
        self.live += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.used = true;
            slot.status = Status::New;
            slot.coroutine = coroutine;
            slot.escaped = false;
            slot.holds_lock = false;
            slot.timed = false;
            return ThreadId { index, generation: slot.generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Thread {
            generation: 0,
            used: true,
            status: Status::New,
            timer: TimerId::NONE,
            coroutine,
            request: None,
            end: None,
            escaped: false,
            holds_lock: false,
            timed: false,
        });
        ThreadId { index, generation: 0 }
    }

    /// Frees a slot. `reusable`: its coroutine ended by returning and can run again.
    pub fn remove(&mut self, id: ThreadId, reusable: bool) {
        if let Some(slot) = self.get_mut(id) {
            slot.used = false;
            slot.generation = slot.generation.wrapping_add(1);
            slot.request = None;
            slot.end = None;
            slot.timer = TimerId::NONE;
            slot.escaped |= !reusable;
            self.live -= 1;
            self.free.push(id.index);
        }
    }

    /// The thread, unless it is dead.
    #[inline]
    pub fn get(&self, id: ThreadId) -> Option<&Thread<C, R, E>> {
        self.slots.get(id.index as usize).filter(|slot| slot.used && slot.generation == id.generation)
    }

    /// The thread, unless it is dead.
    #[inline]
    pub fn get_mut(&mut self, id: ThreadId) -> Option<&mut Thread<C, R, E>> {
        self.slots.get_mut(id.index as usize).filter(|slot| slot.used && slot.generation == id.generation)
    }

    /// The live thread of a coroutine.
    pub fn find(&self, same: impl Fn(C) -> bool) -> Option<ThreadId> {
        self.slots
            .iter()
            .enumerate()
            .find(|(_, slot)| slot.used && same(slot.coroutine))
            .map(|(index, slot)| ThreadId { index: index as u32, generation: slot.generation })
    }

    /// Live threads.
    pub fn live(&self) -> usize {
        self.live
    }

    /// All live threads with their names.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &Thread<C, R, E>)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.used)
            .map(|(index, slot)| (ThreadId { index: index as u32, generation: slot.generation }, slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip_and_are_never_reused() {
        let mut threads: Threads<u8, (), ()> = Threads::default();
        let first = threads.add(1);
        assert_eq!(ThreadId::from_bits(first.to_bits()), Some(first));
        threads.remove(first, true);
        assert_eq!(threads.vacant(), (0, Some(1)));
        let second = threads.add(1);
        assert_ne!(first, second);
        assert_eq!(ThreadId::from_bits(second.to_bits()), Some(second));
        assert!(threads.get(first).is_none());
        assert!(threads.get(second).is_some());
        threads.remove(second, false);
        assert_eq!(threads.vacant(), (0, None));
    }
}
