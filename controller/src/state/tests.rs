//! The state machine against splayds that are a few lines here: what they are told, they answer.

mod bookkeeping;
mod loss;

use std::collections::BTreeMap;

use splay_protocol::api::{InstanceState, JobState};
use splay_protocol::session::{
    Action as StepAction, AgendaStep, DeployRefused, Deployed, Ending, Event, HostedJob, InstanceEnded,
    InstanceStarted, JobReady, JobRef, Phase, Report, SeatPorts, SplaydInfo, ToSplayd, UsageTotals,
};
use splay_protocol::{Limits, Submission};

use super::{Action, Event as Input, *};

pub(super) fn record(id: &str, seats: u32) -> SplaydRecord {
    SplaydRecord {
        id: id.to_owned(),
        key: format!("key-{id}"),
        info: SplaydInfo {
            name: format!("name-{id}"),
            max_instances: seats,
            maxima: Limits::default(),
            ports: (22000, 32000),
            ..SplaydInfo::default()
        },
        labels: BTreeMap::new(),
        peer: "127.0.0.1".to_owned(),
        enrolled_us: 0,
        revoked: false,
        incarnation: "a".to_owned(),
        since_us: 0,
    }
}

pub(super) fn spec(id: &str, submission: Submission) -> JobSpec {
    let (owner, app) = ("ann".to_owned(), "a.lua".to_owned());
    JobSpec {
        id: id.to_owned(),
        owner,
        submission,
        seed: 7,
        app,
        files: vec![],
        native: vec![],
        submitted_us: 0,
        earlier: vec![],
    }
}

/// Splayds and the state, with a clock that is moved by hand.
struct World {
    now: Micros,
    state: State,
    /// Sequence numbers of reports.
    sent: BTreeMap<String, u64>,
    /// Splayds that say nothing.
    mute: Vec<String>,
    /// Splayds that never load.
    slow: Vec<String>,
    told: Vec<(String, ToSplayd)>,
    encoded: Option<(Arc<[u8]>, ToSplayd)>,
    nodes: Vec<(String, Vec<(u32, u32)>)>,
    events: Vec<JobEventKind>,
}

impl World {
    fn new(splayds: u32, seats: u32) -> World {
        let all = (1..=splayds).map(|n| Splayd::new(record(&format!("s{n}"), seats), 0)).collect();
        let state = State::new(Timing::default(), 1000, all, vec![], 0);
        let mut world = World {
            now: 1_000_000,
            state,
            sent: BTreeMap::new(),
            mute: vec![],
            slow: vec![],
            told: vec![],
            encoded: None,
            nodes: vec![],
            events: vec![],
        };
        (1..=splayds).for_each(|n| world.connect(&format!("s{n}"), vec![]));
        world
    }

    fn connect(&mut self, id: &str, jobs: Vec<HostedJob>) {
        let info = Box::new(self.state.splayds()[id].record.info.clone());
        let (splayd, peer) = (id.to_owned(), "127.0.0.1".to_owned());
        self.apply(Input::Connected {
            splayd,
            enrolled: None,
            info,
            jobs,
            incarnation: "a".into(),
            reports: 0,
            peer,
        });
    }

    fn apply(&mut self, event: Input) {
        self.state.apply(self.now, event).unwrap();
        self.state.apply(self.now, Input::Tick).unwrap();
        self.settle();
    }

    fn report(&mut self, splayd: &str, at_us: Micros, event: Event) {
        let sequence = self.sent.entry(splayd.to_owned()).or_default();
        *sequence += 1;
        let report = Report { sequence: *sequence, at_us, event };
        self.apply(Input::Report(splayd.to_owned(), report));
    }

    /// Time passes.
    fn sleep(&mut self, seconds: f64) {
        let end = self.now + micros(seconds);
        while let Some(at) = self.state.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.apply(Input::Tick);
        }
        self.now = end;
        self.apply(Input::Tick);
    }

    /// Splayds do as they are told.
    fn settle(&mut self) {
        self.state.take_changes();
        for action in self.state.take_actions() {
            match action {
                Action::Send(splayd, message) => {
                    let message = *message;
                    self.told.push((splayd.clone(), message.clone()));
                    if !self.mute.contains(&splayd) {
                        self.obey(&splayd, message);
                    }
                }
                Action::SendNodes(splayd, _, positions) => self.nodes.push((splayd, positions)),
                Action::SendEncoded(splayd, bytes) => {
                    // The same for all: read once.
                    if self.encoded.as_ref().is_none_or(|(read, _)| *read != bytes) {
                        let message = splay_protocol::session::decode(&bytes).unwrap();
                        self.encoded = Some((bytes, message));
                    }
                    let (_, message) = self.encoded.as_ref().unwrap();
                    self.told.push((splayd, message.clone()));
                }
                Action::Event(_, event) => self.events.push(event.what),
                _ => {}
            }
        }
    }

    fn obey(&mut self, splayd: &str, message: ToSplayd) {
        let now = self.now;
        match message {
            ToSplayd::Deploy(order) => {
                let port = |seat: &splay_protocol::session::Seat| SeatPorts {
                    seat: seat.seat,
                    port: 22000 + seat.seat as u16,
                };
                let seats = order.seats.iter().map(port).collect();
                self.report(splayd, now, Event::Deployed(Deployed { job: order.job, seats }));
            }
            ToSplayd::Load(_) if self.slow.iter().any(|slow| slow == splayd) => {}
            ToSplayd::Load(JobRef { job }) => self.report(splayd, now, Event::Ready(JobReady { job })),
            ToSplayd::Start(order) => {
                let positions = self.positions(splayd);
                for position in positions
                    .into_iter()
                    .filter(|p| order.positions.is_empty() || order.positions.contains(p))
                {
                    let (job, planned_us) = (order.job.clone(), order.at_us);
                    let started = InstanceStarted { job, position, planned_us, step: 0 };
                    self.report(splayd, order.at_us + u64::from(position) * 1000, Event::Started(started));
                }
            }
            ToSplayd::Agenda(agenda) => {
                for step in agenda.steps {
                    let (job, position, planned_us) = (agenda.job.clone(), step.position, step.at_us);
                    let event = match step.action {
                        StepAction::Start => {
                            Event::Started(InstanceStarted { job, position, planned_us, step: step.number })
                        }
                        _ => Event::Ended(ended(&job, position, Ending::Churn, step.number, step.at_us)),
                    };
                    self.report(splayd, step.at_us + 2000, event);
                }
            }
            ToSplayd::Stop(order) => self.report(splayd, now, Event::Done(JobReady { job: order.job })),
            _ => {}
        }
    }

    fn positions(&self, splayd: &str) -> Vec<u32> {
        let last = self.nodes.iter().rev().find(|(told, _)| told == splayd);
        last.map(|(_, positions)| positions.iter().map(|(_, position)| *position).collect())
            .unwrap_or_default()
    }

    fn submit(&mut self, id: &str, submission: Submission) {
        let spec = JobSpec { submitted_us: self.now, ..spec(id, submission) };
        self.apply(Input::Submit(Box::new(spec), None));
    }

    fn finish(&mut self, id: &str) {
        let hosts: Vec<String> =
            self.state.jobs()[id].active_hosts().map(|(splayd, _)| splayd.clone()).collect();
        for splayd in hosts {
            for position in self.positions(&splayd) {
                self.report(&splayd, self.now, Event::Ended(ended(id, position, Ending::Finished, 0, 0)));
            }
            self.report(&splayd, self.now, Event::Done(JobReady { job: id.to_owned() }));
        }
    }

    fn job(&self, id: &str) -> (JobState, &str) {
        let live = &self.state.jobs()[id].live;
        (live.state, &live.why)
    }

    /// What splayds were last told of who is there.
    fn live(&self, splayd: &str) -> Option<Vec<(u32, u32)>> {
        let live = |(told, message): &(String, ToSplayd)| match message {
            ToSplayd::Live(live) if told == splayd => Some(live.up.clone()),
            _ => None,
        };
        self.told.iter().rev().find_map(live)
    }

    fn used(&self) -> u32 {
        self.state.splayds().values().map(|splayd| splayd.used).sum()
    }
}

fn ended(job: &str, position: u32, ending: Ending, step: u64, planned_us: u64) -> InstanceEnded {
    let (job, usage) = (job.to_owned(), UsageTotals::default());
    InstanceEnded { job, position, ending, detail: String::new(), usage, step, planned_us, acted_us: 0 }
}

fn ask(instances: u32) -> Submission {
    Submission { instances, ..Submission::default() }
}

#[test]
fn a_job_runs_from_submission_to_end() {
    let mut world = World::new(10, 4);
    world.submit("j", ask(20));
    assert_eq!(world.job("j").0, JobState::Starting);
    // All deployed in order, so the superset's rest is released.
    assert_eq!((world.used(), world.state.jobs()["j"].places.iter().flatten().count()), (20, 20));
    world.sleep(2.0);
    assert_eq!(world.job("j").0, JobState::Running);
    let job = world.state.job_view(&world.state.jobs()["j"]);
    let skew = job.start_skew.unwrap();
    assert_eq!((skew.count, skew.min_ms, skew.p50_ms, skew.max_ms), (20, 1.0, 10.0, 20.0));
    assert_eq!(job.summary.running, 20);
    world.finish("j");
    assert_eq!(world.job("j"), (JobState::Ended, "20 instances: 20 finished"));
    assert_eq!(world.used(), 0);
    assert!(world.told.iter().filter(|(_, told)| matches!(told, ToSplayd::Forget(_))).count() >= 10);
}

#[test]
fn the_choice_follows_placement_and_not_speed() {
    let mut world = World::new(4, 1);
    world.mute = (1..=4).map(|n| format!("s{n}")).collect();
    world.submit("j", Submission { instances: 2, factor: 2.0, ..Submission::default() });
    let mut order: Vec<(u32, String)> = world.state.jobs()["j"]
        .hosts
        .iter()
        .map(|(splayd, host)| (*host.seats.keys().next().unwrap(), splayd.clone()))
        .collect();
    order.sort();
    let answer = |world: &mut World, index: usize| {
        let (seat, splayd) = order[index].clone();
        let seats = vec![SeatPorts { seat, port: 22000 }];
        let now = world.now;
        world.report(&splayd, now, Event::Deployed(Deployed { job: "j".into(), seats }));
    };
    // The last two are fastest: they are not taken while the first may still answer.
    (2..4).for_each(|index| answer(&mut world, index));
    assert_eq!(world.job("j").0, JobState::Deploying);
    answer(&mut world, 0);
    world.sleep(31.0);
    assert_eq!(world.job("j").0, JobState::Loading);
    let places: Vec<&str> =
        world.state.jobs()["j"].places.iter().flatten().map(|(id, _)| id.as_str()).collect();
    assert_eq!(places, [order[0].1.as_str(), order[2].1.as_str()]);
}

#[test]
fn those_that_refuse_are_replaced() {
    let mut world = World::new(4, 1);
    world.mute = vec!["s1".into(), "s2".into(), "s3".into(), "s4".into()];
    world.submit("j", Submission { instances: 3, factor: 1.0, ..Submission::default() });
    let asked: Vec<String> = world.state.jobs()["j"].hosts.keys().cloned().collect();
    let refused = DeployRefused { job: "j".into(), reason: "no ports".into() };
    let now = world.now;
    world.report(&asked[0], now, Event::DeployRefused(refused.clone()));
    assert_eq!(world.state.jobs()["j"].active_hosts().count(), 3);
    world.report(&asked[1], now, Event::DeployRefused(refused));
    let (state, why) = world.job("j");
    assert_eq!(state, JobState::Failed);
    assert!(why.contains("1 of 3 instances could not be deployed"), "{why}");
    assert_eq!(world.used(), 0);
}

#[test]
fn full_testbeds_queue_and_strict_jobs_do_not_wait() {
    let mut world = World::new(2, 2);
    world.submit("first", ask(3));
    world.submit("second", Submission { queue_timeout: 50.0, ..ask(2) });
    assert_eq!(
        world.job("second"),
        (JobState::Queued, "2 of 2 splayds match; 1 of their 4 seats are free and 2 are needed")
    );
    world.submit("strict", Submission { strict: true, ..ask(2) });
    assert_eq!(world.job("strict").0, JobState::Refused);
    world.submit("large", ask(5));
    assert_eq!(
        world.job("large"),
        (JobState::Refused, "2 of 2 splayds match with 4 seats; 1 more seats needed")
    );
    world.sleep(2.0);
    world.finish("first");
    world.sleep(0.5);
    assert_eq!(world.job("second").0, JobState::Starting);
    world.submit("third", Submission { queue_timeout: 50.0, ..ask(4) });
    world.sleep(51.0);
    let (state, why) = world.job("third");
    assert_eq!((state, why.starts_with("waited for 50 s: ")), (JobState::QueueTimeout, true), "{why}");
}

#[test]
fn scheduled_jobs_start_at_their_time() {
    let mut world = World::new(2, 2);
    let at = world.now as f64 / 1e6 + 100.0;
    world.submit("j", Submission { scheduled_at: Some(at), ..ask(2) });
    assert_eq!(world.job("j").0, JobState::Queued);
    world.sleep(90.0);
    assert_eq!(world.job("j").0, JobState::Starting);
    assert_eq!(world.state.jobs()["j"].live.start_at_us, Some(micros(at)));
}

#[test]
fn killed_and_out_of_time() {
    let mut world = World::new(2, 2);
    world.submit("a", Submission { max_time: 10.0, ..ask(2) });
    world.submit("b", ask(2));
    world.sleep(3.0);
    world.apply(Input::Kill { job: "b".into(), reason: "killed by ann".into(), grace_us: Some(2_000_000) });
    assert_eq!(world.job("b"), (JobState::Killed, "killed by ann"));
    let graces: Vec<u64> = world
        .told
        .iter()
        .filter_map(|(_, told)| if let ToSplayd::Stop(stop) = told { Some(stop.grace_ms) } else { None })
        .collect();
    assert!(!graces.is_empty() && graces.iter().all(|grace| *grace == 2000), "{graces:?}");
    let again =
        world.state.apply(world.now, Input::Kill { job: "b".into(), reason: String::new(), grace_us: None });
    assert_eq!(again, Err(Rejected::Over("b".into(), "killed")));
    world.sleep(9.0);
    assert_eq!(world.job("a"), (JobState::Killed, "its longest time of 10 s was over"));
    assert_eq!(world.used(), 0);
}

#[test]
fn a_lost_splayd_ends_its_instances_and_not_the_job() {
    let mut world = World::new(3, 1);
    world.submit("j", ask(3));
    world.sleep(2.0);
    world.apply(Input::Disconnected("s1".into()));
    world.sleep(30.0);
    assert_eq!(world.state.job_summary(&world.state.jobs()["j"]).running, 3);
    world.sleep(31.0);
    let summary = world.state.job_summary(&world.state.jobs()["j"]);
    assert_eq!((summary.state, summary.running, summary.failed), (JobState::Running, 2, 1));
    // It comes back with the job: it is to forget it.
    world.told.clear();
    world.connect("s1", vec![HostedJob { job: "j".into(), phase: Phase::Running, last_step: 0 }]);
    assert_eq!(world.told, [("s1".to_owned(), ToSplayd::Forget(JobRef { job: "j".into() }))]);
    world.finish("j");
    assert_eq!(world.job("j"), (JobState::Ended, "3 instances: 2 finished, 1 lost"));
}

#[test]
fn what_a_splayd_missed_is_sent_again() {
    let mut world = World::new(1, 2);
    world.mute = vec!["s1".into()];
    world.submit("j", Submission { factor: 1.0, ..ask(2) });
    world.apply(Input::Disconnected("s1".into()));
    world.told.clear();
    world.connect("s1", vec![]);
    assert!(
        matches!(world.told.as_slice(), [(_, ToSplayd::Deploy(order))] if order.seats.len() == 2),
        "{:?}",
        world.told
    );
    let seats = [1, 2].map(|seat| SeatPorts { seat, port: 22000 + seat as u16 }).to_vec();
    let now = world.now;
    world.report("s1", now, Event::Deployed(Deployed { job: "j".into(), seats }));
    world.apply(Input::Disconnected("s1".into()));
    world.told.clear();
    world.nodes.clear();
    world.connect("s1", vec![HostedJob { job: "j".into(), phase: Phase::Deployed, last_step: 0 }]);
    assert_eq!(world.nodes.len(), 1);
    assert_eq!(world.told, [("s1".to_owned(), ToSplayd::Load(JobRef { job: "j".into() }))]);
    // A report that comes twice counts once; one that jumps is refused.
    let ready = |sequence| Report { sequence, at_us: 0, event: Event::Ready(JobReady { job: "j".into() }) };
    world.apply(Input::Report("s1".into(), ready(2)));
    world.apply(Input::Report("s1".into(), ready(2)));
    assert_eq!(world.state.splayds()["s1"].sequence, 2);
    assert!(matches!(
        world.state.apply(now, Input::Report("s1".into(), ready(4))),
        Err(Rejected::Protocol(_))
    ));
}

#[test]
fn churn_is_replayed_by_deadlines() {
    let mut world = World::new(5, 1);
    let churn = Some("0 10 20\n0\n10 15\n".to_owned());
    world.submit("j", Submission { churn, factor: 1.5, max_time: 25.0, ..ask(1) });
    assert_eq!(world.state.jobs()["j"].instances(), 3);
    world.sleep(2.0);
    let report = |world: &World| world.state.job_view(&world.state.jobs()["j"]).churn.unwrap();
    assert_eq!(world.state.job_summary(&world.state.jobs()["j"]).running, 2);
    assert_eq!((report(&world).spares, report(&world).steps), (2, 6));
    world.sleep(8.0);
    let churn = report(&world);
    assert_eq!((churn.done, churn.lateness.unwrap().max_ms), (4, 2.0));
    let agenda: Vec<&AgendaStep> = world
        .told
        .iter()
        .filter_map(|(_, told)| if let ToSplayd::Agenda(agenda) = told { Some(&agenda.steps) } else { None })
        .flatten()
        .collect();
    let start = world.state.jobs()["j"].live.start_at_us.unwrap();
    let third = agenda.iter().find(|step| step.position == 3).unwrap();
    assert_eq!(
        (third.at_us, third.number, third.live.as_slice()),
        (start + 10_000_000, 4 << 10, &[2, 3][..])
    );
}

#[test]
fn under_churn_a_lost_instance_moves_to_a_spare() {
    let mut world = World::new(4, 1);
    let churn = Some("0\n0 50\n".to_owned());
    world.submit("j", Submission { churn, factor: 1.5, ..ask(1) });
    world.sleep(2.0);
    let host = world.state.jobs()["j"].places[0].clone().unwrap().0;
    world.apply(Input::Disconnected(host.clone()));
    world.sleep(61.0);
    let job = &world.state.jobs()["j"];
    let moved = job.places[0].clone().unwrap().0;
    assert_ne!(moved, host);
    assert_eq!(world.state.job_view(job).churn.unwrap().moved, 1);
    let seat = job.seat(1).unwrap().2;
    assert_eq!(seat.state, InstanceState::Running);
    // Without a spare another splayd is asked.
    let other = moved;
    world.apply(Input::Disconnected(other.clone()));
    world.sleep(61.0);
    let job = &world.state.jobs()["j"];
    let (third, _, seat) = job.seat(1).unwrap();
    assert!(third != other && third != host && seat.state == InstanceState::Running);
}
