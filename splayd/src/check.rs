//! Judges the facts of a machine against what hosting a number of instances takes. Pure.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;

use crate::facts::Facts;

/// Sockets and files one instance is reckoned to hold at a time: a server or two and a handful of
/// connections under way.
const DESCRIPTORS_PER_INSTANCE: u64 = 16;
/// Standard streams, event queues, log files and the like of the daemon itself.
const DESCRIPTORS_OF_DAEMON: u64 = 64;
/// The runtime's own target is 5,000 instances in 1 GB.
const MEMORY_PER_INSTANCE_BYTES: u64 = 200 * 1024;
/// A process with the runtime and its compiled libraries, before the first instance.
const MEMORY_OF_DAEMON_BYTES: u64 = 64 * 1024 * 1024;
/// Controllers a job's limits are set with.
const WANTED_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// What the machine is meant to carry.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Workload {
    /// Instances hosted at the same time.
    pub instances: NonZeroU32,
}

/// How one finding bears on the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Enough.
    Ok,
    /// Works, but less well or less safely than it could.
    Advice,
    /// Too little to host the workload.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// The judgement.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub note: String,
}

/// Facts, findings and the verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether nothing required is missing.
    pub fit: bool,
    /// What was asked for.
    pub workload: Workload,
    /// The raw facts.
    pub facts: Facts,
    /// The judgements, in a fixed order.
    pub findings: Vec<Finding>,
    /// Confinement of jobs that cannot be applied as configured, a text each.
    pub degraded: Vec<String>,
}

impl Report {
    /// Judges the facts.
    pub fn new(facts: Facts, workload: Workload, degraded: Vec<String>) -> Report {
        let findings = vec![
            kernel(&facts),
            cores(&facts),
            memory(&facts, workload),
            descriptors(&facts, workload),
            landlock(&facts),
            cgroup(&facts),
        ];
        let fit = findings.iter().all(|finding| finding.status != Status::Missing);
        Report { fit, workload, facts, findings, degraded }
    }
}

fn finding(name: &'static str, status: Status, found: String, note: impl Into<String>) -> Finding {
    Finding { name, status, found, note: note.into() }
}

fn unknown(name: &'static str, status: Status, note: &str) -> Finding {
    finding(name, status, "unknown".to_owned(), note)
}

fn kernel(facts: &Facts) -> Finding {
    match &facts.kernel {
        Some(release) => finding("kernel", Status::Ok, release.clone(), ""),
        None => unknown("kernel", Status::Missing, "a Linux with a mounted /proc is needed"),
    }
}

fn cores(facts: &Facts) -> Finding {
    match facts.cores {
        Some(cores) => finding("cores", Status::Ok, cores.to_string(), ""),
        None => unknown("cores", Status::Advice, "one worker will be used"),
    }
}

fn memory(facts: &Facts, workload: Workload) -> Finding {
    let need = MEMORY_OF_DAEMON_BYTES + u64::from(workload.instances.get()) * MEMORY_PER_INSTANCE_BYTES;
    let note = format!("{} instances take about {}", workload.instances, mebibytes(need));
    match facts.available_memory_bytes {
        Some(available) if available >= need => finding("memory", Status::Ok, mebibytes(available), ""),
        Some(available) => finding("memory", Status::Missing, mebibytes(available), note),
        None => unknown("memory", Status::Advice, &note),
    }
}

fn descriptors(facts: &Facts, workload: Workload) -> Finding {
    const NAME: &str = "descriptors";
    let need = DESCRIPTORS_OF_DAEMON + u64::from(workload.instances.get()) * DESCRIPTORS_PER_INSTANCE;
    let limits = facts.descriptors;
    let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    let found = format!("{} (may be raised to {})", show(limits.soft), show(limits.hard));
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= need);
    if enough(limits.soft) {
        finding(NAME, Status::Ok, found, "")
    } else if enough(limits.hard) {
        finding(NAME, Status::Ok, found, format!("{need} are needed; a process may raise its own limit"))
    } else {
        let note = format!("{need} are needed: raise the hard limit (`ulimit -Hn {need}` as root)");
        finding(NAME, Status::Missing, found, note)
    }
}

fn landlock(facts: &Facts) -> Finding {
    match facts.landlock_abi {
        Some(abi) => finding("landlock", Status::Ok, format!("ABI {abi}"), ""),
        None => finding(
            "landlock",
            Status::Missing,
            "absent".to_owned(),
            "jobs are confined with it: Linux 5.13 or later with Landlock enabled is needed",
        ),
    }
}

fn cgroup(facts: &Facts) -> Finding {
    const NAME: &str = "cgroup v2";
    let Some(group) = &facts.cgroup else {
        return finding(NAME, Status::Advice, "absent".to_owned(), "jobs get no limit on CPU as a group");
    };
    let lacking: Vec<&str> = WANTED_CONTROLLERS
        .into_iter()
        .filter(|wanted| !group.controllers.iter().any(|have| have == wanted))
        .collect();
    if !group.delegated {
        let note = "not delegated: start splayd as a service with `Delegate=yes`, or as root";
        finding(NAME, Status::Advice, group.path.clone(), note)
    } else if lacking.is_empty() {
        finding(NAME, Status::Ok, format!("{}, delegated", group.path), "")
    } else {
        let note = format!("delegated without {}", lacking.join(", "));
        finding(NAME, Status::Advice, group.path.clone(), note)
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.found.len()).max().unwrap_or(0);
        for Finding { name, status, found, note } in &self.findings {
            let status = match status {
                Status::Ok => "ok",
                Status::Advice => "advice",
                Status::Missing => "MISSING",
            };
            let line = format!("{name:<12} {status:<8} {found:<width$}  {note}");
            writeln!(f, "{}", line.trim_end())?;
        }
        for lacking in &self.degraded {
            writeln!(f, "confinement  degraded {lacking}")?;
        }
        let verdict = if self.fit { "can" } else { "cannot" };
        writeln!(f, "This machine {verdict} host {} instances.", self.workload.instances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Cgroup, Descriptors};

    fn good() -> Facts {
        Facts {
            kernel: Some("6.1.0".to_owned()),
            cores: Some(2),
            available_memory_bytes: Some(4 << 30),
            total_memory_bytes: Some(8 << 30),
            descriptors: Descriptors { soft: Some(1024), hard: Some(524_288) },
            landlock_abi: Some(2),
            cgroup: Some(Cgroup {
                path: "/jobs".to_owned(),
                controllers: WANTED_CONTROLLERS.map(str::to_owned).to_vec(),
                delegated: true,
            }),
        }
    }

    fn judge(facts: Facts, instances: u32) -> Report {
        let workload = Workload { instances: NonZeroU32::new(instances).unwrap() };
        Report::new(facts, workload, Vec::new())
    }

    fn status(report: &Report, name: &str) -> Status {
        report.findings.iter().find(|finding| finding.name == name).unwrap().status
    }

    #[test]
    fn a_good_machine_is_fit_without_advice() {
        let report = judge(good(), 100);
        assert!(report.fit);
        assert!(report.findings.iter().all(|finding| finding.status == Status::Ok), "{report}");
    }

    #[test]
    fn a_soft_limit_that_may_be_raised_is_enough() {
        let report = judge(good(), 1000);
        assert!(report.fit);
        let line = report.findings.iter().find(|finding| finding.name == "descriptors").unwrap();
        assert!(line.note.starts_with("16064 are needed"), "{}", line.note);
    }

    #[test]
    fn a_low_hard_limit_is_not() {
        let facts = Facts { descriptors: Descriptors { soft: Some(1024), hard: Some(1663) }, ..good() };
        assert_eq!(status(&judge(facts.clone(), 100), "descriptors"), Status::Missing);
        assert!(!judge(facts, 100).fit);
        let just = Facts { descriptors: Descriptors { soft: Some(1024), hard: Some(1664) }, ..good() };
        assert!(judge(just, 100).fit);
        let unlimited = Facts { descriptors: Descriptors { soft: None, hard: None }, ..good() };
        assert!(judge(unlimited, 1).fit);
    }

    #[test]
    fn memory_follows_the_number_of_instances() {
        let facts = Facts { available_memory_bytes: Some(256 << 20), ..good() };
        assert!(judge(facts.clone(), 100).fit);
        assert_eq!(status(&judge(facts, 5000), "memory"), Status::Missing);
    }

    #[test]
    fn no_landlock_is_missing_and_no_delegation_is_advice() {
        assert!(!judge(Facts { landlock_abi: None, ..good() }, 1).fit);
        let mut facts = good();
        facts.cgroup.as_mut().unwrap().delegated = false;
        let report = judge(facts, 1);
        assert!(report.fit);
        assert_eq!(status(&report, "cgroup v2"), Status::Advice);
        assert_eq!(status(&judge(Facts { cgroup: None, ..good() }, 1), "cgroup v2"), Status::Advice);
    }
}
