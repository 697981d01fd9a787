//! Runs one handler: a script in a fresh nested state, one of its functions, one transaction on one
//! object. What comes of it is told by numbers, as a RADOS client is told.

use std::cell::{OnceCell, RefCell, RefMut};
use std::ffi::{CString, c_int};
use std::time::Instant;

use mlua::ffi;
use splay_objstore::{Draft, Errno, Transaction};

use super::{bufferlist, objclass};
use crate::vm::nested::{Budget, Meter, Sandbox, Spent, enter_nested};
use crate::vm::{BYTECODE, Kind, NativeError, NativeResult, Return, Stack, State, compile};

/// What a logged line counts for beside its bytes.
const LINE_BYTES: usize = 32;

thread_local! {
    /// The state in which the handlers of this thread's instances run, one after the other.
    static SANDBOX: RefCell<Option<Sandbox>> = const { RefCell::new(None) };
}

/// A line that a handler logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// 0 for what matters most; 10 if none was given.
    pub level: i64,
    /// What.
    pub text: Vec<u8>,
}

/// A script, compiled when it is first run.
#[derive(Debug)]
pub struct Script {
    /// Its name in messages.
    name: CString,
    source: Vec<u8>,
    /// Bytecode, or why it is no script.
    compiled: OnceCell<Result<Vec<u8>, String>>,
}

impl Script {
    /// A script of that name.
    pub fn new(name: &str, source: &[u8]) -> Script {
        let name = CString::new(format!("={}", name.replace('\0', ""))).expect("without zero bytes");
        Script { name, source: source.to_vec(), compiled: OnceCell::new() }
    }

    /// Bytes it takes, roughly.
    pub fn weight(&self) -> usize {
        2 * self.source.len() + 256
    }

    fn compile(&self, stack: Stack) -> Result<Vec<u8>, String> {
        if self.source.first() == Some(&BYTECODE) {
            return Err("bytecode is no script".to_owned());
        }
        compile(stack, &self.name.to_string_lossy(), &crate::compat::prepare(&self.source))
    }
}

/// Which handler of which script, and how what is not one is answered.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The script.
    pub script: &'a Script,
    /// Name of a global function of it; empty: the script alone.
    pub handler: &'a [u8],
    /// What it gets.
    pub input: &'a [u8],
    /// The answer for a function that is not registered.
    pub unregistered: Errno,
}

/// What a handler may use.
#[derive(Debug, Clone, Copy)]
pub struct HandlerLimits {
    /// Steps of work (see [`crate::vm::nested`]).
    pub steps: u64,
    /// Bytes of its memory.
    pub memory_bytes: usize,
    /// When it is cut in any case.
    pub deadline: Option<Instant>,
}

/// What came of a call.
#[derive(Debug, Default)]
pub struct Outcome {
    /// 0 or what the handler returned; negative: an error's number, and nothing has changed.
    pub ret: i32,
    /// What it put into its output.
    pub output: Vec<u8>,
    /// What it logged.
    pub log: Vec<Line>,
    /// Why, if it failed by an error.
    pub error: Option<String>,
    /// What is to be committed.
    pub draft: Option<Draft>,
}

/// One run, as the natives of the nested state know it.
pub(super) struct Run<'a> {
    call: Call<'a>,
    transaction: RefCell<Transaction<'a>>,
    log: RefCell<(Vec<Line>, usize)>,
    answer: RefCell<Answer>,
}

/// What the entry found out.
#[derive(Default)]
struct Answer {
    ret: Option<Result<i32, (Errno, String)>>,
    output: Vec<u8>,
}

impl<'a> Run<'a> {
    pub(super) fn transaction(&self) -> RefMut<'_, Transaction<'a>> {
        self.transaction.borrow_mut()
    }

    /// Keeps a line, which counts as the handler's memory does.
    pub(super) fn log(&self, meter: &Meter, line: Line) -> Result<(), NativeError> {
        let (lines, bytes) = &mut *self.log.borrow_mut();
        *bytes += line.text.len() + LINE_BYTES;
        if *bytes > meter.memory_bytes() {
            return Err(meter.out_of_memory());
        }
        lines.push(line);
        Ok(())
    }

    fn answer(&self, ret: Result<i32, (Errno, String)>) {
        self.answer.borrow_mut().ret = Some(ret);
    }
}

/// `print` of a handler: a line of its log.
fn print(meter: &Meter, line: &[u8]) {
    // SAFETY: handlers run for a `Run` alone.
    let run = unsafe { meter.host::<Run<'_>>() };
    // If there is no memory for it, the next instruction is the last.
    let _ = run.log(meter, Line { level: 10, text: line.to_vec() });
}

/// What a handler that raised an error is answered with: the number of a call that failed, or `EIO`.
fn raised(meter: &Meter, stack: Stack) -> (Errno, String) {
    match meter.take_coded() {
        Some(coded) => (Errno(coded.number), coded.message),
        None => {
            let kind = stack.type_name(-1);
            let text = stack.text(-1);
            (Errno::EIO, text.unwrap_or_else(|| format!("(error object is a {kind} value)")))
        }
    }
}

/// The last of so many returned values, as a C `int`.
fn returned(stack: Stack, count: i32) -> Result<i32, (Errno, String)> {
    if count == 0 {
        return Ok(0);
    }
    let number = match stack.kind(-1) {
        Kind::Number | Kind::String => stack.number(-1),
        _ => None,
    };
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(63) => Ok(number as i64 as i32),
        _ => Err((Errno::EIO, format!("handler returned a {} that is no integer", stack.type_name(-1)))),
    }
}

fn body(meter: &Meter, stack: Stack) -> NativeResult {
    // SAFETY: handlers run for a `Run` alone.
    let run = unsafe { meter.host::<Run<'_>>() };
    let call = run.call;
    stack.set_top(0);
    let bytecode = match call.script.compiled.get() {
        Some(Ok(bytecode)) => bytecode,
        Some(Err(message)) => {
            run.answer(Err((Errno::EIO, message.clone())));
            return Ok(Return::Values(0));
        }
        // It could not even be compiled with what it may use.
        None => return Ok(Return::Values(0)),
    };
    if !stack.load(bytecode, &call.script.name) {
        run.answer(Err((Errno::EIO, stack.text(-1).unwrap_or_default())));
        return Ok(Return::Values(0));
    }
    if !stack.protected_call(0, 0, 0) {
        let (_, message) = raised(meter, stack);
        run.answer(Err((Errno::EIO, message)));
        return Ok(Return::Values(0));
    }
    if call.handler.is_empty() {
        run.answer(Ok(0));
        return Ok(Return::Values(0));
    }
    stack.field(ffi::LUA_REGISTRYINDEX, objclass::REGISTERED);
    stack.push_bytes(call.handler);
    stack.raw_get(ffi::LUA_GLOBALSINDEX);
    if stack.kind(-1) != Kind::Function {
        let name = String::from_utf8_lossy(call.handler);
        run.answer(Err((Errno::EOPNOTSUPP, format!("no function `{name}`"))));
        return Ok(Return::Values(0));
    }
    stack.push_value(-1);
    stack.raw_get(-3);
    if !stack.truth(-1) {
        run.answer(Err((call.unregistered, "Handler is not registered".to_owned())));
        return Ok(Return::Values(0));
    }
    stack.set_top(2);
    bufferlist::push(meter, stack, call.input, &[])?;
    bufferlist::push(meter, stack, &[], &[])?;
    // 1: registered functions, 2: output, then what is called.
    stack.push_value(-1);
    stack.replace(1);
    let base = stack.top() - 3;
    let worked = stack.protected_call(2, ffi::LUA_MULTRET, 0);
    let ret = match worked {
        true => returned(stack, stack.top() - base),
        false => Err(raised(meter, stack)),
    };
    run.answer.borrow_mut().output = bufferlist::bytes(stack, 1).unwrap_or_default().to_vec();
    run.answer(ret);
    Ok(Return::Values(0))
}

/// Compiles the script of a run, in a run of its own: whether a script is known already makes no
/// difference to the handler, not even in the addresses it sees.
fn prepare(meter: &Meter, stack: Stack) -> NativeResult {
    // SAFETY: handlers run for a `Run` alone.
    let script = unsafe { meter.host::<Run<'_>>() }.call.script;
    let compiled = script.compile(stack);
    // What was cut for want of memory or time is no property of the script.
    meter.check()?;
    script.compiled.get_or_init(|| compiled);
    Ok(Return::Values(0))
}

unsafe extern "C-unwind" fn prepare_entry(state: State) -> c_int {
    // SAFETY: called protected by the sandbox, in a nested state.
    unsafe { enter_nested(state, prepare) }
}

unsafe extern "C-unwind" fn entry(state: State) -> c_int {
    // SAFETY: called protected by the sandbox, in a nested state.
    unsafe { enter_nested(state, body) }
}

/// Runs a handler on the object of a transaction. An error is that there is no state to run it in.
pub fn run(transaction: Transaction<'_>, call: Call<'_>, limits: HandlerLimits) -> Result<Outcome, String> {
    let budget = Budget { steps: limits.steps, memory_bytes: limits.memory_bytes, deadline: limits.deadline };
    let run = Run {
        call,
        transaction: RefCell::new(transaction),
        log: RefCell::default(),
        answer: RefCell::default(),
    };
    let ended = SANDBOX.with_borrow_mut(|sandbox| {
        let sandbox = match sandbox {
            Some(sandbox) => sandbox,
            None => sandbox.insert(Sandbox::open(objclass::add)?),
        };
        if call.script.compiled.get().is_none()
            && let Err(spent) = sandbox.run(budget, &run, print, prepare_entry)
        {
            return Ok(Err(spent));
        }
        Ok::<_, String>(sandbox.run(budget, &run, print, entry))
    })?;
    let Answer { ret, output } = run.answer.into_inner();
    let ret = match (ended, ret) {
        (Err(spent), _) => {
            let errno = if spent == Spent::Memory { Errno::ENOMEM } else { Errno::ETIME };
            Err((errno, spent.text().to_owned()))
        }
        (Ok(()), ret) => ret.unwrap_or_else(|| Err((Errno::EFAULT, "the handler broke down".to_owned()))),
    };
    let (ret, error) = match ret {
        Ok(ret) => (ret, None),
        Err((errno, message)) => (-errno.0, Some(message)),
    };
    let draft = if ret < 0 { None } else { run.transaction.into_inner().finish() };
    Ok(Outcome { ret, output, log: run.log.into_inner().0, error, draft })
}
