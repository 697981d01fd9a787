//! What splayds report, applied exactly once: a report's number is stored with its effects.

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{Ending, Event as Told, InstanceEnded, InstanceStarted, LogBatch, UsageTotals};

use super::*;

impl State {
    pub(super) fn report(&mut self, now: Micros, splayd: &str, report: Report) -> Result<(), Rejected> {
        let known = self.splayds.get_mut(splayd).ok_or_else(|| Rejected::NoSplayd(splayd.to_owned()))?;
        if report.sequence > known.sequence + 1 {
            let text = format!("report {} came after report {}", report.sequence, known.sequence);
            return Err(Rejected::Protocol(text));
        }
        let fresh = report.sequence == known.sequence + 1;
        known.sequence = known.sequence.max(report.sequence);
        let acknowledged = known.sequence;
        if fresh {
            self.changed.sequences.insert(splayd.to_owned());
            self.take_in(now, splayd, report);
            self.look_anew(now, splayd);
        }
        self.actions.push(Action::Ack(splayd.to_owned(), acknowledged));
        Ok(())
    }

    fn take_in(&mut self, now: Micros, splayd: &str, report: Report) {
        let at = report.at_us;
        let id = report.event.job().to_owned();
        // A splayd speaks of its own part alone.
        let Some(host) = self.jobs.get_mut(&id).and_then(|job| job.hosts.get_mut(splayd)) else { return };
        let holds = host.phase.holds();
        match report.event {
            Told::Logs(batch) => return self.logs(now, splayd, &id, report.sequence, batch),
            Told::LogsDropped(told) => {
                let job = self.jobs.get_mut(&id).expect("it was there above");
                job.live.logs.dropped_lines += told.lines;
                let text = format!(
                    "{}: {} log lines of {} bytes could not be kept",
                    self.name_of(splayd),
                    told.lines,
                    told.bytes
                );
                return self.tell(now, &id, JobEventKind::Note { text });
            }
            Told::Result(part) => {
                let job = self.jobs.get_mut(&id).expect("it was there above");
                if job.live.removed_us.is_some() {
                    return self.too_late(&id);
                }
                if job.seat_mut(splayd, part.position).is_some() {
                    self.actions.push(Action::Result(part));
                }
                return;
            }
            Told::Ended(told) => return self.instance_ended(now, at, splayd, &id, told),
            _ if !holds => return,
            Told::Deployed(told) => {
                for given in told.seats {
                    if let Some(seat) = host.seats.get_mut(&given.seat) {
                        seat.port = given.port;
                    }
                }
                if host.phase == HostPhase::Ordered && host.seats.values().all(|seat| seat.port > 0) {
                    host.phase = HostPhase::Deployed;
                }
            }
            Told::DeployRefused(told) => self.drop_host(now, &id, splayd, &told.reason),
            Told::Ready(_) => host.phase = host.phase.max(HostPhase::Loaded),
            Told::Started(told) => return self.instance_started(now, at, splayd, &id, told),
            Told::Limit(told) => {
                let (position, allowed, reached) = (told.position, told.allowed, told.reached);
                return self.tell(
                    at,
                    &id,
                    JobEventKind::Limit { position, limit: told.limit, allowed, reached },
                );
            }
            Told::WorkerLost(told) => {
                self.changed.hosts.insert((id.clone(), splayd.to_owned()));
                return self.worker_lost(now, splayd, &id, &told.how);
            }
            Told::Done(_) => {
                let seats = host.seats.len() as u32;
                host.phase = HostPhase::Done;
                self.free_seats(now, splayd, seats);
                self.end_silent(now, splayd, &id);
            }
        }
        self.changed.hosts.insert((id.clone(), splayd.to_owned()));
        self.review_soon(now, &id);
    }

    fn logs(&mut self, now: Micros, splayd: &str, id: &str, sequence: u64, batch: LogBatch) {
        let most = self.max_log_bytes;
        let live = &mut self.jobs.get_mut(id).expect("looked up by the caller").live;
        let (logs, removed) = (&mut live.logs, live.removed_us.is_some());
        self.changed.lives.insert(id.to_owned());
        if removed {
            logs.cut_lines += u64::from(batch.lines);
            return self.too_late(id);
        }
        if logs.stored_bytes + batch.data.len() as u64 > most {
            let first = logs.cut_lines == 0;
            logs.cut_lines += u64::from(batch.lines);
            if first {
                let text =
                    format!("the job's logs have reached {most} stored bytes: later lines are not kept");
                self.tell(now, id, JobEventKind::Note { text });
            }
            return;
        }
        logs.lines += u64::from(batch.lines);
        logs.stored_bytes += batch.data.len() as u64;
        self.actions.push(Action::Logs(splayd.to_owned(), sequence, batch));
    }

    /// Something for a job whose logs and results were removed already.
    fn too_late(&self, id: &str) {
        tracing::warn!(job = id, "what came after the removal of logs and results is not kept");
    }

    fn instance_started(&mut self, now: Micros, at: Micros, splayd: &str, id: &str, told: InstanceStarted) {
        let job = self.jobs.get_mut(id).expect("looked up by the caller");
        let late = at as i64 - told.planned_us as i64;
        let Some(seat) = job.seat_mut(splayd, told.position) else { return };
        let first = seat.late_us.is_none();
        *seat = Seat {
            port: seat.port,
            position: seat.position,
            after_step: seat.after_step,
            // One that starts again was part of the job's start all the same.
            late_us: seat.late_us,
            state: InstanceState::Running,
            started_us: Some(at),
            ..Seat::default()
        };
        if told.step == 0 {
            seat.late_us = Some(late);
            // The initial starts are events of the schedule as well.
            job.live.churn_done += u64::from(first && job.churn.is_some());
        } else {
            State::count_step(job, told.step, true, late);
        }
        self.membership_changed(now, id, false);
        self.changed.lives.insert(id.to_owned());
        self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        let (position, step) = (told.position, told.step);
        self.tell(at, id, JobEventKind::Started { position, late_ms: late as f64 / 1000.0, step });
        self.review_soon(now, id);
    }

    fn instance_ended(&mut self, now: Micros, at: Micros, splayd: &str, id: &str, told: InstanceEnded) {
        let job = self.jobs.get_mut(id).expect("looked up by the caller");
        // One that leaves takes its time afterwards.
        let acted = if told.acted_us > 0 { told.acted_us } else { at };
        let late = if told.step > 0 { acted as i64 - told.planned_us as i64 } else { 0 };
        let Some(seat) = job.seat_mut(splayd, told.position) else { return };
        // Taken for lost already, and told so: what it used is still news.
        let known = seat.ending == Some(Ending::Lost) && seat.state == InstanceState::Ended;
        seat.state = InstanceState::Ended;
        seat.ended_us = Some(at);
        seat.ending = Some(told.ending);
        seat.detail.clone_from(&told.detail);
        seat.usage = Some(told.usage);
        if told.step > 0 {
            State::count_step(job, told.step, false, late);
        }
        self.membership_changed(now, id, false);
        self.changed.lives.insert(id.to_owned());
        self.changed.hosts.insert((id.to_owned(), splayd.to_owned()));
        if !known {
            let (position, ending, detail, step) = (told.position, told.ending, told.detail, told.step);
            let late_ms = late as f64 / 1000.0;
            self.tell(at, id, JobEventKind::InstanceEnded { position, ending, detail, step, late_ms });
        }
        self.review_soon(now, id);
    }

    fn worker_lost(&mut self, now: Micros, splayd: &str, id: &str, how: &str) {
        if self.jobs[id].live.state <= JobState::Loading {
            return self.lose_host(now, id, splayd, &format!("the worker process is gone: {how}"));
        }
        self.tell(
            now,
            id,
            JobEventKind::Note {
                text: format!("{}: the worker process is gone: {how}", self.name_of(splayd)),
            },
        );
        self.end_silent(now, splayd, id);
        self.review_soon(now, id);
    }

    /// Instances of which nothing more will come have ended.
    fn end_silent(&mut self, now: Micros, splayd: &str, id: &str) {
        let job = self.jobs.get_mut(id).expect("looked up by the caller");
        let begun = job.live.state >= JobState::Starting;
        let churn = job.churn.is_some();
        let Some(host) = job.hosts.get_mut(splayd).filter(|_| begun) else { return };
        let mut lost = Vec::new();
        for seat in host.seats.values_mut().filter(|seat| seat.position > 0) {
            if seat.state == InstanceState::Running || (!churn && deploy::waits(seat)) {
                seat.state = InstanceState::Ended;
                seat.ended_us = Some(now);
                seat.ending = Some(Ending::Lost);
                seat.usage = Some(UsageTotals::default());
                lost.push(seat.position);
            }
        }
        if !lost.is_empty() {
            self.membership_changed(now, id, false);
        }
        for position in lost {
            let (ending, detail) = (Ending::Lost, String::new());
            self.tell(
                now,
                id,
                JobEventKind::InstanceEnded { position, ending, detail, step: 0, late_ms: 0.0 },
            );
        }
    }
}
