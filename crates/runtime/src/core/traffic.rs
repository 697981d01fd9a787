//! The native part of `splay.traffic`: tests in threads of their own, beside the scheduler, within
//! the job's limits. What flows over the framework's own sockets is Lua (`splay.traffic_flows`).

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use splay_traffic::hooks::{Hook, HookFactory, NoHooks};
use splay_traffic::lua::{Image, LuaHooks, Reach, push_names};
use splay_traffic::{Allowance, Family, Options, Outcome, Stop, Workload};

use super::function_table;
use super::socket::guard;
use crate::host::Mode;
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Kind, Module, NativeError, Request, Return, Stack, Wait};

/// The module behind `splay.traffic`.
pub const MODULE: Module = Module {
    name: "splay.traffic_core",
    open: |_, stack| {
        function_table(stack, &[(c"engine", engine), (c"syscalls", syscalls), (c"test", test)]);
    },
};

/// The text of what a job has no grant for.
const REFUSED: &str = "Operation not permitted";

/// What an instance's tests have in common.
#[derive(Default)]
struct Account {
    /// Threads at work.
    threads: Cell<u32>,
    allowance: OnceCell<Arc<Allowance>>,
    /// Bytes sent and received that the allowance knows of.
    charged: Cell<(u64, u64)>,
}

impl Account {
    /// What is left of the job's limits; `None`: there are none.
    fn allowance(&self, cx: &Ctx) -> Option<Arc<Allowance>> {
        let Mode::Sandboxed(sandbox) = cx.mode() else { return None };
        let allowance = self.allowance.get_or_init(|| {
            let (sent, received) = (sandbox.max_send_bytes, sandbox.max_receive_bytes);
            Arc::new(Allowance::new(sandbox.max_sockets as usize, Some(sent), Some(received)))
        });
        self.settle(cx);
        Some(allowance.clone())
    }

    /// Tells the allowance what the instance's own sockets have done, and the instance's counters
    /// what its tests have.
    fn settle(&self, cx: &Ctx) {
        let Some(allowance) = self.allowance.get() else { return };
        let (sent, received) = self.charged.get();
        let counters = &cx.counters;
        allowance.charge(counters.sent_bytes.get() - sent, counters.received_bytes.get() - received);
        let used = allowance.used();
        counters.sent_bytes.set(used.0);
        counters.received_bytes.set(used.1);
        self.charged.set(used);
    }
}

/// How a test ended: its figures by name, and what its hooks collected; or why it failed.
type Ended = Result<(Vec<(String, String)>, Vec<Option<Image>>), String>;

/// A thread of the instance waits for a test.
struct Test {
    stop: Stop,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl Request for Test {
    fn poll(&mut self, _: &Ctx, stack: Stack) -> Option<i32> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(match ended {
            Ok((figures, collected)) => push_outcome(stack, &figures, &collected),
            Err(text) => {
                stack.push_nil();
                stack.push_str(&text);
                2
            }
        })
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        stack.push_nil();
        stack.push_str("timeout");
        Wait::Over(2)
    }

    fn release(&mut self, _: &Ctx, _: ThreadId) {}
}

impl Drop for Test {
    /// Whoever waited is gone: killed, or at the end of its time.
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Pushes the figures as a table, and an array of what each worker collected.
fn push_outcome(stack: Stack, figures: &[(String, String)], collected: &[Option<Image>]) -> i32 {
    stack.new_table(0, figures.len() as i32);
    for (name, value) in figures {
        stack.push_str(name);
        match value.parse::<f64>() {
            Ok(number) => stack.push_number(number),
            Err(_) => stack.push_str(value),
        }
        stack.raw_set(-3);
    }
    stack.new_table(collected.len() as i32, 0);
    let list = stack.top();
    for (index, image) in collected.iter().enumerate() {
        let Some(image) = image else { continue };
        // SAFETY: the state is live and this thread's own.
        match unsafe { image.push_roots(stack.raw()) } {
            Ok(()) => stack.raw_set_index(list, index as i32 + 1),
            Err(error) => tracing::warn!(%error, "collected values are lost"),
        }
        stack.set_top(list);
    }
    2
}

/// The settings of a test, as a table of a program gives them.
struct Settings(BTreeMap<String, Value>);

enum Value {
    Number(f64),
    Text(String),
    Truth(bool),
    Numbers(Vec<f64>),
}

impl Settings {
    /// Reads the table at an index.
    fn read(stack: Stack, index: i32) -> Settings {
        let index = stack.absolute(index);
        let mut settings = BTreeMap::new();
        stack.push_nil();
        while stack.next(index) {
            let value = match stack.kind(-1) {
                Kind::Number => stack.number(-1).map(Value::Number),
                Kind::String => stack.text(-1).map(Value::Text),
                Kind::Boolean => Some(Value::Truth(stack.truth(-1))),
                Kind::Table => {
                    let mut numbers = Vec::new();
                    for n in 1..=stack.raw_len(-1) as i32 {
                        stack.raw_get_index(-1, n);
                        numbers.extend(stack.number(-1));
                        stack.pop(1);
                    }
                    Some(Value::Numbers(numbers))
                }
                _ => None,
            };
            if let (Kind::String, Some(value)) = (stack.kind(-2), value)
                && let Some(name) = stack.text(-2)
            {
                settings.insert(name, value);
            }
            stack.pop(1);
        }
        Settings(settings)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn truth(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Truth(true)))
    }

    /// A number that may be left out, in a range.
    fn number(&self, name: &str, default: f64, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Number(number)) if range.contains(number) => Ok(*number),
            Some(_) => Err(format!("{name}: a number from {} to {} is needed", range.start(), range.end())),
        }
    }

    fn options(&self) -> Result<Options, String> {
        let name = self.text("workload").unwrap_or_default();
        let workload = Workload::named(name).ok_or_else(|| format!("workload: there is no `{name}`"))?;
        let basic = Options::new(workload);
        let size = |name: &str, default: usize| {
            self.number(name, default as f64, 1.0..=f64::from(1 << 30)).map(|size| size as usize)
        };
        let port = |name: &str, default: u16| {
            self.number(name, default.into(), 1.0..=65_535.0).map(|port| port as u16)
        };
        let seconds =
            |name: &str, default: f64| self.number(name, default, 0.0..=1e6).map(Duration::from_secs_f64);
        let patience = seconds("patience", 30.0)?;
        Ok(Options {
            client: self.truth("client"),
            host: self.text("host").map(str::to_owned),
            local_host: self.text("local_host").map(str::to_owned),
            control_port: port("control_port", basic.control_port)?,
            port: port("port", basic.port)?,
            num_flows: size("flows", 1)?,
            num_threads: size("threads", 1)?,
            num_clients: size("clients", 1)?,
            test_length: self.number("length", 1.0, 1.0..=86_400.0)?.ceil() as u32,
            interval: seconds("interval", 1.0)?,
            family: match self.0.get("family") {
                Some(Value::Number(4.0)) => Family::V4,
                Some(Value::Number(6.0)) => Family::V6,
                _ => Family::Any,
            },
            magic: self.number("magic", 42.0, 0.0..=f64::from(u32::MAX))? as u32,
            max_pacing_rate: self.number("pacing", 0.0, 0.0..=1e12)? as u64,
            request_size: size("request_size", basic.request_size)?,
            response_size: size("response_size", basic.response_size)?,
            buffer_size: size("buffer_size", basic.buffer_size)?,
            percentiles: match self.0.get("percentiles") {
                Some(Value::Numbers(list)) => list.clone(),
                _ => Vec::new(),
            },
            enable_read: self.truth("read"),
            enable_write: self.truth("write"),
            edge_trigger: self.truth("edge_trigger"),
            reuseport: self.truth("reuseport"),
            delay: seconds("delay", 0.0)?,
            patience: (!patience.is_zero()).then_some(patience),
            ..basic
        })
    }
}

/// Whether a sandboxed instance may do this test now.
fn permitted(cx: &Ctx, account: &Account, options: &Options) -> Result<(), String> {
    let Mode::Sandboxed(sandbox) = cx.mode() else { return Ok(()) };
    if sandbox.traffic_threads == 0 {
        return Err(REFUSED.to_owned());
    }
    let restricted = || guard::RESTRICTED.to_owned();
    if account.threads.get() + options.num_threads as u32 > sandbox.traffic_threads {
        cx.limit_met(
            "traffic_threads",
            sandbox.traffic_threads.into(),
            u64::from(account.threads.get()) + options.num_threads as u64,
        );
        return Err(restricted());
    }
    let open = cx.counters.tcp_sockets.get() + cx.counters.udp_sockets.get();
    if options.num_flows + open as usize + 1 > sandbox.max_sockets as usize {
        cx.limit_met(
            "max_sockets",
            sandbox.max_sockets.into(),
            options.num_flows as u64 + u64::from(open) + 1,
        );
        return Err(restricted());
    }
    if options.client {
        // Names are looked up before, by the instance itself.
        let host = options.host.as_deref().unwrap_or_default();
        let address: IpAddr = host.parse().map_err(|_| format!("host: `{host}` is no address"))?;
        guard::may_contact(cx, host)
            .and_then(|()| guard::may_reach(cx, address))
            .map_err(|_| restricted())?;
        return Ok(());
    }
    let last = match options.workload.is_udp() && !options.reuseport {
        true => options.port.saturating_add(options.num_threads as u16 - 1),
        false => options.port,
    };
    for port in [options.control_port, options.port, last] {
        guard::may_bind(cx, port).map_err(|_| restricted())?;
    }
    Ok(())
}

/// The hooks among the fields of a table at an index, ready for the workers.
fn hooks(stack: Stack, options: &Options) -> Result<Option<LuaHooks>, String> {
    if stack.kind(2) != Kind::Table {
        return Ok(None);
    }
    let role = if options.client { "client" } else { "server" };
    let first = stack.top() + 1;
    let mut set = Vec::new();
    stack.reserve(20);
    for hook in Hook::ALL {
        stack.push_str(hook.name());
        stack.raw_get(2);
        match stack.kind(-1) {
            Kind::Function => set.push(hook),
            Kind::Nil => stack.pop(1),
            _ => return Err(format!("{role} hooks: {} is no function", hook.name())),
        }
    }
    let roots: Vec<i32> = (first..first + set.len() as i32).collect();
    // SAFETY: the state is live and this thread's own; the indices were just pushed, those of names
    // and wrappers are arguments.
    let image = unsafe { Image::capture(stack.raw(), &roots, 3, 4) };
    let image = image.map_err(|text| format!("{role} hooks: {text}"))?;
    Ok(Some(LuaHooks::new(image, set, role, Reach::Confined, options.num_threads)))
}

/// The test itself, in a thread of its own.
fn carry_out(options: &Options, hooks: Option<LuaHooks>, stop: &Stop) -> Ended {
    let factory: &dyn HookFactory = match &hooks {
        Some(hooks) => hooks,
        None => &NoHooks,
    };
    let outcome: Outcome = splay_traffic::run(options, factory, stop).map_err(|error| error.to_string())?;
    let mut figures = outcome.listing(options);
    figures.push(("sent_bytes".to_owned(), outcome.sent_bytes.to_string()));
    figures.push(("received_bytes".to_owned(), outcome.received_bytes.to_string()));
    Ok((figures, hooks.map_or_else(Vec::new, LuaHooks::gathered)))
}

native! {
    /// `engine() -> "native"`, or `"cooperative"` where time is virtual; nil where there is no grant.
    fn engine(cx, stack) {
        match cx.mode() {
            Mode::Sandboxed(sandbox) if sandbox.traffic_threads == 0 => {
                stack.push_nil();
                stack.push_str(REFUSED);
                return Ok(Return::Values(2));
            }
            _ => {}
        }
        let is_virtual = cx.driver().is_virtual();
        stack.push_str(if is_virtual { "cooperative" } else { "native" });
        Ok(Return::Values(1))
    }

    /// `syscalls(table) -> names`: puts what hooks know into the table, and returns by which names.
    fn syscalls(cx, stack) {
        stack.check_table(1)?;
        // SAFETY: the state is live and this thread's own.
        unsafe { push_names(stack.raw(), 1) }.map_err(NativeError::Message)?;
        Ok(Return::Values(1))
    }

    /// `test(settings, hooks, names, wrappers) -> figures, collected, met`: does one test; the thread
    /// waits. nil and why it failed.
    fn test(cx, stack) {
        stack.check_table(1)?;
        stack.set_top(4);
        if stack.kind(2) == Kind::Table {
            stack.check_table(3)?;
            stack.check_table(4)?;
        }
        let refuse = |text: &str| {
            stack.push_nil();
            stack.push_str(text);
            Ok(Return::Values(2))
        };
        let mut options = match Settings::read(stack, 1).options() {
            Ok(options) => options,
            Err(text) => return refuse(&text),
        };
        let account = cx.extension::<Account>();
        if let Err(text) = permitted(cx, &account, &options) {
            return refuse(&text);
        }
        options.allowance = account.allowance(cx);
        let hooks = match hooks(stack, &options) {
            Ok(hooks) => hooks,
            Err(text) => return refuse(&text),
        };
        if hooks.is_some() {
            // The wrappers that were met, for whoever fills them afterwards.
            stack.push_str("met");
            stack.push_value(-2);
            stack.raw_set(4);
        }
        let thread = cx.waiter()?;
        let stop = match Stop::new() {
            Ok(stop) => stop,
            Err(error) => return refuse(&error.to_string()),
        };
        let ended: Arc<Mutex<Option<Ended>>> = Arc::default();
        let threads = options.num_threads as u32;
        let work = {
            let (stop, ended) = (stop.clone(), ended.clone());
            move || {
                let result = carry_out(&options, hooks, &stop);
                *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        };
        let done: Rc<Account> = account.clone();
        let started = cx.work(work, move |cx| {
            done.threads.set(done.threads.get() - threads);
            done.settle(cx);
            cx.poll_request(thread);
        });
        if let Err(error) = started {
            return refuse(&error.to_string());
        }
        account.threads.set(account.threads.get() + threads);
        cx.suspend(Box::new(Test { stop, ended }), None)
    }
}
