//! Requests and responses: on connections that stay, on a new connection each, and in datagrams
//! (a client's side).

use rustix::event::epoll;

use super::{Done, Kind, LOST, Worker, clock};
use crate::error::Error;
use crate::options::{Options, Workload};

/// Where a flow is in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Writing,
    Reading,
}

/// One transaction at a time.
pub(super) struct Exchange {
    phase: Phase,
    /// Bytes of this phase that are still to come or go.
    left: usize,
    /// When the request was begun (a client's).
    started: u64,
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange { phase: Phase::Writing, left: 0, started: 0 }
    }
}

impl Exchange {
    /// A server's: a request comes first.
    pub(super) fn serving(options: &Options) -> Exchange {
        Exchange { phase: Phase::Reading, left: options.request_size, started: 0 }
    }

    /// A client's whose connection is not there yet.
    pub(super) fn connecting(started: u64) -> Exchange {
        Exchange { phase: Phase::Connecting, left: 0, started }
    }
}

impl Worker<'_> {
    fn state(&mut self, slot: usize) -> &mut Exchange {
        match &mut self.flows[slot].kind {
            Kind::Exchange(exchange) => exchange,
            _ => unreachable!("called for flows that exchange alone"),
        }
    }

    /// A client begins a transaction.
    pub(super) fn ask(&mut self, slot: usize, started: u64) -> Result<(), Error> {
        let left = self.options.request_size;
        *self.state(slot) = Exchange { phase: Phase::Writing, left, started };
        self.write_on(slot)
    }

    /// Something can be read or written.
    #[inline]
    pub(super) fn exchange(&mut self, slot: usize, flags: epoll::EventFlags) -> Result<(), Error> {
        match self.state(slot).phase {
            Phase::Connecting if flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR) => {
                if let Some(error) = self.flows[slot].socket.take_error().unwrap_or_else(Some) {
                    return Err(self.broken("connect", slot, error));
                }
                let started = self.state(slot).started;
                self.ask(slot, started)
            }
            Phase::Writing if flags.contains(epoll::EventFlags::OUT) => self.write_on(slot),
            Phase::Reading if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP) => {
                self.read_on(slot)
            }
            // What is left to write will tell that the connection is gone.
            Phase::Writing if flags.contains(epoll::EventFlags::HUP) => self.write_on(slot),
            _ => Ok(()),
        }
    }

    fn write_on(&mut self, slot: usize) -> Result<(), Error> {
        loop {
            let left = self.state(slot).left;
            match self.write(slot, left.min(self.options.buffer_size), None)? {
                Done::Bytes(count) if count < left && !self.options.workload.is_udp() => {
                    self.state(slot).left -= count;
                }
                Done::Bytes(_) => break,
                Done::Blocked => return self.interest(slot, epoll::EventFlags::OUT),
                Done::Over => {
                    self.remove(slot);
                    return Ok(());
                }
            }
        }
        let client = self.options.client;
        let left = if client { self.options.response_size } else { self.options.request_size };
        let state = self.state(slot);
        (state.phase, state.left) = (Phase::Reading, left);
        self.interest(slot, epoll::EventFlags::IN)
    }

    fn read_on(&mut self, slot: usize) -> Result<(), Error> {
        let mut read = 0;
        loop {
            let left = self.state(slot).left;
            match self.read(slot, left.min(self.options.buffer_size))? {
                Done::Bytes(count) if count < left && !self.options.workload.is_udp() => {
                    read += count;
                    self.state(slot).left -= count;
                    // Less than asked for is all there was.
                    if count < left.min(self.options.buffer_size) {
                        self.count(slot, read, 0);
                        return Ok(());
                    }
                }
                Done::Bytes(count) => {
                    read += count;
                    break;
                }
                Done::Blocked => {
                    if read > 0 {
                        self.count(slot, read, 0);
                    }
                    return Ok(());
                }
                Done::Over => {
                    self.remove(slot);
                    return Ok(());
                }
            }
        }
        let now = clock();
        if !self.options.client {
            self.count_at(slot, read, 1, now);
            let left = self.options.response_size;
            let state = self.state(slot);
            (state.phase, state.left) = (Phase::Writing, left);
            return self.write_on(slot);
        }
        let took = now - self.state(slot).started;
        let counter = self.flows[slot].counter;
        if let Some(latencies) = &mut self.counters[counter].latencies {
            latencies.record(took);
        }
        self.count_at(slot, read, 1, now);
        if self.options.workload == Workload::TcpCrr {
            self.close_seen(slot)?;
            return self.connect_anew(counter);
        }
        self.ask(slot, now)
    }

    /// Asks again where an answer in a datagram does not come.
    pub(super) fn repeat_lost(&mut self, now: u64) -> Result<(), Error> {
        let is_late = |kind: &Kind| match kind {
            Kind::Exchange(exchange) => now.saturating_sub(exchange.started) > LOST,
            _ => false,
        };
        let late: Vec<usize> =
            self.flows.iter().filter(|(_, flow)| is_late(&flow.kind)).map(|(slot, _)| slot).collect();
        for slot in late {
            self.harvest.timeouts += 1;
            self.ask(slot, now)?;
        }
        Ok(())
    }
}
