//! From the command line of `splay sim` to a simulation, all decided.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::submission::PlaceOrder;
use splay_runtime::host::Mode;
use splay_runtime::program::Program;
use splay_simulator::scenario::ScenarioConfig;
use splay_simulator::simulation::{Modes, SimulationConfig};
use splay_simulator::{NetworkConfig, simulation};

use crate::command::run::sandbox;
use crate::command::sim::SimArgs;
use crate::failure::Failure;
use crate::options::{Options, SANDBOX_MEMORY_BYTES, Simulated, check_only};
use crate::quantity::{duration_text, positive_duration};
use crate::scenario::{ChurnArgs, Scenario, ScenarioArgs};

/// `--cpu-model`: what computing costs in virtual time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuModel {
    /// For how long a resumed coroutine keeps the processor of its instance busy.
    pub resume: Duration,
}

impl FromStr for CpuModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(CpuModel::default());
        }
        let cost = text.strip_prefix("resume=").ok_or("must be `off` or resume=TIME, such as resume=20us")?;
        positive_duration(cost).map(|resume| CpuModel { resume })
    }
}

impl Options {
    /// The options of a simulated run.
    pub fn simulated(args: &SimArgs) -> Result<Options, Failure> {
        let ScenarioArgs { churn: ChurnArgs { churn, churn_seed, grace }, faults } = &args.scenario;
        // It is read again for each process and for each replay.
        if [churn, faults].into_iter().flatten().any(|path| path.as_os_str() == "-") {
            return Err(Failure::Usage(
                "--churn and --faults of a simulation need files: it is repeated".into(),
            ));
        }
        let loaded = Scenario::load(churn.as_deref(), *churn_seed, faults.as_deref())?;
        let instances = loaded.churn.as_ref().map_or(args.instances, |churn| churn.trace.nodes());
        check_only(args.only.as_ref(), instances)?;
        loaded.plan(instances, args.seed)?;
        let name = args.app.file_stem().map_or("app".into(), |stem| stem.to_string_lossy());
        let mut options = Options {
            version: env!("CARGO_PKG_VERSION"),
            command_line: Vec::new(),
            working_directory: std::env::current_dir().ok(),
            app: args.app.clone(),
            name: name.into_owned(),
            instances,
            first_port: args.port,
            list_type: args.list_type.into(),
            list_size: args.list_size.filter(|&size| size > 0),
            seed: args.seed,
            churn: churn.clone(),
            churn_seed: *churn_seed,
            faults: faults.clone(),
            grace: *grace,
            time_limit: Some(args.time_limit),
            sandbox: args.sandbox,
            topology: None,
            topology_places: PlaceOrder::Ordered,
            workers: 1,
            jit: false,
            slice: Some(simulation::SLICE),
            max_memory_bytes: args.memory.or(args.sandbox.then_some(SANDBOX_MEMORY_BYTES)),
            plot: args.plot.clone(),
            arguments: args.arguments.clone(),
            simulation: Some(Simulated {
                network: args.network.decided(),
                resume_cost: args.cpu_model.unwrap_or_default().resume,
            }),
        };
        options.command_line = words(&options);
        Ok(options)
    }
}

/// The command line that says all of this.
fn words(options: &Options) -> Vec<String> {
    let mut own = vec![("--port", options.first_port.to_string())];
    if let Some(Simulated { network, resume_cost }) = &options.simulation {
        own.extend(network.words());
        if !resume_cost.is_zero() {
            own.push(("--cpu-model", format!("resume={}", duration_text(*resume_cost))));
        }
    }
    options.words("sim", own)
}

/// The files of churn and faults that options name.
pub fn scenario(options: &Options) -> Result<Scenario, Failure> {
    Scenario::load(options.churn.as_deref(), options.churn_seed, options.faults.as_deref())
}

/// The network that options ask for; reads or generates its topology.
pub fn network(options: &Options) -> Result<NetworkConfig, Failure> {
    let simulated = options.simulation.as_ref().expect("options of a simulated run");
    simulated.network.config(options.instances, options.seed)
}

/// The simulation that options ask for, with their [`scenario()`], on their [`network()`]. `files` gives an instance of the sandbox the folder of
/// its files.
pub fn configuration(
    options: &Options,
    scenario: &Scenario,
    program: Arc<Program>,
    network: NetworkConfig,
    files: impl FnMut(u32) -> Result<PathBuf, Failure>,
) -> Result<SimulationConfig, Failure> {
    let simulated = options.simulation.as_ref().expect("options of a simulated run");
    let faults = scenario.plan(options.instances, options.seed)?;
    let modes = match options.sandbox {
        true => {
            let folders: Vec<PathBuf> = (1..=options.instances).map(files).collect::<Result<_, _>>()?;
            let port = options.first_port;
            let mode =
                move |position: u32| Mode::Sandboxed(sandbox(folders[position as usize - 1].clone(), port));
            Modes(Arc::new(mode))
        }
        false => Modes::default(),
    };
    Ok(SimulationConfig {
        arguments: options.arguments.clone(),
        instances: options.instances,
        port: options.first_port,
        list_type: options.list_type,
        list_size: options.list_size,
        seed: options.seed,
        max_memory_bytes: options.max_memory_bytes.map(|bytes| bytes as usize),
        modes,
        resume_cost: simulated.resume_cost,
        network,
        scenario: ScenarioConfig { schedule: scenario.schedule(), faults, grace: options.grace },
        ..SimulationConfig::new(program)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        sim: SimArgs,
    }

    fn resolve(line: &[&str]) -> Options {
        let words = ["sim"].iter().chain(line);
        Options::simulated(&Line::try_parse_from(words).expect("well-formed").sim).unwrap()
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
            "--memory",
            "64MB",
            "--latency",
            "normal(40ms,10ms)",
            "--jitter",
            "1.23456ms",
            "--loss",
            "1%",
            "--duplicate",
            "0.001",
            "--bandwidth",
            "10Mbps",
            "--queue",
            "7",
            "--port",
            "99",
            "--plot",
            "ring",
            "--cpu-model",
            "resume=20us",
            "--",
            "-x",
            "it's",
        ];
        let first = resolve(&all);
        let words: Vec<&str> = first.command_line[2..].iter().map(String::as_str).collect();
        assert_eq!(resolve(&words), first);
        assert_eq!(first.simulation.as_ref().unwrap().resume_cost, Duration::from_micros(20));
        for few in [&["app.lua"][..], &["app.lua", "--topology", "star:latency=5ms"]] {
            let first = resolve(few);
            let words: Vec<&str> = first.command_line[2..].iter().map(String::as_str).collect();
            assert_eq!(resolve(&words), first);
        }
    }

    #[test]
    fn cpu_models() {
        assert_eq!("off".parse(), Ok(CpuModel::default()));
        let model: CpuModel = "resume=1.5ms".parse().unwrap();
        assert_eq!(model.resume, Duration::from_micros(1500));
        for bad in ["", "20us", "resume=", "resume=0", "pass=1us"] {
            assert!(bad.parse::<CpuModel>().is_err(), "{bad}");
        }
    }
}
