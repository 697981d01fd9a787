//! A splayd in a task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_bytes::ByteBuf;
use splay_controller::hub::now_us;
use splay_protocol::log_lines::{Line, LineKind, push};
use splay_protocol::session::*;
use tokio::sync::mpsc;

pub use super::identity::{Identity, hear, say};

/// How instances live here.
#[derive(Debug, Clone)]
pub struct Life {
    /// They end by themselves after this; `None`: never.
    pub run: Option<Duration>,
    /// Lines each writes.
    pub lines: u32,
    /// Bytes of the result each leaves; 0: none.
    pub result_bytes: usize,
}

impl Life {
    pub fn of(run: Duration) -> Life {
        Life { run: Some(run), lines: 3, result_bytes: 0 }
    }

    pub fn forever() -> Life {
        Life { run: None, lines: 0, result_bytes: 0 }
    }
}

/// What a splayd remembers, as on its disk.
#[derive(Default)]
pub struct Machine {
    pub enrolled: bool,
    pub sequence: u64,
    pub spool: Vec<Report>,
    pub jobs: BTreeMap<String, Hosted>,
    pub files: BTreeSet<String>,
    /// Orders it got, by name, for tests to count.
    pub orders: Vec<&'static str>,
    /// It starts nothing twice: what was told to start.
    pub started: Vec<(String, u32)>,
    pub refused: Option<Refused>,
    pub incarnation: u32,
    /// Says nothing to a deploy order.
    pub mute: bool,
    /// Never loads.
    pub no_load: bool,
}

pub struct Hosted {
    pub order: JobOrder,
    pub phase: Phase,
    pub positions: Vec<(u32, u32)>,
    pub nodes: Vec<splay_protocol::Node>,
    /// Who is there, as it was told.
    pub live: Vec<LiveNodes>,
    pub running: BTreeSet<u32>,
    pub waiting: BTreeSet<String>,
    pub last_step: u64,
}

#[derive(Clone)]
pub struct FakeSplayd {
    pub machine: Arc<Mutex<Machine>>,
    life: Life,
    wake: mpsc::UnboundedSender<Inner>,
    task: Arc<tokio::task::JoinHandle<()>>,
}

enum Inner {
    Start(String, u32, u64, u64),
    End(String, u32, Ending, u64, u64),
    /// Cut the connection and come back after this.
    Cut(Duration),
}

impl Drop for FakeSplayd {
    fn drop(&mut self) {
        if Arc::strong_count(&self.task) == 1 {
            self.task.abort();
        }
    }
}

impl FakeSplayd {
    pub fn start(name: &str, seats: u32, join: &str, life: Life) -> FakeSplayd {
        let identity = Identity::new(name, seats, join);
        let machine = Arc::new(Mutex::new(Machine::default()));
        let (wake, woken) = mpsc::unbounded_channel();
        let runner = Runner { identity, machine: machine.clone(), life: life.clone(), wake: wake.clone() };
        let task = Arc::new(tokio::spawn(runner.run(woken)));
        FakeSplayd { machine, life, wake, task }
    }

    /// Its connection breaks.
    pub fn cut(&self, away: Duration) {
        // One that was killed has no connection.
        let _ = self.wake.send(Inner::Cut(away));
    }

    /// The process dies and starts anew: what ran is gone.
    pub fn crash(&self, away: Duration) {
        let mut machine = self.machine.lock().unwrap();
        machine.jobs.clear();
        machine.incarnation += 1;
        drop(machine);
        self.cut(away);
    }

    /// It is gone for good.
    pub fn kill(&self) {
        self.task.abort();
    }
}

struct Runner {
    identity: Identity,
    machine: Arc<Mutex<Machine>>,
    life: Life,
    wake: mpsc::UnboundedSender<Inner>,
}

impl Runner {
    async fn run(self, mut woken: mpsc::UnboundedReceiver<Inner>) {
        loop {
            let away = self.session(&mut woken).await.unwrap_or(Duration::from_millis(100));
            if self
                .machine
                .lock()
                .unwrap()
                .refused
                .as_ref()
                .is_some_and(|refused| refused.code != RefusedCode::Busy)
            {
                return;
            }
            tokio::time::sleep(away).await;
        }
    }

    /// One session; how long to stay away after it.
    async fn session(&self, woken: &mut mpsc::UnboundedReceiver<Inner>) -> Option<Duration> {
        let (mut socket, nonce) = self.identity.dial().await?;
        let (hello, enrolled) = {
            let machine = self.machine.lock().unwrap();
            let hosted = |(job, hosted): (&String, &Hosted)| HostedJob {
                job: job.clone(),
                phase: hosted.phase,
                last_step: hosted.last_step,
            };
            let jobs = machine.jobs.iter().map(hosted).collect();
            (self.identity.hello(&nonce, jobs, &machine.incarnation.to_string()), machine.enrolled)
        };
        let first = if enrolled { ToController::Hello(hello) } else { self.identity.enrol(hello) };
        say(&mut socket, &first).await?;
        match hear(&mut socket).await? {
            ToSplayd::Welcome(welcome) => {
                let pending = {
                    let mut machine = self.machine.lock().unwrap();
                    machine.enrolled = true;
                    machine.spool.retain(|report| report.sequence > welcome.acknowledged);
                    machine.spool.clone()
                };
                for report in pending {
                    say(&mut socket, &ToController::Report(report)).await?;
                }
            }
            ToSplayd::Refused(refused) => {
                self.machine.lock().unwrap().refused = Some(refused);
                return None;
            }
            other => panic!("{other:?}"),
        }
        let status = Status { free_memory_bytes: 1 << 30, memory_bytes: 2 << 30, ..Status::default() };
        say(&mut socket, &ToController::Status(status)).await?;
        loop {
            let mut answers = Vec::new();
            tokio::select! {
                message = hear(&mut socket) => self.obey(message?, &mut answers),
                inner = woken.recv() => match inner? {
                    Inner::Cut(away) => return Some(away),
                    Inner::Start(job, position, planned, step) => self.begin(&job, position, planned, step, &mut answers),
                    Inner::End(job, position, ending, planned, step) => {
                        self.end(&job, position, ending, planned, step, &mut answers);
                    }
                }
            }
            for answer in answers {
                say(&mut socket, &answer).await?;
            }
        }
    }

    fn report(&self, machine: &mut Machine, event: Event, answers: &mut Vec<ToController>) {
        machine.sequence += 1;
        let report = Report { sequence: machine.sequence, at_us: now_us(), event };
        machine.spool.push(report.clone());
        answers.push(ToController::Report(report));
    }

    fn later(&self, at_us: u64, inner: Inner) {
        let wake = self.wake.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(at_us.saturating_sub(now_us()))).await;
            let _ = wake.send(inner);
        });
    }

    fn obey(&self, message: ToSplayd, answers: &mut Vec<ToController>) {
        let machine = &mut *self.machine.lock().unwrap();
        match message {
            ToSplayd::Ack(ack) => machine.spool.retain(|report| report.sequence > ack.sequence),
            ToSplayd::Deploy(order) => {
                machine.orders.push("deploy");
                if machine.mute {
                    return;
                }
                let job = order.job.clone();
                let missing: BTreeSet<String> = order
                    .files
                    .iter()
                    .map(|file| file.sha256.clone())
                    .filter(|digest| !machine.files.contains(digest))
                    .collect();
                let hosted = machine.jobs.entry(job.clone()).or_insert(Hosted {
                    order: order.clone(),
                    phase: Phase::Deployed,
                    positions: vec![],
                    nodes: vec![],
                    live: vec![],
                    running: BTreeSet::new(),
                    waiting: BTreeSet::new(),
                    last_step: 0,
                });
                hosted.order = order;
                hosted.waiting = missing.clone();
                match missing.is_empty() {
                    true => self.deployed(machine, &job, answers),
                    false => answers.push(ToController::NeedFiles(NeedFiles {
                        job,
                        sha256: missing.into_iter().collect(),
                    })),
                }
            }
            ToSplayd::File(part) => {
                // Files of tests are one piece.
                machine.files.insert(part.sha256.clone());
                let ready: Vec<String> = machine
                    .jobs
                    .iter_mut()
                    .filter_map(|(job, hosted)| {
                        (hosted.waiting.remove(&part.sha256) && hosted.waiting.is_empty())
                            .then(|| job.clone())
                    })
                    .collect();
                ready.iter().for_each(|job| self.deployed(machine, job, answers));
            }
            ToSplayd::Nodes(nodes) => {
                machine.orders.push("nodes");
                if let Some(hosted) = machine.jobs.get_mut(&nodes.job) {
                    let news = hosted.nodes != nodes.nodes || hosted.positions != nodes.positions;
                    (hosted.nodes, hosted.positions) = (nodes.nodes, nodes.positions);
                    // Before the start, all is loaded anew with what is new.
                    if hosted.phase < Phase::Listed || (news && hosted.phase < Phase::Running) {
                        hosted.phase = Phase::Listed;
                    }
                }
            }
            ToSplayd::Live(live) => {
                if let Some(hosted) = machine.jobs.get_mut(&live.job) {
                    hosted.live.push(live);
                }
            }
            ToSplayd::Load(JobRef { job }) => {
                if machine.no_load {
                    return;
                }
                machine.orders.push("load");
                if let Some(hosted) = machine.jobs.get_mut(&job).filter(|hosted| hosted.phase < Phase::Loaded)
                {
                    hosted.phase = Phase::Loaded;
                    self.report(machine, Event::Ready(JobReady { job }), answers);
                }
            }
            ToSplayd::Start(order) => {
                machine.orders.push("start");
                let Some(hosted) =
                    machine.jobs.get_mut(&order.job).filter(|hosted| hosted.phase < Phase::Running)
                else {
                    return;
                };
                hosted.phase = Phase::Running;
                for (_, position) in hosted.positions.clone() {
                    if order.positions.is_empty() || order.positions.contains(&position) {
                        self.later(order.at_us, Inner::Start(order.job.clone(), position, order.at_us, 0));
                    }
                }
            }
            ToSplayd::Agenda(agenda) => {
                machine.orders.push("agenda");
                let Some(hosted) = machine.jobs.get_mut(&agenda.job) else { return };
                for step in
                    agenda.steps.into_iter().filter(|step| step.number > hosted.last_step).collect::<Vec<_>>()
                {
                    hosted.last_step = step.number;
                    let (job, position, at) = (agenda.job.clone(), step.position, step.at_us);
                    let inner = match step.action {
                        Action::Start => Inner::Start(job, position, at, step.number),
                        _ => Inner::End(job, position, Ending::Churn, at, step.number),
                    };
                    self.later(at, inner);
                }
            }
            ToSplayd::Stop(order) => {
                machine.orders.push("stop");
                let Some(hosted) =
                    machine.jobs.get_mut(&order.job).filter(|hosted| hosted.phase < Phase::Ended)
                else {
                    return;
                };
                hosted.phase = Phase::Ended;
                for position in std::mem::take(&mut hosted.running) {
                    let ended = ended(&order.job, position, Ending::Stopped, 0, 0);
                    self.report(machine, Event::Ended(ended), answers);
                }
                self.report(machine, Event::Done(JobReady { job: order.job }), answers);
            }
            ToSplayd::Forget(JobRef { job }) => {
                machine.orders.push("forget");
                machine.jobs.remove(&job);
            }
            ToSplayd::Refused(refused) => machine.refused = Some(refused),
            ToSplayd::Settings(_)
            | ToSplayd::ProbeReply(_)
            | ToSplayd::Challenge(_)
            | ToSplayd::Welcome(_) => {}
        }
    }

    fn deployed(&self, machine: &mut Machine, job: &str, answers: &mut Vec<ToController>) {
        let port = |seat: &Seat| SeatPorts { seat: seat.seat, port: 22000 + seat.seat as u16 };
        let seats = machine.jobs[job].order.seats.iter().map(port).collect();
        self.report(machine, Event::Deployed(Deployed { job: job.to_owned(), seats }), answers);
    }

    fn begin(&self, job: &str, position: u32, planned_us: u64, step: u64, answers: &mut Vec<ToController>) {
        let machine = &mut *self.machine.lock().unwrap();
        let Some(hosted) = machine.jobs.get_mut(job).filter(|hosted| hosted.phase < Phase::Ended) else {
            return;
        };
        hosted.running.insert(position);
        machine.started.push((job.to_owned(), position));
        let job = job.to_owned();
        self.report(
            machine,
            Event::Started(InstanceStarted { job: job.clone(), position, planned_us, step }),
            answers,
        );
        if let Some(run) = self.life.run {
            self.later(now_us() + run.as_micros() as u64, Inner::End(job, position, Ending::Finished, 0, 0));
        }
    }

    fn end(
        &self,
        job: &str,
        position: u32,
        ending: Ending,
        planned_us: u64,
        step: u64,
        answers: &mut Vec<ToController>,
    ) {
        let machine = &mut *self.machine.lock().unwrap();
        let Some(hosted) = machine.jobs.get_mut(job) else { return };
        if !hosted.running.remove(&position) {
            return;
        }
        let last = hosted.running.is_empty() && hosted.order.churn == 0;
        if last {
            hosted.phase = Phase::Ended;
        }
        if self.life.lines > 0 {
            self.report(machine, Event::Logs(batch(job, position, self.life.lines)), answers);
        }
        if self.life.result_bytes > 0 {
            self.results(machine, job, position, answers);
        }
        self.report(machine, Event::Ended(ended(job, position, ending, step, planned_us)), answers);
        if last {
            self.report(machine, Event::Done(JobReady { job: job.to_owned() }), answers);
        }
    }

    fn results(&self, machine: &mut Machine, job: &str, position: u32, answers: &mut Vec<ToController>) {
        let data = vec![b'a' + (position % 26) as u8; self.life.result_bytes];
        for (index, piece) in data.chunks(1000).enumerate() {
            let part = ResultPart {
                job: job.to_owned(),
                position,
                path: "out/data.csv".to_owned(),
                offset: index as u64 * 1000,
                total_bytes: data.len() as u64,
                data: ByteBuf::from(piece),
            };
            self.report(machine, Event::Result(part), answers);
        }
    }
}

pub fn batch(job: &str, position: u32, count: u32) -> LogBatch {
    let mut block = Vec::new();
    let now = now_us();
    for number in 1..=count {
        let text = format!("line {number} of {position}");
        let kind = if number == 2 { LineKind::Warning } else { LineKind::Out };
        push(
            &mut block,
            Line { at_us: now + u64::from(number), position, number, kind, text: text.as_bytes() },
        );
    }
    let data = zstd::bulk::compress(&block, 1).unwrap();
    LogBatch {
        job: job.to_owned(),
        lines: count,
        first_us: now + 1,
        last_us: now + u64::from(count),
        data: ByteBuf::from(data),
    }
}

fn ended(job: &str, position: u32, ending: Ending, step: u64, planned_us: u64) -> InstanceEnded {
    let usage = UsageTotals { cpu_us: 5, ..UsageTotals::default() };
    InstanceEnded {
        job: job.to_owned(),
        position,
        ending,
        detail: String::new(),
        usage,
        step,
        planned_us,
        acted_us: 0,
    }
}
