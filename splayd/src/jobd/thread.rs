//! A host thread of the worker process: one event loop, the instances on it, and what is planned
//! for them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use splay_protocol::Job;
use splay_protocol::list::Lists;
use splay_protocol::seed::instance_seed;
use splay_protocol::session::{Ending, LiveNodes};
use splay_runtime::driver::Driver;
use splay_runtime::host::{InstanceConfig, Mode, Report, Sandbox, WorkerConfig};
use splay_runtime::real::{RealDriver, Waker};
use splay_runtime::shaped::ShapedDriver;
use splay_runtime::worker::{Pulse, Step, Worker};

use super::desk::{Cause, Desk, Life, micros};
use super::{Hosting, Outgoing};
use crate::clock::local_us;
use crate::pipe::{Begin, End, FromJobd, Ready, Start, Stop};

/// What a host thread is told.
#[derive(Debug, Clone)]
pub enum Order {
    Start(Arc<Start>),
    Begin(Arc<Begin>),
    /// Who is up from then on, for instances of other threads.
    Live(Arc<Begin>),
    End(End),
    Stop(Arc<Stop>),
    /// Who is up now.
    Up(Arc<LiveNodes>),
    /// The list of hosts that may not be contacted has changed.
    Blacklist,
    Quit,
}

/// A host thread, from outside.
#[derive(Debug)]
pub struct Handle {
    orders: Sender<Order>,
    waker: Waker,
    ended: Receiver<()>,
    /// For the watchdog.
    pub watched: Watched,
}

/// What the watchdog sees of a host thread.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What it is at.
    pub pulse: Arc<Pulse>,
    /// It waits for splayd to read.
    pub waits: Arc<AtomicBool>,
    /// Its lives, by position; emptied when the thread is given up.
    pub lives: Arc<Mutex<BTreeMap<u32, u64>>>,
    /// Its identifier in the kernel.
    pub kernel_id: i32,
}

impl Handle {
    /// Gives an order.
    pub fn tell(&self, order: Order) {
        // A thread that has ended has no instances.
        let _ = self.orders.send(order);
        self.waker.wake();
    }

    /// Waits for its end, which a stuck one never reaches.
    pub fn wait(&self, longest: Duration) {
        let _ = self.ended.recv_timeout(longest);
    }
}

/// Starts a thread that loads the instances at `positions`.
pub fn start(
    index: usize,
    hosting: Arc<Hosting>,
    positions: Vec<u32>,
    outgoing: Sender<Outgoing>,
) -> io::Result<Handle> {
    let (orders, told) = unbounded();
    let (open, opened) = bounded(1);
    let (end, ended) = bounded::<()>(1);
    let waits = Arc::new(AtomicBool::new(false));
    let lives = Arc::<Mutex<BTreeMap<u32, u64>>>::default();
    let (known, waiting) = (lives.clone(), waits.clone());
    let body = move || {
        let _end = end;
        let driver = match RealDriver::new() {
            Ok(driver) => driver,
            Err(error) => return drop(open.send(Err(error))),
        };
        let waker = driver.waker();
        let desk = Desk::new(&hosting.setup.limits, outgoing, waiting, known);
        let desk = Rc::new(RefCell::new(desk));
        let heard = desk.clone();
        let sink = Box::new(move |report: Report| heard.borrow_mut().report(report));
        let slice = Duration::from_millis(hosting.setup.limits.slice_milliseconds.into());
        let config = WorkerConfig { slice: Some(slice) };
        let driver: Box<dyn Driver> = match &hosting.traffic {
            Some(traffic) => Box::new(ShapedDriver::new(Box::new(driver), traffic.clone())),
            None => Box::new(driver),
        };
        let worker = Worker::new(driver, config, sink);
        // SAFETY: asks for a number.
        let kernel_id = unsafe { libc::gettid() };
        let _ = open.send(Ok((waker, worker.pulse(), kernel_id)));
        let mut thread = Thread { worker, desk, hosting, plans: BTreeMap::new(), planned: 0, told };
        thread.load(&positions);
        if let Err(error) = thread.run() {
            tracing::error!(%error, "a host thread ends");
            std::process::exit(1);
        }
    };
    // A panic of the runtime must not leave a thread's instances without a word.
    let body = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
            std::process::exit(101);
        }
    };
    std::thread::Builder::new().name(format!("host-{}", index + 1)).spawn(body)?;
    let (waker, pulse, kernel_id) =
        opened.recv().map_err(|_| io::Error::other("a host thread did not start"))??;
    Ok(Handle { orders, waker, ended, watched: Watched { pulse, waits, lives, kernel_id } })
}

#[derive(Debug)]
enum Plan {
    Release(Vec<u32>),
    Begin(Arc<Begin>),
    Live(Arc<Begin>),
    End(End),
}

struct Thread {
    worker: Worker,
    desk: Rc<RefCell<Desk>>,
    hosting: Arc<Hosting>,
    plans: BTreeMap<(Instant, u64), Plan>,
    planned: u64,
    told: Receiver<Order>,
}

/// Lives of this process, over all threads.
static LIVES: AtomicU64 = AtomicU64::new(1);

impl Thread {
    fn load(&mut self, positions: &[u32]) {
        for &position in positions {
            let job = self.hosting.lists().job(position);
            self.open(position, job, 0);
        }
        if self.hosting.loading.fetch_sub(1, Ordering::SeqCst) == 1 {
            let degraded = self.hosting.degraded.clone();
            self.desk.borrow().send(FromJobd::Ready(Ready { degraded }));
        }
    }

    /// Opens a new life.
    fn open(&mut self, position: u32, job: Job, step: u64) {
        let number = LIVES.fetch_add(1, Ordering::Relaxed);
        let life = Life { number, released: false, started: false, step, planned_us: 0, cause: None };
        {
            let mut desk = self.desk.borrow_mut();
            desk.insert(position, life);
            desk.output.begin(position);
        }
        let setup = &self.hosting.setup;
        let limits = &setup.limits;
        if let Some(place) = self.hosting.traffic.as_ref().and_then(|traffic| traffic.place(position)) {
            let said = format!("[splayd] at place {place} of the topology");
            self.desk.borrow_mut().output.system(local_us(), position, &said);
        }
        let first = job.me.port;
        let sandbox = Sandbox {
            max_disk_bytes: limits.max_disk_bytes,
            max_files: limits.max_files,
            max_file_descriptors: limits.max_file_descriptors,
            max_send_bytes: limits.max_send_bytes,
            max_receive_bytes: limits.max_receive_bytes,
            max_sockets: limits.max_sockets,
            ports: Some((first, first.saturating_add(limits.ports.max(1) - 1))),
            blacklist: self.blacklist(),
            udp_drop_ratio: f64::from(limits.udp_drop_per_million) / 1e6,
            traffic_threads: limits.traffic_threads,
            send_bytes_per_second: limits.send_bytes_per_second,
            receive_bytes_per_second: limits.receive_bytes_per_second,
            cpu_permille: limits.cpu_permille,
            native: self.hosting.native.clone(),
            ..Sandbox::new(setup.lives.join(format!("{position}.{number}")))
        };
        let config = InstanceConfig {
            program: self.hosting.program.clone(),
            arguments: setup.arguments.clone(),
            job: Some(job),
            mode: Mode::Sandboxed(sandbox),
            jit: false,
            compact: true,
            seed: Some(instance_seed(self.hosting.seed, position)),
            max_memory_bytes: usize::try_from(limits.max_memory_bytes).ok(),
        };
        self.worker.load(position, config);
    }

    fn blacklist(&self) -> Vec<String> {
        self.hosting.blacklist.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn plan(&mut self, at_us: u64, plan: Plan) {
        let wall = micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let due = Instant::now() + Duration::from_micros(at_us.saturating_sub(wall));
        self.planned += 1;
        self.plans.insert((due, self.planned), plan);
    }

    /// Runs until told to quit.
    fn run(&mut self) -> io::Result<()> {
        loop {
            while let Ok(order) = self.told.try_recv() {
                if let Order::Quit = order {
                    self.stop_all("", Duration::ZERO);
                    self.desk.borrow_mut().flush();
                    return Ok(());
                }
                self.order(order);
            }
            if self.desk.borrow().is_given_up() {
                // It came back after all, too late.
                self.cancel_plans();
                self.stop_all("", Duration::ZERO);
            }
            self.carry_out();
            let now = Instant::now();
            let block_due = self.desk.borrow().output.due();
            if block_due.is_some_and(|due| due <= now) {
                self.desk.borrow_mut().flush();
                continue;
            }
            let next_plan = self.plans.keys().next().map(|(due, _)| *due);
            let (then, desk) = (self.worker.now(), self.desk.clone());
            // What runs may write lines, which are passed on before a long wait ends.
            let until = move || {
                let next = [desk.borrow().output.due(), next_plan].into_iter().flatten().min();
                next.map(|next| then + next.saturating_duration_since(now))
            };
            let idle = match self.worker.step_until(until)? {
                Step::Progress | Step::Woken => false,
                Step::Idle | Step::Empty => true,
            };
            if idle {
                // Only an order or a plan can change anything. An order that came is put back in
                // its place by being carried out here.
                let block_due = self.desk.borrow().output.due();
                let next = [block_due, next_plan].into_iter().flatten().min();
                let wait = next
                    .map_or(Duration::from_secs(3600), |next| next.saturating_duration_since(Instant::now()));
                match self.told.recv_timeout(wait) {
                    Ok(Order::Quit) => {
                        self.desk.borrow_mut().flush();
                        return Ok(());
                    }
                    Ok(order) => self.order(order),
                    Err(_) => {}
                }
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Start(start) => {
                let wanted =
                    |position: &u32| start.positions.is_empty() || start.positions.contains(position);
                let loaded: Vec<u32> = self.loaded();
                let (mut go, unwanted): (Vec<u32>, Vec<u32>) = loaded.into_iter().partition(wanted);
                go.sort_unstable();
                for &position in &go {
                    if let Some(life) = self.desk.borrow_mut().lives.get_mut(&position) {
                        life.planned_us = start.at_us;
                    }
                }
                unwanted.into_iter().for_each(|position| self.worker.stop(position));
                // Under churn those that are to join later are not there yet.
                if !start.positions.is_empty() {
                    let (step, at_us, live) = (0, start.at_us, start.positions.clone());
                    self.plan(at_us, Plan::Live(Arc::new(Begin { position: 0, step, at_us, live })));
                }
                self.plan(start.at_us, Plan::Release(go));
            }
            Order::Begin(begin) => {
                // Ahead of time where the seat is free, so that the start itself is quick.
                if !self.desk.borrow().lives.contains_key(&begin.position) {
                    self.open_begin(&begin);
                }
                self.plan(begin.at_us, Plan::Begin(begin));
            }
            Order::Live(begin) => self.plan(begin.at_us, Plan::Live(begin)),
            Order::End(end) => self.plan(end.at_us, Plan::End(end)),
            Order::Stop(stop) => {
                self.cancel_plans();
                self.stop_all(&stop.reason, Duration::from_millis(stop.grace_ms));
            }
            Order::Up(live) => {
                let lists = self.hosting.lists();
                self.tell_up(&lists, live.positions(lists.total()), UP_INSTANTS + live.number);
            }
            Order::Blacklist => {
                let hosts = self.blacklist();
                self.desk.borrow().lives.keys().for_each(|&at| self.worker.set_blacklist(at, &hosts));
            }
            Order::Quit => {}
        }
    }

    /// Nothing of what is planned will happen. Splayd is told of every life it ordered.
    fn cancel_plans(&mut self) {
        for plan in std::mem::take(&mut self.plans).into_values() {
            if let Plan::Begin(begin) = plan {
                let open =
                    self.desk.borrow().lives.get(&begin.position).is_some_and(|life| life.step == begin.step);
                if !open {
                    self.desk.borrow().never_opened(begin.position);
                }
            }
        }
    }

    fn loaded(&self) -> Vec<u32> {
        let desk = self.desk.borrow();
        desk.lives.iter().filter(|(_, life)| !life.released).map(|(position, _)| *position).collect()
    }

    fn open_begin(&mut self, begin: &Begin) {
        let lists = self.hosting.lists();
        let job = match up(&lists, begin) {
            up if up.is_empty() => lists.job(begin.position),
            up => lists.among(up, begin.step).job(begin.position),
        };
        self.open(begin.position, job, begin.step);
        if let Some(life) = self.desk.borrow_mut().lives.get_mut(&begin.position) {
            life.planned_us = begin.at_us;
        }
    }

    /// The instances here are told who is up since a step.
    fn tell_live(&self, begin: &Begin) {
        let lists = self.hosting.lists();
        let up = up(&lists, begin);
        if !up.is_empty() {
            self.tell_up(&lists, up, begin.step);
        }
    }

    /// The instances here that have begun, or are about to, are told who is up.
    fn tell_up(&self, lists: &Lists, up: Vec<u32>, instant: u64) {
        let among = lists.among(up, instant);
        let desk = self.desk.borrow();
        for (&position, _) in desk.lives.iter().filter(|(_, life)| life.released || life.step == 0) {
            self.worker.set_live_nodes(position, among.nodes(position));
        }
    }

    /// Does what is due.
    fn carry_out(&mut self) {
        while let Some(entry) = self.plans.first_entry() {
            if entry.key().0 > Instant::now() {
                return;
            }
            match entry.remove() {
                Plan::Release(positions) => positions.into_iter().for_each(|position| self.release(position)),
                Plan::Begin(begin) => {
                    let at = self.desk.borrow().lives.get(&begin.position).map(|life| life.step);
                    if at.is_some_and(|step| step != begin.step) {
                        self.stop(begin.position, churn(begin.step, begin.at_us), Duration::ZERO);
                    }
                    if at != Some(begin.step) {
                        self.open_begin(&begin);
                    }
                    self.tell_live(&begin);
                    self.release(begin.position);
                }
                Plan::Live(begin) => self.tell_live(&begin),
                Plan::End(end) => {
                    let grace = Duration::from_millis(end.grace_ms);
                    self.stop(end.position, churn(end.step, end.at_us), grace);
                }
            }
        }
    }

    fn release(&mut self, position: u32) {
        match self.desk.borrow_mut().lives.get_mut(&position) {
            Some(life) if !life.released => life.released = true,
            _ => return,
        }
        self.worker.release(position);
    }

    /// Ends an instance, after its `job.on_stop` if there is time for it.
    fn stop(&mut self, position: u32, cause: Cause, grace: Duration) {
        match self.desk.borrow_mut().lives.get_mut(&position) {
            // One that is leaving already ends for the reason it was given first.
            Some(life) => drop(life.cause.get_or_insert(cause)),
            None => return,
        }
        if grace.is_zero() {
            self.worker.stop(position);
        } else {
            self.worker.leave(position, grace);
        }
    }

    fn stop_all(&mut self, reason: &str, grace: Duration) {
        let positions: Vec<u32> = self.desk.borrow().lives.keys().copied().collect();
        for position in positions {
            let (ending, detail) = (Ending::Stopped, reason.to_owned());
            self.stop(position, Cause { ending, detail, step: 0, planned_us: 0, acted_us: 0 }, grace);
        }
    }
}

/// Random lists of who is up now differ from those at steps, whose numbers are below this.
const UP_INSTANTS: u64 = 1 << 62;

/// Who is up at a step, among those that the job has.
fn up(lists: &Lists, begin: &Begin) -> Vec<u32> {
    begin.live.iter().copied().filter(|at| (1..=lists.total()).contains(at)).collect()
}

fn churn(step: u64, planned_us: u64) -> Cause {
    Cause { ending: Ending::Churn, detail: String::new(), step, planned_us, acted_us: local_us() }
}
