//! What is computed of samples and latencies: rates, how even they were, percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::samples::Sample;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// How long transactions took, seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Shortest.
    pub min: f64,
    /// Longest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub stddev: f64,
    /// The percentiles asked for, in that order.
    pub percentiles: Vec<f64>,
}

impl Latency {
    pub(crate) fn none(percentiles: usize) -> Latency {
        Latency { min: 0.0, max: 0.0, mean: 0.0, stddev: 0.0, percentiles: vec![0.0; percentiles] }
    }
}

/// Latencies in nanoseconds, kept to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new(DIGITS).expect("three digits are within what the histogram knows"))
    }

    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        // It grows as needed; only a latency of centuries is refused.
        let _ = self.0.record(nanoseconds.max(1));
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn summary(&self, percentiles: &[f64]) -> Option<Latency> {
        if self.0.is_empty() {
            return None;
        }
        let seconds = |nanoseconds: f64| nanoseconds / 1e9;
        let at = |percentile: &f64| {
            // The largest value of a class of equal ones, but none that did not occur.
            seconds(self.0.value_at_percentile(*percentile).min(self.0.max()) as f64)
        };
        Some(Latency {
            min: seconds(self.0.min() as f64),
            max: seconds(self.0.max() as f64),
            mean: seconds(self.0.mean()),
            stddev: seconds(self.0.stdev()),
            percentiles: percentiles.iter().map(at).collect(),
        })
    }
}

/// How a flow began: the point that a run with a single sample is measured from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub(crate) thread: usize,
    pub(crate) flow: usize,
    pub(crate) time: Duration,
}

/// What one flow did a second, from its first to its last sample; from its beginning on if it has
/// but one sample.
fn rate(samples: &[&Sample], beginning: Duration, count: fn(&Sample) -> u64) -> f64 {
    let (amount, time) = match samples {
        [] => return 0.0,
        [only] => (count(only), only.time.saturating_sub(beginning)),
        [first, .., last] => (count(last) - count(first), last.time.saturating_sub(first.time)),
    };
    if time.is_zero() { 0.0 } else { amount as f64 / time.as_secs_f64() }
}

/// What the flows of each thread did a second.
pub(crate) fn rates(
    threads: usize,
    samples: &[Sample],
    beginnings: &[Beginning],
    count: fn(&Sample) -> u64,
) -> Vec<f64> {
    let mut sums = vec![0.0; threads];
    let mut ordered: Vec<&Sample> = samples.iter().collect();
    ordered.sort_by_key(|sample| (sample.thread, sample.flow, sample.time));
    for flow in ordered.chunk_by(|a, b| (a.thread, a.flow) == (b.thread, b.flow)) {
        let (thread, number) = (flow[0].thread, flow[0].flow);
        let began = beginnings.iter().find(|began| (began.thread, began.flow) == (thread, number));
        sums[thread] += rate(flow, began.map_or(flow[0].time, |began| began.time), count);
    }
    sums
}

/// How close the growing total of all flows comes to a straight line: 1 is one.
pub(crate) fn evenness(samples: &[Sample], count: fn(&Sample) -> u64) -> f64 {
    let mut last = std::collections::HashMap::new();
    let mut total = 0u64;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| {
            let now = count(sample);
            let before = last.insert((sample.thread, sample.flow), now).unwrap_or(0);
            total += now.saturating_sub(before);
            (sample.time.as_secs_f64(), total as f64)
        })
        .collect();
    correlation(&points)
}

/// Pearson's coefficient of correlation; 0 where it is not defined.
pub fn correlation(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Usage;

    fn sample(flow: usize, milliseconds: u64, bytes_read: u64) -> Sample {
        Sample {
            time: Duration::from_millis(milliseconds),
            thread: flow / 2,
            flow,
            bytes_read,
            transactions: 0,
            latency: None,
            usage: Usage::default(),
        }
    }

    #[test]
    fn rates_are_between_first_and_last_sample() {
        let samples = [sample(0, 1000, 500), sample(1, 1000, 50), sample(0, 3000, 2500), sample(2, 2000, 30)];
        let began = |flow: usize| Beginning { thread: flow / 2, flow, time: Duration::from_millis(500) };
        let sums = rates(2, &samples, &[began(0), began(1), began(2)], |sample| sample.bytes_read);
        // Flow 0: 2000 bytes in 2 s. Flows 1 and 2 have one sample, 0.5 and 1.5 s after they began.
        assert_eq!(sums, [1000.0 + 100.0, 20.0]);
    }

    #[test]
    fn a_straight_line_correlates() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0)).collect();
        assert!((correlation(&line) - 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[(1.0, 2.0)]), 0.0);
        assert!(correlation(&[(0.0, 0.0), (1.0, 5.0), (2.0, 0.0)]).abs() < 1e-12);
    }

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=100_000).for_each(|microseconds| latencies.record(microseconds * 1000));
        let summary = latencies.summary(&[0.0, 50.0, 99.0, 100.0]).unwrap();
        for (found, expected) in summary.percentiles.iter().zip([1e-6, 0.05, 0.099, 0.1]) {
            assert!((found / expected - 1.0).abs() < 2e-3, "{found} {expected}");
        }
        assert!((summary.mean / 0.0500005 - 1.0).abs() < 2e-3);
        assert!(Latencies::new().summary(&[]).is_none());
    }
}
