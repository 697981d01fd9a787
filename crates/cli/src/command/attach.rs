//! `splay attach`: a prompt inside an instance of a run that goes on.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueHint};

use crate::attach::client::Remote;
use crate::attach::place;
use crate::failure::Failure;
use crate::prompt;

const EXAMPLES: &str = "\
Examples:
  splay run chord.lua -n 50 --attach       a run that can be attached to
  splay attach 7                           instance 7 of the latest such run in runs/
  splay attach chord 7                     of the latest run of chord.lua
  splay attach runs/chord/20260215T094521Z-cb76 7
  splay attach chord 7 -e 'n.id' -e 'print(#n.finger)'
                                           for scripts: no prompt

Code is evaluated in a new thread of the instance, between its own threads and under the same
limits (--slice, --memory, --sandbox). What that thread prints is shown here and is not in the
run's logs; what threads print that it starts is in the logs. Ctrl-C kills the thread, and so does
the end of this command. Keys are those of `splay repl`.

Exit status: 0; 1 if code of -e or from a pipe failed or could not be finished; 2 wrong command line,
3 no such run or instance, or it is over or without --attach; 130 interrupted.";

/// Open a prompt on an instance of a local run started with `splay run --attach`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, allow_missing_positional = true)]
pub struct AttachArgs {
    /// Folder of the run's results, or the name of its application [default: the latest run that
    /// can be attached to].
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    run: Option<PathBuf>,
    /// Number of the instance, from 1.
    #[arg(value_name = "INSTANCE", value_parser = clap::value_parser!(u32).range(1..))]
    instance: u32,
    /// Evaluate this instead of opening a prompt. May be given several times; the first that
    /// fails is the last.
    #[arg(short = 'e', value_name = "CODE", allow_hyphen_values = true)]
    code: Vec<String>,
    /// Folder of all results.
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    runs: PathBuf,
}

/// Attaches and talks.
pub fn execute(args: AttachArgs) -> Result<ExitCode, Failure> {
    let run = place::find(&args.runs, args.run.as_deref())?;
    let (session, heard, run) = Remote::attach(&run, args.instance)?;
    if !args.code.is_empty() {
        return prompt::evaluate_all(&session, heard, args.code);
    }
    let banner = format!("instance {} of {} of {}; Ctrl-D leaves it", args.instance, run.instances, run.app);
    prompt::talk(Arc::new(session), heard, &banner)
}
