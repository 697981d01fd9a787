//! `splayd confine-probe`: enters the confinement of a worker and tries what should fail and what
//! should not, for the tests.

use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use super::{Confinement, enter};

/// Tries everything below a folder with `files/a` and `lives`, and says what happened, a line each.
pub fn main(folder: &Path, port: u16, user: Option<(u32, u32)>) -> io::Result<()> {
    let (files, lives) = (folder.join("files"), folder.join("lives"));
    let confinement = Confinement {
        parent: rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32),
        user,
        read: vec![files.clone()],
        write: vec![lives.clone()],
        ports: vec![(port, 1)],
        data_bytes: 256 << 20,
        descriptors: 64,
        file_bytes: 1 << 20,
    };
    let mut out = io::stdout().lock();
    for lacking in enter(&confinement)? {
        writeln!(out, "lacking {lacking}")?;
    }
    let mut say = |what: &str, worked: bool| writeln!(out, "{what} {}", if worked { "yes" } else { "no" });
    say("read-files", fs::read(files.join("a")).is_ok())?;
    say("change-files", fs::write(files.join("a"), "x").is_ok())?;
    say("make-file", fs::write(lives.join("b"), "x").is_ok())?;
    say("make-link", std::os::unix::fs::symlink("/etc/passwd", lives.join("l")).is_ok())?;
    say("large-file", fs::write(lives.join("c"), vec![0; 2 << 20]).is_ok())?;
    say("read-elsewhere", fs::read("/etc/passwd").is_ok())?;
    say("write-elsewhere", fs::write(folder.join("x"), "x").is_ok())?;
    say("list-processes", fs::read_dir("/proc").is_ok())?;
    say("run-program", std::process::Command::new("/bin/true").status().is_ok())?;
    // SAFETY: system calls that are refused; none of them reads or writes memory of this process.
    unsafe {
        say("fork", libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) > 0)?;
        say("trace", libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0)?;
        say("raw-socket", libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) >= 0)?;
        say("namespace", libc::unshare(libc::CLONE_NEWUSER) == 0)?;
        say("signal-parent", libc::kill(libc::getppid(), 0) == 0)?;
        say("become-root", libc::setuid(0) == 0)?;
    }
    say("thread", std::thread::Builder::new().spawn(|| 1).is_ok_and(|thread| thread.join().is_ok()))?;
    say("bind-own-port", TcpListener::bind(("127.0.0.1", port)).is_ok())?;
    say("bind-other-port", TcpListener::bind(("127.0.0.1", port + 1)).is_ok())?;
    say("udp", UdpSocket::bind(("127.0.0.1", port)).is_ok())?;
    let mut memory: Vec<u8> = Vec::new();
    say("much-memory", memory.try_reserve_exact(512 << 20).is_ok())?;
    let many: Vec<_> = (0..100).map_while(|_| fs::File::open(files.join("a")).ok()).collect();
    say("many-descriptors", many.len() == 100)?;
    drop(many);
    let resolved = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).is_ok();
    say("resolve", resolved)
}
