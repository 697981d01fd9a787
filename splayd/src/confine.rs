//! What the operating system denies a job's worker process.

use std::io;

use serde::{Deserialize, Serialize};

/// What is to be denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confinement {
    /// Process identifier of the splayd that the worker must not outlive.
    pub parent: u32,
}

/// Confines this process, which has one thread yet. Gives what could not be applied.
pub fn enter(confinement: &Confinement) -> io::Result<Vec<String>> {
    // SAFETY: sets the signal this process gets when its parent dies; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // The parent may have died before.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get() as u32);
    if parent != Some(confinement.parent) {
        return Err(io::Error::other("splayd is gone"));
    }
    Ok(Vec::new())
}

/// What a worker is to be confined by.
pub fn plan(
    _config: &crate::config::Config,
    _files: &std::path::Path,
    _lives: &std::path::Path,
    _limits: &splay_protocol::Limits,
    _instances: usize,
) -> Confinement {
    Confinement { parent: std::process::id() }
}

/// What cannot be applied on this machine.
pub fn degraded(_config: &crate::config::Config) -> Vec<String> {
    Vec::new()
}
