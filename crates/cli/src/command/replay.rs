//! `splay replay`: runs again what was recorded, checks that it is the same, and looks into it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::failure::Failure;
use crate::quantity::{InstanceSet, duration, positive_duration};
use crate::sim::replay;

const EXAMPLES: &str = "\
Examples:
  splay sim chord.lua -n 20 --record chord.rec
      make a recording
  splay replay chord.rec
      run it again: is everything as it was recorded?
  splay replay chord.rec --until 12.5s
      stop at that virtual time, and look around at a prompt
  splay replay chord.rec --until 12.5s --instance 3 -e 'finger[1]' -e ':threads'
      the same for scripts
  splay replay chord.rec --list --instance 3 --from 10s --to 12s
      what instance 3 sent and wrote in these two seconds

At the prompt virtual time stands still. What is typed is Lua, evaluated in an instance, or one of
  :instance N   look at instance N from now on
  :globals      the globals of its application
  :threads      its threads, what each waits for, and where
  :timers       its timers
  :sockets      its sockets
  :flight       packets on their way to or from it; `:flight all`: all packets
  :go TIME      let so much virtual time pass, such as :go 1s
  :time         the virtual time
  :help         these commands

Exit status:
  0    all is as it was recorded (with -e: and all code ran well)
  1    -e: code failed
  2    the command line is wrong
  3    the recording or the application's file is missing or unreadable
  4    the application's file is not valid Lua
  9    something is not as it was recorded
  130  interrupted";

/// Run a recorded simulation again, check it against the recording, and look into it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The recording, made by `splay sim --record`.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Stop at this virtual time and open a prompt.
    #[arg(long, value_name = "TIME", value_parser = positive_duration, conflicts_with = "list")]
    pub until: Option<Duration>,
    /// Code to evaluate, or a command, in place of a prompt; may be given several times.
    #[arg(short = 'e', value_name = "CODE", requires = "until", allow_hyphen_values = true)]
    pub code: Vec<String>,
    /// Print the entries of the recording and run nothing.
    #[arg(long)]
    pub list: bool,
    /// The instance of the prompt, or those whose entries are printed: 3,7 or 1-5,9.
    #[arg(long, value_name = "LIST")]
    pub instance: Option<InstanceSet>,
    /// Print entries from this virtual time on.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "list")]
    pub from: Option<Duration>,
    /// Print entries up to this virtual time.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "list")]
    pub to: Option<Duration>,
}

/// Replays or lists.
pub fn execute(args: ReplayArgs) -> Result<ExitCode, Failure> {
    if args.list { replay::list(&args) } else { replay::replay(&args) }
}
