//! Central replay of a job's churn: steps are sent a few seconds ahead of absolute deadlines, and
//! instances of lost splayds move to spares.
//!
//! Numbers of steps rise on every splayd: event `n` of the schedule (from 1) has the number
//! `n * 1024`, and a start beside the schedule, for an instance that moved, one of those that follow
//! the last event that was sent.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use splay_protocol::ListType;
use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::churn::{Action as Change, Event as Churn, Replay, Schedule};
use splay_protocol::session::{Action as StepAction, Agenda, AgendaStep, JobRef, ToSplayd};

use super::*;

/// Bits of a step's number below the event's.
const REPAIR_BITS: u32 = 10;

/// A lost instance without a spare is looked after again so often.
const RETRY: Micros = 10_000_000;

/// Positions that start with the job.
pub(super) fn initial(schedule: &Schedule) -> HashSet<u32> {
    let at_once = schedule.events().iter().take_while(|event| event.at == Duration::ZERO);
    at_once.filter(|event| event.action == Change::Start).map(|event| event.node).collect()
}

fn after(start: Micros, at: Duration) -> Micros {
    start.saturating_add(at.as_micros() as u64)
}

fn is_initial(event: &Churn) -> bool {
    event.at == Duration::ZERO && event.action == Change::Start
}

/// The step for an event of the schedule.
fn step(job: &Job, replay: &Replay, start: Micros, index: usize, event: &Churn) -> AgendaStep {
    let action = match event.action {
        Change::Start => StepAction::Start,
        Change::Stop => StepAction::Stop,
        Change::Leave => StepAction::Leave,
    };
    let live = if event.action == Change::Start { list(job, replay) } else { Vec::new() };
    let number = (index as u64 + 1) << REPAIR_BITS;
    AgendaStep { number, at_us: after(start, event.at), position: event.node, action, live }
}

/// Who is up, as far as an instance that starts is told.
fn list(job: &Job, replay: &Replay) -> Vec<u32> {
    let mut up = replay.up();
    up.retain(|position| !live::is_gone(job, *position));
    let size = job.spec.submission.list_size as usize;
    if job.spec.submission.list_type == ListType::Head && size > 0 {
        up.truncate(size);
    }
    up
}

impl State {
    /// Sends what is due soon.
    pub(super) fn send_agenda(&mut self, now: Micros, id: &str) {
        let ahead = now + self.timing.ahead;
        let Some(job) = self.jobs.get_mut(id) else { return };
        let (Some(start), Some(mut replay)) = (job.live.start_at_us, job.churn.take()) else { return };
        let mut steps: BTreeMap<String, Vec<AgendaStep>> = BTreeMap::new();
        while let Some(at) = replay.next_at().filter(|at| after(start, *at) <= ahead) {
            let first = replay.sent();
            let events = replay.due(at).to_vec();
            for (index, event) in (first..).zip(&events).filter(|(_, event)| !is_initial(event)) {
                if let Some((splayd, _, _)) = job.seat(event.node) {
                    steps.entry(splayd.to_owned()).or_default().push(step(job, &replay, start, index, event));
                }
            }
            job.live.churn_sent = replay.sent();
            self.changed.lives.insert(id.to_owned());
        }
        // The job's end is looked for a moment after the last step, when that has been reported.
        let next = replay.next_at().map(|at| after(start, at).saturating_sub(self.timing.ahead));
        let last = after(start, replay.schedule().end()) + SETTLE;
        job.churn = Some(replay);
        match next {
            Some(at) => self.wake(at.max(now + 1), Timer::Job(id.to_owned())),
            None if last > now => self.wake(last, Timer::Job(id.to_owned())),
            None => {}
        }
        for (splayd, steps) in steps {
            self.send(&splayd, ToSplayd::Agenda(Agenda { job: id.to_owned(), steps }));
        }
    }

    /// Whether reports of steps may still be on their way.
    pub(super) fn steps_pending(&self, id: &str, now: Micros) -> bool {
        let job = &self.jobs[id];
        let (Some(start), Some(replay)) = (job.live.start_at_us, &job.churn) else { return false };
        now < after(start, replay.schedule().end()) + SETTLE
    }

    /// Sends a splayd that was away what it has missed: steps after `last`.
    pub(super) fn resend_agenda(&mut self, id: &str, splayd: &str, last: u64) {
        let Some(job) = self.jobs.get(id) else { return };
        let (Some(start), Some(replay)) = (job.live.start_at_us, &job.churn) else { return };
        let mut again = Replay::new(replay.schedule().clone());
        let here = |number: u64, position: u32| {
            let seat = job.seat(position).filter(|(owner, _, _)| *owner == splayd);
            seat.is_some_and(|(_, _, seat)| number > last.max(seat.after_step))
        };
        let mut steps = Vec::new();
        while again.sent() < job.live.churn_sent {
            let Some(at) = again.next_at() else { break };
            let first = again.sent();
            for (index, event) in (first..).zip(again.due(at).to_vec()) {
                if here((index as u64 + 1) << REPAIR_BITS, event.node) && !is_initial(&event) {
                    steps.push(step(job, &again, start, index, &event));
                }
            }
        }
        for repair in job.live.repairs.iter().filter(|repair| here(repair.number, repair.position)) {
            steps.push(AgendaStep {
                number: repair.number,
                at_us: repair.at_us,
                position: repair.position,
                action: StepAction::Start,
                live: list(job, replay),
            });
        }
        steps.sort_by_key(|step| step.number);
        if !steps.is_empty() {
            self.send(splayd, ToSplayd::Agenda(Agenda { job: id.to_owned(), steps }));
        }
    }

    /// Under churn, the positions of a lost splayd wait for another.
    pub(super) fn give_up_places(&mut self, id: &str, splayd: &str) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.churn.is_some()) else { return };
        let name = self.splayds.get(splayd).map_or(splayd, |splayd| splayd.record.info.name.as_str());
        for (position, place) in (1..).zip(&mut job.places) {
            if place.as_ref().is_some_and(|(owner, _)| owner == splayd) {
                *place = None;
                job.homeless.insert(position, name.to_owned());
            }
        }
        if let Some(host) = job.hosts.get_mut(splayd) {
            host.seats.values_mut().for_each(|seat| seat.position = 0);
            self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        }
    }

    /// Gives positions without a splayd to spares, and asks for more spares where there are none.
    pub(super) fn fill_places(&mut self, now: Micros, id: &str) {
        let Some(job) = self.jobs.get(id).filter(|job| job.churn.is_some()) else { return };
        let empty: Vec<u32> = (1..)
            .zip(&job.places)
            .filter(|(_, place)| place.is_none())
            .map(|(position, _)| position)
            .collect();
        if empty.is_empty() {
            return;
        }
        let mut spares: Vec<(u32, String)> = Vec::new();
        let mut coming = 0;
        for (splayd, host) in job.active_hosts() {
            let online = self.splayds.get(splayd).is_some_and(|splayd| splayd.state == SplaydState::Online);
            let free = host.seats.iter().filter(|(_, seat)| seat.position == 0);
            match online && host.phase >= HostPhase::Deployed {
                true => spares.extend(
                    free.filter(|(_, seat)| seat.port > 0).map(|(number, _)| (*number, splayd.clone())),
                ),
                false => coming += free.count(),
            }
        }
        spares.sort();
        let mut moved = Vec::new();
        for (position, (number, splayd)) in empty.iter().zip(spares) {
            let job = self.jobs.get_mut(id).expect("it was there above");
            let host = job.hosts.get_mut(&splayd).expect("a spare's host");
            let fresh = host.phase < HostPhase::Listed;
            host.phase = host.phase.max(HostPhase::Listed);
            let (port, after_step) = (host.seats[&number].port, (job.live.churn_sent as u64) << REPAIR_BITS);
            *host.seats.get_mut(&number).expect("a spare") =
                Seat { position: *position, port, after_step, ..Seat::default() };
            job.places[*position as usize - 1] = Some((splayd.clone(), number));
            job.live.moved += 1;
            self.changed.hosts.insert((id.to_owned(), splayd.clone()));
            let to = self.splayds.get(&splayd).map_or(&splayd, |splayd| &splayd.record.info.name).clone();
            let from = job.homeless.remove(position).unwrap_or_default();
            self.tell(now, id, JobEventKind::Moved { position: *position, from, to });
            moved.push((*position, splayd, fresh));
        }
        // Those that get an instance are told at once, the others with what else changes.
        let theirs: BTreeSet<String> = moved.iter().map(|(_, splayd, _)| splayd.clone()).collect();
        if !moved.is_empty() {
            self.send_lists(id, Some(&theirs));
            self.membership_changed(now, id, true);
        }
        let fresh: BTreeSet<String> =
            moved.iter().filter(|(_, _, fresh)| *fresh).map(|(_, splayd, _)| splayd.clone()).collect();
        for splayd in fresh {
            self.send(&splayd, ToSplayd::Load(JobRef { job: id.to_owned() }));
        }
        theirs.iter().for_each(|splayd| self.tell_live_to(id, splayd));
        self.start_moved(now, id, &moved);
        let missing = (empty.len() - moved.len()).saturating_sub(coming);
        if missing > 0 && self.jobs[id].live.state == JobState::Running {
            match self.place_more(id, missing as u32, missing as u32, false) {
                Ok(more) => self.order_seats(now, id, &more),
                Err(_) => self.wake(now + RETRY, Timer::Job(id.to_owned())),
            }
        }
    }

    /// Starts instances that moved while they are to be up.
    fn start_moved(&mut self, now: Micros, id: &str, moved: &[(u32, String, bool)]) {
        for (position, splayd, _) in moved {
            let Some(job) = self.jobs.get_mut(id) else { return };
            let Some(replay) = job.churn.as_ref().filter(|_| job.live.start_at_us.is_some()) else {
                continue;
            };
            if !replay.is_up(*position) {
                continue;
            }
            let base = (job.live.churn_sent as u64) << REPAIR_BITS;
            let used = job.live.repairs.iter().filter(|repair| repair.number > base).count() as u64;
            if used + 1 >= 1 << REPAIR_BITS {
                continue;
            }
            let repair = Repair { number: base + used + 1, at_us: now, position: *position };
            let step = AgendaStep {
                number: repair.number,
                at_us: now,
                position: *position,
                action: StepAction::Start,
                live: list(job, replay),
            };
            job.live.repairs.push(repair);
            self.changed.lives.insert(id.to_owned());
            self.send(splayd, ToSplayd::Agenda(Agenda { job: id.to_owned(), steps: vec![step] }));
        }
    }

    /// Counts a step that was carried out, and how late.
    pub(super) fn count_step(job: &mut Job, number: u64, start: bool, late: i64) {
        let Some(replay) = &job.churn else { return };
        if number & ((1 << REPAIR_BITS) - 1) != 0 {
            if start {
                job.live.replacements.add(late);
            }
            return;
        }
        // A start may have to end first what is still there: that is no event of its own.
        let index = (number >> REPAIR_BITS).checked_sub(1);
        let event = index.and_then(|index| replay.schedule().events().get(index as usize));
        if event.is_some_and(|event| (event.action == Change::Start) == start) {
            job.live.churn_done += 1;
            job.live.lateness.add(late);
        }
    }

    /// Seats in reserve.
    pub(super) fn spares(&self, job: &Job) -> u32 {
        let seats = job.active_hosts().flat_map(|(_, host)| host.seats.values());
        seats
            .filter(|seat| seat.position == 0 && seat.port > 0 && seat.state != InstanceState::Running)
            .count() as u32
    }
}

/// Reports of the last steps have so long to arrive before a job without instances is over.
const SETTLE: Micros = 3_000_000;

/// What a submission's churn means.
pub fn schedule(churn: &str, seed: u64) -> Result<Schedule, String> {
    use splay_protocol::churn::{Script, Settings, Trace, expand};
    let wrong = |error: splay_protocol::churn::SourceError| format!("churn {error}");
    if Trace::is_trace(churn) {
        return Ok(Trace::parse(churn).map_err(wrong)?.schedule());
    }
    let script = Script::parse(churn).map_err(wrong)?;
    if let Some(rule) = script.faults.first() {
        let error = rule.place.error(format!("{}: faults are for `splay sim`", rule.fault.name()));
        return Err(wrong(error));
    }
    let settings = Settings { seed: script.seed.or(Some(seed)), ..Settings::default() };
    Ok(expand(&script, &settings).map_err(wrong)?.trace.schedule())
}
