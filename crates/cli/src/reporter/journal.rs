//! events.jsonl: every event as one JSON object a line.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::{Reporter, Trouble};
use crate::event::{Event, What};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::results::Results;

const NAME: &str = "events.jsonl";

/// How often what was written reaches the file.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// The writer of events.jsonl.
pub struct Journal {
    file: BufWriter<File>,
    path: PathBuf,
    flush_at: Duration,
}

impl Journal {
    /// An empty one.
    pub fn create(results: &Results) -> Result<Journal, Failure> {
        let path = results.folder().join(NAME);
        Ok(Journal { file: results.open(NAME)?, path, flush_at: FLUSH_EVERY })
    }

    fn trouble(&self, source: std::io::Error) -> Trouble {
        Failure::Write { path: self.path.clone(), source }.into()
    }
}

impl Reporter for Journal {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        if let What::Viewed { .. } | What::Checked { .. } = event.what {
            return Ok(());
        }
        serde_json::to_writer(&mut self.file, event)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|error| self.trouble(error))
    }

    fn tick(&mut self, now: Duration, _ledger: &Ledger) -> Result<(), Trouble> {
        if now < self.flush_at {
            return Ok(());
        }
        self.flush_at = now + FLUSH_EVERY;
        self.file.flush().map_err(|error| self.trouble(error))
    }

    fn finish(&mut self, _ledger: &Ledger) -> Result<(), Trouble> {
        self.file.flush().map_err(|error| self.trouble(error))
    }
}
