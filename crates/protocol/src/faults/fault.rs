//! The kinds of faults. `S` says who is struck: a [`Set`](super::Set) as it is written, or
//! [`Nodes`](super::Nodes) once it is decided.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Nodes;
use crate::topology::quantity::{rate_text, share_text, time_text};

/// Packets from some nodes to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between<S> {
    /// Who sends them.
    pub from: S,
    /// For whom they are.
    pub to: S,
    /// Those of the other direction too.
    pub both_ways: bool,
}

/// How a node goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// Its process dies; its machine resets its connections.
    #[default]
    Killed,
    /// Its machine loses power: nobody hears of it.
    Silently,
    /// It is told, and may say goodbye (`job.on_stop`).
    Gracefully,
}

/// What goes wrong. What lasts does so until its rule's period ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault<S> {
    /// Nothing passes between different groups; nodes in none of them are one more.
    Partition(Vec<S>),
    /// Packets vanish.
    Drop(Between<S>),
    /// Packets are lost with this probability.
    Loss(Between<S>, f64),
    /// Packets take longer by something between these two, evenly spread.
    Delay(Between<S>, Duration, Duration),
    /// Delays vary by a bell curve of this deviation.
    Jitter(Between<S>, Duration),
    /// Datagrams arrive twice with this probability.
    Duplicate(Between<S>, f64),
    /// With this probability a packet is held back for so long; later datagrams overtake it.
    Reorder(Between<S>, f64, Duration),
    /// A byte of a datagram is changed with this probability.
    Corrupt(Between<S>, f64),
    /// From each node to each other passes at most so much, in bits per second.
    Bandwidth(Between<S>, u64),
    /// New connections are refused.
    Refuse(Between<S>),
    /// New connections are not accepted, as if backlogs were full.
    FullBacklog(S),
    /// Every connection there is breaks, once.
    Reset(Between<S>),
    /// Names are found so much later.
    SlowNames(S, Duration),
    /// Names are not found.
    NoNames(S),
    /// No socket can be opened: too many are.
    NoSockets(S),
    /// Nodes stand still, as a stopped process does, and then go on.
    Pause(S),
    /// Nodes go down, and start again when the period ends.
    Crash {
        /// Who.
        nodes: S,
        /// How.
        manner: Manner,
        /// Whether their files are there when they start again.
        keeps_files: bool,
    },
    /// Nodes go down and start again at once.
    Restart {
        /// Who.
        nodes: S,
        /// How.
        manner: Manner,
        /// Whether their files are there afterwards.
        keeps_files: bool,
    },
    /// What nodes compute takes so many times as long.
    Slow(S, f64),
    /// Clocks are ahead by so much, in nanoseconds; behind where that is negative.
    Clock(S, i64),
    /// Clocks run fast by this share; slow where that is negative.
    Drift(S, f64),
    /// Nothing more fits on the disk.
    FullDisk(S),
    /// Reading a file fails with this probability.
    ReadErrors(S, f64),
    /// Writing a file fails with this probability.
    WriteErrors(S, f64),
    /// Each access to a file takes so much longer.
    SlowDisk(S, Duration),
}

impl<S> Between<S> {
    /// The same between other sets.
    pub fn try_map<T, E>(&self, mut map: impl FnMut(&S) -> Result<T, E>) -> Result<Between<T>, E> {
        Ok(Between { from: map(&self.from)?, to: map(&self.to)?, both_ways: self.both_ways })
    }
}

impl Between<Nodes> {
    /// All packets of everyone.
    pub fn all() -> Between<Nodes> {
        Between { from: Nodes::All, to: Nodes::All, both_ways: true }
    }

    /// Packets from the one to the other, not back.
    pub fn one_way(from: Nodes, to: Nodes) -> Between<Nodes> {
        Between { from, to, both_ways: false }
    }

    /// Packets between the two.
    pub fn both_ways(from: Nodes, to: Nodes) -> Between<Nodes> {
        Between { from, to, both_ways: true }
    }

    /// Whether packets from the one node to the other are among them.
    pub fn covers(&self, from: u32, to: u32) -> bool {
        let ahead = self.from.contains(from) && self.to.contains(to);
        ahead || (self.both_ways && self.from.contains(to) && self.to.contains(from))
    }
}

impl<S> Fault<S> {
    /// What the language calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Partition(_) => "partition",
            Fault::Drop(_) => "drop",
            Fault::Loss(..) => "loss",
            Fault::Delay(..) => "delay",
            Fault::Jitter(..) => "jitter",
            Fault::Duplicate(..) => "duplicate",
            Fault::Reorder(..) => "reorder",
            Fault::Corrupt(..) => "corrupt",
            Fault::Bandwidth(..) => "bandwidth",
            Fault::Refuse(_) => "refuse connections",
            Fault::FullBacklog(_) => "full backlog",
            Fault::Reset(_) => "reset connections",
            Fault::SlowNames(..) => "slow names",
            Fault::NoNames(_) => "no names",
            Fault::NoSockets(_) => "no sockets",
            Fault::Pause(_) => "pause",
            Fault::Crash { .. } => "crash",
            Fault::Restart { .. } => "restart",
            Fault::Slow(..) => "slow",
            Fault::Clock(..) | Fault::Drift(..) => "clock",
            Fault::FullDisk(_) => "full disk",
            Fault::ReadErrors(..) => "read errors",
            Fault::WriteErrors(..) => "write errors",
            Fault::SlowDisk(..) => "slow disk",
        }
    }

    /// Whether it happens at an instant rather than lasting.
    pub fn is_momentary(&self) -> bool {
        matches!(self, Fault::Reset(_) | Fault::Restart { .. })
    }

    /// The sets it names.
    pub fn sets(&self) -> Vec<&S> {
        match self {
            Fault::Partition(groups) => groups.iter().collect(),
            Fault::Drop(between) | Fault::Refuse(between) | Fault::Reset(between) => {
                vec![&between.from, &between.to]
            }
            Fault::Loss(between, _)
            | Fault::Duplicate(between, _)
            | Fault::Corrupt(between, _)
            | Fault::Reorder(between, ..)
            | Fault::Delay(between, ..)
            | Fault::Jitter(between, _)
            | Fault::Bandwidth(between, _) => vec![&between.from, &between.to],
            Fault::FullBacklog(nodes)
            | Fault::SlowNames(nodes, _)
            | Fault::NoNames(nodes)
            | Fault::NoSockets(nodes)
            | Fault::Pause(nodes)
            | Fault::Crash { nodes, .. }
            | Fault::Restart { nodes, .. }
            | Fault::Slow(nodes, _)
            | Fault::Clock(nodes, _)
            | Fault::Drift(nodes, _)
            | Fault::FullDisk(nodes)
            | Fault::ReadErrors(nodes, _)
            | Fault::WriteErrors(nodes, _)
            | Fault::SlowDisk(nodes, _) => vec![nodes],
        }
    }

    /// The same fault of other sets.
    pub fn try_map<T, E>(&self, mut map: impl FnMut(&S) -> Result<T, E>) -> Result<Fault<T>, E> {
        Ok(match self {
            Fault::Partition(groups) => Fault::Partition(groups.iter().map(map).collect::<Result<_, E>>()?),
            Fault::Drop(between) => Fault::Drop(between.try_map(map)?),
            Fault::Loss(between, share) => Fault::Loss(between.try_map(map)?, *share),
            Fault::Delay(between, least, most) => Fault::Delay(between.try_map(map)?, *least, *most),
            Fault::Jitter(between, deviation) => Fault::Jitter(between.try_map(map)?, *deviation),
            Fault::Duplicate(between, share) => Fault::Duplicate(between.try_map(map)?, *share),
            Fault::Reorder(between, share, by) => Fault::Reorder(between.try_map(map)?, *share, *by),
            Fault::Corrupt(between, share) => Fault::Corrupt(between.try_map(map)?, *share),
            Fault::Bandwidth(between, rate) => Fault::Bandwidth(between.try_map(map)?, *rate),
            Fault::Refuse(between) => Fault::Refuse(between.try_map(map)?),
            Fault::FullBacklog(nodes) => Fault::FullBacklog(map(nodes)?),
            Fault::Reset(between) => Fault::Reset(between.try_map(map)?),
            Fault::SlowNames(nodes, by) => Fault::SlowNames(map(nodes)?, *by),
            Fault::NoNames(nodes) => Fault::NoNames(map(nodes)?),
            Fault::NoSockets(nodes) => Fault::NoSockets(map(nodes)?),
            Fault::Pause(nodes) => Fault::Pause(map(nodes)?),
            Fault::Crash { nodes, manner, keeps_files } => {
                Fault::Crash { nodes: map(nodes)?, manner: *manner, keeps_files: *keeps_files }
            }
            Fault::Restart { nodes, manner, keeps_files } => {
                Fault::Restart { nodes: map(nodes)?, manner: *manner, keeps_files: *keeps_files }
            }
            Fault::Slow(nodes, times) => Fault::Slow(map(nodes)?, *times),
            Fault::Clock(nodes, ahead) => Fault::Clock(map(nodes)?, *ahead),
            Fault::Drift(nodes, share) => Fault::Drift(map(nodes)?, *share),
            Fault::FullDisk(nodes) => Fault::FullDisk(map(nodes)?),
            Fault::ReadErrors(nodes, share) => Fault::ReadErrors(map(nodes)?, *share),
            Fault::WriteErrors(nodes, share) => Fault::WriteErrors(map(nodes)?, *share),
            Fault::SlowDisk(nodes, by) => Fault::SlowDisk(map(nodes)?, *by),
        })
    }
}

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
    /// A node cannot be on both sides.
    #[error("node {0} is on two sides of this partition")]
    TwoGroups(u32),
}

impl Fault<Nodes> {
    /// Refuses what means nothing.
    pub fn check(&self) -> Result<(), FaultError> {
        match self {
            Fault::Loss(_, share)
            | Fault::Duplicate(_, share)
            | Fault::Corrupt(_, share)
            | Fault::Reorder(_, share, _)
            | Fault::ReadErrors(_, share)
            | Fault::WriteErrors(_, share)
                if !(0.0..=1.0).contains(share) =>
            {
                Err(FaultError::Share { fault: self.name(), share: *share })
            }
            Fault::Bandwidth(_, 0) => Err(FaultError::NoBandwidth),
            _ => self.in_two_groups().map_or(Ok(()), |node| Err(FaultError::TwoGroups(node))),
        }
    }

    /// Whether packets from the one node to the other vanish by it.
    pub fn cuts(&self, from: u32, to: u32) -> bool {
        match self {
            Fault::Partition(groups) => {
                let group = |node| groups.iter().position(|group| group.contains(node));
                group(from) != group(to)
            }
            Fault::Drop(between) => between.covers(from, to),
            Fault::Crash { nodes, manner: Manner::Silently, .. } => {
                nodes.contains(from) || nodes.contains(to)
            }
            _ => false,
        }
    }

    /// A node that is in two groups of a partition.
    fn in_two_groups(&self) -> Option<u32> {
        let Fault::Partition(groups) = self else { return None };
        let mut seen = BTreeSet::new();
        let numbers = groups.iter().filter_map(|group| match group {
            Nodes::All => None,
            Nodes::These(nodes) => Some(nodes),
        });
        numbers.flatten().find(|node| !seen.insert(**node)).copied()
    }
}

impl<S: fmt::Display + PartialEq> fmt::Display for Between<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (&self.from, &self.to);
        match self.both_ways {
            true => write!(f, "between {from} and {to}"),
            false => write!(f, "from {from} to {to}"),
        }
    }
}

impl<S: fmt::Display + PartialEq> fmt::Display for Fault<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Fault::Partition(groups) => {
                let groups: Vec<String> = groups.iter().map(S::to_string).collect();
                write!(f, "{name} {}", groups.join(" from "))
            }
            Fault::Drop(between) | Fault::Refuse(between) | Fault::Reset(between) => {
                write!(f, "{name} {between}")
            }
            Fault::Loss(between, share)
            | Fault::Duplicate(between, share)
            | Fault::Corrupt(between, share) => {
                write!(f, "{name} {} {between}", share_text(*share))
            }
            Fault::Delay(between, least, most) if least == most => {
                write!(f, "{name} {} {between}", time_text(*least))
            }
            Fault::Delay(between, least, most) => {
                write!(f, "{name} {} to {} {between}", time_text(*least), time_text(*most))
            }
            Fault::Jitter(between, deviation) => write!(f, "{name} {} {between}", time_text(*deviation)),
            Fault::Reorder(between, share, by) => {
                write!(f, "{name} {} by {} {between}", share_text(*share), time_text(*by))
            }
            Fault::Bandwidth(between, rate) => write!(f, "{name} {} {between}", rate_text(*rate)),
            Fault::SlowNames(nodes, by) | Fault::SlowDisk(nodes, by) => {
                write!(f, "{name} by {} of {nodes}", time_text(*by))
            }
            Fault::FullBacklog(nodes)
            | Fault::NoNames(nodes)
            | Fault::NoSockets(nodes)
            | Fault::FullDisk(nodes) => write!(f, "{name} of {nodes}"),
            Fault::Pause(nodes) => write!(f, "{name} {nodes}"),
            Fault::Crash { nodes, manner, keeps_files } | Fault::Restart { nodes, manner, keeps_files } => {
                let files = if *keeps_files { "" } else { " without files" };
                write!(f, "{name} {nodes}{manner}{files}")
            }
            Fault::Slow(nodes, times) => write!(f, "{name} {nodes} by {times} times"),
            Fault::Clock(nodes, ahead) => {
                let by = time_text(Duration::from_nanos(ahead.unsigned_abs()));
                write!(f, "{name} of {nodes} {} {by}", if *ahead < 0 { "behind" } else { "ahead" })
            }
            Fault::Drift(nodes, share) => {
                let by = share_text(share.abs());
                write!(f, "{name} of {nodes} {} {by}", if *share < 0.0 { "slow" } else { "fast" })
            }
            Fault::ReadErrors(nodes, share) | Fault::WriteErrors(nodes, share) => {
                write!(f, "{name} {} of {nodes}", share_text(*share))
            }
        }
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Manner::Killed => "",
            Manner::Silently => " silently",
            Manner::Gracefully => " gracefully",
        })
    }
}
