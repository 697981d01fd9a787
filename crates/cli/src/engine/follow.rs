//! A worker that follows churn: starts and stops its own nodes at their times. Every worker follows
//! the whole schedule, so that each knows who is there without asking another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use splay_protocol::Lists;
use splay_protocol::churn::{Action, Event, Replay, Schedule};
use splay_runtime::host::InstanceNumber;
use splay_runtime::worker::{Step, Worker};

use super::prompts::{Command, obey, wait_and_obey};
use super::{Configure, Tell, wind_up};
use crate::dispatcher::Input;

/// Churn of a run.
#[derive(Debug, Clone)]
pub struct Churn {
    /// What happens when.
    pub schedule: Arc<Schedule>,
    /// Time 0.
    pub origin: Instant,
    /// How long an instance that leaves gracefully may take.
    pub grace: Duration,
}

/// An event of churn that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Churned {
    /// What was to happen.
    pub event: Event,
    /// When it was done, from the start of the run.
    pub at: Duration,
    /// Whether there was something to do: not where an instance had ended by itself.
    pub applied: bool,
}

/// Which nodes are a worker's.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Its index, from 0.
    pub index: u32,
    /// How many workers there are.
    pub workers: u32,
}

impl Share {
    fn has(self, node: u32) -> bool {
        (node - 1) % self.workers == self.index
    }
}

/// One worker's life.
pub(super) fn follow(
    mut worker: Worker,
    share: Share,
    churn: &Churn,
    lists: &Lists,
    configure: &Configure,
    commands: &Receiver<Command>,
    tell: &Tell,
) -> std::io::Result<()> {
    let schedule = &*churn.schedule;
    let mine: Vec<InstanceNumber> = (1..=schedule.nodes()).filter(|&node| share.has(node)).collect();
    let own_start = |event: &&Event| event.action == Action::Start && share.has(event.node);
    let mut starts_left = schedule.events().iter().filter(own_start).count();
    let mut starts = vec![0u32; schedule.nodes() as usize];
    let mut replay = Replay::new(schedule.clone());
    let mut instant = 0;
    loop {
        let events = replay.due(churn.origin.elapsed()).to_vec();
        if !events.is_empty() {
            let among = lists.among(replay.up(), instant);
            instant += 1;
            for event in events.into_iter().filter(|event| share.has(event.node)) {
                let node = event.node;
                let live = worker.is_live(node);
                match event.action {
                    Action::Stop => worker.stop(node),
                    Action::Leave => worker.leave(node, churn.grace),
                    Action::Start => {
                        // Perhaps it has not yet left from before.
                        worker.stop(node);
                        let before = &mut starts[node as usize - 1];
                        worker.start(node, configure(among.job(node), *before));
                        *before += 1;
                        starts_left -= 1;
                    }
                }
                let applied = live || event.action == Action::Start;
                tell(Input::Churned(Churned { event, at: churn.origin.elapsed(), applied }));
                if event.action == Action::Start {
                    // The first instances get on while the last are still being set up.
                    worker.step(Some(Duration::ZERO))?;
                }
                if obey(&mut worker, commands.try_iter()) {
                    return wind_up(worker, &mine);
                }
            }
            for &node in mine.iter().filter(|&&node| worker.is_live(node)) {
                worker.set_live_nodes(node, among.nodes(node));
            }
            continue;
        }
        let wait = replay.next_at().map(|at| at.saturating_sub(churn.origin.elapsed()));
        if worker.live() == 0 {
            let (true, Some(wait)) = (starts_left > 0, wait) else { return Ok(()) };
            match commands.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(command) => match obey(&mut worker, [command]) {
                    true => return Ok(()),
                    false => continue,
                },
            }
        }
        let until = wait.map(|wait| worker.now() + wait);
        let told = match worker.step(until)? {
            // Nothing but a command can ever happen to these instances.
            Step::Idle => wait_and_obey(&mut worker, commands),
            Step::Empty | Step::Progress | Step::Woken => obey(&mut worker, commands.try_iter()),
        };
        if told {
            return wind_up(worker, &mine);
        }
    }
}
