//! What a test has found, and how it is printed.

use std::time::Duration;

use crate::figures::{self, Beginning, Latencies, Latency};
use crate::options::{Options, Workload};
use crate::samples::{Sample, Usage, seconds};

/// What a test has found, seen from one side.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Control connections that did not know the secret.
    pub invalid_secret_count: u64,
    /// When the flows were set going, by the monotonic clock.
    pub time_start: Duration,
    /// When the last of them ended.
    pub time_end: Duration,
    /// What the process had used then.
    pub usage_start: Usage,
    /// And at the end.
    pub usage_end: Usage,
    /// The result.
    pub figures: Figures,
    /// Samples of all flows in the order of time.
    pub samples: Vec<Sample>,
    /// Payload bytes sent by this side.
    pub sent_bytes: u64,
    /// Payload bytes received by this side.
    pub received_bytes: u64,
    /// Requests of `udp_rr` that had no answer in time and were sent again.
    pub timeouts: u64,
}

/// The result, by kind of workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Figures {
    /// Requests and responses.
    Transactions {
        /// All of them.
        num_transactions: u64,
        /// Transactions a second between the first and the last sample.
        throughput: f64,
        /// 1 if they came evenly.
        correlation_coefficient: f64,
        /// Time from request to response; on the client alone.
        latency: Option<Latency>,
    },
    /// One way. `None`: this side only sent, and does not know what arrived.
    Stream {
        /// 10^6 bits a second, by thread.
        throughput_mbps: Option<Vec<f64>>,
        /// 1 if they came evenly.
        correlation_coefficient: f64,
    },
}

/// What the workers bring home.
pub(crate) struct Harvest {
    pub(crate) samples: Vec<Sample>,
    pub(crate) beginnings: Vec<Beginning>,
    pub(crate) latencies: Latencies,
    pub(crate) transactions: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) timeouts: u64,
}

impl Harvest {
    pub(crate) fn figures(&self, options: &Options) -> Figures {
        if !options.workload.is_stream() {
            let rates =
                figures::rates(options.num_threads, &self.samples, &self.beginnings, |s| s.transactions);
            return Figures::Transactions {
                num_transactions: self.transactions,
                throughput: rates.iter().sum(),
                correlation_coefficient: figures::evenness(&self.samples, |s| s.transactions),
                latency: self.latencies.summary(&options.percentiles),
            };
        }
        let counts = options.workload == Workload::UdpStream || options.directions().0;
        let rates = || figures::rates(options.num_threads, &self.samples, &self.beginnings, |s| s.bytes_read);
        Figures::Stream {
            throughput_mbps: counts.then(|| rates().iter().map(|rate| rate * 8.0 / 1e6).collect()),
            correlation_coefficient: figures::evenness(&self.samples, |s| s.bytes_read),
        }
    }
}

impl Outcome {
    /// The result as names and values, in the order of printing.
    pub fn listing(&self, options: &Options) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut tell = |name: &str, value: String| lines.push((name.to_owned(), value));
        tell("invalid_secret_count", self.invalid_secret_count.to_string());
        tell("time_start", seconds(self.time_start));
        for (start, end) in self.usage_start.fields().into_iter().zip(self.usage_end.fields()) {
            tell(&format!("{}_start", start.0), start.1);
            tell(&format!("{}_end", end.0), end.1);
        }
        let samples = self.samples.len().to_string();
        match &self.figures {
            Figures::Transactions { num_transactions, throughput, correlation_coefficient, latency } => {
                tell("num_transactions", num_transactions.to_string());
                tell("start_index", "0".to_owned());
                tell("end_index", self.samples.len().saturating_sub(1).to_string());
                tell("num_samples", samples);
                tell("throughput", format!("{throughput:.2}"));
                tell("correlation_coefficient", format!("{correlation_coefficient:.2}"));
                if options.workload == Workload::UdpRr && options.client {
                    tell("timeouts", self.timeouts.to_string());
                }
                if let Some(latency) = latency {
                    tell("latency_min", format!("{:.6}", latency.min));
                    tell("latency_max", format!("{:.6}", latency.max));
                    tell("latency_mean", format!("{:.6}", latency.mean));
                    tell("latency_stddev", format!("{:.6}", latency.stddev));
                    for (percentile, value) in options.percentiles.iter().zip(&latency.percentiles) {
                        tell(&format!("latency_p{percentile}"), format!("{value:.6}"));
                    }
                }
            }
            Figures::Stream { throughput_mbps: Some(threads), correlation_coefficient } => {
                tell("num_samples", samples);
                tell("throughput_Mbps", format!("{:.2}", threads.iter().sum::<f64>()));
                for (thread, mbps) in threads.iter().enumerate() {
                    tell(&format!("throughput_Mbps[{thread}]"), format!("{mbps:.2}"));
                }
                tell("correlation_coefficient", format!("{correlation_coefficient:.2}"));
            }
            Figures::Stream { throughput_mbps: None, .. } => {}
        }
        tell("time_end", seconds(self.time_end));
        lines
    }
}
