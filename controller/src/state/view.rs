//! What users see of the state.

use splay_protocol::api;
use splay_protocol::api::{ChurnReport, InstanceState, MachineStatus};
use splay_protocol::session::Ending;

use super::*;

fn seconds(us: Micros) -> f64 {
    us as f64 / 1e6
}

impl State {
    /// A splayd.
    pub fn splayd_view(&self, splayd: &Splayd) -> api::Splayd {
        let (record, info) = (&splayd.record, &splayd.record.info);
        let status = splayd.status.as_ref().map(|(at, status)| MachineStatus {
            load: (
                status.load_milli.0 as f64 / 1000.0,
                status.load_milli.1 as f64 / 1000.0,
                status.load_milli.2 as f64 / 1000.0,
            ),
            free_memory_bytes: status.free_memory_bytes,
            memory_bytes: status.memory_bytes,
            free_disk_bytes: status.free_disk_bytes,
            uptime: status.uptime_seconds as f64,
            clock: status.clock.map(|clock| (clock.offset_us as f64 / 1e6, clock.round_trip_us as f64 / 2e6)),
            spool_bytes: status.spool_bytes,
            at: seconds(*at),
        });
        api::Splayd {
            id: record.id.clone(),
            name: info.name.clone(),
            state: splayd.state,
            since: seconds(record.since_us),
            enrolled_at: seconds(record.enrolled_us),
            labels: splayd.labels(),
            address: splayd.address().to_owned(),
            ports: info.ports,
            version: info.version.clone(),
            os: info.os.clone(),
            architecture: info.architecture.clone(),
            kernel: info.kernel.clone(),
            max_instances: info.max_instances,
            used_instances: splayd.used,
            maxima: info.maxima.clone(),
            country: info.country.clone(),
            place: info.place.map(|(north, east)| (north as f64 / 1e6, east as f64 / 1e6)),
            native: info.native.clone(),
            degraded: info.degraded.clone(),
            status,
        }
    }

    /// A job in a list.
    pub fn job_summary(&self, job: &Job) -> api::JobSummary {
        let seats =
            || job.hosts.values().flat_map(|host| host.seats.values()).filter(|seat| seat.position > 0);
        let ended = |well: bool| {
            let fits = |seat: &&Seat| match seat.ending.filter(|_| seat.state == InstanceState::Ended) {
                Some(Ending::Finished) => well,
                Some(Ending::Stopped | Ending::Churn) | None => false,
                Some(_) => !well,
            };
            seats().filter(fits).count() as u32
        };
        api::JobSummary {
            id: job.spec.id.clone(),
            name: job.spec.submission.name.clone(),
            owner: job.spec.owner.clone(),
            state: job.live.state,
            why: job.live.why.clone(),
            instances: job.instances(),
            running: seats().filter(|seat| seat.state == InstanceState::Running).count() as u32,
            finished: ended(true),
            failed: ended(false),
            submitted_at: seconds(job.spec.submitted_us),
            started_at: job.live.start_at_us.map(seconds),
            ended_at: job.live.ended_us.map(seconds),
        }
    }

    /// A job; its history is the store's.
    pub fn job_view(&self, job: &Job) -> api::Job {
        let member = |position: u32| {
            let (splayd, _, seat) = job.seat(position)?;
            Some(api::Instance {
                position,
                splayd: splayd.to_owned(),
                splayd_name: self.name_of(splayd),
                ip: self.splayds.get(splayd).map(|splayd| splayd.address().to_owned()).unwrap_or_default(),
                port: seat.port,
                state: seat.state,
                started_at: seat.started_us.map(seconds),
                ended_at: seat.ended_us.map(seconds),
                ending: seat.ending,
                detail: seat.detail.clone(),
                usage: seat.usage,
            })
        };
        let late =
            job.hosts.values().flat_map(|host| host.seats.values()).filter_map(|seat| seat.late_us).collect();
        let churn = job.churn.as_ref().map(|replay| ChurnReport {
            steps: replay.schedule().events().len() as u64,
            done: job.live.churn_done,
            moved: job.live.moved,
            spares: self.spares(job),
            sent: job.live.churn_sent as u64,
            lateness: job.live.lateness.spread(),
            replacements: job.live.replacements.spread(),
            ends_after: replay.schedule().end().as_secs_f64(),
        });
        api::Job {
            summary: self.job_summary(job),
            submission: job.spec.submission.clone(),
            seed: job.spec.seed.to_string(),
            app: job.spec.app.clone(),
            files: job.spec.files.clone(),
            members: (1..=job.instances()).filter_map(member).collect(),
            start_skew: spread(late),
            churn,
            history: Vec::new(),
            logs: job.live.logs.clone(),
            removed_at: job.live.removed_us.map(seconds),
        }
    }
}
