//! What the user sees while it happens, and the few lines at the end. Lines of instances go to
//! where the instance wrote them, standard output or standard error; all else to standard error.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::{AnsiColor, Style as Ansi};
use indicatif::ProgressBar;
use splay_runtime::host::{InstanceNumber, Stream};

use super::summary::short_summary;
use super::{Reporter, Style, Trouble};
use crate::event::{Event, What};
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
}

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

impl Reporter for Terminal {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        let at = event.at;
        let verbose = self.style.verbosity == Verbosity::Verbose;
        match &event.what {
            What::Output { instance, stream, line } => {
                if self.style.verbosity >= Verbosity::Normal && self.shows(*instance) {
                    self.line(*stream, *instance, at, line, None)?;
                }
            }
            What::ThreadDied { instance, error, .. } if self.shows(*instance) => {
                for line in error.lines() {
                    self.line(Stream::Err, *instance, at, line.as_bytes(), Some(AnsiColor::Red))?;
                }
            }
            What::Viewed { instance, view } => {
                for trouble in &view.troubles {
                    let text = trouble.to_string();
                    self.line(Stream::Err, *instance, at, text.as_bytes(), Some(AnsiColor::Yellow))?;
                }
            }
            What::Ended { instance, ending, .. } if self.shows(*instance) => {
                if verbose || ending.failed() {
                    let tone = ending.failed().then_some(AnsiColor::Red);
                    for line in ending.to_string().lines() {
                        self.line(Stream::Err, *instance, at, line.as_bytes(), tone)?;
                    }
                }
            }
            What::Started { instance } if verbose && self.shows(*instance) => {
                self.line(Stream::Err, *instance, at, b"started", None)?;
            }
            What::Stopping { cause } => {
                let again = if *cause == crate::event::StopCause::Interrupted {
                    " (Ctrl-C again: do not wait)"
                } else {
                    ""
                };
                self.own_line(&format!("{cause}: stopping {}{again}", instances(self.instances)))?;
            }
            What::Fault { fault, over } if self.style.verbosity != Verbosity::Quiet => {
                let over = if *over { "over: " } else { "" };
                self.own_line(&format!("{:.3}s {over}{fault}", at.as_secs_f64()))?;
            }
            What::Fault { .. } => {}
            What::WorkerBroke { error } => self.own_line(&format!("worker lost: {}", first_line(error)))?,
            What::ThreadDied { .. } | What::Ended { .. } | What::Started { .. } | What::Churn { .. } => {}
        }
        Ok(())
    }

    fn caught_up(&mut self) -> Result<(), Trouble> {
        self.flush()
    }

    fn finish(&mut self, ledger: &Ledger) -> Result<(), Trouble> {
        self.turn_to(Stream::Err)?;
        let summary = short_summary(ledger, &self.folder);
        self.held.extend_from_slice(summary.as_bytes());
        self.flush()
    }
}

/// `1 instance`, `2 instances`.
pub fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}
