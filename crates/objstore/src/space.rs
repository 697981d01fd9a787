//! How much a store may hold: asked before it grows, told when it shrinks.

use std::cell::Cell;

/// Whoever counts the bytes of a store, perhaps together with those of others.
pub trait Space {
    /// Bytes that could be reserved now.
    fn room(&self) -> u64;
    /// Takes so many bytes; false, and nothing taken, if there are not so many.
    fn reserve(&self, bytes: u64) -> bool;
    /// Gives bytes back.
    fn release(&self, bytes: u64);
}

/// A number of bytes for one store alone.
#[derive(Debug)]
pub struct Bounded(Cell<u64>);

impl Bounded {
    /// So many bytes; `u64::MAX`: no bound that matters.
    pub fn new(bytes: u64) -> Bounded {
        Bounded(Cell::new(bytes))
    }
}

impl Space for Bounded {
    fn room(&self) -> u64 {
        self.0.get()
    }

    fn reserve(&self, bytes: u64) -> bool {
        match self.0.get().checked_sub(bytes) {
            Some(left) => {
                self.0.set(left);
                true
            }
            None => false,
        }
    }

    fn release(&self, bytes: u64) {
        self.0.set(self.0.get().saturating_add(bytes));
    }
}
