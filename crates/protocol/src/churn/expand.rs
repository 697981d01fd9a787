//! What a script means: carries it out on a population and gives the trace.
//!
//! * An amount in percent is of those there when its rule begins.
//! * Those who join or leave in a period do so evenly spread over it.
//! * Churn of a period happens in up to twenty parts of at least 10 s and 2 %, so that it follows the
//!   population: in each part its share of the mean population leaves, and as many join, at random
//!   instants. Churn that meets other churn adds up.
//! * At an instant settings come first, then those who join or leave, then churn, then a stop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::order::{Ordered, order, priority};
use super::population::{NoJoin, NoLeave, Population, Rules};
use super::script::{Action, Churn, Place, Quantity, Rule, Script, When};
use super::trace::{Leave, Trace};
use super::{SourceError, seconds_text};

/// Percent of joining nodes that are new ones, unless the script says otherwise.
const REPLACEMENT_RATIO: f64 = 20.0;

/// Most nodes, unless the script says otherwise.
const MAX_POPULATION: u64 = 10_000_000;

/// Starts and stops beyond this are a mistake in the script, and would fill the memory.
const MOST_EVENTS: u64 = 5_000_000;

/// How churn follows the population.
const MOST_PARTS: f64 = 20.0;
const SHORTEST_PART: f64 = 10.0;
const SMALLEST_PART_PERCENT: f64 = 2.0;

/// The seed where neither the settings nor the script have one.
const SEED: u64 = 1;

/// How a script is carried out.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What random choices follow from; `None`: from the script's seed, or from 1.
    pub seed: Option<u64>,
    /// Where churn of two rules meets, the one that began last counts alone.
    pub latest_wins: bool,
    /// Rules that make no sense are mended, with a warning, instead of refused.
    pub repair: bool,
    /// Leaves when nobody is there are left out, with a warning, instead of refused.
    pub ignore_empty: bool,
    /// How long a node stays away at least.
    pub min_offline: Duration,
    /// New nodes join where none has been away for long enough; else that is an error.
    pub allow_creation: bool,
    /// How long a node stays at least.
    pub min_online: Duration,
}

/// A script carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// When which node is there. Those who come first are first.
    pub trace: Trace,
    /// What its random choices followed from.
    pub seed: u64,
    /// What was mended or had no effect.
    pub warnings: Vec<SourceError>,
}

/// Carries out a script.
pub fn expand(script: &Script, settings: &Settings) -> Result<Expansion, SourceError> {
    let Ordered { rules, warnings } = order(script, settings)?;
    let seed = settings.seed.or(script.seed).unwrap_or(SEED);
    let population = Population::new(
        Rules {
            max_population: MAX_POPULATION,
            replacement_ratio: REPLACEMENT_RATIO / 100.0,
            min_offline: settings.min_offline,
            allow_creation: settings.allow_creation,
            min_online: settings.min_online,
        },
        seed,
    );
    let mut run = Run {
        settings,
        population,
        agenda: BinaryHeap::new(),
        sequence: 0,
        churns: Vec::new(),
        events: 0,
        warnings,
        warned_of: Vec::new(),
    };
    for rule in &rules {
        run.plan(rule);
    }
    while let Some(Reverse(entry)) = run.agenda.pop() {
        run.carry_out(entry)?;
    }
    let nobody = || rules.last().map(|rule| rule.place.error("no node ever starts"));
    match run.population.trace() {
        Some(trace) => Ok(Expansion { trace, seed, warnings: run.warnings }),
        None => Err(nobody().unwrap_or_else(|| SourceError::at(1, "", 0, 0, "no node ever starts"))),
    }
}

/// Something to be carried out.
#[derive(Debug)]
enum Task<'a> {
    Rule(&'a Rule),
    /// One node, of a rule or of churn (its index).
    Join(&'a Place, Option<usize>),
    Leave(&'a Place, Leave, Option<usize>),
    /// A part of churn.
    Part {
        churn: usize,
        from: Duration,
        to: Duration,
        quantity: Quantity,
    },
}

#[derive(Debug)]
struct Entry<'a> {
    at: Duration,
    priority: u8,
    sequence: u64,
    task: Task<'a>,
}

impl Entry<'_> {
    fn key(&self) -> (Duration, u8, u64) {
        (self.at, self.priority, self.sequence)
    }
}

impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry<'_> {}

impl PartialOrd for Entry<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What is to be remembered of a churn rule.
#[derive(Debug)]
struct Turnover<'a> {
    place: &'a Place,
    leave: Leave,
    /// Parts of nodes, for the next part of the period.
    rest: f64,
    joins_left: u64,
    leaves_left: u64,
    /// Joins made leaves because nobody fits any more, less the leaves made joins because nobody
    /// was there: that many of those to come are exchanged back.
    exchanged: i64,
}

struct Run<'a> {
    settings: &'a Settings,
    population: Population,
    agenda: BinaryHeap<Reverse<Entry<'a>>>,
    sequence: u64,
    churns: Vec<Turnover<'a>>,
    events: u64,
    warnings: Vec<SourceError>,
    /// Rules that have had their warning.
    warned_of: Vec<(u32, &'static str)>,
}

impl<'a> Run<'a> {
    fn push(&mut self, at: Duration, priority: u8, task: Task<'a>) {
        self.agenda.push(Reverse(Entry { at, priority, sequence: self.sequence, task }));
        self.sequence += 1;
    }

    fn warn(&mut self, place: &Place, what: &'static str) {
        if !self.warned_of.contains(&(place.line, what)) {
            self.warned_of.push((place.line, what));
            self.warnings.push(place.error(what));
        }
    }

    fn plan(&mut self, rule: &'a Rule) {
        match (&rule.churn, rule.when) {
            (Some(churn), When::During(from, to)) => self.plan_churn(&rule.place, churn, from, to),
            _ => self.push(rule.when.start(), priority(&rule.action), Task::Rule(rule)),
        }
    }

    fn plan_churn(&mut self, place: &'a Place, churn: &Churn, from: Duration, to: Duration) {
        let length = (to - from).as_secs_f64();
        let times = churn.per.map_or(1.0, |per| length / per.as_secs_f64());
        let mut parts = (length / SHORTEST_PART).floor().min(MOST_PARTS);
        if let Quantity::Percent(percent) = churn.quantity {
            parts = parts.min((percent * times / SMALLEST_PART_PERCENT).floor());
        }
        let parts = parts.max(1.0);
        let share = times / parts;
        let quantity = match churn.quantity {
            Quantity::Nodes(nodes) => Quantity::Nodes(nodes * share),
            Quantity::Percent(percent) => Quantity::Percent(percent * share),
        };
        let index = self.churns.len();
        let leave = churn.leave;
        self.churns.push(Turnover { place, leave, rest: 0.0, joins_left: 0, leaves_left: 0, exchanged: 0 });
        let edge = |part: u32| {
            let seconds = from.as_secs_f64() + length * f64::from(part) / parts;
            Duration::from_millis((seconds * 1e3).round() as u64).clamp(from, to)
        };
        for part in 0..parts as u32 {
            let (from, to) = (edge(part), edge(part + 1));
            self.push(from, 2, Task::Part { churn: index, from, to, quantity });
        }
    }

    fn carry_out(&mut self, entry: Entry<'a>) -> Result<(), SourceError> {
        let now = entry.at;
        match entry.task {
            Task::Rule(rule) => self.begin(rule, now),
            Task::Join(place, None) => self.join(place, now),
            Task::Leave(place, leave, None) => self.leave(place, now, leave),
            Task::Join(_, Some(churn)) => self.churn_one(churn, true, now),
            Task::Leave(_, _, Some(churn)) => self.churn_one(churn, false, now),
            Task::Part { churn, from, to, quantity } => self.begin_part(churn, from, to, quantity),
        }
    }

    fn begin(&mut self, rule: &'a Rule, now: Duration) -> Result<(), SourceError> {
        let place = &rule.place;
        let up = self.population.up();
        match rule.action {
            Action::MaxPopulation(quantity) => {
                let most = self.nodes(place, quantity)?;
                if most < up {
                    return Err(
                        place.error(format!("{up} nodes are there at {}s already", seconds_text(now)))
                    );
                }
                self.population.rules().max_population = most;
            }
            Action::ReplacementRatio(percent) => self.population.rules().replacement_ratio = percent / 100.0,
            Action::Join(quantity) => {
                let count = self.nodes(place, quantity)?;
                self.spread(rule, count, || Task::Join(place, None))?;
            }
            Action::Leave(quantity, leave) => {
                let count = self.nodes(place, quantity)?;
                self.spread(rule, count, || Task::Leave(place, leave, None))?;
            }
            Action::Const => self.warn(place, "`const` without churn changes nothing"),
            Action::Stop(leave) => self.population.stop(now, leave),
        }
        Ok(())
    }

    /// An amount as a number of nodes.
    fn nodes(&mut self, place: &Place, quantity: Quantity) -> Result<u64, SourceError> {
        match quantity {
            Quantity::Nodes(nodes) if nodes.fract() != 0.0 => {
                Err(place.error(format!("{nodes} is not a whole number of nodes")))
            }
            Quantity::Nodes(nodes) => Ok(nodes as u64),
            Quantity::Percent(percent) => {
                let nodes = (percent / 100.0 * self.population.up() as f64).round() as u64;
                if nodes == 0 && percent > 0.0 {
                    self.warn(place, "this percentage of those there is nobody");
                }
                Ok(nodes)
            }
        }
    }

    fn count_events(&mut self, place: &Place, more: u64) -> Result<(), SourceError> {
        self.events = self.events.saturating_add(more);
        if self.events > MOST_EVENTS {
            return Err(place.error(format!("with this, there are more than {MOST_EVENTS} starts and stops")));
        }
        Ok(())
    }

    /// So many tasks at the rule's instant, or evenly in its period.
    fn spread(&mut self, rule: &'a Rule, count: u64, task: impl Fn() -> Task<'a>) -> Result<(), SourceError> {
        self.count_events(&rule.place, count)?;
        for index in 0..count {
            let at = match rule.when {
                When::At(at) => at,
                When::During(from, to) => {
                    // In the middle of its share of the period: what begins where this ends
                    // finds it done.
                    let share = (to - from).as_secs_f64() * (index as f64 + 0.5) / count as f64;
                    from + Duration::from_micros((share * 1e3).floor() as u64 * 1000)
                }
            };
            self.push(at, 1, task());
        }
        Ok(())
    }

    fn join(&mut self, place: &Place, now: Duration) -> Result<(), SourceError> {
        let at = seconds_text(now);
        self.population.join(now).map_err(|why| match why {
            NoJoin::Full => {
                let most = self.population.rules().max_population;
                place.error(format!("nobody can join at {at}s: there are {most} nodes, the maximum"))
            }
            NoJoin::TooEarly => place.error(format!(
                "nobody can join at {at}s: no node has been away for {}s, and no new one is allowed",
                seconds_text(self.settings.min_offline)
            )),
        })
    }

    fn leave(&mut self, place: &Place, now: Duration, leave: Leave) -> Result<(), SourceError> {
        let Err(why) = self.population.leave(now, leave) else { return Ok(()) };
        if self.settings.ignore_empty {
            self.warn(place, "some leaves are left out: nobody is there that can leave");
            return Ok(());
        }
        let at = seconds_text(now);
        Err(place.error(match why {
            NoLeave::Empty => format!("nobody can leave at {at}s: nobody is there"),
            NoLeave::TooEarly => {
                let least = seconds_text(self.settings.min_online);
                format!("nobody can leave at {at}s: no node has been there for {least}s")
            }
        }))
    }

    fn begin_part(
        &mut self,
        churn: usize,
        from: Duration,
        to: Duration,
        quantity: Quantity,
    ) -> Result<(), SourceError> {
        let amount = match quantity {
            Quantity::Nodes(nodes) => nodes,
            Quantity::Percent(percent) => percent / 100.0 * self.mean_population(from, to),
        };
        let turnover = &mut self.churns[churn];
        let place = turnover.place;
        // Sums of parts are a little less than they should be.
        let count = (amount + turnover.rest + 1e-6).floor();
        turnover.rest += amount - count;
        let count = count as u64;
        turnover.joins_left += count;
        turnover.leaves_left += count;
        let leave = turnover.leave;
        self.count_events(place, 2 * count)?;
        for _ in 0..count {
            let (out, back) = (self.population.instant(from, to), self.population.instant(from, to));
            self.push(out, 2, Task::Leave(place, leave, Some(churn)));
            self.push(back, 2, Task::Join(place, Some(churn)));
        }
        Ok(())
    }

    /// The mean population of a period to come, as far as it is known.
    fn mean_population(&self, from: Duration, to: Duration) -> f64 {
        let length = (to - from).as_secs_f64().max(1e-6);
        let change: f64 = self
            .agenda
            .iter()
            .filter(|Reverse(entry)| entry.at < to)
            .map(|Reverse(entry)| {
                let weight = (to - entry.at).as_secs_f64() / length;
                match entry.task {
                    Task::Join(_, None) => weight,
                    Task::Leave(_, _, None) => -weight,
                    _ => 0.0,
                }
            })
            .sum();
        (self.population.up() as f64 + change).max(0.0)
    }

    /// One node of churn comes or goes. Where it cannot, one goes or comes instead, and the other
    /// way round later.
    fn churn_one(&mut self, churn: usize, mut joins: bool, now: Duration) -> Result<(), SourceError> {
        let turnover = &mut self.churns[churn];
        let (place, leave) = (turnover.place, turnover.leave);
        *if joins { &mut turnover.joins_left } else { &mut turnover.leaves_left } -= 1;
        if turnover.exchanged > 0 && !joins {
            turnover.exchanged -= 1;
            joins = true;
        } else if turnover.exchanged < 0 && joins {
            turnover.exchanged += 1;
            joins = false;
        }
        if joins && self.population.join(now).is_err() {
            let turnover = &mut self.churns[churn];
            // Leaves to come that are not spoken for can become joins.
            if turnover.leaves_left as i64 > turnover.exchanged.max(0)
                && self.population.leave(now, leave).is_ok()
            {
                turnover.exchanged += 1;
            } else {
                self.warn(place, "some churn is left out: nobody is there that can join");
            }
        } else if !joins && self.population.leave(now, leave).is_err() {
            let turnover = &mut self.churns[churn];
            if turnover.joins_left as i64 > (-turnover.exchanged).max(0) && self.population.join(now).is_ok()
            {
                turnover.exchanged -= 1;
            } else {
                self.warn(place, "some churn is left out: nobody is there that can leave");
            }
        }
        Ok(())
    }
}
