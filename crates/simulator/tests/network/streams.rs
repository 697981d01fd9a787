//! Streams over links that lose, cut and delay.

use splay_protocol::faults::{Between, Nodes};
use splay_simulator::model::Fault;

use super::*;

#[test]
fn a_connection_takes_a_round_trip() {
    let mut driver = world(2, plain());
    listener(&mut driver, 1);
    let client = dial(&mut driver, 0, 1);
    let (result, taken) = outcome(&mut driver, client);
    result.unwrap();
    assert_eq!(taken, ms(40));
}

#[test]
fn lost_requests_are_repeated_after_seconds() {
    // A request, or its answer, is lost with p = 1 - 0.7^2 = 0.51. The first repetition comes after
    // 1 s, the second 2 s after it, and so on: connected at once with probability 0.49, within
    // 1.04 s with 1 - 0.51^2 = 0.74.
    let mut driver = world(2, ModelConfig { loss: 0.3, ..plain() });
    let server = listener(&mut driver, 1);
    let (mut at_once, mut soon) = (0, 0);
    for _ in 0..400 {
        let client = dial(&mut driver, 0, 1);
        let (result, taken) = outcome(&mut driver, client);
        at_once += i32::from(result.is_ok() && taken <= ms(100));
        soon += i32::from(result.is_ok() && taken <= ms(1_100));
        driver.close(client);
        pass(&mut driver, ms(2_000));
        while let Ok((accepted, _)) = driver.accept(server) {
            driver.close(accepted);
        }
    }
    assert!((f64::from(at_once) / 400.0 - 0.49).abs() < 0.08, "{at_once}");
    assert!((f64::from(soon) / 400.0 - 0.74).abs() < 0.08, "{soon}");
}

#[test]
fn a_lost_segment_comes_after_the_timeout() {
    // Alone on its way, a lost segment is repeated after 200 ms above the round trip of 40, then
    // 480 later, and so on; it arrives 20 ms after it was sent. Delays are 20 ms with probability
    // 0.8, 260 with 0.16, 740 with 0.032 ...
    let mut driver = world(2, ModelConfig { loss: 0.2, ..plain() });
    let (client, server) = pair(&mut driver);
    let mut counts = BTreeMap::new();
    let count = 3_000;
    for _ in 0..count {
        let start = driver.now();
        driver.send(client, b"x").unwrap();
        receive(&mut driver, server, 1, Duration::from_secs(1000)).unwrap();
        *counts.entry((driver.now() - start).as_millis()).or_insert(0) += 1;
    }
    for (delay, share) in [(20, 0.8), (260, 0.16), (740, 0.032)] {
        let measured = f64::from(*counts.get(&delay).unwrap_or(&0)) / f64::from(count);
        assert!((measured - share).abs() < 0.02, "{delay} ms: {measured} of {share}; {counts:?}");
    }
    assert!(counts.keys().all(|delay| [20, 260, 740, 1700, 3620, 7460, 15140].contains(delay)), "{counts:?}");
}

#[test]
fn evidence_brings_a_repetition_after_a_round_trip() {
    // Of 20 segments some is lost with three behind it that are not: it is known lost after a round
    // trip, and all is there after one and a half: never as late as the timeout.
    let mut driver = world(2, ModelConfig { loss: 0.02, ..plain() });
    let (client, server) = pair(&mut driver);
    let data: Vec<u8> = (0..29_200).map(|n| n as u8).collect();
    let mut delays = BTreeMap::new();
    for _ in 0..200 {
        let start = driver.now();
        assert_eq!(driver.send(client, &data).unwrap(), data.len());
        let got = receive(&mut driver, server, data.len(), Duration::from_secs(1000)).unwrap();
        assert!(got == data, "in order, whole, once");
        *delays.entry((driver.now() - start).as_millis()).or_insert(0) += 1;
    }
    // 0.98^20 = 0.67 lose none; nearly all others are repaired after 20 + 40 ms.
    let share = |delay| f64::from(*delays.get(&delay).unwrap_or(&0)) / 200.0;
    assert!((share(20) - 0.67).abs() < 0.1, "{delays:?}");
    assert!(share(60) > 0.17, "{delays:?}");
}

#[test]
fn streams_stay_in_order_under_everything() {
    let model = ModelConfig {
        jitter: ms(15),
        loss: 0.1,
        duplicate: 0.1,
        reorder: (0.1, ms(50)),
        bandwidth_bps: Some(2_000_000),
        ..plain()
    };
    let mut driver = world(2, model);
    let (client, server) = pair(&mut driver);
    let data: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    let mut buffer = vec![0; 7_001];
    let mut closed = false;
    loop {
        while sent < data.len() {
            match driver.send(client, &data[sent..(sent + 30_011).min(data.len())]) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        if sent == data.len() && !std::mem::replace(&mut closed, true) {
            // What was sent still arrives, and then the end.
            driver.close(client);
        }
        match driver.recv(server, &mut buffer) {
            Ok(0) => break,
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(_) => pass(&mut driver, ms(5)),
        }
        assert!(driver.now() < Duration::from_secs(3600), "{} of {}", got.len(), data.len());
    }
    assert!(got == data);
}

#[test]
fn a_partition_delays_what_is_sent_in_it() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    let cut = driver.network_mut().apply(Fault::Drop(Between::all())).unwrap();
    driver.send(client, b"held").unwrap();
    let start = driver.now();
    pass(&mut driver, ms(3_000));
    assert_eq!(code(driver.recv(server, &mut [0; 8])), libc::EAGAIN);
    driver.network_mut().lift(cut);
    assert_eq!(receive(&mut driver, server, 4, Duration::from_secs(60)).unwrap(), b"held");
    // Repetitions after 240, 720, 1680, 3600 ms: the last one finds the way open.
    assert_eq!(driver.now() - start, ms(3_620));
}

#[test]
fn a_connection_is_given_up_after_the_limit() {
    let mut driver = world(2, ModelConfig { give_up: Duration::from_secs(30), ..plain() });
    let (client, server) = pair(&mut driver);
    driver.network_mut().apply(Fault::Drop(Between::all())).unwrap();
    driver.send(client, b"never").unwrap();
    let start = driver.now();
    let mut buffer = [0; 8];
    let error = loop {
        match driver.recv(client, &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pass(&mut driver, ms(100)),
            other => break other,
        }
    };
    assert_eq!(code(error), libc::ETIMEDOUT);
    let taken = driver.now() - start;
    assert!(taken >= Duration::from_secs(30) && taken <= ms(30_200), "{taken:?}");
    assert_eq!(code(driver.send(client, b"x")), libc::EPIPE);
    assert_eq!(code(driver.recv(server, &mut buffer)), libc::EAGAIN, "the other end knows nothing");
}

#[test]
fn a_partition_that_is_shorter_than_the_limit_breaks_nothing() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    let cut = driver.network_mut().apply(Fault::Partition(vec![Nodes::these([1])])).unwrap();
    driver.send(client, b"late").unwrap();
    driver.close(client);
    pass(&mut driver, Duration::from_secs(600));
    driver.network_mut().lift(cut);
    assert_eq!(
        receive(&mut driver, server, 5, Duration::from_secs(200)).unwrap(),
        b"late",
        "and then the end"
    );
    assert_eq!(driver.recv(server, &mut [0; 8]).unwrap(), 0);
}

#[test]
fn connecting_across_a_partition_times_out_after_127_seconds() {
    let mut driver = world(3, plain());
    listener(&mut driver, 1);
    driver.network_mut().apply(Fault::Partition(vec![Nodes::these([1, 3]), Nodes::these([2])])).unwrap();
    let client = dial(&mut driver, 0, 1);
    let (result, taken) = outcome(&mut driver, client);
    assert_eq!((code(result), taken.as_secs()), (libc::ETIMEDOUT, 127));
}

#[test]
fn data_for_an_end_that_is_gone_is_refuted_only_if_that_can_be_heard() {
    let mut driver = world(2, plain());
    let (client, server) = pair(&mut driver);
    // The reset of the closing end is lost; the one that answers the data is not.
    let to_zero = Between::one_way(Nodes::these([2]), Nodes::these([1]));
    let cut = driver.network_mut().apply(Fault::Drop(to_zero)).unwrap();
    driver.set_option(server, &splay_runtime::driver::SocketOption::Linger(Some(0))).unwrap();
    driver.close(server);
    pass(&mut driver, ms(1_000));
    assert_eq!(code(driver.recv(client, &mut [0; 8])), libc::EAGAIN);
    driver.network_mut().lift(cut);
    driver.send(client, b"anyone?").unwrap();
    pass(&mut driver, ms(50));
    assert_eq!(code(driver.recv(client, &mut [0; 8])), libc::ECONNRESET);
}
