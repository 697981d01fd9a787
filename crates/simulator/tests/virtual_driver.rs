//! What only the simulated driver promises: jumping time, repetition from a seed, simulated
//! addresses and names.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use splay_runtime::driver::{Driver, Family, Owner, Query, SocketId, Transport, Wake, Watch};
use splay_simulator::{NetworkConfig, VirtualDriver};

fn driver() -> VirtualDriver {
    VirtualDriver::new(7, &NetworkConfig::default())
}

fn tcp(driver: &mut VirtualDriver, owner: Owner) -> SocketId {
    driver.open(owner, Transport::Tcp, Family::V4).unwrap()
}

#[test]
fn jumps_to_the_deadline() {
    let mut driver = driver();
    let year = Duration::from_secs(365 * 24 * 3600);
    let wall = driver.wall();
    assert_eq!(wall, Duration::from_secs(946_684_800));
    let mut wakes = Vec::new();
    driver.poll(Some(year), &mut wakes).unwrap();
    assert_eq!((driver.now(), driver.wall()), (year, wall + year));
    assert!(wakes.is_empty());
}

#[test]
fn returns_at_once_when_nothing_can_happen() {
    let mut driver = driver();
    assert!(driver.is_idle());
    let mut wakes = Vec::new();
    driver.poll(None, &mut wakes).unwrap();
    assert!(wakes.is_empty());
    assert_eq!(driver.now(), Duration::ZERO);
}

#[test]
fn reports_a_waker() {
    let mut driver = driver();
    let waker = driver.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    let mut wakes = Vec::new();
    driver.poll(None, &mut wakes).unwrap();
    driver.poll(None, &mut wakes).unwrap();
    assert_eq!(wakes, [Wake::External]);
}

#[test]
fn a_packet_takes_the_latency() {
    let latency = Duration::from_millis(40);
    let config = NetworkConfig { latency, ..NetworkConfig::default() };
    let mut driver = VirtualDriver::new(1, &config);
    let receiver = driver.open(Owner(0), Transport::Udp, Family::V4).unwrap();
    let address: SocketAddr = "127.0.0.1:5000".parse().unwrap();
    driver.bind(receiver, address).unwrap();
    driver.watch(receiver, Watch::Readable).unwrap();
    let sender = driver.open(Owner(1), Transport::Udp, Family::V4).unwrap();
    driver.send_to(sender, b"x", address).unwrap();
    let mut wakes = Vec::new();
    driver.poll(None, &mut wakes).unwrap();
    assert_eq!(driver.now(), latency);
    assert_eq!(wakes.len(), 1);
    // A connection takes a round trip.
    let server = tcp(&mut driver, Owner(0));
    driver.bind(server, address).unwrap();
    driver.listen(server, 1).unwrap();
    let client = tcp(&mut driver, Owner(1));
    driver.watch(client, Watch::Edge).unwrap();
    let start = driver.now();
    let mut buffer = [0; 4];
    driver.recv_from(receiver, &mut buffer).unwrap();
    assert_eq!(driver.connect(client, address).unwrap_err().kind(), ErrorKind::WouldBlock);
    while driver.connect_result(client).is_err() {
        driver.poll(None, &mut wakes).unwrap();
    }
    let taken = driver.now() - start;
    assert!(taken >= 2 * latency && taken < 2 * latency + Duration::from_micros(5), "{taken:?}");
}

#[test]
fn two_runs_are_the_same() {
    let run = |seed| {
        let mut driver = VirtualDriver::new(seed, &NetworkConfig::default());
        let mut trace = Vec::new();
        let mut bytes = [0; 8];
        driver.fill_random(&mut bytes);
        trace.push(format!("{bytes:?}"));
        let sockets: Vec<_> = (0..20)
            .map(|n| {
                let socket = driver.open(Owner(n), Transport::Udp, Family::V4).unwrap();
                driver.bind(socket, "127.0.0.1:0".parse().unwrap()).unwrap();
                driver.watch(socket, Watch::Edge).unwrap();
                (socket, driver.local_address(socket).unwrap())
            })
            .collect();
        for round in 0..100 {
            for n in 0..sockets.len() {
                driver.fill_random(&mut bytes);
                let to = sockets[usize::from(bytes[0]) % sockets.len()].1;
                driver.send_to(sockets[n].0, &bytes, to).unwrap();
            }
            let mut wakes = Vec::new();
            let until = Duration::from_micros(50 * round);
            driver.poll(Some(until), &mut wakes).unwrap();
            trace.push(format!("{:?} {wakes:?}", driver.now()));
        }
        trace
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn has_addresses_and_names_of_its_own() {
    let ip: IpAddr = "10.0.0.5".parse().unwrap();
    let names = vec![("Server.example".to_owned(), vec![ip])];
    let config = NetworkConfig { addresses: vec![ip], names, ..NetworkConfig::default() };
    let mut driver = VirtualDriver::new(1, &config);
    let home: IpAddr = "10.0.0.9".parse().unwrap();
    driver.set_home(Owner(1), home);
    let server = tcp(&mut driver, Owner(0));
    driver.bind(server, SocketAddr::new(ip, 80)).unwrap();
    driver.listen(server, 5).unwrap();
    let client = tcp(&mut driver, Owner(1));
    driver.connect(client, SocketAddr::new(ip, 80)).unwrap_err();
    let mut wakes = Vec::new();
    driver.poll(Some(Duration::from_secs(1)), &mut wakes).unwrap();
    let (_, peer) = driver.accept(server).unwrap();
    assert_eq!(peer.ip(), home);
    driver.resolve(Owner(1), 5, Query::Addresses("server.EXAMPLE".into()));
    driver.resolve(Owner(1), 6, Query::Name(ip));
    driver.poll(Some(Duration::from_secs(2)), &mut wakes).unwrap();
    let answers: Vec<_> = wakes
        .iter()
        .filter_map(|wake| match wake {
            Wake::Resolved { query, answer: Ok(answer), .. } => Some((*query, answer.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(answers[0].1.addresses, [ip]);
    assert_eq!(answers[1].1.name, "server.example");
}

#[test]
fn gives_up_on_an_address_that_does_not_exist() {
    let mut driver = driver();
    let client = tcp(&mut driver, Owner(0));
    driver.watch(client, Watch::Edge).unwrap();
    driver.connect(client, "10.9.9.9:1".parse().unwrap()).unwrap_err();
    let mut wakes = Vec::new();
    while wakes.is_empty() {
        driver.poll(None, &mut wakes).unwrap();
    }
    let error = driver.connect_result(client).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    assert_eq!(driver.now().as_secs(), 127);
}

#[test]
fn a_full_backlog_delays_the_next_connection() {
    let mut driver = driver();
    let address: SocketAddr = "127.0.0.1:99".parse().unwrap();
    let server = tcp(&mut driver, Owner(0));
    driver.bind(server, address).unwrap();
    driver.listen(server, 1).unwrap();
    let clients: Vec<_> = (0..3).map(|_| tcp(&mut driver, Owner(1))).collect();
    for &client in &clients {
        driver.connect(client, address).unwrap_err();
    }
    driver.poll(Some(Duration::from_millis(500)), &mut Vec::new()).unwrap();
    let connected = |driver: &mut VirtualDriver| {
        clients.iter().filter(|&&client| driver.connect_result(client).is_ok()).count()
    };
    assert_eq!(connected(&mut driver), 2);
    driver.accept(server).unwrap();
    driver.poll(Some(Duration::from_millis(1500)), &mut Vec::new()).unwrap();
    assert_eq!(connected(&mut driver), 3);
}
