//! `splay submit` and `splay resubmit`: jobs for a testbed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use splay_protocol::api::{Submit, Submitted};
use splay_runtime::program::Program;

use crate::failure::{Failure, complain};
use crate::testbed::asked::{self, OptionFlags};
use crate::testbed::client::{Client, segment};
use crate::testbed::watch::{Wishes, watch};
use crate::testbed::{Target, job, outcome, print, shipping};

const EXAMPLES: &str = "\
Examples:
  splay submit chord.lua -n 200
      two hundred instances on the splayds there are; comes back when they run
  splay submit chord.lua -n 200 --wait
      the same, with their lines as they come, until the job is over
  splay submit chord.lua -n 50 --churn day.churn --max-time 2h --label rack=3
      with nodes that join and leave, on machines of one rack
  splay submit gossip.lua --config gossip.toml -n 30 -- 5 fast
      options from a file, -n over them; the program finds \"5\" and \"fast\" in `arg`
  splay submit app.lua --file keys.txt --file data/
      files that the program opens; modules it requires from beside it go by themselves
  id=$(splay submit app.lua --detach)

Options may also stand in the program, in a comment, one `key value` on each line:
  --[[
  BEGIN SPLAY RESOURCES RESERVATION
  instances 20
  max_memory_bytes 8MB
  END SPLAY RESOURCES RESERVATION
  --]]
and in a TOML file (--config). Keys are the names below with _ for -, and those of the original
(nb_splayds, max_mem, disk_max_size, network_nb_ports, hostmasks ...). The file wins over the comment,
the command line over both; a key that is not known is an error. docs/reference/submission.md has all.

With --json, each line is an object: first {\"submitted\": ...}, then {\"event\": ...} as things happen,
with --wait {\"line\": ...} and at the end {\"job\": ...}.
";

/// Run an application on a testbed.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}\n\n{}", crate::testbed::STATUSES, outcome::STATUSES))]
pub struct SubmitArgs {
    /// The application's Lua file.
    #[arg(value_name = "APP.lua")]
    app: PathBuf,
    /// TOML file of options.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File or folder that goes with the program; may be repeated.
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    stay: StayArgs,
    #[command(flatten)]
    target: Target,
    /// What the application finds in `arg`.
    #[arg(last = true, value_name = "ARGS")]
    words: Vec<String>,
    #[command(flatten)]
    options: OptionFlags,
}

/// For how long a command stays with its job.
#[derive(Debug, Args)]
struct StayArgs {
    /// Stay until the job is over, showing its lines; the exit status tells what became of it.
    #[arg(long)]
    wait: bool,
    /// Do not wait for the deployment either; print the job's identifier alone.
    #[arg(long, conflicts_with = "wait")]
    detach: bool,
    /// On Ctrl-C kill the job instead of leaving it to itself.
    #[arg(long)]
    kill_on_exit: bool,
    /// No lines and no progress.
    #[arg(short, long)]
    quiet: bool,
}

/// Submits.
pub fn execute(args: SubmitArgs) -> Result<ExitCode, Failure> {
    // What is wrong with the program is told before anything is sent.
    Program::load(&args.app)?;
    let source =
        std::fs::read(&args.app).map_err(|source| Failure::Read { path: args.app.clone(), source })?;
    let asked = asked::collect(&args.app, &source, args.config.as_deref(), &args.options, &args.words)?;
    let shipment = shipping::collect(&args.app, source, &args.files)?;
    let client = args.target.client()?;
    let submit = Submit {
        submission: asked.submission,
        app: shipment.app,
        files: shipment.files,
        native: asked.native,
    };
    let submitted: Submitted = client.send("POST", "/jobs", &submit)?;
    stay(client, &submitted, &args.stay, args.target.json)
}

/// Run a job again: same program, files, options and seed.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay resubmit j3f0c9a1b2d4\n  splay resubmit j3f0c9a1b2d4 --wait\n\n{}\n\n{}",
    crate::testbed::STATUSES,
    outcome::STATUSES
))]
pub struct ResubmitArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    id: String,
    #[command(flatten)]
    stay: StayArgs,
    #[command(flatten)]
    target: Target,
}

/// Submits again.
pub fn again(args: ResubmitArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let path = format!("/jobs/{}/resubmit", segment(&args.id));
    let submitted: Submitted = client.send("POST", &path, &serde_json::json!({}))?;
    stay(client, &submitted, &args.stay, args.target.json)
}

fn stay(client: Client, submitted: &Submitted, stay: &StayArgs, json: bool) -> Result<ExitCode, Failure> {
    match (json, stay.detach) {
        (true, _) => print(&format!("{}\n", serde_json::json!({ "submitted": submitted })))?,
        (false, true) => print(&format!("{}\n", submitted.id))?,
        (false, false) => complain(&format!("job {} submitted (seed {})", submitted.id, submitted.seed)),
    }
    if stay.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let instances = job(&client, &submitted.id)?.summary.instances;
    let StayArgs { wait, kill_on_exit, quiet, .. } = *stay;
    watch(client, &submitted.id, instances, Wishes { wait, json, quiet, kill_on_exit })
}
