//! The machine's own clock, sockets and resolver behind [`Driver`]: one epoll per worker, no
//! limit on the number of descriptors but the process's own. Knows no Lua and no instance
//! beyond its [`Owner`] number.

mod options;
mod poll;
mod resolver;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashMap;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
};
use slab::Slab;

use crate::driver::{
    Driver, Family, OptionName, Owner, Query, Readiness, SocketId, SocketOption, Transport, UNNAMED, Wake,
    Watch,
};
use resolver::Resolver;

pub use poll::Waker;
pub use resolver::UNKNOWN_HOST;

/// Bytes asked of the kernel's generator at once; keys of messages take 8 or 16 of them.
const RANDOM_POOL_BYTES: usize = 512;

struct Socket {
    descriptor: OwnedFd,
    owner: Owner,
    family: Family,
    watch: Option<Watch>,
}

/// The driver of a worker that runs programs on this machine's network and clock.
pub struct RealDriver {
    sockets: Slab<Socket>,
    poller: poll::Poller,
    resolver: Resolver,
    start: Instant,
    random: [u8; RANDOM_POOL_BYTES],
    random_used: usize,
    /// Owners that are busy, and until when.
    paused: FxHashMap<Owner, Duration>,
    /// Sockets of theirs that the kernel does not tell of meanwhile.
    silenced: Vec<(Duration, u32)>,
}

impl RealDriver {
    /// Opens the worker's epoll and wake-up descriptors. Resolver threads start with the first
    /// question.
    pub fn new() -> io::Result<RealDriver> {
        let poller = poll::Poller::new()?;
        let resolver = Resolver::new(poller.signal());
        Ok(RealDriver {
            sockets: Slab::new(),
            poller,
            resolver,
            start: Instant::now(),
            random: [0; RANDOM_POOL_BYTES],
            random_used: RANDOM_POOL_BYTES,
            paused: FxHashMap::default(),
            silenced: Vec::new(),
        })
    }

    /// A handle with which any thread makes this driver's `poll` report [`Wake::External`].
    pub fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// Open sockets of all owners.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    fn socket(&self, socket: SocketId) -> io::Result<&Socket> {
        self.sockets.get(socket.0 as usize).ok_or_else(|| Errno::BADF.into())
    }

    fn fd(&self, socket: SocketId) -> io::Result<BorrowedFd<'_>> {
        Ok(self.socket(socket)?.descriptor.as_fd())
    }

    /// Has the kernel tell of sockets again whose owners are not busy any more.
    fn unpause(&mut self) -> io::Result<()> {
        let now = self.start.elapsed();
        self.paused.retain(|_, until| *until > now);
        for (until, key) in std::mem::take(&mut self.silenced) {
            match self.sockets.get(key as usize) {
                Some(entry) if until <= now && entry.watch == Some(Watch::Readable) => {
                    self.poller.register(entry.descriptor.as_fd(), key, epoll::EventFlags::IN, true)?;
                }
                Some(_) if until > now => self.silenced.push((until, key)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Silences the sockets of busy owners that would be told of again and again.
    fn silence(&mut self, wakes: &[Wake]) -> io::Result<()> {
        for wake in wakes {
            let Wake::Socket { owner, socket: SocketId(key), .. } = wake else { continue };
            let (Some(&until), Some(entry)) = (self.paused.get(owner), self.sockets.get(*key as usize))
            else {
                continue;
            };
            if entry.watch == Some(Watch::Readable) {
                let none = epoll::EventFlags::empty();
                self.poller.register(entry.descriptor.as_fd(), *key, none, true)?;
                self.silenced.push((until, *key));
            }
        }
        Ok(())
    }

    fn insert(&mut self, descriptor: OwnedFd, owner: Owner, family: Family) -> SocketId {
        let key = self.sockets.insert(Socket { descriptor, owner, family, watch: None });
        SocketId(u32::try_from(key).expect("descriptors are 31-bit numbers, so are their slots"))
    }
}

/// Raises the soft limit of open descriptors to the hard one; returns the limit now in force
/// (`None`: unlimited).
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Repeats a call that a signal interrupted.
#[inline]
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(value) => return Ok(value),
        }
    }
}

fn unix_stream() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    retry(|| net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None))
}

fn inet(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    match address {
        Some(address) => SocketAddr::try_from(address).map_err(Into::into),
        None => Err(Errno::NOTCONN.into()),
    }
}

fn family_of(address: &SocketAddr) -> Family {
    match address {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    }
}

impl Driver for RealDriver {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn processor_time(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
    }

    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        if out.len() > RANDOM_POOL_BYTES / 4 {
            return system_random(out);
        }
        if self.random_used + out.len() > RANDOM_POOL_BYTES {
            system_random(&mut self.random);
            self.random_used = 0;
        }
        let taken = &mut self.random[self.random_used..self.random_used + out.len()];
        out.copy_from_slice(taken);
        taken.fill(0);
        self.random_used += out.len();
    }

    fn host_name(&self) -> String {
        let mut name = [0u8; 256];
        // SAFETY: the pointer and length describe `name`, which lives through the call.
        let status = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        if status == 0 { String::from_utf8_lossy(&name[..end]).into_owned() } else { "localhost".into() }
    }

    fn open(&mut self, owner: Owner, transport: Transport, family: Family) -> io::Result<SocketId> {
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let kind = match transport {
            Transport::Tcp => SocketType::STREAM,
            Transport::Udp => SocketType::DGRAM,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let descriptor = retry(|| net::socket_with(domain, kind, flags, None))?;
        Ok(self.insert(descriptor, owner, family))
    }

    fn bind(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        let fd = self.fd(socket)?;
        retry(|| net::bind(fd, &address))
    }

    fn listen(&mut self, socket: SocketId, backlog: u32) -> io::Result<()> {
        let fd = self.fd(socket)?;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        retry(|| net::listen(fd, backlog))
    }

    fn connect(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        let entry = self.socket(socket)?;
        if entry.family != family_of(&address) {
            return Err(Errno::AFNOSUPPORT.into());
        }
        let mut result = net::connect(&entry.descriptor, &address);
        if result == Err(Errno::CONNABORTED) {
            // Linux tells once more that the attempt before this one failed.
            result = net::connect(&entry.descriptor, &address);
        }
        match result {
            Ok(()) => Ok(()),
            // An interrupted connect goes on in the kernel, as one in progress does.
            Err(Errno::INPROGRESS | Errno::INTR) => Err(Errno::AGAIN.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn connect_result(&mut self, socket: SocketId) -> io::Result<()> {
        let fd = self.fd(socket)?;
        net::sockopt::socket_error(fd)??;
        match net::getpeername(fd) {
            Ok(_) => Ok(()),
            Err(Errno::NOTCONN) => {
                // The attempt may have failed between the two questions.
                net::sockopt::socket_error(fd)??;
                Err(Errno::AGAIN.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn disconnect(&mut self, socket: SocketId) -> io::Result<()> {
        let fd = self.fd(socket)?;
        retry(|| net::connect_unspec(fd))
    }

    fn accept(&mut self, socket: SocketId) -> io::Result<(SocketId, SocketAddr)> {
        let listener = self.socket(socket)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (descriptor, address) = loop {
            match net::acceptfrom_with(&listener.descriptor, flags) {
                Ok(accepted) => break accepted,
                // The peer gave up while it was queued: the next one may be there.
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let (owner, family) = (listener.owner, listener.family);
        let address = match address {
            Some(peer) if peer.address_family() == AddressFamily::UNIX => UNNAMED,
            peer => inet(peer)?,
        };
        Ok((self.insert(descriptor, owner, family), address))
    }

    fn listen_unix(&mut self, owner: Owner, path: &Path, backlog: u32) -> io::Result<SocketId> {
        let descriptor = unix_stream()?;
        net::bind(&descriptor, &SocketAddrUnix::new(path)?)?;
        net::listen(&descriptor, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(self.insert(descriptor, owner, Family::V4))
    }

    fn connect_unix(&mut self, owner: Owner, path: &Path) -> io::Result<SocketId> {
        let descriptor = unix_stream()?;
        retry(|| net::connect(&descriptor, &SocketAddrUnix::new(path)?))?;
        Ok(self.insert(descriptor, owner, Family::V4))
    }

    #[inline]
    fn send(&mut self, socket: SocketId, data: &[u8]) -> io::Result<usize> {
        let fd = self.fd(socket)?;
        retry(|| net::send(fd, data, SendFlags::NOSIGNAL))
    }

    #[inline]
    fn recv(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.fd(socket)?;
        retry(|| net::recv(fd, &mut *buffer, RecvFlags::empty()).map(|(length, _)| length))
    }

    #[inline]
    fn send_to(&mut self, socket: SocketId, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        let fd = self.fd(socket)?;
        retry(|| net::sendto(fd, data, SendFlags::NOSIGNAL, &address))
    }

    #[inline]
    fn recv_from(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let fd = self.fd(socket)?;
        let (length, _, address) = retry(|| net::recvfrom(fd, &mut *buffer, RecvFlags::empty()))?;
        Ok((length, inet(address)?))
    }

    fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => net::Shutdown::Read,
            Shutdown::Write => net::Shutdown::Write,
            Shutdown::Both => net::Shutdown::Both,
        };
        net::shutdown(self.fd(socket)?, how).map_err(Into::into)
    }

    fn close(&mut self, socket: SocketId) {
        // Closing the only descriptor of a socket also takes it out of the epoll set.
        self.sockets.try_remove(socket.0 as usize);
    }

    fn close_all(&mut self, owner: Owner) {
        self.sockets.retain(|_, socket| socket.owner != owner);
    }

    fn local_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        inet(Some(net::getsockname(self.fd(socket)?)?))
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        inet(net::getpeername(self.fd(socket)?)?)
    }

    fn set_option(&mut self, socket: SocketId, option: &SocketOption) -> io::Result<()> {
        options::set(self.fd(socket)?, option)
    }

    fn option(&mut self, socket: SocketId, name: OptionName) -> io::Result<SocketOption> {
        let entry = self.socket(socket)?;
        options::get(entry.descriptor.as_fd(), entry.family, name)
    }

    fn descriptor(&self, socket: SocketId) -> Option<RawFd> {
        Some(self.sockets.get(socket.0 as usize)?.descriptor.as_raw_fd())
    }

    fn readiness(&mut self, socket: SocketId) -> io::Result<Readiness> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut entries = [PollFd::from_borrowed_fd(self.fd(socket)?, PollFlags::IN | PollFlags::OUT)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry(|| poll(&mut entries, Some(&at_once)))?;
        let flags = entries[0].revents();
        let failed = flags.intersects(PollFlags::ERR | PollFlags::HUP);
        Ok(Readiness {
            readable: failed || flags.contains(PollFlags::IN),
            writable: failed || flags.contains(PollFlags::OUT),
        })
    }

    fn watch(&mut self, socket: SocketId, mode: Watch) -> io::Result<()> {
        let key = socket.0 as usize;
        let entry = self.sockets.get_mut(key).ok_or(Errno::BADF)?;
        if entry.watch == Some(mode) {
            return Ok(());
        }
        let flags = match mode {
            Watch::Edge => {
                epoll::EventFlags::IN
                    | epoll::EventFlags::OUT
                    | epoll::EventFlags::RDHUP
                    | epoll::EventFlags::ET
            }
            Watch::Readable => epoll::EventFlags::IN,
        };
        self.poller.register(entry.descriptor.as_fd(), socket.0, flags, entry.watch.is_some())?;
        entry.watch = Some(mode);
        Ok(())
    }

    fn resolve(&mut self, owner: Owner, query: u64, question: Query) {
        self.resolver.ask(owner, query, question);
    }

    fn work(&mut self, owner: Owner, query: u64, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.resolver.work(owner, query, work)
    }

    fn pause(&mut self, owner: Owner, until: Duration) {
        self.paused.insert(owner, until);
    }

    fn poll(&mut self, until: Option<Duration>, wakes: &mut Vec<Wake>) -> io::Result<()> {
        if !self.paused.is_empty() || !self.silenced.is_empty() {
            self.unpause()?;
        }
        let before = wakes.len();
        let timeout = until.map(|until| until.saturating_sub(self.start.elapsed()));
        let sockets = &self.sockets;
        let signalled = self.poller.wait(timeout, |key, readable, writable| {
            // An event of a socket closed since is of no interest to anybody.
            if let Some(entry) = sockets.get(key as usize) {
                wakes.push(Wake::Socket { owner: entry.owner, socket: SocketId(key), readable, writable });
            }
        })?;
        if signalled {
            if self.poller.take_external() {
                wakes.push(Wake::External);
            }
            self.resolver.answers(wakes);
        }
        if !self.paused.is_empty() {
            self.silence(&wakes[before..])?;
        }
        Ok(())
    }
}

/// Fills `out` from the kernel's generator.
fn system_random(mut out: &mut [u8]) {
    while !out.is_empty() {
        // SAFETY: the pointer and length describe `out`, which is writable.
        let written = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
        match usize::try_from(written) {
            Ok(written) => out = &mut out[written..],
            Err(_) => {
                let error = io::Error::last_os_error();
                assert!(error.kind() == io::ErrorKind::Interrupted, "getrandom failed: {error}");
            }
        }
    }
}
