//! Measures SPLAY beside plain Rust doing the same work and prints Markdown tables.

mod baseline;
mod cost;
mod machine;
mod program;
mod report;
mod sections;
mod simulation;
mod testbed;
mod traffic;

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};

use crate::program::Splay;
use crate::sections::Effort;

/// Measures SPLAY beside plain Rust doing the same work in the same run.
///
/// Prints Markdown, ready for docs/performance.md. `scripts/bench/run` builds everything first.
#[derive(Debug, Parser)]
#[command(name = "splay-bench", version)]
struct Arguments {
    /// Sections to measure [default: all]
    #[arg(value_enum)]
    sections: Vec<Section>,
    /// The `splay` binary [default: the one beside this one]
    #[arg(long, value_name = "FILE")]
    splay: Option<PathBuf>,
    /// Rounds of each remote call measurement; the least disturbed one counts
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Bare instances started at once
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(2..=45_000))]
    crowd: u32,
    /// Instances of the smaller Chord ring
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(2..=20_000))]
    ring: u32,
    /// Nodes of the simulator's curve
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1000,10000")]
    nodes: Vec<u32>,
    /// Nodes of the simulated Chord; a tenth of it is measured too
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(100..))]
    simulated_ring: u32,
    /// Sessions of splayds that a controller has at most
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    sessions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Remote calls in plain Rust alone
    Baseline,
    /// Remote calls beside plain Rust
    Calls,
    /// Codec, threads, timers, pure Lua
    Pieces,
    /// Start times and memory
    Size,
    /// Events of the simulator, and a simulated Chord
    Simulation,
    /// Controller and splayds: starts, churn, logs, thousands of sessions
    Testbed,
    /// Streams and transactions of `splay traffic`
    Traffic,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { rounds, crowd, ring, simulated_ring, sessions, .. } = arguments;
    let nodes = arguments.nodes;
    let effort = Effort { rounds, crowd, ring };
    let mut chosen = arguments.sections;
    if chosen.is_empty() {
        use Section::{Calls, Pieces, Simulation, Size, Testbed, Traffic};
        chosen = vec![Calls, Pieces, Size, Simulation, Testbed, Traffic];
    }
    let binary = match arguments.splay {
        Some(binary) => binary,
        None => std::env::current_exe().context("find this binary")?.with_file_name("splay"),
    };
    let needs_splay = chosen.iter().any(|&section| section != Section::Baseline);
    ensure!(!needs_splay || binary.is_file(), "no `{}`: build it first", binary.display());
    let splay = Splay::new(binary)?;

    let mut out = io::stdout().lock();
    writeln!(out, "{}", machine::describe())?;
    for section in chosen {
        let text = match section {
            Section::Baseline => sections::calls(None, effort),
            Section::Calls => sections::calls(Some(&splay), effort),
            Section::Pieces => sections::pieces(&splay),
            Section::Size => sections::size(&splay, effort),
            Section::Testbed => testbed::testbed(splay.binary(), sessions),
            Section::Simulation => simulation::simulation(&splay, &nodes, simulated_ring),
            Section::Traffic => traffic::traffic(&splay, rounds),
        }?;
        write!(out, "\n{text}")?;
        out.flush()?;
    }
    Ok(())
}
