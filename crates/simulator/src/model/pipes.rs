//! Queues in front of the fluid model: each flow sends one parcel after the other and exists while
//! it has some.

use std::collections::{BTreeMap, VecDeque};

use super::fluid::{FlowId, Fluid, LinkId};
use crate::network::Time;

/// When a flow's first parcel will have been sent: to be planned and then told to
/// [`Pipes::served`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due<K> {
    pub(crate) key: K,
    pub(crate) at: Time,
    /// Only the newest of a flow counts.
    pub(crate) version: u32,
}

#[derive(Debug)]
struct Pipe<P> {
    flow: FlowId,
    queue: VecDeque<(u64, P)>,
    version: u32,
}

/// All flows that have something to send, by a name of the caller's.
#[derive(Debug)]
pub(crate) struct Pipes<K, P> {
    fluid: Fluid,
    pipes: BTreeMap<K, Pipe<P>>,
    names: BTreeMap<FlowId, K>,
    changed: Vec<FlowId>,
    versions: u32,
}

impl<K: Ord + Copy, P> Default for Pipes<K, P> {
    fn default() -> Self {
        Pipes {
            fluid: Fluid::default(),
            pipes: BTreeMap::new(),
            names: BTreeMap::new(),
            changed: Vec::new(),
            versions: 0,
        }
    }
}

impl<K: Ord + Copy, P> Pipes<K, P> {
    /// Parcels a flow has, with the one being sent.
    pub(crate) fn waiting(&self, key: K) -> usize {
        self.pipes.get(&key).map_or(0, |pipe| pipe.queue.len())
    }

    /// Queues a parcel of `bytes`. `links` are those of the flow, if it has nothing to send yet.
    pub(crate) fn push(
        &mut self,
        now: Time,
        key: K,
        links: &[(LinkId, u64)],
        bytes: usize,
        parcel: P,
        due: &mut Vec<Due<K>>,
    ) {
        let bits = bytes as u64 * 8;
        if let Some(pipe) = self.pipes.get_mut(&key) {
            pipe.queue.push_back((bits, parcel));
            return;
        }
        let flow = self.fluid.open(now, links, &mut self.changed);
        self.fluid.load(now, flow, bits);
        self.names.insert(flow, key);
        self.pipes.insert(key, Pipe { flow, queue: VecDeque::from([(bits, parcel)]), version: 0 });
        if !self.changed.contains(&flow) {
            self.changed.push(flow);
        }
        self.reckon(due);
    }

    /// The first parcel of a flow has been sent, if that is still so.
    pub(crate) fn served(&mut self, now: Time, told: Due<K>, due: &mut Vec<Due<K>>) -> Option<P> {
        let pipe = self.pipes.get_mut(&told.key).filter(|pipe| pipe.version == told.version)?;
        let (_, parcel) = pipe.queue.pop_front()?;
        match pipe.queue.front() {
            Some(&(bits, _)) => {
                self.fluid.load(now, pipe.flow, bits);
                self.changed.push(pipe.flow);
                self.reckon(due);
            }
            None => self.drop(now, told.key, due),
        }
        Some(parcel)
    }

    /// Forgets a flow and what it was to send.
    pub(crate) fn drop(&mut self, now: Time, key: K, due: &mut Vec<Due<K>>) {
        if let Some(pipe) = self.pipes.remove(&key) {
            self.names.remove(&pipe.flow);
            self.fluid.close(now, pipe.flow, &mut self.changed);
            self.reckon(due);
        }
    }

    /// Every flow's name: its links may have changed.
    pub(crate) fn keys(&self) -> Vec<K> {
        self.pipes.keys().copied().collect()
    }

    /// Takes a flow's parcels out, to be queued anew over other links. What was sent of the first
    /// is sent again.
    pub(crate) fn take(&mut self, now: Time, key: K, due: &mut Vec<Due<K>>) -> Vec<(usize, P)> {
        let queue = self.pipes.get_mut(&key).map(|pipe| std::mem::take(&mut pipe.queue));
        self.drop(now, key, due);
        queue.into_iter().flatten().map(|(bits, parcel)| ((bits / 8) as usize, parcel)).collect()
    }

    fn reckon(&mut self, due: &mut Vec<Due<K>>) {
        for flow in self.changed.drain(..) {
            let Some(&key) = self.names.get(&flow) else { continue };
            let Some(pipe) = self.pipes.get_mut(&key) else { continue };
            // Counted over all flows: one that ends and begins again shares no number with itself.
            self.versions = self.versions.wrapping_add(1);
            pipe.version = self.versions;
            due.push(Due { key, at: self.fluid.done_at(flow), version: pipe.version });
        }
    }
}
