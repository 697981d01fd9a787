//! A token bucket in the time of whoever asks: how many bytes may pass now, and when more may.
//! Pure: reads no clock.

use std::time::Duration;

/// Picoseconds of a second: fine enough that a rate of gigabytes is kept byte by byte.
const SECOND: u128 = 1_000_000_000_000;

/// The least that may pass at once: a packet of Ethernet.
const LEAST_BURST: u64 = 1500;

/// The most that may pass at once.
const MOST_BURST: u64 = 1 << 20;

/// Lets bytes pass at a rate on average, and up to a burst at once after a rest.
///
/// ```
/// use std::time::Duration;
/// use splay_protocol::bucket::Bucket;
/// let mut bucket = Bucket::new(100_000);
/// let start = Duration::from_secs(7);
/// assert_eq!(bucket.available(start), 10_000);
/// bucket.take(start, 10_000);
/// assert_eq!(bucket.available(start), 0);
/// assert_eq!(bucket.ready_at(1000), start + Duration::from_millis(10));
/// ```
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// When all that was taken has passed at the rate, picoseconds.
    passed: u128,
}

fn picos(time: Duration) -> u128 {
    time.as_nanos() * 1000
}

/// Rounded up: whoever comes at that time finds what was promised.
fn duration(picos: u128) -> Duration {
    let nanos = picos.div_ceil(1000);
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

impl Bucket {
    /// A full bucket. Its burst is a tenth of a second's worth of the rate, at least 1500 bytes
    /// and at most 1 MiB.
    pub fn new(bytes_per_second: u64) -> Bucket {
        Bucket::with_burst(bytes_per_second, (bytes_per_second / 10).clamp(LEAST_BURST, MOST_BURST))
    }

    /// The same with another burst, in bytes; with 0 everything passes at the rate exactly.
    pub fn with_burst(bytes_per_second: u64, burst: u64) -> Bucket {
        Bucket { rate: bytes_per_second.max(1), burst, passed: 0 }
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Bytes that pass at once after a rest.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    fn cost(&self, bytes: u64) -> u128 {
        u128::from(bytes) * SECOND / u128::from(self.rate)
    }

    /// Bytes that may pass now.
    pub fn available(&self, now: Duration) -> u64 {
        let behind = self.passed.saturating_sub(picos(now));
        let owed = (behind * u128::from(self.rate)).div_ceil(SECOND);
        self.burst.saturating_sub(u64::try_from(owed).unwrap_or(u64::MAX))
    }

    /// Takes bytes, even more than may pass now: those who come later wait for it.
    pub fn take(&mut self, now: Duration, bytes: u64) {
        self.passed = self.passed.max(picos(now)) + self.cost(bytes);
    }

    /// When so many bytes may pass; more than the burst may when the bucket is full.
    pub fn ready_at(&self, bytes: u64) -> Duration {
        duration(self.passed.saturating_sub(self.cost(self.burst - bytes.min(self.burst))))
    }

    /// When all that was taken has passed at the rate.
    pub fn passed_at(&self) -> Duration {
        duration(self.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as much as possible, `step` bytes a try, for so many seconds.
    fn sent(rate: u64, step: u64, seconds: u64) -> u64 {
        let mut bucket = Bucket::new(rate);
        let (mut now, mut sent) = (Duration::from_secs(100), 0);
        let end = now + Duration::from_secs(seconds);
        while now < end {
            let bytes = bucket.available(now).min(step);
            bucket.take(now, bytes);
            sent += bytes;
            now = now.max(bucket.ready_at(step.min(bucket.burst())));
        }
        sent
    }

    #[test]
    fn the_rate_is_kept_whatever_is_sent_at_once() {
        for (rate, step) in [(1000, 100), (1000, 1500), (100_000, 1), (100_000, 65_536), (1 << 30, 65_536)] {
            let (total, burst) = (sent(rate, step, 20), Bucket::new(rate).burst());
            let expected = 20 * rate;
            assert!(total >= expected - expected / 100, "{rate} {step}: {total}");
            assert!(total <= expected + burst + step, "{rate} {step}: {total}");
        }
    }

    #[test]
    fn a_rest_saves_a_burst_and_no_more() {
        let mut bucket = Bucket::new(1_000_000);
        bucket.take(Duration::from_secs(1), 100_000);
        assert_eq!(bucket.available(Duration::from_secs(1)), 0);
        assert_eq!(bucket.available(Duration::from_millis(1050)), 50_000);
        assert_eq!(bucket.available(Duration::from_secs(60)), 100_000);
    }

    #[test]
    fn what_is_taken_beforehand_is_waited_for() {
        let mut bucket = Bucket::new(10_000);
        let now = Duration::from_secs(5);
        bucket.take(now, 21_500);
        assert_eq!(bucket.ready_at(1500), now + Duration::from_millis(2150));
        assert_eq!(bucket.ready_at(60_000), now + Duration::from_millis(2150));
        assert_eq!(bucket.available(now + Duration::from_millis(2150)), 1500);
        assert_eq!(bucket.passed_at(), now + Duration::from_millis(2150));
    }

    #[test]
    fn who_comes_when_told_finds_what_was_promised() {
        for rate in [3, 999, 7_777_777, 123_456_789] {
            let mut bucket = Bucket::new(rate);
            let mut now = Duration::from_nanos(12_345);
            for n in 1..200 {
                let wanted = 1 + n % bucket.burst();
                now = now.max(bucket.ready_at(wanted));
                assert!(bucket.available(now) >= wanted, "{rate} {wanted}");
                bucket.take(now, wanted);
            }
        }
    }
}
