//! Time, names and reports of readiness.

use super::*;

on_every_driver!(
    closes_all_of_an_owner,
    resolves_names,
    waits_until_the_deadline,
    only_looks_when_the_deadline_is_past,
    tells_the_owner,
    tells_readiness,
    forgets_closed_sockets,
    gives_random_bytes,
);

fn closes_all_of_an_owner(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    let other = driver.open(Owner(8), Transport::Udp, Family::V4).unwrap();
    driver.close_all(ME);
    for socket in [client, server] {
        assert_eq!(code(driver.local_address(socket)), libc::EBADF);
    }
    assert!(driver.local_address(other).is_ok());
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
