//! `splay repl`: a prompt inside a running instance of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueHint};
use crossbeam_channel::{Receiver, Sender};
use splay_protocol::{Job, ListType, Lists, loopback_nodes};
use splay_runtime::host::{
    Completion, EndReason, EvaluationReport, InstanceConfig, Mode, Report, Stream, WorkerConfig,
};
use splay_runtime::program::{Program, ProgramError};

use super::lua::after;
use crate::dispatcher::Input;
use crate::engine::{Cutter, Engine, EngineConfig, Prompts};
use crate::failure::{Failure, STATUS_BROKEN};
use crate::preflight;
use crate::prompt::{self, Heard, Session};

const EXAMPLES: &str = "\
Examples:
  splay repl
      > events.thread(function() while events.sleep(1) do print(\"tick\") end end)
      > events.sleep(3)
      > rpc = require \"splay.rpc\"
      > rpc.server(job.me)
      > rpc.call(job.me, {\"string.rep\", \"ab\", 3})
      \"ababab\"
  splay repl chord.lua              the functions of an application, and its threads going on
  echo 'misc.size({1, 2})' | splay repl
      code from a pipe: only what it prints and the values are shown

Keys: Tab completes globals, fields, methods and modules; the arrows and Ctrl-R find earlier lines;
a chunk that has not ended continues on the next line; Ctrl-C drops the line, or interrupts what
runs; Ctrl-D leaves. Lines are kept in $XDG_STATE_HOME/splay/history (~/.local/state/splay/history).

Locals last as long as their chunk: use globals.

Exit status: what the program gives to os.exit, 0 at Ctrl-D or the end of the input, 1 if code from
a pipe failed; 2 wrong command line, 3 file missing or unreadable, 4 not valid Lua, 5 no free port,
130 interrupted.";

/// Evaluate Lua as you type it, in a live instance: what waits waits, other threads go on.
///
/// The globals are those of an application: `require "splay.base"` is done, `job` is that of a
/// single instance on a free port.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplArgs {
    /// An application to run first. Its threads go on at the prompt.
    #[arg(value_name = "APP.lua", value_hint = ValueHint::FilePath)]
    app: Option<PathBuf>,
    /// What the application finds in `arg`.
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Where ports are looked for: where those of `splay run` begin.
const FIRST_PORT: u16 = 20_000;

/// The prompt interrupts, not the watchdog; this only has to be longer than anyone waits.
const SLICE: Duration = Duration::from_secs(u32::MAX as u64);

/// A thread that has run for so long without yielding when Ctrl-C comes is what is meant.
const INTERRUPT_PATIENCE: Duration = Duration::from_millis(100);

/// The one instance.
const INSTANCE: u32 = 1;

/// Starts the instance and the prompt.
pub fn execute(args: ReplArgs) -> Result<ExitCode, Failure> {
    let program = Arc::new(program(args.app.as_deref())?);
    let (port, _kept) = preflight::reserve_free(FIRST_PORT, 1, "a `splay repl`")?;
    let lists = Lists::new("repl".to_owned(), loopback_nodes(1, port)?, ListType::Head, None, 0)?;
    let job = lists.job(INSTANCE);
    let banner = format!(
        "Lua 5.1 (LuaJIT), splay {}; this is {}:{}; Tab completes, Ctrl-D leaves",
        env!("CARGO_PKG_VERSION"),
        job.me.ip,
        job.me.port
    );
    open(program, args.arguments, Some(job), true, &banner)
}

/// Runs a program in an instance that lives on, and opens a prompt there.
pub fn open(
    program: Arc<Program>,
    arguments: Vec<String>,
    job: Option<Job>,
    jit: bool,
    banner: &str,
) -> Result<ExitCode, Failure> {
    let (session, heard) = Local::start(program, arguments, job, jit)?;
    prompt::talk(Arc::new(session), heard, banner)
}

fn program(app: Option<&Path>) -> Result<Program, Failure> {
    let base = ["require 'splay.base'".to_owned()];
    let (name, directory, source) = match app {
        None => ("prompt".into(), Some(PathBuf::from(".")), Vec::new()),
        Some(path) => {
            // Errors are those of the file as it is.
            let program = Program::load(path)?;
            if program.precompiled {
                return Ok(program);
            }
            let source =
                std::fs::read(path).map_err(|source| ProgramError::Read { path: path.to_owned(), source })?;
            (path.to_string_lossy(), program.directory, source)
        }
    };
    Ok(Program::from_source(&name, &after(&base, source)?, directory)?)
}

/// An instance of this process's.
struct Local {
    prompts: Prompts,
    heard: Sender<Heard>,
    last: AtomicU64,
}

impl Local {
    fn start(
        program: Arc<Program>,
        arguments: Vec<String>,
        job: Option<Job>,
        jit: bool,
    ) -> Result<(Local, Receiver<Heard>), Failure> {
        let (heard, hears) = crossbeam_channel::bounded(prompt::QUEUE);
        let config = EngineConfig {
            workers: 1,
            instances: 1,
            worker: WorkerConfig { slice: Some(SLICE) },
            // Not told to the instance: it has the job given, or none.
            lists: Lists::new("repl", loopback_nodes(INSTANCE, FIRST_PORT)?, ListType::Head, None, 0)?,
            churn: None,
            keep: true,
            traffic: None,
        };
        let configure = move |_, _| InstanceConfig {
            program: program.clone(),
            arguments: arguments.clone(),
            job: job.clone(),
            mode: Mode::Hosted,
            jit,
            compact: false,
            seed: None,
            max_memory_bytes: None,
        };
        let tells = heard.clone();
        // Once nobody listens, the process is about to end.
        let tell = move |input| as_heard(input).map_or((), |one| drop(tells.send(one)));
        let engine = Engine::start(config, configure, tell)?;
        let prompts = engine.prompts();
        Ok((Local { prompts, heard, last: AtomicU64::new(0) }, hears))
    }
}

/// What a worker tells, as the prompt hears it.
fn as_heard(input: Input) -> Option<Heard> {
    let gone = |message: String, status| Some(Heard::Gone { message, status });
    match input {
        Input::Report(Report::Output { stream, line, .. }) => Some(Heard::Line { stream, line }),
        Input::Report(Report::ThreadDied { error, .. }) => {
            Some(Heard::Line { stream: Stream::Err, line: error.into_bytes() })
        }
        Input::Report(Report::Ended { reason, .. }) => match reason {
            // As the operating system does: the low eight bits.
            EndReason::Exit(status) => gone(String::new(), status as u8),
            EndReason::Error(message) => gone(message, 1),
            EndReason::Memory => gone("not enough memory".to_owned(), 1),
            EndReason::Finished | EndReason::Stopped => gone(String::new(), 0),
        },
        Input::WorkerDone { outcome: Err(error) } => gone(error, STATUS_BROKEN),
        Input::Report(
            Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. },
        )
        | Input::Churned(_)
        | Input::WorkerDone { .. }
        | Input::Interrupt => None,
    }
}

impl Session for Local {
    fn evaluate(&self, code: String) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let heard = self.heard.clone();
        self.prompts.evaluate(INSTANCE, number, code, Cutter::default(), move |report| {
            // Once nobody listens, the process is about to end.
            let _ = heard.send(match report {
                EvaluationReport::Output { stream, line } => Heard::Line { stream, line },
                EvaluationReport::Over(outcome) => Heard::Over(outcome),
            });
        });
    }

    fn cancel(&self) {
        self.prompts.cancel(INSTANCE, self.last.load(Ordering::Relaxed));
        self.prompts.interrupt(INTERRUPT_PATIENCE);
    }

    fn complete(&self, line: &str) -> Completion {
        self.prompts.complete(INSTANCE, line)
    }
}
