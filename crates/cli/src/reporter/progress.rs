//! The progress line: instances up, exited, failed, log lines per second.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Reporter, Trouble};
use crate::event::Event;
use crate::ledger::Ledger;

/// Over which time log lines are averaged.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// A progress line on standard error, if that is a terminal.
pub fn bar() -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}").expect("well-formed template");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
    Some(bar.with_message("starting"))
}

/// Moves the progress line.
pub struct Progress {
    bar: ProgressBar,
    window: (Duration, u64),
    rate: u64,
}

impl Progress {
    /// Moves this line.
    pub fn new(bar: ProgressBar) -> Progress {
        Progress { bar, window: (Duration::ZERO, 0), rate: 0 }
    }
}

impl Reporter for Progress {
    fn on_event(&mut self, _event: &Event) -> Result<(), Trouble> {
        Ok(())
    }

    fn tick(&mut self, now: Duration, ledger: &Ledger) -> Result<(), Trouble> {
        let (since, lines) = self.window;
        let passed = now.saturating_sub(since);
        if passed >= RATE_WINDOW {
            self.rate = ((ledger.lines() - lines) as f64 / passed.as_secs_f64()).round() as u64;
            self.window = (now, ledger.lines());
        }
        self.bar.set_message(line(ledger, self.rate));
        self.bar.tick();
        Ok(())
    }

    fn finish(&mut self, _ledger: &Ledger) -> Result<(), Trouble> {
        self.bar.finish_and_clear();
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(ledger: &Ledger, rate: u64) -> String {
    let stopping = ledger.cause().map_or(String::new(), |cause| format!(", stopping: {cause}"));
    let (up, exited, failed) = (ledger.up(), ledger.exited(), ledger.failed());
    format!("{up} up, {exited} exited, {failed} failed, {rate} log lines/s{stopping}")
}
