//! view.json: what instances showed of themselves at their ends, for pictures.

use std::collections::BTreeMap;

use splay_protocol::loopback_nodes;
use splay_runtime::host::InstanceNumber;
use splay_simulator::simulation::nodes;

use super::{Reporter, Trouble};
use crate::event::{Ending, Event, What};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::plot::{Overlay, Shown};
use crate::results::Results;

/// The file's name.
pub const VIEW_FILE: &str = "view.json";

/// Up to so many instances what they show is kept even if no picture is asked for: a second or two
/// of a run's memory and disk. Pictures of more show little.
pub const KEPT_UNASKED: u32 = 1000;

/// The writer of view.json.
pub struct Views {
    shown: BTreeMap<InstanceNumber, Shown>,
    stopping: bool,
    options: Options,
    results: Results,
}

impl Views {
    /// For a run with these options.
    pub fn new(options: Options, results: Results) -> Views {
        Views { shown: BTreeMap::new(), stopping: false, options, results }
    }

    fn keeps(&self) -> bool {
        !self.options.plot.is_empty() || self.options.instances <= KEPT_UNASKED
    }
}

impl Reporter for Views {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        match &event.what {
            What::Started { instance } => {
                self.shown.remove(instance);
            }
            What::Viewed { instance, view } if self.keeps() => {
                let shown = Shown { instance: *instance, view: (**view).clone(), ..Shown::default() };
                self.shown.insert(*instance, shown);
            }
            What::Ended { instance, ending, .. } => {
                if let Some(shown) = self.shown.get_mut(instance) {
                    shown.ending = ending.label();
                    shown.gone = ending.failed() || (*ending == Ending::Stopped && !self.stopping);
                }
            }
            What::Stopping { .. } => {
                self.stopping = true;
                // Whoever has ended by now ended while the others went on.
                self.shown
                    .values_mut()
                    .filter(|shown| !shown.ending.is_empty())
                    .for_each(|shown| shown.gone = true);
            }
            What::Viewed { .. }
            | What::Output { .. }
            | What::ThreadDied { .. }
            | What::Churn { .. }
            | What::Fault { .. }
            | What::Violated { .. }
            | What::Checked { .. }
            | What::WorkerBroke { .. } => {}
        }
        Ok(())
    }

    fn finish(&mut self, _ledger: &Ledger) -> Result<(), Trouble> {
        if self.shown.is_empty() {
            return Ok(());
        }
        let (instances, first_port) = (self.options.instances, self.options.first_port);
        let mut all: Vec<Shown> = std::mem::take(&mut self.shown).into_values().collect();
        let addresses = match self.options.simulation {
            None => loopback_nodes(instances, first_port).unwrap_or_default(),
            Some(_) => nodes(instances, first_port),
        };
        for shown in &mut all {
            if let Some(node) = addresses.get(shown.instance as usize - 1) {
                shown.ip.clone_from(&node.ip);
                shown.port = node.port;
            }
        }
        let overlay = Overlay { app: self.options.name.clone(), instances, nodes: all };
        let text = serde_json::to_vec(&overlay).expect("plain data always has a JSON form");
        Ok(self.results.write(VIEW_FILE, &text)?)
    }
}
