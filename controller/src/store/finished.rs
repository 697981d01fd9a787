//! Jobs that are over, and what is kept of them for how long.

use std::collections::HashMap;

use splay_protocol::api::{JobState, JobSummary};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Result, Store, Value, number, parsed, text};
use crate::state::{FinishedJob, Job, Micros};

pub(super) fn row(job: &FinishedJob) -> Vec<Value> {
    vec![
        text(&job.summary.id),
        text(&job.summary.owner),
        text(job.summary.state.name()),
        number(job.ended_us),
        number(job.removed_us),
        number(job.log_lines),
        number(job.log_bytes),
        super::json(&job.summary),
    ]
}

pub(super) const COLUMNS: [&str; 8] =
    ["job", "owner", "state", "ended_us", "removed_us", "log_lines", "log_bytes", "summary"];

/// Figures of the jobs that are over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FinishedFigures {
    /// How many there are of each state.
    pub states: HashMap<JobState, u32>,
    /// Lines of their logs.
    pub log_lines: u64,
    /// Bytes these take.
    pub log_bytes: u64,
}

impl Store {
    /// Jobs that are over, of one owner or of all, the last `most` of them, the latest last.
    pub async fn finished(&self, owner: Option<&str>, most: u32) -> Result<Vec<JobSummary>> {
        let text = "SELECT summary FROM finished_jobs WHERE (owner = $1 OR $1 = '') ORDER BY ended_us DESC, job DESC LIMIT $2";
        let query = sqlx::query(text).bind(owner.unwrap_or("").to_owned()).bind(i64::from(most));
        let rows = query.fetch_all(&self.read).await?;
        rows.iter().rev().map(|row| parsed("finished_jobs", row.try_get(0)?)).collect()
    }

    /// Figures of all jobs that are over and no longer in memory.
    pub async fn finished_figures(&self) -> Result<FinishedFigures> {
        // The sums of PostgreSQL are of a type that is not read here.
        let text = "SELECT state, COUNT(*), CAST(SUM(log_lines) AS BIGINT), CAST(SUM(log_bytes) AS BIGINT) FROM finished_jobs GROUP BY state";
        let mut figures = FinishedFigures::default();
        for row in sqlx::query(text).fetch_all(&self.read).await? {
            let state: JobState = parsed("finished_jobs", format!("\"{}\"", row.try_get::<String, _>(0)?))?;
            figures.states.insert(state, row.try_get::<i64, _>(1)? as u32);
            figures.log_lines += row.try_get::<i64, _>(2)? as u64;
            figures.log_bytes += row.try_get::<i64, _>(3)? as u64;
        }
        Ok(figures)
    }

    /// A job, over or not.
    pub async fn job(&self, id: &str) -> Result<Option<Job>> {
        Ok(self.load_jobs("jobs.id = $1", "job_hosts.job = $1", id).await?.pop())
    }

    /// Jobs whose logs and results are there for too long, or are too many, with why.
    pub async fn to_remove(&self, keep: &Keep, now: Micros) -> Result<Vec<(String, String)>> {
        let mut found: HashMap<String, String> = HashMap::new();
        let id = |row: &AnyRow| row.try_get::<String, _>(0);
        if keep.jobs > 0 {
            let text = "SELECT job FROM finished_jobs WHERE removed_us = 0 ORDER BY ended_us DESC, job DESC LIMIT 100000 OFFSET $1";
            for row in sqlx::query(text).bind(i64::from(keep.jobs)).fetch_all(&self.read).await? {
                found.insert(id(&row)?, format!("those of the last {} jobs are kept", keep.jobs));
            }
        }
        if keep.days > 0.0 {
            let before = now.saturating_sub((keep.days * 86_400e6) as u64);
            let text = "SELECT job FROM finished_jobs WHERE removed_us = 0 AND ended_us < $1";
            for row in sqlx::query(text).bind(before as i64).fetch_all(&self.read).await? {
                found.insert(id(&row)?, format!("they are kept for {} days", keep.days));
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        Ok(found)
    }
}

/// How long logs and results are kept after the end of their jobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// Those of the last so many jobs; 0: of all.
    pub jobs: u32,
    /// For so many days; 0: for ever.
    pub days: f64,
}
