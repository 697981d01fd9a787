//! The nodes of a script while it is carried out: who is there, who was, and who is chosen to come
//! or go.

mod pool;

use std::time::Duration;

use pool::Pool;

use super::trace::{Leave, Session, Trace};
use crate::seed::SplitMix64;

/// What decides who may come and go.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Most nodes, over the whole trace and so at any time.
    pub max_population: u64,
    /// Chance that a node that joins is a new one, 0 to 1.
    pub replacement_ratio: f64,
    /// How long a node stays away at least.
    pub min_offline: Duration,
    /// New nodes may join where none has been away for long enough.
    pub allow_creation: bool,
    /// How long a node stays at least.
    pub min_online: Duration,
}

/// Why nobody can join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoJoin {
    /// As many nodes as there may be are there.
    Full,
    /// Nodes that were there have not been away for long enough.
    TooEarly,
}

/// Why nobody can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLeave {
    /// Nobody is there.
    Empty,
    /// Nobody has been there for long enough.
    TooEarly,
}

/// All nodes.
#[derive(Debug)]
pub(super) struct Population {
    rules: Rules,
    numbers: SplitMix64,
    nodes: Vec<Vec<Session>>,
    up: Pool,
    down: Pool,
}

impl Population {
    /// Nobody yet.
    pub fn new(rules: Rules, seed: u64) -> Population {
        Population {
            rules,
            numbers: SplitMix64::new(seed),
            nodes: Vec::new(),
            up: Pool::default(),
            down: Pool::default(),
        }
    }

    /// How many are there.
    pub fn up(&self) -> u64 {
        self.up.len() as u64
    }

    pub fn rules(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// A random instant of a period, in whole milliseconds where it is long enough.
    pub fn instant(&mut self, from: Duration, to: Duration) -> Duration {
        let length = to.saturating_sub(from);
        match length.as_millis() as u64 {
            0 => from + Duration::from_micros(self.numbers.below_u64((length.as_micros() as u64).max(1))),
            millis => from + Duration::from_millis(self.numbers.below_u64(millis)),
        }
    }

    /// A node joins: a new one, or one that was there before.
    pub fn join(&mut self, now: Duration) -> Result<(), NoJoin> {
        if self.up() >= self.rules.max_population {
            return Err(NoJoin::Full);
        }
        let room = (self.nodes.len() as u64) < self.rules.max_population;
        let fresh = self.down.is_empty() || self.numbers.unit() < self.rules.replacement_ratio;
        if !(fresh && room) {
            let min_offline = self.rules.min_offline;
            let rested = |since: Option<Duration>| since.is_none_or(|at| at < now && now - at >= min_offline);
            if let Some(place) = self.down.choose(&mut self.numbers, rested) {
                let node = self.down.remove(place);
                self.start(node, now);
                return Ok(());
            }
            if !room {
                return Err(if min_offline.is_zero() { NoJoin::Full } else { NoJoin::TooEarly });
            }
            // Without a minimum only those that went at this very instant are not ready.
            if !(min_offline.is_zero() || self.rules.allow_creation) {
                return Err(NoJoin::TooEarly);
            }
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Vec::new());
        self.start(node, now);
        Ok(())
    }

    fn start(&mut self, node: u32, now: Duration) {
        self.nodes[node as usize].push(Session { start: now, end: None });
        self.up.push(node, Some(now));
    }

    /// A random node leaves.
    pub fn leave(&mut self, now: Duration, leave: Leave) -> Result<(), NoLeave> {
        if self.up.is_empty() {
            return Err(NoLeave::Empty);
        }
        let min_online = self.rules.min_online;
        let settled =
            |since: Option<Duration>| since.is_some_and(|start| start < now && now - start >= min_online);
        let place = match self.up.choose(&mut self.numbers, settled) {
            Some(place) => place,
            // All came at this very instant: one of them does not come at all.
            None if min_online.is_zero() => self.numbers.below(self.up.len() as u32) as usize,
            None => return Err(NoLeave::TooEarly),
        };
        let node = self.up.remove(place);
        self.end(node, now, leave);
        Ok(())
    }

    /// Everybody leaves.
    pub fn stop(&mut self, now: Duration, leave: Leave) {
        for node in std::mem::take(&mut self.up).into_nodes() {
            self.end(node, now, leave);
        }
    }

    fn end(&mut self, node: u32, now: Duration, leave: Leave) {
        let sessions = &mut self.nodes[node as usize];
        match sessions.last_mut() {
            Some(session) if session.start < now => session.end = Some((now, leave)),
            _ => drop(sessions.pop()),
        }
        self.down.push(node, ended(&self.nodes[node as usize]));
    }

    /// The sessions of all who were there, those who came first first.
    pub fn trace(self) -> Option<Trace> {
        let mut lines: Vec<_> = self.nodes.into_iter().filter(|sessions| !sessions.is_empty()).collect();
        lines.sort_by_key(|sessions| sessions[0].start);
        Trace::new(lines)
    }
}

fn ended(sessions: &[Session]) -> Option<Duration> {
    sessions.last().and_then(|session| session.end).map(|(at, _)| at)
}
