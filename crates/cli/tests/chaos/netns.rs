//! Hosts of a network of their own: network namespaces, each joined to a bridge by a virtual cable
//! that can be pulled. Needs root, or a kernel that lets everybody make namespaces.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::testbed::Machine;

/// Nothing here takes so long; what a killed test leaves behind ends by itself.
const LIFETIME: &str = "600";

pub struct Lab {
    /// The namespace of the bridge, then those of the hosts: each is kept by a process that sleeps.
    anchors: Vec<Child>,
    /// Namespaces belong to a user namespace, since this user is not root.
    mapped: bool,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for anchor in &mut self.anchors {
            let _ = anchor.kill();
            let _ = anchor.wait();
        }
    }
}

impl Lab {
    /// So many hosts on one network; what keeps this machine from it where it is not possible.
    pub fn new(hosts: usize) -> Result<Lab, String> {
        let mapped = !rustix::process::geteuid().is_root();
        let mut lab = Lab { anchors: Vec::new(), mapped };
        let words: &[&str] = if mapped { &["--user", "--map-root-user", "--net"] } else { &["--net"] };
        lab.anchor(Command::new("unshare").args(words))?;
        lab.ip(0, "link add br0 type bridge")?;
        lab.ip(0, "link set br0 up")?;
        for host in 1..=hosts {
            let mut command = Command::new("unshare");
            if mapped {
                command = Command::new("nsenter");
                let lab_user = lab.anchors[0].id().to_string();
                command.args(["--target", &lab_user, "--user", "--preserve-credentials", "unshare"]);
            }
            lab.anchor(command.arg("--net"))?;
            let pid = lab.anchors[host].id();
            lab.ip(0, &format!("link add h{host} type veth peer name eth0 netns {pid}"))?;
            lab.ip(0, &format!("link set h{host} master br0"))?;
            lab.ip(0, &format!("link set h{host} up"))?;
            lab.ip(host, &format!("addr add {}/24 dev eth0", address(host)))?;
            lab.ip(host, "link set eth0 up")?;
            lab.ip(host, "link set lo up")?;
        }
        Ok(lab)
    }

    fn anchor(&mut self, command: &mut Command) -> Result<(), String> {
        let own = std::fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        let command = command.args(["sleep", LIFETIME]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let (begun, pid) = (Instant::now(), child.id());
        let sleeps = || {
            let there = std::fs::read_link(format!("/proc/{pid}/ns/net"));
            let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            there.is_ok_and(|there| there != own) && command.trim() == "sleep"
        };
        while !sleeps() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("unshare --net ended with {status}"));
            }
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = child.kill();
                let _ = child.wait();
                return Err("unshare --net does nothing".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.anchors.push(child);
        Ok(())
    }

    fn prefix(&self, index: usize) -> Vec<String> {
        let pid = self.anchors[index].id().to_string();
        let mut words = vec!["nsenter", "--target", &pid, "--net"];
        if self.mapped {
            words.extend(["--user", "--preserve-credentials"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    fn run(&self, index: usize, program: &str, words: &str) -> Result<(), String> {
        let prefix = self.prefix(index);
        let mut command = Command::new(&prefix[0]);
        let output = command.args(&prefix[1..]).arg(program).args(words.split(' ')).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{program} {words}: {}", told.trim())) }
    }

    fn ip(&self, index: usize, words: &str) -> Result<(), String> {
        self.run(index, "ip", words)
    }

    /// A host, counted from 1.
    pub fn machine(&self, host: usize) -> Machine {
        Machine { prefix: self.prefix(host), address: Some(address(host)) }
    }

    /// Pulls the cable of a host, or puts it in again.
    pub fn cable(&self, host: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        self.ip(0, &format!("link set h{host} {state}")).expect("a cable");
    }

    /// Whether what a host sends reaches another; the other direction stays as it is.
    pub fn reaches(&self, from: usize, to: usize, fine: bool) {
        let to = address(to);
        let words = match fine {
            // An address of the link that nobody has.
            false => format!("neigh replace {to} lladdr 02:00:00:00:00:99 dev eth0 nud permanent"),
            true => format!("neigh del {to} dev eth0"),
        };
        self.ip(from, &words).expect("a neighbour");
    }

    /// What happens to packets that a host sends, in the words of `tc ... netem`; empty: nothing.
    pub fn sends(&self, host: usize, words: &str) -> Result<(), String> {
        match words {
            "" => self.run(host, "tc", "qdisc del dev eth0 root"),
            words => self.run(host, "tc", &format!("qdisc replace dev eth0 root netem {words}")),
        }
    }
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host as u8)
}
