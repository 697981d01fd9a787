//! What is done to a simulated run from outside: nodes come and go, faults strike and end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use splay_protocol::churn::{Action, Replay, Schedule};
use splay_protocol::faults::{Fault, Manner, Nodes, Plan, Strike, StrikeId};
use splay_runtime::host::Conditions;

use crate::model::FaultId;

/// A run's churn and faults.
#[derive(Debug, Clone, Default)]
pub struct ScenarioConfig {
    /// When each node is there; `None`: all are from the beginning.
    pub schedule: Option<Schedule>,
    /// What goes wrong.
    pub faults: Option<Plan>,
    /// How long an instance that leaves gracefully may take.
    pub grace: Duration,
}

/// Something that was done, for those who follow the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Virtual time.
    pub at: Duration,
    /// What.
    pub what: Happened,
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// An event of churn; `applied`: there was something to do.
    Churn(splay_protocol::churn::Event, bool),
    /// A fault began.
    Begun(Fault<Nodes>),
    /// A fault ended.
    Ended(Fault<Nodes>),
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Due {
    /// These events of one instant, when these nodes (in the order of their coming) will be there.
    Churn { events: Vec<splay_protocol::churn::Event>, up: Vec<u32>, instant: u64 },
    /// This.
    Strike(Strike),
}

/// How far a scenario is.
#[derive(Debug)]
pub(crate) struct Scenario {
    replay: Option<Replay>,
    instants: u64,
    starts_left: usize,
    plan: Option<Plan>,
    pub(crate) grace: Duration,
    /// What the network knows of faults that last.
    pub(crate) applied: BTreeMap<StrikeId, FaultId>,
    /// Who was there when a crash struck, and starts again when it ends.
    crashed: BTreeMap<StrikeId, Vec<u32>>,
    /// Nodes that start again as soon as they have left, and whether their files are kept.
    pub(crate) returning: BTreeMap<u32, bool>,
}

impl Scenario {
    pub(crate) fn new(config: ScenarioConfig) -> Scenario {
        let starts = |schedule: &Schedule| {
            schedule.events().iter().filter(|event| event.action == Action::Start).count()
        };
        Scenario {
            starts_left: config.schedule.as_ref().map_or(0, starts),
            replay: config.schedule.map(Replay::new),
            instants: 0,
            plan: config.faults.filter(|plan| !plan.is_empty()),
            grace: config.grace,
            applied: BTreeMap::new(),
            crashed: BTreeMap::new(),
            returning: BTreeMap::new(),
        }
    }

    /// Whether nodes come and go by a schedule.
    pub(crate) fn has_churn(&self) -> bool {
        self.replay.is_some()
    }

    /// When something is to be done next.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        let churn = self.replay.as_ref().and_then(Replay::next_at);
        let fault = self.plan.as_ref().and_then(Plan::next_at);
        match (churn, fault) {
            (Some(churn), Some(fault)) => Some(churn.min(fault)),
            (churn, fault) => churn.or(fault),
        }
    }

    /// Whether nodes will start that are not there.
    pub(crate) fn will_start(&self) -> bool {
        self.starts_left > 0 || !self.crashed.values().all(Vec::is_empty) || !self.returning.is_empty()
    }

    /// What is to be done at `now`: churn before faults. `live` are those there.
    pub(crate) fn due(&mut self, now: Duration, live: impl FnOnce() -> Vec<u32>) -> Option<Due> {
        if let Some(replay) = &mut self.replay {
            let events = replay.due(now).to_vec();
            if !events.is_empty() {
                self.starts_left -= events.iter().filter(|event| event.action == Action::Start).count();
                self.instants += 1;
                return Some(Due::Churn { events, up: replay.up(), instant: self.instants - 1 });
            }
        }
        self.plan.as_mut()?.due(now, live).map(Due::Strike)
    }

    /// Who is there by the schedule, and the number of the instant at which that was last changed.
    pub(crate) fn up(&self) -> Option<(Vec<u32>, u64)> {
        self.replay.as_ref().map(|replay| (replay.up(), self.instants.saturating_sub(1)))
    }

    /// Whether a node may be there.
    pub(crate) fn is_up(&self, node: u32) -> bool {
        self.replay.as_ref().is_none_or(|replay| replay.is_up(node))
    }

    fn active(&self) -> impl Iterator<Item = &Fault<Nodes>> {
        self.plan.iter().flat_map(|plan| plan.active().map(|(_, fault)| fault))
    }

    /// Whether a node stands still.
    pub(crate) fn is_paused(&self, node: u32) -> bool {
        self.active().any(|fault| matches!(fault, Fault::Pause(nodes) if nodes.contains(node)))
    }

    /// Whether a crash that lasts keeps a node down.
    pub(crate) fn is_down(&self, node: u32) -> bool {
        self.active().any(|fault| matches!(fault, Fault::Crash { nodes, .. } if nodes.contains(node)))
    }

    /// Remembers who was there when a crash struck.
    pub(crate) fn crashed(&mut self, id: StrikeId, nodes: Vec<u32>) {
        if self.plan.as_ref().is_some_and(|plan| plan.ends(id)) {
            self.crashed.insert(id, nodes);
        }
    }

    /// A crash has ended: who starts again.
    pub(crate) fn recovered(&mut self, id: StrikeId) -> Vec<u32> {
        self.crashed.remove(&id).unwrap_or_default()
    }

    /// What is wrong with a node's machine.
    pub(crate) fn conditions(&self, node: u32) -> Conditions {
        let mut conditions = Conditions::default();
        for fault in self.active().filter(|fault| fault.sets().iter().any(|nodes| nodes.contains(node))) {
            let c = &mut conditions;
            match *fault {
                Fault::Slow(_, times) => c.slowness *= times,
                Fault::Clock(_, ahead) => c.clock_ahead = c.clock_ahead.saturating_add(ahead),
                Fault::Drift(_, share) => c.clock_drift += share,
                Fault::FullDisk(_) => c.disk_full = true,
                Fault::ReadErrors(_, share) => c.read_errors = either(c.read_errors, share),
                Fault::WriteErrors(_, share) => c.write_errors = either(c.write_errors, share),
                Fault::SlowDisk(_, by) => c.disk_delay += by,
                _ => {}
            }
        }
        conditions
    }
}

/// Probability that one of two things happens.
fn either(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a) * (1.0 - b)
}

/// Where a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the network alone.
    Network,
    /// In the machines of nodes: see [`Conditions`].
    Machine,
    /// Nodes stand still.
    Pause,
    /// Nodes go down.
    Down(Manner),
}

/// Where a fault is.
pub(crate) fn place(fault: &Fault<Nodes>) -> Place {
    match fault {
        Fault::Slow(..)
        | Fault::Clock(..)
        | Fault::Drift(..)
        | Fault::FullDisk(_)
        | Fault::ReadErrors(..)
        | Fault::WriteErrors(..)
        | Fault::SlowDisk(..) => Place::Machine,
        Fault::Pause(_) => Place::Pause,
        Fault::Crash { manner, .. } | Fault::Restart { manner, .. } => Place::Down(*manner),
        _ => Place::Network,
    }
}

/// The nodes that a fault of machines or programs strikes.
pub(crate) fn struck(fault: &Fault<Nodes>, population: u32) -> BTreeSet<u32> {
    fault.sets().into_iter().flat_map(|nodes| nodes.of(population)).collect()
}
