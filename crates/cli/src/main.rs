//! The `splay` command.

mod annotations;
mod attach;
mod catalogue;
mod check;
mod churn;
mod command;
mod diagnostics;
mod dispatcher;
mod engine;
mod event;
mod excerpt;
mod failure;
mod interrupt;
mod ledger;
mod likeness;
mod network_options;
mod options;
mod plot;
mod preflight;
mod prompt;
mod quantity;
mod reference;
mod reporter;
mod reservation;
mod results;
mod scenario;
mod sim;
mod testbed;
mod topology_picture;
mod trace;
mod verdicts;

use std::process::ExitCode;

/// Thousands of small Lua tables, lines and buffers are allocated and freed by several workers:
/// mimalloc does so without a shared lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    diagnostics::start();
    command::parse().and_then(command::execute).unwrap_or_else(|failure| failure.tell())
}
