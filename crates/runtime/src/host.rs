//! What a host (the `splay` command, jobd, the simulator) says to a worker and hears from it.
//! Plain data: no VM, no sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::Job;

use crate::program::Program;
use crate::view::View;

/// How much of the machine a program may see.
#[derive(Debug, Clone, Default)]
pub enum Mode {
    /// `splay lua`: a plain interpreter; `print` and `io` are the process's own, C modules load.
    Interpreter,
    /// `splay run`: like a plain interpreter, but `print`, `io.write`, `io.stdout` and `io.stderr`
    /// become [`Report::Output`] lines of the instance.
    #[default]
    Hosted,
    /// The manual's sandbox: denied functions, restricted io and sockets.
    Sandboxed(Sandbox),
}

/// Limits of the manual's sandbox (restricted_io and restricted_socket settings).
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Root of the instance's flat file system.
    pub directory: PathBuf,
    /// Total bytes of all files.
    pub max_disk_bytes: u64,
    /// Number of files.
    pub max_files: u32,
    /// Open files.
    pub max_file_descriptors: u32,
    /// Bytes sent over the instance's life.
    pub max_send_bytes: u64,
    /// Bytes received over the instance's life.
    pub max_receive_bytes: u64,
    /// Open TCP sockets, and separately UDP sockets.
    pub max_sockets: u32,
    /// First and last port that may be bound; `None`: any.
    pub ports: Option<(u16, u16)>,
    /// Hosts that may not be contacted; `*` is a wildcard.
    pub blacklist: Vec<String>,
    /// Fraction of outgoing datagrams dropped, 0 to 1.
    pub udp_drop_ratio: f64,
    /// Threads of `splay.traffic` that it may run; 0: it may not use it.
    pub traffic_threads: u32,
    /// Payload bytes sent a second; 0: no limit. Kept by a driver that shapes.
    pub send_bytes_per_second: u64,
    /// Payload bytes received a second; 0: no limit. Kept by a driver that shapes.
    pub receive_bytes_per_second: u64,
    /// Share of a processor core in thousandths; 0: no limit.
    pub cpu_permille: u32,
    /// Native libraries the program may require.
    pub native: Arc<[NativeLibrary]>,
}

/// A shared library that a sandboxed program may require. The file must be where no program can
/// change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeLibrary {
    /// What the program requires; its function `luaopen_NAME` is called.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

impl Sandbox {
    /// What an instance gets on a testbed when its job asks for nothing else, with its files in
    /// `directory` and any port.
    pub fn new(directory: PathBuf) -> Sandbox {
        let limits = splay_protocol::Limits::default();
        Sandbox {
            directory,
            max_disk_bytes: limits.max_disk_bytes,
            max_files: limits.max_files,
            max_file_descriptors: limits.max_file_descriptors,
            max_send_bytes: limits.max_send_bytes,
            max_receive_bytes: limits.max_receive_bytes,
            max_sockets: limits.max_sockets,
            ports: None,
            blacklist: Vec::new(),
            udp_drop_ratio: 0.0,
            send_bytes_per_second: 0,
            receive_bytes_per_second: 0,
            cpu_permille: 0,
            native: Arc::default(),
            traffic_threads: 0,
        }
    }
}

/// What is wrong with the machine that an instance is on, in an experiment with faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Its wall clock is ahead by so many nanoseconds; behind where that is negative.
    pub clock_ahead: i64,
    /// Its wall clock runs fast by this share from now on; slow where that is negative.
    pub clock_drift: f64,
    /// What it computes takes so many times as long; in virtual time alone.
    pub slowness: f64,
    /// Files cannot grow.
    pub disk_full: bool,
    /// Probability that reading a file fails.
    pub read_errors: f64,
    /// Probability that writing a file fails.
    pub write_errors: f64,
    /// What each access to a file takes longer; in virtual time alone.
    pub disk_delay: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            clock_ahead: 0,
            clock_drift: 0.0,
            slowness: 1.0,
            disk_full: false,
            read_errors: 0.0,
            write_errors: 0.0,
            disk_delay: Duration::ZERO,
        }
    }
}

/// What `splay.check` tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// Something does not hold.
    Violated {
        /// What was to hold.
        name: String,
        /// Why it does not.
        message: String,
    },
    /// Some instance is to reach this.
    Declared {
        /// What.
        name: String,
    },
    /// It was reached.
    Reached {
        /// What.
        name: String,
    },
    /// A step of an operation.
    Operation {
        /// Name of the history.
        history: String,
        /// What it is the history of.
        model: splay_history::Model,
        /// The instance's number for the operation.
        number: u64,
        /// What happens to it.
        phase: splay_history::Phase,
    },
}

/// Everything needed to start one instance.
#[derive(Debug, Clone)]
pub struct InstanceConfig {
    /// The program, loaded once and shared.
    pub program: Arc<Program>,
    /// `arg[1]`, `arg[2]`, ...
    pub arguments: Vec<String>,
    /// The global `job`; `None` leaves it nil.
    pub job: Option<Job>,
    /// Plain, hosted or sandboxed.
    pub mode: Mode,
    /// Whether LuaJIT's compiler is on.
    pub jit: bool,
    /// Keep the instance small: little garbage, and a collection when it first idles. For many
    /// instances in a process.
    pub compact: bool,
    /// Seed of `math.random`; `None`: unpredictable.
    pub seed: Option<u64>,
    /// Lua heap limit in bytes; `None`: no limit.
    pub max_memory_bytes: Option<usize>,
}

/// What holds for all instances of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Longest time a thread may run without yielding; `None`: for ever.
    pub slice: Option<Duration>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        WorkerConfig { slice: Some(Duration::from_secs(10)) }
    }
}

/// Number of an instance, chosen by the host (`splay run`: its position in the job).
pub type InstanceNumber = u32;

/// Which stream a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// `print`, `io.write`, logs.
    Out,
    /// `io.stderr`, uncaught errors.
    Err,
}

/// Why an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Nothing was left to run.
    Finished,
    /// `os.exit(code)` or `events.exit()` (code 0).
    Exit(i32),
    /// The main chunk raised an error: message with traceback.
    Error(String),
    /// The host stopped it.
    Stopped,
    /// It asked for more memory than its limit and did not recover.
    Memory,
}

/// What an instance used, from its start to now or to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Time spent running the instance's code and its native calls.
    pub cpu: Duration,
    /// Lua heap now (at the end: just before it was closed), bytes.
    pub memory_bytes: u64,
    /// Payload bytes sent and received on all sockets.
    pub sent_bytes: u64,
    /// See `sent_bytes`.
    pub received_bytes: u64,
    /// Remote calls made (rpc, urpc, rpcq).
    pub calls_made: u64,
    /// Remote calls served.
    pub calls_served: u64,
    /// Threads that died of an uncaught error.
    pub thread_errors: u64,
}

/// Number of an evaluation, chosen by the host: different for each one that goes on in an instance.
pub type EvaluationNumber = u64;

/// What an evaluation tells (see [`crate::worker::Worker::evaluate`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationReport {
    /// A line that its thread wrote, without its newline. It is told here and nowhere else.
    Output {
        /// Where to.
        stream: Stream,
        /// The line; any bytes.
        line: Vec<u8>,
    },
    /// It is over, and this is the last that is heard of it.
    Over(EvaluationOutcome),
}

/// How an evaluation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationOutcome {
    /// The values of the expression, or what the chunk returned, in a form for people to read.
    Values(Vec<String>),
    /// It is not valid Lua, or it raised an error: the message, and the traceback if there is one.
    Error(String),
    /// It was cancelled, or killed by the program.
    Cancelled,
    /// The instance ended before it did, or had ended before it began.
    Ended,
}

/// Hears what an evaluation tells, on the worker's thread: it must not wait.
pub type Told = Box<dyn FnMut(EvaluationReport) + Send>;

/// How a line of Lua may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where in the line, in bytes, the word begins that a candidate replaces.
    pub start: usize,
    /// The words that fit, in alphabetical order.
    pub candidates: Vec<String>,
}

/// What is told with [`Report::ThreadDied`] where `lives_on` holds.
pub const LIVES_ON: &str = "that was the thread events.run began with: a server or other threads go on, and so \
                            does the instance";

/// What a worker tells its host. Times are wall-clock (or virtual) time since 1970.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The main chunk is about to run.
    Started {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
    },
    /// One line of output, without its newline.
    Output {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// Where to.
        stream: Stream,
        /// Level of a `splay.log` message: 1 debug, 2 notice, 3 warning, 4 error; 0: none.
        level: u8,
        /// The line; any bytes.
        line: Vec<u8>,
    },
    /// A limit of the sandbox refused something, for the first time in this instance's life.
    Limit {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// Name of the limit: a field of [`splay_protocol::Limits`].
        limit: &'static str,
        /// What is allowed.
        allowed: u64,
        /// What would have been reached.
        reached: u64,
    },
    /// A thread died of an uncaught error (the instance goes on).
    ThreadDied {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// Message and traceback naming the program's file and line.
        error: String,
        /// It was cut because it ran longer than the slice without yielding.
        cut: bool,
        /// It was the thread that `events.run` was given, and a server or other threads keep the
        /// instance.
        lives_on: bool,
    },
    /// `splay.check` has found something, or takes something down.
    Check {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// What.
        check: Box<Check>,
    },
    /// What the program shows of itself, just before the instance ends. Not told if it declares
    /// nothing.
    Viewed {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// Its global `view`.
        view: Box<View>,
    },
    /// The instance is gone.
    Ended {
        /// Which instance.
        instance: InstanceNumber,
        /// When.
        at: Duration,
        /// Why.
        reason: EndReason,
        /// What it had used.
        usage: Usage,
    },
}
