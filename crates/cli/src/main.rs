//! The `splay` command.

mod annotations;
mod catalogue;
mod churn;
mod command;
mod diagnostics;
mod dispatcher;
mod engine;
mod event;
mod failure;
mod interrupt;
mod ledger;
mod options;
mod preflight;
mod quantity;
mod reference;
mod reporter;
mod results;
mod testbed;

use std::process::ExitCode;

/// Thousands of small Lua tables, lines and buffers are allocated and freed by several workers:
/// mimalloc does so without a shared lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    diagnostics::start();
    command::parse().and_then(command::execute).unwrap_or_else(|failure| failure.tell())
}
