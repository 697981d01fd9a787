//! The network model does what it says, measured from outside: through sockets of a virtual driver.

mod bandwidth;
mod faults;
mod links;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use splay_runtime::driver::{Driver, Family, Owner, SocketId, Transport};
use splay_simulator::model::{Base, Latency, ModelConfig};
use splay_simulator::{NetworkConfig, VirtualDriver};

const PORT: u16 = 5000;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ip(host: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 + host).into()
}

fn at(host: u32) -> SocketAddr {
    SocketAddr::new(ip(host), PORT)
}

/// Everyone is 20 ms from everyone.
fn plain() -> ModelConfig {
    ModelConfig::new(Base::Everyone(Latency::Constant(ms(20))))
}

/// Hosts with an address each, seed 3.
fn world(hosts: u32, model: ModelConfig) -> VirtualDriver {
    seeded(hosts, model, 3)
}

fn seeded(hosts: u32, model: ModelConfig, seed: u64) -> VirtualDriver {
    let config =
        NetworkConfig { model: Some(model), latency: Duration::from_micros(50), ..NetworkConfig::default() };
    let mut driver = VirtualDriver::new(seed, &config);
    (0..hosts).for_each(|host| driver.set_home(Owner(host), ip(host)));
    driver
}

/// Lets time pass up to a moment.
fn pass_to(driver: &mut VirtualDriver, end: Duration) {
    while driver.now() < end {
        driver.poll(Some(end), &mut Vec::new()).unwrap();
    }
}

fn pass(driver: &mut VirtualDriver, time: Duration) {
    let end = driver.now() + time;
    pass_to(driver, end);
}

fn udp(driver: &mut VirtualDriver, host: u32) -> SocketId {
    let socket = driver.open(Owner(host), Transport::Udp, Family::V4).unwrap();
    driver.bind(socket, at(host)).unwrap();
    driver.watch(socket, splay_runtime::driver::Watch::Readable).unwrap();
    socket
}

/// Sends `count` numbered datagrams of `bytes` from host 0 to host 1, one every `gap`; gives for each
/// arrival its number, when it was sent and when it arrived.
fn stream_of_datagrams(
    driver: &mut VirtualDriver,
    count: u32,
    bytes: usize,
    gap: Duration,
) -> Vec<(u32, Duration, Duration)> {
    let (from, to) = (udp(driver, 0), udp(driver, 1));
    let (mut arrivals, mut sent_at) = (Vec::new(), BTreeMap::new());
    let start = driver.now();
    let mut buffer = vec![0; 65_536];
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 2 {
        let due = start + gap * sent;
        if sent < count && driver.now() >= due {
            let mut payload = vec![0; bytes.max(4)];
            payload[..4].copy_from_slice(&sent.to_be_bytes());
            driver.send_to(from, &payload, at(1)).unwrap();
            sent_at.insert(sent, driver.now());
            sent += 1;
            continue;
        }
        let until = if sent < count { start + gap * sent } else { driver.now() + Duration::from_secs(10) };
        let before = driver.now();
        let mut wakes = Vec::new();
        driver.poll(Some(until), &mut wakes).unwrap();
        while let Ok((_, _)) = driver.recv_from(to, &mut buffer) {
            let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            arrivals.push((number, sent_at[&number], driver.now()));
        }
        quiet = if sent == count && wakes.is_empty() && driver.now() - before >= ms(9_000) {
            quiet + 1
        } else {
            0
        };
    }
    driver.close(from);
    driver.close(to);
    arrivals
}

/// Delays in milliseconds: mean and deviation.
fn spread(arrivals: &[(u32, Duration, Duration)]) -> (f64, f64) {
    let delays: Vec<f64> = arrivals.iter().map(|(_, sent, got)| (*got - *sent).as_secs_f64() * 1e3).collect();
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    let variance = delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / delays.len() as f64;
    (mean, variance.sqrt())
}

fn listener(driver: &mut VirtualDriver, host: u32) -> SocketId {
    let socket = driver.open(Owner(host), Transport::Tcp, Family::V4).unwrap();
    driver.bind(socket, at(host)).unwrap();
    driver.listen(socket, 16).unwrap();
    socket
}

/// Asks for a connection.
fn dial(driver: &mut VirtualDriver, host: u32, to: u32) -> SocketId {
    let socket = driver.open(Owner(host), Transport::Tcp, Family::V4).unwrap();
    driver.watch(socket, splay_runtime::driver::Watch::Edge).unwrap();
    assert_eq!(code(driver.connect(socket, at(to))), libc::EAGAIN);
    socket
}

/// How asking ends, and after what time.
fn outcome(driver: &mut VirtualDriver, socket: SocketId) -> (io::Result<()>, Duration) {
    let start = driver.now();
    loop {
        match driver.connect_result(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(driver.now() - start < Duration::from_secs(3600), "asks for ever");
                let end = driver.now() + ms(100);
                driver.poll(Some(end), &mut Vec::new()).unwrap();
            }
            result => return (result, driver.now() - start),
        }
    }
}

/// A connection from host 0 to host 1: its two ends.
fn pair(driver: &mut VirtualDriver) -> (SocketId, SocketId) {
    let server = listener(driver, 1);
    let client = dial(driver, 0, 1);
    outcome(driver, client).0.unwrap();
    let (accepted, _) = driver.accept(server).unwrap();
    driver.close(server);
    (client, accepted)
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().expect("errors carry the system's code")
}

/// Reads whatever comes until `count` bytes are there; gives when each byte count was reached.
fn receive(
    driver: &mut VirtualDriver,
    socket: SocketId,
    count: usize,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let end = driver.now() + patience;
    let (mut got, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while got.len() < count {
        match driver.recv(socket, &mut buffer) {
            Ok(0) => break,
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(driver.now() < end, "{} of {count} bytes came", got.len());
                driver.watch(socket, splay_runtime::driver::Watch::Readable)?;
                driver.poll(Some(end), &mut Vec::new())?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
