//! How an instance keeps to its share of a processor core: the time it uses flows from a bucket
//! that fills at the share's rate; once it is empty the instance rests until there is some again.
//! Pure data; the worker measures.

use std::time::Duration;

use splay_protocol::bucket::Bucket;

/// What an instance may use at once after a rest, beyond its rate: its share of so long.
const WINDOW: Duration = Duration::from_millis(100);

/// The part of the bucket that has to be full before a rest ends: fewer, longer turns.
const QUANTUM: u64 = 4;

/// One instance's share.
#[derive(Debug, Clone)]
pub struct Share {
    permille: u32,
    /// Its bytes are nanoseconds of processor time.
    bucket: Bucket,
    /// Use since the bucket was last full.
    since: Duration,
    used: Duration,
    rests_until: Duration,
}

impl Share {
    /// A share in thousandths of a core; `None` where 0 says that there is no limit.
    pub fn new(permille: u32) -> Option<Share> {
        let rate = u64::from(permille) * 1_000_000;
        let burst = u64::from(permille) * WINDOW.as_nanos() as u64 / 1000;
        (permille > 0).then(|| Share {
            permille,
            bucket: Bucket::with_burst(rate, burst),
            since: Duration::ZERO,
            used: Duration::ZERO,
            rests_until: Duration::ZERO,
        })
    }

    /// Thousandths of a core.
    pub fn permille(&self) -> u32 {
        self.permille
    }

    /// It ran until `now` and used so much of the processor. Gives until when it has to rest, if
    /// it does.
    pub fn charge(&mut self, now: Duration, used: Duration) -> Option<Duration> {
        // While it ran, what it may use came in as well.
        let began = now.saturating_sub(used);
        if self.bucket.available(began) == self.bucket.burst() {
            self.since = began;
            self.used = Duration::ZERO;
        }
        self.used += used;
        self.bucket.take(began, u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        if self.bucket.available(now) > 0 {
            return None;
        }
        self.rests_until = self.bucket.ready_at(self.bucket.burst() / QUANTUM);
        Some(self.rests_until)
    }

    /// Until when it rests; a time that is over if it does not.
    pub fn rests_until(&self) -> Duration {
        self.rests_until
    }

    /// Thousandths of a core that it has used since it was last well below its share.
    pub fn reached(&self, now: Duration) -> u32 {
        let elapsed = now.saturating_sub(self.since).as_nanos().max(1);
        u32::try_from(self.used.as_nanos() * 1000 / elapsed).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs whenever it may, `turn` at a time, for ten seconds: what it used.
    fn used(permille: u32, turn: Duration) -> Duration {
        let mut share = Share::new(permille).unwrap();
        let (mut now, mut used) = (Duration::from_secs(3), Duration::ZERO);
        while now < Duration::from_secs(13) {
            now += turn;
            used += turn;
            now = share.charge(now, turn).map_or(now, |until| now.max(until));
        }
        used
    }

    #[test]
    fn the_share_is_kept_whatever_a_turn_takes() {
        for permille in [50, 250, 900] {
            for turn in [Duration::from_micros(20), Duration::from_millis(3), Duration::from_millis(400)] {
                let used = used(permille, turn).as_millis() as u32;
                let share = permille * 10;
                assert!(
                    (share - share / 10..=share + share / 10 + 400).contains(&used),
                    "{permille} {turn:?}: {used}"
                );
            }
        }
    }

    #[test]
    fn who_uses_less_never_rests() {
        let mut share = Share::new(100).unwrap();
        for n in 1..1000 {
            let now = Duration::from_millis(100 * n);
            assert_eq!(share.charge(now, Duration::from_millis(5)), None);
        }
        assert!(Share::new(0).is_none());
    }

    #[test]
    fn what_was_reached_is_told() {
        let mut share = Share::new(200).unwrap();
        let now = Duration::from_secs(50);
        assert!(share.charge(now, Duration::from_millis(80)).is_some());
        assert_eq!(share.reached(now), 1000);
        assert_eq!(share.reached(now + Duration::from_millis(80)), 500);
    }
}
