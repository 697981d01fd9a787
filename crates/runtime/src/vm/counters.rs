//! What is counted of an instance, and of all instances of a worker.

use std::cell::Cell;

/// Counters shown in the summary.
#[derive(Debug, Default)]
pub struct Counters {
    /// Payload bytes sent on all sockets.
    pub sent_bytes: Cell<u64>,
    /// Payload bytes received.
    pub received_bytes: Cell<u64>,
    /// Open TCP sockets, whoever opened them.
    pub tcp_sockets: Cell<u32>,
    /// Open UDP sockets.
    pub udp_sockets: Cell<u32>,
    /// Remote calls made.
    pub calls_made: Cell<u64>,
    /// Remote calls served.
    pub calls_served: Cell<u64>,
    /// Threads that died of an error.
    pub thread_errors: Cell<u64>,
    /// Threads ended and killed.
    pub ended: Cell<u64>,
    /// See `ended`.
    pub killed: Cell<u64>,
    /// Passes of the scheduler.
    pub passes: Cell<u64>,
    /// Coroutines resumed since the worker last asked.
    pub resumes: Cell<u64>,
}

/// What the instances of a worker did together.
#[derive(Debug, Default)]
pub struct Totals {
    /// Some instance has asked to look at all (`check.global`).
    pub looks: Cell<bool>,
    /// Remote calls made.
    pub calls_made: Cell<u64>,
}

/// Adds to a counter.
pub fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().wrapping_add(n));
}
