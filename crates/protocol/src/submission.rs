//! A job as a user asks for it: every option, its default, and the three places it may be written
//! in: the reservation header of the application's file, a TOML file, and the command line (the
//! later wins). Keys are the same everywhere; one that is not known is an error.

mod draft;
mod header;
mod keys;
mod table;

use std::collections::BTreeMap;

pub use draft::{Draft, KeyError, Note, Value};
pub use header::read_header;
pub use keys::{KEYS, Key};
pub use table::read_toml;

use serde::{Deserialize, Serialize};

use crate::{Limits, ListType};

/// What is asked for. The names of the original's options that meant the same are accepted in
/// headers (`nb_splayds` for `instances`, `disk_max_size` for `max_disk_bytes` ...).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submission {
    /// Name for people; the application's file name without its ending when empty.
    pub name: String,
    /// For people.
    pub description: String,
    /// Number of instances; with churn, the number of the trace's lines.
    pub instances: u32,
    /// Superset factor: so many times the instances are deployed, those that answer are chosen
    /// from, the rest is released, or kept as spares under churn. 1 to 10.
    pub factor: f64,
    /// Which splayds may host.
    pub filters: Filters,
    /// Splayds (names or identifiers) that must take part.
    pub mandatory: Vec<String>,
    /// Only these splayds; empty: any.
    pub designated: Vec<String>,
    /// Only splayds that an earlier job ran on, with the same positions where possible.
    pub same_nodes_as: Option<String>,
    /// Most instances of this job on one splayd; 0: as many as it has seats for.
    pub per_splayd: u32,
    /// How node lists are chosen.
    pub list_type: ListType,
    /// Longest list; 0: all.
    pub list_size: u32,
    /// What each instance may use.
    pub limits: Limits,
    /// Start no earlier than this, seconds since 1970; absent: now.
    pub scheduled_at: Option<f64>,
    /// Start at once (or exactly at the scheduled time) or refuse, instead of queueing.
    pub strict: bool,
    /// Give up when queued for longer, seconds.
    pub queue_timeout: f64,
    /// The job is killed after running for so long, seconds.
    pub max_time: f64,
    /// Time for `job.on_stop` hooks when instances leave or the job is killed, seconds.
    pub grace_time: f64,
    /// `arg[1]`, `arg[2]`, ...
    pub arguments: Vec<String>,
    /// `job.env`.
    pub environment: BTreeMap<String, String>,
    /// Churn: a trace or a script of the synthetic language, as text.
    pub churn: Option<String>,
    /// The network that is emulated between the instances, as the text of a topology in any format
    /// that [`crate::topology::Topology::parse`] reads.
    pub topology: Option<String>,
    /// Which place of it each instance is at.
    pub topology_places: PlaceOrder,
    /// What all randomness follows from: placement, lists, churn, `math.random`; absent: chosen
    /// by the controller and told.
    pub seed: Option<u64>,
}

/// Path of the topology among a job's files.
pub const TOPOLOGY_FILE: &str = ".topology";

/// How instances are put on the places of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum PlaceOrder {
    /// Position n is at place n, as in a simulation.
    #[default]
    Ordered,
    /// The places are shuffled by the job's seed first.
    Shuffled,
}

impl Default for Submission {
    fn default() -> Self {
        Submission {
            name: String::new(),
            description: String::new(),
            instances: 1,
            factor: 1.25,
            filters: Filters::default(),
            mandatory: Vec::new(),
            designated: Vec::new(),
            same_nodes_as: None,
            per_splayd: 0,
            list_type: ListType::Head,
            list_size: 0,
            limits: Limits::default(),
            scheduled_at: None,
            strict: false,
            queue_timeout: 3600.0,
            max_time: 10_000.0,
            grace_time: 5.0,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            churn: None,
            topology: None,
            topology_places: PlaceOrder::Ordered,
            seed: None,
        }
    }
}

/// Which splayds may host a job. Everything absent or empty is not asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Highest 5-minute load average.
    pub max_load: Option<f64>,
    /// The machine has been up for so long at least, seconds.
    pub min_uptime: Option<f64>,
    /// Least free memory, bytes.
    pub min_free_memory_bytes: Option<u64>,
    /// Exact version of splayd.
    pub splayd_version: Option<String>,
    /// Labels it must have: `rack=3`, or `gpu` whatever its value.
    pub labels: Vec<String>,
    /// Address or name matches one of these masks; `*` stands for anything.
    pub hosts: Vec<String>,
    /// Two-letter country codes, or continents: `africa`, `asia`, `europe` ... (spelt out, as
    /// their old two-letter codes hid countries).
    pub countries: Vec<String>,
    /// Within so many kilometres (great circle) of a place.
    pub near: Option<Near>,
}

/// A circle on earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// Kilometres.
    pub distance: f64,
}

/// Something wrong in a file that holds submission options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {message}")]
pub struct FileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong; names the key.
    pub message: String,
}
