//! Owns the epoll descriptor and the wake-up descriptor of one worker: what is watched, how
//! long to wait, who else may interrupt the wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;

/// Events taken from the kernel by one call; more wait for the next.
/// Most waits between two looks in vain.
const LONGEST_SKIP: u32 = 64;

const BATCH: usize = 1024;

/// Epoll data of the wake-up descriptor; sockets use their 32-bit number.
const SIGNAL_KEY: u64 = u64::MAX;

/// A descriptor that interrupts the worker's wait, and a note whether a host asked for it.
#[derive(Debug)]
pub(super) struct Signal {
    descriptor: OwnedFd,
    external: AtomicBool,
}

impl Signal {
    /// Interrupts the wait.
    pub(super) fn raise(&self) {
        // Registered edge-triggered: every write is an event, so nobody has to read the
        // counter, which cannot fill up in the life of a machine.
        let _ = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes());
    }
}

/// Makes the `poll` of one driver report [`crate::driver::Wake::External`], from any thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Signal>);

impl Waker {
    /// Wakes the worker. Calls made before the worker looks count once.
    pub fn wake(&self) {
        if !self.0.external.swap(true, Ordering::AcqRel) {
            self.0.raise();
        }
    }
}

pub(super) struct Poller {
    epoll: OwnedFd,
    signal: Arc<Signal>,
    events: Box<[MaybeUninit<libc::epoll_event>]>,
    /// Waits without a look before them, and how many follow the next look in vain.
    skip: u32,
    misses: u32,
    /// The kernel knows `epoll_pwait2` (Linux 5.11), whose timeouts are in nanoseconds.
    fine_timeouts: bool,
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(
            &epoll,
            &descriptor,
            epoll::EventData::new_u64(SIGNAL_KEY),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        let signal = Arc::new(Signal { descriptor, external: AtomicBool::new(false) });
        let events = vec![MaybeUninit::uninit(); BATCH].into_boxed_slice();
        Ok(Poller { epoll, signal, events, fine_timeouts: true, skip: 0, misses: 0 })
    }

    pub(super) fn signal(&self) -> Arc<Signal> {
        self.signal.clone()
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(self.signal.clone())
    }

    pub(super) fn take_external(&self) -> bool {
        self.signal.external.swap(false, Ordering::AcqRel)
    }

    pub(super) fn register(
        &self,
        socket: BorrowedFd<'_>,
        key: u32,
        flags: epoll::EventFlags,
        known: bool,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(u64::from(key));
        if known {
            epoll::modify(&self.epoll, socket, data, flags)?;
        } else {
            epoll::add(&self.epoll, socket, data, flags)?;
        }
        Ok(())
    }

    /// Waits at most `timeout` and calls `each(key, readable, writable)` for every event of a
    /// socket. Returns whether the wake-up descriptor was among the events.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut each: impl FnMut(u32, bool, bool),
    ) -> io::Result<bool> {
        let count = match self.wait_raw(timeout) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let mut signalled = false;
        for event in &self.events[..count] {
            // SAFETY: the kernel has filled the first `count` entries.
            let event = unsafe { event.assume_init() };
            let (key, flags) = (event.u64, event.events as i32);
            if key == SIGNAL_KEY {
                signalled = true;
                continue;
            }
            let failed = flags & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            let readable = failed || flags & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0;
            let writable = failed || flags & libc::EPOLLOUT != 0;
            each(key as u32, readable, writable);
        }
        Ok(signalled)
    }

    /// Waits, after a look that does not wait where such looks found something lately: setting
    /// up a timeout costs more than the look.
    fn wait_raw(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return self.wait_for(timeout);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return self.wait_for(timeout);
        }
        let count = self.wait_for(Some(Duration::ZERO))?;
        if count > 0 {
            self.misses = 0;
            return Ok(count);
        }
        self.misses = (self.misses * 2).clamp(1, LONGEST_SKIP);
        self.skip = self.misses;
        self.wait_for(timeout)
    }

    fn wait_for(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let epoll = self.epoll.as_fd().as_raw_fd();
        let events = self.events.as_mut_ptr().cast::<libc::epoll_event>();
        // The plain call is a little cheaper where its milliseconds say all.
        let needs_fine = timeout.is_some_and(|timeout| !timeout.is_zero());
        if needs_fine && self.fine_timeouts {
            let timeout = timeout.unwrap_or_default();
            let limit = libc::timespec {
                tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            // SAFETY: the arguments are those of epoll_pwait2(2): an open epoll descriptor,
            // `BATCH` writable entries, a timespec that outlives the call, no signal mask.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events,
                    BATCH as libc::c_int,
                    &raw const limit,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    let unknown = [Errno::NOSYS, Errno::PERM].map(Errno::raw_os_error);
                    if !error.raw_os_error().is_some_and(|code| unknown.contains(&code)) {
                        return Err(error);
                    }
                    self.fine_timeouts = false;
                }
            }
        }
        let millis = match timeout {
            None => -1,
            // Rounded up: waking early would make the caller spin until its time has come.
            Some(timeout) => i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
        };
        // SAFETY: an open epoll descriptor and `BATCH` writable entries.
        let count = unsafe { libc::epoll_wait(epoll, events, BATCH as libc::c_int, millis) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}
