//! Traces from measurements of real machines, such as those of the Overnet file-sharing network
//! (Bhagwan, Savage, Voelker: "Understanding Availability", IPTPS 2003).
//!
//! A measurement is a text with one observation a line, fields apart by blanks, commas or
//! semicolons, in whatever order of lines:
//!
//! ```text
//! # node, seconds, state: up or on, down or off
//! a7f3, 0, up
//! a7f3, 1200, down
//! # or node, seconds from, seconds to
//! b001, 300, 4500
//! ```
//!
//! A node is any word. Seconds count from anywhere (a date in seconds will do) and may have
//! decimals. Observations that say again what is known are allowed: polling makes such. `#` begins a
//! comment, and the first line may name the columns.

use std::collections::BTreeMap;
use std::time::Duration;

use super::source::without_comments;
use super::trace::{Leave, Session, Trace, read_seconds};
use super::{LATEST, SourceError};
use crate::seed::SplitMix64;

/// What was measured: for each node, when it was there.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Periods of each node in order, apart from each other; `None`: up when the measurement ended.
    nodes: Vec<(String, Vec<Period>)>,
    first: Duration,
    last: Duration,
}

type Period = (Duration, Option<Duration>);

/// Which part of a measurement becomes a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// How many of the nodes that are there in the window, chosen at random; `None`: all.
    pub nodes: Option<u32>,
    /// What the choice follows from.
    pub seed: u64,
    /// The window's beginning, counted from the measurement's: time 0 of the trace.
    pub from: Duration,
    /// The window's length; `None`: up to the measurement's end.
    pub length: Option<Duration>,
    /// How much faster the trace goes than what was measured: 10 makes an hour six minutes.
    pub speed: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Selection { nodes: None, seed: 1, from: Duration::ZERO, length: None, speed: 1.0 }
    }
}

/// Why a measurement gives no trace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectionError {
    /// The window is beyond the measurement.
    #[error("the window begins at {from} s, and the measurement is {length} s long")]
    Window {
        /// Where it begins, in seconds.
        from: f64,
        /// Length of the measurement in seconds.
        length: f64,
    },
    /// Fewer nodes than asked for.
    #[error("{wanted} nodes are asked for, and {found} are there in the window")]
    Nodes {
        /// How many are wanted.
        wanted: u32,
        /// How many there are.
        found: u32,
    },
    /// Nobody.
    #[error("no node is there in the window")]
    Nobody,
    /// Not a speed.
    #[error("a speed is more than 0 and at most 1000000, not {0}")]
    Speed(f64),
}

enum Seen {
    Up(Duration),
    Down(Duration),
    During(Duration, Duration),
}

impl Measurement {
    /// Reads a measurement.
    pub fn parse(text: &str) -> Result<Measurement, SourceError> {
        let mut seen: BTreeMap<&str, Vec<Seen>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        let (mut first, mut last) = (LATEST, Duration::ZERO);
        let bare = without_comments(text)?;
        let mut heading = true;
        for ((number, original), line) in (1..).zip(text.lines()).zip(&bare) {
            let separator = |c: char| c.is_whitespace() || c == ',' || c == ';';
            let fields: Vec<&str> = line.split(separator).filter(|field| !field.is_empty()).collect();
            if fields.is_empty() {
                continue;
            }
            let begins_with_words = std::mem::take(&mut heading)
                && fields.len() == 3
                && fields[1].starts_with(|c: char| c.is_ascii_alphabetic());
            if begins_with_words {
                continue;
            }
            let wrong = |field: &str, message: &str| {
                let from = field.as_ptr() as usize - line.as_ptr() as usize;
                SourceError::at(number, original, from, from + field.len(), message)
            };
            let &[_, time, what] = fields.as_slice() else {
                let message = "three fields were expected: node, time, and `up`, `down` or another time";
                return Err(wrong(line.trim(), message));
            };
            let seconds =
                |field| read_seconds(field).map_err(|why| wrong(field, &format!("`{field}` {why}")));
            let at = seconds(time)?;
            let observation = match what.to_ascii_lowercase().as_str() {
                "up" | "on" => Seen::Up(at),
                "down" | "off" => Seen::Down(at),
                word if word.starts_with(|c: char| c.is_ascii_digit()) => Seen::During(at, seconds(what)?),
                _ => return Err(wrong(what, &format!("`{what}` is neither `up`, `down` nor a time"))),
            };
            first = first.min(at);
            last = last.max(at);
            if let Seen::During(from, to) = observation {
                if to <= from {
                    return Err(wrong(what, &format!("this period ends at {what}, before it has begun")));
                }
                last = last.max(to);
            }
            // The node's name is taken from the text: comments in a line cannot be part of it.
            let from = fields[0].as_ptr() as usize - line.as_ptr() as usize;
            let name = &original[from..from + fields[0].len()];
            seen.entry(name)
                .or_insert_with(|| {
                    order.push(name);
                    Vec::new()
                })
                .push(observation);
        }
        if order.is_empty() {
            return Err(SourceError::at(1, text.lines().next().unwrap_or(""), 0, 0, "nothing was measured"));
        }
        let periods = |name: &str| periods(seen.remove(name).unwrap_or_default());
        let mut periods = periods;
        let nodes = order.into_iter().map(|name| (name.to_owned(), periods(name))).collect();
        Ok(Measurement { nodes, first, last })
    }

    /// How many nodes were measured.
    pub fn nodes(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// From the first observation to the last.
    pub fn length(&self) -> Duration {
        self.last.saturating_sub(self.first)
    }

    /// A part of it as a trace. Nodes that are there at the beginning of the window are initial
    /// ones; those that are there at its end stay. Lines are in the order of first starts.
    pub fn trace(&self, selection: &Selection) -> Result<Trace, SelectionError> {
        let speed = selection.speed;
        if !(speed > 0.0 && speed <= 1e6) {
            return Err(SelectionError::Speed(speed));
        }
        let from = self.first + selection.from;
        let to = selection.length.map_or(self.last, |length| (from + length).min(self.last));
        if from > self.last || (from == self.last && !self.length().is_zero()) {
            let length = self.length().as_secs_f64();
            return Err(SelectionError::Window { from: selection.from.as_secs_f64(), length });
        }
        let scaled = |at: Duration| {
            Duration::from_millis(((at - from).as_secs_f64() / speed * 1e3).round() as u64).min(LATEST)
        };
        let mut lines: Vec<Vec<Session>> = self
            .nodes
            .iter()
            .map(|(_, periods)| cut(periods, from, to, scaled))
            .filter(|sessions| !sessions.is_empty())
            .collect();
        if let Some(wanted) = selection.nodes {
            let found = lines.len() as u32;
            if wanted > found {
                return Err(SelectionError::Nodes { wanted, found });
            }
            let mut numbers = SplitMix64::new(selection.seed);
            for place in 0..wanted {
                lines.swap(place as usize, (place + numbers.below(found - place)) as usize);
            }
            lines.truncate(wanted as usize);
        }
        lines.sort_by_key(|sessions| sessions[0].start);
        Trace::new(lines).ok_or(SelectionError::Nobody)
    }
}

/// Observations as periods in order, those that touch made one.
fn periods(mut seen: Vec<Seen>) -> Vec<Period> {
    // Down before up at an instant: a machine that was started again at once.
    seen.sort_by_key(|one| match one {
        Seen::Down(at) => (*at, 0),
        Seen::Up(at) | Seen::During(at, _) => (*at, 1),
    });
    let mut periods: Vec<Period> = Vec::new();
    for one in seen {
        let last = periods.last_mut();
        match one {
            Seen::Up(at) => match last {
                Some((_, None)) => {}
                Some((_, Some(end))) if *end >= at => {}
                _ => periods.push((at, None)),
            },
            Seen::Down(at) => {
                if let Some((_, end @ None)) = last {
                    *end = Some(at);
                }
            }
            Seen::During(from, to) => match last {
                Some((_, None)) => {}
                Some((_, Some(end))) if *end >= from => *end = to.max(*end),
                _ => periods.push((from, Some(to))),
            },
        }
    }
    periods.retain(|(from, to)| to.is_none_or(|to| to > *from));
    periods
}

/// The part of periods that is in the window, scaled. What becomes shorter than can be told is left
/// out: a session, or a pause.
fn cut(
    periods: &[Period],
    from: Duration,
    to: Duration,
    scaled: impl Fn(Duration) -> Duration,
) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for &(begin, end) in periods {
        let end = end.filter(|&end| end < to);
        if end.is_some_and(|end| end <= from) || begin >= to && begin > from {
            continue;
        }
        let start = scaled(begin.max(from));
        let end = end.map(|end| (scaled(end), Leave::Crash));
        if end.is_some_and(|(at, _)| at <= start) {
            continue;
        }
        match sessions.last_mut() {
            Some(last) if last.end.is_some_and(|(at, _)| at >= start) => last.end = end,
            _ => sessions.push(Session { start, end }),
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    const MEASURED: &str = "node,time,state\n\
        a,1000,up\na,1100,up\na,1600,down\na,1900,down\na,2200,up\n\
        b;1300;2500\nb 2400 2800\n# c is polled once\nc, 3000, up\nd 1200 off\n";

    fn trace(selection: &Selection) -> String {
        Measurement::parse(MEASURED).unwrap().trace(selection).unwrap().to_string()
    }

    #[test]
    fn observations_become_a_trace() {
        let measured = Measurement::parse(MEASURED).unwrap();
        assert_eq!((measured.nodes(), measured.length()), (4, S(2000)));
        // c is seen at the last moment alone, d never up.
        assert_eq!(trace(&Selection::default()), "0 600 1200\n300 1800\n");
    }

    #[test]
    fn windows_and_speed() {
        let window = Selection { from: S(500), length: Some(S(1000)), speed: 10.0, ..Selection::default() };
        assert_eq!(trace(&window), "0 10 70\n0\n");
        let beyond = Selection { from: S(5000), ..Selection::default() };
        let error = Measurement::parse(MEASURED).unwrap().trace(&beyond).unwrap_err();
        assert_eq!(error.to_string(), "the window begins at 5000 s, and the measurement is 2000 s long");
    }

    #[test]
    fn nodes_are_chosen_by_seed() {
        let text: String = (0..100).map(|n| format!("n{n} {n} {}\n", n + 1000)).collect();
        let measured = Measurement::parse(&text).unwrap();
        let of = |seed| measured.trace(&Selection { nodes: Some(10), seed, ..Selection::default() }).unwrap();
        assert_eq!((of(1).nodes(), of(1)), (10, of(1)));
        assert_ne!(of(1), of(2));
        let many = Selection { nodes: Some(101), ..Selection::default() };
        let error = measured.trace(&many).unwrap_err();
        assert_eq!(error.to_string(), "101 nodes are asked for, and 100 are there in the window");
        let stopped = Selection { speed: 0.0, ..Selection::default() };
        assert!(matches!(measured.trace(&stopped), Err(SelectionError::Speed(_))));
    }

    #[test]
    fn high_speed_loses_what_is_too_short() {
        let measured = Measurement::parse("a 0 100\na 100.5 200\nb 10 10.2\nb 50 90\n").unwrap();
        let fast = measured.trace(&Selection { speed: 2000.0, ..Selection::default() }).unwrap();
        assert_eq!(fast.to_string(), "0\n0.025 0.045\n");
    }

    #[test]
    fn errors_name_their_place() {
        for (text, line, column, part) in [
            ("a 0 up\nb 5", 2, 1, "three fields"),
            ("a 0 up\nb 5 gone", 2, 5, "neither `up`, `down` nor a time"),
            ("a 0 up\nb x up", 2, 3, "not a time in seconds"),
            ("a 10 5", 1, 6, "before it has begun"),
            ("# nothing", 1, 1, "nothing was measured"),
        ] {
            let error = Measurement::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
