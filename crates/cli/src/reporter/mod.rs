//! Who is told about a run: log files, events.jsonl, view.json, summary, progress line, terminal. Each sees
//! every event, and none sees another.

pub mod attached;
mod journal;
mod logs;
pub mod progress;
mod summary;
pub mod terminal;
mod views;

use std::time::Duration;

use indicatif::ProgressBar;
use jiff::Timestamp;
pub use views::{KEPT_UNASKED, VIEW_FILE};

use crate::event::Event;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::quantity::InstanceSet;
use crate::results::Results;

/// Why a reporter cannot go on.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody reads the command's output.
    OutputClosed,
    /// A file of the results cannot be written.
    Results(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Results(failure)
    }
}

/// One who is told.
trait Reporter {
    /// Something happened.
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble>;

    /// No event waits at the moment: what is held back can be shown.
    fn caught_up(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    /// Time has passed.
    fn tick(&mut self, _now: Duration, _ledger: &Ledger) -> Result<(), Trouble> {
        Ok(())
    }

    /// The run is over.
    fn finish(&mut self, ledger: &Ledger) -> Result<(), Trouble>;
}

/// What the user wants to see.
#[derive(Debug, Clone)]
pub struct Style {
    /// How much.
    pub verbosity: terminal::Verbosity,
    /// Whose lines; `None`: everyone's.
    pub only: Option<InstanceSet>,
    /// Whether a progress line may be shown.
    pub progress: bool,
}

/// All reporters of a run.
pub struct Reporters {
    all: Vec<Box<dyn Reporter>>,
    bar: Option<ProgressBar>,
}

impl Reporters {
    /// The reporters of a run.
    pub fn new(
        style: Style,
        options: &Options,
        started: Timestamp,
        results: &Results,
    ) -> Result<Reporters, Failure> {
        let bar = if style.progress { progress::bar() } else { None };
        let mut all: Vec<Box<dyn Reporter>> = vec![
            Box::new(logs::InstanceLogs::new(options.instances, results.clone())),
            Box::new(journal::Journal::create(results)?),
            Box::new(summary::SummaryFiles::new(options.clone(), started, results.clone())),
            Box::new(views::Views::new(options.clone(), results.clone())),
        ];
        if let (Some(bar), None) = (&bar, &options.simulation) {
            all.push(Box::new(progress::Progress::new(bar.clone())));
        }
        let shown = bar.clone();
        all.push(Box::new(terminal::Terminal::new(style, options, results.folder(), bar)));
        Ok(Reporters { all, bar: shown })
    }

    /// The progress line, if there is one.
    pub fn bar(&self) -> Option<&ProgressBar> {
        self.bar.as_ref()
    }

    /// Adds the prompts that may be attached.
    pub fn add_attached(&mut self, attached: attached::Attached) {
        self.all.push(Box::new(attached));
    }

    /// Tells everyone of an event.
    pub fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        self.each(|reporter| reporter.on_event(event))
    }

    /// Lets everyone show what is held back.
    pub fn caught_up(&mut self) -> Result<(), Trouble> {
        self.each(|reporter| reporter.caught_up())
    }

    /// Tells everyone that time has passed.
    pub fn tick(&mut self, now: Duration, ledger: &Ledger) -> Result<(), Trouble> {
        self.each(|reporter| reporter.tick(now, ledger))
    }

    /// Tells everyone that the run is over.
    pub fn finish(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        match self.each(|reporter| reporter.finish(ledger)) {
            Err(Trouble::Results(failure)) => Err(failure),
            // The summary is in the results even where nobody read it.
            Err(Trouble::OutputClosed) | Ok(()) => Ok(()),
        }
    }

    /// Everyone is told, also after one had trouble; the first trouble counts.
    fn each(
        &mut self,
        mut tell: impl FnMut(&mut dyn Reporter) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut first = Ok(());
        for reporter in &mut self.all {
            let result = tell(reporter.as_mut());
            first = first.and(result);
        }
        first
    }
}
