//! What a splayd says to the controller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::Limits;

/// Every message to the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToController {
    /// A new splayd, with a join token.
    Enrol(Enrol),
    /// A known splayd.
    Hello(Hello),
    /// Something happened; numbered, sent until acknowledged.
    Report(Report),
    /// How the machine is, now and then. Not numbered: only the last one counts.
    Status(Status),
    /// Files of a job that are not here yet.
    NeedFiles(NeedFiles),
    /// Asks for the controller's clock.
    Probe(Probe),
}

/// A splayd's first word, ever. The controller checks the token, pins the key and answers as it
/// would a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// Identifier of the join token.
    pub token: String,
    /// The token's secret.
    pub secret: String,
    /// And everything a known splayd says.
    pub hello: Hello,
}

/// A splayd introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::VERSION`] of the splayd.
    pub version: u32,
    /// Ed25519 public key, 32 bytes: who it is.
    pub key: ByteBuf,
    /// Signature of [`super::signed_text`] with that key.
    pub signature: ByteBuf,
    /// What it is and offers.
    pub info: SplaydInfo,
    /// What it hosts.
    #[serde(default)]
    pub jobs: Vec<HostedJob>,
    /// Random, new whenever the splayd process starts: after a restart, what ran is gone.
    pub incarnation: String,
    /// Number of its last report: those that are not stored are on their way.
    #[serde(default)]
    pub reports: u64,
}

/// What a splayd is and offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SplaydInfo {
    /// Name for people, unique by custom; host name by default.
    pub name: String,
    /// Labels for placement: `rack=3`, `gpu=`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Address its instances are reached at; empty: the one the controller sees.
    #[serde(default)]
    pub address: String,
    /// Version of splayd.
    pub version: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// `uname -r`.
    pub kernel: String,
    /// Instances it hosts at most at the same time.
    pub max_instances: u32,
    /// First and last port of its instances.
    pub ports: (u16, u16),
    /// The most an instance gets.
    pub maxima: Limits,
    /// Two-letter country code; empty: unknown.
    #[serde(default)]
    pub country: String,
    /// Place on earth in millionths of a degree, north and east positive; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(i64, i64)>,
    /// SHA-256 digests of native libraries it allows.
    #[serde(default)]
    pub native: Vec<String>,
    /// Confinement that could not be applied here, one text each.
    #[serde(default)]
    pub degraded: Vec<String>,
}

/// A job that is on a splayd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedJob {
    /// Identifier.
    pub job: String,
    /// How far it has come.
    pub phase: Phase,
    /// Number of the last agenda step it has heard of.
    #[serde(default)]
    pub last_step: u64,
}

/// Phases of a job on a splayd, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Seats and ports are kept, files may be on their way.
    Deployed,
    /// The nodes are known.
    Listed,
    /// Instances are loaded; nothing runs.
    Loaded,
    /// Started.
    Running,
    /// All has ended; results and logs may still be on their way.
    Ended,
}

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number, one more than the last report's, over all jobs of the splayd and its restarts.
    pub sequence: u64,
    /// When it happened.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}

/// What can happen on a splayd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Seats and ports are kept and all files are here.
    Deployed(Deployed),
    /// The job cannot be hosted here.
    DeployRefused(DeployRefused),
    /// All instances are loaded.
    Ready(JobReady),
    /// An instance runs.
    Started(InstanceStarted),
    /// An instance has ended.
    Ended(InstanceEnded),
    /// An instance met a limit.
    Limit(LimitHit),
    /// The job's worker process is gone without having been told to.
    WorkerLost(WorkerLost),
    /// Lines instances wrote.
    Logs(LogBatch),
    /// Lines that could not be kept: more than the spool holds while the controller was away.
    LogsDropped(LogsDropped),
    /// A piece of a file an instance left under `results/`.
    Result(ResultPart),
    /// Nothing more will come from this job here.
    Done(JobReady),
}

impl Event {
    /// The job it is about.
    pub fn job(&self) -> &str {
        match self {
            Event::Deployed(told) => &told.job,
            Event::DeployRefused(told) => &told.job,
            Event::Ready(told) | Event::Done(told) => &told.job,
            Event::Started(told) => &told.job,
            Event::Ended(told) => &told.job,
            Event::Limit(told) => &told.job,
            Event::WorkerLost(told) => &told.job,
            Event::Logs(told) => &told.job,
            Event::LogsDropped(told) => &told.job,
            Event::Result(told) => &told.job,
        }
    }
}

/// Seats that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Identifier of the job.
    pub job: String,
    /// Each seat's ports.
    pub seats: Vec<SeatPorts>,
}

/// A seat and its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatPorts {
    /// The seat.
    pub seat: u32,
    /// First of its consecutive ports.
    pub port: u16,
}

/// Why a job cannot be hosted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRefused {
    /// Identifier of the job.
    pub job: String,
    /// For people: `3 seats free, 5 asked for`.
    pub reason: String,
}

/// A job as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReady {
    /// Identifier.
    pub job: String,
}

/// An instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStarted {
    /// Identifier of the job.
    pub job: String,
    /// Which instance.
    pub position: u32,
    /// When it was to start; its real start is the report's time.
    pub planned_us: u64,
    /// Step of the agenda that started it; 0: the job's start.
    #[serde(default)]
    pub step: u64,
}

/// An instance has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEnded {
    /// Identifier of the job.
    pub job: String,
    /// Which instance.
    pub position: u32,
    /// How.
    pub ending: Ending,
    /// For people: the error with its traceback, the limit, the signal.
    #[serde(default)]
    pub detail: String,
    /// What it used.
    pub usage: UsageTotals,
    /// Step of the agenda that ended it; 0: none.
    #[serde(default)]
    pub step: u64,
    /// When that step was due.
    #[serde(default)]
    pub planned_us: u64,
    /// When it was carried out: the instance that leaves ends later, when its hook has run. 0: at
    /// the report's time.
    #[serde(default)]
    pub acted_us: u64,
}

/// Ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Nothing was left to run, or `os.exit(0)`, `events.exit()`.
    Finished,
    /// `os.exit` with another code.
    ExitCode,
    /// The main chunk raised an error.
    Error,
    /// It used more than a limit and was ended for it.
    Limit,
    /// Told to by the controller (job killed, time over).
    Stopped,
    /// Churn.
    Churn,
    /// Its worker process died, or the splayd was killed.
    Lost,
}

/// What an instance has used over its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct UsageTotals {
    /// Processor time, microseconds.
    pub cpu_us: u64,
    /// Lua heap at the end.
    pub memory_bytes: u64,
    /// Payload sent.
    pub sent_bytes: u64,
    /// Payload received.
    pub received_bytes: u64,
    /// Remote calls made.
    pub calls_made: u64,
    /// Remote calls served.
    pub calls_served: u64,
    /// Threads that died of an uncaught error.
    pub thread_errors: u64,
}

/// An instance met a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHit {
    /// Identifier of the job.
    pub job: String,
    /// Which instance; 0: the worker as a whole.
    pub position: u32,
    /// Field of [`Limits`], or `processes`, `worker_memory`.
    pub limit: String,
    /// What is allowed.
    pub allowed: u64,
    /// What was reached or asked for.
    pub reached: u64,
    /// Whether the instance was ended for it (1) or only refused something (0).
    pub ended: u8,
}

/// A worker process is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLost {
    /// Identifier of the job.
    pub job: String,
    /// For people: `killed by signal 9`, `splayd was killed`.
    pub how: String,
}

/// Log lines of a job from one splayd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    /// Identifier of the job.
    pub job: String,
    /// How many lines.
    pub lines: u32,
    /// Time of the first line.
    pub first_us: u64,
    /// Time of the last one.
    pub last_us: u64,
    /// The lines, as [`crate::log_lines`] writes them, compressed by zstd.
    pub data: ByteBuf,
}

/// Lines that are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsDropped {
    /// Identifier of the job.
    pub job: String,
    /// How many lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A piece of a result file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPart {
    /// Identifier of the job.
    pub job: String,
    /// Whose file.
    pub position: u32,
    /// Name below `results/`.
    pub path: String,
    /// Where the piece begins.
    pub offset: u64,
    /// Size of the whole file.
    pub total_bytes: u64,
    /// The piece.
    pub data: ByteBuf,
}

/// Files a splayd lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedFiles {
    /// The job that needs them.
    pub job: String,
    /// Their digests.
    pub sha256: Vec<String>,
}

/// Asks for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The splayd's clock now.
    pub sent_us: u64,
}

/// How the machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Status {
    /// Load average over 1, 5 and 15 minutes, in thousandths.
    pub load_milli: (u64, u64, u64),
    /// Memory that could be had.
    pub free_memory_bytes: u64,
    /// All memory.
    pub memory_bytes: u64,
    /// Space left where instances' files are.
    pub free_disk_bytes: u64,
    /// Since the machine started, seconds.
    pub uptime_seconds: u64,
    /// Seats that are free.
    pub free_instances: u32,
    /// What the splayd found by its probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Bytes of reports that wait on its disk.
    #[serde(default)]
    pub spool_bytes: u64,
}

/// A clock beside the controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// What must be added to the splayd's clock to get the controller's, microseconds.
    pub offset_us: i64,
    /// Round trip of the probe this rests on: the offset is off by at most half of it.
    pub round_trip_us: u64,
}
