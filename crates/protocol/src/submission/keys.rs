//! The keys a submission may be written with: their names, their old names, what each is for.

/// A key of headers and TOML files, and an option of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in files.
    pub name: &'static str,
    /// Name of the option on the command line, without `--`.
    pub flag: &'static str,
    /// What stands for its value in help; empty: a switch.
    pub value: &'static str,
    /// Names the original had for it.
    pub old: &'static [&'static str],
    /// Whether it may be given several times, or as a list.
    pub list: bool,
    /// What it is for.
    pub help: &'static str,
}

const fn one(name: &'static str, flag: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, flag, value, old: &[], list: false, help }
}

const fn many(name: &'static str, flag: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, flag, value, old: &[], list: true, help }
}

const fn old(key: Key, old: &'static [&'static str]) -> Key {
    Key { old, ..key }
}

/// All keys, in the order help tells them.
pub const KEYS: &[Key] = &[
    old(
        one("instances", "instances", "N", "How many instances [default: 1; with churn as many as it needs]"),
        &["nb_splayds"],
    ),
    one("name", "name", "NAME", "Name of the job [default: the file's, without .lua]"),
    one("description", "description", "TEXT", "What the job is for"),
    old(
        many("arguments", "argument", "ARG", "What the program finds in `arg`; also what follows `--`"),
        &["args"],
    ),
    old(many("environment", "env", "NAME=VALUE", "job.env.NAME"), &["env"]),
    one(
        "seed",
        "seed",
        "S",
        "What placement, lists, churn and math.random follow from [default: the controller's choice]",
    ),
    old(
        one("churn", "churn", "FILE", "Trace or script of when instances join and leave"),
        &["scheduler_description"],
    ),
    one(
        "topology",
        "topology",
        "FILE|SPEC",
        "Network emulated between the instances: a file, or star:latency=20ms (see `splay topology`)",
    ),
    one(
        "topology_places",
        "topology-places",
        "ORDER",
        "ordered: position n is at its place n; shuffled: by the seed [default: ordered]",
    ),
    one("list_type", "list-type", "TYPE", "head: all know the first nodes; random: each knows random others"),
    one("list_size", "list-size", "K", "How many nodes an instance is told of [default: all]"),
    one("max_time", "max-time", "TIME", "The job is killed after running for so long [default: 10000s]"),
    one(
        "grace_time",
        "grace-time",
        "TIME",
        "Time for job.on_stop hooks when the job is killed [default: 5s]",
    ),
    one(
        "scheduled_at",
        "at",
        "TIME",
        "Start then: seconds since 1970, 18:30:00, +2h, 2026-03-01 18:30, or 2026-03-01T18:30:00Z",
    ),
    one("strict", "strict", "", "Start at once (or at --at), or be refused instead of queueing"),
    one("queue_timeout", "queue-timeout", "TIME", "Give up when queued for longer [default: 1h]"),
    one(
        "factor",
        "factor",
        "F",
        "Ask F times as many splayds for a seat and keep those that answer, 1 to 10 [default: 1.25]",
    ),
    one("per_splayd", "per-splayd", "N", "Most instances on one splayd [default: its seats]"),
    many("designated", "splayd", "SPLAYD", "Only on these splayds (names or identifiers)"),
    many("mandatory", "mandatory", "SPLAYD", "These splayds must take part"),
    old(
        one("same_nodes_as", "same-nodes-as", "JOB", "Only on the splayds of an earlier job"),
        &["splayds_as_job"],
    ),
    many("labels", "label", "KEY=VALUE", "Only splayds with this label (KEY alone: whatever its value)"),
    old(
        many("hosts", "host", "MASK", "Only splayds whose address or name matches: 192.0.2.*, *.example.org"),
        &["hostmasks"],
    ),
    old(
        many(
            "countries",
            "country",
            "CODE",
            "Only in these countries (ch, de ...) or continents (europe, asia ...)",
        ),
        &["localization"],
    ),
    one("latitude", "latitude", "DEGREES", "Only within --distance of a place: degrees north"),
    one("longitude", "longitude", "DEGREES", "Degrees east of that place"),
    one("distance", "distance", "KM", "Kilometres around that place"),
    one("max_load", "max-load", "L", "Only splayds with a 5-minute load average of at most L"),
    one("min_uptime", "min-uptime", "TIME", "Only machines that have been up for so long"),
    one("min_free_memory_bytes", "min-free-memory", "SIZE", "Only machines with so much free memory"),
    one("splayd_version", "splayd-version", "VERSION", "Only splayds of exactly this version"),
    many("native", "native", "LIB", "Native library the program requires (see `splay libs`)"),
    old(
        one("max_memory_bytes", "max-memory", "SIZE", "Lua memory of an instance [default: 20MiB]"),
        &["max_mem"],
    ),
    old(
        one("max_disk_bytes", "max-disk", "SIZE", "All files of an instance [default: 64MiB]"),
        &["disk_max_size"],
    ),
    old(one("max_files", "max-files", "N", "Files of an instance [default: 1024]"), &["disk_max_files"]),
    old(
        one("max_file_descriptors", "max-file-descriptors", "N", "Open files of an instance [default: 1024]"),
        &["disk_max_file_descriptors"],
    ),
    old(
        one("max_send_bytes", "max-send", "SIZE", "What an instance may send in all [default: 128MiB]"),
        &["network_max_send"],
    ),
    old(
        one(
            "max_receive_bytes",
            "max-receive",
            "SIZE",
            "What an instance may receive in all [default: 128MiB]",
        ),
        &["network_max_receive"],
    ),
    one(
        "send_bytes_per_second",
        "send-rate",
        "SIZE",
        "What an instance may send a second [default: no limit]",
    ),
    one(
        "receive_bytes_per_second",
        "receive-rate",
        "SIZE",
        "What an instance may receive a second [default: no limit]",
    ),
    one(
        "job_send_bytes_per_second",
        "job-send-rate",
        "SIZE",
        "What all instances on one splayd may send a second [default: no limit]",
    ),
    one(
        "job_receive_bytes_per_second",
        "job-receive-rate",
        "SIZE",
        "What all instances on one splayd may receive a second [default: no limit]",
    ),
    old(
        one(
            "max_sockets",
            "max-sockets",
            "N",
            "TCP sockets, and UDP sockets, of an instance [default: 1024]",
        ),
        &["network_max_sockets"],
    ),
    old(one("ports", "ports", "N", "Consecutive ports of an instance [default: 1]"), &["network_nb_ports"]),
    one(
        "slice_milliseconds",
        "slice-milliseconds",
        "MS",
        "Longest a thread may run without yielding [default: 10000]",
    ),
    one(
        "cpu_permille",
        "cpu-permille",
        "P",
        "Share of a processor core an instance may use, in thousandths [default: no limit]",
    ),
    one("udp_drop_ratio", "udp-drop-ratio", "R", "Share of outgoing datagrams that are dropped, 0 to 1"),
    one(
        "traffic_threads",
        "traffic-threads",
        "N",
        "Threads of splay.traffic an instance may run [default: none, it may not use it]",
    ),
    one("max_log_bytes", "max-log", "SIZE", "Log lines of an instance [default: 100MiB]"),
];

/// Keys of the original that ask for nothing any more, and why.
pub(super) const OBSOLETE: &[(&str, &str)] = &[
    ("bits", "programs are sent as source"),
    ("endianness", "programs are sent as source"),
    ("die_free", "churn decides whether a seat is kept"),
    ("keep_files", "what an instance leaves in results/ is kept"),
    ("multifile", "modules beside the program are sent with it"),
    ("network_send_speed", "splayds declare no speed; use max_load or send_bytes_per_second"),
    ("network_receive_speed", "splayds declare no speed; use max_load or receive_bytes_per_second"),
    ("scheduler", "churn alone decides it"),
];

impl Key {
    /// The key of this name, new or old.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name || key.old.contains(&name))
    }

    /// The name most like one that is no key.
    pub(super) fn like(name: &str) -> Option<&'static str> {
        let names = KEYS.iter().flat_map(|key| std::iter::once(key.name).chain(key.old.iter().copied()));
        let close = names.map(|known| (distance(name, known), known)).min();
        close.filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
    }
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
