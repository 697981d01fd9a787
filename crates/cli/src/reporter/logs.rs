//! `instances/<n>.log`: the lines of each instance, with seconds since the start of the run.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use splay_runtime::host::{InstanceNumber, LIVES_ON};

use super::{Reporter, Trouble};
use crate::event::{Event, What};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::results::Results;

/// An instance's lines reach its file when there are this many bytes ...
const ENOUGH_BYTES: usize = 16 * 1024;

/// ... or after this time.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// The writer of all instances' logs. Files are opened for each write: thousands of instances
/// need their descriptors for sockets.
pub struct InstanceLogs {
    results: Results,
    pending: Vec<Vec<u8>>,
    dirty: Vec<InstanceNumber>,
    flush_at: Duration,
}

impl InstanceLogs {
    /// Logs of instances 1 to `instances`.
    pub fn new(instances: u32, results: Results) -> InstanceLogs {
        let pending = vec![Vec::new(); instances as usize];
        InstanceLogs { results, pending, dirty: Vec::new(), flush_at: FLUSH_EVERY }
    }

    fn line(&mut self, instance: InstanceNumber, at: Duration, mark: &str, text: &[u8]) {
        let pending = &mut self.pending[instance as usize - 1];
        if pending.is_empty() {
            self.dirty.push(instance);
        }
        // Writing into memory cannot fail.
        let _ = write!(pending, "{:9.3} {mark}", at.as_secs_f64());
        pending.extend_from_slice(text);
        pending.push(b'\n');
    }

    fn lines(&mut self, instance: InstanceNumber, at: Duration, mark: &str, text: &str) {
        text.lines().for_each(|line| self.line(instance, at, mark, line.as_bytes()));
    }

    fn write_out(&mut self, instance: InstanceNumber) -> Result<(), Trouble> {
        let pending = &mut self.pending[instance as usize - 1];
        let path = self.results.instance_log(instance);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(pending));
        pending.clear();
        written.map_err(|source| Failure::Write { path, source }.into())
    }

    fn write_out_all(&mut self) -> Result<(), Trouble> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().try_for_each(|instance| self.write_out(instance))
    }
}

impl Reporter for InstanceLogs {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        let at = event.at;
        match &event.what {
            What::Output { instance, line, .. } => {
                self.line(*instance, at, "", line);
                if self.pending[*instance as usize - 1].len() >= ENOUGH_BYTES {
                    self.dirty.retain(|dirty| dirty != instance);
                    self.write_out(*instance)?;
                }
            }
            What::ThreadDied { instance, error, lives_on, .. } => {
                self.lines(*instance, at, "! ", error);
                if *lives_on {
                    self.lines(*instance, at, "! ", LIVES_ON);
                }
            }
            What::Viewed { instance, view } => {
                for trouble in &view.troubles {
                    self.line(*instance, at, "! ", trouble.to_string().as_bytes());
                }
            }
            What::Ended { instance, ending, .. } => {
                self.lines(*instance, at, "= ", &ending.to_string());
            }
            What::Started { .. }
            | What::Churn { .. }
            | What::Fault { .. }
            | What::Violated { .. }
            | What::Checked { .. }
            | What::Stopping { .. }
            | What::WorkerBroke { .. } => {}
        }
        Ok(())
    }

    fn tick(&mut self, now: Duration, _ledger: &Ledger) -> Result<(), Trouble> {
        if now < self.flush_at {
            return Ok(());
        }
        self.flush_at = now + FLUSH_EVERY;
        self.write_out_all()
    }

    fn finish(&mut self, _ledger: &Ledger) -> Result<(), Trouble> {
        self.write_out_all()
    }
}
