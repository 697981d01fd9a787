//! What the operating system denies a job's worker process: the last line, whatever an instance
//! makes of the runtime. Planned by splayd, entered by the worker before it has other threads.
//! Everything that the machine allows is applied; what is lacking is told.

pub mod cgroup;
mod files;
pub mod probe;
mod syscalls;
pub mod user;

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use splay_protocol::Limits;

use crate::config::Config;
use crate::facts::{Facts, Sources};

/// Memory a worker takes besides its instances: code, stacks of threads, buffers.
const WORKER_BYTES: u64 = 512 << 20;

/// Memory an instance may take beside its Lua heap: the state itself, buffers of sockets and TLS.
const INSTANCE_BYTES: u64 = 4 << 20;

/// Descriptors a worker takes besides its instances.
const WORKER_DESCRIPTORS: u64 = 256;

/// Threads and processes of the worker's user, all workers together.
const PROCESSES: u64 = 4096;

/// What is to be denied to one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confinement {
    /// Process identifier of the splayd that the worker must not outlive.
    pub parent: u32,
    /// User and group to become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<(u32, u32)>,
    /// Folders that may be read.
    pub read: Vec<PathBuf>,
    /// Folders that may be changed.
    pub write: Vec<PathBuf>,
    /// Ports that TCP may bind: first port and how many.
    pub ports: Vec<(u16, u16)>,
    /// Memory (`RLIMIT_DATA`).
    pub data_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Size of a file.
    pub file_bytes: u64,
}

/// What a worker that hosts seats with these first ports is to be confined by.
pub fn plan(config: &Config, files: &Path, lives: &Path, limits: &Limits, seats: &[u16]) -> Confinement {
    let instances = seats.len() as u64;
    let each = limits.max_memory_bytes.saturating_add(INSTANCE_BYTES);
    let descriptors = u64::from(limits.max_sockets) * 2 + u64::from(limits.max_file_descriptors);
    Confinement {
        parent: std::process::id(),
        user: config.worker_user.as_deref().filter(|_| user::is_root()).and_then(user::find),
        read: vec![files.to_owned()],
        write: vec![lives.to_owned()],
        ports: seats.iter().map(|&port| (port, limits.ports)).collect(),
        data_bytes: each.saturating_mul(instances).saturating_add(WORKER_BYTES),
        descriptors: descriptors.saturating_mul(instances).saturating_add(WORKER_DESCRIPTORS),
        file_bytes: limits.max_disk_bytes.max(1 << 20),
    }
}

/// Confines this process, which has one thread yet. Gives what could not be applied. An error is
/// about what must never be lacking.
pub fn enter(confinement: &Confinement) -> io::Result<Vec<String>> {
    let mut lacking = Vec::new();
    let mut note = |what: &str, outcome: Result<(), String>| {
        if let Err(error) = outcome {
            lacking.push(format!("{what}: {error}"));
        }
    };
    // A worker in a session of its own gets no signal of splayd's terminal. It leads one already
    // where it was started by hand.
    let _ = rustix::process::setsid();
    if let Some((uid, gid)) = confinement.user {
        // Never as root when another user was asked for.
        user::become_user(uid, gid)?;
    }
    live_no_longer_than(confinement.parent)?;
    note("no new privileges", call(libc::PR_SET_NO_NEW_PRIVS, 1));
    for (what, resource, most) in [
        ("core files", Resource::Core, 0),
        ("memory", Resource::Data, confinement.data_bytes),
        ("descriptors", Resource::Nofile, confinement.descriptors),
        ("file size", Resource::Fsize, confinement.file_bytes),
        ("processes", Resource::Nproc, PROCESSES),
    ] {
        note(what, limit(resource, most).map_err(|error| error.to_string()));
    }
    // A write beyond the file size is an error, not the end of the process.
    // SAFETY: sets a signal to be ignored; no handler is involved.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    note("Landlock", files::confine(confinement));
    note("seccomp", syscalls::confine());
    Ok(lacking)
}

fn call(option: libc::c_int, argument: libc::c_ulong) -> Result<(), String> {
    // SAFETY: options with one number and no memory; the kernel wants the rest to be 0.
    match unsafe { libc::prctl(option, argument, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

/// The kernel kills this process when its parent has died.
fn live_no_longer_than(parent: u32) -> io::Result<()> {
    call(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).map_err(io::Error::other)?;
    // It may have died before.
    let found = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get() as u32);
    if found == Some(parent) { Ok(()) } else { Err(io::Error::other("splayd is gone")) }
}

/// Sets a limit, as far down as asked and no further up than allowed.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let hard = getrlimit(resource).maximum;
    let most = hard.map_or(most, |hard| hard.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// What cannot be applied on this machine, a text each.
pub fn degraded(config: &Config) -> Vec<String> {
    let facts = Facts::gather(&Sources::default());
    let mut lacking = Vec::new();
    let mut say = |text: &str| lacking.push(text.to_owned());
    match facts.landlock_abi {
        None => say("Landlock is absent: workers reach all files their user may"),
        Some(1..=3) => say("Landlock before Linux 6.7: ports of workers are not confined"),
        Some(4..=5) => say("Landlock before Linux 6.12: signals and abstract sockets are not confined"),
        Some(_) => {}
    }
    if !syscalls::is_available() {
        say("seccomp is absent: workers may make any system call");
    }
    if user::is_root() {
        match &config.worker_user {
            None => say("splayd runs as root and worker_user is not set: workers run as root"),
            Some(name) if user::find(name).is_none() => {
                lacking.push(format!("worker_user `{name}` is unknown: workers run as root"));
            }
            Some(_) => {}
        }
    } else if config.worker_user.is_some() {
        say("splayd does not run as root: worker_user is of no effect");
    }
    if !facts.cgroup.is_some_and(|group| group.delegated) {
        lacking.push(
            "no delegated control group: a job's memory and processes are bounded one process at a time"
                .into(),
        );
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_grows_with_the_instances() {
        let config = Config::load(&crate::config::Options {
            config: Some("/dev/null".into()),
            ..crate::config::Options::default()
        })
        .unwrap();
        let limits = Limits { ports: 2, ..Limits::default() };
        let plan = plan(&config, Path::new("/f"), Path::new("/l"), &limits, &[100, 200]);
        assert_eq!(plan.ports, [(100, 2), (200, 2)]);
        assert_eq!(plan.data_bytes, 2 * (limits.max_memory_bytes + INSTANCE_BYTES) + WORKER_BYTES);
        assert_eq!((plan.read, plan.write), (vec!["/f".into()], vec!["/l".into()]));
    }
}
