//! Who of a job is there: splayds are told, so that running instances know. What changes within a
//! moment is told together, and the larger the job, the rarer, so that telling stays cheap.

use std::collections::BTreeSet;
use std::sync::Arc;

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{Ending, LiveNodes, ToSplayd, encode};

use super::*;

/// Changes that come within this time are told together.
const TOGETHER: Micros = 200_000;

/// Between two tellings of a job.
const LEAST_PAUSE: Micros = 1_000_000;

/// Bytes a second that telling may take, over all splayds of a job: the pause between two tellings
/// grows with what they take.
const BYTES_PER_SECOND: u64 = 4 << 20;

/// What the splayds of a job were told of who is there, and what they have yet to be told.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// The last that was told; `None`: what follows from the start alone.
    told: Option<Vec<(u32, u32)>>,
    /// Who is there may have changed.
    live: bool,
    /// Addresses have changed.
    nodes: bool,
    /// Not before this.
    next_us: Micros,
}

/// A longer list of nodes is compressed, once for all splayds.
const PLAIN_LIST_BYTES: usize = 2048;

impl State {
    /// Who is there may have changed; with `nodes`, addresses have as well.
    pub(super) fn membership_changed(&mut self, now: Micros, id: &str, nodes: bool) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.live.start_at_us.is_some()) else { return };
        let telling = &mut job.telling;
        if !telling.live {
            telling.live = true;
            telling.next_us = telling.next_us.max(now + TOGETHER);
        }
        telling.nodes |= nodes;
        let at = telling.next_us;
        self.wake(at, Timer::Job(id.to_owned()));
    }

    /// Positions of a job that are there, as far as is known.
    fn up(job: &Job) -> LiveNodes {
        let initial = job.churn.as_ref().map(|replay| churn::initial(replay.schedule()));
        let is_up = |position: &u32| {
            job.seat(*position).is_some_and(|(_, _, seat)| match seat.state {
                InstanceState::Running => true,
                InstanceState::Ended => false,
                // Of those that begin together, none is missed.
                InstanceState::Waiting => initial.as_ref().is_none_or(|initial| initial.contains(position)),
            })
        };
        LiveNodes::new(job.spec.id.clone(), job.live.tellings + 1, (1..=job.instances()).filter(is_up))
    }

    /// What is known of who is there from the start.
    fn at_start(job: &Job) -> Vec<(u32, u32)> {
        let positions: BTreeSet<u32> = match &job.churn {
            Some(replay) => churn::initial(replay.schedule()).into_iter().collect(),
            None => (1..=job.instances()).collect(),
        };
        LiveNodes::new(String::new(), 0, positions).up
    }

    /// Tells who is there, if that has changed and it is time.
    pub(super) fn tell_membership(&mut self, now: Micros, id: &str) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.telling.live) else { return };
        if job.live.state != JobState::Running || now < job.telling.next_us {
            return;
        }
        let live = State::up(job);
        let telling = std::mem::take(&mut job.telling);
        let before = telling.told.unwrap_or_else(|| State::at_start(job));
        let same = before == live.up && !telling.nodes;
        job.telling.told = Some(live.up.clone());
        if same {
            return;
        }
        if telling.nodes {
            self.send_lists(id, None);
        }
        let job = self.jobs.get_mut(id).expect("it was there above");
        job.live.tellings += 1;
        self.changed.lives.insert(id.to_owned());
        let bytes = self.send_live(id, live, None)
            + if telling.nodes { 40 * self.jobs[id].places.len() as u64 } else { 0 };
        let hosts = self.jobs[id].active_hosts().count() as u64;
        let pause = hosts.saturating_mul(bytes).saturating_mul(1_000_000) / BYTES_PER_SECOND;
        if let Some(job) = self.jobs.get_mut(id) {
            job.telling.next_us = now + pause.max(LEAST_PAUSE);
        }
    }

    /// Tells a splayd that was away, or has just got an instance of the job, who is there.
    pub(super) fn tell_live_to(&mut self, id: &str, splayd: &str) {
        let Some(job) = self.jobs.get(id).filter(|job| job.live.tellings > 0) else { return };
        let live = LiveNodes { number: job.live.tellings, ..State::up(job) };
        self.send_live(id, live, Some(splayd));
    }

    /// Gives how many bytes the message has.
    fn send_live(&mut self, id: &str, live: LiveNodes, only: Option<&str>) -> u64 {
        let bytes: Arc<[u8]> = encode(&ToSplayd::Live(live)).into();
        for (splayd, host) in self.jobs[id].active_hosts() {
            let online = self.splayds.get(splayd).is_some_and(|splayd| splayd.state == SplaydState::Online);
            if online && host.phase >= HostPhase::Listed && only.is_none_or(|only| only == splayd) {
                self.actions.push(Action::SendEncoded(splayd.clone(), bytes.clone()));
            }
        }
        bytes.len() as u64
    }

    /// Tells some splayds of a job, or all of them, who is in it.
    pub(super) fn send_lists(&mut self, id: &str, only: Option<&BTreeSet<String>>) {
        let job = &self.jobs[id];
        let address = |splayd: &str| {
            self.splayds.get(splayd).map(|splayd| splayd.address().to_owned()).unwrap_or_default()
        };
        let nodes = encode(&job.nodes(address));
        let long = Some(&nodes).filter(|nodes| nodes.len() > PLAIN_LIST_BYTES);
        let head = Arc::new(NodesHead {
            job: id.to_owned(),
            packed: long.and_then(|nodes| zstd::bulk::compress(nodes, 3).ok()),
            nodes,
            list_type: job.spec.submission.list_type,
            list_size: job.spec.submission.list_size,
        });
        let online =
            |splayd: &str| self.splayds.get(splayd).is_some_and(|splayd| splayd.state == SplaydState::Online);
        let told = job.active_hosts().filter(|(_, host)| host.phase >= HostPhase::Listed);
        for (splayd, host) in
            told.filter(|(splayd, _)| only.is_none_or(|only| only.contains(*splayd)) && online(splayd))
        {
            let positions = host
                .seats
                .iter()
                .filter(|(_, seat)| seat.position > 0)
                .map(|(number, seat)| (*number, seat.position))
                .collect();
            self.actions.push(Action::SendNodes(splayd.clone(), head.clone(), positions));
        }
    }
}

/// Whether an instance is known not to be there, though the schedule may say otherwise.
pub(super) fn is_gone(job: &Job, position: u32) -> bool {
    job.seat(position).is_none_or(|(_, _, seat)| {
        seat.state == InstanceState::Ended
            && !matches!(seat.ending, Some(Ending::Churn | Ending::Stopped) | None)
    })
}
