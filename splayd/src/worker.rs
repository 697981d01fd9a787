//! A job's worker process, from splayd's side: starts it, passes orders, hears it, ends it. Whatever
//! happens to the process, its end is told exactly once, after all it said.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::pipe::{self, FromJobd, ToJobd};

/// Orders that may wait for the worker to read them.
const ORDERS: usize = 4096;

/// Lines of its standard error that are logged.
const ERROR_LINES: usize = 200;

/// What comes from a worker.
#[derive(Debug)]
pub struct FromWorker {
    /// The job.
    pub job: String,
    /// Which of the job's workers, by [`Worker::generation`].
    pub generation: u64,
    /// What.
    pub what: What,
}

/// See [`FromWorker`].
#[derive(Debug)]
pub enum What {
    /// It says something.
    Said(FromJobd),
    /// It is gone: how, for people.
    Gone(String),
}

/// Signals a worker can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Terminate,
    Kill,
}

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    /// Number among all workers of this splayd.
    pub generation: u64,
    /// Process identifier.
    pub pid: u32,
    orders: Option<mpsc::Sender<ToJobd>>,
    signals: mpsc::Sender<Signal>,
}

impl Worker {
    /// Starts the worker of a job. Must be called on the thread that lives as long as splayd: the
    /// kernel kills the worker when that thread ends.
    pub fn start(job: &str, generation: u64, heard: mpsc::Sender<FromWorker>) -> std::io::Result<Worker> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("splayd")
            .args(["jobd", job])
            .env_clear()
            .envs(std::env::var_os("RUST_BACKTRACE").map(|value| ("RUST_BACKTRACE", value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        let (orders, to_write) = mpsc::channel(ORDERS);
        let (signals, to_send) = mpsc::channel(4);
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        tokio::spawn(write(stdin, to_write));
        let job = job.to_owned();
        tokio::spawn(log_errors(job.clone(), BufReader::new(stderr)));
        tokio::spawn(attend(child, stdout, to_send, job, generation, heard));
        Ok(Worker { generation, pid, orders: Some(orders), signals })
    }

    /// Gives an order; false if the worker does not read.
    pub fn tell(&self, order: ToJobd) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// Closes its standard input: it ends when it has told all.
    pub fn finish(&mut self) {
        self.orders = None;
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let _ = self.signals.try_send(Signal::Terminate);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        let _ = self.signals.try_send(Signal::Kill);
    }
}

async fn write(mut stdin: ChildStdin, mut orders: mpsc::Receiver<ToJobd>) {
    while let Some(order) = orders.recv().await {
        let written = match pipe::frame(&order) {
            Ok(bytes) => stdin.write_all(&bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "an order does not reach the worker");
            return;
        }
    }
}

async fn log_errors(job: String, mut lines: BufReader<tokio::process::ChildStderr>) {
    let mut count = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        // Bounded: a line without end is cut.
        match (&mut lines).take(8192).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        count += 1;
        if count <= ERROR_LINES {
            let text = String::from_utf8_lossy(&line);
            tracing::warn!(job, "worker: {}", text.trim_end().escape_debug());
        }
    }
}

/// Hears the worker until it is gone.
async fn attend(
    mut child: Child,
    mut stdout: ChildStdout,
    mut signals: mpsc::Receiver<Signal>,
    job: String,
    generation: u64,
    heard: mpsc::Sender<FromWorker>,
) {
    let tell = async |what: What| {
        let _ = heard.send(FromWorker { job: job.clone(), generation, what }).await;
    };
    // The first step is not cancelled by a signal: a frame half read would be lost.
    let listen = async {
        loop {
            match next(&mut stdout).await {
                Ok(Some(message)) => tell(What::Said(message)).await,
                Ok(None) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
    };
    tokio::pin!(listen);
    let broken = loop {
        tokio::select! {
            broken = &mut listen => break broken,
            Some(signal) = signals.recv() => send(&child, signal),
        }
    };
    if broken.is_some() {
        // It does not keep to the protocol.
        let _ = child.start_kill();
    }
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => send(&child, signal),
            // Its output is closed, and yet it lives.
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {
                let _ = child.start_kill();
            }
        }
    };
    let how = match (broken, status) {
        (Some(broken), _) => format!("it broke the pipe protocol: {broken}"),
        (None, Ok(status)) => describe(status),
        (None, Err(error)) => error.to_string(),
    };
    tell(What::Gone(how)).await;
}

async fn next(stdout: &mut ChildStdout) -> std::io::Result<Option<FromJobd>> {
    let mut header = [0; 4];
    match stdout.read_exact(&mut header).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let mut body = vec![0; pipe::body_length(header)?];
    match stdout.read_exact(&mut body).await {
        // Killed while it wrote.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    pipe::parse(&body).map(Some)
}

/// Only a child not waited for is sent anything: its identifier is still its own.
fn send(child: &Child, signal: Signal) {
    let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) else { return };
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    let _ = rustix::process::kill_process(pid, signal);
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
