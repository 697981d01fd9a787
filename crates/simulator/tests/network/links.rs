//! Delays, losses, copies and order of datagrams.

use std::sync::Arc;

use splay_protocol::topology::{Generator, Topology};

use super::*;

const GAP: Duration = Duration::from_millis(1);

fn near(measured: f64, expected: f64, share: f64, what: &str) {
    assert!((measured / expected - 1.0).abs() < share, "{what}: {measured}, expected {expected}");
}

#[test]
fn delays_have_the_mean_and_deviation_asked_for() {
    // Deviations: (30 - 10) / sqrt(12); as given; 20 / (5 - 1) * sqrt(5 / 3), with mean 20 * 5 / 4.
    let cases = [
        ("20ms", 20.0, 0.0),
        ("uniform(10ms,30ms)", 20.0, 5.7735),
        ("normal(40ms,8ms)", 40.0, 8.0),
        ("pareto(20ms,5)", 25.0, 6.455),
    ];
    for (text, mean, deviation) in cases {
        let mut driver = world(2, ModelConfig::new(Base::Everyone(text.parse().unwrap())));
        let arrivals = stream_of_datagrams(&mut driver, 10_000, 10, GAP);
        assert_eq!(arrivals.len(), 10_000, "{text}: nothing is lost");
        let measured = spread(&arrivals);
        near(measured.0, mean, 0.02, text);
        assert!((measured.1 - deviation).abs() < 0.05 * deviation + 1e-9, "{text}: {}", measured.1);
    }
}

#[test]
fn jitter_is_a_deviation() {
    let mut driver = world(2, ModelConfig { jitter: ms(3), ..plain() });
    let (mean, deviation) = spread(&stream_of_datagrams(&mut driver, 10_000, 10, GAP));
    near(mean, 20.0, 0.02, "mean");
    near(deviation, 3.0, 0.03, "deviation");
}

#[test]
fn five_percent_of_loss_is_five_percent() {
    let mut driver = world(2, ModelConfig { loss: 0.05, ..plain() });
    let count = 100_000;
    let arrived = stream_of_datagrams(&mut driver, count, 10, Duration::from_micros(100)).len();
    let lost = 1.0 - arrived as f64 / f64::from(count);
    assert!((lost - 0.05).abs() < 0.003, "{lost}");
}

#[test]
fn three_percent_arrive_twice() {
    let mut driver = world(2, ModelConfig { duplicate: 0.03, ..plain() });
    let count = 50_000;
    let arrived = stream_of_datagrams(&mut driver, count, 10, Duration::from_micros(100)).len();
    let doubled = arrived as f64 / f64::from(count) - 1.0;
    assert!((doubled - 0.03).abs() < 0.003, "{doubled}");
}

#[test]
fn a_tenth_is_overtaken() {
    // Held back for 5.5 ms where one is sent every millisecond: five pass each that is held.
    let mut driver = world(2, ModelConfig { reorder: (0.1, Duration::from_micros(5_500)), ..plain() });
    let arrivals = stream_of_datagrams(&mut driver, 20_000, 10, GAP);
    let late = arrivals.iter().filter(|(_, sent, got)| *got - *sent > ms(25)).count() as f64 / 20_000.0;
    assert!((late - 0.1).abs() < 0.01, "{late}");
    let mut greatest = 0;
    let overtaken = arrivals.iter().filter(|(number, ..)| {
        let is = *number < greatest;
        greatest = greatest.max(*number);
        is
    });
    let share = overtaken.count() as f64 / 20_000.0;
    // It keeps its place only if all the five after it are held too.
    assert!((share - 0.1).abs() < 0.01, "{share}");
    assert_eq!(arrivals.len(), 20_000);
}

#[test]
fn paths_of_a_topology_add_up() {
    // Star: 10 ms to the hub and 10 ms from it; each of two links loses 2 %: 1 - 0.98^2 = 3.96 %.
    let graph = "star:n=4,latency=10ms,loss=2%".parse::<Generator>().unwrap().generate(4, 1).unwrap();
    let base = Base::Topology(Arc::new(Topology::Graph(graph)));
    let mut driver = world(4, ModelConfig::new(base));
    let arrivals = stream_of_datagrams(&mut driver, 50_000, 10, Duration::from_micros(100));
    near(spread(&arrivals).0, 20.0, 1e-9, "mean");
    let lost = 1.0 - arrivals.len() as f64 / 50_000.0;
    assert!((lost - 0.0396).abs() < 0.003, "{lost}");
}

#[test]
fn a_matrix_has_two_directions() {
    let matrix = Topology::parse("0,7,1\n13,0,1\n1,1,0\n").unwrap();
    let mut driver = world(3, ModelConfig::new(Base::Topology(Arc::new(matrix))));
    let sockets = [udp(&mut driver, 0), udp(&mut driver, 1)];
    for (from, to, delay) in [(0, 1, 7), (1, 0, 13)] {
        let start = driver.now();
        driver.send_to(sockets[from], b"x", at(to as u32)).unwrap();
        driver.poll(None, &mut Vec::new()).unwrap();
        assert_eq!(driver.now() - start, ms(delay));
        driver.recv_from(sockets[to], &mut [0; 4]).unwrap();
    }
}

#[test]
fn other_traffic_changes_no_draw() {
    // What host 0 meets on the way to host 1 is the same whether 2 talks to 3 or not.
    let model = || ModelConfig {
        loss: 0.2,
        ..ModelConfig::new(Base::Everyone("normal(40ms,10ms)".parse().unwrap()))
    };
    let run = |seed, noise: bool| {
        let mut driver = seeded(4, model(), seed);
        if noise {
            let (one, other) = (udp(&mut driver, 2), udp(&mut driver, 3));
            for _ in 0..500 {
                driver.send_to(one, b"noise", at(3)).unwrap();
                driver.send_to(other, b"noise", at(2)).unwrap();
            }
            driver.close(one);
            driver.close(other);
        }
        let start = driver.now();
        let arrivals = stream_of_datagrams(&mut driver, 300, 10, GAP);
        let told = |(number, sent, got): &(u32, Duration, Duration)| (*number, *sent - start, *got - *sent);
        arrivals.iter().map(told).collect::<Vec<_>>()
    };
    let quiet = run(3, false);
    assert_eq!(quiet, run(3, false));
    let noisy = run(3, true);
    let numbers =
        |of: &[(u32, Duration, Duration)]| of.iter().map(|(number, ..)| *number).collect::<Vec<_>>();
    assert_eq!(numbers(&quiet), numbers(&noisy), "the same are lost, in the same order");
    assert_ne!(quiet, run(4, false));
}

#[test]
fn what_stays_on_a_host_is_not_modelled() {
    let mut driver = world(2, ModelConfig { loss: 1.0, ..plain() });
    let (from, to) = (udp(&mut driver, 0), driver.open(Owner(0), Transport::Udp, Family::V4).unwrap());
    driver.bind(to, SocketAddr::new(ip(0), 7000)).unwrap();
    driver.send_to(from, b"x", SocketAddr::new(ip(0), 7000)).unwrap();
    pass(&mut driver, Duration::from_micros(60));
    assert_eq!(driver.recv_from(to, &mut [0; 4]).unwrap().0, 1);
}
