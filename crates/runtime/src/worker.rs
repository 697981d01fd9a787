//! One worker: a driver, the instances that live on it, and the loop that runs them. An instance
//! never leaves its worker.

mod prompt;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use splay_protocol::Node;

use crate::driver::{Driver, Owner, Tenant, Wake};
use crate::host::{Conditions, EndReason, InstanceConfig, InstanceNumber, Mode, Report, Usage, WorkerConfig};
use crate::scheduler::share::Share;
pub use crate::vm::{Beat, Pulse};
use crate::vm::{Instance, Next, Totals, Watchdog};

/// What resuming a coroutine takes on a slow machine, before it is multiplied, where no cost is
/// charged otherwise.
const SLOWED_RESUME: Duration = Duration::from_micros(10);

/// Turns that may pass between two looks at the driver while instances are busy.
const TURNS_PER_LOOK: usize = 32;

/// What [`Worker::step`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something ran, or the time given has passed.
    Progress,
    /// Another thread asked for attention.
    Woken,
    /// Instances wait, but nothing can ever wake them.
    Idle,
    /// No instance is left.
    Empty,
}

struct Seat {
    instance: Option<Instance>,
    number: InstanceNumber,
    queued: bool,
    /// Loaded, and its start not yet reported.
    unstarted: bool,
    /// Valid entry of the deadline heap.
    deadline: Option<Duration>,
    /// Its processor is busy until then, see [`Worker::charge_resumes`].
    busy_until: Duration,
    /// It stands still; `Some(true)`: it had something to do meanwhile.
    suspended: Option<bool>,
    /// Something may be wrong with its machine.
    ailing: bool,
    /// Its share of the processor, if that is limited.
    share: Option<Box<Share>>,
    /// What has come for it while it rests.
    held: Vec<Wake>,
}

/// Runs instances over one driver, on one OS thread.
pub struct Worker {
    driver: Rc<RefCell<Box<dyn Driver>>>,
    sink: Rc<RefCell<dyn FnMut(Report)>>,
    watchdog: Option<Watchdog>,
    seats: Vec<Seat>,
    by_number: FxHashMap<InstanceNumber, u32>,
    runnable: VecDeque<u32>,
    deadlines: BinaryHeap<Reverse<(Duration, u32)>>,
    wakes: Vec<Wake>,
    live: usize,
    /// Who runs, and since when: time is read when that changes, not at every turn.
    running: Option<u32>,
    since: Duration,
    totals: Rc<Totals>,
    resume_cost: Option<Duration>,
    pulse: Arc<Pulse>,
}

impl Worker {
    /// A worker without instances. `sink` hears every [`Report`], on the worker's thread.
    pub fn new(driver: Box<dyn Driver>, config: WorkerConfig, sink: Box<dyn FnMut(Report)>) -> Worker {
        let pulse: Arc<Pulse> = Arc::default();
        let watchdog = config.slice.and_then(|slice| {
            Watchdog::start(slice, pulse.clone())
                .inspect_err(|error| tracing::warn!(%error, "no watchdog: endless loops are not cut"))
                .ok()
        });
        Worker {
            driver: Rc::new(RefCell::new(driver)),
            sink: Rc::new(RefCell::new(sink)),
            watchdog,
            seats: Vec::new(),
            by_number: FxHashMap::default(),
            runnable: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            wakes: Vec::new(),
            live: 0,
            running: None,
            since: Duration::ZERO,
            totals: Rc::default(),
            resume_cost: None,
            pulse,
        }
    }

    /// For a driver in virtual time: each coroutine that is resumed keeps its instance's processor
    /// busy for so long. What it does it does at the beginning of that time; whatever comes for
    /// the instance meanwhile waits. Charged as the time that the instance used.
    pub fn charge_resumes(&mut self, cost: Duration) {
        self.resume_cost = Some(cost).filter(|cost| !cost.is_zero());
    }

    /// What the instances did together, from the beginning.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Looks at the driver, if it is one of this type that lets itself be looked at.
    pub fn inspect_driver<D: 'static, T>(&self, look: impl FnOnce(&D) -> T) -> Option<T> {
        self.driver.borrow().inspect().and_then(|driver| driver.downcast_ref()).map(look)
    }

    /// As [`Worker::inspect_driver`], to change it.
    pub fn change_driver<D: 'static, T>(&mut self, change: impl FnOnce(&mut D) -> T) -> Option<T> {
        let mut driver = self.driver.borrow_mut();
        driver.inspect_mut().and_then(|driver| driver.downcast_mut()).map(change)
    }

    /// Who the instance that is started or loaded next will be to the driver.
    pub fn next_owner(&self) -> Owner {
        Owner(self.seats.len() as u32)
    }

    /// What other threads may watch.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Starts an instance. What goes wrong comes as a [`Report::Ended`].
    pub fn start(&mut self, number: InstanceNumber, config: InstanceConfig) {
        let at = self.driver.borrow().wall();
        (self.sink.borrow_mut())(Report::Started { instance: number, at });
        if let Some(seat) = self.open(number, config) {
            self.queue(seat);
        }
    }

    /// Makes an instance ready but runs nothing of it until [`Worker::release`]. What goes wrong
    /// comes as a [`Report::Ended`].
    pub fn load(&mut self, number: InstanceNumber, config: InstanceConfig) {
        if let Some(seat) = self.open(number, config) {
            self.seats[seat as usize].unstarted = true;
        }
    }

    /// Runs a loaded instance; [`Report::Started`] comes as it really begins.
    pub fn release(&mut self, number: InstanceNumber) {
        if let Some(&seat) = self.by_number.get(&number) {
            self.queue(seat);
        }
    }

    fn open(&mut self, number: InstanceNumber, config: InstanceConfig) -> Option<u32> {
        let owner = Owner(self.seats.len() as u32);
        let (tenant, cpu_permille) = tenant(&config);
        self.driver.borrow_mut().admit(owner, &tenant);
        let opened = Instance::open(
            number,
            owner,
            &config,
            self.driver.clone(),
            self.sink.clone(),
            self.watchdog.as_ref(),
            self.totals.clone(),
        );
        match opened {
            Ok(instance) => {
                self.seats.push(Seat {
                    instance: Some(instance),
                    number,
                    queued: false,
                    unstarted: false,
                    deadline: None,
                    busy_until: Duration::ZERO,
                    suspended: None,
                    ailing: false,
                    share: Share::new(cpu_permille).map(Box::new),
                    held: Vec::new(),
                });
                self.by_number.insert(number, owner.0);
                self.live += 1;
                Some(owner.0)
            }
            Err(message) => {
                let at = self.driver.borrow().wall();
                let reason = EndReason::Error(message);
                let usage = Usage::default();
                (self.sink.borrow_mut())(Report::Ended { instance: number, at, reason, usage });
                None
            }
        }
    }

    /// Ends an instance.
    pub fn stop(&mut self, number: InstanceNumber) {
        if let Some(&seat) = self.by_number.get(&number) {
            self.close(seat, EndReason::Stopped);
        }
    }

    /// Has an instance leave: its `job.on_stop` is called, and it ends when that has returned, or
    /// after `grace`. Without such a function it ends at once.
    pub fn leave(&mut self, number: InstanceNumber, grace: Duration) {
        let Some(&seat) = self.by_number.get(&number) else { return };
        self.hand_over(None);
        self.since = self.driver.borrow().now();
        self.hand_over(Some(seat));
        let entry = &self.seats[seat as usize];
        if entry.instance.as_ref().is_some_and(|instance| instance.leave(self.since, grace)) {
            self.queue(seat);
        } else {
            self.close(seat, EndReason::Stopped);
        }
    }

    /// Has an instance stand still until [`Worker::resume`]: whatever comes for it waits.
    pub fn suspend(&mut self, number: InstanceNumber) {
        if let Some(&seat) = self.by_number.get(&number) {
            self.seats[seat as usize].suspended.get_or_insert(false);
        }
    }

    /// Lets an instance go on.
    pub fn resume(&mut self, number: InstanceNumber) {
        if let Some(&seat) = self.by_number.get(&number)
            && self.seats[seat as usize].suspended.take() == Some(true)
        {
            self.queue(seat);
        }
    }

    /// Something is wrong with an instance's machine from now on, or no more.
    pub fn set_conditions(&mut self, number: InstanceNumber, conditions: Conditions) {
        let Some(&seat) = self.by_number.get(&number) else { return };
        let entry = &mut self.seats[seat as usize];
        entry.ailing = conditions != Conditions::default();
        if let Some(instance) = &entry.instance {
            if self.resume_cost.is_none() {
                // What it did in health is not charged.
                instance.take_resumes();
            }
            instance.set_conditions(conditions);
        }
    }

    /// Has those instances that look at all (`check.global`) do so; each is known by its number.
    pub fn look_around(&mut self) {
        if !self.totals.looks.get() {
            return;
        }
        let instances: Vec<(InstanceNumber, &Instance)> =
            self.seats.iter().filter_map(|seat| Some((seat.number, seat.instance.as_ref()?))).collect();
        if !instances.iter().any(|(_, instance)| instance.looks()) {
            return;
        }
        let mut shown: Vec<(InstanceNumber, Option<Vec<u8>>)> =
            instances.iter().map(|(number, instance)| (*number, instance.exposed())).collect();
        shown.sort_unstable_by_key(|(number, _)| *number);
        instances.iter().filter(|(_, instance)| instance.looks()).for_each(|(_, one)| one.judge(&shown));
    }

    /// Lets time pass where no instance is left.
    pub fn pass(&mut self, until: Duration) -> io::Result<()> {
        while self.live == 0 && self.now() < until {
            self.driver.borrow_mut().poll(Some(until), &mut self.wakes)?;
            self.wakes.clear();
        }
        self.since = self.now();
        Ok(())
    }

    /// Tells an instance which nodes are there now (`job.nodes()`, `job.get_live_nodes()`).
    pub fn set_live_nodes(&self, number: InstanceNumber, nodes: Arc<[Node]>) {
        let seat = self.by_number.get(&number).map(|&seat| &self.seats[seat as usize]);
        if let Some(instance) = seat.and_then(|seat| seat.instance.as_ref()) {
            instance.set_live_nodes(nodes);
        }
    }

    /// Sets the hosts that an instance in a sandbox may not contact from now on. Connections that are
    /// open stay open.
    pub fn set_blacklist(&self, number: InstanceNumber, hosts: &[String]) {
        let seat = self.by_number.get(&number).map(|&seat| &self.seats[seat as usize]);
        if let Some(instance) = seat.and_then(|seat| seat.instance.as_ref()) {
            instance.set_blacklist(hosts.to_vec());
        }
    }

    /// Whether an instance has started and has not ended.
    pub fn is_live(&self, number: InstanceNumber) -> bool {
        self.by_number.contains_key(&number)
    }

    /// Instances that have not ended.
    pub fn live(&self) -> usize {
        self.live
    }

    /// What an instance has used so far.
    pub fn usage(&self, number: InstanceNumber) -> Option<Usage> {
        let seat = *self.by_number.get(&number)?;
        self.seats[seat as usize].instance.as_ref().map(Instance::usage)
    }

    /// The driver's monotonic time.
    pub fn now(&self) -> Duration {
        self.driver.borrow().now()
    }

    /// Runs what is ready; if nothing is, waits for something, at most until `until`
    /// (the driver's time).
    pub fn step(&mut self, until: Option<Duration>) -> io::Result<Step> {
        self.step_until(|| until)
    }

    /// The same; until when to wait is asked for when what was ready has run, since that may have
    /// given its host something to do by a certain time.
    pub fn step_until(&mut self, until: impl FnOnce() -> Option<Duration>) -> io::Result<Step> {
        if self.live == 0 {
            return self.see_off(until());
        }
        for _ in 0..TURNS_PER_LOOK {
            let Some(seat) = self.runnable.pop_front() else { break };
            self.turn(seat);
        }
        if self.live == 0 {
            return self.see_off(until());
        }
        let wait_until = if self.runnable.is_empty() {
            self.prune_deadlines();
            let next = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
            match (next, until()) {
                (Some(next), Some(until)) => Some(next.min(until)),
                (next, until) => next.or(until),
            }
        } else {
            Some(Duration::ZERO)
        };
        self.hand_over(None);
        let mut wakes = std::mem::take(&mut self.wakes);
        // A driver that has got rid of what it owed returns as well.
        let owed = self.driver.borrow().owes();
        self.driver.borrow_mut().poll(wait_until, &mut wakes)?;
        self.since = self.driver.borrow().now();
        let idle = wait_until.is_none() && wakes.is_empty() && !owed;
        let mut woken = false;
        for wake in wakes.drain(..) {
            match &wake {
                Wake::Socket { owner, .. }
                | Wake::Resolved { owner, .. }
                | Wake::Worked { owner, .. }
                | Wake::Limit { owner, .. } => {
                    let seat = owner.0;
                    if self.rests(seat) {
                        hold(&mut self.seats[seat as usize].held, wake);
                    } else if self.seats[seat as usize].instance.is_some() {
                        self.hand_over(Some(seat));
                        let meter = self.meter(seat);
                        if let Some(instance) = &self.seats[seat as usize].instance {
                            instance.wake(self.since, wake);
                        }
                        self.settle(seat, meter);
                    }
                    self.queue(seat);
                }
                Wake::External => woken = true,
            }
        }
        self.wakes = wakes;
        self.queue_due();
        Ok(match (woken, idle) {
            (true, _) => Step::Woken,
            (false, true) => Step::Idle,
            (false, false) => Step::Progress,
        })
    }

    /// Without instances: what they sent may still be on its way.
    fn see_off(&mut self, until: Option<Duration>) -> io::Result<Step> {
        if !self.driver.borrow().owes() {
            return Ok(Step::Empty);
        }
        self.hand_over(None);
        let mut wakes = Vec::new();
        self.driver.borrow_mut().poll(until, &mut wakes)?;
        let woken = wakes.iter().any(|wake| matches!(wake, Wake::External));
        Ok(if woken { Step::Woken } else { Step::Progress })
    }

    /// Runs until no instance is left or nothing can ever happen.
    pub fn run(&mut self) -> io::Result<Step> {
        loop {
            match self.step(None)? {
                end @ (Step::Idle | Step::Empty) => return Ok(end),
                Step::Progress | Step::Woken => {}
            }
        }
    }

    /// Charges whoever ran until now, and lets another run.
    fn hand_over(&mut self, seat: Option<u32>) {
        if self.running == seat {
            return;
        }
        if let Some(before) = self.running {
            let now = self.driver.borrow().now();
            let seat = &self.seats[before as usize];
            if let Some(instance) = seat.instance.as_ref().filter(|_| seat.share.is_none()) {
                instance.charge(now.saturating_sub(self.since));
            }
            self.since = now;
        }
        self.running = seat;
    }

    /// Whether an instance stands still, or has used up its share for now.
    fn rests(&self, seat: u32) -> bool {
        let entry = &self.seats[seat as usize];
        entry.suspended.is_some()
            || entry.share.as_ref().is_some_and(|share| share.rests_until() > self.since)
    }

    /// What to give to [`Worker::settle`] when the instance has run.
    fn meter(&self, seat: u32) -> Option<Duration> {
        let limited = self.seats[seat as usize].share.is_some();
        limited.then(|| self.driver.borrow().processor_time())
    }

    /// Charges an instance that has a share with what it has really used.
    fn settle(&mut self, seat: u32, meter: Option<Duration>) {
        let entry = &mut self.seats[seat as usize];
        let (Some(share), Some(before)) = (&mut entry.share, meter) else { return };
        let (now, after) = {
            let driver = self.driver.borrow();
            (driver.now(), driver.processor_time())
        };
        let used = after.saturating_sub(before);
        let rests = share.charge(now, used);
        let Some(instance) = &entry.instance else { return };
        instance.charge(used);
        if let Some(until) = rests {
            let (permille, reached) = (share.permille(), share.reached(now));
            instance.limit_met("cpu_permille", permille.into(), reached.max(permille + 1).into());
            self.driver.borrow_mut().pause(Owner(seat), until);
        }
    }

    fn turn(&mut self, seat: u32) {
        self.hand_over(Some(seat));
        let meter = self.meter(seat);
        let entry = &mut self.seats[seat as usize];
        entry.queued = false;
        let Some(instance) = &entry.instance else { return };
        if let Some(missed) = &mut entry.suspended {
            *missed = true;
            return;
        }
        if std::mem::take(&mut entry.unstarted) {
            let at = self.driver.borrow().wall();
            (self.sink.borrow_mut())(Report::Started { instance: entry.number, at });
        }
        self.pulse.begin(entry.number);
        for wake in entry.held.drain(..) {
            instance.wake(self.since, wake);
        }
        let mut next = instance.turn(self.since);
        self.pulse.end();
        if self.resume_cost.is_some() || entry.ailing {
            let Conditions { slowness, .. } = instance.conditions();
            let slowed = if slowness > 1.0 { SLOWED_RESUME } else { Duration::ZERO };
            let cost = self.resume_cost.unwrap_or(slowed).mul_f64(slowness);
            let resumes = u32::try_from(instance.take_resumes()).unwrap_or(u32::MAX);
            let spent = cost * resumes + instance.take_owed();
            instance.charge(spent);
            entry.busy_until = entry.busy_until.max(self.since) + spent;
            self.driver.borrow_mut().pause(Owner(seat), entry.busy_until);
            next = match next {
                Next::Ready => Next::At(entry.busy_until),
                Next::At(deadline) => Next::At(deadline.max(entry.busy_until)),
                other => other,
            };
        }
        self.settle(seat, meter);
        let entry = &mut self.seats[seat as usize];
        if let Some(share) = entry.share.as_ref().filter(|share| share.rests_until() > self.since) {
            next = match next {
                Next::Ready => Next::At(share.rests_until()),
                Next::At(deadline) => Next::At(deadline.max(share.rests_until())),
                other => other,
            };
        }
        match next {
            Next::Ready => self.queue(seat),
            Next::At(deadline) => {
                if entry.deadline != Some(deadline) {
                    entry.deadline = Some(deadline);
                    self.deadlines.push(Reverse((deadline, seat)));
                }
            }
            Next::Wake => entry.deadline = None,
            Next::Ended(reason) => self.close(seat, reason),
        }
    }

    fn queue(&mut self, seat: u32) {
        let entry = &mut self.seats[seat as usize];
        if entry.queued || entry.instance.is_none() {
            return;
        }
        let rests_until = entry.share.as_ref().map_or(Duration::ZERO, |share| share.rests_until());
        if rests_until > self.since {
            if entry.deadline.is_none_or(|deadline| deadline > rests_until) {
                entry.deadline = Some(rests_until);
                self.deadlines.push(Reverse((rests_until, seat)));
            }
            return;
        }
        entry.queued = true;
        self.runnable.push_back(seat);
    }

    fn prune_deadlines(&mut self) {
        while let Some(Reverse((deadline, seat))) = self.deadlines.peek() {
            if self.seats[*seat as usize].deadline == Some(*deadline) {
                break;
            }
            self.deadlines.pop();
        }
    }

    fn queue_due(&mut self) {
        if self.deadlines.is_empty() {
            return;
        }
        let now = self.since;
        while let Some(Reverse((deadline, seat))) = self.deadlines.peek().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop();
            if self.seats[seat as usize].deadline == Some(deadline) {
                self.seats[seat as usize].deadline = None;
                self.queue(seat);
            }
        }
    }

    fn close(&mut self, seat: u32, reason: EndReason) {
        let entry = &mut self.seats[seat as usize];
        entry.deadline = None;
        if let Some(instance) = entry.instance.take() {
            if self.running == Some(seat) {
                let now = self.driver.borrow().now();
                if entry.share.is_none() {
                    instance.charge(now.saturating_sub(self.since));
                }
                self.running = None;
                self.since = now;
            }
            self.by_number.remove(&entry.number);
            self.live -= 1;
            self.pulse.begin_close(entry.number);
            instance.close(reason);
            self.pulse.end();
        }
    }
}

/// Keeps a wake for later, once for each socket.
fn hold(held: &mut Vec<Wake>, wake: Wake) {
    if let Wake::Socket { socket: new, readable: reads, writable: writes, .. } = &wake {
        for before in held.iter_mut() {
            if let Wake::Socket { socket, readable, writable, .. } = before
                && socket == new
            {
                *readable |= reads;
                *writable |= writes;
                return;
            }
        }
    }
    held.push(wake);
}

/// Who an instance is to the driver, and its share of the processor.
fn tenant(config: &InstanceConfig) -> (Tenant, u32) {
    let position = config.job.as_ref().map_or(0, |job| job.position);
    match &config.mode {
        Mode::Sandboxed(sandbox) => {
            let tenant = Tenant {
                position,
                send_bytes_per_second: sandbox.send_bytes_per_second,
                receive_bytes_per_second: sandbox.receive_bytes_per_second,
            };
            (tenant, sandbox.cpu_permille)
        }
        Mode::Interpreter | Mode::Hosted => (Tenant { position, ..Tenant::default() }, 0),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for seat in 0..self.seats.len() as u32 {
            self.close(seat, EndReason::Stopped);
        }
    }
}
