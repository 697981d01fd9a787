//! Traces: for each node, when it is there. One line a node, its times in seconds, which are in
//! turn a start and a stop; `g` behind a stop: it leaves gracefully.

use std::fmt;
use std::time::Duration;

use super::source::without_comments;
use super::{LATEST, Schedule, SourceError};

/// How a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leave {
    /// As if its machine lost power.
    #[default]
    Crash,
    /// It is told and may say goodbye.
    Graceful,
}

/// A time during which a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its first moment.
    pub start: Duration,
    /// When and how it ends; `None`: not before the run does.
    pub end: Option<(Duration, Leave)>,
}

/// The sessions of each node. There is at least one node, each has at least one session, and
/// times of a node increase strictly, in whole microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<Vec<Session>>,
}

impl Trace {
    /// From sessions; `None` if they are not as a trace's are.
    pub fn new(lines: Vec<Vec<Session>>) -> Option<Trace> {
        let whole = |at: Duration| at.subsec_nanos().is_multiple_of(1000) && at <= LATEST;
        let proper = |sessions: &Vec<Session>| {
            let mut previous: Option<Duration> = None;
            let mut over = false;
            let mut later = |at: Duration| {
                let fine = whole(at) && previous.is_none_or(|before| before < at);
                previous = Some(at);
                fine
            };
            !sessions.is_empty()
                && sessions.iter().all(|session| {
                    let fine = !over && later(session.start);
                    over = session.end.is_none();
                    fine && session.end.is_none_or(|(at, _)| later(at))
                })
        };
        let fits = !lines.is_empty() && u32::try_from(lines.len()).is_ok();
        (fits && lines.iter().all(proper)).then_some(Trace { lines })
    }

    /// Reads a trace. Blank lines and comments (`#`, `//`, `/* */`) count for nothing.
    pub fn parse(text: &str) -> Result<Trace, SourceError> {
        let mut lines = Vec::new();
        for ((number, original), line) in (1..).zip(text.lines()).zip(without_comments(text)?) {
            if !line.trim().is_empty() {
                lines.push(parse_line(number, original, &line)?);
            }
        }
        if lines.is_empty() {
            let (number, text) = (1..).zip(text.lines()).last().unwrap_or((1, ""));
            return Err(SourceError::at(
                number,
                text,
                text.len(),
                text.len(),
                "a trace needs at least one node",
            ));
        }
        Ok(Trace { lines })
    }

    /// Whether a text looks like a trace: its first word is a number.
    pub fn is_trace(text: &str) -> bool {
        let Ok(lines) = without_comments(text) else { return false };
        lines.iter().find_map(|line| line.split_whitespace().next()).is_some_and(|word| {
            word.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-' || c == '+')
        })
    }

    /// The sessions of each node, the first node's first.
    pub fn lines(&self) -> &[Vec<Session>] {
        &self.lines
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> u32 {
        self.lines.len() as u32
    }

    /// The events in their order.
    pub fn schedule(&self) -> Schedule {
        Schedule::of(self)
    }

    /// When the last event happens.
    pub fn end(&self) -> Duration {
        let last = |sessions: &Vec<Session>| {
            sessions.last().map(|session| session.end.map_or(session.start, |(at, _)| at))
        };
        self.lines.iter().filter_map(last).max().unwrap_or_default()
    }

    /// How many nodes are there at a time. One that goes at this time is not.
    pub fn population(&self, at: Duration) -> u32 {
        let there = |session: &Session| session.start <= at && session.end.is_none_or(|(end, _)| end > at);
        self.lines.iter().filter(|sessions| sessions.iter().any(there)).count() as u32
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sessions in &self.lines {
            for (index, session) in sessions.iter().enumerate() {
                let space = if index == 0 { "" } else { " " };
                write!(f, "{space}{}", seconds_text(session.start))?;
                if let Some((at, leave)) = session.end {
                    let mark = if leave == Leave::Graceful { "g" } else { "" };
                    write!(f, " {}{mark}", seconds_text(at))?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Seconds as a trace has them: to the microsecond, no zeros at the end.
pub fn seconds_text(at: Duration) -> String {
    match at.subsec_micros() {
        0 => at.as_secs().to_string(),
        micros => format!("{}.{micros:06}", at.as_secs()).trim_end_matches('0').to_owned(),
    }
}

fn parse_line(number: u32, original: &str, line: &str) -> Result<Vec<Session>, SourceError> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut previous: Option<(Duration, &str)> = None;
    for word in line.split_whitespace() {
        let from = word.as_ptr() as usize - line.as_ptr() as usize;
        let wrong = |message: String| SourceError::at(number, original, from, from + word.len(), message);
        let open = sessions.last_mut().filter(|session| session.end.is_none());
        let (digits, leave) = match word.strip_suffix('g') {
            Some(digits) => (digits, Leave::Graceful),
            None => (word, Leave::Crash),
        };
        let at = read_seconds(digits).map_err(|why| wrong(format!("`{word}` {why}")))?;
        if let Some((before, text)) = previous.filter(|(before, _)| *before >= at) {
            let relation = if before == at { "again" } else { "after" };
            return Err(wrong(format!(
                "`{word}` comes {relation} `{text}`: times of a node increase strictly"
            )));
        }
        match open {
            Some(session) => session.end = Some((at, leave)),
            None if leave == Leave::Graceful => {
                return Err(wrong(format!("`{word}` is a start, and only a stop can be graceful")));
            }
            None => sessions.push(Session { start: at, end: None }),
        }
        previous = Some((at, word));
    }
    Ok(sessions)
}

/// Reads `100` or `0.25`, exactly.
pub(super) fn read_seconds(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "is not a time in seconds such as 100 or 0.25";
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(WRONG);
    }
    if fraction.len() > 6 {
        return Err("has more than 6 decimals: times are in microseconds");
    }
    let seconds = whole.parse::<u64>().ok().filter(|&seconds| seconds <= LATEST.as_secs());
    let seconds = seconds.ok_or("is later than a trace may go, 1000000000 seconds")?;
    let micros: u64 = format!("{fraction:0<6}").parse().map_err(|_| WRONG)?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str =
        "0 100 120 200     # up at 0, down at 100, up 120..200\n\n50                # joins\n0 7.5g\n";

    #[test]
    fn written_form_is_stable() {
        let trace = Trace::parse(MANUAL).unwrap();
        assert_eq!(trace.to_string(), "0 100 120 200\n50\n0 7.5g\n");
        assert_eq!((trace.nodes(), trace.end()), (3, Duration::from_secs(200)));
        let schedule = trace.schedule();
        assert_eq!(
            serde_json::to_string(&schedule).unwrap(),
            concat!(
                r#"{"nodes":3,"events":[{"at_us":0,"action":"start","node":1},"#,
                r#"{"at_us":0,"action":"start","node":3},{"at_us":7500000,"action":"leave","node":3},"#,
                r#"{"at_us":50000000,"action":"start","node":2},{"at_us":100000000,"action":"stop","node":1},"#,
                r#"{"at_us":120000000,"action":"start","node":1},{"at_us":200000000,"action":"stop","node":1}]}"#
            )
        );
        let again: Schedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
        assert_eq!(again, schedule);
    }

    #[test]
    fn population_counts_who_is_there() {
        let trace = Trace::parse(MANUAL).unwrap();
        let at = |seconds: u64| trace.population(Duration::from_secs(seconds));
        assert_eq!([at(0), at(7), at(8), at(50), at(100), at(120), at(200)], [2, 2, 1, 2, 1, 2, 1]);
    }

    #[test]
    fn errors_name_their_place() {
        for (text, line, column, part) in [
            ("0 10\n# x\n5 3", 3, 3, "`3` comes after `5`"),
            ("0 10 10", 1, 6, "`10` comes again `10`"),
            ("0 ten", 1, 3, "`ten` is not a time"),
            ("-1", 1, 1, "`-1` is not a time"),
            ("0 1e5", 1, 3, "is not a time"),
            ("0 .5", 1, 3, "is not a time"),
            ("5g", 1, 1, "only a stop can be graceful"),
            ("0.1234567", 1, 1, "more than 6 decimals"),
            ("1000000001", 1, 1, "later than a trace may go"),
            ("99999999999999999999999", 1, 1, "later than"),
            ("/* é */ 5 x", 1, 11, "`x` is not"),
            ("\n# nothing\n", 2, 10, "at least one node"),
            ("", 1, 1, "at least one node"),
        ] {
            let error = Trace::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn stops_come_first_at_an_instant() {
        let schedule = Trace::parse("0 10\n10 20\n0 10g").unwrap().schedule();
        let order: Vec<_> = schedule.events()[2..5].iter().map(|event| (event.action, event.node)).collect();
        assert_eq!(order, [(Action::Stop, 1), (Action::Leave, 3), (Action::Start, 2)]);
    }

    use super::super::Action;

    #[test]
    fn sessions_are_checked() {
        let s = Duration::from_secs;
        let session =
            |start, end: Option<u64>| Session { start: s(start), end: end.map(|at| (s(at), Leave::Crash)) };
        assert!(Trace::new(vec![vec![session(0, Some(1)), session(2, None)]]).is_some());
        for bad in [
            vec![],
            vec![vec![]],
            vec![vec![session(1, Some(1))]],
            vec![vec![session(0, None), session(2, None)]],
            vec![vec![session(0, Some(3)), session(3, None)]],
            vec![vec![Session { start: Duration::from_nanos(1), end: None }]],
        ] {
            assert!(Trace::new(bad.clone()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn traces_are_told_from_scripts() {
        assert!(Trace::is_trace("# c\n\n0 5\n") && Trace::is_trace("50"));
        assert!(!Trace::is_trace("at 5s join 3") && !Trace::is_trace(""));
    }
}
