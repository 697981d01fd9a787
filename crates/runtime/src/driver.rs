//! The seam between an application and the world: time, randomness, sockets and names reach
//! a Lua program only through [`Driver`]. Two kinds exist: [`crate::real::RealDriver`] (the
//! machine's clock and sockets) and the simulator's (virtual clock, in-memory network).
//!
//! Sockets are non-blocking. An operation is tried at once; `ErrorKind::WouldBlock` means
//! "ask again after a [`Wake`]". Errors carry the operating system's code
//! (`io::Error::from_raw_os_error`) in every driver, so that texts shown to Lua are the same.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

/// A socket inside one driver. Never reused while open; may be reused after `close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// The instance that owns a socket or a query: its index inside the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u32);

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream (listening or connected).
    Tcp,
    /// Datagrams.
    Udp,
}

/// Address family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What stands for the address of a peer that has none: one of a Unix socket.
pub const UNNAMED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How readiness of a socket is reported, chosen by its first [`Driver::watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Report when it becomes readable or writable (edge-triggered): for sockets on which a
    /// thread now and then waits. A `WouldBlock` is always followed by a report.
    Edge,
    /// Report as long as something can be read (level-triggered, reading only): for servers
    /// that always want the next datagram or connection.
    Readable,
}

/// Who an owner is, for a driver that shapes what its owners send and receive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Position of the instance in its job; 0: it has none.
    pub position: u32,
    /// Payload bytes sent a second; 0: no limit.
    pub send_bytes_per_second: u64,
    /// Payload bytes received a second; 0: no limit.
    pub receive_bytes_per_second: u64,
}

/// What a socket is ready for at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read, accept or receive would not block.
    pub readable: bool,
    /// A write would not block, or a connection attempt has ended.
    pub writable: bool,
}

/// One socket option with its value, in the units of LuaSocket's manual.
#[derive(Debug, Clone, PartialEq)]
pub enum SocketOption {
    /// `keepalive`
    KeepAlive(bool),
    /// `reuseaddr`
    ReuseAddr(bool),
    /// `reuseport`
    ReusePort(bool),
    /// `tcp-nodelay`
    NoDelay(bool),
    /// `linger`: `None` is off, otherwise seconds
    Linger(Option<u16>),
    /// `broadcast`
    Broadcast(bool),
    /// `dontroute`
    DontRoute(bool),
    /// `ipv6-v6only`
    V6Only(bool),
    /// `recv-buffer-size`, bytes
    ReceiveBuffer(usize),
    /// `send-buffer-size`, bytes
    SendBuffer(usize),
    /// `ip-multicast-if`
    MulticastInterface(IpAddr),
    /// `ip-multicast-ttl` / `ipv6-unicast-hops`-like hop counts
    MulticastTtl(u32),
    /// `ip-multicast-loop` / `ipv6-multicast-loop`
    MulticastLoop(bool),
    /// `ipv6-unicast-hops`
    UnicastHops(u32),
    /// `ipv6-multicast-hops`
    MulticastHops(u32),
    /// `ip-add-membership` / `ipv6-add-membership`: group, interface address (v4) or index (v6)
    AddMembership(IpAddr, Option<IpAddr>, u32),
    /// `ip-drop-membership` / `ipv6-drop-membership`
    DropMembership(IpAddr, Option<IpAddr>, u32),
}

/// Which option [`Driver::option`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionName {
    /// See [`SocketOption::KeepAlive`]; and so on for the others.
    KeepAlive,
    /// `reuseaddr`
    ReuseAddr,
    /// `reuseport`
    ReusePort,
    /// `tcp-nodelay`
    NoDelay,
    /// `linger`
    Linger,
    /// `broadcast`
    Broadcast,
    /// `dontroute`
    DontRoute,
    /// `ipv6-v6only`
    V6Only,
    /// `recv-buffer-size`
    ReceiveBuffer,
    /// `send-buffer-size`
    SendBuffer,
    /// `ip-multicast-ttl`
    MulticastTtl,
    /// `ip-multicast-loop`
    MulticastLoop,
    /// `ipv6-unicast-hops`
    UnicastHops,
    /// `ipv6-multicast-hops`
    MulticastHops,
    /// `error`: the pending error is returned as `Err`
    Error,
}

/// A question to the name service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Addresses of a host name, in the resolver's order.
    Addresses(String),
    /// Name (and aliases) of an address.
    Name(IpAddr),
}

/// What the name service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Canonical name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Addresses in the resolver's order, without repetition.
    pub addresses: Vec<IpAddr>,
}

/// Something an instance was waiting for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wake {
    /// A watched socket can be read or written (or has failed, which both report).
    Socket {
        /// Who owns it.
        owner: Owner,
        /// Which one.
        socket: SocketId,
        /// A read, accept or receive is worth trying.
        readable: bool,
        /// A write, or `connect_result`, is worth trying.
        writable: bool,
    },
    /// A [`Driver::resolve`] has ended. `Err` is LuaSocket's text, for example
    /// `host or service not provided, or not known`.
    Resolved {
        /// Who asked.
        owner: Owner,
        /// The number given with the question.
        query: u64,
        /// Answer or error text.
        answer: Result<Resolved, String>,
    },
    /// A [`Driver::work`] has ended.
    Worked {
        /// Who asked.
        owner: Owner,
        /// The number given with the work.
        query: u64,
    },
    /// A limit of rates has made an owner wait, or has dropped one of its datagrams.
    Limit {
        /// Whom.
        owner: Owner,
        /// Name of the limit: a field of [`splay_protocol::Limits`].
        limit: &'static str,
        /// What is allowed.
        allowed: u64,
        /// The same with what had to wait.
        reached: u64,
    },
    /// Another thread asked the worker to look at its commands.
    External,
}

/// Time, randomness, network and names, as one worker's instances see them.
///
/// Implementations are single-threaded; a worker owns exactly one.
pub trait Driver {
    /// Monotonic time since the driver was made.
    fn now(&self) -> Duration;
    /// Time since 1970-01-01T00:00:00Z.
    fn wall(&self) -> Duration;
    /// Fills `out` with unpredictable bytes (the simulator: from its seed).
    fn fill_random(&mut self, out: &mut [u8]);
    /// Name of the (possibly simulated) host.
    fn host_name(&self) -> String;
    /// Whether time is virtual: everything a program can find out must then follow from the
    /// driver's seed and the program alone.
    fn is_virtual(&self) -> bool {
        false
    }

    /// Processor time that this thread has used, or the next best.
    fn processor_time(&self) -> Duration {
        self.now()
    }

    /// Tells who an owner is, before it opens anything.
    fn admit(&mut self, _owner: Owner, _tenant: &Tenant) {}

    /// Whether something that was sent is still on its way within the driver, so that it has to be
    /// polled even for owners that are gone.
    fn owes(&self) -> bool {
        false
    }

    /// An owner's processor is busy until then. In virtual time its sockets' readiness is told no
    /// sooner; on a real network sockets that are told of for as long as they can be read
    /// ([`Watch::Readable`]) are told of once.
    fn pause(&mut self, _owner: Owner, _until: Duration) {}

    /// The driver itself, if its host may look at it.
    fn inspect(&self) -> Option<&dyn std::any::Any> {
        None
    }

    /// As [`Driver::inspect`], to change it.
    fn inspect_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        None
    }

    /// Creates a socket owned by `owner`.
    fn open(&mut self, owner: Owner, transport: Transport, family: Family) -> io::Result<SocketId>;
    /// Binds to a local address; port 0 chooses one.
    fn bind(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()>;
    /// Makes a TCP socket listen.
    fn listen(&mut self, socket: SocketId, backlog: u32) -> io::Result<()>;
    /// Starts connecting (TCP) or fixes the peer (UDP). TCP: `WouldBlock` means in progress:
    /// wait until writable, then call [`Driver::connect_result`].
    fn connect(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()>;
    /// How the connection attempt ended; `WouldBlock` while it is going on.
    fn connect_result(&mut self, socket: SocketId) -> io::Result<()>;
    /// Forgets the peer of a UDP socket.
    fn disconnect(&mut self, socket: SocketId) -> io::Result<()>;
    /// Accepts a connection; it belongs to the listener's owner.
    fn accept(&mut self, socket: SocketId) -> io::Result<(SocketId, SocketAddr)>;
    /// Opens a stream socket that listens at a path of the file system, which must not exist yet.
    /// Who is accepted has the address [`UNNAMED`]. Not every driver has a file system.
    fn listen_unix(&mut self, _owner: Owner, _path: &Path, _backlog: u32) -> io::Result<SocketId> {
        Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
    }
    /// Opens a stream socket connected to who listens at a path. Never in progress: it is connected,
    /// or refused with `EAGAIN` where more wait than the listener has room for.
    fn connect_unix(&mut self, _owner: Owner, _path: &Path) -> io::Result<SocketId> {
        Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
    }
    /// Sends on a connected socket; returns the bytes taken.
    fn send(&mut self, socket: SocketId, data: &[u8]) -> io::Result<usize>;
    /// Receives from a connected socket; 0 is the end of a stream.
    fn recv(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize>;
    /// Sends a datagram.
    fn send_to(&mut self, socket: SocketId, data: &[u8], address: SocketAddr) -> io::Result<usize>;
    /// Receives a datagram; what does not fit is cut.
    fn recv_from(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Ends one or both directions of a stream.
    fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()>;
    /// Closes and forgets the socket. Unknown ids are ignored.
    fn close(&mut self, socket: SocketId);
    /// Closes every socket of an owner and forgets its queries.
    fn close_all(&mut self, owner: Owner);
    /// Local address.
    fn local_address(&self, socket: SocketId) -> io::Result<SocketAddr>;
    /// Address of the peer.
    fn peer_address(&self, socket: SocketId) -> io::Result<SocketAddr>;
    /// Sets an option.
    fn set_option(&mut self, socket: SocketId, option: &SocketOption) -> io::Result<()>;
    /// Reads an option.
    fn option(&mut self, socket: SocketId, name: OptionName) -> io::Result<SocketOption>;
    /// The operating system's descriptor, where there is one.
    fn descriptor(&self, socket: SocketId) -> Option<RawFd>;
    /// What the socket is ready for now: reading (accepting), writing (a finished connect).
    fn readiness(&mut self, socket: SocketId) -> io::Result<Readiness>;
    /// Starts to report readiness. Repeated calls with the same mode cost nothing.
    fn watch(&mut self, socket: SocketId, mode: Watch) -> io::Result<()>;

    /// Starts a name look-up; the answer is a [`Wake::Resolved`]. Never blocks.
    fn resolve(&mut self, owner: Owner, query: u64, question: Query);

    /// Runs something that blocks on a thread of its own; its end is a [`Wake::Worked`]. Where time
    /// is virtual there is no such thing, and the error is `Unsupported`.
    fn work(&mut self, _owner: Owner, _query: u64, _work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits for wakes until `until` (in [`Driver::now`]'s time; `None`: for ever; in the past:
    /// just looks) and appends them to `wakes`. A virtual clock moves here and only here.
    fn poll(&mut self, until: Option<Duration>, wakes: &mut Vec<Wake>) -> io::Result<()>;
}
