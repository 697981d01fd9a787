//! Addresses, ports and options.

use super::*;

on_every_driver!(
    keeps_ports_to_their_owner,
    shares_ports_when_told,
    binds_only_to_own_addresses,
    remembers_options,
    refuses_options_of_other_kinds,
    reports_edges_once,
    reports_readable_while_it_is,
    listens_after_an_earlier_listener_closed,
    takes_a_backlog_of_any_size,
    wildcard_listener_is_reached_by_any_loopback_address,
    dual_stack_listener_takes_ipv4,
);

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
