//! Bandwidth shared among flows as fluids: every flow gets its max-min fair share, found by
//! progressive filling. What a flow's coming or going changes is found anew for the flows that
//! share a link with it, directly or through others, and for no one else.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use crate::network::Time;

/// What limits flows. The number says which of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkId {
    /// A host's way out.
    Up(u32),
    /// A host's way in.
    Down(u32),
    /// A link of the topology.
    Link(u32),
    /// A limit that a fault sets on packets from one host to another.
    Fault(u32, u32, u32),
}

/// A flow, as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u32);

#[derive(Debug)]
struct Flow {
    links: Box<[LinkId]>,
    /// Bits per nanosecond; endless if no link limits it.
    rate: f64,
    /// Bits left of what it is sending, as of `since`.
    left: f64,
    since: Time,
}

#[derive(Debug)]
struct Link {
    /// Bits per nanosecond.
    capacity: f64,
    flows: BTreeSet<FlowId>,
}

/// All flows and the links they share.
#[derive(Debug, Default)]
pub struct Fluid {
    flows: Slab<Flow>,
    links: BTreeMap<LinkId, Link>,
    /// How many flows' rates have been computed so far: what sharing costs.
    work: u64,
}

impl Fluid {
    /// A new flow over these links, whose capacities are in bits per second. The flows whose rates
    /// it changes, with itself, are appended to `changed`.
    pub fn open(&mut self, now: Time, links: &[(LinkId, u64)], changed: &mut Vec<FlowId>) -> FlowId {
        let names = links.iter().map(|(link, _)| *link).collect();
        let key = self.flows.insert(Flow { links: names, rate: f64::INFINITY, left: 0.0, since: now });
        let flow = FlowId(u32::try_from(key).expect("fewer than 2^32 flows"));
        for &(link, capacity) in links {
            let capacity = capacity as f64 / 1e9;
            let link = self.links.entry(link).or_insert_with(|| Link { capacity, flows: BTreeSet::new() });
            link.capacity = capacity;
            link.flows.insert(flow);
        }
        self.share(now, &[flow], changed);
        flow
    }

    /// Ends a flow. The flows whose rates that changes are appended to `changed`.
    pub fn close(&mut self, now: Time, flow: FlowId, changed: &mut Vec<FlowId>) {
        let Some(ended) = self.flows.try_remove(flow.0 as usize) else { return };
        let mut neighbours = Vec::new();
        for name in &ended.links {
            let Some(link) = self.links.get_mut(name) else { continue };
            link.flows.remove(&flow);
            if link.flows.is_empty() {
                self.links.remove(name);
            } else {
                neighbours.extend(link.flows.iter().copied());
            }
        }
        if !neighbours.is_empty() {
            self.share(now, &neighbours, changed);
        }
    }

    /// A flow's share in bits per second.
    pub fn rate(&self, flow: FlowId) -> f64 {
        self.flows[flow.0 as usize].rate * 1e9
    }

    /// Gives a flow so many bits to send from now on.
    pub fn load(&mut self, now: Time, flow: FlowId, bits: u64) {
        let flow = &mut self.flows[flow.0 as usize];
        flow.left = bits as f64;
        flow.since = now;
    }

    /// When a flow will have sent what it was given, if nothing changes.
    pub fn done_at(&self, flow: FlowId) -> Time {
        let flow = &self.flows[flow.0 as usize];
        if flow.left <= 0.0 || flow.rate.is_infinite() {
            return flow.since;
        }
        flow.since.saturating_add((flow.left / flow.rate).ceil() as Time)
    }

    /// Rates computed so far.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Flows now open.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Computes the shares of all flows connected with these by shared links.
    fn share(&mut self, now: Time, from: &[FlowId], changed: &mut Vec<FlowId>) {
        let (flows, links) = self.connected(from);
        self.work += flows.len() as u64;
        // Progressive filling: all rates grow alike; the link that is full first fixes those of its
        // flows; the others go on with what is left.
        let mut open: BTreeMap<LinkId, (f64, usize)> = BTreeMap::new();
        for name in links {
            let link = &self.links[&name];
            open.insert(name, (link.capacity, link.flows.len()));
        }
        let mut waiting: BTreeSet<FlowId> = flows;
        while !waiting.is_empty() {
            let fair = |&(left, count): &(f64, usize)| (left / count as f64).max(0.0);
            let fullest = open.iter().filter(|(_, state)| state.1 > 0);
            let fullest =
                fullest.map(|(name, state)| (fair(state), *name)).min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((rate, name)) = fullest else {
                for flow in std::mem::take(&mut waiting) {
                    self.set_rate(now, flow, f64::INFINITY, changed);
                }
                break;
            };
            let fixed: Vec<FlowId> = self.links[&name].flows.intersection(&waiting).copied().collect();
            for flow in fixed {
                waiting.remove(&flow);
                for name in &self.flows[flow.0 as usize].links {
                    if let Some((left, count)) = open.get_mut(name) {
                        *left -= rate;
                        *count -= 1;
                    }
                }
                self.set_rate(now, flow, rate, changed);
            }
        }
    }

    /// Flows reached from these over shared links, and the links.
    fn connected(&self, from: &[FlowId]) -> (BTreeSet<FlowId>, BTreeSet<LinkId>) {
        let (mut flows, mut links) = (BTreeSet::new(), BTreeSet::new());
        let mut left: Vec<FlowId> = from.to_vec();
        while let Some(flow) = left.pop() {
            if !flows.insert(flow) {
                continue;
            }
            for name in &self.flows[flow.0 as usize].links {
                if links.insert(*name) {
                    left.extend(self.links[name].flows.iter().filter(|flow| !flows.contains(flow)));
                }
            }
        }
        (flows, links)
    }

    fn set_rate(&mut self, now: Time, flow: FlowId, rate: f64, changed: &mut Vec<FlowId>) {
        let state = &mut self.flows[flow.0 as usize];
        if state.rate == rate {
            return;
        }
        if state.rate.is_finite() {
            state.left = (state.left - (now - state.since) as f64 * state.rate).max(0.0);
        }
        state.since = now;
        state.rate = rate;
        changed.push(flow);
    }
}
