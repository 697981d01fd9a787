//! Named events of one instance: who waits for what, and what has been fired since the last
//! pass. Pure data; the names' and arguments' Lua values are kept by the caller.
//!
//! Delivery (semantics of the old scheduler): a fired event is a one-slot latch that lives until
//! the next pass; the pass resumes every thread then waiting for it, first come first served, and
//! drops what nobody waited for.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::threads::ThreadId;

/// Identity of an event's name: kind of value and its address or bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u8, pub u64);

/// Idle names kept, so that names used again and again are anchored once.
const IDLE_KEPT: usize = 256;

#[derive(Debug)]
struct Event {
    key: Key,
    waiting: VecDeque<ThreadId>,
    /// Fired since the last pass: where its arguments are.
    fired: Option<Arguments>,
    idle: bool,
}

/// Where the arguments of a fired event are kept: first place and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arguments {
    /// First place.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// All events of an instance.
#[derive(Debug, Default)]
pub struct Events {
    by_key: FxHashMap<Key, u32>,
    events: Vec<Event>,
    free: Vec<u32>,
    fired: Vec<u32>,
    idle: usize,
    fires: u64,
}

impl Events {
    /// The slot of a name; true if it is new and its Lua value must be anchored.
    pub fn slot(&mut self, key: Key) -> (u32, bool) {
        if let Some(&slot) = self.by_key.get(&key) {
            if self.events[slot as usize].idle {
                self.events[slot as usize].idle = false;
                self.idle -= 1;
            }
            return (slot, false);
        }
        let event = Event { key, waiting: VecDeque::new(), fired: None, idle: false };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = event;
                slot
            }
            None => {
                self.events.push(event);
                (self.events.len() - 1) as u32
            }
        };
        self.by_key.insert(key, slot);
        (slot, true)
    }

    /// Adds a waiter.
    pub fn wait(&mut self, slot: u32, thread: ThreadId) {
        self.events[slot as usize].waiting.push_back(thread);
    }

    /// Removes a waiter (timed out or killed).
    pub fn leave(&mut self, slot: u32, thread: ThreadId) {
        let event = &mut self.events[slot as usize];
        if let Some(at) = event.waiting.iter().position(|waiter| *waiter == thread) {
            event.waiting.remove(at);
        }
        self.rest(slot);
    }

    /// Whether the event is already fired and not yet delivered.
    pub fn is_fired(&self, slot: u32) -> bool {
        self.events[slot as usize].fired.is_some()
    }

    /// Fires; the caller has checked [`Events::is_fired`].
    pub fn fire(&mut self, slot: u32, arguments: Arguments) {
        self.events[slot as usize].fired = Some(arguments);
        self.fired.push(slot);
        self.fires += 1;
    }

    /// Whether a pass has something to do.
    pub fn pending(&self) -> bool {
        !self.fired.is_empty()
    }

    /// Begins a pass: the events fired so far, in order. Later fires belong to the next pass.
    pub fn take_fired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.fired)
    }

    /// Gives back the vector of [`Events::take_fired`] for reuse.
    pub fn recycle(&mut self, mut fired: Vec<u32>) {
        if self.fired.is_empty() {
            fired.clear();
            self.fired = fired;
        }
    }

    /// Takes one fired event: its arguments, and how many threads are waiting now.
    pub fn deliver(&mut self, slot: u32) -> (Arguments, usize) {
        let event = &mut self.events[slot as usize];
        let arguments = event.fired.take().unwrap_or_default();
        (arguments, event.waiting.len())
    }

    /// Takes the first waiter.
    pub fn next_waiter(&mut self, slot: u32) -> Option<ThreadId> {
        self.events[slot as usize].waiting.pop_front()
    }

    /// Marks a name that nobody waits for or has fired as idle.
    pub fn rest(&mut self, slot: u32) {
        let event = &mut self.events[slot as usize];
        if !event.idle && event.waiting.is_empty() && event.fired.is_none() {
            event.idle = true;
            self.idle += 1;
        }
    }

    /// Slots of names to forget when too many are idle: the caller drops their anchors.
    pub fn sweep(&mut self) -> Vec<u32> {
        if self.idle <= IDLE_KEPT {
            return Vec::new();
        }
        let mut gone = Vec::with_capacity(self.idle);
        for slot in 0..self.events.len() {
            let event = &mut self.events[slot];
            if event.idle {
                event.idle = false;
                event.waiting = VecDeque::new();
                gone.push(slot as u32);
                self.by_key.remove(&event.key);
                self.free.push(slot as u32);
            }
        }
        self.idle = 0;
        gone
    }

    /// Events fired so far, names known, threads waiting.
    pub fn counts(&self) -> (u64, usize, usize) {
        (self.fires, self.by_key.len(), self.events.iter().map(|event| event.waiting.len()).sum())
    }

    /// Threads that the next pass would resume.
    pub fn claimed(&self) -> usize {
        self.fired.iter().map(|slot| self.events[*slot as usize].waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads::Threads;
    use super::*;

    #[test]
    fn idle_names_are_swept_and_slots_reused() {
        let mut events = Events::default();
        let mut threads: Threads<(), (), ()> = Threads::default();
        let thread = threads.add(());
        let (kept, _) = events.slot(Key(1, u64::MAX));
        events.wait(kept, thread);
        for n in 0..1000 {
            let (slot, new) = events.slot(Key(0, n));
            assert!(new);
            events.fire(slot, Arguments::default());
        }
        for slot in events.take_fired() {
            assert_eq!(events.deliver(slot).1, 0);
            events.rest(slot);
        }
        assert_eq!(events.sweep().len(), 1000);
        assert_eq!(events.slot(Key(1, u64::MAX)), (kept, false));
        assert_eq!(events.next_waiter(kept), Some(thread));
        let (slot, new) = events.slot(Key(0, 5));
        assert!(new && slot != kept);
    }
}
