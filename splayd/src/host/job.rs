//! One job on this splayd: its phase, its seats, its worker, and how it is brought to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use splay_protocol::session::{Action, AgendaStep, JobNodes, JobOrder, LiveNodes, Phase, StartOrder};

use super::ledger::Ledger;
use crate::clock::local_us;
use crate::pipe::{self, Begin, End, FromJobd, ToJobd};
use crate::worker::Worker;

/// After SIGTERM a worker gets this long at least.
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// Reports of limits for each life: there are fewer limits, and slices that are cut are told each.
const MAX_LIMITS: u64 = 1000;

/// How a job is being ended.
#[derive(Debug)]
struct Stopping {
    reason: String,
    terminate_at: Instant,
    kill_at: Instant,
}

/// A job.
#[derive(Debug)]
pub struct Job {
    pub order: JobOrder,
    pub phase: Phase,
    pub last_step: u64,
    /// First port of each seat.
    pub seats: BTreeMap<u32, u16>,
    pub nodes: Option<JobNodes>,
    /// Digests of files that are not here.
    pub missing: BTreeSet<String>,
    /// Times its files came wrong.
    pub wrong: u32,
    pub ledger: Ledger,
    pub folder: PathBuf,
    /// Where its worker's instances have their folders.
    pub lives: PathBuf,
    pub worker: Option<Worker>,
    /// Instances that run.
    pub live: BTreeSet<u32>,
    /// Lives the worker was told to open and has not ended, started or not.
    pub open: BTreeMap<u32, u32>,
    /// Lives whose results are being read.
    pub collecting: u32,
    limits_met: u64,
    start: Option<pipe::Start>,
    churn: bool,
    deadline: Option<Instant>,
    stopping: Option<Stopping>,
    /// Its standard input was closed.
    finishing: bool,
    /// Nothing will run any more.
    over: bool,
    forgotten: bool,
}

impl Job {
    /// A job whose seats are kept.
    pub fn new(order: JobOrder, folder: PathBuf, ledger: Ledger) -> Job {
        let churn = order.churn == 1;
        Job {
            order,
            phase: Phase::Deployed,
            last_step: 0,
            seats: BTreeMap::new(),
            nodes: None,
            missing: BTreeSet::new(),
            wrong: 0,
            ledger,
            lives: folder.join("lives"),
            folder,
            worker: None,
            live: BTreeSet::new(),
            open: BTreeMap::new(),
            collecting: 0,
            limits_met: 0,
            start: None,
            churn,
            deadline: None,
            stopping: None,
            finishing: false,
            over: false,
            forgotten: false,
        }
    }

    /// Which worker it has.
    pub fn generation(&self) -> Option<u64> {
        self.worker.as_ref().map(|worker| worker.generation)
    }

    /// Seats that take part are known: the others, which are given back unless they are spares.
    pub fn unused_seats(&self) -> Vec<u32> {
        let Some(nodes) = self.nodes.as_ref().filter(|_| !self.churn) else { return Vec::new() };
        let used = |seat: &u32| nodes.positions.iter().any(|(used, _)| used == seat);
        self.seats.keys().copied().filter(|seat| !used(seat)).collect()
    }

    /// Why it is being stopped.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stopping.as_ref().map(|stopping| stopping.reason.as_str())
    }

    /// Its worker may end.
    pub fn expects_end(&self) -> bool {
        self.finishing || self.stopping.is_some() || self.forgotten
    }

    /// Who is in it. When that changes before the start, all is loaded anew, since a program may keep
    /// the list it finds; later, a worker is told.
    pub fn nodes(&mut self, mut nodes: JobNodes) {
        if self.phase == Phase::Ended || self.stopping.is_some() {
            return;
        }
        nodes.positions.retain(|(seat, _)| self.seats.contains_key(seat));
        if self.nodes.as_ref() == Some(&nodes) {
            return;
        }
        if self.phase < Phase::Running {
            self.unload(Phase::Listed);
        } else {
            self.tell(ToJobd::Nodes(nodes.clone()));
        }
        self.nodes = Some(nodes);
    }

    /// Back to before its worker was started, which has run nothing.
    pub fn unload(&mut self, phase: Phase) {
        if let Some(worker) = self.worker.take() {
            worker.kill();
        }
        self.open.clear();
        self.phase = phase;
    }

    /// Which nodes are there now.
    pub fn live(&mut self, live: LiveNodes) {
        self.tell(ToJobd::Live(live));
    }

    /// Whom its instances may not contact from now on.
    pub fn blacklist(&mut self, hosts: Vec<String>) {
        self.tell(ToJobd::Blacklist(pipe::Blacklist { hosts }));
    }

    /// Its worker has loaded all: a start that came before goes on.
    pub fn loaded(&mut self) {
        self.phase = self.phase.max(Phase::Loaded);
        if let Some(start) = self.start.take() {
            self.tell(ToJobd::Start(start));
        }
    }

    /// Its instances are to start.
    pub fn start(&mut self, start: StartOrder, at_us: u64) {
        if self.phase >= Phase::Running || self.worker.is_none() || self.stopping.is_some() {
            return;
        }
        let loaded = self.phase >= Phase::Loaded;
        self.phase = Phase::Running;
        self.churn |= !start.positions.is_empty();
        let ahead = Duration::from_micros(at_us.saturating_sub(local_us()));
        self.deadline = Instant::now().checked_add(ahead + Duration::from_secs(self.order.max_seconds));
        let start = pipe::Start { at_us, positions: start.positions };
        if loaded {
            self.tell(ToJobd::Start(start));
        } else {
            self.start = Some(start);
        }
    }

    /// Steps of churn.
    pub fn agenda(&mut self, steps: Vec<AgendaStep>, to_local: impl Fn(u64) -> u64) {
        let here: BTreeSet<u32> = self.positions().collect();
        for step in steps {
            if step.number <= self.last_step {
                continue;
            }
            self.last_step = step.number;
            self.churn = true;
            if !here.contains(&step.position) || self.worker.is_none() || self.stopping.is_some() {
                continue;
            }
            let (position, at_us) = (step.position, to_local(step.at_us));
            let end = |grace_ms| ToJobd::End(End { position, step: step.number, at_us, grace_ms });
            match step.action {
                Action::Start => {
                    *self.open.entry(position).or_default() += 1;
                    let begin = Begin { position, step: step.number, at_us, live: step.live };
                    self.tell(ToJobd::Begin(begin));
                }
                Action::Stop => self.tell(end(0)),
                Action::Leave => self.tell(end(self.order.grace_ms)),
            }
        }
    }

    /// Positions of the seats here.
    pub fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().flat_map(|nodes| nodes.positions.iter().map(|(_, position)| *position))
    }

    /// All is to end.
    pub fn stop(&mut self, grace: Duration, reason: &str) {
        let terminate_at = Instant::now() + grace + Duration::from_millis(500);
        let stopping = Stopping {
            reason: reason.to_owned(),
            terminate_at,
            kill_at: terminate_at + grace.max(LEAST_GRACE),
        };
        if self.worker.is_none() {
            self.over = true;
        } else if self.stopping.is_none() {
            let grace_ms = grace.as_millis() as u64;
            self.tell(ToJobd::Stop(pipe::Stop { grace_ms, reason: reason.to_owned() }));
        }
        // A later stop may shorten the time, not lengthen it.
        match &mut self.stopping {
            Some(before) if before.terminate_at <= terminate_at => {}
            slot => *slot = Some(stopping),
        }
    }

    /// It is to be gone, whatever it does.
    pub fn forget(&mut self) {
        self.forgotten = true;
        self.over |= self.worker.is_none();
        if let Some(worker) = &self.worker {
            worker.kill();
        }
    }

    /// Presses on a worker that does not end in time.
    pub fn press(&mut self, now: Instant) {
        let (Some(stopping), Some(worker)) = (&mut self.stopping, &self.worker) else { return };
        if now >= stopping.kill_at {
            worker.kill();
        } else if now >= stopping.terminate_at {
            worker.terminate();
            // Once is enough.
            stopping.terminate_at = stopping.kill_at;
        }
    }

    /// It has run for as long as it may.
    pub fn out_of_time(&self, now: Instant) -> bool {
        self.worker.is_some()
            && self.stopping.is_none()
            && self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether an honest worker may say so.
    pub fn is_credible(&mut self, message: &FromJobd) -> bool {
        match message {
            FromJobd::Ready(_) => self.phase < Phase::Loaded || self.start.is_some(),
            FromJobd::Started(started) => {
                self.open.contains_key(&started.position) && !self.live.contains(&started.position)
            }
            FromJobd::Ended(ended) => self.open.contains_key(&ended.position),
            FromJobd::Limit(limit) => {
                let most = MAX_LIMITS.saturating_mul(self.last_step + self.order.seats.len() as u64 + 1);
                self.limits_met += 1;
                limit.limit.len() < 64 && self.limits_met <= most
            }
            FromJobd::Failed(_) => !self.open.is_empty(),
            FromJobd::Lines(_) => true,
        }
    }

    /// A life has ended.
    pub fn life_ended(&mut self, position: u32) {
        self.live.remove(&position);
        if let Some(count) = self.open.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&position);
            }
        }
    }

    /// Lets the worker end where nothing is left to run.
    pub fn let_worker_end(&mut self) {
        let done =
            self.open.is_empty() && (self.stopping.is_some() || self.phase == Phase::Running && !self.churn);
        if done && let Some(worker) = &mut self.worker {
            worker.finish();
            self.finishing = true;
        }
    }

    /// The worker is of no use any more.
    pub fn finish(&mut self) {
        self.open.clear();
        self.finishing = true;
        if let Some(worker) = &mut self.worker {
            worker.finish();
        }
    }

    /// Its worker is gone.
    pub fn worker_gone(&mut self) {
        self.worker = None;
        self.open.clear();
        self.live.clear();
        self.over = true;
    }

    /// A life's results are in the spool.
    pub fn collected(&mut self) {
        self.collecting = self.collecting.saturating_sub(1);
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.over && self.worker.is_none() && self.collecting == 0
    }

    /// It has no worker, and results wait for nobody.
    pub fn is_idle(&self) -> bool {
        self.worker.is_none() && self.collecting == 0
    }

    /// It can be removed.
    pub fn is_removed(&self) -> bool {
        self.forgotten && self.worker.is_none()
    }

    /// Removes its files.
    pub fn remove_folder(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a job's folder is not removed");
        }
    }

    fn tell(&mut self, order: ToJobd) {
        let Some(worker) = &self.worker else { return };
        if !worker.tell(order) {
            // It reads nothing any more: its end will be reported.
            worker.kill();
        }
    }
}
