//! `splay blacklist`: hosts that no instance may contact.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use splay_protocol::api::Blacklist;

use crate::failure::Failure;
use crate::testbed::{STATUSES, Target};

/// Show and change the hosts that no instance on any splayd may contact.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  splay blacklist\n  splay blacklist add 192.0.2.7 '*.internal.example.org'\n  \
     splay blacklist remove 192.0.2.7\n  splay blacklist clear\n\n{STATUSES}"
))]
pub struct BlacklistArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add hosts (administrators).
    #[command(after_help = "Examples:\n  splay blacklist add 192.0.2.7 '*.internal.example.org'")]
    Add {
        /// Names or addresses; `*` stands for anything.
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// Remove hosts (administrators).
    #[command(after_help = "Examples:\n  splay blacklist remove 192.0.2.7")]
    Remove {
        /// As they are listed.
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// Remove all (administrators).
    #[command(after_help = "Examples:\n  splay blacklist clear")]
    Clear,
}

/// Shows or changes the list.
pub fn execute(args: BlacklistArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    let mut list: Blacklist = client.get("/blacklist")?;
    let changed = match args.action {
        None => false,
        Some(Action::Add { hosts }) => {
            for host in hosts {
                if !list.hosts.contains(&host) {
                    list.hosts.push(host);
                }
            }
            true
        }
        Some(Action::Remove { hosts }) => {
            if let Some(missing) = hosts.iter().find(|host| !list.hosts.contains(host)) {
                return Err(Failure::NotFound(format!("`{missing}` is not on the list")));
            }
            list.hosts.retain(|host| !hosts.contains(host));
            true
        }
        Some(Action::Clear) => {
            list.hosts.clear();
            true
        }
    };
    if changed {
        client.tell("PUT", "/blacklist", Some(&list))?;
    }
    args.target.show(&list, |list| match list.hosts.is_empty() {
        true => "no hosts\n".to_owned(),
        false => list.hosts.iter().map(|host| format!("{host}\n")).collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}
