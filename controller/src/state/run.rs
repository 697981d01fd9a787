//! From the start to the end of a job: the barrier, the longest time, how it is ended.

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{Ending, StartOrder, StopOrder, ToSplayd};

use super::*;

impl State {
    /// All is loaded: sets the instant of the start.
    pub(super) fn set_start(&mut self, now: Micros, id: &str, at: Micros) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.live.start_at_us = Some(at);
        let why = format!("all is loaded; the start is set in {:.1} s", at.saturating_sub(now) as f64 / 1e6);
        self.go(now, id, JobState::Starting, why, Some(at));
        self.release_reserve(now, id);
        let hosts: Vec<String> = self.jobs[id].active_hosts().map(|(splayd, _)| splayd.clone()).collect();
        hosts.iter().for_each(|splayd| self.send_start(id, splayd));
        self.send_agenda(now, id);
    }

    pub(super) fn send_start(&mut self, id: &str, splayd: &str) {
        let Some(job) = self.jobs.get(id) else { return };
        let (Some(at_us), Some(host)) = (job.live.start_at_us, job.hosts.get(splayd)) else { return };
        if host.phase < HostPhase::Listed {
            return;
        }
        let mut positions = Vec::new();
        if let Some(replay) = &job.churn {
            // Those of the whole job: they are the list that each of them is given.
            positions.extend(churn::initial(replay.schedule()));
            positions.sort_unstable();
            // None would mean all: where nobody begins, the agenda alone starts instances.
            if positions.is_empty() {
                return;
            }
        }
        self.send(splayd, ToSplayd::Start(StartOrder { job: id.to_owned(), at_us, positions }));
    }

    pub(super) fn review_running(&mut self, now: Micros, id: &str) {
        let job = &self.jobs[id];
        let Some(start) = job.live.start_at_us else { return };
        let limit = job.spec.submission.max_time;
        let end = start.saturating_add(micros(limit));
        if job.live.state == JobState::Starting && now >= start {
            let why = format!("{} instances were told to start together", self.initial_count(id));
            self.go(now, id, JobState::Running, why, Some(end));
        }
        if self.jobs[id].live.state != JobState::Running {
            return;
        }
        if now >= end {
            self.stop(now, id, JobState::Killed, format!("its longest time of {limit} s was over"));
            return;
        }
        self.fill_places(now, id);
        self.send_agenda(now, id);
        self.tell_membership(now, id);
        self.check_over(now, id);
    }

    fn initial_count(&self, id: &str) -> usize {
        let job = &self.jobs[id];
        match &job.churn {
            Some(replay) => churn::initial(replay.schedule()).len(),
            None => job.instances() as usize,
        }
    }

    /// Whether a running job has come to its end by itself.
    fn check_over(&mut self, now: Micros, id: &str) {
        let job = &self.jobs[id];
        let all_away = job.active_hosts().next().is_none();
        if let Some(replay) = &job.churn {
            let over = replay.next_at().is_none();
            let state = |position| job.seat(position).map(|(_, _, seat)| seat.state);
            let up = (1..=job.instances()).any(|position| match state(position) {
                Some(InstanceState::Running) => true,
                Some(InstanceState::Ended) => false,
                // On its way to a splayd, or waiting for one.
                Some(InstanceState::Waiting) | None => replay.is_up(position),
            });
            let pending = self.steps_pending(id, now);
            if over && !up && !pending {
                self.stop(now, id, JobState::Ended, "its churn is over and no instance is left".to_owned());
            }
            return;
        }
        let seats =
            || job.hosts.values().flat_map(|host| host.seats.values()).filter(|seat| seat.position > 0);
        let ended = seats().all(|seat| seat.state == InstanceState::Ended);
        if all_away && ended {
            let (state, why) = self.result(id);
            self.go(now, id, state, why, None);
        } else if ended && job.live.outcome.is_none() {
            let outcome = self.result(id);
            let deadline = now + self.timing.drain;
            let job = self.jobs.get_mut(id).expect("it was there above");
            job.live.outcome = Some(outcome);
            job.live.deadline_us = Some(deadline);
            self.changed.lives.insert(id.to_owned());
            self.wake(deadline, Timer::Job(id.to_owned()));
        } else if ended && job.live.deadline_us.is_some_and(|deadline| now >= deadline) {
            let (state, why) = job.live.outcome.clone().expect("set when all had ended");
            self.go(now, id, state, why, None);
        }
    }

    /// What has become of the instances.
    fn result(&self, id: &str) -> (JobState, String) {
        let job = &self.jobs[id];
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut total = 0;
        for seat in job.hosts.values().flat_map(|host| host.seats.values()).filter(|seat| seat.position > 0) {
            total += 1;
            let word = match seat.ending {
                Some(Ending::Finished) => "finished",
                Some(Ending::ExitCode) => "exited with another code than 0",
                Some(Ending::Error) => "ended by an error",
                Some(Ending::Limit) => "met a limit",
                Some(Ending::Stopped | Ending::Churn) => "were stopped",
                Some(Ending::Lost) => "lost",
                None => "with no word of their end",
            };
            *counts.entry(word).or_default() += 1;
        }
        let list: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let all_lost = counts.get("lost") == Some(&total);
        let state = if all_lost && total > 0 { JobState::Failed } else { JobState::Ended };
        (state, format!("{total} instances: {}", list.join(", ")))
    }

    pub(super) fn kill(
        &mut self,
        now: Micros,
        id: &str,
        reason: &str,
        grace_us: Option<Micros>,
    ) -> Result<(), Rejected> {
        let job = self.jobs.get_mut(id).ok_or_else(|| Rejected::NoJob(id.to_owned()))?;
        if job.live.state < JobState::Stopping {
            job.live.grace_us = grace_us;
        }
        match job.live.state {
            JobState::Queued | JobState::Deploying | JobState::Loading => {
                self.go(now, id, JobState::Killed, reason.to_owned(), None);
            }
            JobState::Starting | JobState::Running => self.stop(now, id, JobState::Killed, reason.to_owned()),
            JobState::Stopping => {}
            over => return Err(Rejected::Over(id.to_owned(), over.name())),
        }
        Ok(())
    }

    /// Ends a job's instances; it is in `outcome` once they have.
    pub(super) fn stop(&mut self, now: Micros, id: &str, outcome: JobState, why: String) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let grace = job.grace_us();
        job.live.outcome = Some((outcome, why.clone()));
        let deadline = now.saturating_add(grace).saturating_add(self.timing.drain);
        self.go(now, id, JobState::Stopping, why, Some(deadline));
        let hosts: Vec<String> = self.jobs[id].active_hosts().map(|(splayd, _)| splayd.clone()).collect();
        hosts.iter().for_each(|splayd| self.send_stop(id, splayd));
        self.review_stopping(now, id);
    }

    pub(super) fn send_stop(&mut self, id: &str, splayd: &str) {
        let Some(job) = self.jobs.get(id) else { return };
        let order =
            StopOrder { job: id.to_owned(), grace_ms: job.grace_us() / 1000, reason: job.live.why.clone() };
        self.send(splayd, ToSplayd::Stop(order));
    }

    pub(super) fn review_stopping(&mut self, now: Micros, id: &str) {
        let job = &self.jobs[id];
        let left = job.active_hosts().count();
        let late = job.live.deadline_us.is_some_and(|deadline| now >= deadline);
        if left > 0 && !late {
            return;
        }
        let (state, mut why) = job.live.outcome.clone().unwrap_or((JobState::Killed, job.live.why.clone()));
        if left > 0 {
            why.push_str(&format!("; {left} splayds have not told their end"));
        }
        self.go(now, id, state, why, None);
    }

    /// A splayd will not go on with a job.
    pub(super) fn lose_host(&mut self, now: Micros, id: &str, splayd: &str, why: &str) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let state = job.live.state;
        if matches!(state, JobState::Deploying | JobState::Loading) {
            self.drop_host(now, id, splayd, why);
            return self.review(now, id);
        }
        let Some(host) = job.hosts.get_mut(splayd).filter(|host| host.phase.holds()) else { return };
        let freed = host.seats.len() as u32;
        host.phase = HostPhase::Lost;
        let mut lost = Vec::new();
        for seat in host.seats.values_mut().filter(|seat| seat.position > 0) {
            // Before the start, and under churn when it was to be down, nothing was running.
            let ran =
                seat.state == InstanceState::Running || (job.churn.is_none() && state >= JobState::Starting);
            if seat.state != InstanceState::Ended && ran {
                seat.state = InstanceState::Ended;
                seat.ending = Some(Ending::Lost);
                seat.ended_us = Some(now);
                seat.detail = why.to_owned();
                lost.push(seat.position);
            }
        }
        self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        self.free_seats(now, splayd, freed);
        self.tell(now, id, JobEventKind::Note { text: format!("{}: {why}", self.name_of(splayd)) });
        for position in lost {
            let ending = Ending::Lost;
            let detail = why.to_owned();
            self.tell(
                now,
                id,
                JobEventKind::InstanceEnded { position, ending, detail, step: 0, late_ms: 0.0 },
            );
        }
        self.give_up_places(id, splayd);
        self.membership_changed(now, id, false);
        self.review(now, id);
    }
}
