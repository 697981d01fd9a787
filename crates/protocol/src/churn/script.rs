//! The language of scripts: churn and faults, one rule a line. Reading it is `parse`'s; what churn
//! means is [`super::expand()`]'s, what faults mean [`crate::faults::Plan`]'s.

use std::fmt;
use std::time::Duration;

use super::{Leave, SourceError, parse, seconds_text};
use crate::faults;

/// What a script says.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Its rules of churn, in the order of the file.
    pub rules: Vec<Rule>,
    /// Its rules of faults, in the order of the file.
    pub faults: Vec<faults::Rule>,
    /// The groups of nodes that faults may name.
    pub groups: Vec<faults::Group>,
    /// `seed 42`: what its random choices follow from, unless told otherwise.
    pub seed: Option<u64>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// When it holds.
    pub when: When,
    /// What it does.
    pub action: Action,
    /// Churn besides.
    pub churn: Option<Churn>,
    /// Where it is written, for messages.
    pub place: Place,
}

/// Where a rule is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// The line itself.
    pub text: String,
    /// Its action, in bytes of the line.
    pub from: usize,
    /// Where the action ends.
    pub to: usize,
}

impl Place {
    /// Something is wrong with the rule.
    pub fn error(&self, message: impl Into<String>) -> SourceError {
        SourceError::at(self.line, &self.text, self.from, self.to, message)
    }
}

/// When a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At an instant.
    At(Duration),
    /// During a period, which is longer than nothing.
    During(Duration, Duration),
}

impl When {
    /// When it begins.
    pub fn start(self) -> Duration {
        match self {
            When::At(at) | When::During(at, _) => at,
        }
    }
}

/// An amount of nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// So many.
    Nodes(f64),
    /// So many percent of those there.
    Percent(f64),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// `set max population`: at most so many nodes, ever.
    MaxPopulation(Quantity),
    /// `set replacement ratio`: how many percent of those who join are new.
    ReplacementRatio(f64),
    /// `join`.
    Join(Quantity),
    /// `leave`.
    Leave(Quantity, Leave),
    /// `const`: the population stays.
    Const,
    /// `stop`: all leave.
    Stop(Leave),
}

/// `churn 50% per 10m`: so many go, and as many come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// How many.
    pub quantity: Quantity,
    /// In how long a time; `None`: in the rule's period.
    pub per: Option<Duration>,
    /// How nodes go.
    pub leave: Leave,
}

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Script, SourceError> {
        parse::script(text)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            writeln!(f, "seed {seed}")?;
        }
        self.groups.iter().try_for_each(|group| writeln!(f, "{group}"))?;
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))?;
        self.faults.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.when, self.action)?;
        self.churn.iter().try_for_each(|churn| write!(f, " {churn}"))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            When::At(at) => write!(f, "at {}s", seconds_text(at)),
            When::During(from, to) => write!(f, "from {}s to {}s", seconds_text(from), seconds_text(to)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::MaxPopulation(quantity) => write!(f, "set max population to {quantity}"),
            Action::ReplacementRatio(percent) => write!(f, "set replacement ratio to {percent}%"),
            Action::Join(quantity) => write!(f, "join {quantity}"),
            Action::Leave(quantity, leave) => write!(f, "leave {quantity}{}", manner(*leave)),
            Action::Const => f.write_str("const"),
            Action::Stop(leave) => write!(f, "stop{}", manner(*leave)),
        }
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "churn {}", self.quantity)?;
        self.per.iter().try_for_each(|per| write!(f, " per {}s", seconds_text(*per)))?;
        f.write_str(manner(self.leave))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Nodes(nodes) => write!(f, "{nodes}"),
            Quantity::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn manner(leave: Leave) -> &'static str {
    match leave {
        Leave::Crash => "",
        Leave::Graceful => " gracefully",
    }
}
