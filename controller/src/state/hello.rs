//! Splayds come, go and come back: what they host is compared with what they should.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use splay_protocol::api::JobState;
use splay_protocol::session::{JobRef, Phase, ToSplayd};

use super::*;

impl State {
    pub(super) fn connected(
        &mut self,
        now: Micros,
        id: &str,
        enrolled: Option<Box<SplaydRecord>>,
        info: SplaydInfo,
        (incarnation, peer): (String, String),
    ) -> Result<(), Rejected> {
        if let Some(record) = enrolled {
            self.splayds.entry(id.to_owned()).or_insert_with(|| Splayd::new(*record, 0));
        }
        let splayd = self.splayds.get_mut(id).ok_or_else(|| Rejected::NoSplayd(id.to_owned()))?;
        if splayd.record.revoked {
            return Err(Rejected::NoSplayd(id.to_owned()));
        }
        if splayd.state != SplaydState::Online {
            splayd.record.since_us = now;
            self.actions.push(Action::Availability(id.to_owned(), now, SplaydState::Online));
        }
        splayd.state = SplaydState::Online;
        splayd.record.info = info;
        splayd.record.incarnation = incarnation;
        splayd.record.peer = peer;
        self.changed.splayds.insert(id.to_owned());
        Ok(())
    }

    /// Sends a splayd what it lacks, and has it forget what it should not have.
    pub(super) fn compare(&mut self, now: Micros, splayd: &str, jobs: Vec<HostedJob>, last_report: u64) {
        let hosted: HashMap<String, HostedJob> = jobs.into_iter().map(|job| (job.job.clone(), job)).collect();
        let ours = self.hosting.get(splayd).cloned().unwrap_or_default();
        for id in hosted.keys().filter(|id| !ours.contains(*id)) {
            self.send(splayd, ToSplayd::Forget(JobRef { job: id.clone() }));
        }
        let mut gone = BTreeSet::new();
        for id in &ours {
            let there = hosted.get(id);
            let Some(job) = self.jobs.get_mut(id) else { continue };
            let state = job.live.state;
            let Some(host) = job.hosts.get_mut(splayd) else { continue };
            match (host.phase, there) {
                (HostPhase::Released, None) => {
                    self.hosting.get_mut(splayd).map(|jobs| jobs.remove(id));
                }
                (HostPhase::Released | HostPhase::Lost, _) => {
                    self.send(splayd, ToSplayd::Forget(JobRef { job: id.clone() }));
                }
                (HostPhase::Done, _) => {}
                (HostPhase::Ordered | HostPhase::Deployed, None) if state == JobState::Deploying => {
                    host.phase = HostPhase::Ordered;
                    host.seats.values_mut().for_each(|seat| seat.port = 0);
                    self.changed.hosts.insert((id.clone(), splayd.to_owned()));
                    self.send_deploy(now, id, splayd);
                }
                (HostPhase::Ordered, _) => self.send_deploy(now, id, splayd),
                (_, None) => drop(gone.insert(id.clone())),
                (phase, Some(there)) => self.catch_up(id, splayd, phase, there),
            }
        }
        let until = now + self.timing.offline_grace;
        self.anew.insert(splayd.to_owned(), Anew { jobs: gone, last_report, until });
        self.wake(until, Timer::Splayd(splayd.to_owned()));
        self.look_anew(now, splayd);
    }

    /// Gives up what a splayd has started anew without, once it has told all that happened before,
    /// or does not: its last reports tell how its instances ended.
    pub(super) fn look_anew(&mut self, now: Micros, splayd: &str) {
        let (Some(anew), Some(known)) = (self.anew.get(splayd), self.splayds.get(splayd)) else { return };
        if known.sequence < anew.last_report && now < anew.until {
            return;
        }
        let jobs = self.anew.remove(splayd).map(|anew| anew.jobs).unwrap_or_default();
        for id in jobs {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let churn = job.churn.is_some() && !job.live.state.is_final();
            match job.hosts.get_mut(splayd) {
                Some(host) if host.phase.holds() => {
                    self.lose_host(now, &id, splayd, "it has started anew without the job");
                }
                // It has told the end of all; under churn others take over.
                Some(host) if churn && host.phase == HostPhase::Done => {
                    host.phase = HostPhase::Lost;
                    self.give_up_places(&id, splayd);
                    self.review_soon(now, &id);
                }
                _ => {}
            }
        }
    }

    fn catch_up(&mut self, id: &str, splayd: &str, phase: HostPhase, there: &HostedJob) {
        let job = &self.jobs[id];
        let state = job.live.state;
        if state == JobState::Stopping {
            return self.send_stop(id, splayd);
        }
        let (churn, started) = (job.churn.is_some(), job.live.start_at_us.is_some());
        if phase < HostPhase::Listed || there.phase == Phase::Ended {
            return;
        }
        // Under churn the list may have changed while it was away.
        let only = BTreeSet::from([splayd.to_owned()]);
        if there.phase < Phase::Running || churn {
            self.send_lists(id, Some(&only));
        }
        if there.phase < Phase::Running {
            self.send(splayd, ToSplayd::Load(JobRef { job: id.to_owned() }));
        }
        if started && there.phase < Phase::Running {
            self.send_start(id, splayd);
        }
        if churn {
            self.resend_agenda(id, splayd, there.last_step);
        }
        self.tell_live_to(id, splayd);
    }

    pub(super) fn disconnected(&mut self, now: Micros, id: &str) -> Result<(), Rejected> {
        let splayd = self.splayds.get_mut(id).ok_or_else(|| Rejected::NoSplayd(id.to_owned()))?;
        if splayd.state == SplaydState::Online {
            splayd.state = SplaydState::Offline;
            splayd.record.since_us = now;
            self.actions.push(Action::Availability(id.to_owned(), now, SplaydState::Offline));
            self.changed.splayds.insert(id.to_owned());
            self.wake(now + self.timing.offline_grace, Timer::Splayd(id.to_owned()));
            for job in self.hosting.get(id).cloned().unwrap_or_default() {
                let state = self.jobs.get(&job).map(|job| job.live.state);
                if matches!(state, Some(JobState::Deploying | JobState::Loading)) {
                    self.wake(now + self.timing.absent, Timer::Job(job));
                }
            }
        }
        Ok(())
    }

    pub(super) fn long_away(&mut self, now: Micros, id: &str) {
        self.look_anew(now, id);
        let grace = self.timing.offline_grace;
        let Some(splayd) = self.splayds.get_mut(id) else { return };
        if splayd.state != SplaydState::Offline || splayd.record.since_us + grace > now {
            return;
        }
        splayd.state = SplaydState::Lost;
        self.actions.push(Action::Availability(id.to_owned(), now, SplaydState::Lost));
        self.changed.splayds.insert(id.to_owned());
        self.lose_all(now, id, &format!("it was offline for more than {} s", grace / 1_000_000));
    }

    fn lose_all(&mut self, now: Micros, splayd: &str, why: &str) {
        for id in self.hosting.get(splayd).cloned().unwrap_or_default() {
            let active = self
                .jobs
                .get(&id)
                .and_then(|job| job.hosts.get(splayd))
                .is_some_and(|host| host.phase.holds());
            if active {
                self.lose_host(now, &id, splayd, why);
            }
        }
    }

    pub(super) fn status(&mut self, now: Micros, id: &str, status: Status) -> Result<(), Rejected> {
        let splayd = self.splayds.get_mut(id).ok_or_else(|| Rejected::NoSplayd(id.to_owned()))?;
        let first = splayd.status.is_none();
        splayd.status = Some((now, status));
        if first {
            self.look_at_queue_soon(now);
        }
        Ok(())
    }

    pub(super) fn need_files(
        &mut self,
        splayd: &str,
        id: &str,
        digests: Vec<String>,
    ) -> Result<(), Rejected> {
        let job =
            self.jobs.get(id).filter(|job| job.hosts.get(splayd).is_some_and(|host| host.phase.holds()));
        // It may ask for what it was told to forget a moment ago.
        let Some(job) = job else { return Ok(()) };
        let known = |digest: &String| {
            job.spec.files.iter().any(|file| file.sha256 == *digest)
                || job.spec.native.iter().any(|build| build.sha256 == *digest)
        };
        if let Some(digest) = digests.iter().find(|digest| !known(digest)) {
            return Err(Rejected::Protocol(format!("job `{id}` has no file `{digest}`")));
        }
        self.actions.push(Action::SendFiles(splayd.to_owned(), digests));
        Ok(())
    }

    pub(super) fn revoke(&mut self, now: Micros, id: &str) -> Result<(), Rejected> {
        let splayd = self.splayds.get_mut(id).ok_or_else(|| Rejected::NoSplayd(id.to_owned()))?;
        splayd.record.revoked = true;
        splayd.record.since_us = now;
        splayd.state = SplaydState::Revoked;
        self.actions.push(Action::Availability(id.to_owned(), now, SplaydState::Revoked));
        self.changed.splayds.insert(id.to_owned());
        self.actions.push(Action::Close(
            id.to_owned(),
            RefusedCode::Key,
            "the splayd was revoked".to_owned(),
        ));
        self.lose_all(now, id, "it was revoked");
        Ok(())
    }

    pub(super) fn label(
        &mut self,
        now: Micros,
        id: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<(), Rejected> {
        let splayd = self.splayds.get_mut(id).ok_or_else(|| Rejected::NoSplayd(id.to_owned()))?;
        splayd.record.labels = labels;
        self.changed.splayds.insert(id.to_owned());
        self.look_at_queue_soon(now);
        Ok(())
    }
}
