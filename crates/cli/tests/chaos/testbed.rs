//! A testbed of real processes that a test starts, kills and starts again, on this machine or in
//! network namespaces; and what has to hold when nothing runs there any more.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use splay_protocol::api::{Job, JobState, JobSummary, LogLine, ResultFile, SplaydState};
use splay_protocol::{JoinToken, api};

use crate::support::{Outcome, Place};

/// Nothing takes longer on a machine that works, however busy it is.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Where a process runs.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Words before a command: empty on this machine, `nsenter ...` for a network namespace.
    pub prefix: Vec<String>,
    /// Address it is reached at; none: the loopback's.
    pub address: Option<Ipv4Addr>,
}

impl Machine {
    /// A command there.
    pub fn command(&self, program: &Path) -> Command {
        match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }

    fn address(&self) -> Ipv4Addr {
        self.address.unwrap_or(Ipv4Addr::LOCALHOST)
    }
}

/// What is wanted.
pub struct Plan {
    pub controller: Machine,
    pub splayds: Vec<Machine>,
    pub seats: u16,
    /// Lines of the controller's configuration beside those every test has.
    pub config: &'static str,
    /// Given the controller's port and a splayd's number: the port it dials.
    pub dialled: Box<dyn Fn(u16, usize) -> u16>,
}

impl Plan {
    pub fn here(splayds: usize, seats: u16) -> Plan {
        Plan {
            controller: Machine::default(),
            splayds: vec![Machine::default(); splayds],
            seats,
            config: "",
            dialled: Box::new(|port, _| port),
        }
    }
}

/// A splayd, running or not.
pub struct Splayd {
    pub name: String,
    pub data: PathBuf,
    pub ports: (u16, u16),
    machine: Machine,
    child: Option<Child>,
}

impl Splayd {
    /// Its worker processes.
    pub fn workers(&self) -> Vec<u32> {
        self.child.as_ref().map(|child| children(child.id())).unwrap_or_default()
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }
}

pub struct Testbed {
    place: Place,
    machine: Machine,
    controller: Option<Child>,
    pub splayds: Vec<Splayd>,
    pub port: u16,
    /// Workers that were ever seen.
    seen: BTreeSet<u32>,
}

/// A program built beside the tests.
fn program(name: &str) -> PathBuf {
    let path = assert_cmd::cargo::cargo_bin("splay").with_file_name(name);
    assert!(path.is_file(), "{} is not built: build the workspace", path.display());
    path
}

const CONFIG: &str = "status_seconds = 1\nsilence_seconds = 4\n";
const TIMING: &str = "[timing]\noffline_grace = 30\ndeploy = 10\nload = 20\nstart_margin = 0.4\ndrain = 30\n\
                      ahead = 1\n";

impl Testbed {
    pub fn start(plan: &Plan) -> Testbed {
        let place = Place::new();
        let mut testbed = Testbed {
            place,
            machine: plan.controller.clone(),
            controller: None,
            splayds: Vec::new(),
            port: 0,
            seen: BTreeSet::new(),
        };
        testbed.place.write("controller.toml", &format!("{CONFIG}{}{TIMING}", plan.config));
        testbed.start_controller();
        testbed.port = testbed.wait_for_port();
        testbed.log_in();
        let width = plan.seats * 2 + 10;
        let first = 10_000 + (std::process::id() % 40) as u16 * 500;
        for (index, machine) in plan.splayds.iter().enumerate() {
            let ports = (first + index as u16 * width, first + (index as u16 + 1) * width - 1);
            testbed.add_splayd(machine, plan.seats, ports, (plan.dialled)(testbed.port, index));
        }
        testbed.wait("all splayds are online", |testbed| testbed.online() == testbed.splayds.len());
        testbed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        self.place.write(name, text);
    }

    fn spawn(&self, machine: &Machine, name: &str, program: &Path, words: &[&str]) -> Child {
        let log = self.path(&format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let err = out.try_clone().expect("a log");
        let mut command = machine.command(program);
        command.args(words).current_dir(self.place.path()).stdin(Stdio::null());
        command.env("SPLAY_LOG", "info").stdout(out).stderr(err).spawn().expect("it starts")
    }

    /// Starts the controller, where it was if it ran before.
    pub fn start_controller(&mut self) {
        let listen = SocketAddr::from((self.machine.address(), self.port)).to_string();
        let words = ["serve", "--data", "controller", "--config", "controller.toml", "--listen", &listen];
        let child = self.spawn(&self.machine, "controller", &program("splay-controller"), &words);
        self.controller = Some(child);
    }

    fn wait_for_port(&self) -> u16 {
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.path("controller/url")).unwrap_or_default();
            if let Some(port) = text.trim().rsplit(':').next().and_then(|port| port.parse().ok()) {
                return port;
            }
            assert!(begun.elapsed() < PATIENCE, "no controller: {}", self.log("controller"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a process wrote.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// A join token for so many splayds.
    fn token(&self, uses: &str) -> JoinToken {
        let output = Command::new(program("splay-controller"))
            .args(["token", "create", "--data", "controller", "--uses", uses])
            .current_dir(self.place.path())
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn log_in(&self) {
        let mut child = Command::new(program("splay-controller"))
            .args(["user", "passwd", "admin", "--password-stdin", "--data", "controller"])
            .current_dir(self.place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"of-this-test\n").expect("read");
        assert!(child.wait().expect("it ends").success());
        let token = self.token("1");
        let words = ["login", token.url.as_str(), "-u", "admin", "--fingerprint", &token.fingerprint];
        self.write("password", "of-this-test\n");
        let input = std::fs::File::open(self.path("password")).expect("just written");
        let output = self.splay(&words).stdin(input).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn splay(&self, words: &[&str]) -> Command {
        let mut command = self.machine.command(&program("splay"));
        command.args(words).current_dir(self.place.path()).env("XDG_CONFIG_HOME", self.place.path());
        for name in ["SPLAY_CONTROLLER", "SPLAY_TOKEN", "SPLAY_FINGERPRINT"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// A command of `splay`, which may fail while the controller is away.
    pub fn run(&self, words: &[&str]) -> Outcome {
        self.splay(words).output().expect("it runs").into()
    }

    /// What a command says as JSON, as soon as it succeeds.
    pub fn json<T: DeserializeOwned>(&self, words: &[&str]) -> T {
        let text = self.text(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// What a command says, as soon as it succeeds.
    pub fn text(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let outcome = self.run(words);
            if outcome.status == Some(0) {
                return outcome.out;
            }
            assert!(begun.elapsed() < PATIENCE, "{words:?}: {outcome:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn add_splayd(&mut self, machine: &Machine, seats: u16, ports: (u16, u16), dialled: u16) {
        let name = format!("splayd-{}", self.splayds.len() + 1);
        let host = self.machine.address();
        let token = JoinToken { url: format!("https://{host}:{dialled}"), ..self.token("1") };
        self.write(&format!("{name}.token"), &token.to_string());
        let text = format!(
            "name = {name:?}\ndata_directory = {name:?}\naddress = \"{}\"\nports = \"{}-{}\"\n\
             max_instances = {seats}\ngrace_seconds = 1\n",
            machine.address(),
            ports.0,
            ports.1
        );
        self.write(&format!("{name}.toml"), &text);
        let data = self.path(&name);
        self.splayds.push(Splayd { name, data, ports, machine: machine.clone(), child: None });
        self.start_splayd(self.splayds.len() - 1);
    }

    pub fn start_splayd(&mut self, index: usize) {
        let (name, machine) = (self.splayds[index].name.clone(), self.splayds[index].machine.clone());
        let (config, token) = (format!("{name}.toml"), format!("@{name}.token"));
        let words = ["run", "--config", &config, "--join", &token];
        let child = self.spawn(&machine, &name, &program("splayd"), &words);
        self.splayds[index].child = Some(child);
    }

    /// SIGKILL; its workers are to go with it.
    pub fn kill_splayd(&mut self, index: usize) {
        self.note_workers();
        end(self.splayds[index].child.take());
    }

    pub fn kill_controller(&mut self) {
        end(self.controller.take());
    }

    pub fn controller_runs(&self) -> bool {
        self.controller.is_some()
    }

    /// SIGKILL to a worker of a splayd, if it has one.
    pub fn kill_worker(&mut self, index: usize) -> bool {
        self.note_workers();
        let worker = self.splayds[index].workers().first().copied();
        let pid = worker.and_then(|worker| Pid::from_raw(worker as i32));
        pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }

    pub fn note_workers(&mut self) {
        self.seen.extend(self.splayds.iter().flat_map(Splayd::workers));
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn wait(&self, what: &str, holds: impl Fn(&Testbed) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "never: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The last lines of every process.
    pub fn logs(&self) -> String {
        let names = self.splayds.iter().map(|splayd| splayd.name.as_str()).chain(["controller"]);
        let tail = |name: &str| {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        names.map(tail).collect()
    }

    pub fn splayds_told(&self) -> Vec<api::Splayd> {
        self.json(&["nodes"])
    }

    /// The state of a splayd as the controller sees it.
    pub fn state(&self, index: usize) -> SplaydState {
        let name = &self.splayds[index].name;
        self.splayds_told().iter().find(|splayd| splayd.name == *name).expect("it has joined").state
    }

    fn online(&self) -> usize {
        self.splayds_told().iter().filter(|splayd| splayd.state == SplaydState::Online).count()
    }

    pub fn submit(&self, words: &[&str]) -> String {
        let all = [&["submit"], words].concat();
        self.text(&all).trim().to_owned()
    }

    pub fn job(&self, id: &str) -> Job {
        self.json(&["job", id])
    }

    /// Waits for a state of a job, or its end.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: JobState) -> Job {
        let begun = Instant::now();
        loop {
            let job = self.job(id);
            if job.summary.state == state || job.summary.state.is_final() {
                return job;
            }
            assert!(begun.elapsed() < PATIENCE, "job {id} is not {state:?}: {job:#?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for the end of a job.
    #[track_caller]
    pub fn over(&self, id: &str) -> Job {
        self.wait_for(id, JobState::Ended)
    }

    /// All lines of a job, in the order in which the controller gives them.
    pub fn lines(&self, id: &str) -> Vec<LogLine> {
        let text = self.text(&["logs", id, "--json"]);
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    pub fn results(&self, id: &str) -> Vec<ResultFile> {
        self.json(&["results", id])
    }

    /// The folder with all results of a job.
    pub fn fetched(&self, id: &str) -> PathBuf {
        let folder = self.path(&format!("results-{id}"));
        self.text(&["results", id, "-o", &folder.to_string_lossy()]);
        folder
    }

    /// Waits until nothing is left of any job: no process, no folder, no port, no seat.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.note_workers();
        self.wait("splayds are online and their seats free", |testbed| {
            let free =
                |splayd: &api::Splayd| splayd.state == SplaydState::Online && splayd.used_instances == 0;
            testbed.splayds_told().iter().all(free)
        });
        let active: Vec<JobSummary> = self.json(&["jobs", "--active"]);
        assert!(active.is_empty(), "{active:#?}");
        self.wait("no worker process is left", |testbed| {
            testbed.seen.iter().all(|&pid| !is_alive(pid))
                && testbed.splayds.iter().all(|splayd| splayd.workers().is_empty())
        });
        self.seen.clear();
        self.wait("no folder of a job is left", |testbed| {
            testbed.splayds.iter().all(|splayd| entries(&splayd.data.join("jobs")).is_empty())
        });
        if self.splayds.iter().all(|splayd| splayd.machine.prefix.is_empty()) {
            self.wait("no port is in use", |testbed| {
                let mut all = testbed.splayds.iter().flat_map(|splayd| splayd.ports.0..=splayd.ports.1);
                all.all(is_free)
            });
        }
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        for splayd in &mut self.splayds {
            end(splayd.child.take());
        }
        end(self.controller.take());
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !"ZX".contains(state))
}

fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("it is Linux").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|(state, of)| of == parent && !"ZX".contains(state))).collect()
}
