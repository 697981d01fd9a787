//! `splay logs`: lines that a job's instances wrote.

use std::fs::File;
use std::io::{self, BufRead as _, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use crossbeam_channel::unbounded;
use splay_protocol::api::LogLine;

use crate::failure::{Failure, STATUS_INTERRUPTED, complain};
use crate::interrupt;
use crate::quantity::InstanceSet;
use crate::testbed::client::{Client, segment};
use crate::testbed::follow::{self, News};
use crate::testbed::lines::Layout;
use crate::testbed::times::past;
use crate::testbed::{STATUSES, Target, coloured, job};

const EXAMPLES: &str = "\
Examples:
  splay logs j3f0c9a1b2d4                        all lines so far
  splay logs j3f0c9a1b2d4 -f                     and those to come, until the job is over
  splay logs j3f0c9a1b2d4 --instance 3,7-9       of four instances
  splay logs j3f0c9a1b2d4 --level warning        warnings, errors and what ended instances
  splay logs j3f0c9a1b2d4 --since 5m --grep ring lines of the last five minutes with `ring` in them
  splay logs j3f0c9a1b2d4 --tail 20
  splay logs j3f0c9a1b2d4 -o chord.log           into a file
  splay logs j3f0c9a1b2d4 --json | jq .text

A line begins with its instance and the seconds since the job's start (--clock: the time of day);
times are on the controller's clock, whichever machine a line comes from.
";

/// Show what the instances of a job wrote.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{STATUSES}"))]
pub struct LogsArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    id: String,
    /// Go on with lines as they come, until the job is over.
    #[arg(short, long)]
    follow: bool,
    /// Only these instances: 3,7 or 1-5,9.
    #[arg(long, value_name = "LIST")]
    instance: Option<InstanceSet>,
    /// Only lines of splay.log from this level on, and uncaught errors.
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// Only lines of this kind; may be repeated.
    #[arg(long, value_name = "KIND", conflicts_with = "level")]
    kind: Vec<Kind>,
    /// Only from then on: how long ago (5m), or 18:30:00, 2026-03-01 18:30 ...
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<f64>,
    /// Only up to then.
    #[arg(long, value_name = "TIME", value_parser = past)]
    until: Option<f64>,
    /// Only lines that contain this text.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only the last so many of those there are.
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Times of day instead of seconds since the start.
    #[arg(long)]
    clock: bool,
    /// Write to a file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Levels of `splay.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Debug,
    Notice,
    Warning,
    Error,
}

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// print, io.write
    Out,
    /// io.stderr, uncaught errors
    Err,
    Debug,
    Notice,
    Warning,
    Error,
    /// What the testbed says of an instance
    System,
}

impl LogsArgs {
    fn query(&self) -> String {
        let mut query: Vec<String> = Vec::new();
        if let Some(set) = &self.instance {
            let all = (1..=set.last()).filter(|position| set.contains(*position));
            query.extend(all.map(|position| format!("position={position}")));
        }
        let kinds: Vec<&str> = match self.level {
            Some(level) => {
                let levels = ["debug", "notice", "warning", "error"];
                [&levels[level as usize..], &["err"]].concat()
            }
            None => {
                let names = ["out", "err", "debug", "notice", "warning", "error", "system"];
                self.kind.iter().map(|kind| names[*kind as usize]).collect()
            }
        };
        query.extend(kinds.iter().map(|kind| format!("kind={kind}")));
        query.extend(self.since.map(|at| format!("from={at:.6}")));
        query.extend(self.until.map(|at| format!("to={at:.6}")));
        query.extend(self.grep.as_ref().map(|text| format!("text={}", segment(text))));
        query.join("&")
    }
}

/// Shows lines.
pub fn execute(args: LogsArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let job = job(&client, &args.id)?;
    let mut out = Out::open(args.output.as_ref())?;
    let layout = Layout {
        width: job.summary.instances.to_string().len(),
        started_at: job.summary.started_at,
        clock: args.clock,
        coloured: args.output.is_none() && coloured(),
        json: args.target.json,
    };
    match args.follow {
        true => follow(client, &args, layout, &mut out),
        false => {
            let mut query = args.query();
            if let Some(tail) = args.tail {
                query.push_str(&format!("{}tail={tail}", if query.is_empty() { "" } else { "&" }));
            }
            let path = format!("/jobs/{}/logs?{query}", segment(&args.id));
            let stream = client.stream(&path, &[("accept", "application/x-ndjson")])?;
            for line in stream.lines() {
                let cut = |error: io::Error| Failure::Controller {
                    url: client.url().to_owned(),
                    message: format!("the connection was cut ({error}): not all lines were shown"),
                };
                let line = line.map_err(cut)?;
                if let Ok(line) = serde_json::from_str::<LogLine>(&line) {
                    out.write(&layout.line(&line))?;
                }
            }
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn follow(client: Client, args: &LogsArgs, mut layout: Layout, out: &mut Out) -> Result<ExitCode, Failure> {
    let (news, heard) = unbounded();
    let client = Arc::new(client);
    let interrupts = news.clone();
    interrupt::watch(move || drop(interrupts.send(News::Interrupt))).map_err(Failure::Worker)?;
    follow::lines(client.clone(), args.id.clone(), args.query(), args.tail, news);
    loop {
        match heard.recv().expect("signals keep the channel open") {
            News::Line(line) => {
                if layout.started_at.is_none() && !layout.clock {
                    layout.started_at = job(&client, &args.id).ok().and_then(|job| job.summary.started_at);
                }
                out.write(&layout.line(&line))?;
                if heard.is_empty() {
                    out.flush()?;
                }
            }
            News::Away(why) => complain(&format!("{why}; asking again")),
            News::Back => complain("the controller answers again"),
            News::LinesEnd => {
                out.flush()?;
                return Ok(ExitCode::SUCCESS);
            }
            News::Failed(failure) => return Err(failure),
            News::Interrupt => {
                out.flush()?;
                return Ok(ExitCode::from(STATUS_INTERRUPTED));
            }
            News::Event(_) | News::EventsEnd => {}
        }
    }
}

/// Where lines go.
struct Out {
    writer: BufWriter<Box<dyn Write>>,
    path: Option<PathBuf>,
}

impl Out {
    fn open(path: Option<&PathBuf>) -> Result<Out, Failure> {
        let writer: Box<dyn Write> = match path {
            Some(path) => {
                let file = File::create(path);
                Box::new(file.map_err(|source| Failure::Write { path: path.clone(), source })?)
            }
            None => Box::new(io::stdout()),
        };
        Ok(Out { writer: BufWriter::new(writer), path: path.cloned() })
    }

    fn failed(&self, source: io::Error) -> Failure {
        match &self.path {
            Some(path) => Failure::Write { path: path.clone(), source },
            None => Failure::Output(source),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.writer.write_all(text.as_bytes()).map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| self.failed(error))
    }
}
