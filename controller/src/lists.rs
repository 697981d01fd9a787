//! `splay-controller lists`.

use std::io::{self, BufWriter, ErrorKind, Write as _};

use anyhow::ensure;
use clap::ValueEnum;
use splay_protocol::{ListType, Lists, loopback_nodes};

/// What lists are asked for.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
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

/// Prints the tables.
pub fn print_lists(arguments: &ListArguments) -> anyhow::Result<()> {
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

/// Whether the reader of the output has seen enough.
pub fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
