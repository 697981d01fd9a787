//! What comes of a job: events, log lines, results.

use serde::{Deserialize, Serialize};

use super::jobs::JobState;
use crate::session::Ending;

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
}
