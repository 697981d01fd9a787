//! Every fault does what it says, to those it names and to no others, until it is lifted.

use splay_protocol::faults::{Between, Manner, Nodes};
use splay_runtime::driver::{Query, Wake};
use splay_simulator::model::Fault;

use super::*;

fn zero_to_one() -> Between<Nodes> {
    Between::one_way(Nodes::these([1]), Nodes::these([2]))
}

/// Whether a datagram passes now, and in what time.
fn probe(driver: &mut VirtualDriver, from: u32, to: u32) -> Option<Duration> {
    let (here, there) = (udp(driver, from), udp(driver, to));
    let start = driver.now();
    driver.send_to(here, b"x", at(to)).unwrap();
    let mut found = None;
    while found.is_none() && driver.now() < start + ms(500) {
        driver.poll(Some(start + ms(500)), &mut Vec::new()).unwrap();
        found = driver.recv_from(there, &mut [0; 4]).is_ok().then(|| driver.now() - start);
    }
    driver.close(here);
    driver.close(there);
    found
}

/// Whether there is a way from each of three to each other.
fn ways(driver: &mut VirtualDriver) -> Vec<bool> {
    let pairs = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
    pairs.iter().map(|&(from, to)| probe(driver, from, to).is_some()).collect()
}

fn apply(driver: &mut VirtualDriver, fault: Fault) -> splay_simulator::model::FaultId {
    driver.network_mut().apply(fault).unwrap()
}

#[test]
fn partitions_cut_groups_from_each_other() {
    let mut driver = world(3, plain());
    let id = apply(&mut driver, Fault::Partition(vec![Nodes::these([1, 3]), Nodes::these([2])]));
    assert_eq!(ways(&mut driver), [false, false, true, true, false, false]);
    driver.network_mut().lift(id);
    assert_eq!(ways(&mut driver), [true; 6]);
    // Those that are named in no group are one.
    apply(&mut driver, Fault::Partition(vec![Nodes::these([3])]));
    assert_eq!(ways(&mut driver), [true, true, false, false, false, false]);
}

#[test]
fn black_holes_may_be_one_way() {
    let mut driver = world(3, plain());
    let id = apply(&mut driver, Fault::Drop(zero_to_one()));
    assert_eq!(ways(&mut driver), [false, true, true, true, true, true]);
    driver.network_mut().lift(id);
    apply(&mut driver, Fault::Drop(Between::both_ways(Nodes::these([2]), Nodes::All)));
    assert_eq!(ways(&mut driver), [false, false, true, true, false, false]);
}

#[test]
fn loss_adds_to_loss() {
    // 1 - 0.9 * 0.95 = 14.5 %
    let mut driver = world(2, ModelConfig { loss: 0.1, ..plain() });
    apply(&mut driver, Fault::Loss(zero_to_one(), 0.05));
    let arrived = stream_of_datagrams(&mut driver, 50_000, 4, Duration::from_micros(100)).len();
    let lost = 1.0 - arrived as f64 / 50_000.0;
    assert!((lost - 0.145).abs() < 0.004, "{lost}");
}

#[test]
fn delay_jitter_copies_and_order() {
    let mut driver = world(2, plain());
    let delayed = apply(&mut driver, Fault::Delay(zero_to_one(), ms(10), ms(30)));
    let (mean, deviation) = spread(&stream_of_datagrams(&mut driver, 10_000, 4, ms(1)));
    assert!((mean - 40.0).abs() < 0.3 && (deviation - 5.77).abs() < 0.2, "{mean} {deviation}");
    driver.network_mut().lift(delayed);
    let varied = apply(&mut driver, Fault::Jitter(zero_to_one(), ms(4)));
    let (mean, deviation) = spread(&stream_of_datagrams(&mut driver, 10_000, 4, ms(1)));
    assert!((mean - 20.0).abs() < 0.2 && (deviation - 4.0).abs() < 0.2, "{mean} {deviation}");
    driver.network_mut().lift(varied);
    let doubled = apply(&mut driver, Fault::Duplicate(zero_to_one(), 0.2));
    let arrived = stream_of_datagrams(&mut driver, 10_000, 4, ms(1)).len();
    assert!((11_800..12_200).contains(&arrived), "{arrived}");
    driver.network_mut().lift(doubled);
    apply(&mut driver, Fault::Reorder(zero_to_one(), 0.25, ms(7)));
    let late = stream_of_datagrams(&mut driver, 10_000, 4, ms(1));
    let late = late.iter().filter(|(_, sent, got)| *got - *sent >= ms(27)).count();
    assert!((2_300..2_700).contains(&late), "{late}");
    assert_eq!(probe(&mut driver, 1, 0), Some(ms(20)), "the way back is as it was");
}

#[test]
fn bandwidth_narrows_and_widens_what_is_under_way() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    let id = apply(&mut driver, Fault::Bandwidth(zero_to_one(), 800_000));
    let start = driver.now();
    assert_eq!(driver.send(client, &[1; 100_000]).unwrap(), 100_000);
    // 100 kB at 100 kB/s, and the delay.
    receive(&mut driver, server, 100_000, ms(5_000)).unwrap();
    let taken = (driver.now() - start).as_secs_f64();
    assert!((taken - 1.02).abs() < 0.01, "{taken}");
    let start = driver.now();
    driver.send(client, &[1; 100_000]).unwrap();
    pass(&mut driver, ms(500));
    driver.network_mut().lift(id);
    receive(&mut driver, server, 100_000, ms(5_000)).unwrap();
    assert_eq!(driver.now() - start, ms(520), "the rest at once");
}

#[test]
fn refused_flooded_and_recovered() {
    let mut driver = world(2, plain());
    listener(&mut driver, 1);
    let id = apply(&mut driver, Fault::Refuse(zero_to_one()));
    let client = dial(&mut driver, 0, 1);
    let (result, taken) = outcome(&mut driver, client);
    assert_eq!((code(result), taken), (libc::ECONNREFUSED, ms(40)));
    driver.network_mut().lift(id);
    let id = apply(&mut driver, Fault::FullBacklog(Nodes::these([2])));
    let client = dial(&mut driver, 0, 1);
    pass(&mut driver, ms(500));
    driver.network_mut().lift(id);
    let start = driver.now();
    let (result, _) = outcome(&mut driver, client);
    result.unwrap();
    // Asked again a second after the request was dropped.
    assert_eq!(driver.now() - start, ms(560));
}

#[test]
fn connections_are_reset_at_both_ends() {
    let mut driver = world(3, plain());
    let (client, server) = pair(&mut driver);
    apply(&mut driver, Fault::Reset(Between::both_ways(Nodes::these([1]), Nodes::these([3]))));
    assert_eq!(code(driver.recv(client, &mut [0; 4])), libc::EAGAIN, "another pair");
    apply(&mut driver, Fault::Reset(zero_to_one()));
    for end in [client, server] {
        assert_eq!(code(driver.recv(end, &mut [0; 4])), libc::ECONNRESET);
        assert_eq!(code(driver.send(end, b"x")), libc::EPIPE);
    }
    assert_eq!(ways(&mut driver), [true; 6], "once, not from now on");
}

/// Asks for `localhost`: whether it is known, and after what time.
fn ask(driver: &mut VirtualDriver, owner: u32) -> (bool, Duration) {
    driver.resolve(Owner(owner), 1, Query::Addresses("localhost".into()));
    let start = driver.now();
    let mut wakes = Vec::new();
    while wakes.is_empty() {
        driver.poll(None, &mut wakes).unwrap();
    }
    let Wake::Resolved { answer, .. } = &wakes[0] else { panic!("{wakes:?}") };
    (answer.is_ok(), driver.now() - start)
}

#[test]
fn names_are_slow_or_unknown() {
    let mut driver = world(2, plain());
    let slow = apply(&mut driver, Fault::SlowNames(Nodes::these([1]), ms(3_000)));
    assert_eq!(ask(&mut driver, 0), (true, ms(3_001)));
    assert_eq!(ask(&mut driver, 1), (true, ms(1)));
    driver.network_mut().lift(slow);
    let unknown = apply(&mut driver, Fault::NoNames(Nodes::All));
    assert_eq!(ask(&mut driver, 0), (false, ms(1)));
    driver.network_mut().lift(unknown);
    assert_eq!(ask(&mut driver, 0), (true, ms(1)));
}

#[test]
fn packets_wait_for_a_paused_node() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    let (from, to) = (udp(&mut driver, 0), udp(&mut driver, 1));
    let id = apply(&mut driver, Fault::Pause(Nodes::these([2])));
    for n in 0..3u8 {
        driver.send_to(from, &[n], at(1)).unwrap();
        driver.send(client, &[n]).unwrap();
    }
    // What it sends itself waits too.
    driver.send(server, b"out").unwrap();
    pass(&mut driver, ms(5_000));
    let mut buffer = [0; 8];
    assert_eq!(code(driver.recv_from(to, &mut buffer)), libc::EAGAIN);
    assert_eq!(code(driver.recv(server, &mut buffer)), libc::EAGAIN);
    driver.network_mut().lift(id);
    pass(&mut driver, Duration::from_micros(10));
    for n in 0..3u8 {
        assert_eq!(driver.recv_from(to, &mut buffer).unwrap().0, 1);
        assert_eq!(buffer[0], n, "all of them, in order");
    }
    assert_eq!(driver.recv(server, &mut buffer).unwrap(), 3);
    assert_eq!(receive(&mut driver, client, 3, ms(30)).unwrap(), b"out");
}

#[test]
fn a_crash_resets_or_says_nothing() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    apply(&mut driver, Fault::Crash { nodes: Nodes::these([2]), manner: Manner::Killed, keeps_files: true });
    assert_eq!(code(driver.send(server, b"x")), libc::EBADF, "its sockets are gone");
    pass(&mut driver, ms(30));
    assert_eq!(code(driver.recv(client, &mut [0; 4])), libc::ECONNRESET);
    let refused = dial(&mut driver, 0, 1);
    assert_eq!(code(outcome(&mut driver, refused).0), libc::ECONNREFUSED, "the machine is there");

    let mut driver = world(2, plain());
    let (client, _) = pair(&mut driver);
    let off = apply(
        &mut driver,
        Fault::Crash { nodes: Nodes::these([2]), manner: Manner::Silently, keeps_files: true },
    );
    driver.send(client, b"hello?").unwrap();
    let unanswered = dial(&mut driver, 0, 1);
    pass(&mut driver, ms(10_000));
    assert_eq!(code(driver.recv(client, &mut [0; 4])), libc::EAGAIN);
    assert_eq!(code(driver.connect_result(unanswered)), libc::EAGAIN);
    // The machine is on again, and knows nothing of the connection.
    driver.network_mut().lift(off);
    pass(&mut driver, ms(10_000));
    assert_eq!(code(driver.recv(client, &mut [0; 4])), libc::ECONNRESET);
}

#[test]
fn datagrams_are_corrupted_at_the_rate_asked_for() {
    let mut driver = world(2, plain());
    apply(&mut driver, Fault::Corrupt(zero_to_one(), 0.05));
    let (from, to) = (udp(&mut driver, 0), udp(&mut driver, 1));
    let mut changed = 0;
    for _ in 0..20_000 {
        driver.send_to(from, &[7; 16], at(1)).unwrap();
        pass(&mut driver, ms(21));
        let mut buffer = [0; 32];
        assert_eq!(driver.recv_from(to, &mut buffer).unwrap().0, 16, "it arrives all the same");
        let differ = buffer[..16].iter().filter(|&&byte| byte != 7).count();
        assert!(differ <= 1);
        changed += differ;
    }
    let share = changed as f64 / 20_000.0;
    assert!((share - 0.05).abs() < 0.005, "{share}");
}

#[test]
fn no_more_sockets() {
    let mut driver = world(2, plain());
    let id = apply(&mut driver, Fault::NoSockets(Nodes::these([1])));
    let mut open = |owner| driver.open(Owner(owner), Transport::Tcp, Family::V4);
    assert_eq!(code(open(0)), libc::EMFILE);
    open(1).unwrap();
    driver.network_mut().lift(id);
    driver.open(Owner(0), Transport::Tcp, Family::V4).unwrap();
}

#[test]
fn faults_that_cannot_be_are_told() {
    let mut driver = world(2, plain());
    let told = |fault| driver.network_mut().apply(fault).unwrap_err().to_string();
    let cases = [
        (Fault::Loss(Between::all(), 1.5), "loss: the share 1.5 is not from 0 to 1"),
        (Fault::Duplicate(Between::all(), f64::NAN), "duplicate: the share NaN is not from 0 to 1"),
        (Fault::Bandwidth(Between::all(), 0), "bandwidth: must be more than 0 bits per second"),
        (
            Fault::Partition(vec![Nodes::these([5]), Nodes::these([5])]),
            "node 5 is on two sides of this partition",
        ),
    ];
    let mut told = told;
    for (fault, text) in cases {
        assert_eq!(told(fault), text);
    }
}
