//! How threads get each other's attention: a descriptor that stays readable once raised.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A descriptor that becomes readable when raised and stays so until lowered.
#[derive(Debug)]
pub(crate) struct Signal(OwnedFd);

impl Signal {
    pub(crate) fn new() -> io::Result<Signal> {
        Ok(Signal(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn raise(&self) {
        // It fails only when it is raised already as often as a number can tell.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub(crate) fn lower(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Stops a test from another thread. Clones stop the same test.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    asked: AtomicBool,
    signal: Signal,
}

impl Stop {
    /// For one test. Fails when the process has no descriptor left.
    pub fn new() -> io::Result<Stop> {
        Ok(Stop(Arc::new(Shared { asked: AtomicBool::new(false), signal: Signal::new()? })))
    }

    /// Has the test end now, with [`crate::Error::Stopped`].
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.signal.raise();
    }

    /// Whether that was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.0.signal
    }
}
