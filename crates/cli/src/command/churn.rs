//! `splay churn`: checks, expands, draws, counts and makes churn. What churn means is
//! [`splay_protocol::churn`]'s.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use splay_protocol::churn::availability::{Measurement, Selection, SelectionError};
use splay_protocol::churn::{Schedule, Settings, Statistics, Trace, seconds_text};

use crate::churn::{Loaded, Origin, SettingsArgs, chart, load, read, table, warn};
use crate::failure::Failure;
use crate::options::shell_line;
use crate::quantity::{duration, positive_duration};

const EXAMPLES: &str = "\
Examples:
  splay churn check day.churn
      is it right, and what does it amount to? (--ordered: its rules as they are carried out)
  splay churn expand day.churn --seed 7 -o day.trace
      the times of each node, for splay run --churn
  splay churn stats day.churn
      population, sessions, downtimes and availability as a table (--json: as JSON)
  splay churn plot day.churn -o day.svg
      population over time, with bars of those who join and leave
  splay churn convert overnet.csv -n 100 --from 2h --for 1h --speed 10 -o overnet.trace
      a hundred measured machines, an hour in six minutes

A churn file is a trace or a script. A trace has a line for each node, its times in seconds, in
turn a start and a stop (`g` behind a stop: it leaves gracefully, told and with a little time):
  0 100 120 200
  50 75.5g
A script has a rule on each line (docs/reference/churn.md tells all of it):
  at 30s join 10
  from 5m to 10m join 50% churn 20% per 1m
  at 15m leave 5 gracefully
  at 20m stop
Rules of faults, for `splay sim --faults`, are in the same language (docs/reference/faults.md):
  from 60s to 90s partition {1..5} from rest

Exit status:
  0  done
  2  the command line is wrong
  3  the file is missing or unreadable
  4  the file is wrong: the place is shown
  6  the output cannot be written";

/// Check, expand, draw, count and make churn: when nodes of a job start and stop.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct ChurnArgs {
    #[command(subcommand)]
    command: ChurnCommand,
}

#[derive(Debug, Subcommand)]
enum ChurnCommand {
    Check(CheckArgs),
    Expand(ExpandArgs),
    Stats(StatsArgs),
    Plot(PlotArgs),
    Convert(ConvertArgs),
}

/// Say whether a trace or script is right, and what it amounts to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  splay churn check day.churn --ordered")]
struct CheckArgs {
    /// Trace or script (`-`: standard input).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a script's rules as they are carried out: by time, churn apart, in seconds.
    #[arg(long)]
    ordered: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Make a trace of a script.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  splay churn expand day.churn --seed 7 -o day.trace")]
struct ExpandArgs {
    /// Script (`-`: standard input).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the trace goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Tell population, sessions, downtimes and availability.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  splay churn stats day.churn --interval 5m\n  splay churn stats day.trace --json"
)]
struct StatsArgs {
    /// Trace or script (`-`: standard input).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Draw the population over time as an SVG.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  splay churn plot day.churn -o day.svg --interval 1m")]
struct PlotArgs {
    /// Trace or script (`-`: standard input).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the SVG goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is written above [default: the file's name].
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Make a trace of a measurement of real machines.
///
/// A measurement has an observation on each line, fields apart by blanks, commas or semicolons:
/// node, seconds, `up` or `down`; or node, seconds from, seconds to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  splay churn convert overnet.csv -n 100 --from 2h --for 1h --speed 10")]
struct ConvertArgs {
    /// Measurement (`-`: standard input).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How many of the nodes that are there in the window, chosen at random [default: all].
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// What the choice follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where the window begins, counted from the first observation.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    from: Duration,
    /// How long the window is [default: up to the last observation].
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration)]
    length: Option<Duration>,
    /// How much faster than measured: 2, 5, 10 ...
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Where the trace goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SpanArgs {
    /// Length of the intervals that joins and leaves are counted in [default: a round one].
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    interval: Option<Duration>,
    /// Until when [default: the last event].
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    until: Option<Duration>,
}

/// Intervals of a table or chart: more is a slip of the hand.
const MOST_INTERVALS: u128 = 100_000;

impl SpanArgs {
    fn statistics(&self, trace: &Trace) -> Result<Statistics, Failure> {
        let until = self.until.unwrap_or_else(|| trace.end());
        if self.interval.is_some_and(|length| until.as_micros() / length.as_micros().max(1) > MOST_INTERVALS)
        {
            return Err(Failure::Usage(format!(
                "--interval makes more than {MOST_INTERVALS} of {}s",
                seconds_text(until)
            )));
        }
        Ok(Statistics::of(trace, Some(until), self.interval))
    }
}

/// Does what was asked for.
pub fn execute(args: ChurnArgs) -> Result<ExitCode, Failure> {
    match args.command {
        ChurnCommand::Check(args) => check(&args),
        ChurnCommand::Expand(args) => expand(&args),
        ChurnCommand::Stats(args) => stats(&args),
        ChurnCommand::Plot(args) => plot(&args),
        ChurnCommand::Convert(args) => convert(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn loaded(file: &Path, settings: &SettingsArgs) -> Result<Loaded, Failure> {
    let loaded = load(file, &Settings::from(settings))?;
    warn(file, &loaded.warnings);
    Ok(loaded)
}

fn put(output: Option<&Path>, text: &str) -> Result<(), Failure> {
    match output {
        Some(path) => {
            std::fs::write(path, text).map_err(|source| Failure::Write { path: path.to_owned(), source })
        }
        None => io::stdout().write_all(text.as_bytes()).map_err(Failure::Output),
    }
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let Loaded { trace, origin, .. } = loaded(&args.file, &args.settings)?;
    let text = match origin {
        Origin::Script { ordered, seed, .. } if args.ordered => format!("seed {seed}\n{ordered}"),
        Origin::Script { rules, seed, .. } => {
            let rules = if rules == 1 { "1 rule".to_owned() } else { format!("{rules} rules") };
            format!("script of {rules}, seed {seed}: {}\n", amount(&trace))
        }
        Origin::Trace => format!("trace: {}\n", amount(&trace)),
    };
    put(None, &text)
}

/// What a trace amounts to, in a line.
fn amount(trace: &Trace) -> String {
    let stats = Statistics::of(trace, None, Some(trace.end().max(Duration::from_secs(1))));
    format!(
        "{}, population {} to {}, {} joins, {} leaves, the last event at {}s",
        if stats.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", stats.nodes) },
        stats.population.min,
        stats.population.max,
        stats.joins,
        stats.leaves,
        seconds_text(Schedule::of(trace).end())
    )
}

fn expand(args: &ExpandArgs) -> Result<(), Failure> {
    let Loaded { trace, origin, .. } = loaded(&args.file, &args.settings)?;
    let mut text = String::new();
    if let Origin::Script { seed, .. } = origin {
        let mut words = ["splay", "churn", "expand"].map(str::to_owned).to_vec();
        words.extend([args.file.display().to_string(), "--seed".to_owned(), seed.to_string()]);
        words.extend(spell(&args.settings));
        // Line ends in a file's name would end the comment.
        text = format!("# {}\n", shell_line(&words).replace(['\n', '\r'], " "));
    }
    text.push_str(&trace.to_string());
    put(args.output.as_deref(), &text)
}

/// The options that change what a script means, but for the seed.
fn spell(settings: &SettingsArgs) -> Vec<String> {
    let flags = [
        ("--latest-wins", settings.latest_wins),
        ("--repair", settings.repair),
        ("--ignore-empty", settings.ignore_empty),
        ("--allow-creation", settings.allow_creation),
    ];
    let times = [("--min-offline", settings.min_offline), ("--min-online", settings.min_online)];
    let mut words: Vec<String> =
        flags.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned()).collect();
    for (name, time) in times {
        words.extend(time.into_iter().flat_map(|time| [name.to_owned(), format!("{}s", seconds_text(time))]));
    }
    words
}

fn stats(args: &StatsArgs) -> Result<(), Failure> {
    let stats = args.span.statistics(&loaded(&args.file, &args.settings)?.trace)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&stats).expect("plain data always has a JSON form") + "\n",
        false => table::table(&stats),
    };
    put(None, &text)
}

fn plot(args: &PlotArgs) -> Result<(), Failure> {
    let Loaded { trace, .. } = loaded(&args.file, &args.settings)?;
    let stats = args.span.statistics(&trace)?;
    let name = args.file.file_name().map_or("churn".into(), |name| name.to_string_lossy());
    let title = args.title.as_deref().unwrap_or(&name);
    put(args.output.as_deref(), &chart::chart(title, &trace, &stats))
}

fn convert(args: &ConvertArgs) -> Result<(), Failure> {
    let text = read(&args.file)?;
    let measurement =
        Measurement::parse(&text).map_err(|error| Failure::Source { path: args.file.clone(), error })?;
    let selection = Selection {
        nodes: args.nodes,
        seed: args.seed,
        from: args.from,
        length: args.length,
        speed: args.speed,
    };
    let trace = measurement.trace(&selection).map_err(|error| match error {
        SelectionError::Speed(_) => Failure::Usage(format!("--speed: {error}")),
        _ => Failure::Usage(format!("{}: {error}", args.file.display())),
    })?;
    put(args.output.as_deref(), &trace.to_string())
}
