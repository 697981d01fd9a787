//! The controller's truth: splayds, jobs and who hosts what. Takes events and gives actions; reads
//! no clock, touches no socket and no store. What has changed is asked for with
//! [`State::take_changes`] and must be stored before the actions are carried out.

mod churn;
mod deploy;
mod finished;
mod hello;
mod job;
mod live;
mod loading;
mod placement;
mod report;
mod run;
mod splayds;
mod spread;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use churn::schedule;
pub use finished::FinishedJob;
pub use job::{Host, HostPhase, Job, JobSpec, Live, NativeBuild, Repair, Seat};
pub use live::Telling;
pub use placement::{Request, Unplaced, place};
use splay_protocol::ListType;
use splay_protocol::api::{JobEvent, JobEventKind, JobState, SplaydState};
use splay_protocol::churn::Schedule;
use splay_protocol::session::{
    HostedJob, LogBatch, RefusedCode, Report, ResultPart, SplaydInfo, Status, ToSplayd,
};
pub use splayds::{Splayd, SplaydRecord, matches};
pub use spread::{Lateness, spread};

/// Microseconds since 1970.
pub type Micros = u64;

/// Microseconds of some seconds; what cannot be one counts as none or as very many.
pub fn micros(seconds: f64) -> Micros {
    (seconds * 1e6) as u64
}

/// Times the controller keeps, in microseconds.
#[derive(Debug, Clone)]
pub struct Timing {
    /// A splayd may be offline for so long before what it hosts is lost.
    pub offline_grace: Micros,
    /// Splayds have so long to keep seats and fetch files.
    pub deploy: Micros,
    /// And so long to load.
    pub load: Micros,
    /// The start is set so far ahead, to reach all before it.
    pub start_margin: Micros,
    /// After all instances have ended, the rest of logs and results has so long to come.
    pub drain: Micros,
    /// Churn is sent so far ahead.
    pub ahead: Micros,
    /// A scheduled job is deployed so long before its time.
    pub lead: Micros,
    /// Before a job's start, a splayd may be offline for so long before others take its part.
    pub absent: Micros,
    /// A job stays in memory for so long after its end.
    pub keep: Micros,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            offline_grace: 60_000_000,
            deploy: 30_000_000,
            load: 60_000_000,
            start_margin: 1_000_000,
            drain: 30_000_000,
            ahead: 5_000_000,
            lead: 15_000_000,
            absent: 10_000_000,
            keep: 600_000_000,
        }
    }
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A splayd has proved who it is. One that is new comes with its record.
    Connected {
        /// Identifier.
        splayd: String,
        /// Of one that has just enrolled; already stored.
        enrolled: Option<Box<SplaydRecord>>,
        /// What it is now.
        info: Box<SplaydInfo>,
        /// What it hosts.
        jobs: Vec<HostedJob>,
        /// Its process.
        incarnation: String,
        /// Number of its last report.
        reports: u64,
        /// Address it comes from.
        peer: String,
    },
    /// Its session is cut.
    Disconnected(String),
    /// It tells how its machine is.
    Status(String, Status),
    /// It reports.
    Report(String, Report),
    /// It lacks files.
    NeedFiles(String, String, Vec<String>),
    /// A user submits. What the churn means may be known already: it takes time to find out.
    Submit(Box<JobSpec>, Option<Schedule>),
    /// A user ends a job.
    Kill {
        /// Which.
        job: String,
        /// For people.
        reason: String,
        /// Time for its hooks, instead of what was asked for at its submission.
        grace_us: Option<Micros>,
    },
    /// Logs and results of a job are kept no longer; the reason is for people.
    Remove {
        /// Which.
        job: String,
        /// For people.
        why: String,
    },
    /// An administrator shuts a splayd out.
    Revoke(String),
    /// An administrator sets labels.
    Label(String, BTreeMap<String, String>),
    /// Time has passed.
    Tick,
}

/// Why an event is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No such job.
    #[error("there is no job `{0}`")]
    NoJob(String),
    /// No such splayd.
    #[error("there is no splayd `{0}`")]
    NoSplayd(String),
    /// The job is over.
    #[error("job `{0}` is over: {1}")]
    Over(String, &'static str),
    /// The submission makes no sense.
    #[error("{0}")]
    Submission(String),
    /// The splayd breaks the protocol.
    #[error("{0}")]
    Protocol(String),
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Say something to a splayd.
    Send(String, Box<ToSplayd>),
    /// Tell a splayd who is in a job. The encoded list is shared by all splayds.
    SendNodes(String, Arc<NodesHead>, Vec<(u32, u32)>),
    /// Say to a splayd what others are told as well: a message that is encoded already.
    SendEncoded(String, Arc<[u8]>),
    /// Send files to a splayd.
    SendFiles(String, Vec<String>),
    /// End a splayd's session.
    Close(String, RefusedCode, String),
    /// Reports of a splayd are stored up to here.
    Ack(String, u64),
    /// Store and publish an event of a job.
    Event(String, JobEvent),
    /// Store and publish log lines.
    Logs(String, u64, LogBatch),
    /// Store that a splayd has come or gone: which, when, what it is now.
    Availability(String, Micros, SplaydState),
    /// Store a piece of a result.
    Result(ResultPart),
    /// Keep what lists show of a job that is over.
    Finished(Box<FinishedJob>),
    /// Remove logs and results of a job.
    RemoveKept(String),
}

/// What all splayds of a job are told of it alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesHead {
    /// Identifier of the job.
    pub job: String,
    /// The bencoded list of nodes.
    pub nodes: Vec<u8>,
    /// The same compressed, where that is worth it.
    pub packed: Option<Vec<u8>>,
    /// How lists are chosen.
    pub list_type: ListType,
    /// Longest list.
    pub list_size: u32,
}

/// What has to be stored.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// New jobs.
    pub specs: Vec<JobSpec>,
    /// Jobs that have moved on.
    pub lives: Vec<(String, Live)>,
    /// Hosts of jobs: job, splayd.
    pub hosts: Vec<(String, String, Host)>,
    /// Splayds.
    pub splayds: Vec<SplaydRecord>,
    /// Their last reports.
    pub sequences: Vec<(String, u64)>,
}

/// What wakes the state up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Jobs that wait for seats.
    Queue,
    /// Something about a job.
    Job(String),
    /// A splayd has been away for long.
    Splayd(String),
}

/// Everything the controller knows.
#[derive(Debug)]
pub struct State {
    timing: Timing,
    splayds: BTreeMap<String, Splayd>,
    jobs: BTreeMap<String, Job>,
    /// Jobs in the queue, in the order of their submission.
    queue: BTreeSet<(Micros, String)>,
    /// Jobs that each splayd hosts or has to forget.
    hosting: BTreeMap<String, BTreeSet<String>>,
    timers: BTreeSet<(Micros, Timer)>,
    /// Splayds that have started anew without some jobs, whose last reports of them are on their way.
    anew: BTreeMap<String, Anew>,
    actions: Vec<Action>,
    changed: Changed,
    /// When this controller took over.
    began: Micros,
    /// Stored bytes of logs a job may have.
    max_log_bytes: u64,
}

/// What a splayd has started anew without. What it reported before comes first.
#[derive(Debug)]
struct Anew {
    jobs: BTreeSet<String>,
    last_report: u64,
    /// It is waited for no longer.
    until: Micros,
}

#[derive(Debug, Default)]
struct Changed {
    specs: BTreeSet<String>,
    lives: BTreeSet<String>,
    hosts: BTreeSet<(String, String)>,
    splayds: BTreeSet<String>,
    sequences: BTreeSet<String>,
    /// Jobs that leave memory.
    leaving: Vec<Job>,
}

impl State {
    /// From what the store has. All splayds are offline at first.
    pub fn new(
        timing: Timing,
        max_log_bytes: u64,
        splayds: Vec<Splayd>,
        jobs: Vec<Job>,
        now: Micros,
    ) -> State {
        let mut state = State {
            timing,
            splayds: splayds.into_iter().map(|splayd| (splayd.record.id.clone(), splayd)).collect(),
            jobs: BTreeMap::new(),
            queue: BTreeSet::new(),
            hosting: BTreeMap::new(),
            timers: BTreeSet::new(),
            anew: BTreeMap::new(),
            actions: Vec::new(),
            changed: Changed::default(),
            began: now,
            max_log_bytes,
        };
        for job in jobs {
            let id = job.spec.id.clone();
            if job.live.state == JobState::Queued {
                state.queue.insert((job.spec.submitted_us, id.clone()));
            }
            for (splayd, host) in &job.hosts {
                if let Some(splayd) = state.splayds.get_mut(splayd).filter(|_| host.phase.holds()) {
                    splayd.used += host.seats.len() as u32;
                }
                state.hosting.entry(splayd.clone()).or_default().insert(id.clone());
            }
            if job.live.state.is_final() {
                state.timers.insert((now, Timer::Job(id.clone())));
            } else {
                let deadline = job.live.deadline_us.into_iter();
                let looks = deadline.chain([now, now + state.timing.absent]);
                state.timers.extend(looks.map(|at| (at, Timer::Job(id.clone()))));
            }
            state.jobs.insert(id, job);
        }
        // The splayds are given time to come back before anything is decided without them.
        let lost = now + state.timing.offline_grace;
        for splayd in state.splayds.values().filter(|splayd| splayd.state == SplaydState::Offline) {
            state.timers.insert((lost, Timer::Splayd(splayd.record.id.clone())));
        }
        state
    }

    /// Takes an event. After reports a [`Event::Tick`] has to follow.
    pub fn apply(&mut self, now: Micros, event: Event) -> Result<(), Rejected> {
        let report = matches!(event, Event::Report(..));
        let result = match event {
            Event::Connected { splayd, enrolled, info, jobs, incarnation, reports, peer } => {
                let result = self.connected(now, &splayd, enrolled, *info, (incarnation, peer));
                if result.is_ok() {
                    self.compare(now, &splayd, jobs, reports);
                    self.look_at_queue_soon(now);
                }
                result
            }
            Event::Disconnected(splayd) => self.disconnected(now, &splayd),
            Event::Status(splayd, status) => self.status(now, &splayd, status),
            Event::Report(splayd, report) => self.report(now, &splayd, report),
            Event::NeedFiles(splayd, job, digests) => self.need_files(&splayd, &job, digests),
            Event::Submit(spec, churn) => self.submit(now, *spec, churn),
            Event::Kill { job, reason, grace_us } => self.kill(now, &job, &reason, grace_us),
            Event::Remove { job, why } => self.remove_kept(now, &job, &why),
            Event::Revoke(splayd) => self.revoke(now, &splayd),
            Event::Label(splayd, labels) => self.label(now, &splayd, labels),
            Event::Tick => Ok(()),
        };
        // Reports come by thousands, and to look at a job takes time as it has hosts: that is done
        // once for all that came together, at the tick after them.
        if !report {
            self.run_timers(now);
        }
        result
    }

    /// When [`Event::Tick`] is next due.
    pub fn next_deadline(&self) -> Option<Micros> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is to be done, once the changes are stored.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// What has to be stored.
    pub fn take_changes(&mut self) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let leaving: BTreeMap<&str, &Job> =
            changed.leaving.iter().map(|job| (job.spec.id.as_str(), job)).collect();
        let job = |id: &String| self.jobs.get(id).or_else(|| leaving.get(id.as_str()).copied());
        let host = |(id, splayd): (String, String)| {
            let host = job(&id)?.hosts.get(&splayd)?.clone();
            Some((id, splayd, host))
        };
        Changes {
            specs: changed.specs.iter().filter_map(job).map(|job| job.spec.clone()).collect(),
            lives: changed
                .lives
                .into_iter()
                .filter_map(|id| Some((job(&id)?.live.clone(), id)))
                .map(|(live, id)| (id, live))
                .collect(),
            hosts: changed.hosts.into_iter().filter_map(host).collect(),
            splayds: changed
                .splayds
                .iter()
                .filter_map(|id| self.splayds.get(id))
                .map(|splayd| splayd.record.clone())
                .collect(),
            sequences: changed
                .sequences
                .into_iter()
                .filter_map(|id| Some((self.splayds.get(&id)?.sequence, id)))
                .map(|(sequence, id)| (id, sequence))
                .collect(),
        }
    }

    /// All splayds.
    pub fn splayds(&self) -> &BTreeMap<String, Splayd> {
        &self.splayds
    }

    /// All jobs.
    pub fn jobs(&self) -> &BTreeMap<String, Job> {
        &self.jobs
    }

    fn run_timers(&mut self, now: Micros) {
        while let Some((at, timer)) = self.timers.first().cloned().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer.clone()));
            match timer {
                Timer::Queue => self.review_queue(now),
                Timer::Job(job) => self.review(now, &job),
                Timer::Splayd(splayd) => self.long_away(now, &splayd),
            }
        }
    }

    fn wake(&mut self, at: Micros, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// Looks at a job at the next event that is no report.
    fn review_soon(&mut self, now: Micros, id: &str) {
        self.wake(now, Timer::Job(id.to_owned()));
    }

    fn send(&mut self, splayd: &str, message: ToSplayd) {
        if self.splayds.get(splayd).is_some_and(|splayd| splayd.state == SplaydState::Online) {
            self.actions.push(Action::Send(splayd.to_owned(), Box::new(message)));
        }
    }

    fn tell(&mut self, now: Micros, id: &str, what: JobEventKind) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.live.events += 1;
        let event = JobEvent { number: job.live.events, at: now as f64 / 1e6, what };
        self.changed.lives.insert(id.to_owned());
        self.actions.push(Action::Event(id.to_owned(), event));
    }

    /// Moves a job to another state.
    fn go(&mut self, now: Micros, id: &str, to: JobState, why: String, deadline: Option<Micros>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let queued = (job.spec.submitted_us, id.to_owned());
        if job.live.state == to && job.live.why == why {
            return;
        }
        job.live.state = to;
        job.live.why.clone_from(&why);
        job.live.since_us = now;
        job.live.deadline_us = deadline;
        if to.is_final() {
            job.live.ended_us = Some(now);
        }
        match to == JobState::Queued {
            true => self.queue.insert(queued),
            false => self.queue.remove(&queued),
        };
        if let Some(deadline) = deadline {
            self.wake(deadline, Timer::Job(id.to_owned()));
        }
        self.tell(now, id, JobEventKind::State { state: to, why });
        if to.is_final() {
            self.wake(now.saturating_add(self.timing.keep), Timer::Job(id.to_owned()));
            let hosts: Vec<String> = self.jobs[id].hosts.keys().cloned().collect();
            hosts.iter().for_each(|splayd| self.release(now, id, splayd));
        }
    }

    /// A splayd has nothing more to do with a job.
    fn release(&mut self, now: Micros, id: &str, splayd: &str) {
        let Some(host) = self.jobs.get_mut(id).and_then(|job| job.hosts.get_mut(splayd)) else { return };
        if host.phase == HostPhase::Released {
            return;
        }
        let held = if host.phase.holds() { host.seats.len() as u32 } else { 0 };
        host.phase = HostPhase::Released;
        self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        self.free_seats(now, splayd, held);
        self.send(splayd, ToSplayd::Forget(splay_protocol::session::JobRef { job: id.to_owned() }));
    }

    fn free_seats(&mut self, now: Micros, splayd: &str, seats: u32) {
        if let Some(splayd) = self.splayds.get_mut(splayd).filter(|_| seats > 0) {
            splayd.used = splayd.used.saturating_sub(seats);
            self.look_at_queue_soon(now);
        }
    }

    /// Seats may have become free. Many at a time are looked at once.
    fn look_at_queue_soon(&mut self, now: Micros) {
        const SOON: Micros = 100_000;
        if !self.queue.is_empty()
            && !self
                .timers
                .iter()
                .take_while(|(at, _)| *at <= now + SOON)
                .any(|(_, timer)| *timer == Timer::Queue)
        {
            self.wake(now + SOON, Timer::Queue);
        }
    }

    fn review_queue(&mut self, now: Micros) {
        let ids: Vec<String> = self.queue.iter().map(|(_, id)| id.clone()).collect();
        ids.iter().for_each(|id| self.review(now, id));
    }
}
