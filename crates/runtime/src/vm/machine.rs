//! The machine of an instance as faults have made it: a clock that is wrong, a disk that fails.
//! Files are those of the sandbox.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use splay_protocol::seed::SplitMix64;

use super::Ctx;
use crate::host::Conditions;

/// What a program does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes, opens for writing, renames or removes.
    Write,
    /// It writes more than there was.
    Grow,
}

/// The state of a machine.
pub(super) struct Machine {
    conditions: Cell<Conditions>,
    /// Since when its clock drifts, in the driver's time.
    since: Cell<Duration>,
    random: RefCell<SplitMix64>,
    /// What its disk took and nobody has been charged for yet.
    owed: Cell<Duration>,
}

impl Machine {
    /// A sound one.
    pub(super) fn new(seed: u64) -> Machine {
        Machine {
            conditions: Cell::new(Conditions::default()),
            since: Cell::default(),
            random: RefCell::new(SplitMix64::new(seed)),
            owed: Cell::default(),
        }
    }
}

impl Ctx {
    /// Something is wrong with the machine from now on, or no more.
    pub(super) fn set_conditions(&self, conditions: Conditions) {
        if conditions.clock_drift != self.machine.conditions.get().clock_drift {
            self.machine.since.set(self.now());
        }
        self.machine.conditions.set(conditions);
    }

    /// What is wrong with the machine.
    pub(super) fn conditions(&self) -> Conditions {
        self.machine.conditions.get()
    }

    /// Time since 1970-01-01T00:00:00Z as the machine's clock shows it.
    pub fn wall(&self) -> Duration {
        let wall = self.driver.borrow().wall();
        let Conditions { clock_ahead, clock_drift, .. } = self.machine.conditions.get();
        if clock_ahead == 0 && clock_drift == 0.0 {
            return wall;
        }
        let drifted = self.now().saturating_sub(self.machine.since.get()).as_nanos() as f64 * clock_drift;
        let off = clock_ahead.saturating_add(drifted as i64);
        let by = Duration::from_nanos(off.unsigned_abs());
        if off < 0 { wall.saturating_sub(by) } else { wall.saturating_add(by) }
    }

    /// The operating system's error that an access to a file meets.
    pub fn disk_fault(&self, access: Access) -> Option<std::io::Error> {
        let conditions = self.machine.conditions.get();
        self.machine.owed.set(self.machine.owed.get() + conditions.disk_delay);
        if access == Access::Grow && conditions.disk_full {
            return Some(std::io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let share = if access == Access::Read { conditions.read_errors } else { conditions.write_errors };
        let fails = share > 0.0 && self.machine.random.borrow_mut().unit() < share;
        fails.then(|| std::io::Error::from_raw_os_error(libc::EIO))
    }

    /// What the disk took since the last call.
    pub(super) fn take_owed(&self) -> Duration {
        self.machine.owed.take()
    }
}
