//! The resolved options of a run: what was asked for, with every default filled in. Written to
//! options.json; running its command line again is the same run.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use splay_protocol::ListType;
use splay_protocol::submission::PlaceOrder;

use crate::churn::{Loaded, Origin};
use crate::command::run::{Jit, RunArgs};
use crate::event::seconds;
use crate::failure::Failure;
use crate::network_options::NetworkOptions;
use crate::plot::Kind;
use crate::quantity::{InstanceSet, duration_text};

/// LuaJIT's compiler pays off where a state runs long; its machine code costs memory in each of
/// many states. Up to this many instances it is on, but never in the sandbox: a compiler is where a
/// VM's faults become ways out.
pub const MANY_INSTANCES: u32 = 64;

/// The Lua heap of a sandboxed instance when nothing else is asked for: what splayds give.
pub const SANDBOX_MEMORY_BYTES: u64 = 20 << 20;

/// Where ports begin unless the user says otherwise: above the well-known ones, below those the
/// system gives to outgoing connections.
const DEFAULT_FIRST_PORT: u16 = 20_000;

/// A run, all decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Options {
    /// Version of this command.
    pub version: &'static str,
    /// The command line of this very run.
    pub command_line: Vec<String>,
    /// Where it was given.
    pub working_directory: Option<PathBuf>,
    /// The program's file.
    pub app: PathBuf,
    /// Name of the program: the file's, without its ending.
    pub name: String,
    /// How many instances.
    pub instances: u32,
    /// Port of the first.
    pub first_port: u16,
    /// How node lists are chosen.
    pub list_type: ListType,
    /// How long they are at most; `None`: all nodes.
    pub list_size: Option<u32>,
    /// What all randomness of the run follows from.
    pub seed: u64,
    /// File that says when instances start and stop.
    pub churn: Option<PathBuf>,
    /// What a script's random choices follow from; a trace has none.
    pub churn_seed: Option<u64>,
    /// Script that says what goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<PathBuf>,
    /// How long an instance that leaves gracefully may take.
    #[serde(rename = "grace_seconds", serialize_with = "crate::event::seconds")]
    pub grace: Duration,
    /// When everything is stopped.
    #[serde(rename = "for_seconds")]
    #[serde(serialize_with = "optional_seconds")]
    pub time_limit: Option<Duration>,
    /// Whether instances run in the manual's sandbox.
    pub sandbox: bool,
    /// The network that is emulated between the instances of a real run.
    #[serde(rename = "emulated_topology", skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// Which place of it each instance is at.
    #[serde(skip_serializing_if = "is_ordered")]
    pub topology_places: PlaceOrder,
    /// Event loops, each on a processor core of its own if there are enough.
    pub workers: u32,
    /// Whether LuaJIT's compiler is on.
    pub jit: bool,
    /// Longest time a thread may run without yielding.
    #[serde(rename = "slice_seconds")]
    #[serde(serialize_with = "optional_seconds")]
    pub slice: Option<Duration>,
    /// Lua heap limit of an instance.
    pub max_memory_bytes: Option<u64>,
    /// Pictures of the overlay that are drawn at the end.
    pub plot: Vec<Kind>,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// What a simulated run has besides; `None`: a real one.
    #[serde(flatten)]
    pub simulation: Option<Simulated>,
}

/// What is decided of a simulated run besides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// What the network is like.
    pub network: NetworkOptions,
    /// How long a resumed coroutine keeps its instance's processor busy.
    #[serde(rename = "resume_cost_seconds")]
    #[serde(serialize_with = "seconds")]
    pub resume_cost: Duration,
}

impl Options {
    /// Fills in what was left open and refuses what cannot be.
    pub fn resolve(args: &RunArgs, churn: Option<&Loaded>) -> Result<Options, Failure> {
        let instances = churn.map_or(args.instances, |churn| churn.trace.nodes());
        check_only(args.only.as_ref(), instances)?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let name = args.app.file_stem().map_or("app".into(), |stem| stem.to_string_lossy());
        let mut options = Options {
            version: env!("CARGO_PKG_VERSION"),
            command_line: Vec::new(),
            working_directory: std::env::current_dir().ok(),
            app: args.app.clone(),
            name: name.into_owned(),
            instances,
            first_port: args.first_port.unwrap_or(DEFAULT_FIRST_PORT),
            list_type: args.list_type.into(),
            list_size: args.list_size.filter(|&size| size > 0),
            // 32 random bits: enough to differ, short enough to retype.
            seed: args.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            churn: args.churn.churn.clone(),
            faults: None,
            churn_seed: churn.and_then(|churn| match churn.origin {
                Origin::Script { seed, .. } => Some(seed),
                Origin::Trace => None,
            }),
            grace: args.churn.grace,
            time_limit: args.time_limit,
            sandbox: args.sandbox,
            topology: args.topology.clone(),
            topology_places: args.topology_places.into(),
            workers: args.workers.unwrap_or(cores).min(instances),
            jit: match args.jit {
                Jit::On => true,
                Jit::Off => false,
                Jit::Auto => instances <= MANY_INSTANCES && !args.sandbox,
            },
            slice: args.slice.0,
            max_memory_bytes: args.memory.or(args.sandbox.then_some(SANDBOX_MEMORY_BYTES)),
            plot: args.plot.clone(),
            arguments: args.arguments.clone(),
            simulation: None,
        };
        options.command_line = options.spell_out();
        Ok(options)
    }

    /// Uses ports from another one on.
    pub fn move_to(&mut self, first_port: u16) {
        self.first_port = first_port;
        self.command_line = self.spell_out();
    }

    /// The command line that says all of this.
    fn spell_out(&self) -> Vec<String> {
        let mut own = vec![
            ("--first-port", self.first_port.to_string()),
            ("--workers", self.workers.to_string()),
            ("--jit", if self.jit { "on" } else { "off" }.to_owned()),
            ("--slice", self.slice.map_or("off".to_owned(), duration_text)),
        ];
        if let Some(topology) = &self.topology {
            own.push(("--topology", topology.clone()));
            if self.topology_places == PlaceOrder::Shuffled {
                own.push(("--topology-places", "shuffled".to_owned()));
            }
        }
        self.words("run", own)
    }

    /// The command line of a command that runs applications: what all of them have, and its own options.
    pub fn words(&self, command: &str, own: Vec<(&str, String)>) -> Vec<String> {
        let mut words = vec!["splay".to_owned(), command.to_owned(), self.app.display().to_string()];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        match &self.churn {
            Some(churn) => option("--churn", churn.display().to_string()),
            None => option("-n", self.instances.to_string()),
        }
        if let Some(seed) = self.churn_seed {
            option("--churn-seed", seed.to_string());
        }
        if let Some(faults) = &self.faults {
            option("--faults", faults.display().to_string());
        }
        if self.churn.is_some() || self.faults.is_some() {
            option("--grace", duration_text(self.grace));
        }
        option("--list-type", self.list_type.name().to_owned());
        if let Some(size) = self.list_size {
            option("--list-size", size.to_string());
        }
        option("--seed", self.seed.to_string());
        if let Some(limit) = self.time_limit {
            option("--for", duration_text(limit));
        }
        own.into_iter().for_each(|(name, value)| option(name, value));
        if let Some(limit) = self.max_memory_bytes {
            option("--memory", limit.to_string());
        }
        for kind in &self.plot {
            option("--plot", kind.name().to_owned());
        }
        if self.sandbox {
            words.push("--sandbox".to_owned());
        }
        if !self.arguments.is_empty() {
            words.push("--".to_owned());
            words.extend(self.arguments.iter().cloned());
        }
        words
    }
}

fn is_ordered(order: &PlaceOrder) -> bool {
    *order == PlaceOrder::Ordered
}

/// Refuses `--only` with instances that there are not.
pub fn check_only(only: Option<&InstanceSet>, instances: u32) -> Result<(), Failure> {
    match only.map(InstanceSet::last).filter(|&last| last > instances) {
        Some(last) => Err(Failure::Usage(format!("--only names instance {last}, and there are {instances}"))),
        None => Ok(()),
    }
}

/// Words as a shell reads them.
pub fn shell_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    let quote = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn optional_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn resolve(line: &[&str]) -> Result<Options, Failure> {
        let words = ["run"].iter().chain(line);
        Options::resolve(&Line::try_parse_from(words).expect("well-formed").run, None)
    }

    #[test]
    fn command_line_replays_itself() {
        let all = [
            "dir/app.lua",
            "-n",
            "5",
            "--list-type",
            "random",
            "--list-size",
            "3",
            "--for",
            "1m30s",
            "--seed",
            "7",
            "--sandbox",
            "--workers",
            "2",
            "--jit",
            "off",
            "--slice",
            "500ms",
            "--memory",
            "64MB",
            "--topology",
            "star:latency=5ms",
            "--topology-places",
            "shuffled",
            "--plot",
            "ring",
            "--",
            "-x",
            "it's",
        ];
        let first = resolve(&all).unwrap();
        let words: Vec<&str> = first.command_line[2..].iter().map(String::as_str).collect();
        assert_eq!(resolve(&words).unwrap(), first);
        assert_eq!(first.name, "app");
        let defaults = resolve(&["app.lua"]).unwrap();
        let words: Vec<&str> = defaults.command_line[2..].iter().map(String::as_str).collect();
        assert_eq!(resolve(&words).unwrap(), defaults);
    }

    #[test]
    fn defaults_follow_the_number_of_instances() {
        let one = resolve(&["app.lua"]).unwrap();
        assert!(one.jit && one.workers == 1 && one.max_memory_bytes.is_none());
        assert!(!resolve(&["app.lua", "-n", "5000"]).unwrap().jit);
        assert_eq!(resolve(&["app.lua", "--sandbox"]).unwrap().max_memory_bytes, Some(20 << 20));
        assert_eq!(resolve(&["app.lua", "--list-size", "0"]).unwrap().list_size, None);
    }

    #[test]
    fn only_instances_that_exist() {
        let error = resolve(&["app.lua", "-n", "3", "--only", "2,4"]).unwrap_err();
        assert_eq!(error.to_string(), "--only names instance 4, and there are 3");
    }

    #[test]
    fn shell_words_are_quoted() {
        let words = ["splay", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(shell_line(&words), r"splay 'a b' 'it'\''s' ''");
    }
}
