//! The options that tell what a simulated network is like.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Serialize, Serializer};
use splay_protocol::topology::quantity::{rate, share, time};
use splay_protocol::topology::{Generator, Topology};
use splay_simulator::NetworkConfig;
use splay_simulator::model::{Base, DEFAULT_QUEUE_PACKETS, Latency, ModelConfig};

use crate::failure::Failure;

/// One-way delay where nothing else is asked for.
const DEFAULT_LATENCY: Duration = Duration::from_millis(20);

/// Delay of what an instance sends to itself, if the network between instances is modelled.
const LOOPBACK_LATENCY: Duration = Duration::from_micros(50);

/// A value, and how it was written on the command line: to be written so again.
#[derive(Debug, Clone, PartialEq)]
pub struct Given<T> {
    value: T,
    text: String,
}

impl<T> Given<T> {
    fn read(text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Given<T>, String> {
        read(text).map(|value| Given { value, text: text.to_owned() })
    }
}

impl<T> Serialize for Given<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What the network is like.
#[derive(Debug, Clone, PartialEq, Args, Serialize)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// Where instances are: a file (ModelNet XML, GraphML, latency matrix) or a generated topology,
    /// for example `star:latency=20ms`; see `splay topology --help`.
    #[arg(long, value_name = "FILE|SPEC", conflicts_with = "latency")]
    topology: Option<String>,
    /// Time a packet takes from one instance to another: 20ms, uniform(10ms,30ms),
    /// normal(40ms,10ms) or pareto(20ms,3) [default: 20ms].
    #[arg(long, value_name = "TIME", value_parser = latency)]
    latency: Option<Given<Latency>>,
    /// Deviation by which every packet's time varies.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Given::read(text, time))]
    jitter: Option<Given<Duration>>,
    /// Share of packets that are lost: 1% or 0.01. Streams repeat them.
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| Given::read(text, share))]
    loss: Option<Given<f64>>,
    /// Share of datagrams that arrive twice.
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| Given::read(text, share))]
    duplicate: Option<Given<f64>>,
    /// What an instance can send, and what it can receive: 10Mbps.
    #[arg(long, value_name = "RATE", value_parser = |text: &str| Given::read(text, rate))]
    bandwidth: Option<Given<u64>>,
    /// Datagrams that may wait for a link of limited bandwidth [default: 100].
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u32).range(1..))]
    queue: Option<u32>,
}

/// A distribution whose mean is more than nothing.
fn latency(text: &str) -> Result<Given<Latency>, String> {
    let given = Given::read(text, str::parse::<Latency>)?;
    match given.value.mean() {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        _ => Ok(given),
    }
}

impl NetworkOptions {
    /// The same, with the default latency written out.
    pub fn decided(&self) -> NetworkOptions {
        let mut options = self.clone();
        if options.topology.is_none() && options.latency.is_none() {
            let value = Latency::Constant(DEFAULT_LATENCY);
            options.latency = Some(Given { value, text: value.to_string() });
        }
        options
    }

    /// The options as words of a command line.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        fn text<T>(given: &Option<Given<T>>) -> Option<String> {
            given.as_ref().map(|given| given.text.clone())
        }
        let all = [
            ("--topology", self.topology.clone()),
            ("--latency", text(&self.latency)),
            ("--jitter", text(&self.jitter)),
            ("--loss", text(&self.loss)),
            ("--duplicate", text(&self.duplicate)),
            ("--bandwidth", text(&self.bandwidth)),
            ("--queue", self.queue.map(|packets| packets.to_string())),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }

    /// The network for so many instances. What is generated follows from the seed.
    pub fn config(&self, instances: u32, seed: u64) -> Result<NetworkConfig, Failure> {
        let base = match &self.topology {
            Some(topology) => Base::Topology(Arc::new(load_topology(topology, instances, seed)?.topology)),
            None => Base::Everyone(value(&self.latency).unwrap_or(Latency::Constant(DEFAULT_LATENCY))),
        };
        let (jitter, loss) = (value(&self.jitter), value(&self.loss));
        let (duplicate, bandwidth) = (value(&self.duplicate), value(&self.bandwidth));
        let more = (jitter, loss, duplicate, bandwidth);
        if let (Base::Everyone(Latency::Constant(latency)), (None, None, None, None)) = (&base, more) {
            return Ok(NetworkConfig { latency: *latency, ..NetworkConfig::default() });
        }
        if let Base::Topology(topology) = &base {
            check_places(self.topology.as_deref().unwrap_or_default(), topology, instances)?;
        }
        let model = ModelConfig {
            jitter: jitter.unwrap_or_default(),
            loss: loss.unwrap_or_default(),
            duplicate: duplicate.unwrap_or_default(),
            bandwidth_bps: bandwidth,
            queue_packets: self.queue.unwrap_or(DEFAULT_QUEUE_PACKETS),
            ..ModelConfig::new(base)
        };
        let latency = LOOPBACK_LATENCY;
        Ok(NetworkConfig { latency, model: Some(model), ..NetworkConfig::default() })
    }
}

fn value<T: Copy>(given: &Option<Given<T>>) -> Option<T> {
    given.as_ref().map(|given| given.value)
}

/// Refuses a topology with fewer places than instances.
pub fn check_places(name: &str, topology: &Topology, instances: u32) -> Result<(), Failure> {
    let places = topology.places();
    if places < instances as usize {
        return Err(Failure::Usage(format!("{name} has places for {places} instances, not for {instances}")));
    }
    Ok(())
}

/// A topology and the text it was read from, or can be read from.
#[derive(Debug)]
pub struct LoadedTopology {
    /// What the text says.
    pub topology: Topology,
    /// The text.
    pub text: String,
}

/// Reads a topology's file, or makes the one that a text like `star:n=5` describes.
pub fn load_topology(topology: &str, places: u32, seed: u64) -> Result<LoadedTopology, Failure> {
    if Generator::is_named(topology) {
        let made = topology.parse::<Generator>().and_then(|generator| generator.generate(places, seed));
        let graph = made.map_err(|error| Failure::Usage(error.to_string()))?;
        return Ok(LoadedTopology { text: graph.to_modelnet(), topology: Topology::Graph(graph) });
    }
    let path = Path::new(topology);
    let text = std::fs::read(path).map_err(|source| Failure::Topology { path: path.into(), source })?;
    let wrong = |problem: String, line: Option<u32>| {
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        Failure::TopologyInvalid { place: format!("{}{line}", path.display()), problem }
    };
    let text = String::from_utf8(text).map_err(|_| wrong("is not text in UTF-8".to_owned(), None))?;
    match Topology::parse(&text) {
        Ok(topology) => Ok(LoadedTopology { topology, text }),
        Err(error) => Err(wrong(format!("{}: {}", error.element, error.problem), error.line)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        network: NetworkOptions,
    }

    fn config(options: &[&str]) -> Result<NetworkConfig, String> {
        let line = ["x"].iter().chain(options);
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        line.network.config(10, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_constant_latency_needs_no_model() {
        assert!(config(&[]).unwrap().model.is_none());
        let plain = config(&["--latency", "40ms"]).unwrap();
        assert_eq!((plain.latency, plain.model.is_none()), (Duration::from_millis(40), true));
        assert!(config(&["--latency", "normal(40ms,10ms)"]).unwrap().model.is_some());
        assert!(config(&["--loss", "1%"]).unwrap().model.is_some());
        assert!(config(&["--topology", "star"]).unwrap().model.is_some());
    }

    #[test]
    fn what_cannot_be_is_told() {
        let cases: [(&[&str], &str); 6] = [
            (&["--latency", "0ms"], "must be more than 0"),
            (&["--latency", "soon"], "is not a time"),
            (&["--loss", "200%"], "is not from 0 to 1"),
            (&["--topology", "star:n=5"], "star:n=5 has places for 5 instances, not for 10"),
            (&["--topology", "star", "--latency", "1ms"], "cannot be used with"),
            (&["--queue", "0"], "0 is not in 1.."),
        ];
        for (options, told) in cases {
            let error = config(options).unwrap_err();
            assert!(error.contains(told), "{options:?}: {error}");
        }
    }
}
