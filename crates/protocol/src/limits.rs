//! What an instance may use. One type for what a job asks for, what a splayd allows at most, and
//! what an instance runs with.

use serde::{Deserialize, Serialize};

/// Limits of one instance (reference: submission options of the original, section by section of
/// its manual's sandbox). Totals hold for the life of the instance. On the wire and in files the
/// names are the fields'; an absent field is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Lua heap.
    pub max_memory_bytes: u64,
    /// Total size of all files.
    pub max_disk_bytes: u64,
    /// Number of files.
    pub max_files: u32,
    /// Open files.
    pub max_file_descriptors: u32,
    /// Payload sent over the life of the instance.
    pub max_send_bytes: u64,
    /// Payload received over the life of the instance.
    pub max_receive_bytes: u64,
    /// Payload sent a second; 0: no limit.
    pub send_bytes_per_second: u64,
    /// Payload received a second; 0: no limit.
    pub receive_bytes_per_second: u64,
    /// Payload that all instances of a job on one splayd send a second; 0: no limit.
    pub job_send_bytes_per_second: u64,
    /// Payload that all instances of a job on one splayd receive a second; 0: no limit.
    pub job_receive_bytes_per_second: u64,
    /// Open TCP sockets, and separately UDP sockets.
    pub max_sockets: u32,
    /// Consecutive ports an instance gets; `job.me.port` is the first.
    pub ports: u16,
    /// Longest time a thread may run without yielding, milliseconds.
    pub slice_milliseconds: u32,
    /// Share of one processor core, in thousandths; 0: no limit.
    pub cpu_permille: u32,
    /// Outgoing datagrams dropped at random, of a million.
    pub udp_drop_per_million: u32,
    /// Threads of `splay.traffic` an instance may run; 0: it may not use it.
    pub traffic_threads: u32,
    /// Bytes of log lines over the life of the instance.
    pub max_log_bytes: u64,
}

impl Default for Limits {
    /// What the original's jobs got when they asked for nothing, apart from rates, slice, CPU
    /// share, drops, log lines and traffic, which it had not.
    fn default() -> Self {
        Limits {
            max_memory_bytes: 20 << 20,
            max_disk_bytes: 64 << 20,
            max_files: 1024,
            max_file_descriptors: 1024,
            max_send_bytes: 128 << 20,
            max_receive_bytes: 128 << 20,
            send_bytes_per_second: 0,
            receive_bytes_per_second: 0,
            job_send_bytes_per_second: 0,
            job_receive_bytes_per_second: 0,
            max_sockets: 1024,
            ports: 1,
            slice_milliseconds: 10_000,
            cpu_permille: 0,
            udp_drop_per_million: 0,
            traffic_threads: 0,
            max_log_bytes: 100 << 20,
        }
    }
}

/// The lower of two rates, of which 0 is none.
pub fn lower_rate(one: u64, other: u64) -> u64 {
    match (one, other) {
        (rate, 0) | (0, rate) => rate,
        (one, other) => one.min(other),
    }
}

/// A limit that is asked for and is more than a splayd allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{limit} {asked} is more than the {allowed} allowed")]
pub struct Exceeds {
    /// Name of the field.
    pub limit: &'static str,
    /// What the job wants.
    pub asked: u64,
    /// What may be had.
    pub allowed: u64,
}

impl Limits {
    /// Whether a job with these limits may run where `maxima` are the most an instance gets. For
    /// rates and the CPU share, where 0 is no limit, a maximum holds for those that ask for no
    /// limit as well: see [`Limits::within`].
    pub fn check(&self, maxima: &Limits) -> Result<(), Exceeds> {
        let rows: [(&'static str, u64, u64); 10] = [
            ("max_memory_bytes", self.max_memory_bytes, maxima.max_memory_bytes),
            ("max_disk_bytes", self.max_disk_bytes, maxima.max_disk_bytes),
            ("max_files", self.max_files.into(), maxima.max_files.into()),
            ("max_file_descriptors", self.max_file_descriptors.into(), maxima.max_file_descriptors.into()),
            ("max_send_bytes", self.max_send_bytes, maxima.max_send_bytes),
            ("max_receive_bytes", self.max_receive_bytes, maxima.max_receive_bytes),
            ("max_sockets", self.max_sockets.into(), maxima.max_sockets.into()),
            ("ports", self.ports.into(), maxima.ports.into()),
            ("traffic_threads", self.traffic_threads.into(), maxima.traffic_threads.into()),
            ("max_log_bytes", self.max_log_bytes, maxima.max_log_bytes),
        ];
        match rows.into_iter().find(|(_, asked, allowed)| asked > allowed) {
            Some((limit, asked, allowed)) => Err(Exceeds { limit, asked, allowed }),
            None => Ok(()),
        }
    }

    /// These limits, with rates, CPU share and slice cut to what is allowed.
    pub fn within(&self, maxima: &Limits) -> Limits {
        let rate = lower_rate;
        Limits {
            send_bytes_per_second: rate(self.send_bytes_per_second, maxima.send_bytes_per_second),
            receive_bytes_per_second: rate(self.receive_bytes_per_second, maxima.receive_bytes_per_second),
            job_send_bytes_per_second: rate(self.job_send_bytes_per_second, maxima.job_send_bytes_per_second),
            job_receive_bytes_per_second: rate(
                self.job_receive_bytes_per_second,
                maxima.job_receive_bytes_per_second,
            ),
            cpu_permille: rate(self.cpu_permille.into(), maxima.cpu_permille.into()) as u32,
            slice_milliseconds: self.slice_milliseconds.min(maxima.slice_milliseconds),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_beyond_is_named() {
        let maxima = Limits { max_sockets: 10, ..Limits::default() };
        let error = Limits::default().check(&maxima).unwrap_err();
        assert_eq!(error.to_string(), "max_sockets 1024 is more than the 10 allowed");
        assert_eq!(maxima.check(&Limits::default()), Ok(()));
    }

    #[test]
    fn rates_are_cut() {
        let maxima = Limits { send_bytes_per_second: 100, cpu_permille: 500, ..Limits::default() };
        let cut = Limits { send_bytes_per_second: 300, ..Limits::default() }.within(&maxima);
        assert_eq!((cut.send_bytes_per_second, cut.cpu_permille), (100, 500));
        assert_eq!(cut.receive_bytes_per_second, 0);
    }
}
