//! Follows a schedule while time passes, and keeps which host runs which node. Pure: is told the
//! time, touches no clock. Deadlines are absolute, so that being late once delays nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use super::schedule::{Action, Event, Schedule};

/// Where a schedule stands.
#[derive(Debug, Clone)]
pub struct Replay {
    schedule: Schedule,
    next: usize,
    /// Since when each node is there, counted in events: earlier ones are lower.
    since: Vec<Option<usize>>,
}

impl Replay {
    /// At the beginning.
    pub fn new(schedule: Schedule) -> Replay {
        let since = vec![None; schedule.nodes() as usize];
        Replay { schedule, next: 0, since }
    }

    /// What it follows.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How many of the schedule's events have been due.
    pub fn sent(&self) -> usize {
        self.next
    }

    /// When the next event is due; `None`: there are no more.
    pub fn next_at(&self) -> Option<Duration> {
        self.schedule.events().get(self.next).map(|event| event.at)
    }

    /// The events of the next instant that is due at `now`: those that go before those that come.
    /// Called until it gives none, every instant is seen by itself, however late it is.
    pub fn due(&mut self, now: Duration) -> &[Event] {
        let first = self.next;
        let Some(at) = self.next_at().filter(|&at| at <= now) else { return &[] };
        let rest = &self.schedule.events()[first..];
        self.next += rest.partition_point(|event| event.at == at);
        for index in first..self.next {
            let event = self.schedule.events()[index];
            self.since[event.node as usize - 1] = (event.action == Action::Start).then_some(index);
        }
        &self.schedule.events()[first..self.next]
    }

    /// Whether a node is there.
    pub fn is_up(&self, node: u32) -> bool {
        self.since.get((node as usize).wrapping_sub(1)).is_some_and(Option::is_some)
    }

    /// The nodes that are there. Those that came first are first, so that the first one of a list
    /// is one that knows others.
    pub fn up(&self) -> Vec<u32> {
        let mut up: Vec<(usize, u32)> =
            (1..).zip(&self.since).filter_map(|(node, since)| since.map(|since| (since, node))).collect();
        up.sort_unstable();
        up.into_iter().map(|(_, node)| node).collect()
    }
}

/// Which host runs which node of a trace, and which hosts are in reserve. A host that can run
/// several nodes is named several times.
#[derive(Debug, Clone)]
pub struct Seats<H> {
    seats: Vec<Option<H>>,
    spares: VecDeque<H>,
}

/// A node has another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved<H> {
    /// Which node: its line in the trace.
    pub node: u32,
    /// Where it was; `None`: nowhere, for want of hosts.
    pub from: Option<H>,
    /// Where it is now; `None`: nowhere, until a host is added.
    pub to: Option<H>,
}

/// There are not enough hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace of {nodes} nodes needs as many places on hosts, and there are {hosts}")]
pub struct TooFewHosts {
    /// Nodes of the trace.
    pub nodes: u32,
    /// Places there are.
    pub hosts: u32,
}

impl<H: Clone + PartialEq> Seats<H> {
    /// The first hosts get the nodes in their order, the others are in reserve.
    pub fn new(nodes: u32, hosts: impl IntoIterator<Item = H>) -> Result<Seats<H>, TooFewHosts> {
        let mut hosts: VecDeque<H> = hosts.into_iter().collect();
        if hosts.len() < nodes as usize {
            return Err(TooFewHosts { nodes, hosts: hosts.len() as u32 });
        }
        let spares = hosts.split_off(nodes as usize);
        Ok(Seats { seats: hosts.into_iter().map(Some).collect(), spares })
    }

    /// The host of a node.
    pub fn host(&self, node: u32) -> Option<&H> {
        self.seats.get((node as usize).wrapping_sub(1))?.as_ref()
    }

    /// How many places are in reserve.
    pub fn spares(&self) -> usize {
        self.spares.len()
    }

    /// A host is lost: its nodes go to those in reserve.
    pub fn lost(&mut self, host: &H) -> Vec<Moved<H>> {
        self.spares.retain(|spare| spare != host);
        let mut moved = Vec::new();
        for (node, seat) in (1..).zip(&mut self.seats) {
            if seat.as_ref() == Some(host) {
                let to = self.spares.pop_front();
                moved.push(Moved { node, from: seat.take(), to: to.clone() });
                *seat = to;
            }
        }
        moved
    }

    /// A host is there, with room for one more node: a node without a host gets it, or it is in
    /// reserve.
    pub fn added(&mut self, host: H) -> Option<Moved<H>> {
        match (1..).zip(&mut self.seats).find(|(_, seat)| seat.is_none()) {
            Some((node, seat)) => {
                *seat = Some(host.clone());
                Some(Moved { node, from: None, to: Some(host) })
            }
            None => {
                self.spares.push_back(host);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trace;
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn instants_come_one_by_one() {
        let mut replay = Replay::new(Trace::parse("0 10 20\n0\n10 20\n").unwrap().schedule());
        let due = |replay: &mut Replay, now| -> Vec<(Action, u32)> {
            replay.due(S(now)).iter().map(|event| (event.action, event.node)).collect()
        };
        assert_eq!(due(&mut replay, 0), [(Action::Start, 1), (Action::Start, 2)]);
        assert_eq!(due(&mut replay, 9), []);
        assert_eq!((replay.next_at(), replay.up()), (Some(S(10)), vec![1, 2]));
        // Late: both instants are due, one after the other.
        assert_eq!(due(&mut replay, 30), [(Action::Stop, 1), (Action::Start, 3)]);
        assert_eq!(replay.up(), [2, 3]);
        assert!(replay.is_up(3) && !replay.is_up(1) && !replay.is_up(0) && !replay.is_up(4));
        assert_eq!(due(&mut replay, 30), [(Action::Stop, 3), (Action::Start, 1)]);
        assert_eq!((replay.up(), replay.next_at()), (vec![2, 1], None));
        assert_eq!(due(&mut replay, 99), []);
    }

    #[test]
    fn nodes_of_a_lost_host_move_to_spares() {
        let mut seats = Seats::new(3, ["a", "b", "a", "c", "b"]).unwrap();
        assert_eq!((seats.host(1), seats.host(3), seats.spares()), (Some(&"a"), Some(&"a"), 2));
        let moved = seats.lost(&"a");
        assert_eq!(
            moved,
            [
                Moved { node: 1, from: Some("a"), to: Some("c") },
                Moved { node: 3, from: Some("a"), to: Some("b") }
            ]
        );
        // Both places of b go; nothing is in reserve.
        let moved = seats.lost(&"b");
        assert_eq!(moved.iter().map(|one| (one.node, one.to)).collect::<Vec<_>>(), [(2, None), (3, None)]);
        assert_eq!(seats.added("d"), Some(Moved { node: 2, from: None, to: Some("d") }));
        assert_eq!(seats.added("d"), Some(Moved { node: 3, from: None, to: Some("d") }));
        assert_eq!((seats.added("e"), seats.spares(), seats.host(0), seats.host(9)), (None, 1, None, None));
        assert_eq!(
            Seats::new(2, ["a"]).unwrap_err().to_string(),
            "a trace of 2 nodes needs as many places on hosts, and there are 1"
        );
    }
}
