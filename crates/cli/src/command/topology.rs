//! `splay topology`: looks at, makes and draws networks to simulate.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use splay_protocol::topology::quantity::{rate_text, share_text, time_text};
use splay_protocol::topology::{Generator, Graph, Matrix, Path, Routes, Topology};

use crate::failure::Failure;
use crate::network_options::load_topology;
use crate::topology_picture;

const EXAMPLES: &str = "\
Examples:
  splay topology check planet.xml           is it valid? line and element of what is not
  splay topology show planet.xml            vertices, links, latencies
  splay topology show planet.xml 3 17       the path from place 3 to place 17, and back
  splay topology generate star:n=50,latency=20ms,bandwidth=10Mbps > star.xml
  splay topology generate scale-free:n=200,m=2 --seed 7 -o web.xml
  splay topology plot transit-stub -n 40 -o world.svg
  splay sim app.lua -n 50 --topology star.xml

Files: ModelNet XML, GraphML, latency matrices (square CSV, or lines `i j ms`).
Generated: SHAPE or SHAPE:KEY=VALUE,... with the keys n, latency, bandwidth, loss, queue (of the
links to the places), and
  star           one router
  dumbbell       two; bottleneck (rate), bottleneck-latency, bottleneck-queue
  transit-stub   transits, transit-size, stubs, stub-size
  scale-free     m, the links that every router brings
  regions        regions, how many of eight around the world";

/// Check, generate, show and draw networks to simulate.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct TopologyArgs {
    #[command(subcommand)]
    command: TopologyCommand,
}

#[derive(Debug, Subcommand)]
enum TopologyCommand {
    /// Tell whether a file is a valid topology.
    #[command(
        after_help = "Examples:\n  splay topology check planet.xml\n  splay topology check king.csv --json"
    )]
    Check {
        #[command(flatten)]
        source: Source,
        /// Tell it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a topology and write it as ModelNet XML.
    #[command(
        after_help = "Examples:\n  splay topology generate star:n=50,latency=20ms > star.xml\n  splay topology generate scale-free:n=200 --seed 7 -o web.xml"
    )]
    Generate {
        #[command(flatten)]
        source: Source,
        /// Where to write it [default: standard output].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what a topology is like, or the path between two places.
    #[command(
        after_help = "Examples:\n  splay topology show planet.xml\n  splay topology show regions -n 16 1 9\n  splay topology show planet.xml 3 17 --json"
    )]
    Show {
        #[command(flatten)]
        source: Source,
        /// Two places, as positions of instances.
        #[arg(value_name = "A B", num_args = 2, value_parser = clap::value_parser!(u32).range(1..))]
        places: Vec<u32>,
        /// Show it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Draw a topology as SVG.
    #[command(
        after_help = "Examples:\n  splay topology plot dumbbell -n 10 -o bell.svg\n  splay topology plot planet.xml 3 17 -o path.svg"
    )]
    Plot {
        #[command(flatten)]
        source: Source,
        /// Two places, the path between which is marked.
        #[arg(value_name = "A B", num_args = 2, value_parser = clap::value_parser!(u32).range(1..))]
        places: Vec<u32>,
        /// Where to write it [default: standard output].
        #[arg(short, long, value_name = "FILE.svg")]
        output: Option<PathBuf>,
    },
}

/// Which topology.
#[derive(Debug, Args)]
struct Source {
    /// A file, or what is to be generated.
    #[arg(value_name = "FILE|SPEC")]
    topology: String,
    /// Places of a generated topology that does not say `n=`.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,
    /// What a generated topology's randomness follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl Source {
    fn load(&self) -> Result<Topology, Failure> {
        Ok(load_topology(&self.topology, self.instances, self.seed)?.topology)
    }

    /// A topology that has vertices.
    fn graph(&self) -> Result<Graph, Failure> {
        match self.load()? {
            Topology::Graph(graph) => Ok(graph),
            Topology::Matrix(_) => Err(Failure::Usage(format!(
                "{} is a latency matrix: it has no links to draw or to write",
                self.topology
            ))),
        }
    }
}

/// Does what was asked for.
pub fn execute(args: TopologyArgs) -> Result<ExitCode, Failure> {
    match args.command {
        TopologyCommand::Check { source, json } => {
            let summary = Summary::of(&source.load()?);
            let text = format!("{}: valid, {}\n", source.topology, summary.in_one_line());
            print(&if json { as_json(&summary) } else { text })?;
        }
        TopologyCommand::Generate { source, output } => {
            if !Generator::is_named(&source.topology) {
                let problem = format!("`{}` is not a topology that can be generated", source.topology);
                return Err(Failure::Usage(format!("{problem} (see `splay topology --help`)")));
            }
            write(output, &source.graph()?.to_modelnet())?;
        }
        TopologyCommand::Show { source, places, json } => {
            let topology = source.load()?;
            match places[..] {
                [from, to] => {
                    let paths = Between::of(topology, &source.topology, from, to)?;
                    print(&if json { as_json(&paths) } else { paths.text() })?;
                }
                _ => {
                    let summary = Summary::of(&topology);
                    print(&if json { as_json(&summary) } else { summary.text() })?;
                }
            }
        }
        TopologyCommand::Plot { source, places, output } => {
            let mut routes = Routes::new(source.graph()?);
            let marked = match places[..] {
                [from, to] => {
                    let ends = [from, to].map(|position| place(&routes, &source.topology, position));
                    let [from, to] = ends;
                    routes.path(from?, to?).map_or_else(Vec::new, |path| path.links)
                }
                _ => Vec::new(),
            };
            write(output, &topology_picture::draw(routes.graph(), &marked))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::Output)
}

fn write(path: Option<PathBuf>, text: &str) -> Result<(), Failure> {
    match path {
        Some(path) => std::fs::write(&path, text).map_err(|source| Failure::Write { path, source }),
        None => print(text),
    }
}

fn as_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("numbers and texts can always be written");
    text + "\n"
}

fn no_place(topology: &str, position: u32, places: usize) -> Failure {
    Failure::Usage(format!("{topology} has places 1 to {places}, not {position}"))
}

/// The vertex of a position.
fn place(routes: &Routes, topology: &str, position: u32) -> Result<u32, Failure> {
    let places = routes.graph().places();
    let found = places.get(position as usize - 1).copied();
    found.ok_or_else(|| no_place(topology, position, places.len()))
}

/// What a topology is like.
#[derive(Debug, Serialize)]
struct Summary {
    kind: &'static str,
    places: usize,
    vertices: usize,
    links: usize,
    /// Of links, or between places of a matrix.
    latency_ms: Spread,
    least_bandwidth_bps: Option<u64>,
    greatest_loss: f64,
}

#[derive(Debug, Serialize)]
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

impl Spread {
    fn of(latencies: impl Iterator<Item = Duration>) -> Spread {
        let mut sorted: Vec<Duration> = latencies.collect();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).map_or(0.0, |latency| latency.as_nanos() as f64 / 1e6);
        Spread { least: at(0), median: at(sorted.len() / 2), greatest: at(sorted.len().saturating_sub(1)) }
    }
}

impl Summary {
    fn of(topology: &Topology) -> Summary {
        match topology {
            Topology::Graph(graph) => Summary {
                kind: "graph",
                places: graph.places().len(),
                vertices: graph.vertices().len(),
                links: graph.links().len(),
                latency_ms: Spread::of(graph.links().iter().map(|link| link.latency)),
                least_bandwidth_bps: graph.links().iter().filter_map(|link| link.bandwidth_bps).min(),
                greatest_loss: graph.links().iter().map(|link| link.loss).fold(0.0, f64::max),
            },
            Topology::Matrix(matrix) => Summary {
                kind: "matrix",
                places: matrix.places(),
                vertices: matrix.places(),
                links: 0,
                latency_ms: Spread::of(pairs(matrix)),
                least_bandwidth_bps: None,
                greatest_loss: 0.0,
            },
        }
    }

    fn in_one_line(&self) -> String {
        match self.kind {
            "graph" => format!("{} places, {} vertices, {} links", self.places, self.vertices, self.links),
            _ => format!("{} places", self.places),
        }
    }

    fn text(&self) -> String {
        let Spread { least, median, greatest } = self.latency_ms;
        let bandwidth = self.least_bandwidth_bps.map_or("not limited".to_owned(), rate_text);
        let what = if self.kind == "graph" { "of a link" } else { "between places" };
        format!(
            "{:<16}{}\n{:<16}{}\n{:<16}{}\n{:<16}{:.3} / {:.3} / {:.3} ms {what} (least / median / greatest)\n\
             {:<16}{bandwidth} at the least\n{:<16}{} at the most\n",
            "places",
            self.places,
            "vertices",
            self.vertices,
            "links",
            self.links,
            "latency",
            least,
            median,
            greatest,
            "bandwidth",
            "loss",
            share_text(self.greatest_loss),
        )
    }
}

fn pairs(matrix: &Matrix) -> impl Iterator<Item = Duration> + '_ {
    let count = matrix.places();
    let all = (0..count).flat_map(move |from| (0..count).map(move |to| (from, to)));
    all.filter(|(from, to)| from != to).map(|(from, to)| matrix.latency(from, to))
}

/// The paths between two places.
#[derive(Debug, Serialize)]
struct Between {
    from: u32,
    to: u32,
    there: Way,
    back: Way,
    round_trip_ms: f64,
}

#[derive(Debug, Serialize)]
struct Way {
    latency_ms: f64,
    bandwidth_bps: Option<u64>,
    loss: f64,
    queue_packets: Option<u32>,
    vertices: Vec<String>,
}

impl Way {
    fn of(graph: &Graph, from: u32, path: &Path) -> Way {
        let name = |vertex: u32| graph.vertices()[vertex as usize].name.clone();
        let links = path.links.iter().map(|link| name(graph.links()[*link as usize].to));
        Way {
            latency_ms: path.latency.as_nanos() as f64 / 1e6,
            bandwidth_bps: path.bandwidth_bps,
            loss: path.loss,
            queue_packets: path.queue_packets,
            vertices: [name(from)].into_iter().chain(links).collect(),
        }
    }

    fn text(&self) -> String {
        let latency = time_text(Duration::from_secs_f64(self.latency_ms / 1e3));
        let bandwidth = self.bandwidth_bps.map_or("not limited".to_owned(), rate_text);
        let queue = self.queue_packets.map_or(String::new(), |packets| format!(", queue {packets}"));
        let loss = share_text(self.loss);
        format!("latency {latency}, bandwidth {bandwidth}, loss {loss}{queue}: {}", self.vertices.join(" > "))
    }
}

impl Between {
    fn of(topology: Topology, name: &str, from: u32, to: u32) -> Result<Between, Failure> {
        let [there, back] = match topology {
            Topology::Graph(graph) => {
                let mut routes = Routes::new(graph);
                let ends = [place(&routes, name, from)?, place(&routes, name, to)?];
                let mut way = |from: u32, to: u32| {
                    let path = routes.path(from, to);
                    let path = path.ok_or_else(|| Failure::Usage(format!("{name}: no path leads there")))?;
                    Ok::<Way, Failure>(Way::of(routes.graph(), from, &path))
                };
                [way(ends[0], ends[1])?, way(ends[1], ends[0])?]
            }
            Topology::Matrix(matrix) => {
                for position in [from, to] {
                    if position as usize > matrix.places() {
                        return Err(no_place(name, position, matrix.places()));
                    }
                }
                [(from, to), (to, from)].map(|(from, to)| Way {
                    latency_ms: matrix.latency(from as usize - 1, to as usize - 1).as_nanos() as f64 / 1e6,
                    bandwidth_bps: None,
                    loss: 0.0,
                    queue_packets: None,
                    vertices: vec![from.to_string(), to.to_string()],
                })
            }
        };
        let round_trip_ms = there.latency_ms + back.latency_ms;
        Ok(Between { from, to, there, back, round_trip_ms })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (from, to, way) in [(self.from, self.to, &self.there), (self.to, self.from, &self.back)] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{from} to {to}: {}", way.text());
        }
        let _ = writeln!(text, "round trip {:.3} ms", self.round_trip_ms);
        text
    }
}
