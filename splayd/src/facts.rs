//! Reads what the machine offers: kernel files and two system calls. Judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

/// Where the kernel's files are; a test points this at a folder of its own.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The proc file system.
    pub proc: PathBuf,
    /// Where the version 2 control group hierarchy is mounted.
    pub cgroup: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Sources { proc: PathBuf::from("/proc"), cgroup: PathBuf::from("/sys/fs/cgroup") }
    }
}

/// What was found. `None` stands for "could not be learnt", zero never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Kernel release, for example `6.1.0-13-amd64`.
    pub kernel: Option<String>,
    /// Cores this process may use.
    pub cores: Option<usize>,
    /// Memory that programs can still get without swapping, bytes.
    pub available_memory_bytes: Option<u64>,
    /// All memory of the machine, bytes.
    pub total_memory_bytes: Option<u64>,
    /// Descriptors a process may open.
    pub descriptors: Descriptors,
    /// Version of the Landlock interface; `None`: the kernel has it not, or switched off.
    pub landlock_abi: Option<u32>,
    /// This process's control group.
    pub cgroup: Option<Cgroup>,
}

/// The limit on open descriptors; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Descriptors {
    /// The limit that holds now.
    pub soft: Option<u64>,
    /// How far a process may raise it by itself.
    pub hard: Option<u64>,
}

/// A version 2 control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cgroup {
    /// Path inside the hierarchy.
    pub path: String,
    /// Controllers it may hand on to groups below it.
    pub controllers: Vec<String>,
    /// Whether this process may make groups below it and move processes there.
    pub delegated: bool,
}

impl Facts {
    /// Looks at the machine.
    pub fn gather(sources: &Sources) -> Facts {
        let limit = getrlimit(Resource::Nofile);
        Facts {
            kernel: fs::read_to_string(sources.proc.join("sys/kernel/osrelease"))
                .ok()
                .map(|text| text.trim().to_owned()),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            available_memory_bytes: memory_line(&sources.proc, "MemAvailable:"),
            total_memory_bytes: memory_line(&sources.proc, "MemTotal:"),
            descriptors: Descriptors { soft: limit.current, hard: limit.maximum },
            landlock_abi: landlock_abi(),
            cgroup: cgroup(sources),
        }
    }
}

/// One line of `meminfo`, in bytes.
fn memory_line(proc: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(proc.join("meminfo")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Asks the kernel which version of Landlock it speaks.
fn landlock_abi() -> Option<u32> {
    /// The only question that needs no rule set: `LANDLOCK_CREATE_RULESET_VERSION`.
    const ASK_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel requires a null pointer and size 0, reads no memory
    // and creates nothing; it returns a version or an error.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            ASK_VERSION,
        )
    };
    u32::try_from(answer).ok().filter(|&version| version > 0)
}

/// This process's group in the version 2 hierarchy, if there is one.
fn cgroup(sources: &Sources) -> Option<Cgroup> {
    let membership = fs::read_to_string(sources.proc.join("self/cgroup")).ok()?;
    // `0::/path` is the version 2 membership; the other lines are version 1 hierarchies.
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    let folder = sources.cgroup.join(path.trim_start_matches('/'));
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).ok()?;
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let delegated = writable(&folder)
        && ["cgroup.procs", "cgroup.subtree_control"].iter().all(|name| writable(&folder.join(name)));
    Some(Cgroup { path, controllers: controllers.split_whitespace().map(str::to_owned).collect(), delegated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(root: &Path) -> Sources {
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::create_dir_all(root.join("cgroup/jobs/one")).unwrap();
        Sources { proc: root.join("proc"), cgroup: root.join("cgroup") }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let root = tempfile::tempdir().unwrap();
        let sources = sources(root.path());
        fs::write(sources.proc.join("meminfo"), "MemTotal:  2048 kB\nMemAvailable:  1000 kB\n").unwrap();
        assert_eq!(memory_line(&sources.proc, "MemTotal:"), Some(2048 * 1024));
        assert_eq!(memory_line(&sources.proc, "MemAvailable:"), Some(1_024_000));
        assert_eq!(memory_line(&sources.proc, "Absent:"), None);
    }

    #[test]
    fn a_group_with_writable_files_is_delegated() {
        let root = tempfile::tempdir().unwrap();
        let sources = sources(root.path());
        fs::write(sources.proc.join("self/cgroup"), "1:name=systemd:/x\n0::/jobs/one\n").unwrap();
        let folder = sources.cgroup.join("jobs/one");
        assert_eq!(cgroup(&sources), None, "no controllers file: not a version 2 hierarchy");
        fs::write(folder.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let found = cgroup(&sources).unwrap();
        assert_eq!(found.path, "/jobs/one");
        assert_eq!(found.controllers, ["cpu", "memory", "pids"]);
        assert!(!found.delegated, "its control files are absent");
        fs::write(folder.join("cgroup.procs"), "").unwrap();
        fs::write(folder.join("cgroup.subtree_control"), "").unwrap();
        assert!(cgroup(&sources).unwrap().delegated);
    }

    #[test]
    fn version_one_only_has_no_group() {
        let root = tempfile::tempdir().unwrap();
        let sources = sources(root.path());
        fs::write(sources.proc.join("self/cgroup"), "4:memory:/x\n").unwrap();
        assert_eq!(cgroup(&sources), None);
    }

    #[test]
    fn this_machine_has_cores_and_descriptors() {
        let facts = Facts::gather(&Sources::default());
        assert!(facts.cores.is_some_and(|cores| cores > 0));
        assert_ne!(facts.descriptors.soft, Some(0));
    }
}
