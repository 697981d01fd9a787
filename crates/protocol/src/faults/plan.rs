//! Follows the faults of a script while time passes. Pure: is told the time and who is there, touches
//! no clock. What is drawn follows from the seed and from who is there at the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Fault, Nodes, Rule, Set};
use crate::churn::script::{Place, Quantity};
use crate::churn::{Script, SourceError};
use crate::seed::SplitMix64;

/// The seed where nothing else says one.
const SEED: u64 = 1;

/// One time that a fault strikes: counted from 0 in the order of their beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrikeId(pub u32);

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Strike {
    /// A fault begins; one that does not last has happened.
    Begin(StrikeId, Fault<Nodes>),
    /// It ends.
    End(StrikeId, Fault<Nodes>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    // Ends come before beginnings of the same instant.
    End(StrikeId),
    Begin(StrikeId),
}

/// The faults of a script, and how far they are.
#[derive(Debug, Clone)]
pub struct Plan {
    rules: Vec<Rule>,
    groups: BTreeMap<String, Nodes>,
    /// The rule of each strike.
    strikes: Vec<u32>,
    steps: Vec<(Duration, Step)>,
    next: usize,
    active: BTreeMap<StrikeId, Fault<Nodes>>,
    population: u32,
    seed: u64,
}

impl Plan {
    /// The faults of a script in a run of so many nodes. Without a `seed`, the script's counts.
    pub fn new(script: &Script, population: u32, seed: Option<u64>) -> Result<Plan, SourceError> {
        let seed = seed.or(script.seed).unwrap_or(SEED);
        let mut plan = Plan {
            rules: script.faults.clone(),
            groups: BTreeMap::new(),
            strikes: Vec::new(),
            steps: Vec::new(),
            next: 0,
            active: BTreeMap::new(),
            population,
            seed,
        };
        let everyone: Vec<u32> = (1..=population).collect();
        for (index, group) in script.groups.iter().enumerate() {
            plan.check(&group.nodes, &group.place)?;
            // Streams of groups are from the far end, those of strikes from the near one.
            let mut random = SplitMix64::stream(seed, u64::MAX - index as u64);
            let nodes = plan.choose(&group.nodes, &everyone, &mut random);
            plan.groups.insert(group.name.clone(), nodes);
        }
        for rule in &script.faults {
            rule.fault.sets().into_iter().try_for_each(|set| plan.check(set, &rule.place))?;
            let fixed = rule.fault.try_map(|set| match set {
                Set::Random(_) | Set::Rest => Err(()),
                set => Ok(plan.choose(set, &everyone, &mut SplitMix64::new(0))),
            });
            // What is drawn never meets: those drawn already are left out.
            if let Some(error) = fixed.ok().and_then(|fault| fault.check().err()) {
                return Err(rule.place.error(error.to_string()));
            }
        }
        let mut times: Vec<(Duration, u32, Option<Duration>)> = Vec::new();
        for (index, rule) in (0..).zip(&script.faults) {
            let momentary = rule.fault.is_momentary();
            times.extend(rule.times().map(|(from, to)| (from, index, to.filter(|_| !momentary))));
        }
        times.sort_unstable();
        for (id, (from, rule, to)) in (0..).zip(times) {
            plan.strikes.push(rule);
            plan.steps.push((from, Step::Begin(StrikeId(id))));
            plan.steps.extend(to.map(|to| (to, Step::End(StrikeId(id)))));
        }
        plan.steps.sort_unstable();
        Ok(plan)
    }

    fn check(&self, set: &Set, place: &Place) -> Result<(), SourceError> {
        let Set::Numbers(ranges) = set else { return Ok(()) };
        match ranges.iter().find(|(_, to)| *to > self.population) {
            Some((_, node)) => {
                Err(place.error(format!("there is no node {node}: the run has {}", self.population)))
            }
            None => Ok(()),
        }
    }

    /// What its random choices follow from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether there are no faults at all.
    pub fn is_empty(&self) -> bool {
        self.strikes.is_empty()
    }

    /// How many times faults begin, in all.
    pub fn strikes(&self) -> usize {
        self.strikes.len()
    }

    /// When something happens next; `None`: nothing more does.
    pub fn next_at(&self) -> Option<Duration> {
        self.steps.get(self.next).map(|(at, _)| *at)
    }

    /// The rule that a strike comes from.
    pub fn rule(&self, id: StrikeId) -> &Rule {
        &self.rules[self.strikes[id.0 as usize] as usize]
    }

    /// Whether a strike ends before the run does.
    pub fn ends(&self, id: StrikeId) -> bool {
        self.steps.iter().any(|(_, step)| *step == Step::End(id))
    }

    /// What lasts at the moment.
    pub fn active(&self) -> impl Iterator<Item = (StrikeId, &Fault<Nodes>)> {
        self.active.iter().map(|(id, fault)| (*id, fault))
    }

    /// The next thing that is due at `now`. `up` are those there, in their order. Called until it
    /// gives none: what one of them does is seen by the next.
    pub fn due(&mut self, now: Duration, up: impl FnOnce() -> Vec<u32>) -> Option<Strike> {
        loop {
            let &(_, step) = self.steps.get(self.next).filter(|(at, _)| *at <= now)?;
            self.next += 1;
            match step {
                Step::Begin(id) => {
                    let fault = self.decide(id, &up());
                    if !fault.is_momentary() {
                        self.active.insert(id, fault.clone());
                    }
                    return Some(Strike::Begin(id, fault));
                }
                Step::End(id) => {
                    if let Some(fault) = self.active.remove(&id) {
                        return Some(Strike::End(id, fault));
                    }
                }
            }
        }
    }

    /// Who is struck.
    fn decide(&self, id: StrikeId, up: &[u32]) -> Fault<Nodes> {
        let fault = &self.rule(id).fault;
        let mut random = SplitMix64::stream(self.seed, u64::from(id.0));
        let sets = fault.sets();
        let mut drawn: Vec<Option<Nodes>> = Vec::new();
        let mut taken = BTreeSet::new();
        let fixed = |set: &Set| !matches!(set, Set::Random(_) | Set::Rest);
        for set in sets.iter().filter(|set| fixed(set)) {
            if let Nodes::These(nodes) = self.choose(set, up, &mut random) {
                taken.extend(nodes);
            }
        }
        for set in &sets {
            let nodes = match set {
                Set::Rest => None,
                Set::Random(_) => {
                    let free: Vec<u32> = up.iter().copied().filter(|node| !taken.contains(node)).collect();
                    Some(self.choose(set, &free, &mut random))
                }
                set => Some(self.choose(set, up, &mut random)),
            };
            if let Some(Nodes::These(nodes)) = &nodes {
                taken.extend(nodes);
            }
            drawn.push(nodes);
        }
        let rest = || Nodes::These((1..=self.population).filter(|node| !taken.contains(node)).collect());
        let mut drawn = drawn.into_iter().map(|nodes| nodes.unwrap_or_else(rest));
        let decided = fault.try_map(|_| drawn.next().ok_or(()));
        decided.expect("every set of a fault is mapped in the order of `sets`")
    }

    /// The nodes of a set that is not the rest; of those drawn, from `from`.
    fn choose(&self, set: &Set, from: &[u32], random: &mut SplitMix64) -> Nodes {
        match set {
            Set::All | Set::Rest => Nodes::All,
            Set::Numbers(ranges) => Nodes::These(ranges.iter().flat_map(|&(from, to)| from..=to).collect()),
            Set::Named(name) => self.groups.get(name).cloned().unwrap_or(Nodes::All),
            Set::Random(quantity) => {
                let there = from.len();
                let count = match *quantity {
                    Quantity::Nodes(count) => count.round(),
                    // Ten percent of three are one: a fault that is asked for happens.
                    Quantity::Percent(percent) if percent > 0.0 => {
                        (percent / 100.0 * there as f64).round().max(1.0)
                    }
                    Quantity::Percent(_) => 0.0,
                };
                let mut from = from.to_vec();
                let count = (count as usize).min(there);
                for place in 0..count {
                    let other = place + random.below((there - place) as u32) as usize;
                    from.swap(place, other);
                }
                from.truncate(count);
                Nodes::These(from.into_iter().collect())
            }
        }
    }
}
