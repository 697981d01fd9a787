//! What one simulated socket is: its state, its options, whether it can be read or written.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use splay_runtime::driver::{Family, OptionName, Owner, SocketId, SocketOption, Transport, Watch};

use super::agenda::Time;
use super::bytes::ByteQueue;

/// Buffer sizes of a new socket; a stream holds its sender's and its receiver's together.
const DEFAULT_BUFFER_BYTES: u32 = 128 * 1024;

/// As Linux's default `net.core.rmem_max`; larger wishes are cut.
const MAX_BUFFER_BYTES: usize = 212_992;

pub(super) fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// A socket and which use of its number is meant: events may outlive their socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ref {
    pub(super) id: SocketId,
    pub(super) stamp: u32,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stamp: u32,
    pub(super) owner: Owner,
    pub(super) family: Family,
    pub(super) local: Option<SocketAddr>,
    /// Its local address is claimed in the port table.
    pub(super) claimed: bool,
    pub(super) watch: Option<Watch>,
    pub(super) report: Report,
    /// A connection that it asked for has failed: there is an end to be read.
    pub(super) failed: bool,
    /// An error that the next operation returns.
    pub(super) pending: Option<i32>,
    pub(super) options: Options,
    pub(super) kind: Kind,
}

/// What `poll` has yet to tell about a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Report {
    pub(super) queued: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// TCP, neither listening nor connected.
    Fresh,
    Connecting {
        peer: SocketAddr,
    },
    Listening(Box<Listener>),
    Stream(Box<Stream>),
    Datagrams(Box<Datagrams>),
}

#[derive(Debug)]
pub(super) struct Listener {
    /// Connections that may wait to be accepted.
    pub(super) backlog: usize,
    pub(super) waiting: VecDeque<SocketId>,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) peer_address: SocketAddr,
    pub(super) peer: Ref,
    pub(super) inbox: ByteQueue,
    /// It was asked for and no `connect` has been told yet that it is there.
    pub(super) unconfirmed: bool,
    /// The peer will send no more.
    pub(super) ended: bool,
    /// The connection was reset; nothing can be sent.
    pub(super) reset: bool,
    pub(super) read_closed: bool,
    pub(super) write_closed: bool,
    /// Bytes sent that the peer has not read.
    pub(super) outstanding: usize,
    /// Most bytes that may be outstanding.
    pub(super) window: usize,
    /// A send found no room: tell when there is some.
    pub(super) blocked: bool,
    /// When the last thing sent arrives; the next may not overtake it.
    pub(super) last_arrival: Time,
}

impl Stream {
    pub(super) fn new(peer: Ref, peer_address: SocketAddr, window: usize) -> Stream {
        Stream {
            peer_address,
            peer,
            inbox: ByteQueue::default(),
            unconfirmed: false,
            ended: false,
            reset: false,
            read_closed: false,
            write_closed: false,
            outstanding: 0,
            window,
            blocked: false,
            last_arrival: 0,
        }
    }

    /// There is no connection any more: it was reset, or both directions have ended.
    pub(super) fn over(&self) -> bool {
        self.reset || (self.ended && self.write_closed)
    }

    pub(super) fn room(&self) -> usize {
        self.window.saturating_sub(self.outstanding)
    }
}

/// The state of a UDP socket.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    pub(super) peer: Option<SocketAddr>,
    pub(super) inbox: VecDeque<(SocketAddr, Box<[u8]>)>,
    pub(super) inbox_bytes: usize,
    pub(super) groups: BTreeSet<IpAddr>,
}

impl Socket {
    pub(super) fn transport(&self) -> Transport {
        match self.kind {
            Kind::Datagrams(_) => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    pub(super) fn readable(&self) -> bool {
        self.pending.is_some()
            || match &self.kind {
                Kind::Fresh | Kind::Connecting { .. } => false,
                Kind::Listening(listener) => !listener.waiting.is_empty(),
                Kind::Stream(stream) => {
                    !stream.inbox.is_empty() || stream.ended || stream.reset || stream.read_closed
                }
                Kind::Datagrams(datagrams) => !datagrams.inbox.is_empty(),
            }
    }

    pub(super) fn writable(&self) -> bool {
        self.pending.is_some()
            || match &self.kind {
                Kind::Fresh | Kind::Connecting { .. } | Kind::Listening(_) => false,
                Kind::Stream(stream) => stream.reset || stream.write_closed || stream.room() > 0,
                Kind::Datagrams(_) => true,
            }
    }

    /// Returns the pending error once.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self.pending.take() {
            Some(code) => Err(error(code)),
            None => Ok(()),
        }
    }
}

/// The options a socket was given; most change nothing in the simulation but are remembered.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) keep_alive: bool,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) no_delay: bool,
    pub(super) broadcast: bool,
    pub(super) dont_route: bool,
    pub(super) v6_only: bool,
    pub(super) multicast_loop: bool,
    pub(super) linger: Option<u16>,
    pub(super) multicast_ttl: u8,
    pub(super) unicast_hops: u8,
    pub(super) receive_buffer: u32,
    pub(super) send_buffer: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep_alive: false,
            reuse_address: false,
            reuse_port: false,
            no_delay: false,
            broadcast: false,
            dont_route: false,
            v6_only: false,
            multicast_loop: true,
            linger: None,
            multicast_ttl: 1,
            unicast_hops: 64,
            receive_buffer: DEFAULT_BUFFER_BYTES,
            send_buffer: DEFAULT_BUFFER_BYTES,
        }
    }
}

/// Linux doubles what is asked for, to account for its own overhead.
fn buffer_bytes(wished: usize) -> u32 {
    u32::try_from(wished.clamp(1152, MAX_BUFFER_BYTES) * 2).expect("twice the limit fits")
}

fn hops(count: u32) -> io::Result<u8> {
    u8::try_from(count).map_err(|_| error(libc::EINVAL))
}

impl Socket {
    pub(super) fn set_option(&mut self, option: &SocketOption) -> io::Result<()> {
        let is_v6 = self.family == Family::V6;
        let is_udp = self.transport() == Transport::Udp;
        let only_if = |fits: bool| if fits { Ok(()) } else { Err(error(libc::ENOPROTOOPT)) };
        let options = &mut self.options;
        match *option {
            SocketOption::KeepAlive(on) => options.keep_alive = on,
            SocketOption::ReuseAddr(on) => options.reuse_address = on,
            SocketOption::ReusePort(on) => options.reuse_port = on,
            SocketOption::NoDelay(on) => {
                only_if(!is_udp)?;
                options.no_delay = on;
            }
            SocketOption::Linger(seconds) => options.linger = seconds,
            SocketOption::Broadcast(on) => options.broadcast = on,
            SocketOption::DontRoute(on) => options.dont_route = on,
            SocketOption::V6Only(on) => {
                only_if(is_v6)?;
                if self.local.is_some() {
                    return Err(error(libc::EINVAL));
                }
                options.v6_only = on;
            }
            SocketOption::ReceiveBuffer(bytes) => options.receive_buffer = buffer_bytes(bytes),
            SocketOption::SendBuffer(bytes) => options.send_buffer = buffer_bytes(bytes),
            SocketOption::MulticastInterface(_) => {}
            SocketOption::MulticastTtl(count) => options.multicast_ttl = hops(count)?,
            SocketOption::MulticastLoop(on) => options.multicast_loop = on,
            SocketOption::UnicastHops(count) => {
                only_if(is_v6)?;
                options.unicast_hops = hops(count)?;
            }
            SocketOption::MulticastHops(count) => {
                only_if(is_v6)?;
                options.multicast_ttl = hops(count)?;
            }
            SocketOption::AddMembership(group, ..) => self.membership(group, true)?,
            SocketOption::DropMembership(group, ..) => self.membership(group, false)?,
        }
        Ok(())
    }

    fn membership(&mut self, group: IpAddr, joins: bool) -> io::Result<()> {
        let Kind::Datagrams(datagrams) = &mut self.kind else {
            return Err(error(libc::EPROTO));
        };
        if !group.is_multicast() {
            return Err(error(libc::EINVAL));
        }
        let changed = if joins { datagrams.groups.insert(group) } else { datagrams.groups.remove(&group) };
        match (changed, joins) {
            (true, _) => Ok(()),
            (false, true) => Err(error(libc::EADDRINUSE)),
            (false, false) => Err(error(libc::EADDRNOTAVAIL)),
        }
    }

    pub(super) fn option(&mut self, name: OptionName) -> io::Result<SocketOption> {
        let options = &self.options;
        Ok(match name {
            OptionName::KeepAlive => SocketOption::KeepAlive(options.keep_alive),
            OptionName::ReuseAddr => SocketOption::ReuseAddr(options.reuse_address),
            OptionName::ReusePort => SocketOption::ReusePort(options.reuse_port),
            OptionName::NoDelay if self.transport() == Transport::Udp => {
                return Err(error(libc::EOPNOTSUPP));
            }
            OptionName::NoDelay => SocketOption::NoDelay(options.no_delay),
            OptionName::Linger => SocketOption::Linger(options.linger),
            OptionName::Broadcast => SocketOption::Broadcast(options.broadcast),
            OptionName::DontRoute => SocketOption::DontRoute(options.dont_route),
            OptionName::V6Only if self.family == Family::V4 => return Err(error(libc::EOPNOTSUPP)),
            OptionName::V6Only => SocketOption::V6Only(options.v6_only),
            OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(options.receive_buffer as usize),
            OptionName::SendBuffer => SocketOption::SendBuffer(options.send_buffer as usize),
            OptionName::MulticastTtl => SocketOption::MulticastTtl(options.multicast_ttl.into()),
            OptionName::MulticastLoop => SocketOption::MulticastLoop(options.multicast_loop),
            OptionName::UnicastHops => SocketOption::UnicastHops(options.unicast_hops.into()),
            OptionName::MulticastHops => SocketOption::MulticastHops(options.multicast_ttl.into()),
            OptionName::Error => {
                self.check()?;
                SocketOption::KeepAlive(false)
            }
        })
    }
}
