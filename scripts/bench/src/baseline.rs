//! The same remote calls in plain Rust: both sides in one thread, non-blocking sockets, one epoll,
//! no codec and no scheduler. What is sent has the bytes of SPLAY's wire formats.

mod connect;
mod datagram;
mod stream;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::cost::{Cost, measure};

/// A request of `urpc`: `echo(1, "two")`.
const DATAGRAM_REQUEST: &[u8] =
    b"d4:calll4:echoi1e3:twoe4:type4:call3:key41:0123456789abcdef0123456789abcdef012345671e";
/// Its reply.
const DATAGRAM_REPLY: &[u8] =
    b"d4:callli1e3:twoe4:type4:call3:key41:0123456789abcdef0123456789abcdef0123456715:replyte";
/// A frame of `rpcq` and its reply.
const FRAME_REQUEST: &[u8] = b"42\nd4:calll4:echoi1e3:twoe4:type4:call1:ni1ee";
const FRAME_REPLY: &[u8] = b"25\nd5:replyli1e3:twoe1:ni1ee";
/// A frame of `rpc` and its reply.
const CALL_REQUEST: &[u8] = b"36\nd4:calll4:echoi1e3:twoe4:type4:calle";
const CALL_REPLY: &[u8] = b"10\nli1e3:twoe";

/// Ports of closed connections can be taken again after a second; rounds must not run out of them.
const PAUSE: Duration = Duration::from_millis(1100);

/// Which of the three modes of remote calls a baseline stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Datagrams.
    Urpc,
    /// One lasting connection.
    Rpcq,
    /// One connection a call.
    Rpc,
}

impl Mode {
    /// In the order of the tables.
    pub const ALL: [Mode; 3] = [Mode::Urpc, Mode::Rpcq, Mode::Rpc];

    /// The module's name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Urpc => "urpc",
            Mode::Rpcq => "rpcq",
            Mode::Rpc => "rpc",
        }
    }

    /// Calls in one round. Connections are few: each leaves a port waiting for a while.
    pub fn calls(self) -> u32 {
        match self {
            Mode::Urpc | Mode::Rpcq => 20_000,
            Mode::Rpc => 2_000,
        }
    }
}

/// Measures `flight` calls under way at a time.
pub fn run(mode: Mode, flight: u32, rounds: u32) -> anyhow::Result<Cost> {
    let calls = mode.calls();
    match mode {
        Mode::Urpc => {
            let mut pair = datagram::Pair::new()?;
            measure(rounds, calls, Duration::ZERO, |calls| pair.round(calls, flight))
        }
        Mode::Rpcq => {
            let mut pair = stream::Pair::new()?;
            measure(rounds, calls, Duration::ZERO, |calls| pair.round(calls, flight))
        }
        Mode::Rpc => {
            let mut pair = connect::Pair::new()?;
            measure(rounds, calls, PAUSE, |calls| pair.round(calls, flight))
        }
    }
    .with_context(|| format!("baseline of {}, {flight} in flight", mode.name()))
}

/// One epoll and room for its answers.
struct Poll {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
}

impl Poll {
    fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, ready: Vec::with_capacity(256) })
    }

    fn add(&self, socket: BorrowedFd<'_>, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)?)
    }

    /// Waits for something; nothing for two seconds is an error, not a hang.
    fn wait(&mut self) -> anyhow::Result<()> {
        let patience = rustix::time::Timespec::try_from(Duration::from_secs(2)).expect("two seconds fit");
        self.ready.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&patience))?;
        if self.ready.is_empty() {
            bail!("a message was lost");
        }
        Ok(())
    }
}

/// A non-blocking socket.
fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    Ok(net::socket_with(AddressFamily::INET, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
}

/// Binds to a free port of the loopback interface.
fn bind_loopback(socket: &OwnedFd) -> anyhow::Result<SocketAddrV4> {
    net::bind(socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddrV4::try_from(net::getsockname(socket)?)?)
}

/// A listening socket on the loopback interface.
fn listener() -> anyhow::Result<(OwnedFd, SocketAddrV4)> {
    let listener = socket(SocketType::STREAM)?;
    let address = bind_loopback(&listener)?;
    net::listen(&listener, 1024)?;
    Ok((listener, address))
}

/// `None` instead of "would block".
fn tried<T>(result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Small frames go out at once.
fn no_delay(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}
