//! `splay completions`: completion scripts for shells.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::definition;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  splay completions bash > ~/.local/share/bash-completion/completions/splay
  splay completions zsh  > ~/.zfunc/_splay
  splay completions fish > ~/.config/fish/completions/splay.fish";

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub fn execute(args: CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "splay", &mut script);
    std::io::stdout().write_all(&script).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}
