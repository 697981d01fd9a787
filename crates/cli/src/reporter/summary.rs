//! The summary of a run: a few lines for the terminal, summary.txt with a row per instance, and
//! summary.json with all figures.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use splay_protocol::churn::stats::Distribution;

use super::terminal::instances;
use super::{Reporter, Trouble};
use crate::event::{Ending, Event, StopCause, UsageFields, rounded_seconds};
use crate::ledger::{Ledger, first_line};
use crate::options::{Options, shell_line};
use crate::quantity::size_text;
use crate::results::Results;

/// How many failures the terminal's summary names; the files name all.
const NAMED: usize = 10;

/// The writer of summary.txt and summary.json.
pub struct SummaryFiles {
    options: Options,
    started: Timestamp,
    results: Results,
}

impl SummaryFiles {
    /// For a run with these options.
    pub fn new(options: Options, started: Timestamp, results: Results) -> SummaryFiles {
        SummaryFiles { options, started, results }
    }
}

impl Reporter for SummaryFiles {
    fn on_event(&mut self, _event: &Event) -> Result<(), Trouble> {
        Ok(())
    }

    fn finish(&mut self, ledger: &Ledger) -> Result<(), Trouble> {
        self.results.write_json("summary.json", &figures(ledger, &self.options, self.started))?;
        let text = table(ledger, &self.options, self.started);
        Ok(self.results.write("summary.txt", text.as_bytes())?)
    }
}

/// `48 finished, 1 error, 1 exit 3`, most frequent first.
fn endings(ledger: &Ledger) -> String {
    let mut counts: Vec<(String, u32)> = ledger.endings().into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().map(|(label, count)| format!("{count} {label}")).collect::<Vec<_>>().join(", ")
}

/// The lines a user reads at the end; without why instances failed if that is `told`.
pub fn short_summary(ledger: &Ledger, folder: &Path, told: bool) -> String {
    let mut text = String::new();
    let cause = ledger.cause().map_or(String::new(), |cause| format!(" ({cause})"));
    let (total, time) = (instances(ledger.total()), seconds_text(ledger.latest()));
    let _ = writeln!(text, "splay: {total} in {time}{cause}: {}", endings(ledger));
    if let Some(line) = churn_line(ledger) {
        let _ = writeln!(text, "splay: churn: {line}");
    }
    let failed =
        ledger.instances().filter_map(|(number, entry)| Some((number, one_line(entry.failure.as_ref()?))));
    name_some(&mut text, failed.filter(|_| !told), "failed");
    let threads = ledger.instances().filter_map(|(number, entry)| {
        let first = entry.first_thread_error.as_ref()?;
        let count = entry.thread_errors;
        let what = match (entry.lived_on, count) {
            (false, 1) => "a thread died".to_owned(),
            (false, _) => format!("threads died ({count})"),
            (true, 1) => "its first thread died and it lived on".to_owned(),
            (true, _) => format!("threads died ({count}), its first among them, and it lived on"),
        };
        Some((number, format!("{what}: {first}")))
    });
    name_some(&mut text, threads, "lost threads");
    for name in ledger.verdicts().undecided() {
        let _ = writeln!(text, "splay: {name}: too long a history to tell whether it is linearizable");
    }
    let _ = writeln!(text, "splay: results in {}", folder.display());
    text
}

/// The first few of them, and how many more there are.
fn name_some(text: &mut String, all: impl Iterator<Item = (u32, String)>, what: &str) {
    let mut more = 0;
    for (index, (number, line)) in all.enumerate() {
        if index < NAMED {
            let _ = writeln!(text, "  [{number}] {line}");
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let _ = writeln!(text, "  ... and {more} more that {what} (all in summary.txt)");
    }
}

fn one_line(ending: &Ending) -> String {
    first_line(&ending.to_string()).to_owned()
}

fn seconds_text(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 10.0 => format!("{short:.2} s"),
        seconds => format!("{seconds:.1} s"),
    }
}

/// `62 events, late by 0.2 ms (median), 1.1 ms (p99), 1.4 ms (most)`.
fn churn_line(ledger: &Ledger) -> Option<String> {
    let late = ledger.lateness()?;
    let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
    let (p50, p99, max) = (ms(late.p50), ms(late.p99), ms(late.max));
    Some(format!("{} events, late by {p50} (median), {p99} (p99), {max} (most)", late.count))
}

/// summary.txt.
fn table(ledger: &Ledger, options: &Options, started: Timestamp) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    field("app", options.app.display().to_string());
    field("command", shell_line(&options.command_line));
    field("started", started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let cause = ledger.cause().map_or(String::new(), |cause| format!(" ({cause})"));
    field("duration", format!("{}{cause}", seconds_text(ledger.latest())));
    field("instances", format!("{}: {}", ledger.total(), endings(ledger)));
    let usage = ledger.usage();
    field("cpu", seconds_text(usage.cpu));
    let (sent, received) = (size_text(usage.sent_bytes), size_text(usage.received_bytes));
    field("traffic", format!("{sent} sent, {received} received"));
    field("calls", format!("{} made, {} served", usage.calls_made, usage.calls_served));
    field("seed", options.seed.to_string());
    if let Some(line) = churn_line(ledger) {
        field("churn", line);
    }
    let _ = writeln!(
        text,
        "\n{:>8}  {:<13} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "instance",
        "end",
        "seconds",
        "cpu s",
        "memory",
        "sent",
        "received",
        "calls",
        "served",
        "lines",
        "died"
    );
    for (number, entry) in ledger.instances() {
        let (at, label) = match &entry.ended {
            Some((at, ending)) => (*at, ending.label()),
            None => (Duration::ZERO, "never started".to_owned()),
        };
        let lived = at.saturating_sub(entry.started.unwrap_or(at)).as_secs_f64();
        let usage = &entry.usage;
        let _ = writeln!(
            text,
            "{number:>8}  {label:<13} {lived:>9.3} {:>9.3} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>7}",
            usage.cpu.as_secs_f64(),
            size_text(usage.memory_bytes),
            size_text(usage.sent_bytes),
            size_text(usage.received_bytes),
            usage.calls_made,
            usage.calls_served,
            entry.lines,
            entry.thread_errors,
        );
    }
    let mut errors = String::new();
    for (number, entry) in ledger.instances() {
        if let Some(ending @ Ending::Error { .. }) = &entry.failure {
            let _ = writeln!(errors, "\n[{number}] {ending}");
        }
        if let Some(error) = &entry.first_thread_error {
            let _ = writeln!(errors, "\n[{number}] first thread that died: {error}");
        }
    }
    text + &errors
}

/// summary.json.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    app: &'a Path,
    started_at: String,
    duration_seconds: f64,
    status: u8,
    stopped_by: Option<StopCause>,
    instances: u32,
    ended_well: u32,
    failed: u32,
    never_started: u32,
    lines: u64,
    usage: UsageFields,
    /// How late events of churn were.
    #[serde(skip_serializing_if = "Option::is_none")]
    churn_late_seconds: Option<Distribution>,
    per_instance: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    instance: u32,
    /// `null`: never started.
    ending: Option<&'a Ending>,
    started_at: Option<f64>,
    ended_at: Option<f64>,
    starts: u32,
    lines: u64,
    usage: UsageFields,
    threads_died: u64,
    first_thread_error: Option<&'a str>,
}

fn figures<'a>(ledger: &'a Ledger, options: &'a Options, started: Timestamp) -> Figures<'a> {
    let row = |(instance, entry): (u32, &'a crate::ledger::Entry)| Row {
        instance,
        ending: entry.ended.as_ref().map(|(_, ending)| ending),
        started_at: entry.started.map(rounded_seconds),
        ended_at: entry.ended.as_ref().map(|(at, _)| rounded_seconds(*at)),
        starts: entry.starts,
        lines: entry.lines,
        usage: (&entry.usage).into(),
        threads_died: entry.thread_errors,
        first_thread_error: entry.first_thread_error.as_deref(),
    };
    Figures {
        app: &options.app,
        started_at: started.to_string(),
        duration_seconds: rounded_seconds(ledger.latest()),
        status: ledger.status(),
        stopped_by: ledger.cause(),
        instances: ledger.total(),
        ended_well: ledger.exited(),
        failed: ledger.failed(),
        never_started: ledger.never_started(),
        lines: ledger.lines(),
        usage: (&ledger.usage()).into(),
        churn_late_seconds: ledger.lateness(),
        per_instance: ledger.instances().map(row).collect(),
    }
}
