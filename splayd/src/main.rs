//! The SPLAY daemon's command line. Today it judges a machine; it hosts nothing yet.

mod check;
mod facts;

use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::check::{Report, Workload};
use crate::facts::{Facts, Sources};

/// Hosts SPLAY application instances on one machine.
///
/// Deployment, that is joining a controller and running its jobs, comes in a later version; for
/// now use `splay run` to run an application on this machine.
#[derive(Debug, Parser)]
#[command(name = "splayd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at this machine and say whether it can host instances
    ///
    /// Exit status: 0 if everything required is there (advice may still be printed), 1 if not.
    #[command(after_help = "Examples:\n  splayd check\n  splayd check --instances 5000 --json")]
    Check {
        /// Instances this machine is meant to host at the same time
        #[arg(long, value_name = "N", default_value = "100")]
        instances: NonZeroU32,
        /// Print the facts and findings as one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Check { instances, json } => {
            let report = Report::new(Facts::gather(&Sources::default()), Workload { instances });
            let mut out = io::stdout().lock();
            if json {
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            } else {
                write!(out, "{report}")?;
            }
            Ok(if report.fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
