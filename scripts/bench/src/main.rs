//! Measures SPLAY beside plain Rust doing the same work and prints Markdown tables.

mod baseline;
mod cost;
mod machine;

use std::io::{self, Write as _};

use clap::Parser;

use crate::baseline::Mode;

/// Measures SPLAY beside plain Rust doing the same work in the same run.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Rounds of each measurement; the least disturbed one counts
    #[arg(long, default_value = "5")]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n", machine::describe())?;
    writeln!(out, "| call | in flight | plain Rust, CPU µs | wall µs |\n|---|---|---|---|")?;
    for mode in Mode::ALL {
        for flight in [1, 50] {
            let cost = baseline::run(mode, flight, arguments.rounds)?;
            writeln!(
                out,
                "| {} | {flight} | {:.2} | {:.2} |",
                mode.name(),
                cost.cpu.as_secs_f64() * 1e6,
                cost.wall.as_secs_f64() * 1e6
            )?;
        }
    }
    Ok(())
}
