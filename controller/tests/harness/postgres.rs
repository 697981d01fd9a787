//! A PostgreSQL server of its own, in a temporary folder, on loopback. Without Debian's package
//! `postgresql` its tests are skipped, unless `CI=true`.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A server; ends with the value.
pub struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// `None`: it is not installed.
    fn start() -> Option<Postgres> {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .collect();
        versions.retain(|bin| bin.join("initdb").exists());
        versions.sort();
        let bin = versions.pop()?;
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Postgres { folder, bin, port };
        if as_root() {
            assert!(
                Command::new("chown").arg("postgres").arg(server.folder.path()).status().unwrap().success()
            );
        }
        server.run("initdb", &["-A", "trust", "-U", "splay", "-E", "UTF8", "--no-sync", "-D"], &[]);
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off");
        server.run("pg_ctl", &["-w", "-o", &options, "-l", &server.path("log"), "-D"], &["start"]);
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A program of the server; it refuses to be run by root.
    fn run(&self, program: &str, arguments: &[&str], after: &[&str]) {
        let program = self.bin.join(program);
        let mut command = match as_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        let data = self.path("data");
        command.args(arguments).arg(&data).args(after).current_dir(self.folder.path());
        let status = command.stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}");
    }

    pub fn url(&self) -> String {
        format!("postgres://splay@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "-D"], &["stop"]);
    }
}

fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn server() -> Option<Postgres> {
    let server = Postgres::start();
    if server.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "PostgreSQL is missing: install Debian's package postgresql"
        );
        println!("skipped: PostgreSQL is not installed");
    }
    server
}
