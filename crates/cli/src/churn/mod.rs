//! Churn files for the commands that take them: reading traces and scripts, telling about them.

pub mod chart;
pub mod table;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use splay_protocol::churn::{Script, Settings, SourceError, Trace, expand, order::order};

use crate::failure::{Failure, complain};
use crate::quantity::duration;

/// How a script is carried out. A trace needs none of it.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct SettingsArgs {
    /// What the script's random choices follow from [default: `seed` of the script, or 1].
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Where churn of two rules meets, the one that began last counts alone (else they add up).
    #[arg(long)]
    pub latest_wins: bool,
    /// Mend rules that make no sense, with a warning: churn at an instant, a stop in a period.
    #[arg(long)]
    pub repair: bool,
    /// Leave out, with a warning, leaves when nobody is there.
    #[arg(long)]
    pub ignore_empty: bool,
    /// How long a node stays away at least: 30, 30s, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub min_offline: Option<Duration>,
    /// Let new nodes join where none has been away for --min-offline.
    #[arg(long)]
    pub allow_creation: bool,
    /// How long a node stays at least.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub min_online: Option<Duration>,
}

impl From<&SettingsArgs> for Settings {
    fn from(args: &SettingsArgs) -> Self {
        Settings {
            seed: args.seed,
            latest_wins: args.latest_wins,
            repair: args.repair,
            ignore_empty: args.ignore_empty,
            min_offline: args.min_offline.unwrap_or_default(),
            allow_creation: args.allow_creation,
            min_online: args.min_online.unwrap_or_default(),
        }
    }
}

/// What a churn file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// When which node is there.
    pub trace: Trace,
    /// What was carried out for it.
    pub origin: Origin,
    /// What is odd about the file.
    pub warnings: Vec<SourceError>,
}

/// Where a trace comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// The file is a trace.
    Trace,
    /// The file is a script of so many rules.
    Script {
        /// Rules in the file.
        rules: usize,
        /// What random choices followed from.
        seed: u64,
        /// The rules as carried out, one a line.
        ordered: String,
    },
}

/// Reads a trace or a script and carries it out.
pub fn load(path: &Path, settings: &Settings) -> Result<Loaded, Failure> {
    let text = read(path)?;
    interpret(&text, settings).map_err(|error| Failure::Source { path: path.to_owned(), error })
}

/// What a text says of churn: a trace, or a script carried out.
pub fn interpret(text: &str, settings: &Settings) -> Result<Loaded, SourceError> {
    if Trace::is_trace(text) {
        let trace = Trace::parse(text)?;
        return Ok(Loaded { trace, origin: Origin::Trace, warnings: Vec::new() });
    }
    let script = Script::parse(text)?;
    if script.rules.is_empty() {
        let rule = &script.faults[0];
        return Err(rule.place.error("the script has faults alone: nobody comes or goes"));
    }
    let rules = order(&script, settings)?.rules;
    let ordered = Script { rules, seed: None, ..script.clone() }.to_string();
    let expansion = expand(&script, settings)?;
    let origin = Origin::Script { rules: script.rules.len(), seed: expansion.seed, ordered };
    Ok(Loaded { trace: expansion.trace, origin, warnings: expansion.warnings })
}

/// The text of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(path).map(|found| bytes = found),
    };
    read.map_err(|source| Failure::Read { path: path.to_owned(), source })?;
    // A comment may be in whatever encoding; elsewhere the odd character is told as a mistake.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tells what is odd about a file, on standard error.
pub fn warn(path: &Path, warnings: &[SourceError]) {
    for warning in warnings {
        complain(&format!("warning: {}:{warning}", path.display()));
    }
}
