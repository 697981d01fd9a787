//! Faults as they strike the network: applying and lifting them.

use std::time::Duration;

use splay_protocol::faults::{FaultError, Manner, Nodes};
use splay_runtime::driver::{Owner, SocketId, SocketOption};

use super::agenda::Time;
use super::socket::{Kind, Ref};
use super::{Event, Host, Network, nanoseconds};
use crate::model::{Base, Fault, FaultId, Latency, Model, ModelConfig, covers, node};

impl Network {
    /// Lets a fault begin now. It lasts until it is lifted, unless it is
    /// [momentary](Fault::is_momentary). What strikes programs, clocks and disks is not the network's:
    /// of a crash it sees to the sockets.
    pub fn apply(&mut self, fault: Fault) -> Result<FaultId, FaultError> {
        fault.check()?;
        let (seed, latency) = (self.seed, Duration::from_nanos(self.latency));
        let model = self.model.get_or_insert_with(|| {
            Box::new(Model::new(seed, ModelConfig::new(Base::Everyone(Latency::Constant(latency)))))
        });
        let id = model.apply(fault.clone());
        match fault {
            // Who leaves gracefully closes what it has opened.
            Fault::Crash { manner: Manner::Gracefully, .. }
            | Fault::Restart { manner: Manner::Gracefully, .. } => {}
            Fault::Crash { nodes, .. } | Fault::Restart { nodes, .. } => self.crash(&nodes),
            Fault::Reset(between) => self.reset_all(|here, there| covers(&between, here, there)),
            Fault::Bandwidth(between, _) => self.reroute(|here, there| covers(&between, here, there)),
            _ => {}
        }
        Ok(id)
    }

    /// Ends a fault; unknown and past ones are ignored.
    pub fn lift(&mut self, id: FaultId) {
        match self.model.as_mut().and_then(|model| model.lift(id)) {
            Some(Fault::Bandwidth(between, _)) => self.reroute(|here, there| covers(&between, here, there)),
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

    fn crash(&mut self, nodes: &Nodes) {
        let struck = |owner: usize| {
            let host = self.host_of(Owner(owner as u32));
            nodes.contains(node(self.resident(host)))
        };
        let owners = self.owned.iter().enumerate().filter(|(owner, _)| struck(*owner));
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
        self.any_fault(|fault| matches!(fault, Fault::Refuse(between) if covers(between, from, at)))
    }

    /// Whether an instance can open no more sockets.
    pub(super) fn has_no_sockets(&self, owner: Owner) -> bool {
        let node = node(self.resident(self.host_of(owner)));
        self.any_fault(|fault| matches!(fault, Fault::NoSockets(nodes) if nodes.contains(node)))
    }

    /// Whether a host has no room for a new connection.
    pub(super) fn is_flooded(&self, host: Host) -> bool {
        let host = self.resident(host);
        self.any_fault(|fault| matches!(fault, Fault::FullBacklog(nodes) if nodes.contains(node(host))))
    }

    /// Whether a host's machine is off.
    pub(super) fn is_off(&self, host: Host) -> bool {
        let host = self.resident(host);
        let silently = |fault: &Fault| matches!(fault, Fault::Crash { manner: Manner::Silently, nodes, .. } if nodes.contains(node(host)));
        self.any_fault(silently)
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
                Fault::SlowNames(nodes, by) if nodes.contains(node(owner)) => late += nanoseconds(*by),
                Fault::NoNames(nodes) => known &= !nodes.contains(node(owner)),
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
