//! The one enum of everything that happens in a run. The dispatcher makes events; every
//! reporter (terminal, progress line, logs, events.jsonl, summary) sees the same ones.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use splay_protocol::churn::Action;
use splay_runtime::host::{Check, EndReason, InstanceNumber, Report, Stream, Usage};
use splay_runtime::view::View;

use crate::trace::Sources;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When, counted from the start of the run.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// An instance's main chunk is about to run.
    Started {
        /// Which instance.
        instance: InstanceNumber,
    },
    /// An instance wrote a line.
    Output {
        /// Which instance.
        instance: InstanceNumber,
        /// Where to.
        #[serde(serialize_with = "stream_name")]
        stream: Stream,
        /// The line, any bytes.
        #[serde(serialize_with = "lossy_text")]
        line: Vec<u8>,
    },
    /// A thread of an instance died of an uncaught error.
    ThreadDied {
        /// Which instance.
        instance: InstanceNumber,
        /// Message and traceback.
        error: String,
        /// It ran longer than the slice.
        cut: bool,
        /// It was the thread that `events.run` was given, and the instance lives on without it.
        lives_on: bool,
    },
    /// Something that was to hold does not.
    Violated {
        /// Which instance found it; `None`: the end of the run.
        instance: Option<InstanceNumber>,
        /// What was to hold.
        name: String,
        /// Why it does not.
        message: String,
    },
    /// An instance took something down for the end of the run. Not among the events that are
    /// written.
    #[serde(skip)]
    Checked {
        /// Which instance.
        instance: InstanceNumber,
        /// What.
        check: Box<Check>,
    },
    /// What an instance showed of itself at its end. Kept in view.json, and not among the events
    /// that are written.
    #[serde(skip)]
    Viewed {
        /// Which instance.
        instance: InstanceNumber,
        /// Its global `view`.
        view: Box<View>,
    },
    /// An instance is gone.
    Ended {
        /// Which instance.
        instance: InstanceNumber,
        /// How it ended.
        ending: Ending,
        /// What it used.
        #[serde(serialize_with = "usage_fields")]
        usage: Usage,
    },
    /// An event of churn was carried out.
    Churn {
        /// Which instance.
        instance: InstanceNumber,
        /// What happens to it.
        action: Action,
        /// When it was to happen, from the start of the run.
        #[serde(serialize_with = "seconds")]
        due: Duration,
        /// How much later it was done.
        #[serde(serialize_with = "seconds")]
        late: Duration,
        /// Whether there was something to do: not where the instance had ended by itself.
        applied: bool,
    },
    /// A fault began or ended.
    Fault {
        /// What goes wrong, in the language of scripts.
        fault: String,
        /// It goes wrong no more.
        over: bool,
    },
    /// All instances were told to stop.
    Stopping {
        /// Why.
        cause: StopCause,
    },
    /// A worker broke down, and its instances with it.
    WorkerBroke {
        /// What it died of.
        error: String,
    },
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Ending {
    /// Nothing was left to run.
    Finished,
    /// `os.exit(status)` or `events.exit()`.
    Exit {
        /// Its exit status.
        status: i32,
    },
    /// Its main chunk raised an error.
    Error {
        /// Message and traceback.
        message: String,
    },
    /// It ran out of its memory.
    Memory,
    /// It was stopped: with the whole run, or by churn.
    Stopped,
    /// It did not stop when told to, or its worker broke down.
    Lost,
}

impl Ending {
    /// Whether this makes the run a failed one.
    pub fn failed(&self) -> bool {
        match self {
            Ending::Finished | Ending::Stopped => false,
            Ending::Exit { status } => *status != 0,
            Ending::Error { .. } | Ending::Memory | Ending::Lost => true,
        }
    }

    /// A word or two for a table.
    pub fn label(&self) -> String {
        match self {
            Ending::Finished => "finished".to_owned(),
            Ending::Exit { status } => format!("exit {status}"),
            Ending::Error { .. } => "error".to_owned(),
            Ending::Memory => "memory".to_owned(),
            Ending::Stopped => "stopped".to_owned(),
            Ending::Lost => "lost".to_owned(),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Finished => f.write_str("finished"),
            Ending::Exit { status } => write!(f, "exited with status {status}"),
            Ending::Error { message } => write!(f, "failed: {message}"),
            Ending::Memory => f.write_str("failed: asked for more memory than its limit"),
            Ending::Stopped => f.write_str("stopped"),
            Ending::Lost => f.write_str("lost: it did not stop when told to, or its worker broke down"),
        }
    }
}

impl From<EndReason> for Ending {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Finished => Ending::Finished,
            EndReason::Exit(status) => Ending::Exit { status },
            EndReason::Error(message) => Ending::Error { message },
            EndReason::Stopped => Ending::Stopped,
            EndReason::Memory => Ending::Memory,
        }
    }
}

/// Why all instances were told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// `--for` has passed.
    TimeLimit,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// Something that was to hold does not.
    Violated,
    /// Nobody reads the output any more.
    OutputClosed,
    /// The results cannot be written any more.
    ResultsFailed,
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopCause::TimeLimit => "time limit reached",
            StopCause::Interrupted => "interrupted",
            StopCause::Violated => "a check was violated",
            StopCause::OutputClosed => "output closed",
            StopCause::ResultsFailed => "results cannot be written",
        })
    }
}

impl Event {
    /// A worker's report as an event; `start` is when the run began, since 1970. Errors point into
    /// the program's `sources`.
    pub fn from_report(report: Report, start: Duration, sources: &Sources) -> Event {
        let (at, what) = match report {
            Report::Started { instance, at } => (at, What::Started { instance }),
            Report::Output { instance, at, stream, level: _, line } => {
                (at, What::Output { instance, stream, line })
            }
            Report::Limit { instance, at, limit, allowed, reached } => {
                let line = format!("[splay] {limit}: {allowed} allowed, {reached} refused").into_bytes();
                (at, What::Output { instance, stream: Stream::Err, line })
            }
            Report::ThreadDied { instance, at, error, cut, lives_on } => {
                (at, What::ThreadDied { instance, error: sources.point(&error), cut, lives_on })
            }
            Report::Check { instance, at, check } => match *check {
                Check::Violated { name, message } => {
                    (at, What::Violated { instance: Some(instance), name, message })
                }
                _ => (at, What::Checked { instance, check }),
            },
            Report::Viewed { instance, at, view } => (at, What::Viewed { instance, view }),
            Report::Ended { instance, at, reason, usage } => {
                let reason = match reason {
                    EndReason::Error(message) => EndReason::Error(sources.point(&message)),
                    other => other,
                };
                (at, What::Ended { instance, ending: reason.into(), usage })
            }
        };
        Event { at: at.saturating_sub(start), what }
    }
}

/// A duration as seconds, to the microsecond.
pub fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded_seconds(*duration))
}

/// Seconds to the microsecond, so that JSON shows no rounding noise.
pub fn rounded_seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

fn stream_name<S: Serializer>(stream: &Stream, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match stream {
        Stream::Out => "out",
        Stream::Err => "err",
    })
}

fn lossy_text<S: Serializer>(line: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(line))
}

/// The figures of [`Usage`], as they are written.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UsageFields {
    cpu_seconds: f64,
    memory_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    calls_made: u64,
    calls_served: u64,
    thread_errors: u64,
}

impl From<&Usage> for UsageFields {
    fn from(usage: &Usage) -> Self {
        UsageFields {
            cpu_seconds: rounded_seconds(usage.cpu),
            memory_bytes: usage.memory_bytes,
            sent_bytes: usage.sent_bytes,
            received_bytes: usage.received_bytes,
            calls_made: usage.calls_made,
            calls_served: usage.calls_served,
            thread_errors: usage.thread_errors,
        }
    }
}

fn usage_fields<S: Serializer>(usage: &Usage, serializer: S) -> Result<S::Ok, S::Error> {
    UsageFields::from(usage).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(what: What) -> String {
        serde_json::to_string(&Event { at: Duration::from_micros(1_500_001), what }).unwrap()
    }

    #[test]
    fn written_form_is_stable() {
        assert_eq!(
            json(What::Output { instance: 3, stream: Stream::Out, line: b"caf\xe9".to_vec() }),
            r#"{"at":1.500001,"event":"output","instance":3,"stream":"out","line":"caf�"}"#
        );
        assert_eq!(
            json(What::Stopping { cause: StopCause::TimeLimit }),
            r#"{"at":1.500001,"event":"stopping","cause":"time_limit"}"#
        );
        let churn = What::Churn {
            instance: 2,
            action: Action::Leave,
            due: Duration::from_millis(1500),
            late: Duration::from_micros(250),
            applied: true,
        };
        assert_eq!(
            json(churn),
            concat!(
                r#"{"at":1.500001,"event":"churn","instance":2,"action":"leave","due":1.5,"late":0.00025,"#,
                r#""applied":true}"#
            )
        );
        let ending = Ending::Exit { status: 3 };
        assert_eq!(
            json(What::Ended { instance: 1, ending, usage: Usage { sent_bytes: 7, ..Usage::default() } }),
            concat!(
                r#"{"at":1.500001,"event":"ended","instance":1,"ending":{"reason":"exit","status":3},"#,
                r#""usage":{"cpu_seconds":0.0,"memory_bytes":0,"sent_bytes":7,"received_bytes":0,"#,
                r#""calls_made":0,"calls_served":0,"thread_errors":0}}"#
            )
        );
    }

    #[test]
    fn what_counts_as_failed() {
        assert!(!Ending::Finished.failed() && !Ending::Stopped.failed());
        assert!(!Ending::Exit { status: 0 }.failed() && Ending::Exit { status: 3 }.failed());
        assert!(Ending::Memory.failed() && Ending::Error { message: "x".into() }.failed());
    }
}
