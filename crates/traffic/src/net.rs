//! Addresses and sockets: looking up, opening, options.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::Error;
use crate::hooks::AddrInfo;
use crate::options::{Family, Options};

/// A connection that is not there by then will not come.
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Not in the C library's headers as this number, but in the kernel's since 2.6 on some systems;
/// elsewhere the call fails and is told.
const TCP_MIN_RTO: i32 = 254;

/// An address as the kernel fills it in.
pub(crate) struct RawAddress(libc::sockaddr_storage);

impl RawAddress {
    pub(crate) fn empty() -> RawAddress {
        // SAFETY: all zeros is a valid, unspecified address.
        RawAddress(unsafe { std::mem::zeroed() })
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr_storage {
        &raw mut self.0
    }

    pub(crate) fn room(&self) -> libc::socklen_t {
        size_of::<libc::sockaddr_storage>() as libc::socklen_t
    }

    /// What was filled in, `length` bytes of it.
    pub(crate) fn get(&self, length: libc::socklen_t) -> Option<SocketAddr> {
        if length == 0 {
            return None;
        }
        // SAFETY: the kernel (or zeroing) initialised all of it; `length` is what the kernel told.
        let address = unsafe {
            let mut storage = socket2::SockAddrStorage::zeroed();
            *storage.view_as::<libc::sockaddr_storage>() = self.0;
            SockAddr::new(storage, length.min(self.room()))
        };
        address.as_socket()
    }
}

/// The first address of a host that fits.
pub(crate) fn resolve(host: &str, port: u16, family: Family) -> Result<SocketAddr, Error> {
    let fits = |address: &SocketAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let failed = |reason: String| Error::Resolve { host: host.to_owned(), reason };
    let mut found = (host, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    found.find(fits).ok_or_else(|| failed("no address of the family asked for".to_owned()))
}

/// What a server binds: the host given, or every address.
pub(crate) fn listening(options: &Options, port: u16) -> Result<SocketAddr, Error> {
    match &options.host {
        Some(host) => resolve(host, port, options.family),
        None if options.family == Family::V4 => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        None if has_v6() => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None if options.family == Family::V6 => Err(Error::Options("this machine has no IPv6.".to_owned())),
        None => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
    }
}

fn has_v6() -> bool {
    Socket::new(Domain::IPV6, Type::DGRAM, None).is_ok()
}

/// A socket for an address, not yet bound or connected, as hooks first see it.
pub(crate) fn open(options: &Options, address: SocketAddr, udp: bool) -> Result<(Socket, AddrInfo), Error> {
    let (kind, protocol) = match udp {
        true => (Type::DGRAM, Protocol::UDP),
        false => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))
        .map_err(|error| Error::system("socket", address, error))?;
    let info = AddrInfo {
        flags: if options.client { 0 } else { libc::AI_PASSIVE },
        socktype: i32::from(kind),
        protocol: i32::from(protocol),
        address,
        canonical_name: options.host.clone(),
    };
    Ok((socket, info))
}

/// Sets what the options ask for on a socket of either side.
pub(crate) fn configure(options: &Options, socket: &Socket) -> Result<(), Error> {
    let set = |name, result: io::Result<()>| result.map_err(|error| Error::system("setsockopt", name, error));
    if options.workload.is_udp() {
        return Ok(());
    }
    if options.debug {
        set("SO_DEBUG", set_int(socket, libc::SOL_SOCKET, libc::SO_DEBUG, 1))?;
    }
    if options.min_rto > 0 {
        set("TCP_MIN_RTO", set_int(socket, libc::IPPROTO_TCP, TCP_MIN_RTO, options.min_rto as i32))?;
    }
    if options.max_pacing_rate > 0 {
        let rate = options.max_pacing_rate.min(u64::from(u32::MAX) - 1) as i32;
        set("SO_MAX_PACING_RATE", set_int(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate))?;
    }
    if !options.workload.is_stream() {
        set("TCP_NODELAY", socket.set_tcp_nodelay(true))?;
    }
    Ok(())
}

fn set_int(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`.
    let result = unsafe {
        let size = size_of::<i32>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes both families where the address is that of all of IPv6's.
pub(crate) fn bind(options: &Options, socket: &Socket, address: SocketAddr) -> Result<(), Error> {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket
            .set_only_v6(options.family == Family::V6)
            .map_err(|error| Error::system("setsockopt", "IPV6_V6ONLY", error))?;
    }
    socket.bind(&address.into()).map_err(|error| Error::system("bind", address, error))
}

/// Binds a client's own address, if one is asked for.
pub(crate) fn bind_local(options: &Options, socket: &Socket) -> Result<(), Error> {
    match &options.local_host {
        Some(host) => {
            let address = resolve(host, 0, options.family)?;
            socket.bind(&address.into()).map_err(|error| Error::system("bind", address, error))
        }
        None => Ok(()),
    }
}
