//! Faults as they strike the network: applying and lifting them.

use std::time::Duration;

use splay_runtime::driver::{Owner, SocketId, SocketOption};

use super::agenda::Time;
use super::socket::{Kind, Ref};
use super::{Event, Host, Network, nanoseconds};
use crate::model::{Base, Fault, FaultError, FaultId, Latency, Model, ModelConfig, Nodes};

/// A fault that will begin at some time.
#[derive(Debug, Clone)]
pub struct PlannedFault {
    pub(super) at: Duration,
    lasts: Option<Duration>,
    fault: Fault,
}

impl PlannedFault {
    /// A fault that begins at virtual time `at` and is lifted after `lasts` (`None`: never).
    pub fn new(at: Duration, lasts: Option<Duration>, fault: Fault) -> Result<PlannedFault, FaultError> {
        fault.check()?;
        Ok(PlannedFault { at, lasts, fault })
    }
}

impl Network {
    /// Lets a fault begin now. It lasts until it is lifted; a reset, and a crash that is not silent,
    /// happen at once and do not last.
    pub fn apply(&mut self, fault: Fault) -> Result<FaultId, FaultError> {
        fault.check()?;
        let (seed, latency) = (self.seed, Duration::from_nanos(self.latency));
        let model = self.model.get_or_insert_with(|| {
            Box::new(Model::new(seed, ModelConfig::new(Base::Everyone(Latency::Constant(latency)))))
        });
        let id = model.apply(fault.clone());
        match fault {
            Fault::Crash { nodes, .. } => self.crash(&nodes),
            Fault::Reset(between) => self.reset_all(|here, there| between.covers(here, there)),
            Fault::Bandwidth(between, _) => self.reroute(|here, there| between.covers(here, there)),
            _ => {}
        }
        Ok(id)
    }

    /// Ends a fault; unknown and past ones are ignored.
    pub fn lift(&mut self, id: FaultId) {
        match self.model.as_mut().and_then(|model| model.lift(id)) {
            Some(Fault::Bandwidth(between, _)) => self.reroute(|here, there| between.covers(here, there)),
            Some(Fault::Pause(_)) => {
                for (host, event) in std::mem::take(&mut self.paused) {
                    match self.is_paused(host) {
                        true => self.paused.push((host, event)),
                        false => self.agenda.plan(self.now, event),
                    }
                }
            }
            _ => {}
        }
    }

    /// A planned fault begins.
    pub(super) fn begin(&mut self, planned: PlannedFault) {
        let id = self.apply(planned.fault).expect("it was checked when it was planned");
        if let Some(lasts) = planned.lasts {
            self.agenda.plan(self.now.saturating_add(nanoseconds(lasts)), Event::Lift(id));
        }
    }

    fn crash(&mut self, nodes: &Nodes) {
        let owners = self.owned.iter().enumerate().filter(|(owner, _)| nodes.contains(Owner(*owner as u32)));
        let ids: Vec<SocketId> = owners.flat_map(|(_, owned)| owned).map(|&key| SocketId(key)).collect();
        for id in ids {
            // Closing it then breaks a connection instead of ending it.
            if let Ok(socket) = self.entry(id) {
                let _ = socket.set_option(&SocketOption::Linger(Some(0)));
            }
            self.close(id);
        }
    }

    fn reset_all(&mut self, covered: impl Fn(Owner, Owner) -> bool) {
        let mut broken = Vec::new();
        for (key, socket) in &self.sockets {
            let Kind::Stream(stream) = &socket.kind else { continue };
            let there = self.host_at(socket.owner, stream.peer_address.ip());
            let there = there.map_or(super::NOBODY, |host| self.resident(host));
            let here = self.resident(self.host_of(socket.owner));
            if covered(here, there) || covered(there, here) {
                broken.push(Ref { id: SocketId(key as u32), stamp: socket.stamp });
            }
        }
        for end in broken {
            self.reset(end);
        }
    }

    fn any_fault(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.model.as_ref().is_some_and(|model| model.faults().any(is))
    }

    /// Whether a connection request between two hosts is refused whoever listens.
    pub(super) fn refuses(&self, from: Host, at: Host) -> bool {
        let (from, at) = (self.resident(from), self.resident(at));
        self.any_fault(|fault| matches!(fault, Fault::Refuse(between) if between.covers(from, at)))
    }

    /// Whether a host has no room for a new connection.
    pub(super) fn is_flooded(&self, host: Host) -> bool {
        let host = self.resident(host);
        self.any_fault(|fault| matches!(fault, Fault::BacklogFull(nodes) if nodes.contains(host)))
    }

    /// Whether a host's machine is off.
    pub(super) fn is_off(&self, host: Host) -> bool {
        let host = self.resident(host);
        let off = |fault: &Fault| matches!(fault, Fault::Crash { nodes, .. } if nodes.contains(host));
        self.any_fault(off)
    }

    /// Whether packets of a socket reach another, at the moment.
    pub(super) fn is_open(&self, sender: Ref, receiver: SocketId) -> bool {
        let Some(model) = &self.model else { return true };
        let (Ok(from), Ok(to)) = (self.get(sender.id), self.get(receiver)) else { return true };
        let [from, to] = [from, to].map(|socket| self.resident(self.host_of(socket.owner)));
        from == to || !model.is_cut(from, to)
    }

    /// How much later than usual the name service answers, and whether it knows names.
    pub(super) fn name_faults(&self, owner: Owner) -> (Time, bool) {
        let (mut late, mut known) = (0, true);
        for fault in self.model.iter().flat_map(|model| model.faults()) {
            match fault {
                Fault::SlowNames(nodes, by) if nodes.contains(owner) => late += nanoseconds(*by),
                Fault::NoNames(nodes) => known &= !nodes.contains(owner),
                _ => {}
            }
        }
        (late, known)
    }

    pub(super) fn is_paused(&self, host: Owner) -> bool {
        self.model.as_ref().is_some_and(|model| model.is_paused(host))
    }

    /// The event, if it is not about to happen on a paused host, where it waits.
    pub(super) fn unless_paused(&mut self, event: Event) -> Option<Event> {
        if !self.model.as_ref().is_some_and(|model| model.has_pauses()) {
            return Some(event);
        }
        let of = |network: &Network, socket: Ref| {
            let found = network.get(socket.id).ok()?;
            Some(network.resident(network.host_of(found.owner)))
        };
        let host = match &event {
            Event::Request { at, .. } | Event::Datagram { at, .. } => at.map(|host| self.resident(host)),
            Event::Dial { client, .. } | Event::Answer { client, .. } => of(self, *client),
            Event::Data { to, .. }
            | Event::End { to }
            | Event::Reset { to }
            | Event::Room { to }
            | Event::Unreachable { to } => of(self, *to),
            Event::Resend { from, .. } => self.line_host(*from),
            _ => None,
        };
        match host.filter(|host| self.is_paused(*host)) {
            Some(host) => {
                self.paused.push((host, event));
                None
            }
            None => Some(event),
        }
    }
}
