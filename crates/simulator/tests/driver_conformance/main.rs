//! What every driver promises, checked on the machine's sockets, on the same behind rates and an
//! emulated network, and on simulated ones.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::Node;
use splay_protocol::topology::Topology;
use splay_runtime::driver::{
    Driver, Family, OptionName, Owner, Query, Resolved, SocketId, SocketOption, Tenant, Transport, Wake,
    Watch,
};
use splay_runtime::real::{RealDriver, UNKNOWN_HOST};
use splay_runtime::shaped::{Emulation, ShapedDriver, Traffic};

const ME: Owner = Owner(7);

/// Long enough for anything on loopback; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(5);

/// Long enough for a packet to arrive in both worlds.
const MOMENT: Duration = Duration::from_millis(30);

/// Makes three tests of every function named: on the machine's sockets, on shaped and on simulated
/// ones.
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {
        mod real {
            $(#[test] fn $name() { super::$name(&mut crate::RealDriver::new().unwrap()) })*
        }
        mod shaped {
            $(#[test] fn $name() { super::$name(&mut crate::shaped()) })*
        }
        mod simulated {
            $(#[test] fn $name() {
                let config = splay_simulator::NetworkConfig::default();
                super::$name(&mut splay_simulator::VirtualDriver::new(1, &config))
            })*
        }
    };
}

/// The machine's sockets behind rates that nothing here reaches, and a network on which this
/// owner is a millisecond away from whatever address it uses.
fn shaped() -> ShapedDriver {
    let topology = Arc::new(Topology::parse("0,1\n1,0").unwrap());
    // The second node's ports are all but the last one.
    let nodes = [65_535, 1].map(|port| Node { ip: "192.0.2.1".into(), port });
    let net = Emulation::new(topology, &nodes, 65_534, vec![0, 1], 1);
    let traffic = Arc::new(Traffic::new(1 << 40, 1 << 40, Some(net)));
    let mut driver = ShapedDriver::new(Box::new(RealDriver::new().unwrap()), traffic);
    driver.admit(ME, &Tenant { position: 1, ..Tenant::default() });
    driver
}

mod addresses;
mod datagrams;
mod random;
mod streams;
mod waiting;

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

/// Readiness reports of one socket among wakes.
fn reports(wakes: &[Wake], of: SocketId) -> Vec<(bool, bool)> {
    let report = |wake: &Wake| match wake {
        Wake::Socket { socket, readable, writable, .. } if *socket == of => Some((*readable, *writable)),
        _ => None,
    };
    wakes.iter().filter_map(report).collect()
}
