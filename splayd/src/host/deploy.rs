//! From a job's order to a running worker, and what the worker says.

use std::io::{self, Cursor};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use serde_bytes::ByteBuf;
use splay_protocol::log_lines;
use splay_protocol::session::{
    DeployRefused, Deployed, Ending, Event, FilePart, InstanceEnded, InstanceStarted, JobOrder, JobReady,
    LimitHit, LogBatch, NeedFiles, Phase, Seat, SeatPorts, ToController, UsageTotals, WorkerLost,
};

use super::job::Job;
use super::ledger::{Ledger, ended_lost};
use super::{Host, results};
use crate::clock::local_us;
use crate::confine;
use crate::files::{self, Arrival};
use crate::pipe::{Ended, FromJobd, Lines, Setup, ToJobd};
use crate::worker::Worker;

/// Times a file may come wrong before the job is refused.
const MAX_WRONG: u32 = 3;

/// The least compression: speed counts.
const ZSTD_LEVEL: i32 = 1;

/// Whether an identifier can name a folder.
fn is_identifier(job: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&job.len()) && job.bytes().all(plain)
}

impl Host {
    /// Keeps seats for a job, or more of them, and fetches its files.
    pub(super) fn deploy(&mut self, order: JobOrder) {
        let id = order.job.clone();
        match self.jobs.remove(&id) {
            Some(mut job) => {
                let more: Vec<Seat> =
                    order.seats.into_iter().filter(|seat| !job.seats.contains_key(&seat.seat)).collect();
                // A worker that runs is confined to the ports it began with.
                if !more.is_empty() && job.phase < Phase::Running {
                    match self.keep(&mut job, &more) {
                        Ok(()) => {
                            job.unload(Phase::Deployed);
                            self.deployed(&mut job);
                        }
                        Err(reason) => self.refuse(&id, reason),
                    }
                }
                self.jobs.insert(id, job);
            }
            None => match self.accept(order) {
                Ok(job) => {
                    self.need_files(&id, &job);
                    self.jobs.insert(id, job);
                }
                Err(reason) => self.refuse(&id, reason),
            },
        }
    }

    fn refuse(&self, id: &str, reason: String) {
        tracing::info!(job = id, reason, "refused");
        let refused = DeployRefused { job: id.to_owned(), reason };
        self.report(local_us(), Event::DeployRefused(refused));
    }

    fn accept(&mut self, mut order: JobOrder) -> Result<Job, String> {
        if !is_identifier(&order.job) {
            return Err("the job's identifier is not made of letters, digits, - and _".to_owned());
        }
        files::check(&order.files)?;
        if !order.files.iter().any(|file| file.path == order.app) {
            return Err(format!("app `{}` is not among the job's files", order.app));
        }
        if let Some(topology) = &order.topology
            && !order.files.iter().any(|file| file.path == topology.path)
        {
            return Err(format!("topology `{}` is not among the job's files", topology.path));
        }
        for file in order.files.iter().filter(|file| file.native.is_some()) {
            if !self.config.native_libraries.contains(&file.sha256) {
                return Err(format!("native library `{}` is not allowed here", file.path));
            }
        }
        order.limits.check(&self.config.maxima).map_err(|error| error.to_string())?;
        order.limits = order.limits.within(&self.config.maxima);
        if order.limits.ports == 0 || order.limits.slice_milliseconds == 0 {
            return Err("ports and slice_milliseconds must be at least 1".to_owned());
        }
        order.seed.parse::<u64>().map_err(|_| format!("seed `{}` is not a number", order.seed))?;
        let folder = self.folder.join(&order.job);
        let made = make_folders(&folder).and_then(|()| Ledger::create(&folder));
        let ledger = made.map_err(|error| format!("{}: {error}", folder.display()))?;
        let seats = std::mem::take(&mut order.seats);
        let mut job = Job::new(order, folder, ledger);
        if let Err(reason) = self.keep(&mut job, &seats) {
            self.release(&mut job);
            job.remove_folder();
            return Err(reason);
        }
        job.missing = self.files.lacking(&job.order.files);
        self.deployed(&mut job);
        Ok(job)
    }

    /// Keeps seats, all of them or none.
    fn keep(&mut self, job: &mut Job, seats: &[Seat]) -> Result<(), String> {
        let asked = seats.len() as u64;
        let free = u64::from(self.free_seats()) - (job.seats.len() as u64).min(self.free_seats().into());
        if asked > free {
            return Err(format!("{free} seats free, {asked} asked for"));
        }
        let all = asked + job.seats.len() as u64;
        let most = self.config.job;
        if all > u64::from(most.max_instances) {
            return Err(format!("{all} instances of a job asked for, {} allowed", most.max_instances));
        }
        let memory = all.saturating_mul(job.order.limits.max_memory_bytes);
        if memory > most.max_memory_bytes {
            return Err(format!(
                "{memory} bytes of memory for a job asked for, {} allowed",
                most.max_memory_bytes
            ));
        }
        let mut kept = Vec::new();
        for seat in seats {
            match self.ports.reserve(job.order.limits.ports) {
                Some(port) => kept.push((seat.seat, port)),
                None => {
                    kept.into_iter().for_each(|(_, port)| self.ports.release(port));
                    return Err(format!("no {} consecutive ports are free", job.order.limits.ports));
                }
            }
        }
        job.seats.extend(kept);
        Ok(())
    }

    /// Asks for the files a job lacks.
    pub(super) fn need_files(&self, id: &str, job: &Job) {
        if !job.missing.is_empty() {
            let sha256 = job.missing.iter().cloned().collect();
            self.say(ToController::NeedFiles(NeedFiles { job: id.to_owned(), sha256 }));
        }
    }

    /// Reports the seats once all files are here.
    fn deployed(&mut self, job: &mut Job) {
        if !job.missing.is_empty() {
            return;
        }
        let id = job.order.job.clone();
        if let Err(error) = self.files.place(&job.order.files, &job.folder.join("files")) {
            return self.refuse(&id, format!("the job's files cannot be placed: {error}"));
        }
        let seats = job.seats.iter().map(|(&seat, &port)| SeatPorts { seat, port }).collect();
        self.report(local_us(), Event::Deployed(Deployed { job: id, seats }));
    }

    /// A piece of a file.
    pub(super) fn file(&mut self, part: &FilePart) {
        let arrival = self.files.arrive(part).unwrap_or_else(|error| Arrival::Wrong(error.to_string()));
        let wrong = match arrival {
            Arrival::Unwanted | Arrival::More => return,
            Arrival::Complete => None,
            Arrival::Wrong(reason) => Some(reason),
        };
        let waiting = self.jobs.iter().filter(|(_, job)| job.missing.contains(&part.sha256));
        let waiting: Vec<String> = waiting.map(|(id, _)| id.clone()).collect();
        for id in waiting {
            let Some(mut job) = self.jobs.remove(&id) else { continue };
            match &wrong {
                None => {
                    job.missing.remove(&part.sha256);
                    self.deployed(&mut job);
                }
                Some(reason) => {
                    job.wrong += 1;
                    if job.wrong >= MAX_WRONG {
                        self.refuse(&id, reason.clone());
                        self.release(&mut job);
                        job.remove_folder();
                        continue;
                    }
                    self.files.lacking(&job.order.files);
                    self.need_files(&id, &job);
                }
            }
            self.jobs.insert(id, job);
        }
        let needed = self.needed_files();
        if let Err(error) = self.files.trim(&needed) {
            tracing::warn!(%error, "the cache of files cannot be trimmed");
        }
    }

    /// Starts a job's worker.
    pub(super) fn load(&mut self, id: &str) {
        self.with_job(id, |host, job| {
            if job.phase != Phase::Listed || job.worker.is_some() || !job.missing.is_empty() {
                return;
            }
            if let Err(error) = host.launch(id, job) {
                tracing::error!(job = id, %error, "the worker cannot be started");
                host.fail(id, job, &format!("the worker cannot be started: {error}"));
                job.worker_gone();
            }
        });
    }

    fn launch(&mut self, id: &str, job: &mut Job) -> io::Result<()> {
        let Some(mut nodes) = job.nodes.clone() else { return Ok(()) };
        nodes.positions.retain(|(seat, _)| job.seats.contains_key(seat));
        self.generation += 1;
        job.ledger.worker();
        let worker = Worker::start(id, self.generation, self.channels.workers.clone())?;
        let order = &job.order;
        // A folder of its own: one that was loaded before may not be gone yet.
        job.lives = job.folder.join("lives").join(self.generation.to_string());
        make_folder(&job.lives)?;
        let lives = job.lives.clone();
        let files = job.folder.join("files");
        // Seats in reserve as well: an instance may move there.
        let ports: Vec<u16> = job.seats.values().copied().collect();
        let confinement = confine::plan(&self.config, &files, &lives, &order.limits, &ports);
        if let Some((uid, gid)) = confinement.user {
            std::os::unix::fs::chown(&lives, Some(uid), Some(gid))?;
        }
        if let Some(groups) = &self.groups {
            let cpu = u64::from(order.limits.cpu_permille) * ports.len() as u64;
            let confined = groups.confine(id, worker.pid, confinement.data_bytes, cpu);
            if let Err(error) = confined {
                tracing::warn!(job = id, %error, "the worker has no control group");
            }
        }
        let setup = Setup {
            job: id.to_owned(),
            name: order.name.clone(),
            confinement,
            files,
            app: order.app.clone(),
            lives,
            arguments: order.arguments.clone(),
            environment: order.environment.clone(),
            limits: order.limits.clone(),
            seed: order.seed.clone(),
            blacklist: self.blacklist(),
            threads: threads(),
            seats: job.seats.len() as u32,
            native: order.files.iter().filter(|file| file.native.is_some()).cloned().collect(),
            topology: order.topology.clone(),
        };
        let told = worker.tell(ToJobd::Setup(Box::new(setup))) && worker.tell(ToJobd::Nodes(nodes.clone()));
        if !told {
            return Err(io::Error::other("it reads nothing"));
        }
        job.open = nodes.positions.iter().map(|(_, position)| (*position, 1)).collect();
        job.nodes = Some(nodes);
        job.worker = Some(worker);
        Ok(())
    }

    /// What a job's worker says.
    ///
    /// A worker may have been taken over by its program: what it says of instances it has not, or
    /// says too often, is not passed on.
    pub(super) fn said(&mut self, id: &str, job: &mut Job, message: FromJobd) {
        if !job.is_credible(&message) {
            tracing::warn!(job = id, "what the worker says cannot be: it is passed over");
            return;
        }
        match message {
            FromJobd::Ready(ready) => {
                if !ready.degraded.is_empty() {
                    tracing::warn!(
                        job = id,
                        lacking = ready.degraded.join("; "),
                        "worker not fully confined"
                    );
                }
                job.loaded();
                self.report(local_us(), Event::Ready(JobReady { job: id.to_owned() }));
            }
            FromJobd::Failed(failed) => {
                self.fail(id, job, &failed.message);
                job.finish();
            }
            FromJobd::Started(started) => {
                let sequence = self.shared.spool().next();
                job.ledger.started(started.position, sequence);
                job.live.insert(started.position);
                let planned_us = self.shared.clock().to_controller(started.planned_us);
                let (position, step) = (started.position, started.step);
                let event = InstanceStarted { job: id.to_owned(), position, planned_us, step };
                self.report(started.at_us, Event::Started(event));
            }
            FromJobd::Ended(ended) => self.ended(id, job, ended),
            FromJobd::Limit(limit) => {
                let event = LimitHit {
                    job: id.to_owned(),
                    position: limit.position,
                    limit: limit.limit,
                    allowed: limit.allowed,
                    reached: limit.reached,
                    ended: limit.ended,
                };
                self.report(limit.at_us, Event::Limit(event));
            }
            FromJobd::Lines(lines) => match self.batch(id, lines) {
                Ok(batch) => self.report(local_us(), Event::Logs(batch)),
                Err(error) => tracing::warn!(job = id, %error, "a block of lines is dropped"),
            },
        }
    }

    fn ended(&mut self, id: &str, job: &mut Job, ended: Ended) {
        let folder = job.lives.join(format!("{}.{}", ended.position, ended.life));
        let position = ended.position;
        let ran = ended.unstarted == 0;
        if ran {
            let sequence = self.shared.spool().next();
            job.ledger.ended(position, sequence);
            let told = |time: u64| if time == 0 { 0 } else { self.shared.clock().to_controller(time) };
            let (planned_us, acted_us) = (told(ended.planned_us), told(ended.acted_us));
            let event = InstanceEnded {
                job: id.to_owned(),
                position,
                ending: ended.ending,
                detail: ended.detail,
                usage: ended.usage,
                step: ended.step,
                planned_us,
                acted_us,
            };
            self.report(ended.at_us, Event::Ended(event));
        }
        job.life_ended(position);
        job.collecting += 1;
        let max_bytes = if ran { job.order.limits.max_disk_bytes } else { 0 };
        let life = results::Life { job: id.to_owned(), position, folder, max_bytes };
        tokio::spawn(results::collect(life, Arc::clone(&self.shared), self.channels.collected.clone()));
    }

    /// No instance can run at all.
    fn fail(&self, id: &str, job: &Job, message: &str) {
        for position in job.positions() {
            self.report(
                local_us(),
                Event::Ended(InstanceEnded {
                    job: id.to_owned(),
                    position,
                    ending: Ending::Error,
                    detail: message.to_owned(),
                    usage: UsageTotals::default(),
                    step: 0,
                    planned_us: 0,
                    acted_us: 0,
                }),
            );
        }
    }

    /// The lines with the controller's times, compressed.
    fn batch(&self, id: &str, lines: Lines) -> Result<LogBatch, String> {
        let mut block = lines.block.into_vec();
        let offset = self.shared.clock().micros();
        let span = log_lines::shift(&mut block, offset).map_err(|error| error.to_string())?;
        let data = zstd::encode_all(Cursor::new(&block), ZSTD_LEVEL).map_err(|error| error.to_string())?;
        Ok(LogBatch {
            job: id.to_owned(),
            lines: span.lines,
            first_us: span.first_us,
            last_us: span.last_us,
            data: ByteBuf::from(data),
        })
    }

    /// A job's worker process has ended.
    pub(super) fn gone(&mut self, id: &str, job: &mut Job, how: &str) {
        let expected = job.expects_end();
        if !expected {
            tracing::warn!(job = id, how, "worker lost");
            self.report(
                local_us(),
                Event::WorkerLost(WorkerLost { job: id.to_owned(), how: how.to_owned() }),
            );
        }
        for position in std::mem::take(&mut job.live) {
            let sequence = self.shared.spool().next();
            job.ledger.ended(position, sequence);
            let event = match job.stop_reason() {
                Some(reason) => Event::Ended(InstanceEnded {
                    job: id.to_owned(),
                    position,
                    ending: Ending::Stopped,
                    detail: format!("{reason}; {how}"),
                    usage: UsageTotals::default(),
                    step: 0,
                    planned_us: 0,
                    acted_us: 0,
                }),
                None => ended_lost(id, position, how),
            };
            self.report(local_us(), event);
        }
        job.worker_gone();
        if let Some(groups) = &self.groups {
            groups.release(id);
        }
    }
}

/// Threads of a worker: more than cores, so that an instance that blocks its thread for good takes
/// few others with it.
fn threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (2 * cores).max(8) as u32
}

fn make_folders(folder: &Path) -> io::Result<()> {
    make_folder(folder)?;
    make_folder(&folder.join("files"))?;
    make_folder(&folder.join("lives"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)
}
