//! Distributions of times: exact ones from samples, and a compact one that is added to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splay_protocol::api::Spread;

/// The distribution of some times in microseconds.
pub fn spread(mut samples: Vec<i64>) -> Option<Spread> {
    samples.sort_unstable();
    let ms = |us: i64| us as f64 / 1000.0;
    let rank =
        |share: f64| samples[((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len()) - 1];
    let (&first, &last) = (samples.first()?, samples.last()?);
    Some(Spread {
        count: samples.len() as u64,
        min_ms: ms(first),
        p50_ms: ms(rank(0.5)),
        p99_ms: ms(rank(0.99)),
        max_ms: ms(last),
    })
}

/// A histogram of how late something was: 16 steps to each power of two, so a percentile is off
/// by at most one part in 16.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Lateness {
    count: u64,
    min_us: i64,
    max_us: i64,
    /// What was early counts as 0 here.
    buckets: BTreeMap<u32, u64>,
}

/// Steps to a power of two, as a power of two.
const STEP_BITS: u32 = 4;

impl Lateness {
    /// Adds one.
    pub fn add(&mut self, us: i64) {
        (self.min_us, self.max_us) = match self.count {
            0 => (us, us),
            _ => (self.min_us.min(us), self.max_us.max(us)),
        };
        self.count += 1;
        *self.buckets.entry(bucket(us.max(0) as u64)).or_default() += 1;
    }

    /// The distribution; `None`: nothing was added.
    pub fn spread(&self) -> Option<Spread> {
        if self.count == 0 {
            return None;
        }
        let rank = |share: f64| {
            let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let found = self.buckets.iter().find(|(_, count)| {
                seen += **count;
                seen >= wanted
            });
            let us = found.map_or(self.max_us, |(bucket, _)| upper(*bucket) as i64);
            us.clamp(self.min_us, self.max_us) as f64 / 1000.0
        };
        Some(Spread {
            count: self.count,
            min_ms: self.min_us as f64 / 1000.0,
            p50_ms: rank(0.5),
            p99_ms: rank(0.99),
            max_ms: self.max_us as f64 / 1000.0,
        })
    }
}

fn bucket(us: u64) -> u32 {
    let bits = 64 - us.leading_zeros();
    let shift = bits.saturating_sub(STEP_BITS + 1);
    (shift << STEP_BITS) + (us >> shift) as u32
}

/// The greatest number of a bucket.
fn upper(bucket: u32) -> u64 {
    let shift = (bucket >> STEP_BITS).saturating_sub(1);
    let step = u64::from(bucket - (shift << STEP_BITS));
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact() {
        let all = spread((1..=200).rev().map(|ms| ms * 1000).collect()).unwrap();
        assert_eq!(all, Spread { count: 200, min_ms: 1.0, p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 });
        assert_eq!(spread(vec![]), None);
    }

    #[test]
    fn compact_is_near_exact() {
        let mut lateness = Lateness::default();
        let samples: Vec<i64> = (0..10_000).map(|n| n * n / 7 - 500).collect();
        samples.iter().for_each(|&us| lateness.add(us));
        let (near, exact) = (lateness.spread().unwrap(), spread(samples).unwrap());
        assert_eq!((near.count, near.min_ms, near.max_ms), (exact.count, exact.min_ms, exact.max_ms));
        for (near, exact) in [(near.p50_ms, exact.p50_ms), (near.p99_ms, exact.p99_ms)] {
            assert!((near - exact).abs() <= exact / 16.0, "{near} {exact}");
        }
        for us in [0, 1, 15, 16, 17, 31, 32, 33, 1000, 123_456_789] {
            assert!(upper(bucket(us)) >= us && (us == 0 || bucket(upper(bucket(us))) == bucket(us)), "{us}");
        }
    }
}
