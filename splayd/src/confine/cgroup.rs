//! Control groups (version 2): one for each job, where this splayd's own group is delegated to it.
//! They bound what a job's worker takes as a whole, whatever it does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::facts::{Facts, Sources};

/// Threads of a job's worker at most.
const MAX_PROCESSES: u32 = 512;

/// The folder under which jobs get their groups.
#[derive(Debug)]
pub struct Groups {
    folder: PathBuf,
}

impl Groups {
    /// Takes up this splayd's own group; `None` where it is not delegated. Splayd itself moves to a
    /// group below it, as the kernel wants processes in leaves alone.
    pub fn open() -> Option<Groups> {
        let sources = Sources::default();
        let group = Facts::gather(&sources).cgroup.filter(|group| group.delegated)?;
        if !["memory", "pids", "cpu"].iter().all(|wanted| group.controllers.iter().any(|have| have == wanted))
        {
            return None;
        }
        let folder = sources.cgroup.join(group.path.trim_start_matches('/'));
        let taken = Groups::take(&folder, std::process::id());
        taken.inspect_err(|error| tracing::warn!(%error, "the control group cannot be used")).ok()?;
        Some(Groups { folder })
    }

    fn take(folder: &Path, own: u32) -> io::Result<()> {
        let leaf = folder.join("splayd");
        make(&leaf)?;
        fs::write(leaf.join("cgroup.procs"), own.to_string())?;
        fs::write(folder.join("cgroup.subtree_control"), "+memory +pids +cpu")
    }

    /// Puts a job's worker in a group of its own.
    pub fn confine(&self, job: &str, worker: u32, memory_bytes: u64, cpu_permille: u64) -> io::Result<()> {
        let group = self.folder.join(format!("job-{job}"));
        make(&group)?;
        fs::write(group.join("memory.max"), memory_bytes.to_string())?;
        fs::write(group.join("pids.max"), MAX_PROCESSES.to_string())?;
        if cpu_permille > 0 {
            // Of each tenth of a second, microseconds.
            fs::write(group.join("cpu.max"), format!("{} 100000", (cpu_permille * 100).max(1000)))?;
        }
        fs::write(group.join("cgroup.procs"), worker.to_string())
    }

    /// Removes a job's group, whose processes are gone.
    pub fn release(&self, job: &str) {
        let group = self.folder.join(format!("job-{job}"));
        if let Err(error) = fs::remove_dir(&group)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(group = %group.display(), %error, "a control group is not removed");
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_a_group_with_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        Groups::take(folder.path(), 7).unwrap();
        let groups = Groups { folder: folder.path().to_owned() };
        groups.confine("j1", 42, 1 << 30, 500).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("splayd/cgroup.procs"), "7");
        assert_eq!(read("cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(
            (read("job-j1/memory.max").as_str(), read("job-j1/cpu.max").as_str()),
            ("1073741824", "50000 100000")
        );
        assert_eq!(read("job-j1/cgroup.procs"), "42");
    }
}
