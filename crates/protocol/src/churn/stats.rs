//! What a trace amounts to: population over time, sessions, downtimes, availability.

use std::time::Duration;

use serde::Serialize;

use super::schedule::Action;
use super::{Event, Trace};

/// Most intervals of a table, unless a length is given.
const MOST_INTERVALS: u128 = 24;

/// Figures of a trace. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// How many nodes there are.
    pub nodes: u32,
    /// Until when is counted: the last event, or longer if asked for.
    pub until_seconds: f64,
    /// Starts of nodes.
    pub joins: u64,
    /// Their ends.
    pub leaves: u64,
    /// How many of these are graceful.
    pub graceful: u64,
    /// How many nodes are there.
    pub population: Population,
    /// How long nodes stay, in seconds, as far as they go before the end.
    pub sessions: Option<Distribution>,
    /// Sessions that last beyond the end.
    pub open_sessions: u64,
    /// How long nodes stay away before they come back, in seconds.
    pub downtimes: Option<Distribution>,
    /// Share of the time a node is there, from its first start on: 0 to 1.
    pub availability: Option<Distribution>,
    /// What happens when.
    pub intervals: Vec<Interval>,
}

/// How many nodes are there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Population {
    /// The fewest.
    pub min: u32,
    /// Over time.
    pub mean: f64,
    /// The most.
    pub max: u32,
    /// At the end.
    pub end: u32,
}

/// How figures are spread. Percentiles are figures that occur (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// How many figures.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % are at most this.
    pub p90: f64,
    /// 99 % are at most this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Distribution {
    /// Of figures; `None` if there are none.
    pub fn of(mut figures: Vec<f64>) -> Option<Distribution> {
        figures.sort_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let count = figures.len();
        let rank = |share: f64| figures[((share * count as f64).ceil() as usize).clamp(1, count) - 1];
        let mean = figures.iter().sum::<f64>() / count as f64;
        Some(Distribution {
            count: count as u64,
            min,
            mean,
            p50: rank(0.5),
            p90: rank(0.9),
            p99: rank(0.99),
            max,
        })
    }
}

/// A part of the time, its end excluded; the last one has its end in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Its beginning.
    pub from_seconds: f64,
    /// Its end.
    pub to_seconds: f64,
    /// Starts of nodes.
    pub joins: u64,
    /// Ends of nodes.
    pub leaves: u64,
    /// Mean number of nodes there.
    pub mean_population: f64,
    /// Nodes there at its end.
    pub population: u32,
}

/// How many nodes are there from a time on, until the next one. Begins at 0.
pub fn population_steps(events: &[Event]) -> Vec<(Duration, u32)> {
    let mut steps = vec![(Duration::ZERO, 0)];
    let mut up = 0;
    for event in events {
        up = if event.action == Action::Start { up + 1 } else { up - 1 };
        match steps.last_mut() {
            Some(last) if last.0 == event.at => last.1 = up,
            _ => steps.push((event.at, up)),
        }
    }
    steps
}

/// A round length of which about twenty make up a time.
pub fn round_interval(whole: Duration) -> Duration {
    const LENGTHS: [u64; 7] = [1, 2, 5, 10, 15, 30, 60];
    let fits = |length: Duration| whole.as_micros().div_ceil(length.as_micros()) <= MOST_INTERVALS;
    let short = [50, 100, 200, 500].map(Duration::from_millis);
    let scales = [1u64, 60, 3600, 86400, 86400 * 60, 86400 * 3600];
    let long = scales.iter().flat_map(|scale| LENGTHS.iter().map(move |n| Duration::from_secs(scale * n)));
    short.into_iter().chain(long).find(|&length| fits(length)).unwrap_or(whole)
}

impl Statistics {
    /// Of a trace, up to its last event or up to `until`, in intervals of a length (`None`: a
    /// round one).
    pub fn of(trace: &Trace, until: Option<Duration>, interval: Option<Duration>) -> Statistics {
        let schedule = trace.schedule();
        let until = until.unwrap_or_else(|| schedule.end());
        let events: Vec<Event> =
            schedule.events().iter().copied().filter(|event| event.at <= until).collect();
        let steps = population_steps(&events);
        let count =
            |wanted: fn(Action) -> bool| events.iter().filter(|event| wanted(event.action)).count() as u64;
        let whole = mean(&steps, Duration::ZERO, until);
        let nodes = Nodes::of(trace, until);
        Statistics {
            nodes: trace.nodes(),
            until_seconds: until.as_secs_f64(),
            joins: count(|action| action == Action::Start),
            leaves: count(|action| action != Action::Start),
            graceful: count(|action| action == Action::Leave),
            population: Population {
                min: steps.iter().map(|step| step.1).min().unwrap_or(0),
                mean: whole,
                max: steps.iter().map(|step| step.1).max().unwrap_or(0),
                end: steps.last().map_or(0, |step| step.1),
            },
            sessions: Distribution::of(nodes.sessions),
            open_sessions: nodes.open,
            downtimes: Distribution::of(nodes.downtimes),
            availability: Distribution::of(nodes.availability),
            intervals: intervals(&events, &steps, until, interval.unwrap_or_else(|| round_interval(until))),
        }
    }
}

struct Nodes {
    sessions: Vec<f64>,
    open: u64,
    downtimes: Vec<f64>,
    availability: Vec<f64>,
}

impl Nodes {
    fn of(trace: &Trace, until: Duration) -> Nodes {
        let mut nodes = Nodes { sessions: vec![], open: 0, downtimes: vec![], availability: vec![] };
        for sessions in trace.lines() {
            let mut there = Duration::ZERO;
            let mut gone: Option<Duration> = None;
            for session in sessions.iter().filter(|session| session.start <= until) {
                nodes.downtimes.extend(gone.map(|at| (session.start - at).as_secs_f64()));
                match session.end.filter(|(at, _)| *at <= until) {
                    Some((at, _)) => {
                        nodes.sessions.push((at - session.start).as_secs_f64());
                        there += at - session.start;
                        gone = Some(at);
                    }
                    None => {
                        nodes.open += 1;
                        there += until - session.start;
                    }
                }
            }
            let known = until.saturating_sub(sessions[0].start);
            if !known.is_zero() {
                nodes.availability.push(there.as_secs_f64() / known.as_secs_f64());
            }
        }
        nodes
    }
}

/// The mean population of a period; of no time, the population then.
fn mean(steps: &[(Duration, u32)], from: Duration, to: Duration) -> f64 {
    let before = steps.partition_point(|step| step.0 <= from).max(1) - 1;
    if to <= from {
        return f64::from(steps[before].1);
    }
    let mut sum = 0.0;
    for (index, &(at, up)) in steps.iter().enumerate().skip(before) {
        if at >= to {
            break;
        }
        let end = steps.get(index + 1).map_or(to, |next| next.0.min(to));
        sum += f64::from(up) * (end - at.max(from)).as_secs_f64();
    }
    sum / (to - from).as_secs_f64()
}

fn intervals(
    events: &[Event],
    steps: &[(Duration, u32)],
    until: Duration,
    length: Duration,
) -> Vec<Interval> {
    let mut intervals = Vec::new();
    if length.is_zero() {
        return intervals;
    }
    let mut rest = events;
    let mut from = Duration::ZERO;
    let mut up = 0;
    while from < until || (from.is_zero() && intervals.is_empty()) {
        let to = (from + length).min(until);
        let last = to == until;
        let inside = rest.partition_point(|event| event.at < to || last);
        let (now, later) = rest.split_at(inside);
        let joins = now.iter().filter(|event| event.action == Action::Start).count();
        let leaves = now.len() - joins;
        up = up + joins - leaves;
        intervals.push(Interval {
            from_seconds: from.as_secs_f64(),
            to_seconds: to.as_secs_f64(),
            joins: joins as u64,
            leaves: leaves as u64,
            mean_population: mean(steps, from, to),
            population: up as u32,
        });
        rest = later;
        from += length;
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn figures_of_a_small_trace() {
        let trace = Trace::parse("0 10 15 20\n5\n").unwrap();
        let stats = Statistics::of(&trace, Some(S(25)), Some(S(10)));
        assert_eq!((stats.nodes, stats.joins, stats.leaves, stats.graceful), (2, 3, 2, 0));
        // 5 x 1, 5 x 2, 5 x 1, 5 x 2, 5 x 1
        assert_eq!(stats.population, Population { min: 1, mean: 1.4, max: 2, end: 1 });
        let sessions = stats.sessions.unwrap();
        assert_eq!((sessions.count, sessions.min, sessions.p50, sessions.max), (2, 5.0, 5.0, 10.0));
        assert_eq!((stats.open_sessions, stats.downtimes.unwrap().mean), (1, 5.0));
        let available = stats.availability.unwrap();
        assert_eq!((available.min, available.max), (0.6, 1.0));
        let rows: Vec<_> = stats
            .intervals
            .iter()
            .map(|row| (row.from_seconds, row.joins, row.leaves, row.mean_population, row.population))
            .collect();
        assert_eq!(rows, [(0.0, 2, 0, 1.5, 2), (10.0, 1, 1, 1.5, 2), (20.0, 0, 1, 1.0, 1)]);
    }

    #[test]
    fn trace_without_an_end() {
        let stats = Statistics::of(&Trace::parse("0\n0\n").unwrap(), None, None);
        assert_eq!((stats.population.max, stats.population.mean, stats.intervals.len()), (2, 2.0, 1));
        assert_eq!((stats.sessions, stats.availability, stats.open_sessions), (None, None, 2));
    }

    #[test]
    fn intervals_are_round() {
        assert_eq!(round_interval(S(1200)), S(60));
        assert_eq!(round_interval(S(20)), S(1));
        assert_eq!(round_interval(S(2)), Duration::from_millis(100));
        assert_eq!(round_interval(S(86400)), S(3600));
    }

    #[test]
    fn percentiles_are_figures() {
        let spread = Distribution::of((1..=100).map(f64::from).collect()).unwrap();
        assert_eq!((spread.p50, spread.p90, spread.p99, spread.mean), (50.0, 90.0, 99.0, 50.5));
    }
}
