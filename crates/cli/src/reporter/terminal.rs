//! What the user sees while it happens, and the few lines at the end. Lines of instances go to
//! where the instance wrote them, standard output or standard error; all else to standard error.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::{AnsiColor, Style as Ansi};
use indicatif::ProgressBar;
use splay_runtime::host::{InstanceNumber, LIVES_ON, Stream};

use super::summary::short_summary;
use super::{Reporter, Style, Trouble};
use crate::event::{Ending, Event, StopCause, What};
use crate::failure::STATUS_INSTANCE_FAILED;
use crate::ledger::{Ledger, first_line};
use crate::options::Options;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and the summary.
    Quiet,
    /// Also the lines of instances.
    Normal,
    /// Also starts and ends.
    Verbose,
}

impl Verbosity {
    /// From `-q` and `-v`.
    pub fn from_flags(quiet: bool, verbose: bool) -> Verbosity {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// Held-back bytes are written when there are this many.
const ENOUGH_BYTES: usize = 64 * 1024;

/// Prefixes of neighbouring instances differ.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::BrightBlack,
];

/// The user's terminal, or whatever the output goes to.
pub struct Terminal {
    style: Style,
    instances: u32,
    folder: PathBuf,
    bar: Option<ProgressBar>,
    /// Digits of the greatest instance number.
    width: usize,
    colour_out: bool,
    colour_err: bool,
    held: Vec<u8>,
    held_for: Stream,
    about: String,
    opening: Opening,
}

/// Until something else happens, errors that end instances right at their start are kept back:
/// what all of them say is told once.
enum Opening {
    /// Instance, time and ending of each that has ended so far.
    Waiting(Vec<(InstanceNumber, Duration, Ending)>),
    /// Something else has happened.
    Over,
    /// All instances said the same, which has been told.
    Told,
}

/// How long errors are kept back while other instances have yet to say theirs.
const OPENING: Duration = Duration::from_secs(1);

impl Terminal {
    /// Shows what `style` asks for, around the progress line if there is one.
    pub fn new(style: Style, options: &Options, folder: &Path, bar: Option<ProgressBar>) -> Terminal {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let about = format!(
            "{} instances of {} on ports {}-{}, {} workers, jit {}, seed {}, results in {}",
            options.instances,
            options.app.display(),
            options.first_port,
            u32::from(options.first_port) + options.instances - 1,
            options.workers,
            if options.jit { "on" } else { "off" },
            options.seed,
            folder.display(),
        );
        let mut terminal = Terminal {
            style,
            instances: options.instances,
            folder: folder.to_owned(),
            bar,
            width: options.instances.to_string().len(),
            colour_out: !plain && io::stdout().is_terminal(),
            colour_err: !plain && io::stderr().is_terminal(),
            held: Vec::new(),
            held_for: Stream::Out,
            about,
            opening: Opening::Waiting(Vec::new()),
        };
        if terminal.style.verbosity == Verbosity::Verbose {
            let about = std::mem::take(&mut terminal.about);
            // Trouble with the output shows again with the first event.
            let _ = terminal.own_line(&about);
        }
        terminal
    }

    fn colour(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => self.colour_out,
            Stream::Err => self.colour_err,
        }
    }

    /// What is held back goes out before anything goes to the other stream.
    fn turn_to(&mut self, stream: Stream) -> Result<(), Trouble> {
        if self.held_for != stream {
            self.flush()?;
            self.held_for = stream;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        if self.held.is_empty() {
            return Ok(());
        }
        let write = || match self.held_for {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(&self.held).and_then(|()| out.flush())
            }
            Stream::Err => io::stderr().lock().write_all(&self.held),
        };
        let written = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        self.held.clear();
        written.map_err(|_| Trouble::OutputClosed)
    }

    /// A line about an instance: `[ 7]    1.234 text`.
    fn line(
        &mut self,
        stream: Stream,
        instance: InstanceNumber,
        at: Duration,
        text: &[u8],
        tone: Option<AnsiColor>,
    ) -> Result<(), Trouble> {
        self.turn_to(stream)?;
        let (width, seconds) = (self.width, at.as_secs_f64());
        if self.colour(stream) {
            let who = Ansi::new().fg_color(Some(COLOURS[instance as usize % COLOURS.len()].into()));
            let when = Ansi::new().dimmed();
            let _ = write!(self.held, "{who}[{instance:width$}]{who:#} {when}{seconds:8.3}{when:#} ");
            match tone.map(|tone| Ansi::new().fg_color(Some(tone.into()))) {
                None => self.held.extend_from_slice(text),
                Some(tone) => {
                    let _ = write!(self.held, "{tone}{}{tone:#}", String::from_utf8_lossy(text));
                }
            }
        } else {
            let _ = write!(self.held, "[{instance:width$}] {seconds:8.3} ");
            self.held.extend_from_slice(text);
        }
        self.held.push(b'\n');
        if self.held.len() >= ENOUGH_BYTES { self.flush() } else { Ok(()) }
    }

    /// A line of the command itself.
    fn own_line(&mut self, text: &str) -> Result<(), Trouble> {
        self.turn_to(Stream::Err)?;
        let _ = writeln!(self.held, "splay: {text}");
        Ok(())
    }

    fn shows(&self, instance: InstanceNumber) -> bool {
        self.style.only.as_ref().is_none_or(|only| only.contains(instance))
    }
}

/// Opening of a run: errors that all instances share.
impl Terminal {
    /// Whether the event is kept back, or told, with others of its kind.
    fn opens_with(&mut self, event: &Event) -> Result<bool, Trouble> {
        let Opening::Waiting(kept) = &mut self.opening else { return Ok(false) };
        match &event.what {
            What::Started { .. } | What::Churn { .. } | What::Checked { .. } => return Ok(false),
            What::Viewed { view, .. } if view.troubles.is_empty() => return Ok(false),
            What::Ended { instance, ending: ending @ Ending::Error { message }, .. }
                if kept.iter().all(|(other, _, said)| {
                    other != instance
                        && matches!(said, Ending::Error { message: other } if first_line(other) == first_line(message))
                }) =>
            {
                kept.push((*instance, event.at, ending.clone()));
                if kept.len() == self.instances as usize {
                    self.tell_once()?;
                }
                return Ok(true);
            }
            _ => {}
        }
        self.stop_waiting()?;
        Ok(false)
    }

    /// Shows what was kept back as if it had not been.
    fn stop_waiting(&mut self) -> Result<(), Trouble> {
        if let Opening::Waiting(kept) = &mut self.opening {
            let kept = std::mem::take(kept);
            self.opening = Opening::Over;
            for (instance, at, ending) in kept {
                self.ended(instance, at, &ending)?;
            }
        }
        Ok(())
    }

    /// All instances have said the same. An error without a place in the program is meant for who
    /// gave the command, and stands without the program's traceback.
    fn tell_once(&mut self) -> Result<(), Trouble> {
        let Opening::Waiting(kept) = std::mem::replace(&mut self.opening, Opening::Told) else {
            return Ok(());
        };
        let all = match kept.len() {
            1 => String::new(),
            count => format!(" (said by all {count} instances)"),
        };
        match kept.into_iter().min_by_key(|(instance, ..)| *instance) {
            Some((_, _, Ending::Error { message })) if !has_place(first_line(&message)) => {
                self.own_line(&format!("{}{all}", first_line(&message)))
            }
            Some((instance, at, ending)) => {
                if self.instances == 1 {
                    self.opening = Opening::Over;
                }
                self.ended(instance, at, &ending)?;
                if all.is_empty() { Ok(()) } else { self.own_line(all.trim_matches([' ', '(', ')'])) }
            }
            None => Ok(()),
        }
    }

    fn ended(&mut self, instance: InstanceNumber, at: Duration, ending: &Ending) -> Result<(), Trouble> {
        if self.shows(instance) && (self.style.verbosity == Verbosity::Verbose || ending.failed()) {
            let tone = ending.failed().then_some(AnsiColor::Red);
            for line in ending.to_string().lines() {
                self.line(Stream::Err, instance, at, line.as_bytes(), tone)?;
            }
        }
        Ok(())
    }
}

/// Whether an error begins with a file and a line: `app.lua:12: ...`.
fn has_place(line: &str) -> bool {
    line.match_indices(':').any(|(at, _)| {
        let rest = line[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with(':') && rest.len() < line.len() - at - 1
    })
}

impl Reporter for Terminal {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        if self.opens_with(event)? {
            return Ok(());
        }
        let at = event.at;
        let verbose = self.style.verbosity == Verbosity::Verbose;
        match &event.what {
            What::Output { instance, stream, line } => {
                if self.style.verbosity >= Verbosity::Normal && self.shows(*instance) {
                    self.line(*stream, *instance, at, line, None)?;
                }
            }
            What::ThreadDied { instance, error, lives_on, .. } if self.shows(*instance) => {
                for line in error.lines() {
                    self.line(Stream::Err, *instance, at, line.as_bytes(), Some(AnsiColor::Red))?;
                }
                if *lives_on {
                    let text = format!("{LIVES_ON} (exit status {STATUS_INSTANCE_FAILED} at the end)");
                    self.line(Stream::Err, *instance, at, text.as_bytes(), Some(AnsiColor::Yellow))?;
                }
            }
            What::Viewed { instance, view } => {
                for trouble in &view.troubles {
                    let text = trouble.to_string();
                    self.line(Stream::Err, *instance, at, text.as_bytes(), Some(AnsiColor::Yellow))?;
                }
            }
            What::Ended { instance, ending, .. } => self.ended(*instance, at, ending)?,
            What::Started { instance } if verbose && self.shows(*instance) => {
                self.line(Stream::Err, *instance, at, b"started", None)?;
            }
            // Who has closed the output wants no more of it.
            What::Stopping { cause: StopCause::OutputClosed } => {}
            What::Stopping { cause } => {
                let again =
                    if *cause == StopCause::Interrupted { " (Ctrl-C again: do not wait)" } else { "" };
                self.own_line(&format!("{cause}: stopping {}{again}", instances(self.instances)))?;
            }
            What::Fault { fault, over } if self.style.verbosity != Verbosity::Quiet => {
                let over = if *over { "over: " } else { "" };
                self.own_line(&format!("{:.3}s {over}{fault}", at.as_secs_f64()))?;
            }
            What::Fault { .. } | What::Checked { .. } => {}
            What::Violated { instance, name, message } => {
                let by = instance.map_or(String::new(), |instance| format!(" in [{instance}]"));
                self.own_line(&format!("{:.3}s violated{by}: {name}: {message}", at.as_secs_f64()))?;
            }
            What::WorkerBroke { error } => self.own_line(&format!("worker lost: {}", first_line(error)))?,
            What::ThreadDied { .. } | What::Started { .. } | What::Churn { .. } => {}
        }
        Ok(())
    }

    fn caught_up(&mut self) -> Result<(), Trouble> {
        self.flush()
    }

    fn tick(&mut self, now: Duration, _ledger: &Ledger) -> Result<(), Trouble> {
        match &self.opening {
            Opening::Waiting(kept) if kept.first().is_some_and(|(_, at, _)| now > *at + OPENING) => {
                self.stop_waiting()
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, ledger: &Ledger) -> Result<(), Trouble> {
        self.stop_waiting()?;
        self.turn_to(Stream::Err)?;
        let summary = short_summary(ledger, &self.folder, matches!(self.opening, Opening::Told));
        self.held.extend_from_slice(summary.as_bytes());
        self.flush()
    }
}

/// `1 instance`, `2 instances`.
pub fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}
