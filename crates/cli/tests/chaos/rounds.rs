//! Rounds of chaos: a job, and processes killed at moments that a seed decides.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use splay_protocol::api::JobState;

use crate::audit::{self, Hit};
use crate::testbed::Testbed;

pub const SPLAYDS: usize = 4;
pub const SEATS: u16 = 10;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    Controller,
    Splayd(usize),
    Worker(usize),
}

/// SIGKILL at a time after the submission, and how long the process then stays away.
#[derive(Debug, Clone, Copy)]
struct Blow {
    at: Duration,
    target: Target,
    away: Duration,
}

/// What a job of a round is like.
#[derive(Debug)]
enum Kind {
    Plain {
        instances: u32,
        lines: u32,
        width: usize,
    },
    /// For each node, its times: start, stop, start, stop ... in tenths of a second.
    Churn(Vec<Vec<u32>>),
}

#[derive(Debug)]
pub struct Round {
    seed: u64,
    kind: Kind,
    blows: Vec<Blow>,
}

fn tenths(rng: &mut StdRng, from: u32, to: u32) -> Duration {
    Duration::from_millis(u64::from(rng.random_range(from * 100..to * 100)))
}

impl Round {
    pub fn of(seed: u64) -> Round {
        let mut rng = StdRng::seed_from_u64(seed);
        let kind = match seed % 3 {
            0 => Kind::Churn((0..12).map(|_| times(&mut rng)).collect()),
            _ => Kind::Plain {
                instances: rng.random_range(8..=20),
                lines: rng.random_range(20..=300),
                width: rng.random_range(1..=1500),
            },
        };
        // Until a moment after the end.
        let until = match &kind {
            Kind::Plain { lines, .. } => 12 + lines / 10,
            Kind::Churn(_) => 60,
        };
        let blows = (0..rng.random_range(1..=3)).map(|_| blow(&mut rng, until)).collect();
        Round { seed, kind, blows }
    }

    /// Submits the job, kills, starts again, waits and looks at everything.
    pub fn play(&self, testbed: &mut Testbed) {
        let (_told, begun) = (Told(self), Instant::now());
        let id = self.submit(testbed);
        let hit = self.strike(testbed);
        testbed.wait("all splayds are back", |testbed| testbed.splayds.iter().all(|one| one.is_running()));
        let job = testbed.over(&id);
        let state = job.summary.state;
        // A job is given up where a splayd is lost before its start, and where all are lost.
        let fine = state == JobState::Ended || state == JobState::Failed && !hit.is_empty();
        assert!(fine, "hit: {hit:?}; {job:#?}");
        if state == JobState::Ended {
            match &self.kind {
                Kind::Plain { lines, width, .. } => audit::plain(testbed, &job, &hit, *lines, *width),
                Kind::Churn(nodes) => {
                    let planned: Vec<u32> = nodes.iter().map(|times| times.len() as u32 / 2).collect();
                    audit::churned(testbed, &job, &hit, &planned);
                }
            }
        } else {
            audit::lives(&testbed.lines(&id));
        }
        testbed.is_clean();
        let (seed, took) = (self.seed, begun.elapsed().as_secs_f64());
        eprintln!("round {seed}: {} of {id}, hit {hit:?}, {took:.1} s: {}", self.name(), job.summary.why);
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Plain { .. } => "run",
            Kind::Churn(_) => "churn",
        }
    }

    fn submit(&self, testbed: &Testbed) -> String {
        testbed.write("numbered.lua", audit::APP);
        let (instances, lines, width, churn);
        let mut words = vec!["numbered.lua", "--detach", "--factor", "1"];
        match &self.kind {
            Kind::Plain { instances: n, lines: l, width: w } => {
                (instances, lines, width) = (n.to_string(), l.to_string(), w.to_string());
                words.extend(["-n", &instances, "--", &lines, &width]);
            }
            Kind::Churn(nodes) => {
                let line = |times: &Vec<u32>| {
                    let text = |time: &u32| format!("{}.{}", time / 10, time % 10);
                    times.iter().map(text).collect::<Vec<_>>().join(" ")
                };
                churn = nodes.iter().map(line).collect::<Vec<_>>().join("\n");
                testbed.write("churn.trace", &churn);
                words.extend(["--churn", "churn.trace", "--", "100000", "1"]);
            }
        }
        testbed.submit(&words)
    }

    /// Kills and starts again, each at its time; names what was hit.
    fn strike(&self, testbed: &mut Testbed) -> Hit {
        let begun = Instant::now();
        let mut hit = BTreeSet::new();
        let mut acts: Vec<(Duration, Target, bool)> = Vec::new();
        for blow in &self.blows {
            acts.push((blow.at, blow.target, false));
            acts.push((blow.at + blow.away, blow.target, true));
        }
        acts.sort_by_key(|(at, ..)| *at);
        for (at, target, again) in acts {
            while begun.elapsed() < at {
                testbed.note_workers();
                std::thread::sleep((at.saturating_sub(begun.elapsed())).min(Duration::from_millis(50)));
            }
            match (target, again) {
                (Target::Controller, false) => testbed.kill_controller(),
                (Target::Controller, true) if !testbed.controller_runs() => testbed.start_controller(),
                (Target::Splayd(index), false) => {
                    testbed.kill_splayd(index);
                    hit.insert(testbed.splayds[index].name.clone());
                }
                (Target::Splayd(index), true) if !testbed.splayds[index].is_running() => {
                    testbed.start_splayd(index);
                }
                (Target::Worker(index), false) if testbed.kill_worker(index) => {
                    hit.insert(testbed.splayds[index].name.clone());
                }
                _ => {}
            }
        }
        hit
    }
}

/// Says how to have a round again, where it fails.
struct Told<'a>(&'a Round);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{:#?}\nagain: SPLAY_CHAOS_SEED={} cargo nextest run --test chaos",
                self.0, self.0.seed
            );
        }
    }
}

fn blow(rng: &mut StdRng, until: u32) -> Blow {
    // A third of the blows fall while the job is deployed and loaded.
    let at = if rng.random_bool(0.33) { tenths(rng, 0, 8) } else { tenths(rng, 0, until) };
    let target = match rng.random_range(0..3) {
        0 => Target::Controller,
        1 => Target::Splayd(rng.random_range(0..SPLAYDS)),
        _ => Target::Worker(rng.random_range(0..SPLAYDS)),
    };
    Blow { at, target, away: tenths(rng, 0, 15) }
}

/// Times of a node, the last of them a stop, within five seconds.
fn times(rng: &mut StdRng) -> Vec<u32> {
    let mut now = rng.random_range(0..15);
    let mut times = Vec::new();
    while times.len() < 2 || now < 35 {
        times.push(now);
        now += rng.random_range(5..20);
        times.push(now);
        now += rng.random_range(5..15);
    }
    times
}
