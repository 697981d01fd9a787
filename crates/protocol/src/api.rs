//! The controller's HTTP API: what requests and answers hold. Shared by the controller and the
//! command line. Everything is JSON below [`BASE`]; times are seconds since 1970 with a fraction.
//!
//! A request carries `Authorization: Bearer TOKEN`, where the token is a session's (from
//! `POST /login`) or an API token. A refused one is answered with a status of 400 or more and an
//! [`ErrorBody`]. Lists come whole, newest last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::session::{Ending, UsageTotals};
use crate::{Limits, Submission};

/// What every path begins with.
pub const BASE: &str = "/api/v1";

/// Body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one line.
    pub message: String,
}

/// Kinds of refusal, each with one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request makes no sense; the message names the field.
    BadRequest,
    /// 401: no token, or one that is not (or no longer) good.
    Unauthorized,
    /// 403: not with this role, or somebody else's.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409: it exists already, or its state does not allow it.
    Conflict,
    /// 413: more bytes than are taken.
    TooLarge,
    /// 429: too many tries; the message tells for how long to wait.
    TooMany,
    /// 500: the controller's fault; its log has more.
    Internal,
    /// 503: the controller is about to end, or is not the leader and cannot reach it.
    Unavailable,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, on everybody's jobs.
    Admin,
    /// Own jobs; sees the splayds.
    User,
    /// Sees all jobs, their logs and the splayds; changes nothing.
    ReadOnly,
}

/// `POST /login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Name of the user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A session. `POST /logout` ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// What later requests carry.
    pub token: String,
    /// Until when it is good.
    pub expires_at: f64,
    /// Whose it is.
    pub user: User,
}

/// A user: `GET /users`, `GET /users/me`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Since when.
    pub created_at: f64,
}

/// `POST /users` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 of letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// At least 8 characters.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

/// `PATCH /users/NAME`: an admin changes anybody, everybody the own password. All sessions and API
/// tokens of a user whose password changes end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeUser {
    /// The password so far: needed for the own one.
    pub old_password: Option<String>,
    /// The new password.
    pub password: Option<String>,
    /// The new role (admin).
    pub role: Option<Role>,
}

/// `POST /tokens`: an API token for programs, with the rights of the user who makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// Seconds it is good for, at most a year.
    pub expires_in: f64,
}

/// An API token: `GET /tokens`, `DELETE /tokens/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Identifier.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// Since when.
    pub created_at: f64,
    /// Until when.
    pub expires_at: f64,
}

/// An API token when it is made: the only time it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// About it.
    pub about: Token,
}

/// `POST /join-tokens` (admin): lets splayds enrol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewJoinToken {
    /// How many splayds may enrol with it.
    pub uses: u32,
    /// Seconds it is good for.
    pub expires_in: f64,
    /// The controller's address as splayds reach it, `https://host:port`; absent: the one
    /// configured.
    pub url: Option<String>,
}

impl Default for NewJoinToken {
    fn default() -> Self {
        NewJoinToken { uses: 1, expires_in: 7.0 * 86400.0, url: None }
    }
}

/// A join token without its secret: `GET /join-tokens`, `DELETE /join-tokens/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinTokenInfo {
    /// Identifier.
    pub id: String,
    /// How many may enrol.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Since when.
    pub created_at: f64,
    /// Until when.
    pub expires_at: f64,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A join token when it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedJoinToken {
    /// The text to hand over: [`crate::join::JoinToken`].
    pub join: String,
    /// About it.
    pub about: JoinTokenInfo,
}

/// States of a splayd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplaydState {
    /// Its session is open.
    Online,
    /// The session is cut; it may come back and what it hosts is taken to go on.
    Offline,
    /// Away for longer than the grace time: what it hosted is lost. It may come back.
    Lost,
    /// Not let in any more.
    Revoked,
}

/// A splayd: `GET /splayds`, `GET /splayds/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Splayd {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether it is there.
    pub state: SplaydState,
    /// Since when it is in that state.
    pub since: f64,
    /// When it enrolled.
    pub enrolled_at: f64,
    /// Labels: its own with those set here over them.
    pub labels: BTreeMap<String, String>,
    /// Address of its instances.
    pub address: String,
    /// First and last port of its instances.
    pub ports: (u16, u16),
    /// Version of splayd.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// Processor.
    pub architecture: String,
    /// Kernel.
    pub kernel: String,
    /// Seats it has.
    pub max_instances: u32,
    /// Seats in use.
    pub used_instances: u32,
    /// The most an instance gets.
    pub maxima: Limits,
    /// Country code; empty: unknown.
    pub country: String,
    /// Degrees north and east.
    pub place: Option<(f64, f64)>,
    /// Digests of native libraries it allows.
    pub native: Vec<String>,
    /// Confinement it lacks.
    pub degraded: Vec<String>,
    /// What it last said of its machine.
    pub status: Option<MachineStatus>,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct MachineStatus {
    /// Load average over 1, 5 and 15 minutes.
    pub load: (f64, f64, f64),
    /// Memory that could be had.
    pub free_memory_bytes: u64,
    /// All memory.
    pub memory_bytes: u64,
    /// Space left for instances' files.
    pub free_disk_bytes: u64,
    /// Since the machine started, seconds.
    pub uptime: f64,
    /// Its clock beside the controller's, seconds, and by how much that may be off.
    pub clock: Option<(f64, f64)>,
    /// Reports that wait on its disk.
    pub spool_bytes: u64,
    /// When it said so.
    pub at: f64,
}

/// `PATCH /splayds/ID` (admin). `POST /splayds/ID/revoke` shuts it out for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSplayd {
    /// Labels that are added to its own, or set over them.
    pub labels: BTreeMap<String, String>,
}

/// `POST /jobs` as JSON. As `multipart/form-data` the part `job` holds this without `files`, and
/// each part `file` is a file with its relative path as the file name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// What is asked for.
    pub submission: Submission,
    /// Which of the files is the program.
    pub app: String,
    /// The program, its modules and data.
    pub files: Vec<SubmitFile>,
    /// Native libraries the job uses, by name; the controller ships the build that fits each
    /// splayd.
    pub native: Vec<String>,
}

/// A file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitFile {
    /// Relative path in the job's folder; no `..`, no leading `/`.
    pub path: String,
    /// Its bytes, in base64.
    pub base64: String,
}

/// Answer to `POST /jobs` and `POST /jobs/ID/resubmit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Identifier of the job.
    pub id: String,
    /// What all its randomness follows from. Text, since JSON readers lose digits of numbers
    /// beyond 2^53.
    pub seed: String,
}

/// `POST /jobs/ID/kill`; the body may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Kill {
    /// Becomes part of the job's `why`.
    pub reason: String,
}

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

/// Something that happened to a job. Also the data of `GET /jobs/ID/events` (server-sent events,
/// each with its number as the id, so that a reader can go on after a cut with `Last-Event-ID`);
/// the stream ends with the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Number within the job, from 1.
    pub number: u64,
    /// When.
    pub at: f64,
    /// What.
    #[serde(flatten)]
    pub what: JobEventKind,
}

/// Kinds of job events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobEventKind {
    /// The job is in another state.
    State {
        /// Which.
        state: JobState,
        /// Why.
        why: String,
    },
    /// An instance started.
    Started {
        /// Which.
        position: u32,
        /// Milliseconds after it was due.
        late_ms: f64,
        /// Churn step; 0: the job's start.
        step: u64,
    },
    /// An instance ended.
    InstanceEnded {
        /// Which.
        position: u32,
        /// How.
        ending: Ending,
        /// For people.
        detail: String,
        /// Churn step; 0: none.
        step: u64,
        /// Milliseconds after the step was due.
        late_ms: f64,
    },
    /// An instance met a limit.
    Limit {
        /// Which; 0: the worker process.
        position: u32,
        /// Which limit.
        limit: String,
        /// What is allowed.
        allowed: u64,
        /// What was reached.
        reached: u64,
    },
    /// A position now belongs to another splayd.
    Moved {
        /// Which.
        position: u32,
        /// From where.
        from: String,
        /// To where.
        to: String,
    },
    /// Something else, for people.
    Note {
        /// What.
        text: String,
    },
}

/// About a job's logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct LogsInfo {
    /// Lines stored.
    pub lines: u64,
    /// Bytes they take, compressed.
    pub stored_bytes: u64,
    /// Lines not stored, since the job's bound was met.
    pub cut_lines: u64,
    /// Lines splayds could not keep.
    pub dropped_lines: u64,
}

/// One line of `GET /jobs/ID/logs` (JSON lines with `Accept: application/x-ndjson` or
/// `?format=json`; otherwise plain text). Parameters: `position` (may repeat), `kind` (may repeat:
/// out, err, debug, notice, warning, error, system), `from` and `to` (seconds since 1970), `text`
/// (substring), `tail` (the last so many lines), `download=1` (as an attachment). `GET
/// /jobs/ID/logs/follow` takes the same filters and gives server-sent events, one [`LogLine`]
/// each: first what is stored, then what comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Microseconds since 1970, on the controller's clock.
    pub at_us: u64,
    /// Which instance; 0: none in particular.
    pub position: u32,
    /// Number within the instance; a gap is a line lost.
    pub number: u32,
    /// Name of its [`crate::log_lines::LineKind`].
    pub kind: String,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A result file: `GET /jobs/ID/results`; its bytes: `GET /jobs/ID/results/POSITION/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFile {
    /// Whose.
    pub position: u32,
    /// Relative path.
    pub path: String,
    /// Whole size.
    pub bytes: u64,
    /// How much of it is here.
    pub received_bytes: u64,
}

/// Hosts no instance may contact: `GET`, `PUT /blacklist` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Blacklist {
    /// Host names or addresses; `*` is a wildcard.
    pub hosts: Vec<String>,
}

/// A build of a native library: `GET /native`, `DELETE /native/SHA256` (admin).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NativeLib {
    /// What a program requires.
    pub name: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// Digest, hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Since when.
    pub added_at: f64,
}

/// `POST /native` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNativeLib {
    /// What a program requires.
    pub name: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// The library, in base64.
    pub base64: String,
}

/// An entry of the audit log: `GET /audit?limit=N` (admin).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: f64,
    /// Who; empty: nobody known (a failed login).
    pub user: String,
    /// From where.
    pub address: String,
    /// What: `login`, `job.submit` ...
    pub action: String,
    /// To what.
    pub target: String,
    /// How it went, and more.
    pub detail: String,
}

/// `GET /health`: no token needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the controller.
    pub version: String,
    /// Its clock.
    pub time: f64,
    /// Since when it runs.
    pub started_at: f64,
    /// Splayds with an open session.
    pub splayds_online: u32,
    /// Jobs that are not over.
    pub jobs_active: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_golden() {
        let what = JobEventKind::State { state: JobState::QueueTimeout, why: "no seats".to_owned() };
        let event = JobEvent { number: 3, at: 1.5, what };
        let text = r#"{"number":3,"at":1.5,"kind":"state","state":"queue_timeout","why":"no seats"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        assert_eq!(serde_json::from_str::<JobEvent>(text).unwrap(), event);
    }

    #[test]
    fn a_submission_may_be_short_and_never_misspelt() {
        let text = r#"{"app":"a.lua","files":[{"path":"a.lua","base64":""}],"submission":{"instances":3}}"#;
        assert_eq!(serde_json::from_str::<Submit>(text).unwrap().submission.instances, 3);
        let error = serde_json::from_str::<Submit>(r#"{"submission":{"instance":3}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `instance`"), "{error}");
    }
}
