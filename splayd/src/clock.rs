//! This machine's clock beside the controller's, from probes (NTP, RFC 5905, section 8): of the
//! last few, the one with the shortest round trip counts. Steps of this machine's own clock are
//! seen by comparing it with the monotonic one, and made up for at once.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use splay_protocol::session::{Clock, ProbeReply};

/// Probes that are kept: NTP's clock filter has as many.
const KEPT: usize = 8;

/// A smaller step of the wall clock is slewing, or the time between two readings.
const STEP_US: i64 = 2_000;

/// This machine's clock, microseconds since 1970.
pub fn local_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What is known of the controller's clock.
#[derive(Debug)]
pub struct Offset {
    samples: VecDeque<Clock>,
    /// From a welcome alone: off by the time that took.
    rough: i64,
    start: Instant,
    /// Wall clock less monotonic clock when last looked at.
    difference: i64,
}

impl Offset {
    /// Nothing is known: the clocks are taken to agree.
    pub fn new() -> Offset {
        let start = Instant::now();
        Offset { samples: VecDeque::new(), rough: 0, start, difference: local_us() as i64 }
    }

    /// What to add to this machine's time.
    pub fn micros(&self) -> i64 {
        self.best().map_or(self.rough, |clock| clock.offset_us)
    }

    /// The probe that counts.
    pub fn best(&self) -> Option<Clock> {
        self.samples.iter().copied().min_by_key(|clock| clock.round_trip_us)
    }

    /// This machine's time on the controller's clock.
    pub fn to_controller(&self, local_us: u64) -> u64 {
        local_us.saturating_add_signed(self.micros())
    }

    /// The controller's time on this machine's clock.
    pub fn to_local(&self, controller_us: u64) -> u64 {
        controller_us.saturating_add_signed(-self.micros())
    }

    /// The controller told its time just now.
    pub fn told(&mut self, controller_us: u64) {
        self.rough = controller_us as i64 - local_us() as i64;
    }

    /// A probe was answered at this machine's time `now_us`.
    pub fn answered(&mut self, reply: ProbeReply, now_us: u64) {
        let [sent, received, replied, now] =
            [reply.sent_us, reply.received_us, reply.replied_us, now_us].map(i128::from);
        let round_trip = (now - sent) - (replied - received);
        let offset = ((received - sent) + (replied - now)) / 2;
        let (Ok(round_trip_us), Ok(offset_us)) = (u64::try_from(round_trip), i64::try_from(offset)) else {
            return;
        };
        if now < sent {
            return;
        }
        self.samples.push_back(Clock { offset_us, round_trip_us });
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
    }

    /// Looks for a step of the wall clock; to be called every second or so.
    pub fn look(&mut self) {
        let monotonic = self.start.elapsed().as_micros() as i64;
        self.stepped(local_us() as i64 - monotonic);
    }

    fn stepped(&mut self, difference: i64) {
        let step = difference - self.difference;
        self.difference = difference;
        if step.abs() < STEP_US {
            return;
        }
        tracing::warn!(step_us = step, "this machine's clock has stepped");
        self.rough -= step;
        self.samples.iter_mut().for_each(|clock| clock.offset_us -= step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(sent_us: u64, received_us: u64, replied_us: u64) -> ProbeReply {
        ProbeReply { sent_us, received_us, replied_us }
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let mut offset = Offset::new();
        // The controller is 1,000 ahead; there and back take 10 each, then 10 and 90.
        offset.answered(reply(100, 1110, 1115), 125);
        assert_eq!(offset.best(), Some(Clock { offset_us: 1000, round_trip_us: 20 }));
        offset.answered(reply(200, 1210, 1210), 300);
        assert_eq!(offset.micros(), 1000);
        assert_eq!((offset.to_controller(5), offset.to_local(1005)), (1005, 5));
    }

    #[test]
    fn impossible_answers_are_ignored() {
        let mut offset = Offset::new();
        offset.answered(reply(100, 5000, 9000), 200);
        offset.answered(reply(100, 50, 50), 99);
        offset.answered(reply(0, u64::MAX, u64::MAX), 9);
        assert_eq!(offset.best(), None);
    }

    #[test]
    fn a_step_of_the_own_clock_is_made_up_for() {
        let mut offset = Offset::new();
        offset.answered(reply(100, 1110, 1115), 125);
        let base = offset.difference;
        offset.stepped(base + 50);
        assert_eq!(offset.micros(), 1000);
        offset.stepped(base + 1_000_050);
        assert_eq!(offset.micros(), 1000 - 1_000_000);
    }

    #[test]
    fn old_probes_are_forgotten() {
        let mut offset = Offset::new();
        offset.answered(reply(0, 1000, 1000), 1);
        for at in 1..=8 {
            offset.answered(reply(at * 100, at * 100 + 2000, at * 100 + 2000), at * 100 + 50);
        }
        assert_eq!(offset.best().unwrap().round_trip_us, 50);
    }
}
