//! Tells the prompts that are attached to instances when these end.

use super::{Reporter, Trouble};
use crate::attach::server::Server;
use crate::event::{Event, What};
use crate::ledger::Ledger;

/// The prompts of the run.
pub struct Attached {
    server: Server,
}

impl Attached {
    /// Tells the prompts of this server.
    pub fn new(server: Server) -> Attached {
        Attached { server }
    }
}

impl Reporter for Attached {
    fn on_event(&mut self, event: &Event) -> Result<(), Trouble> {
        if let What::Ended { instance, ending, .. } = &event.what {
            self.server.ended(*instance, &ending.to_string());
        }
        Ok(())
    }

    fn finish(&mut self, _ledger: &Ledger) -> Result<(), Trouble> {
        self.server.finish();
        Ok(())
    }
}
