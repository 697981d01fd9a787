//! Follows a job: its events and its log lines as they come, over cuts of the connection and
//! restarts of the controller. Each source is a thread; one loop hears all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use splay_protocol::api::{JobEvent, LogLine};

use super::client::{Client, Stream, passes, segment};
use super::{job, sse};
use crate::failure::Failure;

/// How long to wait before the controller is asked again; doubled up to the second figure.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// After a cut, lines are asked for again from so long before the last one: splayds deliver late
/// what they had kept, so lines do not come in the order of their times.
const OVERLAP_US: u64 = 120_000_000;

/// What is heard.
#[derive(Debug)]
pub enum News {
    /// Something happened to the job.
    Event(JobEvent),
    /// An instance wrote a line.
    Line(LogLine),
    /// The controller does not answer; it is asked again.
    Away(String),
    /// It answers again.
    Back,
    /// The job is over: no more events.
    EventsEnd,
    /// No more lines.
    LinesEnd,
    /// It is no use asking again.
    Failed(Failure),
    /// Ctrl-C, or SIGTERM.
    Interrupt,
}

/// Starts following a job's events.
pub fn events(client: Arc<Client>, id: String, news: Sender<News>) {
    let path = format!("/jobs/{}/events", segment(&id));
    let mut last = 0;
    std::thread::spawn(move || {
        let asker = client.clone();
        let told = news.clone();
        let open = |last: &u64| asker.stream(&path, &[("last-event-id", &last.to_string())]);
        let hear = |last: &mut u64, data: &str| {
            let Ok(event) = serde_json::from_str::<JobEvent>(data) else { return true };
            if event.number <= *last {
                return true;
            }
            *last = event.number;
            told.send(News::Event(event)).is_ok()
        };
        keep_reading(&client, &id, &news, &mut last, open, hear, News::EventsEnd);
    });
}

/// What lines have been told, as far as they may come again.
#[derive(Debug, Default)]
struct Told {
    lines: HashSet<(u32, u32, u64)>,
    latest_us: u64,
}

impl Told {
    /// Whether the line is new.
    fn add(&mut self, line: &LogLine) -> bool {
        self.latest_us = self.latest_us.max(line.at_us);
        let new = self.lines.insert((line.position, line.number, line.at_us));
        // What is too old to come again is forgotten now and then.
        if self.lines.len().is_power_of_two() && self.lines.len() > 100_000 {
            let oldest = self.since_us();
            self.lines.retain(|(_, _, at_us)| *at_us >= oldest);
        }
        new
    }

    fn since_us(&self) -> u64 {
        self.latest_us.saturating_sub(OVERLAP_US)
    }
}

/// Starts following a job's lines. `query` holds the filters, `a=b&c=d`, and `tail` how many of the
/// stored lines are wanted.
pub fn lines(client: Arc<Client>, id: String, query: String, tail: Option<u64>, news: Sender<News>) {
    let path = format!("/jobs/{}/logs/follow?{query}", segment(&id));
    std::thread::spawn(move || {
        let mut told = Told::default();
        let asker = client.clone();
        let heard = news.clone();
        let open = |told: &Told| {
            let more = match (told.latest_us, tail) {
                (0, None) => String::new(),
                (0, Some(tail)) => format!("&tail={tail}"),
                _ => format!("&from={:.6}", told.since_us() as f64 / 1e6),
            };
            asker.stream(&format!("{path}{more}"), &[("accept", "text/event-stream")])
        };
        let hear = |told: &mut Told, data: &str| match serde_json::from_str::<LogLine>(data) {
            Ok(line) if told.add(&line) => heard.send(News::Line(line)).is_ok(),
            _ => true,
        };
        keep_reading(&client, &id, &news, &mut told, open, hear, News::LinesEnd);
    });
}

/// Reads a stream of events, again from where it was cut, until the job is over or nobody listens.
fn keep_reading<S>(
    client: &Client,
    id: &str,
    news: &Sender<News>,
    state: &mut S,
    open: impl Fn(&S) -> Result<Stream, Failure>,
    hear: impl Fn(&mut S, &str) -> bool,
    end: News,
) {
    let mut pause = AGAIN.0;
    let mut away = false;
    loop {
        let why = match open(state) {
            Ok(mut stream) => {
                if std::mem::take(&mut away) && news.send(News::Back).is_err() {
                    return;
                }
                loop {
                    match sse::next(&mut stream) {
                        Ok(Some(event)) => {
                            pause = AGAIN.0;
                            if !hear(state, &event.data) {
                                return;
                            }
                        }
                        // A controller that ends closes its streams as well: is the job over?
                        Ok(None) => match job(client, id) {
                            Ok(job) if job.summary.state.is_final() => {
                                let _ = news.send(end);
                                return;
                            }
                            Ok(_) => break None,
                            Err(failure) => break Some(failure),
                        },
                        Err(error) => break Some(cut(client, &error)),
                    }
                }
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = why {
            if !passes(&failure) {
                let _ = news.send(News::Failed(failure));
                return;
            }
            if !std::mem::replace(&mut away, true) && news.send(News::Away(failure.to_string())).is_err() {
                return;
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(AGAIN.1);
    }
}

fn cut(client: &Client, error: &std::io::Error) -> Failure {
    Failure::Controller { url: client.url().to_owned(), message: format!("the connection was cut ({error})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_once() {
        let line =
            |number, at_us| LogLine { at_us, position: 1, number, kind: "out".into(), text: String::new() };
        let mut told = Told::default();
        assert!(told.add(&line(1, 500_000_000)) && told.add(&line(2, 400_000_000)));
        assert!(!told.add(&line(1, 500_000_000)));
        assert_eq!(told.since_us(), 380_000_000);
    }
}
