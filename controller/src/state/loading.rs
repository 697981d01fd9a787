//! From seats that are kept to loaded instances: positions, and splayds that are lost on the way,
//! whose instances others take.

use std::collections::{BTreeMap, BTreeSet};

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{JobRef, ToSplayd};

use super::deploy::listed;
use super::*;

impl State {
    /// Gives positions to the first of the seats, in placement order, and has them loaded. Those that
    /// have a position keep it.
    pub(super) fn choose(&mut self, now: Micros, id: &str, seats: Vec<(u32, String)>) {
        let job = &self.jobs[id];
        let needed = job.instances();
        let mut free: BTreeSet<u32> =
            (1..=needed).filter(|position| job.places[*position as usize - 1].is_none()).collect();
        let mut given: Vec<(u32, String, u32)> = Vec::new();
        let mut rest = Vec::new();
        // Those of an earlier job keep their positions where their splayds are here again.
        let mut wanted: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (index, splayd) in job.spec.earlier.iter().enumerate().rev() {
            if let Some(splayd) = splayd {
                wanted.entry(splayd).or_default().push(index as u32 + 1);
            }
        }
        let placed = |seat: u32, splayd: &str| {
            job.hosts.get(splayd).and_then(|host| host.seats.get(&seat)).is_some_and(|seat| seat.position > 0)
        };
        for (seat, splayd) in seats.into_iter().filter(|(seat, splayd)| !placed(*seat, splayd)) {
            let before =
                wanted.get_mut(splayd.as_str()).and_then(Vec::pop).filter(|position| free.remove(position));
            match before {
                Some(position) => given.push((seat, splayd, position)),
                None => rest.push((seat, splayd)),
            }
        }
        for (seat, splayd) in rest {
            let Some(position) = free.pop_first() else { break };
            given.push((seat, splayd, position));
        }
        let churn = job.churn.is_some();
        let job = self.jobs.get_mut(id).expect("it was there above");
        for (seat, splayd, position) in given {
            if let Some(seat) = job.hosts.get_mut(&splayd).and_then(|host| host.seats.get_mut(&seat)) {
                seat.position = position;
            }
        }
        job.find_places();
        let hosts: Vec<String> = job.active_hosts().map(|(splayd, _)| splayd.clone()).collect();
        for splayd in &hosts {
            let host =
                self.jobs.get_mut(id).and_then(|job| job.hosts.get_mut(splayd)).expect("an active host");
            let placed = host.seats.values().any(|seat| seat.position > 0);
            if host.phase < HostPhase::Deployed {
                // Too late; under churn it is a spare when it answers.
                if !placed && !churn {
                    self.release(now, id, splayd);
                }
                continue;
            }
            // Without churn the others stay in reserve until the start.
            if placed || churn {
                host.phase = HostPhase::Listed;
                self.changed.hosts.insert((id.to_owned(), splayd.clone()));
            }
        }
        let listed = self.jobs[id].active_hosts().filter(|(_, host)| host.phase == HostPhase::Listed);
        let hosts: Vec<String> = listed.map(|(splayd, _)| splayd.clone()).collect();
        let why = format!("{needed} instances on {} splayds are to load", hosts.len());
        self.go(now, id, JobState::Loading, why, Some(now + self.timing.load));
        self.send_lists(id, None);
        for splayd in hosts {
            self.send(&splayd, ToSplayd::Load(JobRef { job: id.to_owned() }));
        }
    }

    /// The start is set: what is in reserve is not needed any more.
    pub(super) fn release_reserve(&mut self, now: Micros, id: &str) {
        let Some(job) = self.jobs.get(id).filter(|job| job.churn.is_none()) else { return };
        let hosts: Vec<String> = job.active_hosts().map(|(splayd, _)| splayd.clone()).collect();
        for splayd in hosts {
            let host =
                self.jobs.get_mut(id).and_then(|job| job.hosts.get_mut(&splayd)).expect("an active host");
            let before = host.seats.len();
            if host.seats.values().all(|seat| seat.position == 0) {
                self.release(now, id, &splayd);
                continue;
            }
            host.seats.retain(|_, seat| seat.position > 0);
            let freed = (before - host.seats.len()) as u32;
            if freed > 0 {
                self.changed.hosts.insert((id.to_owned(), splayd.clone()));
                self.free_seats(now, &splayd, freed);
            }
        }
    }

    /// Before the start nobody waits long for a splayd that is away.
    pub(super) fn drop_absent(&mut self, now: Micros, id: &str) {
        let patience = self.timing.absent;
        let absent = |splayd: &&String| {
            self.splayds.get(*splayd).is_some_and(|splayd| {
                let since = splayd.record.since_us.max(self.began);
                splayd.state == SplaydState::Offline && since + patience <= now
            })
        };
        let hosts = self.jobs[id].active_hosts().map(|(splayd, _)| splayd);
        let absent: Vec<String> = hosts.filter(absent).cloned().collect();
        for splayd in absent {
            let why = format!("it was offline for more than {} s before the start", patience / 1_000_000);
            self.drop_host(now, id, &splayd, &why);
        }
    }

    pub(super) fn review_loading(&mut self, now: Micros, id: &str) {
        self.drop_absent(now, id);
        let job = &self.jobs[id];
        let late = job.live.deadline_us.is_some_and(|deadline| now >= deadline);
        // The usual case by far, with thousands of splayds: some have loaded, the others may yet.
        if !late && job.only_loads() {
            return;
        }
        let placed = |host: &Host| host.seats.values().any(|seat| seat.position > 0);
        // What keeps one from loading would keep another from it: an error of the program.
        let broken = (1..=job.instances()).find_map(|position| {
            let (splayd, _, seat) = job.seat(position)?;
            (seat.state == InstanceState::Ended).then(|| {
                let detail = seat.detail.lines().next().unwrap_or_default();
                format!("instance {position} on {} did not load: {detail}", self.name_of(splayd))
            })
        });
        if let Some(why) = broken {
            return self.go(now, id, JobState::Failed, why, None);
        }
        let over: Vec<String> = job
            .hosts
            .iter()
            .filter(|(_, host)| host.phase == HostPhase::Done && placed(host))
            .map(|(splayd, _)| splayd.clone())
            .collect();
        over.iter()
            .for_each(|splayd| self.drop_host(now, id, splayd, "it has ended the job before its start"));
        let job = &self.jobs[id];
        let waiting: Vec<String> = job
            .active_hosts()
            .filter(|(_, host)| host.phase < HostPhase::Loaded && placed(host))
            .map(|(splayd, _)| splayd.clone())
            .collect();
        let taking = job.active_hosts().filter(|(_, host)| placed(host)).count();
        if late {
            let why = format!("did not load it within {} s", self.timing.load / 1_000_000);
            waiting.iter().for_each(|splayd| self.drop_host(now, id, splayd, &why));
        }
        let job = &self.jobs[id];
        let empty = job.places.iter().filter(|place| place.is_none()).count();
        if empty > 0 {
            let late = if late { waiting.as_slice() } else { &[] };
            self.replace(now, id, empty, (late, taking));
        } else if waiting.is_empty() {
            let scheduled = job.spec.submission.scheduled_at.map_or(0, micros);
            let at = (now + self.timing.start_margin).max(scheduled);
            self.set_start(now, id, at);
        }
    }

    /// Finds other seats for instances whose splayds were lost before the start; `late` ones, of so
    /// many, because they did not load in time.
    fn replace(&mut self, now: Micros, id: &str, empty: usize, (late, of): (&[String], usize)) {
        let job = &self.jobs[id];
        let lost: Vec<String> = job.live.excluded.iter().map(|splayd| self.name_of(splayd)).collect();
        let lost = listed(&lost);
        let held = |word: &String| {
            let mut hosts = job.active_hosts().filter_map(|(splayd, _)| self.splayds.get(splayd));
            hosts.any(|splayd| splayd.is_called(word))
        };
        let mandatory = job.spec.submission.mandatory.iter().find(|word| !held(word));
        let seconds = self.timing.load / 1_000_000;
        let is_late = |word: &String| {
            late.iter().filter_map(|splayd| self.splayds.get(splayd)).any(|splayd| splayd.is_called(word))
        };
        let why = match mandatory {
            _ if job.spec.submission.strict && !late.is_empty() => {
                let names: Vec<String> = late.iter().map(|splayd| self.name_of(splayd)).collect();
                let (count, names) = (late.len(), listed(&names));
                format!("{count} of {of} splayds did not load it within {seconds} s: {names}")
            }
            _ if job.spec.submission.strict => format!("lost before its start: {lost}"),
            Some(word) if is_late(word) => {
                format!("`{word}`, which must take part, did not load it within {seconds} s")
            }
            Some(word) => format!("`{word}`, which must take part, was lost before the start"),
            None => {
                let deadline = Some(now + self.timing.deploy);
                let why = format!("other splayds take {empty} instances of those lost: {lost}");
                self.go(now, id, JobState::Deploying, why, deadline);
                return self.review_deploying(now, id);
            }
        };
        self.go(now, id, JobState::Failed, why, None);
    }
}
