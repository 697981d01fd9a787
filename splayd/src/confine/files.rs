//! Landlock: the files a worker reaches, the ports it binds, whom it may signal.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Confinement;

/// The version of Landlock this was written for; older kernels apply what they know.
const KNOWN: ABI = ABI::V6;

/// What names are resolved with, and times are shown with.
const SYSTEM: [&str; 12] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/lib",
    "/usr/lib",
];

/// Confines this process and all it will start.
pub fn confine(confinement: &Confinement) -> Result<(), String> {
    let text = |error: landlock::RulesetError| error.to_string();
    let read = AccessFs::from_read(KNOWN);
    // No devices, pipes, sockets or links in the folders of instances.
    let change: BitFlags<AccessFs> = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir;
    let plain: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .map_err(text)?
        .handle_access(AccessNet::BindTcp)
        .map_err(text)?
        .scope(Scope::from_all(KNOWN))
        .map_err(text)?
        .create()
        .map_err(text)?;
    let system =
        SYSTEM.iter().map(|path| (Path::new(path), if path.ends_with("lib") { read } else { plain }));
    let own = confinement.read.iter().map(|path| (path.as_path(), plain));
    let lives = confinement.write.iter().map(|path| (path.as_path(), change));
    for (path, access) in system.chain(own).chain(lives) {
        // What is not there cannot be reached.
        let Ok(opened) = PathFd::new(path) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
        rules = rules.add_rule(PathBeneath::new(opened, access)).map_err(text)?;
    }
    for &(first, count) in &confinement.ports {
        for port in first..=first.saturating_add(count.max(1) - 1) {
            rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp)).map_err(text)?;
        }
    }
    match rules.restrict_self().map_err(text)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            Err("applied in part: the kernel is older than Linux 6.12".to_owned())
        }
        RulesetStatus::NotEnforced => Err("the kernel has it not".to_owned()),
    }
}
