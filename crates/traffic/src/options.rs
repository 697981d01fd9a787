//! What a test is to be: every option with its default, what values it may have, and the list of
//! all of them that is printed before a test.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;

/// The largest payload of a datagram over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;

/// What the flows do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Bytes one way (or both) on TCP connections, as fast as they go.
    TcpStream,
    /// A request, a response, and again, on TCP connections that stay.
    TcpRr,
    /// The same with a new connection for each request.
    TcpCrr,
    /// Datagrams one way, as fast as they go.
    UdpStream,
    /// A datagram there, one back, and again.
    UdpRr,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 5] =
        [Workload::TcpStream, Workload::TcpRr, Workload::TcpCrr, Workload::UdpStream, Workload::UdpRr];

    /// Its name: `tcp_stream` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Workload::TcpStream => "tcp_stream",
            Workload::TcpRr => "tcp_rr",
            Workload::TcpCrr => "tcp_crr",
            Workload::UdpStream => "udp_stream",
            Workload::UdpRr => "udp_rr",
        }
    }

    /// The workload of that name.
    pub fn named(name: &str) -> Option<Workload> {
        Workload::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Over datagrams.
    pub fn is_udp(self) -> bool {
        matches!(self, Workload::UdpStream | Workload::UdpRr)
    }

    /// One way, without responses.
    pub fn is_stream(self) -> bool {
        matches!(self, Workload::TcpStream | Workload::UdpStream)
    }
}

/// Which addresses are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Whichever the host has; a server takes both.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// What a job has left to send and receive, kept by all threads of a test.
#[derive(Debug, Default)]
pub struct Allowance {
    /// Sockets that may be open at once; 0: any number.
    pub max_sockets: usize,
    /// Bytes that may be sent.
    pub max_send_bytes: Option<u64>,
    /// Bytes that may be received; a last piece may overshoot.
    pub max_receive_bytes: Option<u64>,
    sockets: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Allowance {
    /// With these limits; nothing is used yet.
    pub fn new(max_sockets: usize, max_send_bytes: Option<u64>, max_receive_bytes: Option<u64>) -> Self {
        Allowance { max_sockets, max_send_bytes, max_receive_bytes, ..Allowance::default() }
    }

    pub(crate) fn open(&self) -> Result<(), Error> {
        let open = self.sockets.fetch_add(1, Ordering::Relaxed);
        if self.max_sockets > 0 && open >= self.max_sockets as u64 {
            self.sockets.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Limit("max_sockets"));
        }
        Ok(())
    }

    pub(crate) fn closed(&self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether so many more bytes may be sent; if so they count.
    #[inline]
    pub(crate) fn may_send(&self, bytes: usize) -> Result<(), Error> {
        match self.max_send_bytes {
            Some(max) if self.sent.load(Ordering::Relaxed).saturating_add(bytes as u64) > max => {
                Err(Error::Limit("max_send_bytes"))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn received(&self, bytes: usize) -> Result<(), Error> {
        let before = self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        match self.max_receive_bytes {
            Some(max) if before > max => Err(Error::Limit("max_receive_bytes")),
            _ => Ok(()),
        }
    }

    /// Counts what was sent and received elsewhere.
    pub fn charge(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }

    /// Bytes sent and received so far.
    pub fn used(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

/// One test, seen from one side. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the flows do.
    pub workload: Workload,
    /// The side that connects.
    pub client: bool,
    /// The server's host; for a server the address to listen on.
    pub host: Option<String>,
    /// A client's own address.
    pub local_host: Option<String>,
    /// TCP port of the control connection.
    pub control_port: u16,
    /// Port of the data; UDP without `reuseport`: thread `i` has `port + i`.
    pub port: u16,
    /// Connections, or senders of datagrams, over all threads.
    pub num_flows: usize,
    /// Threads.
    pub num_threads: usize,
    /// Clients that a server waits for.
    pub num_clients: usize,
    /// Seconds that a client sends.
    pub test_length: u32,
    /// Time between two samples of a flow.
    pub interval: Duration,
    /// Where the samples go.
    pub all_samples: Option<PathBuf>,
    /// Which addresses are used.
    pub family: Family,
    /// Events taken from epoll at once.
    pub maxevents: usize,
    /// What both sides must know.
    pub magic: u32,
    /// Has no effect but to be printed: sockets never block.
    pub nonblocking: bool,
    /// Smallest retransmission time of TCP, milliseconds; 0: the system's.
    pub min_rto: u32,
    /// Connections that may wait to be accepted.
    pub listen_backlog: u32,
    /// Bytes a second a socket may send; 0: as many as go.
    pub max_pacing_rate: u64,
    /// Each thread keeps to a processor.
    pub pin_cpu: bool,
    /// Sets SO_DEBUG.
    pub debug: bool,
    /// What a client asks with.
    pub request_size: usize,
    /// What a server answers with.
    pub response_size: usize,
    /// The most that is read or written at once.
    pub buffer_size: usize,
    /// Percentiles of latencies to tell.
    pub percentiles: Vec<f64>,
    /// This side reads. Both unset: the server reads, the client writes.
    pub enable_read: bool,
    /// This side writes.
    pub enable_write: bool,
    /// Edge-triggered epoll.
    pub edge_trigger: bool,
    /// Sets SO_REUSEADDR on listening sockets.
    pub reuseaddr: bool,
    /// UDP: all threads of a server on one port.
    pub reuseport: bool,
    /// Time between two writes of a flow.
    pub delay: Duration,
    /// A server gives up when its clients have not come by then; `None`: it waits.
    pub patience: Option<Duration>,
    /// What a job has left to send and receive.
    pub allowance: Option<Arc<Allowance>>,
}

impl Options {
    /// The defaults of a workload.
    pub fn new(workload: Workload) -> Options {
        Options {
            workload,
            client: false,
            host: None,
            local_host: None,
            control_port: 12_866,
            port: 12_867,
            num_flows: 1,
            num_threads: 1,
            num_clients: 1,
            test_length: 10,
            interval: Duration::from_secs(1),
            all_samples: None,
            family: Family::Any,
            maxevents: 1000,
            magic: 42,
            nonblocking: false,
            min_rto: 0,
            listen_backlog: 128,
            max_pacing_rate: 0,
            pin_cpu: false,
            debug: false,
            request_size: 1,
            response_size: 1,
            buffer_size: if workload.is_stream() { 16_384 } else { 65_536 },
            percentiles: Vec::new(),
            enable_read: false,
            enable_write: false,
            edge_trigger: false,
            reuseaddr: false,
            reuseport: false,
            delay: Duration::ZERO,
            patience: None,
            allowance: None,
        }
    }

    /// Whether this side reads and writes, in a stream.
    pub fn directions(&self) -> (bool, bool) {
        match (self.enable_read, self.enable_write) {
            (false, false) => (!self.client, self.client),
            both => both,
        }
    }

    /// Flows of a thread: as many for each as goes, the first ones have one more.
    pub(crate) fn flows_of(&self, thread: usize) -> std::ops::Range<usize> {
        let before = |thread: usize| {
            thread * (self.num_flows / self.num_threads) + thread.min(self.num_flows % self.num_threads)
        };
        before(thread)..before(thread + 1)
    }

    /// The port of a thread's data.
    pub(crate) fn port_of(&self, thread: usize) -> u16 {
        match self.workload.is_udp() && !self.reuseport {
            true => self.port + thread as u16,
            false => self.port,
        }
    }

    /// Whether the options are in range and fit together.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Options(text.to_owned()));
        let positive: [(&str, usize); 8] = [
            ("test_length", self.test_length as usize),
            ("num_flows", self.num_flows),
            ("num_threads", self.num_threads),
            ("num_clients", self.num_clients),
            ("maxevents", self.maxevents),
            ("request_size", self.request_size),
            ("response_size", self.response_size),
            ("buffer_size", self.buffer_size),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value < 1) {
            return refuse(&format!("{name} must be at least 1."));
        }
        if self.num_threads > 1024 {
            return refuse("num_threads must be at most 1024.");
        }
        if self.client && self.num_flows < self.num_threads {
            return refuse("There should not be less flows than threads.");
        }
        if !self.client && self.local_host.is_some() {
            return refuse("local_host may only be set for clients.");
        }
        if self.client && self.host.is_none() {
            return refuse("a client needs the server's host.");
        }
        if self.interval < Duration::from_millis(1) {
            return refuse("interval must be at least 0.001 seconds.");
        }
        if let Some(wrong) = self.percentiles.iter().find(|value| !(0.0..=100.0).contains(*value)) {
            return refuse(&format!("percentiles: {wrong} is not between 0 and 100."));
        }
        if self.buffer_size > 1 << 30 || self.request_size > 1 << 30 || self.response_size > 1 << 30 {
            return refuse("sizes must be at most 1073741824.");
        }
        if self.workload.is_udp() {
            let sizes = match self.workload {
                Workload::UdpStream => [("buffer_size", self.buffer_size); 2],
                _ => [("request_size", self.request_size), ("response_size", self.response_size)],
            };
            if let Some((name, _)) = sizes.iter().find(|(_, size)| *size > MAX_DATAGRAM_BYTES) {
                return refuse(&format!(
                    "{name} must be at most {MAX_DATAGRAM_BYTES}, the largest datagram."
                ));
            }
        }
        if usize::from(self.port) + if self.workload.is_udp() { self.num_threads } else { 1 } > 65_536 {
            return refuse("port: there is no such port for each thread.");
        }
        let backlog = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        let backlog = backlog.and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(u32::MAX);
        if self.listen_backlog > backlog {
            return refuse(&format!("listen_backlog must be at most {backlog} (net.core.somaxconn)."));
        }
        Ok(())
    }

    /// Every option that means something here, with its value.
    pub fn listing(&self) -> Vec<(&'static str, String)> {
        let flag = |set: bool| u8::from(set).to_string();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut lines = vec![
            ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
            ("magic", self.magic.to_string()),
            ("maxevents", self.maxevents.to_string()),
            ("num_flows", self.num_flows.to_string()),
            ("num_threads", self.num_threads.to_string()),
            ("num_clients", self.num_clients.to_string()),
            ("test_length", self.test_length.to_string()),
            ("interval", format!("{:.6}", self.interval.as_secs_f64())),
            ("client", flag(self.client)),
            ("host", text(&self.host)),
            ("local_host", text(&self.local_host)),
            ("control_port", self.control_port.to_string()),
            ("port", self.port.to_string()),
            (
                "all_samples",
                self.all_samples.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            ),
            ("ipv4", flag(self.family == Family::V4)),
            ("ipv6", flag(self.family == Family::V6)),
            ("nonblocking", flag(self.nonblocking)),
            ("buffer_size", self.buffer_size.to_string()),
        ];
        if !self.workload.is_udp() {
            lines.extend([
                ("min_rto", self.min_rto.to_string()),
                ("listen_backlog", self.listen_backlog.to_string()),
                ("max_pacing_rate", self.max_pacing_rate.to_string()),
                ("pin_cpu", flag(self.pin_cpu)),
                ("debug", flag(self.debug)),
            ]);
        }
        if self.workload.is_stream() {
            let (read, write) = self.directions();
            lines.push(("edge_trigger", flag(self.edge_trigger)));
            if self.workload == Workload::TcpStream {
                lines.extend([
                    ("enable_read", flag(read)),
                    ("enable_write", flag(write)),
                    ("reuseaddr", flag(self.reuseaddr)),
                    ("delay", self.delay.as_nanos().to_string()),
                ]);
            }
        } else {
            let list: Vec<String> = self.percentiles.iter().map(f64::to_string).collect();
            lines.extend([
                ("request_size", self.request_size.to_string()),
                ("response_size", self.response_size.to_string()),
                ("percentiles", list.join(",")),
            ]);
        }
        if self.workload.is_udp() {
            lines.push(("reuseport", flag(self.reuseport)));
        }
        lines.push(("total_run_time", self.test_length.to_string()));
        lines
    }
}

/// A number of bytes (a second) with a unit: `b` bits, `B` bytes, with `k M G` in thousands or
/// `Ki Mi Gi` in 1024s (`10Mb`, `1GiB`); a bare number is bytes.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no rate: a number and b, B, kb, Kib, kB, KiB, Mb ... GiB");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = &text[digits..];
    let (scale, bits) = match unit {
        "" | "B" => (1.0, false),
        "b" => (1.0, true),
        _ => {
            let last = unit.chars().next_back().map_or(0, char::len_utf8);
            let (prefix, last) = unit.split_at(unit.len() - last);
            let scale = match prefix {
                "k" | "K" => 1e3,
                "M" => 1e6,
                "G" => 1e9,
                "Ki" | "ki" => 1024.0,
                "Mi" => 1024.0 * 1024.0,
                "Gi" => 1024.0 * 1024.0 * 1024.0,
                _ => return Err(wrong()),
            };
            match last {
                "b" => (scale, true),
                "B" => (scale, false),
                _ => return Err(wrong()),
            }
        }
    };
    let bytes = number * scale / if bits { 8.0 } else { 1.0 };
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (text, bytes) in [
            ("800", 800),
            ("80b", 10),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("8Mb", 1_000_000),
            ("2GiB", 2 << 30),
            ("1.5kB", 1500),
        ] {
            assert_eq!(parse_rate(text), Ok(bytes), "{text}");
        }
        for text in ["", "b", "1X", "1kX", "x1b", "1é", "1.2.3B", "-1B"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flows_are_spread() {
        let options = Options { num_flows: 8, num_threads: 3, ..Options::new(Workload::TcpRr) };
        assert_eq!([0, 1, 2].map(|thread| options.flows_of(thread)), [0..3, 3..6, 6..8]);
    }

    #[test]
    fn wrong_options_are_told() {
        let client = Options { client: true, host: Some("h".into()), ..Options::new(Workload::UdpRr) };
        assert!(client.check().is_ok());
        let cases = [
            (Options { test_length: 0, ..client.clone() }, "test_length must be at least 1."),
            (Options { num_threads: 2, ..client.clone() }, "There should not be less flows than threads."),
            (
                Options { client: false, local_host: Some("h".into()), ..client.clone() },
                "local_host may only be set for clients.",
            ),
            (
                Options { request_size: 70_000, ..client.clone() },
                "request_size must be at most 65507, the largest datagram.",
            ),
            (Options { percentiles: vec![101.0], ..client }, "percentiles: 101 is not between 0 and 100."),
        ];
        for (options, text) in cases {
            assert_eq!(options.check().unwrap_err().to_string(), text);
        }
    }
}
