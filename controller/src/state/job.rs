//! What the controller knows of one job: what was asked for, how far it is, and who hosts which
//! of its instances. Plain data; the decisions are in `deploy`, `run` and `churn`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use splay_protocol::api::{FileInfo, InstanceState, JobState, LogsInfo};
use splay_protocol::churn::{Replay, Schedule};
use splay_protocol::session::{Ending, UsageTotals};
use splay_protocol::{Node, Submission};

use super::spread::Lateness;
use super::{Micros, Telling};

/// What a job is from its submission on; never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Identifier.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What was asked for.
    pub submission: Submission,
    /// What all randomness follows from.
    pub seed: u64,
    /// Which of the files is the program.
    pub app: String,
    /// Files shipped to every splayd.
    pub files: Vec<FileInfo>,
    /// Builds of the native libraries it uses; each splayd gets those for its system.
    pub native: Vec<NativeBuild>,
    /// When it was submitted.
    pub submitted_us: Micros,
    /// Where `same_nodes_as` is asked for: who hosts or hosted each position of that job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Option<String>>,
}

/// A build of a native library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeBuild {
    /// What the program requires.
    pub name: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// Digest, hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
}

/// What changes of a job, kept in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// How far it is.
    pub state: JobState,
    /// Why.
    pub why: String,
    /// Since when it is in that state.
    pub since_us: Micros,
    /// Until when the state may last, where that is bounded.
    pub deadline_us: Option<Micros>,
    /// The instant of the start, once it is set.
    pub start_at_us: Option<Micros>,
    /// When it was over.
    pub ended_us: Option<Micros>,
    /// Time for hooks, as whoever ended it has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_us: Option<Micros>,
    /// What it is when it has stopped.
    pub outcome: Option<(JobState, String)>,
    /// Seats asked for so far; they are numbered in the order of placement.
    pub seats: u32,
    /// How often splayds that refused or kept silent were replaced.
    pub attempts: u32,
    /// Splayds not to be asked again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excluded: BTreeSet<String>,
    /// Events told so far.
    pub events: u64,
    /// Churn events sent so far.
    pub churn_sent: usize,
    /// Events of the schedule that were carried out.
    pub churn_done: u64,
    /// Instances moved to other splayds.
    pub moved: u64,
    /// Starts beside the schedule: of instances that moved while they were to be up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Repair>,
    /// How late events of the schedule were carried out.
    pub lateness: Lateness,
    /// How long moved instances took to run again.
    #[serde(default)]
    pub replacements: Lateness,
    /// How often splayds were told who is there.
    #[serde(default)]
    pub tellings: u64,
    /// About its logs.
    pub logs: LogsInfo,
    /// When its logs and results were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_us: Option<Micros>,
}

/// A start that is no part of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Number of the step.
    pub number: u64,
    /// When.
    pub at_us: Micros,
    /// Which instance.
    pub position: u32,
}

impl Live {
    /// Of a job just submitted.
    pub fn new(now: Micros) -> Live {
        Live {
            state: JobState::Queued,
            why: String::new(),
            since_us: now,
            deadline_us: None,
            start_at_us: None,
            ended_us: None,
            grace_us: None,
            outcome: None,
            seats: 0,
            attempts: 0,
            excluded: BTreeSet::new(),
            events: 0,
            churn_sent: 0,
            churn_done: 0,
            moved: 0,
            repairs: Vec::new(),
            lateness: Lateness::default(),
            replacements: Lateness::default(),
            tellings: 0,
            logs: LogsInfo::default(),
            removed_us: None,
        }
    }
}

/// How far a splayd is with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPhase {
    /// Seats are asked for.
    Ordered,
    /// It keeps them.
    Deployed,
    /// It has been told the nodes and is to load.
    Listed,
    /// It has loaded.
    Loaded,
    /// Nothing more will come from it.
    Done,
    /// It is gone for too long, or has started anew: what ran there is lost.
    Lost,
    /// It is to forget the job.
    Released,
}

impl HostPhase {
    /// Whether its seats are taken.
    pub fn holds(self) -> bool {
        self < HostPhase::Done
    }
}

/// A splayd's part in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// How far it is.
    pub phase: HostPhase,
    /// Its seats by their numbers.
    pub seats: BTreeMap<u32, Seat>,
}

/// A seat and the instance on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    /// First port; 0: not told yet.
    pub port: u16,
    /// Position of its instance; 0: none, a spare.
    pub position: u32,
    /// Steps up to this number are not for it: they came before its instance moved here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after_step: u64,
    /// How far the instance is.
    pub state: InstanceState,
    /// When it last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<Micros>,
    /// By how much after the job's start, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_us: Option<i64>,
    /// When it last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<Micros>,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageTotals>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for Seat {
    fn default() -> Self {
        Seat {
            port: 0,
            position: 0,
            after_step: 0,
            state: InstanceState::Waiting,
            started_us: None,
            late_us: None,
            ended_us: None,
            ending: None,
            detail: String::new(),
            usage: None,
        }
    }
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it is.
    pub spec: JobSpec,
    /// How far it is.
    pub live: Live,
    /// Who hosts it, by the splayds' identifiers.
    pub hosts: BTreeMap<String, Host>,
    /// Splayd and seat of each position, in their order.
    pub places: Vec<Option<(String, u32)>>,
    /// Its churn and where that stands.
    pub churn: Option<Replay>,
    /// Positions whose splayd was lost, and the splayd's name, until another hosts them.
    pub homeless: BTreeMap<u32, String>,
    /// What its splayds know of who is there.
    pub telling: Telling,
}

impl Job {
    /// A job with its hosts; `churn` is what its submission's churn means.
    pub fn new(spec: JobSpec, live: Live, hosts: BTreeMap<String, Host>, churn: Option<Schedule>) -> Job {
        let mut replay = churn.map(Replay::new);
        if let Some(replay) = &mut replay {
            while replay.sent() < live.churn_sent {
                let at = replay.next_at().unwrap_or_default();
                if replay.due(at).is_empty() {
                    break;
                }
            }
        }
        let (homeless, telling) = (BTreeMap::new(), Telling::default());
        let mut job = Job { places: Vec::new(), spec, live, hosts, churn: replay, homeless, telling };
        job.find_places();
        job
    }

    /// How many instances it has.
    pub fn instances(&self) -> u32 {
        match &self.churn {
            Some(replay) => replay.schedule().nodes(),
            None => self.spec.submission.instances,
        }
    }

    /// Makes `places` from the seats' positions.
    pub fn find_places(&mut self) {
        self.places = vec![None; self.instances() as usize];
        for (splayd, host) in &self.hosts {
            for (number, seat) in &host.seats {
                if let Some(place) =
                    (seat.position as usize).checked_sub(1).and_then(|at| self.places.get_mut(at))
                {
                    *place = Some((splayd.clone(), *number));
                }
            }
        }
    }

    /// The splayd of each position.
    pub fn who_hosts(&self) -> Vec<Option<String>> {
        self.places.iter().map(|place| place.as_ref().map(|(splayd, _)| splayd.clone())).collect()
    }

    /// The seat of an instance.
    pub fn seat(&self, position: u32) -> Option<(&str, u32, &Seat)> {
        let (splayd, number) = self.places.get((position as usize).checked_sub(1)?)?.as_ref()?;
        Some((splayd, *number, self.hosts.get(splayd)?.seats.get(number)?))
    }

    /// The seat of the instance at a position, if that is on this splayd.
    pub fn seat_mut(&mut self, splayd: &str, position: u32) -> Option<&mut Seat> {
        let (owner, number) = self.places.get((position as usize).checked_sub(1)?)?.as_ref()?;
        if owner != splayd {
            return None;
        }
        self.hosts.get_mut(splayd)?.seats.get_mut(number)
    }

    /// Addresses in the order of positions. `address` gives a splayd's.
    pub fn nodes(&self, address: impl Fn(&str) -> String) -> Vec<Node> {
        let node = |position| match self.seat(position) {
            Some((splayd, _, seat)) => Node { ip: address(splayd), port: seat.port },
            // Nobody hosts it now: an address where nobody answers.
            None => Node { ip: "0.0.0.0".to_owned(), port: 1 },
        };
        (1..=self.instances()).map(node).collect()
    }

    /// Whether all positions have their splayds, nothing is wrong with any, and some have not loaded.
    pub fn only_loads(&self) -> bool {
        let (mut placed, mut loading) = (0, false);
        for host in self.hosts.values() {
            let before = placed;
            for seat in host.seats.values().filter(|seat| seat.position > 0) {
                if seat.state == InstanceState::Ended {
                    return false;
                }
                placed += 1;
            }
            if placed > before {
                if !host.phase.holds() {
                    return false;
                }
                loading |= host.phase < HostPhase::Loaded;
            }
        }
        loading && placed == self.places.len()
    }

    /// Time for hooks when it is ended.
    pub fn grace_us(&self) -> Micros {
        self.live.grace_us.unwrap_or_else(|| super::micros(self.spec.submission.grace_time))
    }

    /// Hosts that are part of the job and still there.
    pub fn active_hosts(&self) -> impl Iterator<Item = (&String, &Host)> {
        self.hosts.iter().filter(|(_, host)| host.phase.holds())
    }
}
