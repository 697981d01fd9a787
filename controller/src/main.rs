//! The controller's command line. Today it makes node lists; it deploys nothing yet.

use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, Subcommand, ValueEnum};
use splay_protocol::{ListType, Lists, loopback_nodes};

/// Deploys SPLAY jobs over many machines.
///
/// Deployment, that is accepting splayds and running jobs on them, comes in a later version; for
/// now use `splay run` to run an application on this machine.
#[derive(Debug, Parser)]
#[command(name = "splay-controller", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the job table each instance of a job receives, one JSON object a line
    ///
    /// The lists depend on the options alone: the same seed gives the same lists everywhere, so
    /// this shows what `splay run` with the same options tells its instances.
    #[command(
        after_help = "Examples:\n  splay-controller lists -n 5\n  splay-controller lists -n 100 --list-type random --list-size 10 --seed 7"
    )]
    Lists(ListArguments),
}

#[derive(Debug, clap::Args)]
struct ListArguments {
    /// Instances in the job
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,
    /// Port of the first instance; the others follow
    #[arg(long, value_name = "PORT", default_value = "20000", value_parser = clap::value_parser!(u16).range(1..))]
    first_port: u16,
    /// The first nodes of the job, or random others
    #[arg(long, value_enum, default_value = "head")]
    list_type: ListKind,
    /// Longest list; all nodes when left out
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    list_size: Option<u32>,
    /// What random lists follow from
    #[arg(long, value_name = "SEED", default_value = "1")]
    seed: u64,
    /// Only the table of the instance at this position, counted from 1
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..))]
    position: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ListKind {
    Head,
    Random,
}

impl From<ListKind> for ListType {
    fn from(kind: ListKind) -> ListType {
        match kind {
            ListKind::Head => ListType::Head,
            ListKind::Random => ListType::Random,
        }
    }
}

fn main() -> ExitCode {
    let Command::Lists(arguments) = Arguments::parse().command;
    match print_lists(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, for example `| head`.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "splay-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_lists(arguments: &ListArguments) -> anyhow::Result<()> {
    let nodes = loopback_nodes(arguments.instances, arguments.first_port)?;
    let lists = Lists::new("list", nodes, arguments.list_type.into(), arguments.list_size, arguments.seed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let positions = match arguments.position {
        Some(position) => {
            ensure!(position <= lists.total(), "no position {position}: the job has {}", lists.total());
            position..=position
        }
        None => 1..=lists.total(),
    };
    for position in positions {
        let line = serde_json::to_string(&lists.job(position))?;
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
