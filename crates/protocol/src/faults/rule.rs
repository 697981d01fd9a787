//! One line of a script that is about faults.

use std::fmt;
use std::time::Duration;

use super::{Fault, Set};
use crate::churn::script::{Place, When};
use crate::churn::seconds_text;

/// `every 20s for 5s`: a fault comes and goes within its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// From one beginning to the next.
    pub every: Duration,
    /// How long it lasts each time.
    pub lasts: Duration,
}

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// When; at an instant, it lasts to the end of the run.
    pub when: When,
    /// Whether it comes and goes meanwhile.
    pub repeat: Option<Repeat>,
    /// What.
    pub fault: Fault<Set>,
    /// Where it is written, for messages.
    pub place: Place,
}

/// `group left = {1..5}`: a name for nodes, which are drawn once where they are drawn at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its nodes.
    pub nodes: Set,
    /// Where it is written, for messages.
    pub place: Place,
}

impl Rule {
    /// The times at which it begins and ends (`None`: with the run), in their order.
    pub fn times(&self) -> impl Iterator<Item = (Duration, Option<Duration>)> {
        let (from, to) = match self.when {
            When::At(at) => (at, None),
            When::During(from, to) => (from, Some(to)),
        };
        let repeat = self.repeat;
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let begin = next?;
            let Some(Repeat { every, lasts }) = repeat else {
                next = None;
                return Some((begin, to));
            };
            next = Some(begin + every).filter(|&at| to.is_none_or(|to| at < to));
            let end = begin + lasts;
            Some((begin, Some(to.map_or(end, |to| end.min(to)))))
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.when)?;
        if let Some(Repeat { every, lasts }) = self.repeat {
            write!(f, " every {}s for {}s", seconds_text(every), seconds_text(lasts))?;
        }
        write!(f, " {}", self.fault)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} = {}", self.name, self.nodes)
    }
}
