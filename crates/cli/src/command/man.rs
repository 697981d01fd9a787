//! `splay man`: manual pages.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use clap_mangen::Man;

use super::definition;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  splay man | man -l -                      read the page of `splay`
  splay man ~/.local/share/man/man1         write the pages of `splay` and of each command";

/// Print the manual page, or write the pages of all commands into a folder.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Folder to write splay.1, splay-run.1 ... into (made if missing).
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Prints or writes the pages.
pub fn execute(args: ManArgs) -> Result<ExitCode, Failure> {
    match args.directory {
        Some(directory) => std::fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(definition(), &directory))
            .map_err(|source| Failure::Write { path: directory, source })?,
        None => {
            let mut page = Vec::new();
            Man::new(definition()).render(&mut page).map_err(Failure::Output)?;
            std::io::stdout().write_all(&page).map_err(Failure::Output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
