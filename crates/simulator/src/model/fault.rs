//! Faults inside the network, as data: who is struck, and by what.

use std::collections::BTreeSet;
use std::time::Duration;

use splay_runtime::driver::Owner;

use super::Latency;

/// A set of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<Owner>),
}

impl Nodes {
    /// The instances of these owner numbers.
    pub fn these(owners: impl IntoIterator<Item = u32>) -> Nodes {
        Nodes::These(owners.into_iter().map(Owner).collect())
    }

    pub(crate) fn contains(&self, owner: Owner) -> bool {
        match self {
            Nodes::All => true,
            Nodes::These(owners) => owners.contains(&owner),
        }
    }
}

/// Packets from some instances to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// Who sends them.
    pub from: Nodes,
    /// For whom they are.
    pub to: Nodes,
    /// Those of the other direction too.
    pub both_ways: bool,
}

impl Between {
    /// All packets of everyone.
    pub fn all() -> Between {
        Between { from: Nodes::All, to: Nodes::All, both_ways: true }
    }

    /// Packets from the one to the other, not back.
    pub fn one_way(from: Nodes, to: Nodes) -> Between {
        Between { from, to, both_ways: false }
    }

    /// Packets between the two.
    pub fn both_ways(from: Nodes, to: Nodes) -> Between {
        Between { from, to, both_ways: true }
    }

    pub(crate) fn covers(&self, from: Owner, to: Owner) -> bool {
        let ahead = self.from.contains(from) && self.to.contains(to);
        ahead || (self.both_ways && self.from.contains(to) && self.to.contains(from))
    }
}

/// What can be wrong with a network. Those that last do so until they are lifted.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing passes between different groups; instances in none of them are one more.
    Partition(Vec<BTreeSet<Owner>>),
    /// Packets vanish.
    Blackhole(Between),
    /// Packets are lost with this probability, besides other losses.
    Loss(Between, f64),
    /// Packets take longer by this.
    Delay(Between, Latency),
    /// Delays vary by a bell curve of this deviation.
    Jitter(Between, Duration),
    /// Datagrams arrive twice with this probability.
    Duplicate(Between, f64),
    /// With this probability a packet is held back for this time; datagrams sent later overtake it.
    Reorder(Between, f64, Duration),
    /// From each instance to each other passes at most so much, in bits per second.
    Bandwidth(Between, u64),
    /// Connections requested from the one to the other are refused.
    Refuse(Between),
    /// Instances accept no new connections, as if their backlogs were full.
    BacklogFull(Nodes),
    /// The name service takes this much longer to answer them.
    SlowNames(Nodes, Duration),
    /// The name service knows no name they ask for.
    NoNames(Nodes),
    /// Packets to and from instances wait until the fault is lifted.
    Pause(Nodes),
    /// Instances are gone with all their sockets: their processes died, and their peers are sent
    /// resets; or `silently`: their machines are off, and until the fault is lifted nothing
    /// reaches or leaves them. Whoever applies it ends the instances' programs.
    Crash {
        /// Who.
        nodes: Nodes,
        /// Without a word to their peers.
        silently: bool,
    },
    /// Every connection there is breaks at both ends, once.
    Reset(Between),
}

/// A fault that has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u32);

/// Why a fault cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FaultError {
    /// Not a probability.
    #[error("{fault}: the share {share} is not from 0 to 1")]
    Share {
        /// Which fault.
        fault: &'static str,
        /// What was given.
        share: f64,
    },
    /// Nothing could ever pass.
    #[error("bandwidth: must be more than 0 bits per second")]
    NoBandwidth,
    /// An instance cannot be on both sides.
    #[error("partition: instance {} is in two groups", .0.0 + 1)]
    TwoGroups(Owner),
}

impl Fault {
    pub(crate) fn check(&self) -> Result<(), FaultError> {
        let share = |fault, share: f64| match (0.0..=1.0).contains(&share) {
            true => Ok(()),
            false => Err(FaultError::Share { fault, share }),
        };
        match self {
            Fault::Loss(_, lost) => share("loss", *lost),
            Fault::Duplicate(_, doubled) => share("duplicate", *doubled),
            Fault::Reorder(_, held, _) => share("reorder", *held),
            Fault::Bandwidth(_, 0) => Err(FaultError::NoBandwidth),
            Fault::Partition(groups) => {
                let mut seen = BTreeSet::new();
                let twice = groups.iter().flatten().find(|owner| !seen.insert(**owner));
                twice.map_or(Ok(()), |owner| Err(FaultError::TwoGroups(*owner)))
            }
            _ => Ok(()),
        }
    }

    /// Whether it happens once rather than lasting.
    pub(crate) fn is_momentary(&self) -> bool {
        matches!(self, Fault::Reset(_) | Fault::Crash { silently: false, .. })
    }

    /// Whether packets from the one to the other vanish by it.
    pub(crate) fn cuts(&self, from: Owner, to: Owner) -> bool {
        match self {
            Fault::Partition(groups) => {
                let group = |owner| groups.iter().position(|group| group.contains(&owner));
                group(from) != group(to)
            }
            Fault::Blackhole(between) => between.covers(from, to),
            Fault::Crash { nodes, silently: true } => nodes.contains(from) || nodes.contains(to),
            _ => false,
        }
    }
}
