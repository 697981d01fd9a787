//! The prompt on a terminal: line editing, history, completion, Ctrl-C.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::Receiver;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::screen::{Around, Direct, Screen};
use super::{Heard, Session, Turn, history, is_complete, present, take_turn};
use crate::failure::{Failure, STATUS_INTERRUPTED, complain};

/// Entries of the history.
const HISTORY_ENTRIES: usize = 2000;

/// So many times Ctrl-C during one evaluation: what runs cannot be interrupted, the command ends.
const PATIENCE: u32 = 3;

/// What the line editor asks about a line.
struct Assistant {
    session: Arc<dyn Session>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(ctx.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let completion = self.session.complete(&line[..pos]);
        Ok((completion.start, completion.candidates))
    }
}

/// Leaves the process from any OS thread, the terminal as it was found.
#[derive(Clone)]
struct Door {
    terminal: Option<Arc<Termios>>,
}

impl Door {
    fn new() -> Door {
        Door { terminal: tcgetattr(io::stdin()).ok().map(Arc::new) }
    }

    fn leave(&self, message: &str, status: u8) -> ! {
        if let Some(terminal) = &self.terminal {
            // Bracketed paste is the editor's; it does not get to end it.
            let _ = io::Write::write_all(&mut io::stdout(), b"\x1b[?2004l\r\n");
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
        }
        super::say_gone(message, status);
        std::process::exit(status.into())
    }
}

/// Reads code from the terminal until Ctrl-D.
pub fn talk(session: Arc<dyn Session>, heard: Receiver<Heard>, banner: &str) -> Result<ExitCode, Failure> {
    let broken = |error: ReadlineError| Failure::Input(io::Error::other(error));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .max_history_size(HISTORY_ENTRIES)
        .map_err(broken)?
        .build();
    let door = Door::new();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Assistant { session: session.clone() }));
    let mut history = history::prepare().unwrap_or_else(|error| {
        complain(&format!("lines are not kept for the next time: {error}"));
        None
    });
    if let Some(path) = &history {
        // A file of another program's is no reason not to begin.
        let _ = editor.load_history(path);
    }
    let mut screen: Box<dyn Screen> = match editor.create_external_printer() {
        Ok(printer) => Box::new(Around::new(printer)),
        // A terminal without cursor movement.
        Err(_) => Box::new(Direct),
    };
    screen.note(banner).map_err(Failure::Output)?;
    let after = door.clone();
    let turns = present(heard, screen, move |message, status| after.leave(message, status));
    let interrupts = Arc::new(AtomicU32::new(0));
    watch_signals(session.clone(), door, interrupts.clone()).map_err(Failure::Worker)?;

    loop {
        let code = match editor.readline("> ") {
            Ok(code) => code,
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => continue,
            Err(ReadlineError::Eof) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(broken(error)),
        };
        if code.trim().is_empty() {
            continue;
        }
        let added = editor.add_history_entry(&code);
        if let (Ok(true), Some(path)) = (added, &history)
            && let Err(error) = editor.append_history(path)
        {
            complain(&format!("lines are not kept for the next time: {error}"));
            history = None;
        }
        interrupts.store(0, Ordering::Relaxed);
        let wish = wish(&code);
        if let Turn::Gone { status } = take_turn(&*session, &turns, code)? {
            return Ok(ExitCode::from(status));
        }
        if let Some(hint) = wish {
            complain(hint);
        }
    }
}

/// What somebody is told who typed a command of other prompts. It is evaluated all the same: a
/// program may well have such a global.
fn wish(code: &str) -> Option<&'static str> {
    match code.trim().trim_end_matches("()") {
        "exit" | "quit" | "bye" => Some("Ctrl-D leaves"),
        "help" | "?" => Some(
            "this evaluates Lua; Tab completes, Ctrl-C interrupts, Ctrl-D leaves; `splay doc` has the libraries",
        ),
        _ => None,
    }
}

/// While a line is edited the terminal makes no signals; Ctrl-C is a key then.
fn watch_signals(session: Arc<dyn Session>, door: Door, interrupts: Arc<AtomicU32>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let body = move || {
        for signal in signals.forever() {
            let count = interrupts.fetch_add(1, Ordering::Relaxed) + 1;
            if signal != SIGINT || count >= PATIENCE {
                door.leave("", STATUS_INTERRUPTED);
            }
            session.cancel();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(body).map(drop)
}
