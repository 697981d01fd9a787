//! What every driver promises, checked on the machine's sockets and on simulated ones.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

use splay_runtime::driver::{
    Driver, Family, OptionName, Owner, Query, Resolved, SocketId, SocketOption, Transport, Wake, Watch,
};
use splay_runtime::real::{RealDriver, UNKNOWN_HOST};
use splay_simulator::{NetworkConfig, VirtualDriver};

const ME: Owner = Owner(7);

/// Long enough for anything on loopback; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(5);

/// Long enough for a packet to arrive in both worlds.
const MOMENT: Duration = Duration::from_millis(30);

macro_rules! on_both_drivers {
    ($($name:ident),* $(,)?) => {
        mod real {
            $(#[test] fn $name() { super::$name(&mut super::RealDriver::new().unwrap()) })*
        }
        mod simulated {
            $(#[test] fn $name() {
                super::$name(&mut super::VirtualDriver::new(1, &super::NetworkConfig::default()))
            })*
        }
    };
}

on_both_drivers!(
    connects_and_accepts,
    connects_over_ipv6,
    refuses_where_nobody_listens,
    may_connect_again_after_refusal,
    delivers_a_stream_in_order,
    sends_part_when_the_peer_does_not_read,
    half_closes,
    resets_when_closed_with_unread_data,
    breaks_a_write_to_a_closed_peer,
    closing_a_listener_resets_the_waiting,
    needs_a_connection_to_talk,
    exchanges_datagrams,
    cuts_datagrams_that_do_not_fit,
    limits_the_size_of_datagrams,
    loses_datagrams_nobody_takes,
    hears_only_its_peer_once_connected,
    keeps_ports_to_their_owner,
    shares_ports_when_told,
    closes_all_of_an_owner,
    binds_only_to_own_addresses,
    needs_permission_to_broadcast,
    remembers_options,
    refuses_options_of_other_kinds,
    resolves_names,
    waits_until_the_deadline,
    only_looks_when_the_deadline_is_past,
    reports_edges_once,
    reports_readable_while_it_is,
    tells_the_owner,
    tells_readiness,
    forgets_closed_sockets,
    gives_random_bytes,
    listens_after_an_earlier_listener_closed,
    takes_a_backlog_of_any_size,
    wildcard_listener_is_reached_by_any_loopback_address,
    accepted_connections_outlive_their_listener,
    dual_stack_listener_takes_ipv4,
);

fn any() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

/// Lets `MOMENT` pass without looking at what happens.
fn pause(driver: &mut dyn Driver) -> Vec<Wake> {
    let mut wakes = Vec::new();
    let end = driver.now() + MOMENT;
    while driver.now() < end {
        driver.poll(Some(end), &mut wakes).unwrap();
    }
    wakes
}

/// Repeats `call` after every poll until it no longer answers `WouldBlock`.
fn retry<D: Driver + ?Sized, T>(
    driver: &mut D,
    mut call: impl FnMut(&mut D) -> io::Result<T>,
) -> io::Result<T> {
    let end = driver.now() + PATIENCE;
    loop {
        match call(driver) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(driver.now() < end, "blocked for ever");
                let next = driver.now() + Duration::from_millis(1);
                driver.poll(Some(next), &mut Vec::new()).unwrap();
            }
            other => return other,
        }
    }
}

fn listener(driver: &mut dyn Driver, address: SocketAddr, backlog: u32) -> (SocketId, SocketAddr) {
    let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = driver.open(ME, Transport::Tcp, family).unwrap();
    driver.bind(socket, address).unwrap();
    driver.listen(socket, backlog).unwrap();
    let address = driver.local_address(socket).unwrap();
    (socket, address)
}

fn connect(driver: &mut dyn Driver, to: SocketAddr) -> io::Result<SocketId> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = driver.open(ME, Transport::Tcp, family)?;
    match driver.connect(socket, to) {
        Ok(()) => Ok(socket),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            retry(driver, |driver| driver.connect_result(socket)).map(|()| socket)
        }
        Err(error) => Err(error),
    }
}

/// A connected pair: client and accepted end.
fn pair(driver: &mut dyn Driver) -> (SocketId, SocketId) {
    let (server, address) = listener(driver, any(), 8);
    let client = connect(driver, address).unwrap();
    let (accepted, _) = retry(driver, |driver| driver.accept(server)).unwrap();
    driver.close(server);
    (client, accepted)
}

fn udp(driver: &mut dyn Driver) -> (SocketId, SocketAddr) {
    let socket = driver.open(ME, Transport::Udp, Family::V4).unwrap();
    driver.bind(socket, any()).unwrap();
    let address = driver.local_address(socket).unwrap();
    (socket, address)
}

fn send_all(driver: &mut dyn Driver, socket: SocketId, mut data: &[u8]) {
    while !data.is_empty() {
        let sent = retry(driver, |driver| driver.send(socket, data)).unwrap();
        data = &data[sent..];
    }
}

fn recv_exactly(driver: &mut dyn Driver, socket: SocketId, count: usize) -> Vec<u8> {
    let mut data = vec![0; count];
    let mut filled = 0;
    while filled < count {
        let read = retry(driver, |driver| driver.recv(socket, &mut data[filled..])).unwrap();
        assert!(read > 0, "ended after {filled} of {count} bytes");
        filled += read;
    }
    data
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().expect("errors carry the system's code")
}

fn connects_and_accepts(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    assert_ne!(address.port(), 0);
    assert_eq!(code(driver.accept(server)), libc::EAGAIN);
    let client = connect(driver, address).unwrap();
    let (accepted, peer) = retry(driver, |driver| driver.accept(server)).unwrap();
    assert_eq!(driver.peer_address(client).unwrap(), address);
    assert_eq!(driver.local_address(client).unwrap(), peer);
    assert_eq!(driver.peer_address(accepted).unwrap(), peer);
    assert_eq!(driver.local_address(accepted).unwrap(), address);
    assert!(driver.connect_result(client).is_ok());
}

fn connects_over_ipv6(driver: &mut dyn Driver) {
    let address: SocketAddr = "[::1]:0".parse().unwrap();
    let (server, address) = listener(driver, address, 8);
    let client = connect(driver, address).unwrap();
    let (accepted, peer) = retry(driver, |driver| driver.accept(server)).unwrap();
    assert!(peer.is_ipv6());
    send_all(driver, client, b"six");
    assert_eq!(recv_exactly(driver, accepted, 3), b"six");
}

fn refuses_where_nobody_listens(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    driver.close(server);
    assert_eq!(code(connect(driver, address)), libc::ECONNREFUSED);
    // Bound is not listening.
    let bound = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    driver.bind(bound, any()).unwrap();
    let address = driver.local_address(bound).unwrap();
    assert_eq!(code(connect(driver, address)), libc::ECONNREFUSED);
}

fn may_connect_again_after_refusal(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    driver.close(server);
    let client = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    assert_eq!(code(driver.connect(client, address)), libc::EAGAIN);
    let refused = retry(driver, |driver| driver.connect_result(client));
    assert_eq!(code(refused), libc::ECONNREFUSED);
    let (_, address) = listener(driver, address, 8);
    assert_eq!(code(driver.connect(client, address)), libc::EAGAIN);
    retry(driver, |driver| driver.connect_result(client)).unwrap();
}

fn delivers_a_stream_in_order(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    let sent: Vec<u8> = (0..50_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let mut received = Vec::new();
    let mut offset = 0;
    let mut buffer = [0; 1000];
    while received.len() < sent.len() {
        if offset < sent.len() {
            match driver.send(client, &sent[offset..]) {
                Ok(count) => offset += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let count = retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap();
        received.extend_from_slice(&buffer[..count]);
    }
    assert!(received == sent, "bytes were lost, added or reordered");
}

fn sends_part_when_the_peer_does_not_read(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.watch(client, Watch::Edge).unwrap();
    let chunk = vec![b'x'; 256 * 1024];
    let mut total = 0;
    let mut stuck = 0;
    while stuck < 3 {
        match driver.send(client, &chunk) {
            Ok(count) => {
                assert!(count > 0 && count <= chunk.len());
                total += count;
                stuck = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stuck += 1;
                pause(driver);
            }
        }
        assert!(total < 64 << 20, "a peer that does not read must stop the sender");
    }
    assert!(total > 16 * 1024);
    let mut rest = total;
    let mut buffer = vec![0; 64 * 1024];
    let mut writable = false;
    while rest > 0 {
        let mut wakes = Vec::new();
        let read = retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap();
        rest -= read;
        driver.poll(Some(Duration::ZERO), &mut wakes).unwrap();
        writable |= wakes
            .iter()
            .any(|wake| matches!(wake, Wake::Socket { socket, writable: true, .. } if *socket == client));
    }
    writable |= pause(driver)
        .iter()
        .any(|wake| matches!(wake, Wake::Socket { socket, writable: true, .. } if *socket == client));
    assert!(writable, "a sender that found no room is told when there is some");
    assert!(driver.send(client, b"more").is_ok());
}

fn half_closes(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    send_all(driver, client, b"question");
    driver.shutdown(client, Shutdown::Write).unwrap();
    assert_eq!(code(driver.send(client, b"late")), libc::EPIPE);
    assert_eq!(recv_exactly(driver, server, 8), b"question");
    let mut buffer = [0; 8];
    assert_eq!(retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap(), 0);
    send_all(driver, server, b"answer");
    assert_eq!(recv_exactly(driver, client, 6), b"answer");
    driver.close(server);
    assert_eq!(retry(driver, |driver| driver.recv(client, &mut buffer)).unwrap(), 0);
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0, "the end stays the end");
}

fn resets_when_closed_with_unread_data(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    send_all(driver, client, b"never read");
    pause(driver);
    driver.close(server);
    let mut buffer = [0; 8];
    let result = retry(driver, |driver| driver.recv(client, &mut buffer));
    assert_eq!(code(result), libc::ECONNRESET);
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0, "the error is told once");
    assert_eq!(code(driver.send(client, b"x")), libc::EPIPE);
    assert_eq!(code(driver.peer_address(client)), libc::ENOTCONN);
}

fn breaks_a_write_to_a_closed_peer(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.close(server);
    pause(driver);
    assert_eq!(driver.send(client, b"first").unwrap(), 5, "the closed end has not said so yet");
    pause(driver);
    assert_eq!(code(driver.send(client, b"second")), libc::EPIPE);
    let mut buffer = [0; 8];
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0);
}

fn closing_a_listener_resets_the_waiting(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    let client = connect(driver, address).unwrap();
    driver.close(server);
    let mut buffer = [0; 8];
    let result = retry(driver, |driver| driver.recv(client, &mut buffer));
    assert_eq!(code(result), libc::ECONNRESET);
}

fn needs_a_connection_to_talk(driver: &mut dyn Driver) {
    let socket = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(code(driver.send(socket, b"x")), libc::EPIPE);
    assert_eq!(code(driver.recv(socket, &mut buffer)), libc::ENOTCONN);
    assert_eq!(code(driver.accept(socket)), libc::EINVAL);
    assert_eq!(code(driver.peer_address(socket)), libc::ENOTCONN);
    assert_eq!(code(driver.shutdown(socket, Shutdown::Both)), libc::ENOTCONN);
    assert_eq!(driver.local_address(socket).unwrap(), "0.0.0.0:0".parse().unwrap());
    let datagrams = driver.open(ME, Transport::Udp, Family::V4).unwrap();
    assert_eq!(code(driver.send(datagrams, b"x")), libc::EDESTADDRREQ);
    assert_eq!(code(driver.listen(datagrams, 1)), libc::EOPNOTSUPP);
}

fn exchanges_datagrams(driver: &mut dyn Driver) {
    let (a, a_address) = udp(driver);
    let b = driver.open(ME, Transport::Udp, Family::V4).unwrap();
    assert_eq!(driver.send_to(b, b"one", a_address).unwrap(), 3);
    assert_eq!(driver.send_to(b, b"", a_address).unwrap(), 0);
    let mut buffer = [0; 16];
    let (length, from) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"one");
    let (empty, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(empty, 0);
    driver.send_to(a, b"two", from).unwrap();
    let (length, from) = retry(driver, |driver| driver.recv_from(b, &mut buffer)).unwrap();
    assert_eq!((&buffer[..length], from), (&b"two"[..], a_address));
}

fn cuts_datagrams_that_do_not_fit(driver: &mut dyn Driver) {
    let (a, address) = udp(driver);
    let (b, _) = udp(driver);
    driver.send_to(b, b"0123456789", address).unwrap();
    driver.send_to(b, b"next", address).unwrap();
    let mut buffer = [0; 4];
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"0123");
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"next");
}

fn limits_the_size_of_datagrams(driver: &mut dyn Driver) {
    let (a, address) = udp(driver);
    let (b, _) = udp(driver);
    let data = vec![1; 65_508];
    assert_eq!(code(driver.send_to(b, &data, address)), libc::EMSGSIZE);
    assert_eq!(driver.send_to(b, &data[..65_507], address).unwrap(), 65_507);
    let mut buffer = vec![0; 70_000];
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(length, 65_507);
}

fn loses_datagrams_nobody_takes(driver: &mut dyn Driver) {
    let (gone, address) = udp(driver);
    driver.close(gone);
    let (a, _) = udp(driver);
    driver.send_to(a, b"lost", address).unwrap();
    pause(driver);
    driver.send_to(a, b"lost", address).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(code(driver.recv_from(a, &mut buffer)), libc::EAGAIN);
    // With a fixed peer the loss is told.
    driver.connect(a, address).unwrap();
    driver.send(a, b"lost").unwrap();
    pause(driver);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::ECONNREFUSED);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::EAGAIN);
}

fn hears_only_its_peer_once_connected(driver: &mut dyn Driver) {
    let (a, a_address) = udp(driver);
    let (b, b_address) = udp(driver);
    let (stranger, _) = udp(driver);
    driver.connect(a, b_address).unwrap();
    assert_eq!(driver.peer_address(a).unwrap(), b_address);
    driver.send_to(stranger, b"noise", a_address).unwrap();
    driver.send_to(b, b"signal", a_address).unwrap();
    let mut buffer = [0; 8];
    let length = retry(driver, |driver| driver.recv(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"signal");
    pause(driver);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::EAGAIN);
    driver.disconnect(a).unwrap();
    assert_eq!(code(driver.peer_address(a)), libc::ENOTCONN);
}

fn keeps_ports_to_their_owner(driver: &mut dyn Driver) {
    for transport in [Transport::Tcp, Transport::Udp] {
        let first = driver.open(ME, transport, Family::V4).unwrap();
        driver.bind(first, any()).unwrap();
        let address = driver.local_address(first).unwrap();
        let second = driver.open(ME, transport, Family::V4).unwrap();
        assert_eq!(code(driver.bind(second, address)), libc::EADDRINUSE);
        let wildcard = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert_eq!(code(driver.bind(second, wildcard)), libc::EADDRINUSE);
        assert_eq!(code(driver.bind(first, any())), libc::EINVAL);
        driver.close(first);
        driver.bind(second, wildcard).unwrap();
        let third = driver.open(ME, transport, Family::V4).unwrap();
        assert_eq!(code(driver.bind(third, address)), libc::EADDRINUSE);
    }
}

fn shares_ports_when_told(driver: &mut dyn Driver) {
    let open = |driver: &mut dyn Driver, transport, option| {
        let socket = driver.open(ME, transport, Family::V4).unwrap();
        driver.set_option(socket, &option).unwrap();
        socket
    };
    let a = open(driver, Transport::Udp, SocketOption::ReuseAddr(true));
    let b = open(driver, Transport::Udp, SocketOption::ReuseAddr(true));
    driver.bind(a, any()).unwrap();
    let address = driver.local_address(a).unwrap();
    driver.bind(b, address).unwrap();
    // Two listeners may not share by `reuseaddr` ...
    let a = open(driver, Transport::Tcp, SocketOption::ReuseAddr(true));
    let b = open(driver, Transport::Tcp, SocketOption::ReuseAddr(true));
    driver.bind(a, any()).unwrap();
    let address = driver.local_address(a).unwrap();
    driver.bind(b, address).unwrap();
    driver.listen(a, 1).unwrap();
    assert_eq!(code(driver.listen(b, 1)), libc::EADDRINUSE);
    // ... but they may by `reuseport`.
    let a = open(driver, Transport::Tcp, SocketOption::ReusePort(true));
    let b = open(driver, Transport::Tcp, SocketOption::ReusePort(true));
    driver.bind(a, any()).unwrap();
    let address = driver.local_address(a).unwrap();
    driver.bind(b, address).unwrap();
    driver.listen(a, 1).unwrap();
    driver.listen(b, 1).unwrap();
}

fn closes_all_of_an_owner(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    let other = driver.open(Owner(8), Transport::Udp, Family::V4).unwrap();
    driver.close_all(ME);
    for socket in [client, server] {
        assert_eq!(code(driver.local_address(socket)), libc::EBADF);
    }
    assert!(driver.local_address(other).is_ok());
}

fn binds_only_to_own_addresses(driver: &mut dyn Driver) {
    let socket = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    let elsewhere = "203.0.113.9:0".parse().unwrap();
    assert_eq!(code(driver.bind(socket, elsewhere)), libc::EADDRNOTAVAIL);
    let other_family = "[::1]:0".parse().unwrap();
    assert_eq!(code(driver.bind(socket, other_family)), libc::EAFNOSUPPORT);
    assert_eq!(code(driver.connect(socket, other_family)), libc::EAFNOSUPPORT);
    driver.bind(socket, "127.1.2.3:0".parse().unwrap()).unwrap();
    assert_eq!(driver.local_address(socket).unwrap().ip(), IpAddr::from([127, 1, 2, 3]));
}

fn needs_permission_to_broadcast(driver: &mut dyn Driver) {
    let (socket, _) = udp(driver);
    let everybody = "255.255.255.255:9".parse().unwrap();
    assert_eq!(code(driver.send_to(socket, b"x", everybody)), libc::EACCES);
}

fn remembers_options(driver: &mut dyn Driver) {
    let socket = driver.open(ME, Transport::Tcp, Family::V6).unwrap();
    let options = [
        (OptionName::KeepAlive, SocketOption::KeepAlive(true)),
        (OptionName::ReuseAddr, SocketOption::ReuseAddr(true)),
        (OptionName::ReusePort, SocketOption::ReusePort(true)),
        (OptionName::NoDelay, SocketOption::NoDelay(true)),
        (OptionName::DontRoute, SocketOption::DontRoute(true)),
        (OptionName::Broadcast, SocketOption::Broadcast(true)),
        (OptionName::V6Only, SocketOption::V6Only(true)),
        (OptionName::Linger, SocketOption::Linger(Some(3))),
        (OptionName::UnicastHops, SocketOption::UnicastHops(9)),
        // Linux doubles buffer sizes.
        (OptionName::ReceiveBuffer, SocketOption::ReceiveBuffer(20_000)),
        (OptionName::SendBuffer, SocketOption::SendBuffer(20_000)),
    ];
    assert_eq!(driver.option(socket, OptionName::Linger).unwrap(), SocketOption::Linger(None));
    for (name, option) in options {
        driver.set_option(socket, &option).unwrap();
        let expected = match option {
            SocketOption::ReceiveBuffer(bytes) => SocketOption::ReceiveBuffer(bytes * 2),
            SocketOption::SendBuffer(bytes) => SocketOption::SendBuffer(bytes * 2),
            other => other,
        };
        assert_eq!(driver.option(socket, name).unwrap(), expected);
    }
    driver.set_option(socket, &SocketOption::Linger(None)).unwrap();
    assert_eq!(driver.option(socket, OptionName::Linger).unwrap(), SocketOption::Linger(None));
    assert!(driver.option(socket, OptionName::Error).is_ok());
    let (datagrams, _) = udp(driver);
    driver.set_option(datagrams, &SocketOption::MulticastTtl(5)).unwrap();
    let ttl = driver.option(datagrams, OptionName::MulticastTtl).unwrap();
    assert_eq!(ttl, SocketOption::MulticastTtl(5));
    driver.set_option(datagrams, &SocketOption::MulticastLoop(false)).unwrap();
    let multicast_loop = driver.option(datagrams, OptionName::MulticastLoop).unwrap();
    assert_eq!(multicast_loop, SocketOption::MulticastLoop(false));
}

fn refuses_options_of_other_kinds(driver: &mut dyn Driver) {
    let (datagrams, _) = udp(driver);
    let refused = driver.set_option(datagrams, &SocketOption::NoDelay(true));
    assert_eq!(code(refused), libc::ENOPROTOOPT);
    let refused = driver.set_option(datagrams, &SocketOption::V6Only(true));
    assert_eq!(code(refused), libc::ENOPROTOOPT);
}

fn ask(driver: &mut dyn Driver, question: Query) -> Result<Resolved, String> {
    driver.resolve(ME, 42, question);
    let end = driver.now() + Duration::from_secs(30);
    let mut wakes = Vec::new();
    while driver.now() < end {
        driver.poll(Some(end), &mut wakes).unwrap();
        for wake in wakes.drain(..) {
            if let Wake::Resolved { owner, query, answer } = wake {
                assert_eq!((owner, query), (ME, 42));
                return answer;
            }
        }
    }
    panic!("the name service never answered");
}

fn resolves_names(driver: &mut dyn Driver) {
    let localhost = ask(driver, Query::Addresses("localhost".into())).unwrap();
    assert!(localhost.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
    assert_eq!(localhost.name, "localhost");
    let literal = ask(driver, Query::Addresses("127.0.0.9".into())).unwrap();
    assert_eq!(literal.addresses, [IpAddr::from([127, 0, 0, 9])]);
    let name = ask(driver, Query::Name(Ipv4Addr::LOCALHOST.into())).unwrap();
    assert_eq!(name.name, "localhost");
    // Not a host name at all, so that no name server is asked.
    let missing = ask(driver, Query::Addresses("no such host".into()));
    assert_eq!(missing, Err(UNKNOWN_HOST.to_owned()));
}

fn waits_until_the_deadline(driver: &mut dyn Driver) {
    let (wall, start) = (driver.wall(), driver.now());
    let until = start + MOMENT;
    let mut wakes = Vec::new();
    driver.poll(Some(until), &mut wakes).unwrap();
    assert!(wakes.is_empty());
    assert!(driver.now() >= until, "woke {:?} early", until.saturating_sub(driver.now()));
    assert!(driver.now() < until + Duration::from_secs(1));
    let passed = driver.wall() - wall;
    assert!(passed + Duration::from_millis(5) > MOMENT && passed < MOMENT + Duration::from_secs(1));
}

fn only_looks_when_the_deadline_is_past(driver: &mut dyn Driver) {
    let start = driver.now();
    let mut wakes = Vec::new();
    for _ in 0..10 {
        driver.poll(Some(Duration::ZERO), &mut wakes).unwrap();
    }
    assert!(wakes.is_empty());
    assert!(driver.now() - start < Duration::from_millis(20));
    assert!(driver.now() > start, "a busy loop may not stop the clock");
}

/// Readiness reports of one socket among wakes.
fn reports(wakes: &[Wake], of: SocketId) -> Vec<(bool, bool)> {
    let report = |wake: &Wake| match wake {
        Wake::Socket { socket, readable, writable, .. } if *socket == of => Some((*readable, *writable)),
        _ => None,
    };
    wakes.iter().filter_map(report).collect()
}

fn reports_edges_once(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.watch(server, Watch::Edge).unwrap();
    assert_eq!(reports(&pause(driver), server), [(false, true)], "the state at the start");
    assert_eq!(reports(&pause(driver), server), [], "nothing has changed");
    send_all(driver, client, b"one");
    let seen = reports(&pause(driver), server);
    assert!(seen.len() == 1 && seen[0].0, "{seen:?}");
    assert_eq!(reports(&pause(driver), server), [], "unread data is not news");
    send_all(driver, client, b"two");
    let seen = reports(&pause(driver), server);
    assert!(seen.len() == 1 && seen[0].0, "{seen:?}");
    driver.watch(server, Watch::Edge).unwrap();
    driver.close(client);
    let seen = reports(&pause(driver), server);
    assert!(!seen.is_empty() && seen[0].0, "{seen:?}");
}

fn reports_readable_while_it_is(driver: &mut dyn Driver) {
    let (a, address) = udp(driver);
    let (b, _) = udp(driver);
    driver.watch(a, Watch::Readable).unwrap();
    assert_eq!(reports(&pause(driver), a), [], "writability is not reported");
    driver.send_to(b, b"one", address).unwrap();
    driver.send_to(b, b"two", address).unwrap();
    let mut buffer = [0; 8];
    for _ in 0..2 {
        for _ in 0..3 {
            let mut wakes = Vec::new();
            let until = driver.now() + PATIENCE;
            while reports(&wakes, a).is_empty() && driver.now() < until {
                driver.poll(Some(until), &mut wakes).unwrap();
            }
            assert!(reports(&wakes, a).iter().all(|report| *report == (true, false)));
            assert!(driver.now() < until, "still readable, still reported");
        }
        retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    }
    assert_eq!(reports(&pause(driver), a), [], "all has been read");
    // The same for a listener.
    let (server, address) = listener(driver, any(), 8);
    driver.watch(server, Watch::Readable).unwrap();
    connect(driver, address).unwrap();
    for _ in 0..3 {
        let mut wakes = Vec::new();
        let until = driver.now() + MOMENT;
        driver.poll(Some(until), &mut wakes).unwrap();
        assert_eq!(reports(&wakes, server), [(true, false)]);
    }
    driver.accept(server).unwrap();
    assert_eq!(reports(&pause(driver), server), []);
}

fn tells_readiness(driver: &mut dyn Driver) {
    let state = |driver: &mut dyn Driver, socket| {
        let readiness = driver.readiness(socket).unwrap();
        (readiness.readable, readiness.writable)
    };
    let (server, address) = listener(driver, any(), 4);
    assert_eq!(state(driver, server), (false, false));
    let client = connect(driver, address).unwrap();
    assert_eq!(state(driver, client), (false, true));
    pause(driver);
    assert_eq!(state(driver, server), (true, false));
    let (accepted, _) = driver.accept(server).unwrap();
    send_all(driver, client, b"x");
    pause(driver);
    assert_eq!(state(driver, accepted), (true, true));
    recv_exactly(driver, accepted, 1);
    assert_eq!(state(driver, accepted), (false, true));
    driver.close(client);
    pause(driver);
    assert!(state(driver, accepted).0, "the end can be read");
    let (datagrams, _) = udp(driver);
    assert_eq!(state(driver, datagrams), (false, true));
}

fn tells_the_owner(driver: &mut dyn Driver) {
    let server = driver.open(Owner(3), Transport::Tcp, Family::V4).unwrap();
    driver.bind(server, any()).unwrap();
    driver.listen(server, 4).unwrap();
    driver.watch(server, Watch::Readable).unwrap();
    let address = driver.local_address(server).unwrap();
    let client = connect(driver, address).unwrap();
    driver.watch(client, Watch::Edge).unwrap();
    let (accepted, _) = retry(driver, |driver| driver.accept(server)).unwrap();
    driver.watch(accepted, Watch::Edge).unwrap();
    let wakes = pause(driver);
    let owner_of = |of| {
        wakes.iter().find_map(|wake| match wake {
            Wake::Socket { owner, socket, .. } if *socket == of => Some(*owner),
            _ => None,
        })
    };
    assert_eq!(owner_of(client), Some(ME));
    assert_eq!(owner_of(accepted), Some(Owner(3)), "a connection belongs to its listener's owner");
}

fn forgets_closed_sockets(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.watch(server, Watch::Edge).unwrap();
    send_all(driver, client, b"x");
    driver.close(server);
    driver.close(server);
    assert_eq!(reports(&pause(driver), server), []);
    assert_eq!(code(driver.send(server, b"x")), libc::EBADF);
    assert_eq!(code(driver.local_address(server)), libc::EBADF);
    assert_eq!(code(driver.watch(server, Watch::Edge)), libc::EBADF);
    assert!(driver.descriptor(server).is_none());
}

fn gives_random_bytes(driver: &mut dyn Driver) {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let mut bytes = [0; 16];
        driver.fill_random(&mut bytes);
        assert!(seen.insert(bytes));
    }
    let mut long = vec![0; 100_000];
    driver.fill_random(&mut long);
    let ones: u32 = long.iter().map(|byte| byte.count_ones()).sum();
    assert!((390_000..410_000).contains(&ones), "{ones} of 800,000 bits are set");
    assert!(!driver.host_name().is_empty());
}

fn listens_after_an_earlier_listener_closed(driver: &mut dyn Driver) {
    let server = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    driver.set_option(server, &SocketOption::ReuseAddr(true)).unwrap();
    driver.bind(server, any()).unwrap();
    driver.listen(server, 8).unwrap();
    let address = driver.local_address(server).unwrap();
    let client = connect(driver, address).unwrap();
    let (accepted, _) = retry(driver, |driver| driver.accept(server)).unwrap();
    driver.close(server);
    driver.close(accepted);
    driver.close(client);
    let again = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    driver.set_option(again, &SocketOption::ReuseAddr(true)).unwrap();
    driver.bind(again, address).unwrap();
    driver.listen(again, 8).unwrap();
    connect(driver, address).unwrap();
}

fn takes_a_backlog_of_any_size(driver: &mut dyn Driver) {
    for backlog in [0, 1, 100_000, u32::MAX] {
        let (server, address) = listener(driver, any(), backlog);
        connect(driver, address).unwrap();
        retry(driver, |driver| driver.accept(server)).unwrap();
    }
}

fn wildcard_listener_is_reached_by_any_loopback_address(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, "0.0.0.0:0".parse().unwrap(), 8);
    for ip in [[127, 0, 0, 1], [127, 3, 2, 1], [0, 0, 0, 0]] {
        let client = connect(driver, SocketAddr::new(ip.into(), address.port())).unwrap();
        let (accepted, _) = retry(driver, |driver| driver.accept(server)).unwrap();
        let expected = if ip == [0; 4] { IpAddr::from([127, 0, 0, 1]) } else { ip.into() };
        assert_eq!(driver.local_address(accepted).unwrap().ip(), expected);
        assert_eq!(driver.peer_address(client).unwrap().ip(), expected);
    }
}

fn accepted_connections_outlive_their_listener(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    pause(driver);
    send_all(driver, client, b"still here");
    assert_eq!(recv_exactly(driver, server, 10), b"still here");
}

fn dual_stack_listener_takes_ipv4(driver: &mut dyn Driver) {
    let socket = driver.open(ME, Transport::Tcp, Family::V6).unwrap();
    driver.set_option(socket, &SocketOption::V6Only(false)).unwrap();
    driver.bind(socket, "[::]:0".parse().unwrap()).unwrap();
    driver.listen(socket, 4).unwrap();
    let port = driver.local_address(socket).unwrap().port();
    connect(driver, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).unwrap();
    let (_, peer) = retry(driver, |driver| driver.accept(socket)).unwrap();
    assert_eq!(peer.ip(), IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()));
    driver.close(socket);
    let socket = driver.open(ME, Transport::Tcp, Family::V6).unwrap();
    driver.set_option(socket, &SocketOption::V6Only(true)).unwrap();
    driver.bind(socket, "[::]:0".parse().unwrap()).unwrap();
    driver.listen(socket, 4).unwrap();
    let port = driver.local_address(socket).unwrap().port();
    let refused = connect(driver, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    assert_eq!(code(refused), libc::ECONNREFUSED);
}
