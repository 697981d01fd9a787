//! Looks, before anything starts, whether this machine can host the run: descriptors and ports.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Failure;
use crate::reservation::{Reservation, Reservations};

/// What the command keeps open itself: terminal, results, a worker's epoll and waker each.
const OWN_DESCRIPTORS: u64 = 64;

/// Where ports begin that are looked for because others are taken: programs use ports beside those
/// of their instances, such as the next ten.
const APART: u32 = 100;

/// Raises the soft limit of descriptors to the hard one, and refuses a run that has not even
/// one descriptor per instance. Returns the limit now in force (`None`: unlimited).
pub fn raise_descriptor_limit(instances: u32) -> Result<Option<u64>, Failure> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let needed = u64::from(instances) + OWN_DESCRIPTORS;
    match now {
        Some(limit) if limit < needed => Err(Failure::Descriptors { instances, needed, limit }),
        _ => Ok(now),
    }
}

/// Makes sure that each instance can have its port, TCP and UDP, and keeps the ports from other
/// commands for `command`.
pub fn reserve(first_port: u16, instances: u32, command: &str) -> Result<Reservation, Failure> {
    let reservations = Reservations::open();
    let ports = block(first_port, instances);
    refuse_reserved(&reservations, &ports)?;
    check_each(first_port, instances, check)?;
    reservations.take(&ports, command)
}

/// The error that names who has reserved one of these ports, if someone has.
pub fn refuse_reserved(reservations: &Reservations, ports: &RangeInclusive<u16>) -> Result<(), Failure> {
    match reservations.holder(ports) {
        None => Ok(()),
        Some(taken) => {
            let wanted = format!("{} to {}", ports.start(), ports.end());
            Err(Failure::PortsReserved { wanted, taken: taken.clone() })
        }
    }
}

/// The ports of so many instances.
fn block(first_port: u16, instances: u32) -> RangeInclusive<u16> {
    let last = u32::from(first_port) + instances.max(1) - 1;
    first_port..=u16::try_from(last).expect("lists checked the range")
}

fn check_each(
    first_port: u16,
    instances: u32,
    check: impl Fn(u16, SocketType) -> rustix::io::Result<()>,
) -> Result<(), Failure> {
    for instance in 1..=instances {
        let port = u16::try_from(u32::from(first_port) + instance - 1).expect("lists checked the range");
        for (transport, kind) in [("tcp", SocketType::STREAM), ("udp", SocketType::DGRAM)] {
            check(port, kind).map_err(|error| match error {
                rustix::io::Errno::ADDRINUSE => Failure::PortTaken { port, transport, instance },
                error => Failure::Port { port, transport, instance, source: io::Error::from(error) },
            })?;
        }
    }
    Ok(())
}

/// The first ports that are free for so many instances, at `first_port` or at a multiple of a hundred
/// above it; they are reserved from now on.
/// When there are none left the error names the first one taken.
pub fn reserve_free(first_port: u16, instances: u32, command: &str) -> Result<(u16, Reservation), Failure> {
    let reservations = Reservations::open();
    let from = free_ports(first_port, instances, &reservations)?;
    Ok((from, reservations.take(&block(from, instances), command)?))
}

fn free_ports(first_port: u16, instances: u32, reservations: &Reservations) -> Result<u16, Failure> {
    let mut from = first_port;
    let mut first_failure = None;
    loop {
        let ports = block(from, instances);
        let free = refuse_reserved(reservations, &ports).and_then(|()| check_each(from, instances, try_bind));
        let (next, failure) = match free {
            Ok(()) => return Ok(from),
            Err(failure @ Failure::PortTaken { port, .. }) => (port, failure),
            Err(Failure::PortsReserved { wanted, taken }) => {
                (*taken.ports.end(), Failure::PortsReserved { wanted, taken })
            }
            Err(failure) => return Err(failure),
        };
        let next = (u32::from(next) / APART + 1) * APART;
        if next + instances > u32::from(u16::MAX) {
            return Err(first_failure.unwrap_or(failure));
        }
        first_failure.get_or_insert(failure);
        from = u16::try_from(next).expect("below the largest port");
    }
}

/// Binds and lets go. Another command's check may hold the port for a moment, so a taken port
/// is looked at again.
fn check(port: u16, kind: SocketType) -> rustix::io::Result<()> {
    let mut result = try_bind(port, kind);
    for _ in 0..3 {
        if result != Err(rustix::io::Errno::ADDRINUSE) {
            break;
        }
        std::thread::sleep(Duration::from_millis(3));
        result = try_bind(port, kind);
    }
    result
}

fn try_bind(port: u16, kind: SocketType) -> rustix::io::Result<()> {
    let protocol = if kind == SocketType::STREAM { Some(ipproto::TCP) } else { None };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, protocol)?;
    if kind == SocketType::STREAM {
        // Connections of an earlier run that are still timing out take nothing from this one.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_each(port - 1, 2, check).unwrap_err();
        assert!(
            matches!(error, Failure::PortTaken { port: taken, transport: "tcp", instance: 2 } if taken == port)
                || matches!(error, Failure::PortTaken { instance: 1, .. }),
            "{error}"
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = check_each(port, 1, check).unwrap_err();
        assert!(matches!(error, Failure::PortTaken { transport: "udp", instance: 1, .. }), "{error}");
    }

    #[test]
    fn without_a_wish_the_next_free_ports_are_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (found, kept) = reserve_free(port.saturating_sub(2), 3, "a test").unwrap();
        assert!(found > port, "{found} after {port}");
        let (next, _kept) = reserve_free(found, 3, "a test").unwrap();
        assert!(next > found + 2, "{next} after {found}");
        let error = reserve(found + 2, 2, "a test").unwrap_err();
        assert!(error.to_string().contains("choose other ports with --first-port"), "{error}");
        assert_eq!(error.status(), 5);
        drop(kept);
        reserve(found, 3, "a test").unwrap();
    }

    #[test]
    fn too_many_instances_are_refused() {
        match raise_descriptor_limit(u32::MAX) {
            Err(Failure::Descriptors { needed, .. }) => assert_eq!(needed, u64::from(u32::MAX) + 64),
            Ok(limit) => assert!(limit.is_none_or(|limit| limit > u64::from(u32::MAX))),
            Err(other) => panic!("{other}"),
        }
    }
}
