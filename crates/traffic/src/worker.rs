//! One worker thread: its epoll, its flows, its hooks, and what it notes of them. What a flow does
//! when it can read or write is in [`stream`], [`exchange`] and [`datagram`].

mod counter;
mod datagram;
mod exchange;
mod open;
mod stream;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::time::{ClockId, clock_gettime};
use slab::Slab;
use socket2::Socket;

use crate::engine::Common;
use crate::error::Error;
use crate::hooks::{AddrInfo, Hook, Hooks, Message};
use crate::options::{Options, Workload};
use crate::outcome::Harvest;
use counter::Counter;
use exchange::Exchange;

/// Reads or writes of one flow in a row; then the others have their turn.
const BATCH: usize = 16;

/// What epoll says of the signal to end.
const HALT: u64 = u64::MAX;

/// An answer to a datagram that has not come by then is lost, nanoseconds.
const LOST: u64 = 1_000_000_000;

/// The machine's monotonic clock.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(clock())
}

/// The same in nanoseconds.
#[inline]
fn clock() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What a socket is for.
enum Kind {
    Listener,
    Stream,
    Exchange(Exchange),
    Datagrams,
    DatagramServer,
}

struct Flow {
    socket: Socket,
    /// Shown to hooks; connections of a server have none, hooks see their listener.
    address: Option<Rc<AddrInfo>>,
    kind: Kind,
    counter: usize,
    interest: epoll::EventFlags,
}

/// What became of a read or write.
enum Done {
    /// So many bytes.
    Bytes(usize),
    /// Not now.
    Blocked,
    /// The stream has ended, or broken on a server, to which that is the same.
    Over,
}

struct Worker<'a> {
    options: &'a Options,
    index: usize,
    epoll: OwnedFd,
    flows: Slab<Flow>,
    counters: Vec<Counter>,
    hooks: Option<Box<dyn Hooks + 'a>>,
    has_sendmsg: bool,
    has_recvmsg: bool,
    message: Message,
    harvest: Harvest,
    /// Where a client connects anew to, once it is known.
    address: Option<std::net::SocketAddr>,
}

/// Runs worker `index`: opens its sockets, says that it is ready, and serves them until told to
/// end.
pub(crate) fn run(common: &Common<'_>, index: usize, ready: &dyn Fn()) -> Result<Harvest, Error> {
    let options = common.options;
    if options.pin_cpu {
        pin(index)?;
    }
    let failed = |error: rustix::io::Errno| Error::system("epoll", "of the worker", error.into());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    epoll::add(&epoll, &common.halt, epoll::EventData::new_u64(HALT), epoll::EventFlags::IN)
        .map_err(failed)?;
    let hooks = common.hooks.open(index)?;
    let has = |hook| hooks.as_ref().is_some_and(|hooks| hooks.has(hook));
    let bytes = match options.workload {
        Workload::UdpRr => options.request_size.max(options.response_size).max(options.buffer_size),
        _ => options.buffer_size,
    };
    let mut worker = Worker {
        options,
        index,
        epoll,
        flows: Slab::new(),
        counters: Vec::new(),
        has_sendmsg: has(Hook::Sendmsg),
        has_recvmsg: has(Hook::Recvmsg),
        hooks,
        message: Message::new(bytes),
        harvest: Harvest {
            samples: Vec::new(),
            beginnings: Vec::new(),
            latencies: crate::figures::Latencies::new(),
            transactions: 0,
            sent_bytes: 0,
            received_bytes: 0,
            timeouts: 0,
        },
        address: None,
    };
    let mut result = worker.open();
    if result.is_ok() {
        ready();
        if common.gate.pass() {
            result = worker.work();
        }
    }
    let closed = worker.close();
    result.and(closed)?;
    Ok(worker.harvest)
}

/// Keeps this thread to a processor, each worker to another.
fn pin(index: usize) -> Result<(), Error> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let failed = |error: rustix::io::Errno| Error::system("sched_setaffinity", index, error.into());
    let allowed = sched_getaffinity(None).map_err(failed)?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    let mut one = CpuSet::new();
    one.set(processors[index % processors.len()]);
    sched_setaffinity(None, &one).map_err(failed)
}

impl Worker<'_> {
    /// Serves the flows until told to end.
    fn work(&mut self) -> Result<(), Error> {
        let begun = clock();
        self.counters.iter_mut().for_each(|counter| counter.begin(begun, self.options.interval));
        self.begin()?;
        let mut events = Vec::with_capacity(self.options.maxevents);
        // Datagrams get lost: whether one did is looked at now and then.
        let look = (self.options.workload == Workload::UdpRr && self.options.client)
            .then_some(Timespec { tv_sec: 0, tv_nsec: 100_000_000 });
        let mut looked = begun;
        loop {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, look.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::system("epoll_wait", "of the worker", error.into())),
            }
            for event in &events {
                // Copied: the kernel's record is packed.
                let (data, flags) = (event.data.u64(), event.flags);
                if data == HALT {
                    return Ok(());
                }
                self.serve(data as usize, flags)?;
            }
            if look.is_some() && clock() - looked > LOST / 10 {
                looked = clock();
                self.repeat_lost(looked)?;
            }
        }
    }

    /// One flow is ready for something.
    #[inline]
    fn serve(&mut self, slot: usize, flags: epoll::EventFlags) -> Result<(), Error> {
        if flags.contains(epoll::EventFlags::ERR) {
            self.error_queue(slot)?;
        }
        // A flow may have gone since epoll told of it.
        let Some(flow) = self.flows.get(slot) else { return Ok(()) };
        match flow.kind {
            Kind::Listener => self.accept(slot),
            Kind::Stream => self.stream(slot, flags),
            Kind::Exchange(_) => self.exchange(slot, flags),
            Kind::Datagrams => self.datagrams(slot, flags),
            Kind::DatagramServer => self.answer_datagrams(slot),
        }
    }

    /// The hook for the error queue reads it; without one, what is no error is passed over.
    fn error_queue(&mut self, slot: usize) -> Result<(), Error> {
        let Some(flow) = self.flows.get(slot) else { return Ok(()) };
        if let Some(hooks) = &mut self.hooks
            && hooks.has(Hook::Recverr)
        {
            let fd = flow.socket.as_raw_fd();
            self.message.for_receiving(usize::MAX);
            match hooks.packet(Hook::Recverr, fd, &mut self.message, libc::MSG_ERRQUEUE)? {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::system("recvmsg", "error queue", error)),
            }
        }
        let Some(error) = flow.socket.take_error().unwrap_or_else(Some) else { return Ok(()) };
        if self.options.workload.is_udp() {
            // Nobody was there: a datagram that is lost.
            return Ok(());
        }
        if self.options.client {
            return Err(self.broken("connection", slot, error));
        }
        self.remove(slot);
        Ok(())
    }

    /// A failed flow as an error of the test.
    fn broken(&self, call: &'static str, slot: usize, error: io::Error) -> Error {
        let flow = self.flows.get(slot);
        let peer = flow.and_then(|flow| flow.address.as_ref()).map(|info| info.address.to_string());
        Error::system(call, peer.unwrap_or_else(|| format!("flow {slot}")), error)
    }

    fn fd(&self, slot: usize) -> RawFd {
        self.flows[slot].socket.as_raw_fd()
    }

    /// Reads at most `want` bytes into the message.
    #[inline]
    fn read(&mut self, slot: usize, want: usize) -> Result<Done, Error> {
        let fd = self.fd(slot);
        self.message.for_receiving(want);
        let result = match &mut self.hooks {
            Some(hooks) if self.has_recvmsg => hooks.packet(Hook::Recvmsg, fd, &mut self.message, 0)?,
            _ => {
                let buffer = self.message.bytes();
                // SAFETY: pointer and length are those of a buffer that lives through the call.
                let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
                if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
            }
        };
        match result {
            Ok(0) if !self.options.workload.is_udp() => self.ended(slot),
            Ok(count) => {
                self.harvest.received_bytes += count as u64;
                if let Some(allowance) = &self.options.allowance {
                    allowance.received(count)?;
                }
                Ok(Done::Bytes(count))
            }
            Err(error) => self.failed("read", slot, error),
        }
    }

    /// Writes so many bytes of the message, to `name` if the socket has no peer.
    #[inline]
    fn write(
        &mut self,
        slot: usize,
        length: usize,
        name: Option<std::net::SocketAddr>,
    ) -> Result<Done, Error> {
        if let Some(allowance) = &self.options.allowance {
            allowance.may_send(length.min(self.options.buffer_size))?;
        }
        let fd = self.fd(slot);
        self.message.for_sending(length, name);
        let result = match &mut self.hooks {
            Some(hooks) if self.has_sendmsg => hooks.packet(Hook::Sendmsg, fd, &mut self.message, 0)?,
            _ if name.is_some() => self.message.send(fd, 0),
            _ => {
                let buffer = self.message.bytes();
                // SAFETY: as above.
                let count =
                    unsafe { libc::send(fd, buffer.as_ptr().cast(), buffer.len(), libc::MSG_NOSIGNAL) };
                if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
            }
        };
        match result {
            Ok(count) => {
                self.harvest.sent_bytes += count as u64;
                if let Some(allowance) = &self.options.allowance {
                    allowance.sent(count);
                }
                Ok(Done::Bytes(count))
            }
            Err(error) => self.failed("write", slot, error),
        }
    }

    fn ended(&self, slot: usize) -> Result<Done, Error> {
        if self.options.client {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection");
            return Err(self.broken("read", slot, error));
        }
        Ok(Done::Over)
    }

    #[cold]
    fn failed(&self, call: &'static str, slot: usize, error: io::Error) -> Result<Done, Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Done::Blocked),
            // The sender's queue is full, or nobody was there: a datagram that is lost.
            io::ErrorKind::ConnectionRefused if self.options.workload.is_udp() => Ok(Done::Blocked),
            _ if self.options.workload.is_udp() && error.raw_os_error() == Some(libc::ENOBUFS) => {
                Ok(Done::Blocked)
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if !self.options.client => {
                Ok(Done::Over)
            }
            _ => Err(self.broken(call, slot, error)),
        }
    }

    /// Has epoll tell of other things than before.
    #[inline]
    fn interest(&mut self, slot: usize, interest: epoll::EventFlags) -> Result<(), Error> {
        let flow = &mut self.flows[slot];
        if flow.interest == interest {
            return Ok(());
        }
        flow.interest = interest;
        let data = epoll::EventData::new_u64(slot as u64);
        epoll::modify(&self.epoll, &flow.socket, data, interest)
            .map_err(|error| Error::system("epoll_ctl", slot, error.into()))
    }

    /// Notes what a flow has done, now and then.
    #[inline]
    fn count(&mut self, slot: usize, bytes: usize, transactions: u64) {
        let time = clock();
        self.count_at(slot, bytes, transactions, time);
    }

    #[inline]
    fn count_at(&mut self, slot: usize, bytes: usize, transactions: u64, time: u64) {
        let index = self.flows[slot].counter;
        let counter = &mut self.counters[index];
        counter.count(bytes as u64, transactions, time);
        if counter.is_due(time) {
            counter.sample(self.index, self.options, &mut self.harvest);
        }
    }
}
