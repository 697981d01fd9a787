//! What is noted of a flow at an interval, what the process has used, and the file of samples.

use std::io::{self, Write};
use std::time::Duration;

use crate::figures::Latency;

/// What the process has used: `getrusage(2)`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Time in the program.
    pub utime: Duration,
    /// Time in the system.
    pub stime: Duration,
    /// Largest resident memory, KiB.
    pub maxrss: i64,
    /// Page faults that needed no disk.
    pub minflt: i64,
    /// Page faults that did.
    pub majflt: i64,
    /// Times it waited of itself.
    pub nvcsw: i64,
    /// Times it was made to wait.
    pub nivcsw: i64,
}

impl Usage {
    /// Of the process, till now.
    pub fn of_process() -> Usage {
        Usage::read(libc::RUSAGE_SELF)
    }

    /// Of this thread, till now.
    pub fn of_thread() -> Usage {
        Usage::read(libc::RUSAGE_THREAD)
    }

    fn read(who: i32) -> Usage {
        // SAFETY: all zeros is a valid record, which the call fills in.
        let record = unsafe {
            let mut record: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut record);
            record
        };
        let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
        Usage {
            utime: time(record.ru_utime),
            stime: time(record.ru_stime),
            maxrss: record.ru_maxrss,
            minflt: record.ru_minflt,
            majflt: record.ru_majflt,
            nvcsw: record.ru_nvcsw,
            nivcsw: record.ru_nivcsw,
        }
    }

    pub(crate) fn fields(&self) -> [(&'static str, String); 7] {
        [
            ("utime", format!("{:.6}", self.utime.as_secs_f64())),
            ("stime", format!("{:.6}", self.stime.as_secs_f64())),
            ("maxrss", self.maxrss.to_string()),
            ("minflt", self.minflt.to_string()),
            ("majflt", self.majflt.to_string()),
            ("nvcsw", self.nvcsw.to_string()),
            ("nivcsw", self.nivcsw.to_string()),
        ]
    }
}

/// One flow at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When, by the machine's monotonic clock.
    pub time: Duration,
    /// Thread of the flow.
    pub thread: usize,
    /// Number of the flow in its thread.
    pub flow: usize,
    /// Bytes read from its beginning on; for a sender of datagrams, bytes sent.
    pub bytes_read: u64,
    /// Transactions from its beginning on.
    pub transactions: u64,
    /// Latencies since the last sample.
    pub latency: Option<Latency>,
    /// What its thread has used.
    pub usage: Usage,
}

/// Seconds with nine digits.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

/// Writes samples as CSV, in the order of time.
pub(crate) fn write(out: &mut dyn Write, samples: &[Sample], percentiles: &[f64]) -> io::Result<()> {
    write!(out, "time,tid,flow_id,bytes_read,transactions")?;
    write!(out, ",latency_min,latency_mean,latency_max,latency_stddev")?;
    for percentile in percentiles {
        write!(out, ",latency_p{percentile}")?;
    }
    writeln!(out, ",utime,stime,maxrss,minflt,majflt,nvcsw,nivcsw")?;
    for sample in samples {
        let Sample { thread, flow, bytes_read, transactions, .. } = sample;
        write!(out, "{},{thread},{flow},{bytes_read},{transactions}", seconds(sample.time))?;
        let none = Latency::none(percentiles.len());
        let latency = sample.latency.as_ref().unwrap_or(&none);
        for value in [latency.min, latency.mean, latency.max, latency.stddev] {
            write!(out, ",{value:.9}")?;
        }
        for value in &latency.percentiles {
            write!(out, ",{value:.9}")?;
        }
        for (_, value) in sample.usage.fields() {
            write!(out, ",{value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_their_names() {
        let latency = Latency { min: 1e-6, max: 4e-6, mean: 2e-6, stddev: 1e-6, percentiles: vec![3e-6] };
        let sample = Sample {
            time: Duration::new(12, 34),
            thread: 1,
            flow: 2,
            bytes_read: 300,
            transactions: 4,
            latency: Some(latency),
            usage: Usage { maxrss: 7, ..Usage::default() },
        };
        let mut text = Vec::new();
        write(&mut text, &[sample], &[99.9]).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "time,tid,flow_id,bytes_read,transactions,latency_min,latency_mean,latency_max,latency_stddev,\
             latency_p99.9,utime,stime,maxrss,minflt,majflt,nvcsw,nivcsw\n\
             12.000000034,1,2,300,4,0.000001000,0.000002000,0.000004000,0.000001000,0.000003000,\
             0.000000,0.000000,7,0,0,0,0\n"
        );
    }
}
