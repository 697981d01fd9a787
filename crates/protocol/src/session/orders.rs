//! What the controller says to a splayd.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{Limits, ListType, Node};

/// Every message to a splayd.
#[allow(clippy::large_enum_variant)] // one is in memory at a time
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToSplayd {
    /// The first message of a session.
    Challenge(Challenge),
    /// The splayd is known; the session is open.
    Welcome(Welcome),
    /// The splayd is not let in, or the session ends; the connection is closed after it.
    Refused(Refused),
    /// Host instances of a job: keep seats and ports for them, fetch the files. Answered by
    /// [`super::Event::Deployed`] or [`super::Event::DeployRefused`]. Sent again with more seats,
    /// it adds them.
    Deploy(JobOrder),
    /// A piece of a file asked for by [`super::ToController::NeedFiles`].
    File(FilePart),
    /// Who is in the job. Comes before `Load`; comes again when an instance has moved to another
    /// splayd, or when this one hosts more of the job.
    Nodes(JobNodes),
    /// Which of the job's nodes are there, when that has changed: what running instances are told
    /// by `job.nodes()` and `job.get_live_nodes()`.
    Live(LiveNodes),
    /// Start the job's worker and load its instances, but run nothing: [`super::Event::Ready`].
    Load(JobRef),
    /// Run the loaded instances, all at the same instant.
    Start(StartOrder),
    /// What is to happen to single instances, and when: churn. Steps are sent seconds ahead of
    /// their time; those already past are carried out at once, in order. A step that was sent
    /// before is known by its number.
    Agenda(Agenda),
    /// End the job's instances here.
    Stop(StopOrder),
    /// Forget a job: end it if it runs, release seats and ports, remove its files.
    Forget(JobRef),
    /// Settings that have changed.
    Settings(Settings),
    /// Reports up to this number are stored: the splayd may forget them.
    Ack(Ack),
    /// Answer to [`super::ToController::Probe`].
    ProbeReply(ProbeReply),
}

/// The controller's first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// [`super::VERSION`] of the controller.
    pub version: u32,
    /// 32 random bytes to be signed with the splayd's key: see [`super::signed_text`].
    pub nonce: ByteBuf,
}

/// The session is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Identifier the controller knows the splayd by, given at enrolment.
    pub splayd: String,
    /// Reports up to this number are stored; the next to send is the one after.
    pub acknowledged: u64,
    /// The controller's clock.
    pub time_us: u64,
    /// What holds until changed.
    pub settings: Settings,
}

/// Why a session is not opened or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For the program.
    pub code: RefusedCode,
    /// For the reader of the log.
    pub reason: String,
}

/// Kinds of refusal. After the first three the splayd does not try again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedCode {
    /// Join token unknown, used up, expired or wrong.
    Token,
    /// Key unknown, revoked, or the signature does not fit.
    Key,
    /// The versions do not fit.
    Version,
    /// Another session of the same splayd has taken over.
    Replaced,
    /// The splayd broke the protocol.
    Protocol,
    /// The controller is about to end or is too busy; try again.
    Busy,
}

/// Settings of a splayd that the controller decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Settings {
    /// Hosts no instance may contact, besides the splayd's own; `*` is a wildcard.
    #[serde(default)]
    pub blacklist: Vec<String>,
    /// Seconds between two [`super::ToController::Status`] messages. 0: the splayd's own choice.
    #[serde(default)]
    pub status_seconds: u32,
    /// Seconds after which a session in which nothing is heard counts as broken. 0: 60.
    #[serde(default)]
    pub silence_seconds: u32,
}

/// A job by its identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRef {
    /// Identifier, unique on this controller for ever.
    pub job: String,
}

/// Instances of a job for one splayd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrder {
    /// Identifier.
    pub job: String,
    /// Name for people; the app finds it as `job.name`.
    pub name: String,
    /// The seats: each becomes an instance.
    pub seats: Vec<Seat>,
    /// Which of `files` is the program.
    pub app: String,
    /// All files shipped with the job: the program, its modules, data, native libraries.
    pub files: Vec<ShippedFile>,
    /// `arg[1]`, `arg[2]`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// What the app finds in `job.env`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// What each instance may use.
    pub limits: Limits,
    /// Seed of the job; each instance's follows from it and its position
    /// ([`crate::seed::instance_seed`]). As text: bencode's numbers are signed.
    pub seed: String,
    /// After this long the job is ended here even if the controller is out of reach.
    pub max_seconds: u64,
    /// Time for `job.on_stop` hooks when an instance leaves by a step of the agenda.
    #[serde(default)]
    pub grace_ms: u64,
    /// 1 under churn: instances that end are started again by the agenda, seats without a position
    /// are kept as spares, and the job is over here when it is stopped or forgotten.
    #[serde(default)]
    pub churn: u8,
    /// The network that is emulated between the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<TopologyOrder>,
}

/// A network to emulate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyOrder {
    /// Which of the job's files describes it ([`crate::topology::Topology::parse`]).
    pub path: String,
    /// 1: the instances' places are shuffled by the job's seed
    /// ([`crate::topology::placement`]); 0: position n is at place n.
    #[serde(default)]
    pub shuffled: u8,
}

/// One instance to be hosted. `seat` is what the controller calls it before positions are given:
/// of the seats that were asked for, only those with a position in [`JobNodes`] run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// Number within the job, from 1.
    pub seat: u32,
}

/// A file that belongs to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedFile {
    /// Relative path in the job's folder; no `..`, no leading `/`.
    pub path: String,
    /// Digest, hexadecimal: files with the same digest are fetched and kept once.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
    /// A native library: only where the splayd allows this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<String>,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Which file.
    pub sha256: String,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece; the last one is followed by none.
    pub data: ByteBuf,
}

/// All instances of a job, the whole list: each splayd makes the lists of its own instances from
/// it ([`crate::Lists`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNodes {
    /// Identifier of the job.
    pub job: String,
    /// Addresses, in the order of positions.
    pub nodes: Vec<Node>,
    /// The same list in bencode, compressed by zstd; `nodes` is empty then. Thousands of splayds are
    /// sent the whole list of a job.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub packed: ByteBuf,
    /// Position (from 1) of each seat here that takes part; a seat without one is released, or,
    /// under churn, kept as a spare.
    pub positions: Vec<(u32, u32)>,
    /// How lists are chosen.
    pub list_type: ListType,
    /// Longest list; 0: all.
    pub list_size: u32,
}

/// Which nodes of a job are there. Always the whole truth, so that a later one replaces those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveNodes {
    /// Identifier of the job.
    pub job: String,
    /// Rises with every change; random lists of different numbers differ.
    pub number: u64,
    /// Positions that are there, as the first and the last of runs of them, in their order.
    pub up: Vec<(u32, u32)>,
}

impl LiveNodes {
    /// Of positions in their order.
    pub fn new(job: String, number: u64, positions: impl IntoIterator<Item = u32>) -> LiveNodes {
        let mut up: Vec<(u32, u32)> = Vec::new();
        for position in positions {
            match up.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(position) => *last = position,
                _ => up.push((position, position)),
            }
        }
        LiveNodes { job, number, up }
    }

    /// The positions, none above `total`.
    pub fn positions(&self, total: u32) -> Vec<u32> {
        self.up.iter().flat_map(|&(first, last)| first.max(1)..=last.min(total)).collect()
    }
}

fn is_empty(bytes: &ByteBuf) -> bool {
    bytes.is_empty()
}

/// The start barrier's second half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOrder {
    /// Identifier of the job.
    pub job: String,
    /// The instant.
    pub at_us: u64,
    /// Positions that start now; empty: all. Under churn, the initial ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<u32>,
}

/// Steps of a job's churn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agenda {
    /// Identifier of the job.
    pub job: String,
    /// In the order of their times.
    pub steps: Vec<AgendaStep>,
}

/// One step of churn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgendaStep {
    /// Number of the step within the job, from 1, the same when it is sent again.
    pub number: u64,
    /// When.
    pub at_us: u64,
    /// Which instance.
    pub position: u32,
    /// What happens to it.
    pub action: Action,
    /// For a start: positions of the nodes that are up at that time (the list it is given).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<u32>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The instance starts, with an empty folder.
    Start,
    /// It ends at once, without a word: a crash.
    Stop,
    /// Its `job.on_stop` hook runs first, for at most the job's grace time.
    Leave,
}

/// End a job's instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Identifier of the job.
    pub job: String,
    /// Time for `job.on_stop` hooks, and then for the worker process to end after SIGTERM.
    pub grace_ms: u64,
    /// Why: becomes part of the instances' endings.
    pub reason: String,
}

/// Acknowledges reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// All reports up to this one.
    pub sequence: u64,
}

/// The controller's times for a clock probe (NTP, RFC 5905, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// The splayd's clock when it asked.
    pub sent_us: u64,
    /// The controller's clock when the question came.
    pub received_us: u64,
    /// The controller's clock when the answer left.
    pub replied_us: u64,
}
