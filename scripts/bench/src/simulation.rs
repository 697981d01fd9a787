//! The simulator: its event loop beside one in plain Rust, the same with a coroutine for each event,
//! and a Chord of thousands of nodes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use splay_runtime::driver::{Driver as _, Family, Owner, SocketId, Transport, Wake, Watch};
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::address;
use splay_simulator::{NetworkConfig, VirtualDriver};

use crate::program::{Simulated, Splay};
use crate::report::{Table, Target, figure};

/// Events of one measurement without Lua.
const EVENTS: u64 = 2_000_000;

/// What is sent.
const PAYLOAD: &[u8] = b"a small message";

const PORT: u16 = 20_000;
const LATENCY: Duration = Duration::from_millis(20);

/// A generator good enough to pick a node, the same for both loops.
struct Picks(u64);

impl Picks {
    fn next(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(below)) as u32
    }
}

/// Events a second of a loop in plain Rust: a heap of deliveries, an inbox a node, a message
/// copied into a box of its own for each event.
fn plain(nodes: u32) -> f64 {
    let mut heap: BinaryHeap<Reverse<(u64, u64, u32, u32)>> = BinaryHeap::new();
    let mut packets: slab::Slab<Box<[u8]>> = slab::Slab::new();
    let mut inboxes: Vec<VecDeque<Box<[u8]>>> = (0..nodes).map(|_| VecDeque::new()).collect();
    let mut picks = Picks(7);
    let latency = LATENCY.as_nanos() as u64;
    let mut sent = 0;
    let begun = Instant::now();
    for node in 0..nodes {
        let packet = packets.insert(PAYLOAD.into()) as u32;
        heap.push(Reverse((latency + u64::from(node), sent, node, packet)));
        sent += 1;
    }
    let mut buffer = [0; 64];
    while sent < EVENTS {
        let Reverse((now, _, node, packet)) = heap.pop().expect("as many as nodes are under way");
        inboxes[node as usize].push_back(packets.remove(packet as usize));
        let data = inboxes[node as usize].pop_front().expect("just put there");
        buffer[..data.len()].copy_from_slice(&data);
        let packet = packets.insert(buffer[..data.len()].into()) as u32;
        heap.push(Reverse((now + latency, sent, picks.next(nodes), packet)));
        sent += 1;
    }
    sent as f64 / begun.elapsed().as_secs_f64()
}

/// Events a second of the simulator's loop without Lua.
fn driver(nodes: u32, recorded: bool) -> anyhow::Result<f64> {
    let config = NetworkConfig { latency: LATENCY, ..NetworkConfig::default() };
    let mut driver = VirtualDriver::new(1, &config);
    if recorded {
        driver.record(std::rc::Rc::new(std::cell::RefCell::new(Recorder::new())));
    }
    let to = |node: u32| SocketAddr::new(IpAddr::V4(address(node + 1)), PORT);
    let mut sockets: Vec<SocketId> = Vec::new();
    for node in 0..nodes {
        driver.set_home(Owner(node), to(node).ip());
        let socket = driver.open(Owner(node), Transport::Udp, Family::V4)?;
        driver.bind(socket, SocketAddr::new(IpAddr::from([0, 0, 0, 0]), PORT))?;
        driver.watch(socket, Watch::Edge)?;
        sockets.push(socket);
    }
    let mut picks = Picks(7);
    let mut wakes = Vec::new();
    driver.poll(Some(Duration::from_micros(1)), &mut wakes)?;
    wakes.clear();
    let begun = Instant::now();
    for &socket in &sockets {
        driver.send_to(socket, PAYLOAD, to(picks.next(nodes)))?;
        // So that not all arrive at one instant.
        driver.poll(Some(driver.now() + Duration::from_nanos(1)), &mut wakes)?;
    }
    let mut events = u64::from(nodes);
    let mut buffer = [0; 64];
    while events < EVENTS {
        driver.poll(None, &mut wakes)?;
        for wake in wakes.drain(..) {
            let Wake::Socket { socket, readable: true, .. } = wake else { continue };
            while let Ok((length, _)) = driver.recv_from(socket, &mut buffer) {
                driver.send_to(socket, &buffer[..length], to(picks.next(nodes)))?;
                events += 1;
            }
        }
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

fn millions(per_second: f64, target: Target) -> String {
    let value = per_second / 1e6;
    format!("{}{}", figure(value, "M/s"), target.mark(value))
}

/// The tables. `nodes`: the sizes of the curve; `ring`: nodes of the Chord.
pub fn simulation(splay: &Splay, nodes: &[u32], ring: u32) -> anyhow::Result<String> {
    let mut table = Table::new(&[
        "nodes",
        "plain Rust",
        "simulator, no Lua",
        "of plain Rust",
        "the same, recorded",
        "with a coroutine",
        "of plain Rust",
        "to start",
        "resident",
    ]);
    for &count in nodes {
        let plain = plain(count);
        let (bare, recorded) = (driver(count, false)?, driver(count, true)?);
        let seconds = (3_000_000 / u64::from(count) / 50).max(2) + 1;
        let lua = splay.simulate(
            "relay_sim.lua",
            &["-n", &count.to_string(), "--list-size", "1", "--for", &format!("{seconds}s")],
        )?;
        let target = Target::AtLeast(match count {
            0..=1000 => 3.0,
            1001..=10_000 => 2.0,
            _ => 0.8,
        });
        let events = lua.messages / lua.running_seconds();
        table.row([
            count.to_string(),
            millions(plain, Target::None),
            millions(bare, Target::AtLeast(5.0)),
            format!("{:.2}", bare / plain),
            millions(recorded, Target::None),
            millions(events, target),
            format!("{:.2}", events / plain),
            figure(lua.start_seconds, "s"),
            figure(lua.resident_bytes as f64 / 1e6, "MB"),
        ]);
    }
    let mut text = format!("## Simulation, events a second\n\n{}", table.text());
    text.push_str(&format!("\n## Simulation of Chord\n\n{}", chord(splay, ring)?));
    Ok(text)
}

fn chord(splay: &Splay, ring: u32) -> anyhow::Result<String> {
    let mut table = Table::new(&[
        "nodes",
        "virtual s",
        "real s",
        "times real time",
        "to start",
        "messages",
        "µs a message",
        "resident",
    ]);
    for count in [ring / 10, ring] {
        let run: Simulated = splay
            .simulate("chord_sim.lua", &["-n", &count.to_string(), "--list-size", "1", "--for", "1000s"])?;
        let speed = run.virtual_seconds / run.running_seconds();
        let whole = count >= 10_000;
        let fast = if whole { Target::AtLeast(20.0) } else { Target::None };
        let small = if whole { Target::AtMost(1500.0) } else { Target::None };
        let start = if whole { Target::AtMost(10.0) } else { Target::None };
        let resident = run.resident_bytes as f64 / 1e6;
        table.row([
            count.to_string(),
            format!("{:.0}", run.virtual_seconds),
            format!("{:.1}", run.running_seconds()),
            format!("{speed:.1}{}", fast.mark(speed)),
            format!("{}{}", figure(run.start_seconds, "s"), start.mark(run.start_seconds)),
            format!("{:.0}", run.messages),
            format!("{:.2}", run.running_seconds() * 1e6 / run.messages),
            format!("{}{}", figure(resident, "MB"), small.mark(resident)),
        ]);
    }
    Ok(table.text().to_owned())
}
