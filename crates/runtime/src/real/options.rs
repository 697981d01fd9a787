//! Socket options of real sockets, in LuaSocket's units.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::driver::{Family, OptionName, SocketOption};

pub(super) fn set(fd: BorrowedFd<'_>, option: &SocketOption) -> io::Result<()> {
    match *option {
        SocketOption::KeepAlive(on) => sockopt::set_socket_keepalive(fd, on)?,
        SocketOption::ReuseAddr(on) => sockopt::set_socket_reuseaddr(fd, on)?,
        SocketOption::ReusePort(on) => sockopt::set_socket_reuseport(fd, on)?,
        SocketOption::NoDelay(on) => sockopt::set_tcp_nodelay(fd, on)?,
        SocketOption::Linger(seconds) => {
            sockopt::set_socket_linger(fd, seconds.map(|seconds| Duration::from_secs(seconds.into())))?;
        }
        SocketOption::Broadcast(on) => sockopt::set_socket_broadcast(fd, on)?,
        SocketOption::DontRoute(on) => set_dont_route(fd, on)?,
        SocketOption::V6Only(on) => sockopt::set_ipv6_v6only(fd, on)?,
        SocketOption::ReceiveBuffer(bytes) => sockopt::set_socket_recv_buffer_size(fd, bytes)?,
        SocketOption::SendBuffer(bytes) => sockopt::set_socket_send_buffer_size(fd, bytes)?,
        SocketOption::MulticastInterface(IpAddr::V4(address)) => {
            sockopt::set_ip_multicast_if(fd, &address)?;
        }
        SocketOption::MulticastInterface(IpAddr::V6(_)) => return Err(Errno::INVAL.into()),
        SocketOption::MulticastTtl(ttl) => sockopt::set_ip_multicast_ttl(fd, ttl)?,
        SocketOption::MulticastLoop(on) if is_v6(fd)? => sockopt::set_ipv6_multicast_loop(fd, on)?,
        SocketOption::MulticastLoop(on) => sockopt::set_ip_multicast_loop(fd, on)?,
        SocketOption::UnicastHops(hops) => {
            let hops = u8::try_from(hops).map_err(|_| Errno::INVAL)?;
            sockopt::set_ipv6_unicast_hops(fd, Some(hops))?;
        }
        SocketOption::MulticastHops(hops) => sockopt::set_ipv6_multicast_hops(fd, hops)?,
        SocketOption::AddMembership(IpAddr::V4(group), interface, _) => {
            sockopt::set_ip_add_membership(fd, &group, &v4(interface)?)?;
        }
        SocketOption::AddMembership(IpAddr::V6(group), _, index) => {
            sockopt::set_ipv6_add_membership(fd, &group, index)?;
        }
        SocketOption::DropMembership(IpAddr::V4(group), interface, _) => {
            sockopt::set_ip_drop_membership(fd, &group, &v4(interface)?)?;
        }
        SocketOption::DropMembership(IpAddr::V6(group), _, index) => {
            sockopt::set_ipv6_drop_membership(fd, &group, index)?;
        }
    }
    Ok(())
}

pub(super) fn get(fd: BorrowedFd<'_>, family: Family, name: OptionName) -> io::Result<SocketOption> {
    Ok(match name {
        OptionName::KeepAlive => SocketOption::KeepAlive(sockopt::socket_keepalive(fd)?),
        OptionName::ReuseAddr => SocketOption::ReuseAddr(sockopt::socket_reuseaddr(fd)?),
        OptionName::ReusePort => SocketOption::ReusePort(sockopt::socket_reuseport(fd)?),
        OptionName::NoDelay => SocketOption::NoDelay(sockopt::tcp_nodelay(fd)?),
        OptionName::Linger => {
            let linger = sockopt::socket_linger(fd)?;
            let seconds = linger.map(|time| u16::try_from(time.as_secs()).unwrap_or(u16::MAX));
            SocketOption::Linger(seconds)
        }
        OptionName::Broadcast => SocketOption::Broadcast(sockopt::socket_broadcast(fd)?),
        OptionName::DontRoute => SocketOption::DontRoute(dont_route(fd)?),
        OptionName::V6Only => SocketOption::V6Only(sockopt::ipv6_v6only(fd)?),
        OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(sockopt::socket_recv_buffer_size(fd)?),
        OptionName::SendBuffer => SocketOption::SendBuffer(sockopt::socket_send_buffer_size(fd)?),
        OptionName::MulticastTtl => SocketOption::MulticastTtl(sockopt::ip_multicast_ttl(fd)?),
        OptionName::MulticastLoop => SocketOption::MulticastLoop(match family {
            Family::V4 => sockopt::ip_multicast_loop(fd)?,
            Family::V6 => sockopt::ipv6_multicast_loop(fd)?,
        }),
        OptionName::UnicastHops => SocketOption::UnicastHops(sockopt::ipv6_unicast_hops(fd)?.into()),
        OptionName::MulticastHops => SocketOption::MulticastHops(sockopt::ipv6_multicast_hops(fd)?),
        OptionName::Error => {
            sockopt::socket_error(fd)??;
            // Without an error there is no value to give; any will do.
            SocketOption::KeepAlive(false)
        }
    })
}

fn is_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let local = SocketAddr::try_from(rustix::net::getsockname(fd)?)?;
    Ok(local.is_ipv6())
}

fn v4(interface: Option<IpAddr>) -> io::Result<Ipv4Addr> {
    match interface {
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V4(address)) => Ok(address),
        Some(IpAddr::V6(_)) => Err(Errno::INVAL.into()),
    }
}

fn set_dont_route(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: an open descriptor, and a pointer to an int with the size of an int.
    let status = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DONTROUTE,
            (&raw const value).cast(),
            length,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn dont_route(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: an open descriptor, and pointers to an int and to its size, both writable.
    let status = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DONTROUTE,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(value != 0) } else { Err(io::Error::last_os_error()) }
}
