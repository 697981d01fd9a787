//! What a host may say to an instance while it runs: that it is to leave, who is there, whom it may
//! not contact.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::Node;

use super::ctx::{Ctx, End, Outcome};
use super::state::Instance;
use crate::core::job;
use crate::core::socket::guard;
use crate::host::EndReason;

/// Whether the instance was told to leave.
#[derive(Default)]
struct Leaving(Cell<bool>);

/// Ends the instance when `job.on_stop` has returned or failed.
struct Left;

impl End for Left {
    fn ended(self: Box<Self>, cx: &Ctx, _outcome: Outcome<'_>) {
        stop(cx);
    }
}

fn stop(cx: &Ctx) {
    cx.exit.borrow_mut().get_or_insert(EndReason::Stopped);
}

impl Instance {
    /// Calls the program's `job.on_stop` in a thread of its own. The instance ends with
    /// [`EndReason::Stopped`] when that returns, or after `grace`. `false`: the program has no such
    /// function, and nothing has happened. [`Instance::turn`] must follow.
    pub fn leave(&self, now: Duration, grace: Duration) -> bool {
        let cx = self.context();
        let _entered = cx.enter();
        cx.clock.set(now);
        if cx.extension::<Leaving>().0.replace(true) {
            return true;
        }
        let called =
            cx.run_native(|| Box::new(Left), |stack| job::push_on_stop(cx, stack).then_some(0)).is_some();
        if called {
            cx.at(now + grace, false, Box::new(stop));
        }
        called
    }

    /// Tells the program which nodes are there: `job.nodes()`, `job.get_live_nodes()`.
    pub fn set_live_nodes(&self, nodes: Arc<[Node]>) {
        job::set_live_nodes(self.context(), nodes);
    }

    /// Sets the hosts that a sandboxed program may not contact from now on.
    pub fn set_blacklist(&self, hosts: Vec<String>) {
        guard::set_blacklist(self.context(), hosts);
    }
}
