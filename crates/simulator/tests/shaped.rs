//! Rates and emulated ways in virtual time: what a driver that shapes makes of a perfect network.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::Node;
use splay_protocol::topology::Topology;
use splay_runtime::driver::{Driver, Family, Owner, SocketId, Tenant, Transport, Wake, Watch};
use splay_runtime::shaped::{Emulation, ShapedDriver, Traffic};
use splay_simulator::{NetworkConfig, VirtualDriver};

const A: Owner = Owner(0);
const B: Owner = Owner(1);

const PORTS: [u16; 2] = [5000, 6000];

fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Two instances, with rates and perhaps a network between them.
fn world(send: u64, receive: u64, job: u64, topology: Option<&str>) -> ShapedDriver {
    let net = topology.map(|text| {
        let nodes = PORTS.map(|port| Node { ip: "127.0.0.1".into(), port });
        Emulation::new(Arc::new(Topology::parse(text).unwrap()), &nodes, 10, vec![0, 1], 3)
    });
    let config = NetworkConfig { latency: Duration::ZERO, ..NetworkConfig::default() };
    let inner = VirtualDriver::new(1, &config);
    let mut driver = ShapedDriver::new(Box::new(inner), Arc::new(Traffic::new(job, 0, net)));
    for (owner, position) in [(A, 1), (B, 2)] {
        let tenant = Tenant { position, send_bytes_per_second: send, receive_bytes_per_second: receive };
        driver.admit(owner, &tenant);
    }
    driver
}

/// Two places with a link each to a router between them.
fn star(delay_ms: u64, kbps: u64, loss: f64) -> String {
    format!(
        r#"<topology><vertices><vertex int_idx="0" role="gateway"/>
        <vertex int_idx="1" role="virtnode" int_vn="1"/><vertex int_idx="2" role="virtnode" int_vn="2"/></vertices>
        <edges><edge int_idx="1" int_src="1" int_dst="0" specs="client-stub"/>
        <edge int_idx="2" int_src="0" int_dst="2" specs="client-stub"/></edges>
        <specs><client-stub dbl_plr="{loss}" dbl_kbps="{kbps}" int_delayms="{delay_ms}" int_qlen="10"/></specs>
        </topology>"#
    )
}

fn address(of: usize) -> SocketAddr {
    SocketAddr::new([127, 0, 0, 1].into(), PORTS[of])
}

/// Time that has passed, without the microseconds that looks at the simulated driver take.
fn since(driver: &ShapedDriver, start: Duration) -> Duration {
    milliseconds((driver.now() - start).as_millis() as u64)
}

/// Waits for a report of a socket, as a thread that waits for it does; gives other wakes.
fn wait(driver: &mut ShapedDriver, of: SocketId) -> Vec<Wake> {
    let (mut wakes, end) = (Vec::new(), driver.now() + Duration::from_secs(3600));
    while !wakes.iter().any(|wake| matches!(wake, Wake::Socket { socket, .. } if *socket == of)) {
        assert!(driver.now() < end, "nobody tells of it");
        driver.poll(Some(end), &mut wakes).unwrap();
    }
    wakes.retain(|wake| !matches!(wake, Wake::Socket { .. }));
    wakes
}

fn until<T>(
    driver: &mut ShapedDriver,
    of: SocketId,
    mut call: impl FnMut(&mut ShapedDriver) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match call(driver) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => drop(wait(driver, of)),
            other => return other,
        }
    }
}

/// A connection that A has dialled, and B's end of it.
fn connected(driver: &mut ShapedDriver) -> (SocketId, SocketId) {
    let server = driver.open(B, Transport::Tcp, Family::V4).unwrap();
    driver.bind(server, address(1)).unwrap();
    driver.listen(server, 10).unwrap();
    let client = driver.open(A, Transport::Tcp, Family::V4).unwrap();
    if driver.connect(client, address(1)).is_err() {
        driver.watch(client, Watch::Edge).unwrap();
        until(driver, client, |driver| driver.connect_result(client)).unwrap();
    }
    driver.watch(server, Watch::Readable).unwrap();
    let (accepted, _) = until(driver, server, |driver| driver.accept(server)).unwrap();
    driver.watch(client, Watch::Edge).unwrap();
    driver.watch(accepted, Watch::Edge).unwrap();
    (client, accepted)
}

/// Sends so many bytes from one end to the other; gives how long it took, and what limits struck.
fn transfer(driver: &mut ShapedDriver, from: SocketId, to: SocketId, bytes: usize) -> (Duration, Vec<Wake>) {
    let (start, chunk) = (driver.now(), vec![7; 20_000]);
    let (mut sent, mut received, mut others) = (0, 0, Vec::new());
    let mut buffer = vec![0; 30_000];
    while received < bytes {
        let mut stuck = true;
        if sent < bytes {
            match driver.send(from, &chunk[..chunk.len().min(bytes - sent)]) {
                Ok(count) => (sent, stuck) = (sent + count, false),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        match driver.recv(to, &mut buffer) {
            Ok(0) => panic!("ended after {received} bytes"),
            Ok(count) => (received, stuck) = (received + count, false),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        if stuck {
            let until = driver.now() + Duration::from_secs(100);
            driver.poll(Some(until), &mut others).unwrap();
            assert!(driver.now() < until, "stuck: {sent} sent, {received} received");
        }
    }
    others.retain(|wake| !matches!(wake, Wake::Socket { .. }));
    (driver.now() - start, others)
}

#[test]
fn a_stream_keeps_to_rates() {
    for (send, receive, job, limit) in [
        (100_000, 0, 0, "send_bytes_per_second"),
        (0, 100_000, 0, "receive_bytes_per_second"),
        (900_000, 0, 100_000, "job_send_bytes_per_second"),
    ] {
        let mut driver = world(send, receive, job, None);
        let (client, accepted) = connected(&mut driver);
        let (took, others) = transfer(&mut driver, client, accepted, 1_000_000);
        assert!(took > milliseconds(9_700) && took < milliseconds(10_100), "{limit}: {took:?}");
        let told: Vec<_> = others
            .iter()
            .map(|wake| match wake {
                Wake::Limit { owner, limit, allowed, reached } => {
                    (*owner, *limit, *allowed, *reached > 100_000)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let owner = if receive > 0 { B } else { A };
        assert_eq!(told, [(owner, limit, 100_000, true)]);
    }
}

#[test]
fn who_stays_below_the_rate_never_waits() {
    let mut driver = world(100_000, 100_000, 100_000, None);
    let (client, accepted) = connected(&mut driver);
    for _ in 0..50 {
        let before = driver.now();
        let (took, others) = transfer(&mut driver, client, accepted, 4_000);
        assert!(took < milliseconds(1) && others.is_empty(), "{took:?} {others:?}");
        driver.poll(Some(before + milliseconds(50)), &mut Vec::new()).unwrap();
    }
}

fn udp(driver: &mut ShapedDriver, owner: Owner, port: u16) -> SocketId {
    let socket = driver.open(owner, Transport::Udp, Family::V4).unwrap();
    driver.bind(socket, SocketAddr::new([127, 0, 0, 1].into(), port)).unwrap();
    driver.watch(socket, Watch::Readable).unwrap();
    socket
}

/// All datagrams that arrive within a time: when each did.
fn arrivals(driver: &mut ShapedDriver, at: SocketId, within: Duration) -> Vec<Duration> {
    let (start, mut found, mut buffer) = (driver.now(), Vec::new(), [0; 2000]);
    loop {
        while driver.recv_from(at, &mut buffer).is_ok() {
            found.push(since(driver, start));
        }
        if driver.now() >= start + within {
            return found;
        }
        driver.poll(Some(start + within), &mut Vec::new()).unwrap();
    }
}

#[test]
fn datagrams_are_spread_and_those_beyond_a_second_dropped() {
    for (send, receive) in [(100_000, 0), (0, 100_000)] {
        let mut driver = world(send, receive, 0, None);
        let (a, b) = (udp(&mut driver, A, PORTS[0]), udp(&mut driver, B, PORTS[1]));
        for _ in 0..300 {
            assert_eq!(driver.send_to(a, &[1; 1000], address(1)).unwrap(), 1000, "never an error");
            driver.poll(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        }
        let arrived = arrivals(&mut driver, b, Duration::from_secs(5));
        // The burst at once, a second's worth after it, the rest never.
        assert!((109..=112).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived[9] < milliseconds(2) && arrived[60] > milliseconds(450), "{arrived:?}");
        assert!(*arrived.last().unwrap() > milliseconds(900));
    }
}

#[test]
fn a_dialled_connection_has_the_topologys_round_trip_in_both_directions() {
    let mut driver = world(0, 0, 0, Some("0,30\n50,0"));
    let start = driver.now();
    let (client, accepted) = connected(&mut driver);
    assert_eq!(since(&driver, start), milliseconds(80), "request there, answer back");
    let mut buffer = [0; 100];
    for _ in 0..3 {
        let start = driver.now();
        assert_eq!(driver.send(client, b"ping").unwrap(), 4);
        let read = until(&mut driver, accepted, |driver| driver.recv(accepted, &mut buffer)).unwrap();
        assert_eq!((&buffer[..read], since(&driver, start)), (&b"ping"[..], milliseconds(30)));
        assert_eq!(driver.send(accepted, b"pong").unwrap(), 4);
        let read = until(&mut driver, client, |driver| driver.recv(client, &mut buffer)).unwrap();
        assert_eq!((&buffer[..read], since(&driver, start)), (&b"pong"[..], milliseconds(80)));
    }
    // What was sent before a close arrives, and then the end.
    let start = driver.now();
    driver.send(client, b"bye").unwrap();
    driver.close(client);
    assert!(driver.owes());
    let read = until(&mut driver, accepted, |driver| driver.recv(accepted, &mut buffer)).unwrap();
    assert_eq!((read, since(&driver, start)), (3, milliseconds(30)));
    assert_eq!(until(&mut driver, accepted, |driver| driver.recv(accepted, &mut buffer)).unwrap(), 0);
    assert_eq!(since(&driver, start), milliseconds(30));
    assert!(!driver.owes());
}

#[test]
fn a_wait_for_ever_ends_with_what_is_on_its_way() {
    let mut driver = world(0, 0, 0, Some("0,30\n50,0"));
    let (client, accepted) = connected(&mut driver);
    driver.poll(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    driver.send(accepted, b"pong").unwrap();
    let (start, mut wakes) = (driver.now(), Vec::new());
    driver.poll(None, &mut wakes).unwrap();
    let readable =
        |wake: &Wake| matches!(wake, Wake::Socket { socket, readable: true, .. } if *socket == client);
    assert!(wakes.iter().any(readable), "{wakes:?}");
    assert_eq!(since(&driver, start), milliseconds(50));
    wakes.clear();
    assert!(driver.recv(client, &mut [0; 10]).is_ok());
    driver.poll(None, &mut wakes).unwrap();
    assert!(wakes.is_empty(), "nothing is on its way any more: {wakes:?}");
}

#[test]
fn a_refusal_takes_a_round_trip() {
    let mut driver = world(0, 0, 0, Some("0,30\n50,0"));
    let client = driver.open(A, Transport::Tcp, Family::V4).unwrap();
    let start = driver.now();
    assert_eq!(driver.connect(client, address(1)).unwrap_err().kind(), ErrorKind::WouldBlock);
    driver.watch(client, Watch::Edge).unwrap();
    let refused = until(&mut driver, client, |driver| driver.connect_result(client)).unwrap_err();
    assert_eq!((refused.kind(), since(&driver, start)), (ErrorKind::ConnectionRefused, milliseconds(80)));
}

#[test]
fn a_stream_has_the_bandwidth_of_the_narrowest_link() {
    let mut driver = world(0, 0, 0, Some(&star(10, 800, 0.0)));
    let (client, accepted) = connected(&mut driver);
    for (from, to) in [(client, accepted), (accepted, client)] {
        let (took, _) = transfer(&mut driver, from, to, 500_000);
        assert!(took > milliseconds(4_950) && took < milliseconds(5_100), "{took:?}");
    }
}

#[test]
fn streams_over_lossy_ways_are_late_and_whole() {
    let mut driver = world(0, 0, 0, Some(&star(10, 8000, 0.05)));
    let (client, accepted) = connected(&mut driver);
    let (took, _) = transfer(&mut driver, client, accepted, 500_000);
    assert!(took > milliseconds(600) && took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn datagrams_are_delayed_and_lost() {
    let mut driver = world(0, 0, 0, Some(&star(10, 8000, 0.1)));
    let (a, b) = (udp(&mut driver, A, PORTS[0]), udp(&mut driver, B, PORTS[1]));
    let mut arrived = 0;
    for _ in 0..1000 {
        driver.send_to(a, &[1; 100], address(1)).unwrap();
        let found = arrivals(&mut driver, b, milliseconds(25));
        assert!(found.iter().all(|at| (milliseconds(20)..milliseconds(21)).contains(at)), "{found:?}");
        arrived += found.len();
    }
    // Two links lose a tenth each.
    assert!((765..=855).contains(&arrived), "{arrived}");
    // More than may wait for a link is dropped.
    (0..100).for_each(|_| drop(driver.send_to(a, &[1; 1000], address(1))));
    let arrived = arrivals(&mut driver, b, Duration::from_secs(1)).len();
    assert!((3..=11).contains(&arrived), "{arrived}");
}

#[test]
fn an_answer_to_a_port_of_the_systems_choice_is_delayed_where_it_arrives() {
    let mut driver = world(0, 0, 0, Some("0,30\n50,0"));
    let b = udp(&mut driver, B, PORTS[1]);
    let a = driver.open(A, Transport::Udp, Family::V4).unwrap();
    driver.watch(a, Watch::Readable).unwrap();
    let start = driver.now();
    driver.send_to(a, b"ask", address(1)).unwrap();
    assert_ne!(driver.local_address(a).unwrap().port(), 0, "known as soon as something was sent");
    let mut buffer = [0; 100];
    let (_, from) = until(&mut driver, b, |driver| driver.recv_from(b, &mut buffer)).unwrap();
    assert_eq!(since(&driver, start), milliseconds(30));
    driver.send_to(b, b"answer", from).unwrap();
    let (read, _) = until(&mut driver, a, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!((read, since(&driver, start)), (6, milliseconds(80)));
}

#[test]
fn what_an_instance_sent_before_its_end_arrives() {
    let mut driver = world(0, 0, 0, Some("0,30\n50,0"));
    let (client, accepted) = connected(&mut driver);
    let b = udp(&mut driver, B, PORTS[1] + 1);
    let a = driver.open(A, Transport::Udp, Family::V4).unwrap();
    driver.send_to(a, b"late", SocketAddr::new([127, 0, 0, 1].into(), PORTS[1] + 1)).unwrap();
    driver.send(client, b"last words").unwrap();
    driver.close_all(A);
    let mut buffer = [0; 100];
    let read = until(&mut driver, accepted, |driver| driver.recv(accepted, &mut buffer)).unwrap();
    assert_eq!(&buffer[..read], b"last words");
    assert_eq!(until(&mut driver, b, |driver| driver.recv_from(b, &mut buffer)).unwrap().0, 4);
    assert_eq!(until(&mut driver, accepted, |driver| driver.recv(accepted, &mut buffer)).unwrap(), 0);
    assert!(!driver.owes());
}
