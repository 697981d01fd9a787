//! What one flow has done so far, and when a sample of it is due.

use std::time::Duration;

use crate::figures::{Beginning, Latencies};
use crate::options::Options;
use crate::outcome::Harvest;
use crate::samples::{Sample, Usage};

/// Counts one flow; times are nanoseconds of the monotonic clock.
pub(super) struct Counter {
    number: usize,
    bytes: u64,
    transactions: u64,
    /// Since the last sample; only where latencies are measured.
    pub(super) latencies: Option<Box<Latencies>>,
    /// When it began; 0: it has not.
    began: u64,
    last: u64,
    next: u64,
    interval: u64,
    sampled: Option<u64>,
}

impl Counter {
    pub(super) fn new(number: usize, measures: bool) -> Counter {
        Counter {
            number,
            bytes: 0,
            transactions: 0,
            latencies: measures.then(|| Box::new(Latencies::new())),
            began: 0,
            last: 0,
            next: u64::MAX,
            interval: 0,
            sampled: None,
        }
    }

    /// Its time begins.
    pub(super) fn begin(&mut self, now: u64, interval: Duration) {
        self.interval = interval.as_nanos() as u64;
        (self.began, self.last, self.next) = (now, now, now + self.interval);
    }

    #[inline]
    pub(super) fn count(&mut self, bytes: u64, transactions: u64, now: u64) {
        self.bytes += bytes;
        self.transactions += transactions;
        self.last = now;
    }

    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// Takes a sample of what was last counted.
    pub(super) fn sample(&mut self, thread: usize, options: &Options, harvest: &mut Harvest) {
        let latency = self.latencies.as_mut().and_then(|latencies| {
            harvest.latencies.add(latencies);
            let summary = latencies.summary(&options.percentiles);
            latencies.clear();
            summary
        });
        harvest.samples.push(Sample {
            time: Duration::from_nanos(self.last),
            thread,
            flow: self.number,
            bytes_read: self.bytes,
            transactions: self.transactions,
            latency,
            usage: Usage::of_thread(),
        });
        self.sampled = Some(self.last);
        let passed = self.last.saturating_sub(self.began);
        self.next = self.began + (passed / self.interval + 1) * self.interval;
    }

    /// The last sample, of what came after the one before, and when it all began.
    pub(super) fn finish(&mut self, thread: usize, options: &Options, harvest: &mut Harvest) {
        if self.began == 0 {
            return;
        }
        let time = Duration::from_nanos(self.began);
        harvest.beginnings.push(Beginning { thread, flow: self.number, time });
        harvest.transactions += self.transactions;
        // A sliver after the last interval is no interval.
        let least = self.sampled.map_or(self.began + 1, |sampled| sampled + self.interval / 2);
        if self.last >= least {
            self.sample(thread, options, harvest);
        } else if let Some(latencies) = &self.latencies {
            harvest.latencies.add(latencies);
        }
    }
}
