//! `splay jobs`, `splay job` and `splay kill`.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use splay_protocol::api::{Instance, InstanceState, Job, JobEventKind, JobState, JobSummary, Kill, Spread};
use splay_protocol::session::Ending;

use crate::failure::Failure;
use crate::quantity::{InstanceSet, size_text};
use crate::testbed::client::segment;
use crate::testbed::outcome::word;
use crate::testbed::table::Table;
use crate::testbed::times::{ago, clock, now, span};
use crate::testbed::{STATUSES, Target, job};

/// What a job did is listed up to so many rows; JSON has all.
const ROWS: usize = 40;

/// List jobs, the newest last.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay jobs\n  splay jobs --active\n  splay jobs --state failed --state killed --last 10\n  \
     splay jobs --user ann --json\n\n{STATUSES}"
))]
pub struct JobsArgs {
    /// Only jobs in this state (queued, running, ended ...); may be repeated.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<JobState>,
    /// Only jobs that are not over.
    #[arg(long)]
    active: bool,
    /// Only jobs of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only jobs whose name contains this.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only the last so many.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    #[command(flatten)]
    target: Target,
}

fn state(text: &str) -> Result<JobState, String> {
    let text = text.replace(['-', ' '], "_");
    serde_json::from_value(text.clone().into()).map_err(|_| {
        "queued, deploying, loading, starting, running, stopping, ended, killed, failed, refused or queue_timeout".into()
    })
}

/// Lists jobs.
pub fn list(args: JobsArgs) -> Result<ExitCode, Failure> {
    let mut jobs: Vec<JobSummary> = args.target.client()?.get("/jobs")?;
    jobs.retain(|job| {
        (args.state.is_empty() || args.state.contains(&job.state))
            && (!args.active || !job.state.is_final())
            && args.user.as_ref().is_none_or(|user| *user == job.owner)
            && args.name.as_ref().is_none_or(|name| job.name.contains(name))
    });
    if let Some(last) = args.last {
        jobs.drain(..jobs.len().saturating_sub(last));
    }
    args.target.show(&jobs, |jobs| {
        if jobs.is_empty() {
            return "no jobs\n".to_owned();
        }
        let mut table = Table::new(&[
            "JOB",
            "NAME",
            "OWNER",
            "STATE",
            ">INSTANCES",
            ">RUN",
            ">DONE",
            ">FAILED",
            "SUBMITTED",
            "TOOK",
            "WHY",
        ]);
        for job in jobs {
            table.row([
                job.id.clone(),
                job.name.clone(),
                job.owner.clone(),
                word(job.state),
                job.instances.to_string(),
                job.running.to_string(),
                job.finished.to_string(),
                job.failed.to_string(),
                ago(job.submitted_at, now()),
                took(job),
                job.why.clone(),
            ]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn took(job: &JobSummary) -> String {
    job.started_at.map_or_else(String::new, |start| span(job.ended_at.unwrap_or_else(now) - start))
}

/// Tell all about a job.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay job j3f0c9a1b2d4\n  splay job j3f0c9a1b2d4 --instances\n  \
     splay job j3f0c9a1b2d4 --only 1,7-9\n  splay job j3f0c9a1b2d4 --code > app.lua\n  \
     splay job j3f0c9a1b2d4 --json\n\n{STATUSES}"
))]
pub struct JobArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    id: String,
    /// All instances, not just the first ones.
    #[arg(long)]
    instances: bool,
    /// Only these instances: 3,7 or 1-5,9.
    #[arg(long, value_name = "LIST")]
    only: Option<InstanceSet>,
    /// Print its program instead.
    #[arg(long, conflicts_with_all = ["instances", "only", "json"])]
    code: bool,
    #[command(flatten)]
    target: Target,
}

/// Tells about a job.
pub fn one(args: JobArgs) -> Result<ExitCode, Failure> {
    if args.code {
        let client = args.target.client()?;
        let mut code = client.stream(&format!("/jobs/{}/code", segment(&args.id)), &[])?;
        io::copy(&mut code, &mut io::stdout().lock()).map_err(Failure::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let job = job(&args.target.client()?, &args.id)?;
    args.target.show(&job, |job| about(job, args.only.as_ref(), args.instances))?;
    Ok(ExitCode::SUCCESS)
}

fn about(job: &Job, only: Option<&InstanceSet>, all: bool) -> String {
    let summary = &job.summary;
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<11} {value}");
        }
    };
    let why = if summary.why.is_empty() { String::new() } else { format!(" ({})", summary.why) };
    field("job", format!("{} {}", summary.id, summary.name));
    field("description", job.submission.description.clone());
    field("owner", summary.owner.clone());
    field("state", format!("{}{why}", word(summary.state)));
    field(
        "instances",
        format!(
            "{}: {} running, {} finished, {} failed",
            summary.instances, summary.running, summary.finished, summary.failed
        ),
    );
    field("submitted", clock(summary.submitted_at));
    field("scheduled", job.submission.scheduled_at.map_or_else(String::new, clock));
    field("started", summary.started_at.map_or_else(String::new, clock));
    field(
        "ended",
        summary.ended_at.map_or_else(String::new, |at| format!("{}, after {}", clock(at), took(summary))),
    );
    field("seed", job.seed.clone());
    let files: Vec<String> =
        job.files.iter().map(|file| format!("{} ({})", file.path, size_text(file.bytes))).collect();
    field("files", files.join(", "));
    field("start skew", job.start_skew.map_or_else(String::new, spread));
    if let Some(churn) = &job.churn {
        let late = churn.lateness.map_or_else(String::new, |late| format!("; late by {}", spread(late)));
        let again =
            churn.replacements.map_or_else(String::new, |took| format!("; moved in {}", spread(took)));
        field(
            "churn",
            format!(
                "{} of {} steps done, {} moved to spares ({} left), ends {} after the start{late}{again}",
                churn.done,
                churn.steps,
                churn.moved,
                churn.spares,
                span(churn.ends_after)
            ),
        );
    }
    let logs = &job.logs;
    let mut lines = format!("{} lines, {}", logs.lines, size_text(logs.stored_bytes));
    for (count, what) in [(logs.cut_lines, "not stored"), (logs.dropped_lines, "lost by splayds")] {
        if count > 0 {
            let _ = write!(lines, ", {count} {what}");
        }
    }
    if let Some(at) = job.removed_at {
        let _ = write!(lines, "; removed, with the results, on {}", clock(at));
    }
    field("logs", lines);
    text + &history(job) + &limits(job) + &instances(job, only, all)
}

fn spread(spread: Spread) -> String {
    let Spread { count, p50_ms, p99_ms, max_ms, .. } = spread;
    format!("{p50_ms:.1} ms median, {p99_ms:.1} ms 99th percentile, {max_ms:.1} ms most ({count} measured)")
}

/// States with their times, moves, notes.
fn history(job: &Job) -> String {
    let mut table = Table::new(&["TIME", ">AFTER", "WHAT"]);
    for event in &job.history {
        let what = match &event.what {
            JobEventKind::State { state, why } if why.is_empty() => word(*state),
            JobEventKind::State { state, why } => format!("{} ({why})", word(*state)),
            JobEventKind::Moved { position, from, to } => {
                format!("instance {position} moved from {from} to {to}")
            }
            JobEventKind::Note { text } => text.clone(),
            JobEventKind::Started { .. }
            | JobEventKind::InstanceEnded { .. }
            | JobEventKind::Limit { .. } => continue,
        };
        table.row([clock(event.at), span((event.at - job.summary.submitted_at).max(0.0)), what]);
    }
    if table.is_empty() { String::new() } else { format!("\n{table}") }
}

fn limits(job: &Job) -> String {
    let mut table = Table::new(&["LIMIT", ">INSTANCE", ">ALLOWED", ">REACHED", "TIME"]);
    for event in &job.history {
        if let JobEventKind::Limit { position, limit, allowed, reached } = &event.what {
            let who = if *position == 0 { "worker".to_owned() } else { position.to_string() };
            table.row([limit.clone(), who, allowed.to_string(), reached.to_string(), clock(event.at)]);
        }
    }
    if table.is_empty() { String::new() } else { format!("\n{table}") }
}

fn instances(job: &Job, only: Option<&InstanceSet>, all: bool) -> String {
    let chosen: Vec<&Instance> =
        job.members.iter().filter(|member| only.is_none_or(|only| only.contains(member.position))).collect();
    if chosen.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ">INSTANCE",
        "SPLAYD",
        "ADDRESS",
        "STATE",
        ">TIME",
        ">CPU",
        ">MEMORY",
        ">SENT",
        ">RECEIVED",
        ">CALLS",
        "DETAIL",
    ]);
    let shown = if all || only.is_some() { chosen.len() } else { chosen.len().min(ROWS) };
    for member in &chosen[..shown] {
        let usage = |figure: fn(&splay_protocol::session::UsageTotals) -> String| {
            member.usage.as_ref().map_or_else(String::new, figure)
        };
        let lived = member.started_at.map(|start| match member.state {
            InstanceState::Ended => member.ended_at.unwrap_or(start) - start,
            _ => now() - start,
        });
        table.row([
            member.position.to_string(),
            member.splayd_name.clone(),
            format!("{}:{}", member.ip, member.port),
            state_of(member),
            lived.map_or_else(String::new, |seconds| span(seconds.max(0.0))),
            usage(|usage| span(usage.cpu_us as f64 / 1e6)),
            usage(|usage| size_text(usage.memory_bytes)),
            usage(|usage| size_text(usage.sent_bytes)),
            usage(|usage| size_text(usage.received_bytes)),
            usage(|usage| usage.calls_made.to_string()),
            member.detail.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    let mut text = format!("\n{table}");
    if shown < chosen.len() {
        let _ = writeln!(text, "... and {} more (--instances shows all)", chosen.len() - shown);
    }
    text
}

fn state_of(member: &Instance) -> String {
    match (member.state, member.ending) {
        (InstanceState::Waiting, _) => "waiting",
        (InstanceState::Running, _) => "running",
        (InstanceState::Ended, None) => "ended",
        (InstanceState::Ended, Some(ending)) => match ending {
            Ending::Finished => "finished",
            Ending::ExitCode => "exit status",
            Ending::Error => "error",
            Ending::Limit => "limit",
            Ending::Stopped => "stopped",
            Ending::Churn => "left",
            Ending::Lost => "lost",
        },
    }
    .to_owned()
}

/// End jobs.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay kill j3f0c9a1b2d4\n  splay kill j3f0c9a1b2d4 --reason 'wrong parameters'\n\n{STATUSES}"
))]
pub struct KillArgs {
    /// The jobs.
    #[arg(value_name = "JOB", required = true)]
    ids: Vec<String>,
    /// Becomes part of what is told of the job.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Time for job.on_stop hooks, at most 1h [default: the job's --grace-time].
    #[arg(long, value_name = "TIME", value_parser = splay_protocol::quantity::duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    target: Target,
}

/// Kills jobs; all are tried.
pub fn kill(args: KillArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let mut failed = None;
    for id in &args.ids {
        let grace_time = args.grace.map(|grace| grace.as_secs_f64());
        let kill = Kill { reason: args.reason.clone(), grace_time };
        match client.tell("POST", &format!("/jobs/{}/kill", segment(id)), Some(&kill)) {
            Ok(()) => args.target.done(&format!("killing {id}"))?,
            Err(failure) if args.ids.len() > 1 && failure.status() == 9 => {
                crate::failure::complain(&format!("{id}: {failure}"));
                failed = Some(failure.status());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(failed.map_or(ExitCode::SUCCESS, ExitCode::from))
}
