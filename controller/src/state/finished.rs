//! Jobs that are over: how long they stay in memory, how they come back into it, and what becomes of
//! their logs and results.

use splay_protocol::api::JobSummary;

use super::*;

impl State {
    /// Takes up a job that is over and was not in memory: something of it has come, or is to be done.
    pub fn recall(&mut self, now: Micros, job: Job) {
        let id = job.spec.id.clone();
        if job.live.state.is_final() && !self.jobs.contains_key(&id) {
            self.wake(now + self.timing.keep, Timer::Job(id.clone()));
            self.jobs.insert(id, job);
        }
    }

    /// A job that is over leaves memory after a while, in which what is left of it comes.
    pub(super) fn review_final(&mut self, now: Micros, id: &str) {
        let Some(job) = self.jobs.get(id) else { return };
        let ended = job.live.ended_us.unwrap_or(job.live.since_us);
        if now < ended.saturating_add(self.timing.keep) {
            self.wake(ended.saturating_add(self.timing.keep), Timer::Job(id.to_owned()));
            return;
        }
        self.finish(id);
        self.jobs.remove(id);
        // What a splayd hosts and is not known here it is told to forget.
        for jobs in self.hosting.values_mut() {
            jobs.remove(id);
        }
    }

    fn finish(&mut self, id: &str) {
        let job = &self.jobs[id];
        let finished = FinishedJob {
            summary: self.job_summary(job),
            ended_us: job.live.ended_us.unwrap_or(job.live.since_us),
            removed_us: job.live.removed_us.unwrap_or(0),
            log_lines: job.live.logs.lines,
            log_bytes: if job.live.removed_us.is_some() { 0 } else { job.live.logs.stored_bytes },
        };
        // Changes that are not stored yet go with it.
        self.changed.leaving.push(job.clone());
        self.actions.push(Action::Finished(Box::new(finished)));
    }

    /// Logs and results of a job are kept no longer.
    pub(super) fn remove_kept(&mut self, now: Micros, id: &str, why: &str) -> Result<(), Rejected> {
        let job = self.jobs.get_mut(id).ok_or_else(|| Rejected::NoJob(id.to_owned()))?;
        if !job.live.state.is_final() || job.live.removed_us.is_some() {
            return Ok(());
        }
        job.live.removed_us = Some(now);
        self.changed.lives.insert(id.to_owned());
        self.tell(now, id, JobEventKind::Note { text: format!("its logs and results were removed: {why}") });
        self.actions.push(Action::RemoveKept(id.to_owned()));
        self.finish(id);
        Ok(())
    }
}

/// What is kept of a job that is over, for lists.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedJob {
    /// What lists show.
    pub summary: JobSummary,
    /// When it ended.
    pub ended_us: Micros,
    /// When its logs and results were removed; 0: they are there.
    pub removed_us: Micros,
    /// Lines of its log.
    pub log_lines: u64,
    /// Bytes they take.
    pub log_bytes: u64,
}
