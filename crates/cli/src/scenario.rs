//! What is done to a run from outside, as the command line says it: `--churn` and `--faults`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use splay_protocol::churn::{Schedule, Script, Settings, Trace};
use splay_protocol::faults::Plan;

use crate::churn::{self, Loaded};
use crate::failure::Failure;
use crate::quantity::duration;

/// `--churn`, and what belongs to it.
#[derive(Debug, Clone, Args)]
pub struct ChurnArgs {
    /// Start and stop instances as this trace or script says (`splay help churn`); there are as many
    /// as it has nodes.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub churn: Option<PathBuf>,
    /// What a script's random choices follow from [default: `seed` of the script, or 1].
    #[arg(long, value_name = "S", requires = "churn")]
    pub churn_seed: Option<u64>,
    /// How long job.on_stop may take when an instance leaves gracefully.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub grace: Duration,
}

/// What is done to a simulated run.
#[derive(Debug, Clone, Args)]
pub struct ScenarioArgs {
    #[command(flatten)]
    pub churn: ChurnArgs,
    /// Let go wrong what the rules of this script say (docs/reference/faults.md).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub faults: Option<PathBuf>,
}

/// The files of a scenario, read.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// Who is there when.
    pub churn: Option<Loaded>,
    /// The file of churn, if something is odd about it.
    odd: Option<PathBuf>,
    /// The script that has rules of faults, and its file.
    faults: Option<(PathBuf, Script)>,
}

impl Scenario {
    /// Reads the files. Each of them may have rules of both kinds, but not both of one kind.
    pub fn load(
        churn: Option<&Path>,
        churn_seed: Option<u64>,
        faults: Option<&Path>,
    ) -> Result<Scenario, Failure> {
        let mut scenario = Scenario::default();
        for path in [churn, faults].into_iter().flatten() {
            scenario.add(path, churn_seed, Some(path) == churn)?;
        }
        Ok(scenario)
    }

    fn add(&mut self, path: &Path, churn_seed: Option<u64>, needs_churn: bool) -> Result<(), Failure> {
        let text = churn::read(path)?;
        let wrong = |error| Failure::Source { path: path.to_owned(), error };
        let script = match Trace::is_trace(&text) {
            true => None,
            false => Some(Script::parse(&text).map_err(wrong)?),
        };
        let comes_and_goes = script.as_ref().is_none_or(|script| !script.rules.is_empty());
        if comes_and_goes || needs_churn {
            let settings = Settings { seed: churn_seed, ..Settings::default() };
            let loaded = churn::interpret(&text, &settings).map_err(wrong)?;
            self.odd = (!loaded.warnings.is_empty()).then(|| path.to_owned());
            if self.churn.replace(loaded).is_some() {
                let message = format!("{}: --churn says already who comes and goes", path.display());
                return Err(Failure::Usage(message));
            }
        }
        if let Some(script) = script.filter(|script| !script.faults.is_empty())
            && self.faults.replace((path.to_owned(), script)).is_some()
        {
            let message = format!("{}: the file of --churn has faults already", path.display());
            return Err(Failure::Usage(message));
        }
        Ok(())
    }

    /// Tells what is odd about the file of churn, on standard error.
    pub fn warn(&self) {
        if let (Some(path), Some(churn)) = (&self.odd, &self.churn) {
            churn::warn(path, &churn.warnings);
        }
    }

    /// When each node is there.
    pub fn schedule(&self) -> Option<Schedule> {
        self.churn.as_ref().map(|churn| churn.trace.schedule())
    }

    /// What goes wrong in a run of so many nodes; what is drawn follows from the script's seed, or
    /// else from this one.
    pub fn plan(&self, instances: u32, seed: u64) -> Result<Option<Plan>, Failure> {
        let Some((path, script)) = &self.faults else { return Ok(None) };
        let plan = Plan::new(script, instances, Some(script.seed.unwrap_or(seed)));
        plan.map(Some).map_err(|error| Failure::Source { path: path.clone(), error })
    }

    /// Refuses faults.
    pub fn without_faults(&self, why: &str) -> Result<(), Failure> {
        let Some((path, script)) = &self.faults else { return Ok(()) };
        let rule = &script.faults[0];
        let error = rule.place.error(format!("{}: {why}", rule.fault.name()));
        Err(Failure::Source { path: path.clone(), error })
    }
}
