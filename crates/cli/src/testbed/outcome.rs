//! What became of a job, as an exit status and in words. Pure.

use splay_protocol::api::{JobState, JobSummary};

/// Exit statuses of `--wait`, as `--help` tells them.
pub const STATUSES: &str = "\
Exit status with --wait, beside those of every command that asks a controller:
  0    all instances ended well, or left by churn
  1    the job ended, and an instance failed: error, exit with another status than 0, limit
  10   the job was killed: by a user, or after its longest time
  11   the job failed: it could not be deployed, loaded or kept
  12   the job was refused: there are not the splayds it asks for
  13   the job waited in the queue for longer than it wanted to
  130  interrupted: the job goes on, unless --kill-on-exit was given";

/// The exit status that a job which is over gives; `None`: it is not over.
pub fn status(job: &JobSummary) -> Option<u8> {
    match job.state {
        JobState::Ended => Some(u8::from(job.failed > 0)),
        JobState::Killed => Some(10),
        JobState::Failed => Some(11),
        JobState::Refused => Some(12),
        JobState::QueueTimeout => Some(13),
        _ => None,
    }
}

/// A state as people read it.
pub fn word(state: JobState) -> String {
    state.name().replace('_', " ")
}

/// `job 7 ended: 20 instances, 20 finished`.
pub fn sentence(job: &JobSummary) -> String {
    let instances = crate::reporter::terminal::instances(job.instances);
    let mut text = format!("job {} {}: {instances}, {} finished", job.id, word(job.state), job.finished);
    for (count, what) in [(job.failed, "failed"), (job.running, "running")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    // Of a job that ended by itself it says the same.
    if !job.why.is_empty() && job.state != JobState::Ended {
        text.push_str(&format!(" ({})", job.why));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_in_the_help() {
        for status in [0, 1, 10, 11, 12, 13, 130] {
            assert!(STATUSES.lines().any(|line| line.trim().starts_with(&format!("{status} "))), "{status}");
        }
    }
}
