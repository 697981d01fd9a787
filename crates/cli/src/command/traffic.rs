//! `splay traffic`: sends traffic between two machines and measures it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use splay_traffic::hooks::NoHooks;
use splay_traffic::lua::Script;
use splay_traffic::{Family, Options, Outcome, Stop, Workload, parse_rate, run};

use crate::failure::{Failure, complain};
use crate::interrupt;

const EXAMPLES: &str = "\
Examples:
  splay traffic tcp_rr                        a server; it ends with its client
  splay traffic tcp_rr -c -H 10.0.0.2         its client: ten seconds of requests and responses
  splay traffic tcp_stream -c -H 10.0.0.2 -F 8 -T 2 -l 5    eight connections, two threads
  splay traffic udp_stream --script drops.lua  with hooks in Lua, on either side
  splay traffic tcp_rr -c -H 10.0.0.2 -p 50,99 -A    percentiles; samples.csv

Both sides are told the workload, and the same sizes and (for UDP) number of threads.
Output: options, then results, as lines `key=value`.

Exit status: 0 measured; 1 a hook or the script failed, or a connection broke; 2 the options are
wrong; 3 the script is missing or unreadable; 5 a port is taken, or a socket cannot be had; 6
samples or output cannot be written; 7 the other side is not there; 130 interrupted.";

/// Send traffic between two machines and measure it: streams, requests and responses.
///
/// One side is the server, the other (`-c`) the client. The figures are those of neper and rushit,
/// by the same names. `--script` adds hooks in Lua; the guide has a page on them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct TrafficArgs {
    #[command(subcommand)]
    workload: Choice,
}

#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
enum Choice {
    /// Bytes one way on TCP connections, as fast as they go.
    #[command(after_help = STREAM_EXAMPLES)]
    TcpStream {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tcp: Tcp,
        #[command(flatten)]
        stream: OneWay,
    },
    /// A request, a response, and again, on TCP connections that stay.
    #[command(after_help = RR_EXAMPLES)]
    TcpRr {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tcp: Tcp,
        #[command(flatten)]
        exchange: Exchange,
    },
    /// A request and a response on a new TCP connection each time.
    #[command(after_help = CRR_EXAMPLES)]
    TcpCrr {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tcp: Tcp,
        #[command(flatten)]
        exchange: Exchange,
    },
    /// Datagrams one way, as fast as they go.
    #[command(after_help = UDP_EXAMPLES)]
    UdpStream {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        udp: Udp,
        /// Bytes of a datagram.
        #[arg(short = 'B', long, value_name = "BYTES", default_value_t = 16_384)]
        buffer_size: usize,
        /// Edge-triggered epoll.
        #[arg(short = 'E', long)]
        edge_trigger: bool,
    },
    /// A datagram there, one back, and again.
    #[command(after_help = UDP_RR_EXAMPLES)]
    UdpRr {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        udp: Udp,
        #[command(flatten)]
        exchange: Exchange,
    },
}

const STREAM_EXAMPLES: &str = "Examples:\n  splay traffic tcp_stream\n  splay traffic tcp_stream -c -H 10.0.0.2 -F 4 -l 5\n  splay traffic tcp_stream -c -H 10.0.0.2 -m 100Mb       no faster than that\n  splay traffic tcp_stream -r -w                         both directions, on both sides";
const RR_EXAMPLES: &str =
    "Examples:\n  splay traffic tcp_rr\n  splay traffic tcp_rr -c -H 10.0.0.2 -Q 100 -R 1000 -p 50,99,99.9";
const CRR_EXAMPLES: &str = "Examples:\n  splay traffic tcp_crr\n  splay traffic tcp_crr -c -H 10.0.0.2 -F 10";
const UDP_EXAMPLES: &str =
    "Examples:\n  splay traffic udp_stream -T 2\n  splay traffic udp_stream -c -H 10.0.0.2 -T 2 -F 2 -B 1400";
const UDP_RR_EXAMPLES: &str =
    "Examples:\n  splay traffic udp_rr\n  splay traffic udp_rr -c -H 10.0.0.2 -Q 64 -R 64";

#[derive(Debug, Args)]
struct Common {
    /// Hooks, and what to do before and after the test, in Lua.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    script: Option<PathBuf>,
    /// Be the client.
    #[arg(short = 'c', long)]
    client: bool,
    /// The server's name or address; for a server the address to listen on.
    #[arg(short = 'H', long)]
    host: Option<String>,
    /// A client's own address.
    #[arg(short = 'L', long, value_name = "HOST")]
    local_host: Option<String>,
    /// TCP port of the control connection.
    #[arg(short = 'C', long, value_name = "PORT", default_value_t = 12_866)]
    control_port: u16,
    /// Port of the data.
    #[arg(short = 'P', long, value_name = "PORT", default_value_t = 12_867)]
    port: u16,
    /// Connections (or senders of datagrams) over all threads.
    #[arg(short = 'F', long, value_name = "N", default_value_t = 1)]
    num_flows: usize,
    /// Threads.
    #[arg(short = 'T', long, value_name = "N", default_value_t = 1)]
    num_threads: usize,
    /// Clients that a server waits for.
    #[arg(long, value_name = "N", default_value_t = 1)]
    num_clients: usize,
    /// Seconds that a client sends.
    #[arg(short = 'l', long, value_name = "SECONDS", default_value_t = 10)]
    test_length: u32,
    /// Seconds between two samples of a flow.
    #[arg(short = 'I', long, value_name = "SECONDS", default_value_t = 1.0)]
    interval: f64,
    /// Write all samples to a file.
    #[arg(short = 'A', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "samples.csv")]
    all_samples: Option<PathBuf>,
    /// IPv4 alone.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// IPv6 alone.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Events taken from epoll at once.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    maxevents: usize,
    /// A number that both sides must know.
    #[arg(long, value_name = "N", default_value_t = 42)]
    magic: u32,
    /// Accepted for old command lines: sockets never block.
    #[arg(long)]
    nonblocking: bool,
    /// Tell and check the options, and no more.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell on standard error what is being done.
    #[arg(short = 'v', short_alias = 'V', long, alias = "logtostderr")]
    verbose: bool,
    /// End the process after so many seconds, whatever it does (0: do not).
    #[arg(short = 's', long, value_name = "SECONDS", default_value_t = 0)]
    suicide_length: u32,
    /// Tell everything as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Tcp {
    /// Smallest retransmission time in milliseconds, where the system can set it (0: its own).
    #[arg(long, value_name = "MS", default_value_t = 0)]
    min_rto: u32,
    /// Connections that may wait to be accepted.
    #[arg(long, value_name = "N", default_value_t = 128)]
    listen_backlog: u32,
    /// The most a socket sends a second: 10Mb, 1GiB; units b B kb Kib kB KiB Mb ... GiB.
    #[arg(short = 'm', long, value_name = "RATE", value_parser = parse_rate)]
    max_pacing_rate: Option<u64>,
    /// Keep each thread to a processor.
    #[arg(short = 'U', long)]
    pin_cpu: bool,
    /// Set SO_DEBUG.
    #[arg(short = 'd', long)]
    debug: bool,
}

#[derive(Debug, Args)]
struct OneWay {
    /// The most that is read or written at once.
    #[arg(short = 'B', long, value_name = "BYTES", default_value_t = 16_384)]
    buffer_size: usize,
    /// Read [without -r and -w: the server reads].
    #[arg(short = 'r', long)]
    enable_read: bool,
    /// Write [without -r and -w: the client writes].
    #[arg(short = 'w', long)]
    enable_write: bool,
    /// Edge-triggered epoll.
    #[arg(short = 'E', long)]
    edge_trigger: bool,
    /// Accepted for old command lines: listening sockets have SO_REUSEADDR.
    #[arg(short = 'R', long)]
    reuseaddr: bool,
    /// Nanoseconds between two writes.
    #[arg(short = 'D', long, value_name = "NS", default_value_t = 0)]
    delay: u64,
}

#[derive(Debug, Args)]
struct Exchange {
    /// Bytes of a request.
    #[arg(short = 'Q', long, value_name = "BYTES", default_value_t = 1)]
    request_size: usize,
    /// Bytes of a response.
    #[arg(short = 'R', long, value_name = "BYTES", default_value_t = 1)]
    response_size: usize,
    /// The most that is read or written at once.
    #[arg(short = 'B', long, value_name = "BYTES", default_value_t = 65_536)]
    buffer_size: usize,
    /// Percentiles of latencies to tell, such as 50,99,99.9.
    #[arg(short = 'p', long, value_name = "LIST", value_delimiter = ',')]
    percentiles: Vec<f64>,
}

#[derive(Debug, Args)]
struct Udp {
    /// All threads of a server on one port [without it: thread i has the port's i-th successor].
    #[arg(long)]
    reuseport: bool,
}

impl Common {
    fn options(&self, workload: Workload) -> Result<Options, Failure> {
        if !(self.interval > 0.0 && self.interval < 1e9) {
            return Err(Failure::Usage(format!(
                "--interval {}: a number of seconds is needed",
                self.interval
            )));
        }
        Ok(Options {
            client: self.client,
            host: self.host.clone(),
            local_host: self.local_host.clone(),
            control_port: self.control_port,
            port: self.port,
            num_flows: self.num_flows,
            num_threads: self.num_threads,
            num_clients: self.num_clients,
            test_length: self.test_length,
            interval: Duration::from_secs_f64(self.interval),
            all_samples: self.all_samples.clone(),
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            maxevents: self.maxevents,
            magic: self.magic,
            nonblocking: self.nonblocking,
            ..Options::new(workload)
        })
    }
}

impl Tcp {
    fn set(&self, options: &mut Options) {
        options.min_rto = self.min_rto;
        options.listen_backlog = self.listen_backlog;
        options.max_pacing_rate = self.max_pacing_rate.unwrap_or(0);
        options.pin_cpu = self.pin_cpu;
        options.debug = self.debug;
    }
}

impl Exchange {
    fn set(&self, options: &mut Options) {
        options.request_size = self.request_size;
        options.response_size = self.response_size;
        options.buffer_size = self.buffer_size;
        options.percentiles.clone_from(&self.percentiles);
    }
}

impl Choice {
    fn options(&self) -> Result<(&Common, Options), Failure> {
        match self {
            Choice::TcpStream { common, tcp, stream } => {
                let mut options = common.options(Workload::TcpStream)?;
                tcp.set(&mut options);
                options.buffer_size = stream.buffer_size;
                options.enable_read = stream.enable_read;
                options.enable_write = stream.enable_write;
                options.edge_trigger = stream.edge_trigger;
                options.reuseaddr = stream.reuseaddr;
                options.delay = Duration::from_nanos(stream.delay);
                Ok((common, options))
            }
            Choice::TcpRr { common, tcp, exchange } | Choice::TcpCrr { common, tcp, exchange } => {
                let workload = match self {
                    Choice::TcpRr { .. } => Workload::TcpRr,
                    _ => Workload::TcpCrr,
                };
                let mut options = common.options(workload)?;
                tcp.set(&mut options);
                exchange.set(&mut options);
                Ok((common, options))
            }
            Choice::UdpStream { common, udp, buffer_size, edge_trigger } => {
                let mut options = common.options(Workload::UdpStream)?;
                options.reuseport = udp.reuseport;
                options.buffer_size = *buffer_size;
                options.edge_trigger = *edge_trigger;
                Ok((common, options))
            }
            Choice::UdpRr { common, udp, exchange } => {
                let mut options = common.options(Workload::UdpRr)?;
                options.reuseport = udp.reuseport;
                exchange.set(&mut options);
                Ok((common, options))
            }
        }
    }
}

/// Does the test and tells what it found.
pub fn execute(args: TrafficArgs) -> Result<ExitCode, Failure> {
    let (common, options) = args.workload.options()?;
    options.check()?;
    let script = match &common.script {
        Some(path) => {
            let source =
                std::fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
            Some((path.display().to_string(), source))
        }
        None => None,
    };
    let mut told = options.listing().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let script_name = script.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
    let more: &mut Vec<(String, String)> = &mut told;
    for (name, value) in [
        ("script", script_name),
        ("dry_run", u8::from(common.dry_run).to_string()),
        ("logtostderr", u8::from(common.verbose).to_string()),
        ("suicide_length", common.suicide_length.to_string()),
    ] {
        more.push((name.to_owned(), value));
    }
    if !common.json {
        tell(&told)?;
    }
    if common.dry_run {
        return if common.json { tell_json(&told) } else { Ok(ExitCode::SUCCESS) };
    }
    if common.suicide_length > 0 {
        // SAFETY: asks for a signal, whose default is to end the process.
        unsafe { libc::alarm(common.suicide_length) };
    }
    let stop = Stop::new().map_err(|source| splay_traffic::Error::System {
        call: "eventfd",
        operand: String::new(),
        source,
    })?;
    let stopper = stop.clone();
    interrupt::watch(move || stopper.stop()).map_err(Failure::Output)?;
    if common.verbose {
        let role = if options.client { "client" } else { "server" };
        complain(&format!("{role} of {}: {} thread(s)", options.workload.name(), options.num_threads));
    }
    let outcome =
        measure(&options, script.as_ref().map(|(name, source)| (name.as_str(), &source[..])), &stop);
    // What a script wrote comes before the results.
    // SAFETY: null has the C library write what all of its streams hold.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    let results = outcome?.listing(&options);
    if !common.json {
        tell(&results)?;
        return Ok(ExitCode::SUCCESS);
    }
    told.extend(results);
    tell_json(&told)
}

fn measure(options: &Options, script: Option<(&str, &[u8])>, stop: &Stop) -> Result<Outcome, Failure> {
    Ok(match script {
        Some((name, source)) => Script { name, source }.run(options, stop)?,
        None => run(options, &NoHooks, stop)?,
    })
}

fn tell(lines: &[(String, String)]) -> Result<(), Failure> {
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("{name}={value}\n"));
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

fn tell_json(lines: &[(String, String)]) -> Result<ExitCode, Failure> {
    let value = |text: &str| match text.parse::<f64>() {
        // Numbers are numbers; `nan` and `inf` are none in JSON.
        Ok(number) if number.is_finite() => serde_json::json!(number),
        _ => serde_json::json!(text),
    };
    let object: serde_json::Map<String, serde_json::Value> =
        lines.iter().map(|(name, text)| (name.clone(), value(text))).collect();
    let text = serde_json::to_string_pretty(&object).expect("strings and numbers are JSON") + "\n";
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}
