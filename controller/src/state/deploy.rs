//! From a submission to seats that are kept: the queue, placement, those that refuse or keep silent.

use std::collections::{BTreeMap, BTreeSet};

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{JobOrder, Seat as SeatOrder, ShippedFile, ToSplayd, TopologyOrder};
use splay_protocol::submission::{PlaceOrder, TOPOLOGY_FILE};

use super::*;

/// How often splayds that refuse or keep silent are replaced before a job fails.
const ATTEMPTS: u32 = 5;

impl State {
    pub(super) fn submit(
        &mut self,
        now: Micros,
        mut spec: JobSpec,
        churn: Option<Schedule>,
    ) -> Result<(), Rejected> {
        let churn = match &spec.submission.churn {
            Some(text) if churn.is_none() => Some(schedule(text, spec.seed).map_err(Rejected::Submission)?),
            Some(_) => churn,
            None => None,
        };
        if let Some(earlier) = &spec.submission.same_nodes_as {
            match self.jobs.get(earlier) {
                Some(job) => spec.earlier = job.who_hosts(),
                None if spec.earlier.is_empty() => return Err(Rejected::NoJob(earlier.clone())),
                None => {}
            }
        }
        let id = spec.id.clone();
        let queued = (spec.submitted_us, id.clone());
        self.jobs.insert(id.clone(), Job::new(spec, Live::new(now), BTreeMap::new(), churn));
        self.queue.insert(queued);
        self.changed.specs.insert(id.clone());
        self.changed.lives.insert(id.clone());
        self.review(now, &id);
        Ok(())
    }

    /// Looks at what a job is waiting for.
    pub(super) fn review(&mut self, now: Micros, id: &str) {
        let Some(job) = self.jobs.get(id) else { return };
        match job.live.state {
            JobState::Queued => self.review_queued(now, id),
            JobState::Deploying => self.review_deploying(now, id),
            JobState::Loading => self.review_loading(now, id),
            JobState::Starting | JobState::Running => self.review_running(now, id),
            JobState::Stopping => self.review_stopping(now, id),
            _ => self.review_final(now, id),
        }
    }

    fn review_queued(&mut self, now: Micros, id: &str) {
        let job = &self.jobs[id];
        let submission = &job.spec.submission;
        let scheduled = submission.scheduled_at.map(micros);
        let ready_us = scheduled.map_or(job.spec.submitted_us, |at| at.saturating_sub(self.timing.lead));
        if now < ready_us {
            let why = format!(
                "scheduled for {} s from its submission",
                (scheduled.unwrap_or(0).saturating_sub(job.spec.submitted_us)) / 1_000_000
            );
            self.go(now, id, JobState::Queued, why, Some(ready_us));
            return;
        }
        let give_up = ready_us.max(job.spec.submitted_us).saturating_add(micros(submission.queue_timeout));
        let first = job.live.why.is_empty() || job.live.why.starts_with("scheduled");
        let strict = submission.strict;
        match self.try_place(id) {
            Ok(seats) => {
                let why = format!(
                    "{} seats asked for on {} splayds",
                    seats.len(),
                    seats.iter().collect::<BTreeSet<_>>().len()
                );
                self.go(now, id, JobState::Deploying, why, Some(now + self.timing.deploy));
                self.order_seats(now, id, &seats);
            }
            Err(Unplaced::Never(why)) if first || strict => self.go(now, id, JobState::Refused, why, None),
            Err(Unplaced::Full(why)) if strict => {
                self.go(now, id, JobState::Refused, format!("{why}; it was to start at once"), None);
            }
            Err(Unplaced::Never(why) | Unplaced::Full(why)) if now >= give_up => {
                let why = format!("waited for {} s: {why}", now.saturating_sub(ready_us) / 1_000_000);
                self.go(now, id, JobState::QueueTimeout, why, None);
            }
            Err(Unplaced::Never(why) | Unplaced::Full(why)) => {
                self.go(now, id, JobState::Queued, why, Some(give_up));
                self.wake(give_up, Timer::Job(id.to_owned()));
            }
        }
    }

    fn try_place(&self, id: &str) -> Result<Vec<String>, Unplaced> {
        let job = &self.jobs[id];
        let least = job.instances();
        let wanted = (f64::from(least) * job.spec.submission.factor).ceil() as u32;
        self.place_more(id, least, wanted, true)
    }

    /// Finds splayds for seats beside those the job has.
    pub(super) fn place_more(
        &self,
        id: &str,
        least: u32,
        wanted: u32,
        first: bool,
    ) -> Result<Vec<String>, Unplaced> {
        let job = &self.jobs[id];
        let held: BTreeMap<String, u32> =
            job.active_hosts().map(|(splayd, host)| (splayd.clone(), host.seats.len() as u32)).collect();
        let same: Option<Vec<String>> = job
            .spec
            .submission
            .same_nodes_as
            .as_ref()
            .map(|_| job.spec.earlier.iter().flatten().cloned().collect());
        // The worker of a splayd that has started the job cannot take more of it.
        let begun = job.live.start_at_us.is_some();
        let busy = job.active_hosts().filter(|(_, host)| begun && host.phase >= HostPhase::Listed);
        let excluded = job.live.excluded.iter().chain(busy.map(|(splayd, _)| splayd)).cloned().collect();
        let request = Request {
            spec: &job.spec,
            least,
            wanted,
            held: &held,
            excluded: &excluded,
            same: same.as_deref(),
            mandatory: first,
        };
        place(&self.splayds, &request)
    }

    /// Asks for seats; one for each time a splayd is named.
    pub(super) fn order_seats(&mut self, now: Micros, id: &str, splayds: &[String]) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let mut asked: BTreeMap<&String, Vec<u32>> = BTreeMap::new();
        for splayd in splayds {
            job.live.seats += 1;
            asked.entry(splayd).or_default().push(job.live.seats);
        }
        self.changed.lives.insert(id.to_owned());
        for (splayd, numbers) in asked {
            let job = self.jobs.get_mut(id).expect("it was there above");
            let empty = || Host { phase: HostPhase::Ordered, seats: BTreeMap::new() };
            let host = job.hosts.entry(splayd.clone()).or_insert_with(empty);
            if !host.phase.holds() {
                *host = empty();
            }
            host.seats.extend(numbers.iter().map(|number| (*number, Seat::default())));
            if job.live.start_at_us.is_none() {
                host.phase = HostPhase::Ordered;
            }
            if let Some(splayd) = self.splayds.get_mut(splayd) {
                splayd.used += numbers.len() as u32;
            }
            self.changed.hosts.insert((id.to_owned(), splayd.clone()));
            self.hosting.entry(splayd.clone()).or_default().insert(id.to_owned());
            self.send_deploy(now, id, splayd);
        }
    }

    /// Sends the order for all seats of a splayd, or sends it again.
    pub(super) fn send_deploy(&mut self, now: Micros, id: &str, splayd: &str) {
        let (Some(job), Some(host)) = (self.jobs.get(id), self.splayds.get(splayd)) else { return };
        let spec = &job.spec;
        let shipped = |file: &splay_protocol::api::FileInfo| ShippedFile {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
            native: None,
        };
        let mut files: Vec<ShippedFile> = spec.files.iter().map(shipped).collect();
        let info = &host.record.info;
        for build in spec.native.iter().filter(|build| {
            build.os == info.os
                && build.architecture == info.architecture
                && info.native.contains(&build.sha256)
        }) {
            let path = format!("{}.so", build.name);
            files.push(ShippedFile {
                path,
                sha256: build.sha256.clone(),
                bytes: build.bytes,
                native: Some(build.name.clone()),
            });
        }
        // The splayd counts from its own start: what is left of the job's time, and some more.
        let ran = job.live.start_at_us.map_or(0, |at| now.saturating_sub(at));
        let left = micros(spec.submission.max_time).saturating_sub(ran) / 1_000_000;
        let order = JobOrder {
            job: id.to_owned(),
            name: spec.submission.name.clone(),
            seats: job.hosts[splayd].seats.keys().map(|seat| SeatOrder { seat: *seat }).collect(),
            app: spec.app.clone(),
            files,
            arguments: spec.submission.arguments.clone(),
            environment: spec.submission.environment.clone(),
            limits: spec.submission.limits.clone(),
            seed: spec.seed.to_string(),
            max_seconds: left.saturating_add(60).min(i64::MAX as u64),
            grace_ms: micros(spec.submission.grace_time) / 1000,
            churn: job.churn.is_some().into(),
            topology: spec.submission.topology.as_ref().map(|_| TopologyOrder {
                path: TOPOLOGY_FILE.to_owned(),
                shuffled: (spec.submission.topology_places == PlaceOrder::Shuffled).into(),
            }),
        };
        self.send(splayd, ToSplayd::Deploy(order));
    }

    /// A splayd does not host a job, or not in time.
    pub(super) fn drop_host(&mut self, now: Micros, id: &str, splayd: &str, why: &str) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.live.excluded.insert(splayd.to_owned());
        if let Some(host) = job.hosts.get_mut(splayd) {
            host.seats.values_mut().for_each(|seat| seat.position = 0);
        }
        job.find_places();
        self.changed.lives.insert(id.to_owned());
        self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        self.tell(now, id, JobEventKind::Note { text: format!("{}: {why}", self.name_of(splayd)) });
        self.release(now, id, splayd);
    }

    pub(super) fn name_of(&self, splayd: &str) -> String {
        self.splayds.get(splayd).map_or_else(|| splayd.to_owned(), |splayd| splayd.record.info.name.clone())
    }

    /// Whether those that answered are enough; replaces those that cannot be waited for.
    pub(super) fn review_deploying(&mut self, now: Micros, id: &str) {
        self.drop_absent(now, id);
        let job = &self.jobs[id];
        let needed = job.instances() as usize;
        let late = job.live.deadline_us.is_some_and(|deadline| now >= deadline);
        // The usual case by far, with thousands of splayds: some have answered, the others may yet.
        let (mut held, mut kept) = (0, 0);
        for (_, host) in job.active_hosts() {
            held += host.seats.len();
            kept += if host.phase >= HostPhase::Deployed { host.seats.len() } else { 0 };
        }
        if !late && held >= needed && kept < needed {
            return;
        }
        // Seats are numbered in placement order, so the choice does not depend on who is fast.
        let mut seats: Vec<(u32, bool, &str)> = Vec::new();
        for (splayd, host) in job.active_hosts() {
            let deployed = host.phase >= HostPhase::Deployed;
            seats.extend(host.seats.keys().map(|seat| (*seat, deployed, splayd.as_str())));
        }
        seats.sort_unstable();
        let answered = seats.iter().filter(|(_, deployed, _)| *deployed).count();
        let in_order = seats.len() >= needed && seats[..needed].iter().all(|(_, deployed, _)| *deployed);
        if in_order || (late && answered >= needed && self.mandatory_are_in(id)) {
            let chosen: Vec<(u32, String)> = seats
                .iter()
                .filter(|(_, deployed, _)| *deployed)
                .map(|(seat, _, splayd)| (*seat, (*splayd).to_owned()))
                .collect();
            self.choose(now, id, chosen);
            return;
        }
        if late {
            let silent: BTreeSet<String> = seats
                .iter()
                .filter(|(_, deployed, _)| !*deployed)
                .map(|(_, _, splayd)| (*splayd).to_owned())
                .collect();
            for splayd in &silent {
                self.drop_host(now, id, splayd, "did not deploy in time");
            }
        }
        let job = &self.jobs[id];
        let left: usize = job.active_hosts().map(|(_, host)| host.seats.len()).sum();
        if left >= needed {
            return;
        }
        let missing = (needed - left) as u32;
        let attempts = job.live.attempts + 1;
        let found =
            if attempts > ATTEMPTS { None } else { Some(self.place_more(id, missing, missing, false)) };
        match found {
            Some(Ok(more)) => {
                let deadline = now + self.timing.deploy;
                let job = self.jobs.get_mut(id).expect("it was there above");
                job.live.attempts = attempts;
                let why = format!("{missing} seats asked for again on other splayds");
                self.go(now, id, JobState::Deploying, why, Some(deadline));
                self.order_seats(now, id, &more);
            }
            Some(Err(Unplaced::Full(why) | Unplaced::Never(why))) => {
                self.go(
                    now,
                    id,
                    JobState::Failed,
                    format!("{missing} of {needed} instances could not be deployed, and {why}"),
                    None,
                );
            }
            None => {
                let why =
                    format!("{missing} of {needed} instances could not be deployed after {ATTEMPTS} tries");
                self.go(now, id, JobState::Failed, why, None);
            }
        }
    }

    fn mandatory_are_in(&self, id: &str) -> bool {
        let job = &self.jobs[id];
        job.spec.submission.mandatory.iter().all(|word| {
            job.active_hosts().any(|(splayd, host)| {
                host.phase >= HostPhase::Deployed
                    && self.splayds.get(splayd).is_some_and(|splayd| splayd.is_called(word))
            })
        })
    }
}

/// The first few of some names.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len() {
        many if many > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), many - SHOWN),
        _ => names.join(", "),
    }
}

/// An instance that has not begun.
pub(super) fn waits(seat: &Seat) -> bool {
    seat.position > 0 && seat.state == InstanceState::Waiting
}
