//! Random scripts of socket calls end the same on the machine's sockets and on simulated ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::RngSeed;
use splay_runtime::real::RealDriver;
use splay_simulator::{NetworkConfig, VirtualDriver};

use super::*;

/// One call. Numbers choose among the sockets there are.
#[derive(Debug, Clone)]
enum Call {
    Open(Transport),
    Bind(usize),
    /// Binds to the port of another.
    BindLike(usize, usize),
    ReuseAddress(usize),
    Listen(usize, u32),
    /// To the address that another is bound to.
    Connect(usize, usize),
    ConnectResult(usize),
    Accept(usize),
    Send(usize, usize),
    Recv(usize, usize),
    SendTo(usize, usize, usize),
    RecvFrom(usize, usize),
    Shutdown(usize, u8),
    LingerZero(usize),
    Close(usize),
    LocalAddress(usize),
    PeerAddress(usize),
    PendingError(usize),
    Ready(usize),
    /// What most scripts need to come to something: a connection.
    Pair,
}

fn call() -> impl Strategy<Value = Call> {
    let slot = || 0usize..12;
    let size = || prop_oneof![Just(0usize), 1usize..40, 1_000usize..3_000];
    prop_oneof![
        2 => prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)].prop_map(Call::Open),
        3 => Just(Call::Pair),
        2 => slot().prop_map(Call::Bind),
        1 => (slot(), slot()).prop_map(|(a, b)| Call::BindLike(a, b)),
        1 => slot().prop_map(Call::ReuseAddress),
        2 => (slot(), 0u32..5).prop_map(|(a, backlog)| Call::Listen(a, backlog)),
        3 => (slot(), slot()).prop_map(|(a, b)| Call::Connect(a, b)),
        2 => slot().prop_map(Call::ConnectResult),
        2 => slot().prop_map(Call::Accept),
        5 => (slot(), size()).prop_map(|(a, size)| Call::Send(a, size)),
        5 => (slot(), size()).prop_map(|(a, size)| Call::Recv(a, size)),
        3 => (slot(), slot(), prop_oneof![4 => size(), 1 => Just(65_507), 1 => Just(65_508)])
            .prop_map(|(a, b, size)| Call::SendTo(a, b, size)),
        3 => (slot(), size()).prop_map(|(a, size)| Call::RecvFrom(a, size)),
        2 => (slot(), 0u8..3).prop_map(|(a, how)| Call::Shutdown(a, how)),
        1 => slot().prop_map(Call::LingerZero),
        2 => slot().prop_map(Call::Close),
        1 => slot().prop_map(Call::LocalAddress),
        1 => slot().prop_map(Call::PeerAddress),
        1 => slot().prop_map(Call::PendingError),
        1 => slot().prop_map(Call::Ready),
    ]
}

/// A run of a script: the sockets it has opened, and names for the ports it has seen.
struct Run<'a> {
    driver: &'a mut dyn Driver,
    sockets: Vec<SocketId>,
    datagrams: BTreeSet<SocketId>,
    /// Streams that have listened, asked for a connection or had one. What Linux makes of one
    /// that is then bound or connected anew is not what the simulator promises.
    used: BTreeSet<SocketId>,
    asked: BTreeSet<SocketId>,
    ports: BTreeMap<u16, usize>,
    sent: u8,
    /// Long enough for loopback.
    settling: Duration,
}

impl Run<'_> {
    fn socket(&self, number: usize) -> Option<SocketId> {
        (!self.sockets.is_empty()).then(|| self.sockets[number % self.sockets.len()])
    }

    /// The local address; of a stream that has asked for a connection Linux goes on telling the
    /// last one after it failed, which the simulator does not.
    fn own_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        match self.asked.contains(&socket) {
            true => Err(io::Error::other("asked")),
            false => self.driver.local_address(socket),
        }
    }

    /// Ports differ from run to run; the order in which they are first seen does not.
    fn named(&mut self, address: SocketAddr) -> String {
        let next = self.ports.len();
        let port = match address.port() {
            0 => "none".to_owned(),
            port => format!("#{}", self.ports.entry(port).or_insert(next)),
        };
        format!("{}:{port}", address.ip())
    }

    fn payload(&mut self, size: usize) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1);
        vec![self.sent; size]
    }

    /// Lets everything under way arrive.
    fn settle(&mut self) {
        let end = self.driver.now() + self.settling;
        while self.driver.now() < end {
            self.driver.poll(Some(end), &mut Vec::new()).unwrap();
        }
    }

    fn step(&mut self, call: &Call) -> String {
        let told = self.perform(call).unwrap_or_else(|| "no socket".to_owned());
        self.settle();
        told
    }

    fn perform(&mut self, call: &Call) -> Option<String> {
        let done =
            |result: io::Result<()>| result.map_or_else(|error| failure(&error), |()| "done".to_owned());
        let address = |run: &mut Self, result: io::Result<SocketAddr>| match result {
            Ok(address) => run.named(address),
            Err(error) => failure(&error),
        };
        if let Call::Bind(a) | Call::BindLike(a, _) | Call::Listen(a, _) | Call::Connect(a, _) = *call {
            let socket = self.socket(a)?;
            if self.used.contains(&socket) {
                return Some("used before".to_owned());
            }
            let stays =
                matches!(call, Call::Bind(_) | Call::BindLike(..)) || self.datagrams.contains(&socket);
            if !stays {
                self.used.insert(socket);
                if matches!(call, Call::Connect(..)) {
                    self.asked.insert(socket);
                }
            }
        }
        Some(match *call {
            Call::Open(transport) => {
                let opened = self.driver.open(ME, transport, Family::V4).unwrap();
                self.sockets.push(opened);
                if transport == Transport::Udp {
                    self.datagrams.insert(opened);
                }
                "opened".to_owned()
            }
            Call::Pair => {
                let (server, address) = listener(self.driver, any(), 3);
                let client = connect(self.driver, address).unwrap();
                let (accepted, _) = retry(self.driver, |driver| driver.accept(server)).unwrap();
                self.sockets.extend([server, client, accepted]);
                self.used.extend([server, client, accepted]);
                "a pair".to_owned()
            }
            Call::Bind(a) => done(self.driver.bind(self.socket(a)?, any())),
            Call::BindLike(a, b) => {
                let like = self.own_address(self.socket(b)?);
                match like {
                    Ok(like) if like.port() != 0 => done(self.driver.bind(self.socket(a)?, like)),
                    Ok(_) => "not bound".to_owned(),
                    Err(error) => failure(&error),
                }
            }
            Call::ReuseAddress(a) => {
                done(self.driver.set_option(self.socket(a)?, &SocketOption::ReuseAddr(true)))
            }
            Call::LingerZero(a) => {
                done(self.driver.set_option(self.socket(a)?, &SocketOption::Linger(Some(0))))
            }
            Call::Listen(a, backlog) => done(self.driver.listen(self.socket(a)?, backlog)),
            // Linux lets a stream connect to itself, which the simulator does not.
            Call::Connect(a, b) if self.socket(a) == self.socket(b) => "itself".to_owned(),
            Call::Connect(a, b) => {
                let to = self.own_address(self.socket(b)?);
                match to {
                    Ok(to) if to.port() != 0 => done(self.driver.connect(self.socket(a)?, to)),
                    Ok(_) => "not bound".to_owned(),
                    Err(error) => failure(&error),
                }
            }
            Call::ConnectResult(a) => done(self.driver.connect_result(self.socket(a)?)),
            Call::Accept(a) => match self.driver.accept(self.socket(a)?) {
                Ok((accepted, peer)) => {
                    self.sockets.push(accepted);
                    self.used.insert(accepted);
                    self.named(peer)
                }
                Err(error) => failure(&error),
            },
            Call::Send(a, size) => {
                let payload = self.payload(size);
                count(self.driver.send(self.socket(a)?, &payload))
            }
            Call::Recv(a, size) => {
                let mut buffer = vec![0; size];
                let got = self.driver.recv(self.socket(a)?, &mut buffer);
                format!("{} {:?}", count(got), summary(&buffer))
            }
            Call::SendTo(a, b, size) => {
                let (from, to) = (self.socket(a)?, self.own_address(self.socket(b)?));
                let payload = self.payload(size);
                match to {
                    Ok(to) if to.port() != 0 => count(self.driver.send_to(from, &payload, to)),
                    Ok(_) => "not bound".to_owned(),
                    Err(error) => failure(&error),
                }
            }
            Call::RecvFrom(a, size) => {
                let mut buffer = vec![0; size];
                match self.driver.recv_from(self.socket(a)?, &mut buffer) {
                    Ok((got, from)) => format!("{got} {:?} {}", summary(&buffer), self.named(from)),
                    Err(error) => failure(&error),
                }
            }
            Call::Shutdown(a, how) => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(how)];
                match self.socket(a)? {
                    // The driver promises it of streams alone.
                    socket if self.datagrams.contains(&socket) => "datagrams".to_owned(),
                    // It fails, and Linux still remembers it for the time after.
                    socket if !self.used.contains(&socket) => "no connection".to_owned(),
                    socket => done(self.driver.shutdown(socket, how)),
                }
            }
            Call::Close(a) => {
                let socket = self.socket(a)?;
                self.driver.close(socket);
                self.sockets.retain(|kept| *kept != socket);
                self.datagrams.remove(&socket);
                self.used.remove(&socket);
                self.asked.remove(&socket);
                "closed".to_owned()
            }
            Call::LocalAddress(a) => {
                let found = self.own_address(self.socket(a)?);
                address(self, found)
            }
            Call::PeerAddress(a) => {
                let found = self.driver.peer_address(self.socket(a)?);
                address(self, found)
            }
            Call::PendingError(a) => {
                let found = self.driver.option(self.socket(a)?, OptionName::Error);
                found.map_or_else(|error| failure(&error), |_| "none".to_owned())
            }
            Call::Ready(a) => {
                format!("{:?}", self.driver.readiness(self.socket(a)?).map_err(|error| failure(&error)))
            }
        })
    }
}

fn failure(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock => "would block".to_owned(),
        _ => error.to_string(),
    }
}

fn count(result: io::Result<usize>) -> String {
    result.map_or_else(|error| failure(&error), |count| count.to_string())
}

/// Runs of equal bytes.
fn summary(bytes: &[u8]) -> Vec<(u8, usize)> {
    bytes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}

fn outcomes(driver: &mut dyn Driver, settling: Duration, script: &[Call]) -> Vec<String> {
    let mut run = Run {
        driver,
        sockets: Vec::new(),
        datagrams: BTreeSet::new(),
        used: BTreeSet::new(),
        asked: BTreeSet::new(),
        ports: BTreeMap::new(),
        sent: 0,
        settling,
    };
    script.iter().map(|call| run.step(call)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2_000, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn scripts_end_the_same(script in prop::collection::vec(call(), 1..30)) {
        let real = outcomes(&mut RealDriver::new().unwrap(), Duration::from_millis(1), &script);
        let mut simulated = VirtualDriver::new(1, &NetworkConfig::default());
        let simulated = outcomes(&mut simulated, MOMENT, &script);
        for (number, call) in script.iter().enumerate() {
            prop_assert_eq!(&real[number], &simulated[number], "call {}, {:?}, real before simulated", number, call);
        }
    }
}
