//! `splay audit`: who has done what on a controller.

use std::process::ExitCode;

use clap::Args;
use splay_protocol::api::AuditEntry;

use crate::failure::Failure;
use crate::testbed::table::Table;
use crate::testbed::times::clock;
use crate::testbed::{STATUSES, Target};

/// Tell who has done what on a controller (administrators).
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay audit\n  splay audit --last 1000 --json\n\n\
     Logins, failed ones too, and every change of users, tokens, splayds and jobs; the latest last.\n\n{STATUSES}"
))]
pub struct AuditArgs {
    /// How many entries, at most 100000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: u32,
    #[command(flatten)]
    target: Target,
}

/// Lists the last entries.
pub fn execute(args: AuditArgs) -> Result<ExitCode, Failure> {
    let entries: Vec<AuditEntry> = args.target.client()?.get(&format!("/audit?limit={}", args.last))?;
    args.target.show(&entries, |entries| {
        let mut table = Table::new(&["TIME", "USER", "FROM", "DID", "TO", ""]);
        for entry in entries {
            table.row([
                clock(entry.at),
                entry.user.clone(),
                entry.address.clone(),
                entry.action.clone(),
                entry.target.clone(),
                entry.detail.clone(),
            ]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}
