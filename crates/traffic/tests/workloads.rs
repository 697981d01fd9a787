//! Every workload between two sides in one process, over loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use splay_traffic::hooks::NoHooks;
use splay_traffic::{Allowance, Error, Family, Figures, Options, Outcome, Stop, Workload, run};

/// Ports below those the system gives out by itself, apart from those of other test processes.
fn ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 1000) as u16 * 20;
    let first = 10_000 + own + NEXT.fetch_add(10, Ordering::Relaxed) % 20;
    (first, first + 1)
}

fn side(workload: Workload, client: bool, ports: (u16, u16)) -> Options {
    Options {
        client,
        host: Some("127.0.0.1".to_owned()),
        control_port: ports.0,
        port: ports.1,
        test_length: 1,
        patience: Some(Duration::from_secs(20)),
        ..Options::new(workload)
    }
}

/// Server's and client's outcome.
fn both(server: Options, client: Options) -> (Result<Outcome, Error>, Result<Outcome, Error>) {
    let stop = Stop::new().unwrap();
    let serving = {
        let stop = stop.clone();
        thread::spawn(move || run(&server, &NoHooks, &stop))
    };
    let client = run(&client, &NoHooks, &Stop::new().unwrap());
    if client.is_err() {
        stop.stop();
    }
    (serving.join().unwrap(), client)
}

fn rate(outcome: &Outcome) -> f64 {
    match &outcome.figures {
        Figures::Transactions { throughput, .. } => *throughput,
        Figures::Stream { throughput_mbps, .. } => throughput_mbps.as_ref().unwrap().iter().sum(),
    }
}

#[test]
fn a_second_gives_a_figure() {
    for workload in Workload::ALL {
        let ports = ports();
        let (server, client) = both(side(workload, false, ports), side(workload, true, ports));
        let (server, client) = (server.unwrap(), client.unwrap());
        assert!(rate(&server) > 10.0, "{} {:?}", workload.name(), server.figures);
        match &client.figures {
            Figures::Transactions { latency: Some(latency), num_transactions, .. } => {
                let n = *num_transactions as f64;
                assert!(rate(&client) > 10.0 && n > 10.0, "{} {n}", workload.name());
                assert!(latency.min > 0.0 && latency.min <= latency.mean && latency.mean <= latency.max);
                // One flow: latency is what lies between two transactions.
                assert!(latency.mean * rate(&client) < 1.2, "{latency:?}");
            }
            Figures::Stream { throughput_mbps, .. } => {
                assert_eq!(throughput_mbps.is_some(), workload == Workload::UdpStream);
                assert!(client.sent_bytes >= server.received_bytes);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn threads_and_flows() {
    for workload in Workload::ALL {
        let ports = ports();
        let many = |client| Options {
            num_threads: 2,
            num_flows: 5,
            percentiles: vec![50.0, 99.9],
            interval: Duration::from_millis(250),
            reuseport: false,
            ..side(workload, client, ports)
        };
        let (server, client) = both(many(false), many(true));
        let (server, client) = (server.unwrap(), client.unwrap());
        assert!(rate(&server) > 10.0, "{}", workload.name());
        if workload != Workload::TcpStream {
            let mut flows: Vec<_> =
                client.samples.iter().map(|sample| (sample.thread, sample.flow)).collect();
            flows.sort_unstable();
            flows.dedup();
            assert_eq!(flows, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], "{}", workload.name());
            assert!(client.samples.is_sorted_by_key(|sample| sample.time));
        }
        if let Figures::Transactions { latency: Some(latency), .. } = &client.figures {
            let [half, most] = latency.percentiles[..] else { panic!("{latency:?}") };
            assert!(latency.min <= half && half <= most && most <= latency.max, "{latency:?}");
        }
    }
}

#[test]
fn large_requests_and_both_directions() {
    let first = ports();
    let large = |client| Options {
        request_size: 300_000,
        response_size: 1_000_000,
        buffer_size: 10_000,
        ..side(Workload::TcpRr, client, first)
    };
    let (server, client) = both(large(false), large(true));
    let Figures::Transactions { num_transactions, .. } = client.unwrap().figures else { panic!() };
    let server = server.unwrap();
    assert!(num_transactions > 0 && server.received_bytes >= num_transactions * 300_000);
    assert!(server.sent_bytes >= num_transactions * 1_000_000);

    let second = ports();
    let edge = |client| Options {
        enable_read: true,
        enable_write: true,
        edge_trigger: true,
        ..side(Workload::TcpStream, client, second)
    };
    let (server, client) = both(edge(false), edge(true));
    assert!(rate(&server.unwrap()) > 10.0 && rate(&client.unwrap()) > 10.0);
}

#[test]
fn several_clients_and_samples() {
    let ports = ports();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.csv");
    let server = Options {
        num_clients: 2,
        interval: Duration::from_millis(200),
        all_samples: Some(file.clone()),
        ..side(Workload::TcpRr, false, ports)
    };
    let stop = Stop::new().unwrap();
    let serving = thread::spawn(move || run(&server, &NoHooks, &stop));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || run(&side(Workload::TcpRr, true, ports), &NoHooks, &Stop::new().unwrap()))
        })
        .collect();
    let total: u64 = clients
        .into_iter()
        .map(|client| match client.join().unwrap().unwrap().figures {
            Figures::Transactions { num_transactions, .. } => num_transactions,
            other => panic!("{other:?}"),
        })
        .sum();
    let server = serving.join().unwrap().unwrap();
    let Figures::Transactions { num_transactions, .. } = server.figures else { panic!() };
    // The last request of each may be answered and the answer not read.
    assert!((total..=total + 2).contains(&num_transactions), "{total} {num_transactions}");
    let text = std::fs::read_to_string(file).unwrap();
    let columns = "time,tid,flow_id,bytes_read,transactions,latency_min,latency_mean,latency_max,latency_stddev,\
                   utime,stime,maxrss,minflt,majflt,nvcsw,nivcsw";
    assert_eq!(text.lines().next(), Some(columns));
    assert_eq!(text.lines().count(), server.samples.len() + 1);
    assert!(server.samples.len() >= 6, "{}", server.samples.len());
    assert!(text.lines().skip(1).all(|line| line.split(',').count() == 16));
}

#[test]
fn what_goes_wrong_is_told() {
    let first = ports();
    let nobody = Options { patience: Some(Duration::from_millis(300)), ..side(Workload::TcpRr, true, first) };
    let error = run(&nobody, &NoHooks, &Stop::new().unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("control connection with 127.0.0.1:{}: Connection refused (os error 111)", first.0)
    );
    let alone = Options { client: false, ..nobody.clone() };
    let error = run(&alone, &NoHooks, &Stop::new().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "control connection with 1 client(s): not there in time");

    let second = ports();
    let (_, client) = both(
        Options { magic: 41, ..side(Workload::TcpRr, false, second) },
        side(Workload::TcpRr, true, second),
    );
    let error = client.unwrap_err().to_string();
    assert!(error.ends_with("magic mismatch: 42 expected, 41 received"), "{error}");

    let other = Options { host: Some("no.such.host.invalid".to_owned()), ..nobody.clone() };
    assert!(matches!(run(&other, &NoHooks, &Stop::new().unwrap()), Err(Error::Resolve { .. })));
    let six = Options { family: Family::V6, ..nobody };
    assert!(matches!(run(&six, &NoHooks, &Stop::new().unwrap()), Err(Error::Resolve { .. })));
}

#[test]
fn a_test_can_be_stopped() {
    let ports = ports();
    let stop = Stop::new().unwrap();
    let serving = {
        let stop = stop.clone();
        thread::spawn(move || {
            run(&Options { patience: None, ..side(Workload::UdpRr, false, ports) }, &NoHooks, &stop)
        })
    };
    thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    stop.stop();
    assert!(matches!(serving.join().unwrap(), Err(Error::Stopped)));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_allowance_is_kept() {
    let first = ports();
    let allowance = Arc::new(Allowance::new(0, Some(1_000_000), None));
    let limited = Options { allowance: Some(allowance.clone()), ..side(Workload::TcpStream, true, first) };
    let (_, client) = both(side(Workload::TcpStream, false, first), limited);
    assert!(matches!(client, Err(Error::Limit("max_send_bytes"))), "{client:?}");
    assert!(allowance.used().0 <= 1_000_000);

    let second = ports();
    let limited = Options {
        num_flows: 4,
        allowance: Some(Arc::new(Allowance::new(3, None, None))),
        ..side(Workload::UdpStream, true, second)
    };
    let (_, client) = both(side(Workload::UdpStream, false, second), limited);
    assert!(matches!(client, Err(Error::Limit("max_sockets"))), "{client:?}");
}
