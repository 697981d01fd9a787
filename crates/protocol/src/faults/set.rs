//! Sets of nodes: as they are written, and as they are when it matters.

use std::collections::BTreeSet;
use std::fmt;

use crate::churn::script::Quantity;

/// Nodes as a script names them.
#[derive(Debug, Clone, PartialEq)]
pub enum Set {
    /// `all`.
    All,
    /// `rest`: all that the rule names nowhere else.
    Rest,
    /// `{1..5, 9}`: from and to, in the order of the text. `node 9` is short for `{9}`.
    Numbers(Vec<(u32, u32)>),
    /// `3` or `10%`: so many of those there, drawn when the fault strikes.
    Random(Quantity),
    /// The name of a group.
    Named(String),
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Set::All => f.write_str("all"),
            Set::Rest => f.write_str("rest"),
            Set::Numbers(ranges) => {
                let range = |&(from, to): &(u32, u32)| match from == to {
                    true => from.to_string(),
                    false => format!("{from}..{to}"),
                };
                write!(f, "{{{}}}", ranges.iter().map(range).collect::<Vec<_>>().join(", "))
            }
            Set::Random(quantity) => write!(f, "{quantity}"),
            Set::Named(name) => f.write_str(name),
        }
    }
}

/// Nodes: numbers from 1, lines of the trace or positions in the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// Every one, those that are yet to come too.
    All,
    /// These.
    These(BTreeSet<u32>),
}

impl Nodes {
    /// Those of these numbers.
    pub fn these(nodes: impl IntoIterator<Item = u32>) -> Nodes {
        Nodes::These(nodes.into_iter().collect())
    }

    /// Whether a node is one of them.
    pub fn contains(&self, node: u32) -> bool {
        match self {
            Nodes::All => true,
            Nodes::These(nodes) => nodes.contains(&node),
        }
    }

    /// Those of so many nodes, in their order.
    pub fn of(&self, population: u32) -> Vec<u32> {
        match self {
            Nodes::All => (1..=population).collect(),
            Nodes::These(nodes) => nodes.iter().copied().filter(|&node| node <= population).collect(),
        }
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nodes::These(nodes) = self else { return f.write_str("all") };
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &node in nodes {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == node => *to = node,
                _ => ranges.push((node, node)),
            }
        }
        write!(f, "{}", Set::Numbers(ranges))
    }
}
