//! Shares of capacity: against hand-solved and published cases, and through sockets.

use std::sync::Arc;

use proptest::prelude::*;
use splay_protocol::topology::{Generator, Topology};
use splay_simulator::model::{FlowId, Fluid, LinkId};

use super::*;

/// Rates of flows over links (in units of a million bits per second), all opened in turn.
fn rates(capacities: &[u64], flows: &[&[usize]]) -> Vec<f64> {
    let mut fluid = Fluid::default();
    let ids: Vec<FlowId> = flows.iter().map(|links| open(&mut fluid, capacities, links)).collect();
    ids.iter().map(|flow| fluid.rate(*flow) / 1e6).collect()
}

fn open(fluid: &mut Fluid, capacities: &[u64], links: &[usize]) -> FlowId {
    let links: Vec<_> =
        links.iter().map(|&link| (LinkId::Link(link as u32), capacities[link] * 1_000_000)).collect();
    fluid.open(0, &links, &mut Vec::new())
}

fn check(what: &str, capacities: &[u64], flows: &[&[usize]], expected: &[f64]) {
    let found = rates(capacities, flows);
    for (rate, expected) in found.iter().zip(expected) {
        assert!((rate / expected - 1.0).abs() < 0.02, "{what}: {found:?}, not {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[test]
fn one_link_is_shared_evenly() {
    check("1: alone", &[10], &[&[0]], &[10.0]);
    check("2: c / n", &[10], &[&[0], &[0]], &[5.0, 5.0]);
    check("3: c / n", &[9], &[&[0][..]; 3], &[3.0; 3]);
}

#[test]
fn the_narrowest_link_decides() {
    // min(10, 4)
    check("4: two in a row", &[10, 4], &[&[0, 1]], &[4.0]);
    // Link 1 gives 2 to each of its two; link 0 has 8 left for its other one.
    check("5: what one cannot use another gets", &[10, 4], &[&[0, 1], &[0], &[1]], &[2.0, 8.0, 2.0]);
    // Two of four are held to 1 by link 1; the others share 12 - 2.
    check("6: two held back", &[12, 2], &[&[0, 1], &[0, 1], &[0], &[0]], &[1.0, 1.0, 5.0, 5.0]);
    // Link 0: 1 each. Link 1: 4 - 1. Link 2: 8 - 3.
    check("7: a chain of dependence", &[2, 4, 8], &[&[0], &[0, 1], &[1, 2], &[2]], &[1.0, 1.0, 3.0, 5.0]);
}

#[test]
fn published_examples() {
    // Bertsekas and Gallager, Data Networks, section 6.5.2: all links 1 (here 3, so that shares are
    // whole). Three sessions share one link: 1/3 each. One of them also shares a link with a fourth,
    // which gets the 2/3 that are left. The fifth is alone: 1.
    check(
        "8: Bertsekas and Gallager",
        &[3, 3, 3],
        &[&[1], &[0, 1], &[0], &[0], &[2]],
        &[2.0, 1.0, 1.0, 1.0, 3.0],
    );
    // The parking lot, for example in Le Boudec's Rate adaptation, congestion control and fairness: one flow over
    // all links and one more on each; max-min gives every flow a half (proportional fairness would
    // give the long one 1 / (n + 1)).
    check("9: parking lot", &[10, 10, 10], &[&[0, 1, 2], &[0], &[1], &[2]], &[5.0; 4]);
    // The same with 10, 20, 30: the long one is held to 5 by the first link.
    check("10: uneven parking lot", &[10, 20, 30], &[&[0, 1, 2], &[0], &[1], &[2]], &[5.0, 5.0, 15.0, 25.0]);
    // With two short flows on the first link it is 9 / 3 there, and 9 - 3 on the other.
    check("11: crowded parking lot", &[9, 9], &[&[0, 1], &[0], &[0], &[1]], &[3.0, 3.0, 3.0, 6.0]);
}

#[test]
fn hosts_on_a_switch() {
    // Links 0 to 3 are the ways out of four hosts, 4 to 7 the ways in; all 12.
    let c = [12; 8];
    check("12: three to one: the way in, 12 / 3", &c, &[&[0, 7], &[1, 7], &[2, 7]], &[4.0; 3]);
    check("13: one to three: the way out, 12 / 3", &c, &[&[0, 5], &[0, 6], &[0, 7]], &[4.0; 3]);
    check("14: each to the next: nothing is shared", &c, &[&[0, 5], &[1, 6], &[2, 7], &[3, 4]], &[12.0; 4]);
    check("15: there and back are separate", &c, &[&[0, 5], &[1, 4]], &[12.0; 2]);
    // In at 3: two, 6 each. Out of 1: 6 is used, 6 are left.
    check("16: one of two crowded", &c, &[&[0, 7], &[1, 7], &[1, 6]], &[6.0; 3]);
    // In at 3: three, 4 each. Out of 2: 8 are left.
    check("17: left by a crowd", &c, &[&[0, 7], &[1, 7], &[2, 7], &[2, 4]], &[4.0, 4.0, 4.0, 8.0]);
}

#[test]
fn dumbbells_trees_and_rings() {
    // Middle 10 among four.
    check("18: dumbbell", &[10], &[&[0][..]; 4], &[2.5; 4]);
    // One is held to 1, another to 2 by its access link: (10 - 3) / 2.
    check("19: slow hosts", &[10, 1, 2], &[&[0, 1], &[0, 2], &[0], &[0]], &[1.0, 2.0, 3.5, 3.5]);
    // Branch of 4 with two flows: 2 each; of the trunk's 12, 8 are left for the two of the other.
    check("20: tree", &[12, 4, 12], &[&[0, 1], &[0, 1], &[0, 2], &[0, 2]], &[2.0, 2.0, 4.0, 4.0]);
    // Every flow takes two of three links, every link carries two flows.
    check("21: ring", &[6, 6, 6], &[&[0, 1], &[1, 2], &[2, 0]], &[3.0; 3]);
}

#[test]
fn only_those_affected_are_computed_anew() {
    let mut fluid = Fluid::default();
    let capacities = vec![10; 1000];
    let flows: Vec<FlowId> = (0..1000).map(|link| open(&mut fluid, &capacities, &[link])).collect();
    assert_eq!(fluid.work(), 1000, "each alone on its link");
    let mut changed = Vec::new();
    let second = fluid.open(5, &[(LinkId::Link(7), 10_000_000)], &mut changed);
    assert_eq!((fluid.work(), changed.len()), (1002, 2), "its neighbour and itself");
    assert_eq!(fluid.rate(flows[7]), 5e6);
    fluid.close(6, second, &mut changed);
    assert_eq!((fluid.work(), fluid.rate(flows[7])), (1003, 1e7));
}

proptest! {
    /// What max-min fairness is: no link carries more than it can, and every flow has a link that is
    /// full and on which no other is faster.
    #[test]
    fn every_flow_has_a_bottleneck(
        capacities in prop::collection::vec(1u64..50, 1..8),
        picks in prop::collection::vec(prop::collection::btree_set(0usize..8, 1..5), 1..12),
        gone in prop::collection::vec(any::<bool>(), 12),
    ) {
        let count = capacities.len();
        let mut flows: Vec<Vec<usize>> = picks
            .iter()
            .map(|links| links.iter().map(|link| link % count).collect::<std::collections::BTreeSet<_>>().into_iter().collect())
            .collect();
        let mut fluid = Fluid::default();
        let mut ids: Vec<FlowId> = flows.iter().map(|links| open(&mut fluid, &capacities, links)).collect();
        // Some leave again: what is left is as if they had never been.
        for index in (0..flows.len()).rev() {
            if gone[index] && flows.len() > 1 {
                fluid.close(1, ids.remove(index), &mut Vec::new());
                flows.remove(index);
            }
        }
        let rates: Vec<f64> = ids.iter().map(|flow| fluid.rate(*flow) / 1e6).collect();
        let on = |link: usize| flows.iter().zip(&rates).filter(move |(links, _)| links.contains(&link)).map(|(_, rate)| *rate);
        for (link, capacity) in capacities.iter().enumerate() {
            prop_assert!(on(link).sum::<f64>() <= *capacity as f64 * 1.000_001);
        }
        for (links, rate) in flows.iter().zip(&rates) {
            let bottleneck = links.iter().any(|&link| {
                let full = on(link).sum::<f64>() >= capacities[link] as f64 * 0.999_999;
                full && on(link).all(|other| other <= rate * 1.000_001)
            });
            prop_assert!(bottleneck, "{flows:?} over {capacities:?}: {rates:?}");
        }
    }
}

/// Sends `bytes` from each to each and gives how many bits per second each got.
fn transfer(driver: &mut VirtualDriver, flows: &[(u32, u32)], bytes: usize) -> Vec<f64> {
    let mut ends = Vec::new();
    for &(from, to) in flows {
        let port = 6000 + ends.len() as u16;
        let server = driver.open(Owner(to), Transport::Tcp, Family::V4).unwrap();
        driver.bind(server, SocketAddr::new(ip(to), port)).unwrap();
        driver.listen(server, 4).unwrap();
        let client = driver.open(Owner(from), Transport::Tcp, Family::V4).unwrap();
        driver.connect(client, SocketAddr::new(ip(to), port)).unwrap_err();
        outcome(driver, client).0.unwrap();
        let (accepted, _) = driver.accept(server).unwrap();
        driver.watch(client, splay_runtime::driver::Watch::Edge).unwrap();
        driver.watch(accepted, splay_runtime::driver::Watch::Readable).unwrap();
        ends.push((client, accepted, 0, 0, Duration::ZERO));
    }
    let start = driver.now();
    let (chunk, mut buffer) = (vec![7; 65_536], vec![0; 65_536]);
    while ends.iter().any(|(.., got, _)| *got < bytes) {
        for (client, server, sent, got, end) in &mut ends {
            while *sent < bytes {
                match driver.send(*client, &chunk[..chunk.len().min(bytes - *sent)]) {
                    Ok(count) => *sent += count,
                    Err(_) => break,
                }
            }
            while let Ok(count) = driver.recv(*server, &mut buffer) {
                *got += count;
                if *got == bytes && *end == Duration::ZERO {
                    *end = driver.now();
                }
            }
        }
        let until = driver.now() + ms(1000);
        driver.poll(Some(until), &mut Vec::new()).unwrap();
    }
    ends.iter().map(|(.., end)| bytes as f64 * 8.0 / (*end - start).as_secs_f64()).collect()
}

fn assert_rates(found: &[f64], expected: &[f64]) {
    for (rate, expected) in found.iter().zip(expected) {
        assert!((rate / expected - 1.0).abs() < 0.02, "{found:?}, not {expected:?}");
    }
}

fn limited() -> ModelConfig {
    ModelConfig { bandwidth_bps: Some(8_000_000), ..plain() }
}

#[test]
fn streams_get_their_shares() {
    // Of 4 MB: long enough that 20 ms of delay are less than 1 %.
    assert_rates(&transfer(&mut world(2, limited()), &[(0, 1)], 4_000_000), &[8e6]);
    assert_rates(&transfer(&mut world(3, limited()), &[(0, 2), (1, 2)], 4_000_000), &[4e6; 2]);
    // Both directions separately.
    assert_rates(&transfer(&mut world(2, limited()), &[(0, 1), (1, 0)], 4_000_000), &[8e6; 2]);
}

#[test]
fn a_dumbbell_is_shared_in_its_middle() {
    let text = "dumbbell:n=4,bottleneck=8Mbps,latency=1ms,bottleneck-latency=5ms";
    let graph = text.parse::<Generator>().unwrap().generate(4, 1).unwrap();
    let model = ModelConfig::new(Base::Topology(Arc::new(Topology::Graph(graph))));
    let mut driver = world(4, model);
    // Places 0 and 1 are left, 2 and 3 right. What stays on one side is not limited.
    assert_rates(&transfer(&mut driver, &[(0, 2), (1, 3)], 4_000_000), &[4e6; 2]);
    let found = transfer(&mut driver, &[(0, 1), (0, 2)], 4_000_000);
    assert_rates(&found[1..], &[8e6]);
    assert!(found[0] > 5e7, "{found:?}");
}

#[test]
fn datagrams_wait_and_are_dropped_at_the_tail() {
    // 1,000 bytes at 1 Mbps take 8 ms. Below the capacity each waits only for itself.
    let model = |queue| ModelConfig { bandwidth_bps: Some(1_000_000), queue_packets: queue, ..plain() };
    let arrivals = stream_of_datagrams(&mut world(2, model(10)), 500, 1000, ms(16));
    assert_eq!((arrivals.len(), spread(&arrivals).0.round()), (500, 28.0));
    // Twice the capacity: half is lost, and the others wait for ten before them: 20 + 8 * 11 ms, less
    // up to 8 that the first of them has been sent already.
    let arrivals = stream_of_datagrams(&mut world(2, model(10)), 4_000, 1000, ms(4));
    let share = arrivals.len() as f64 / 4_000.0;
    assert!((share - 0.5).abs() < 0.01, "{share}");
    let late = arrivals[1000..].iter().map(|(_, sent, got)| (*got - *sent).as_millis());
    let (least, most) = late.fold((u128::MAX, 0), |(least, most), delay| (least.min(delay), most.max(delay)));
    assert!(least >= 100 && most <= 108, "{least} to {most}");
    // A longer queue loses no less, but delays more.
    let arrivals = stream_of_datagrams(&mut world(2, model(50)), 4_000, 1000, ms(4));
    let delay = arrivals[1500..].iter().map(|(_, sent, got)| (*got - *sent).as_millis()).max().unwrap();
    assert!((420..=428).contains(&delay), "{delay}");
}

#[test]
fn arrivals_keep_the_rate_of_the_link() {
    let model = ModelConfig { bandwidth_bps: Some(2_000_000), ..plain() };
    let arrivals = stream_of_datagrams(&mut world(2, model), 1_000, 500, ms(1));
    let (first, last) = (arrivals.first().unwrap().2, arrivals.last().unwrap().2);
    let rate = (arrivals.len() - 1) as f64 * 4_000.0 / (last - first).as_secs_f64();
    assert!((rate / 2e6 - 1.0).abs() < 0.02, "{rate}");
}
