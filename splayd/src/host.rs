//! The jobs this splayd hosts: carries out the controller's orders, hears the jobs' workers, and
//! reports. One place owns all of it; nothing here waits.

mod deploy;
mod job;
mod ledger;
mod results;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splay_protocol::session::{Event, HostedJob, Phase, Settings, Status, ToController, ToSplayd, Welcome};
use tokio::sync::{mpsc, watch};

use crate::clock::local_us;
use crate::config::Config;
use crate::confine::cgroup::Groups;
use crate::files::Files;
use crate::ports::Ports;
use crate::session::Shared;
use crate::status;
use crate::worker::{FromWorker, What};
use job::Job;
pub use results::Collected;

/// Time between two synchronisations of the spool: what a power cut may cost of the reports that
/// have not reached the controller.
const SYNC: Duration = Duration::from_secs(1);

/// The ends of the channels a host speaks through.
#[derive(Debug)]
pub struct Channels {
    /// To the session: what is not numbered.
    pub messages: mpsc::Sender<ToController>,
    /// For the session's hellos.
    pub hosted: watch::Sender<Vec<HostedJob>>,
    /// Given to workers.
    pub workers: mpsc::Sender<FromWorker>,
    /// Given to those who collect results.
    pub collected: mpsc::Sender<Collected>,
}

/// All jobs of a splayd.
#[derive(Debug)]
pub struct Host {
    config: Arc<Config>,
    shared: Arc<Shared>,
    channels: Channels,
    jobs: BTreeMap<String, Job>,
    ports: Ports,
    files: Files,
    settings: Settings,
    folder: PathBuf,
    generation: u64,
    next_status: Instant,
    next_sync: Instant,
    /// Where jobs get control groups.
    groups: Option<Groups>,
}

impl Host {
    /// A host without jobs. What an earlier splayd left in the data folder is reported lost and
    /// removed.
    pub fn new(config: Arc<Config>, shared: Arc<Shared>, channels: Channels) -> io::Result<Host> {
        let folder = config.data_directory.join("jobs");
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&folder)?;
        let files = Files::open(&config.data_directory.join("cache"), config.cache_bytes)?;
        let ports = Ports::new(config.ports.0, config.ports.1);
        let host = Host {
            config,
            shared,
            channels,
            jobs: BTreeMap::new(),
            ports,
            files,
            settings: Settings::default(),
            folder,
            generation: 0,
            next_status: Instant::now(),
            next_sync: Instant::now(),
            groups: Groups::open(),
        };
        host.recover()?;
        Ok(host)
    }

    fn recover(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let job = entry.file_name().to_string_lossy().into_owned();
            let reported = self.shared.spool().next();
            for event in ledger::lost(&entry.path(), &job, reported)? {
                self.report(local_us(), event);
            }
            std::fs::remove_dir_all(entry.path())?;
        }
        Ok(())
    }

    /// Reports what happened at a time of this machine.
    fn report(&self, local_us: u64, event: Event) {
        let at_us = self.shared.clock().to_controller(local_us);
        let added = self.shared.spool().add(at_us, event);
        if let Err(error) = added {
            tracing::error!(%error, "a report is lost: the spool cannot be written");
        }
        self.shared.spooled.notify_waiters();
    }

    /// Says something that need not arrive.
    fn say(&self, message: ToController) {
        if self.channels.messages.try_send(message).is_err() {
            tracing::debug!("a message is dropped: the session does not keep up");
        }
    }

    /// Tells the session what is hosted now.
    fn publish(&self) {
        let hosted = |(id, job): (&String, &Job)| HostedJob {
            job: id.clone(),
            phase: job.phase,
            last_step: job.last_step,
        };
        self.channels.hosted.send_replace(self.jobs.iter().map(hosted).collect());
    }

    /// A session is open.
    pub fn welcome(&mut self, welcome: Welcome) {
        self.set(welcome.settings);
        self.next_status = Instant::now();
        for (id, job) in &self.jobs {
            self.need_files(id, job);
        }
    }

    /// Takes settings over; what is running follows them.
    fn set(&mut self, settings: Settings) {
        let changed = settings.blacklist != self.settings.blacklist;
        self.settings = settings;
        let hosts = self.blacklist();
        for job in self.jobs.values_mut().filter(|_| changed) {
            job.blacklist(hosts.clone());
        }
    }

    /// Hosts no instance may contact: this splayd's and the controller's.
    fn blacklist(&self) -> Vec<String> {
        self.config.blacklist.iter().chain(&self.settings.blacklist).cloned().collect()
    }

    /// An order of the controller.
    pub fn order(&mut self, order: ToSplayd) {
        match order {
            ToSplayd::Deploy(order) => self.deploy(order),
            ToSplayd::File(part) => self.file(&part),
            ToSplayd::Nodes(nodes) => self.with_job(&nodes.job.clone(), |_, job| job.nodes(nodes)),
            ToSplayd::Live(live) => self.with_job(&live.job.clone(), |_, job| job.live(live)),
            ToSplayd::Load(load) => self.load(&load.job),
            ToSplayd::Start(start) => self.with_job(&start.job.clone(), |host, job| {
                let local = host.shared.clock().to_local(start.at_us);
                job.start(start, local);
                // Until now they were in reserve.
                for seat in job.unused_seats() {
                    if let Some(port) = job.seats.remove(&seat) {
                        host.ports.release(port);
                    }
                }
            }),
            ToSplayd::Agenda(agenda) => self.with_job(&agenda.job.clone(), |host, job| {
                let clock = host.shared.clock();
                job.agenda(agenda.steps, |at_us| clock.to_local(at_us));
            }),
            ToSplayd::Stop(stop) => self.with_job(&stop.job.clone(), |_, job| {
                job.stop(Duration::from_millis(stop.grace_ms), &stop.reason);
            }),
            ToSplayd::Forget(forget) => self.with_job(&forget.job, |_, job| job.forget()),
            ToSplayd::Settings(settings) => self.set(settings),
            ToSplayd::Challenge(_)
            | ToSplayd::Welcome(_)
            | ToSplayd::Refused(_)
            | ToSplayd::Ack(_)
            | ToSplayd::ProbeReply(_) => {}
        }
        self.publish();
    }

    /// Does something with a job; one that is not here was forgotten.
    fn with_job(&mut self, id: &str, act: impl FnOnce(&mut Host, &mut Job)) {
        let Some(mut job) = self.jobs.remove(id) else {
            tracing::debug!(job = id, "an order for a job that is not here");
            return;
        };
        act(self, &mut job);
        self.settle(id, &mut job);
        if job.is_removed() {
            self.release(&mut job);
            job.remove_folder();
        } else {
            self.jobs.insert(id.to_owned(), job);
        }
    }

    /// What a worker says.
    pub fn heard(&mut self, from: FromWorker) {
        let FromWorker { job: id, generation, what } = from;
        self.with_job(&id, |host, job| {
            if job.generation() != Some(generation) {
                return;
            }
            match what {
                What::Said(message) => host.said(&id, job, message),
                What::Gone(how) => host.gone(&id, job, &how),
            }
        });
        self.publish();
    }

    /// The results of a life were collected.
    pub fn collected(&mut self, collected: &Collected) {
        self.with_job(&collected.job, |_, job| job.collected());
        self.publish();
    }

    /// To be called several times a second.
    pub fn tick(&mut self) {
        let now = Instant::now();
        let ids: Vec<String> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.with_job(&id, |_, job| {
                if job.out_of_time(now) {
                    let reason = format!("ran for max_seconds {}", job.order.max_seconds);
                    job.stop(Duration::from_millis(job.order.grace_ms), &reason);
                }
                job.press(now);
            });
        }
        if now >= self.next_status {
            self.status(now);
        }
        if now >= self.next_sync {
            self.next_sync = now + SYNC;
            self.sync();
        }
    }

    /// Has what was reported survive a power cut, without waiting for the disk.
    fn sync(&self) {
        match self.shared.spool().unsynced() {
            Ok(None) => {}
            Ok(Some(file)) => drop(tokio::task::spawn_blocking(move || {
                if let Err(error) = file.sync_data() {
                    tracing::warn!(%error, "the spool is not synchronised");
                }
            })),
            Err(error) => tracing::warn!(%error, "the spool is not synchronised"),
        }
    }

    fn status(&mut self, now: Instant) {
        let seconds = match self.settings.status_seconds {
            0 => self.config.status_seconds,
            seconds => seconds,
        };
        self.next_status = now + Duration::from_secs(seconds.into());
        self.shared.clock().look();
        let status = Status {
            free_instances: self.free_seats(),
            clock: self.shared.clock().best(),
            spool_bytes: self.shared.spool().bytes(),
            ..status::gather(&self.config.data_directory)
        };
        self.say(ToController::Status(status));
    }

    fn free_seats(&self) -> u32 {
        let taken: usize = self.jobs.values().map(|job| job.seats.len()).sum();
        self.config.max_instances.saturating_sub(taken as u32)
    }

    /// Reports the end of a job when nothing more will come of it.
    fn settle(&mut self, id: &str, job: &mut Job) {
        job.let_worker_end();
        if job.is_over() && job.phase != Phase::Ended {
            job.phase = Phase::Ended;
            let sequence = self.shared.spool().next();
            job.ledger.done(sequence);
            self.report(local_us(), Event::Done(splay_protocol::session::JobReady { job: id.to_owned() }));
            self.release(job);
        }
    }

    /// Gives a job's seats and ports back.
    fn release(&mut self, job: &mut Job) {
        for port in std::mem::take(&mut job.seats).into_values() {
            self.ports.release(port);
        }
    }

    /// Ends all jobs, as splayd itself ends.
    pub fn stop_all(&mut self) {
        let grace = Duration::from_secs(self.config.grace_seconds.into());
        let ids: Vec<String> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.with_job(&id, |_, job| job.stop(grace, "splayd was told to end"));
        }
        self.publish();
    }

    /// Nothing runs any more.
    pub fn is_quiet(&self) -> bool {
        self.jobs.values().all(|job| job.phase == Phase::Ended || job.is_idle())
    }

    /// The longest a stopped job may take to end.
    pub fn longest_end(&self) -> Duration {
        Duration::from_secs(2 * u64::from(self.config.grace_seconds) + 2)
    }

    /// Removes what is left of jobs; to be called last.
    pub fn close(&mut self) {
        self.sync();
        for job in self.jobs.values_mut() {
            job.remove_folder();
        }
    }

    fn needed_files(&self) -> BTreeSet<String> {
        let waiting = self.jobs.values().filter(|job| !job.missing.is_empty());
        waiting.flat_map(|job| job.order.files.iter().map(|file| file.sha256.clone())).collect()
    }
}
