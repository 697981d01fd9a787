//! The rates of one instance: how much of what it wants may pass, and when the rest.

use std::time::Duration;

use splay_protocol::bucket::Bucket;

use super::traffic::{Direction, Traffic};

/// Less than this does not pass alone while more is wanted: a packet's worth.
const LEAST_PASS: u64 = 1460;

/// Bytes of datagrams that wait for a rate at least.
const LEAST_QUEUE: u64 = 64 << 10;

/// What a rate says to bytes that want to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// When to ask again.
    pub(super) until: Duration,
    /// Which limit.
    pub(super) limit: &'static str,
    /// Its bytes a second.
    pub(super) rate: u64,
}

/// One direction of an instance.
#[derive(Debug)]
pub(super) struct Gate {
    direction: Direction,
    own: Option<Bucket>,
}

/// The least that passes at once where so much is wanted.
fn quantum(bucket: &Bucket, wanted: u64) -> u64 {
    (bucket.burst() / 4).max(bucket.burst().min(LEAST_PASS)).min(wanted)
}

fn pass(
    bucket: &Bucket,
    limit: &'static str,
    direction: Direction,
    now: Duration,
    wanted: u64,
) -> Result<u64, Held> {
    let available = bucket.available(now);
    let quantum = quantum(bucket, wanted);
    // Who receives does not know how little there is.
    let least = if direction == Direction::Receive { quantum.min(1) } else { quantum };
    match available < least {
        true => Err(Held { until: bucket.ready_at(quantum), limit, rate: bucket.rate() }),
        false => Ok(available.min(wanted)),
    }
}

impl Gate {
    pub(super) fn new(direction: Direction, bytes_per_second: u64) -> Gate {
        Gate { direction, own: (bytes_per_second > 0).then(|| Bucket::new(bytes_per_second)) }
    }

    /// Whether it lets everything pass.
    pub(super) fn is_open(&self, traffic: &Traffic) -> bool {
        self.own.is_none() && traffic.job(self.direction).is_none()
    }

    /// How many of the wanted bytes of a stream may pass now.
    pub(super) fn pass(&self, traffic: &Traffic, now: Duration, wanted: usize) -> Result<usize, Held> {
        let [own, job] = self.direction.limits();
        let mut passes = wanted as u64;
        if let Some(bucket) = &self.own {
            passes = pass(bucket, own, self.direction, now, passes)?;
        }
        if let Some(bucket) = traffic.job(self.direction) {
            passes = pass(&bucket, job, self.direction, now, passes)?;
        }
        Ok(passes as usize)
    }

    /// Counts bytes that have passed.
    pub(super) fn take(&mut self, traffic: &Traffic, now: Duration, bytes: usize) {
        if let Some(bucket) = &mut self.own {
            bucket.take(now, bytes as u64);
        }
        if let Some(mut bucket) = traffic.job(self.direction) {
            bucket.take(now, bytes as u64);
        }
    }

    /// When a datagram passes, which is counted; the limit if it has to wait. `Err`: more wait
    /// already than a second takes (at least 64 KiB), and it is dropped.
    pub(super) fn datagram(
        &mut self,
        traffic: &Traffic,
        now: Duration,
        bytes: usize,
    ) -> Result<(Duration, Option<Held>), Held> {
        let [own, job] = self.direction.limits();
        let mut at = now;
        let mut held = None;
        let mut ask = |bucket: &Bucket, limit: &'static str| {
            let until = bucket.ready_at(bytes as u64);
            if until > at {
                (at, held) = (until, Some(Held { until, limit, rate: bucket.rate() }));
            }
            let waits = until.saturating_sub(now).as_nanos() * u128::from(bucket.rate()) / 1_000_000_000;
            match waits > u128::from(bucket.rate().max(LEAST_QUEUE)) {
                true => Err(Held { until, limit, rate: bucket.rate() }),
                false => Ok(()),
            }
        };
        if let Some(bucket) = &self.own {
            ask(bucket, own)?;
        }
        if let Some(bucket) = traffic.job(self.direction) {
            ask(&bucket, job)?;
        }
        self.take(traffic, now, bytes);
        Ok((at, held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(9);

    #[test]
    fn the_smaller_of_instance_and_job_wins() {
        let traffic = Traffic::new(10_000, 0, None);
        let mut gate = Gate::new(Direction::Send, 50_000);
        assert_eq!(gate.pass(&traffic, START, 100_000), Ok(1500), "the burst of the job");
        gate.take(&traffic, START, 1500);
        let held = gate.pass(&traffic, START, 100_000).unwrap_err();
        assert_eq!((held.limit, held.rate), ("job_send_bytes_per_second", 10_000));
        assert_eq!(held.until, START + Duration::from_millis(146));
        // Another instance of the job waits with it; receiving does not.
        assert!(Gate::new(Direction::Send, 0).pass(&traffic, START, 1).is_err());
        assert!(Gate::new(Direction::Receive, 0).is_open(&traffic));
        let traffic = Traffic::new(0, 0, None);
        let mut gate = Gate::new(Direction::Receive, 50_000);
        gate.take(&traffic, START, 50_000);
        assert_eq!(gate.pass(&traffic, START, 9).unwrap_err().limit, "receive_bytes_per_second");
    }

    #[test]
    fn datagrams_wait_and_are_dropped_beyond() {
        let traffic = Traffic::new(0, 0, None);
        let mut gate = Gate::new(Direction::Send, 100_000);
        let sent: Vec<_> = (0..200).map(|_| gate.datagram(&traffic, START, 1000)).collect();
        assert!(sent[..10].iter().all(|sent| matches!(sent, Ok((at, None)) if *at == START)));
        let last = sent.iter().rposition(Result::is_ok).unwrap();
        assert!((109..=111).contains(&last), "{last}: the burst and a second's worth");
        let (at, held) = sent[60].unwrap();
        assert_eq!(
            (at, held.map(|held| held.limit)),
            (START + Duration::from_millis(510), Some("send_bytes_per_second"))
        );
    }
}
