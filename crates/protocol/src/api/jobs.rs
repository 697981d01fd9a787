//! What a job is and how far it has come.

use serde::{Deserialize, Serialize};

use super::outcome::{JobEvent, LogsInfo};
use crate::Submission;
use crate::session::{Ending, UsageTotals};

/// States of a job, in the order they are passed; the table is in docs/reference/jobs.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time, or for seats.
    Queued,
    /// Seats are asked for.
    Deploying,
    /// Instances are loaded, nothing runs.
    Loading,
    /// All is loaded; the instant of the start is set.
    Starting,
    /// It runs.
    Running,
    /// It is being ended; `why` tells what for.
    Stopping,
    /// All instances have ended by themselves.
    Ended,
    /// Ended from outside: by a user or by its longest time.
    Killed,
    /// It could not be deployed, loaded or kept.
    Failed,
    /// There are not the splayds it asks for.
    Refused,
    /// It waited for longer than it wanted to.
    QueueTimeout,
}

impl JobState {
    /// Whether nothing can happen to the job any more.
    pub fn is_final(self) -> bool {
        use JobState::{Ended, Failed, Killed, QueueTimeout, Refused};
        matches!(self, Ended | Killed | Failed | Refused | QueueTimeout)
    }

    /// The word of the API.
    pub fn name(self) -> &'static str {
        use JobState::*;
        match self {
            Queued => "queued",
            Deploying => "deploying",
            Loading => "loading",
            Starting => "starting",
            Running => "running",
            Stopping => "stopping",
            Ended => "ended",
            Killed => "killed",
            Failed => "failed",
            Refused => "refused",
            QueueTimeout => "queue_timeout",
        }
    }
}

/// A job in a list: `GET /jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// How far it is.
    pub state: JobState,
    /// Why it is in that state, for people, with figures.
    pub why: String,
    /// Instances it has.
    pub instances: u32,
    /// Instances that run.
    pub running: u32,
    /// Instances that have ended by themselves and well.
    pub finished: u32,
    /// Instances that ended otherwise, apart from churn.
    pub failed: u32,
    /// When it was submitted.
    pub submitted_at: f64,
    /// When it began to run.
    pub started_at: Option<f64>,
    /// When it ended.
    pub ended_at: Option<f64>,
}

/// A job: `GET /jobs/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// As in the list.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// What was asked for.
    pub submission: Submission,
    /// What all randomness follows from.
    pub seed: String,
    /// Which of the files is the program.
    pub app: String,
    /// Its files: `GET /jobs/ID/files/PATH`, `GET /jobs/ID/code` for the program.
    pub files: Vec<FileInfo>,
    /// Its instances, by position, as far as they have seats.
    pub members: Vec<Instance>,
    /// How far apart the instances started.
    pub start_skew: Option<Spread>,
    /// Churn, if there is any.
    pub churn: Option<ChurnReport>,
    /// What happened, in order.
    pub history: Vec<JobEvent>,
    /// About its logs.
    pub logs: LogsInfo,
    /// When its logs and results were removed, having been kept for long enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<f64>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Relative path.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Digest, hexadecimal.
    pub sha256: String,
}

/// States of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It has a seat.
    Waiting,
    /// It runs.
    Running,
    /// It has ended; `ending` says how.
    Ended,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Rank in the job, from 1.
    pub position: u32,
    /// Where it is.
    pub splayd: String,
    /// That splayd's name.
    pub splayd_name: String,
    /// Address.
    pub ip: String,
    /// First port.
    pub port: u16,
    /// How far it is.
    pub state: InstanceState,
    /// When it last started.
    pub started_at: Option<f64>,
    /// When it last ended.
    pub ended_at: Option<f64>,
    /// How it last ended.
    pub ending: Option<Ending>,
    /// For people.
    pub detail: String,
    /// What it had used at its last end.
    pub usage: Option<UsageTotals>,
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many were measured.
    pub count: u64,
    /// Milliseconds, the least.
    pub min_ms: f64,
    /// Half are at most this.
    pub p50_ms: f64,
    /// All but one in a hundred are at most this.
    pub p99_ms: f64,
    /// The most.
    pub max_ms: f64,
}

/// How a job's churn goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChurnReport {
    /// Steps of the schedule, the initial starts included.
    pub steps: u64,
    /// Steps whose time has come, or is a few seconds ahead.
    #[serde(default)]
    pub sent: u64,
    /// Steps that were carried out. Not those that found nothing to do: a stop of an instance that had
    /// ended by itself or with its splayd.
    pub done: u64,
    /// Instances moved to spares.
    pub moved: u64,
    /// Spares that are left.
    pub spares: u32,
    /// By how much steps happened after their time: an instance that leaves, when its hook was called.
    pub lateness: Option<Spread>,
    /// How long instances that moved took to run again, since another splayd was chosen.
    #[serde(default)]
    pub replacements: Option<Spread>,
    /// End of the schedule, seconds after the start.
    pub ends_after: f64,
}
