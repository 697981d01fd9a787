//! How the machine is, for the controller.

use std::fs;
use std::path::Path;

use splay_protocol::session::Status;

/// Looks at the machine; `data` is the folder whose disk counts.
pub fn gather(data: &Path) -> Status {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    };
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    Status {
        load_milli: load(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
        free_memory_bytes: bytes("MemAvailable:"),
        memory_bytes: bytes("MemTotal:"),
        free_disk_bytes: rustix::fs::statvfs(data).map_or(0, |disk| disk.f_bavail * disk.f_frsize),
        uptime_seconds: uptime.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0),
        ..Status::default()
    }
}

fn load(text: &str) -> (u64, u64, u64) {
    let mut averages =
        text.split(' ').map(|word| (word.parse::<f64>().unwrap_or(0.0) * 1000.0).round() as u64);
    let mut next = || averages.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_in_thousandths() {
        assert_eq!(load("0.52 1.05 12.00 1/234 5678\n"), (520, 1050, 12_000));
        assert_eq!(load(""), (0, 0, 0));
    }

    #[test]
    fn this_machine_has_memory_and_disk() {
        let status = gather(Path::new("/"));
        assert!(status.memory_bytes > 0 && status.free_disk_bytes > 0 && status.uptime_seconds > 0);
    }
}
