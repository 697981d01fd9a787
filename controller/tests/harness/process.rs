//! A controller in a process of its own, which can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Client;

/// Short times.
pub const TIMES: &str =
    "[timing]\noffline_grace = 20\ndeploy = 10\nstart_margin = 0.3\ndrain = 10\nahead = 1\n";

pub struct Process {
    pub child: Child,
    pub client: Client,
    /// Another one leads.
    pub stands_by: bool,
}

impl Process {
    /// By SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one with this configuration on a port (0: any), and logs in with the password that it, or an
/// earlier one, has told.
pub async fn spawn(data: &Path, port: u16, settings: &str) -> Process {
    let file = data.join("c.toml");
    std::fs::create_dir_all(data).unwrap();
    std::fs::write(&file, settings).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_splay-controller"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(data)
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::piped())
        .env("RUST_LOG", "warn")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("listening on ").unwrap().split(',').next().unwrap().parse().unwrap();
    let password = data.join("password");
    if !password.exists() {
        let second = lines.next().unwrap().unwrap();
        std::fs::write(&password, second.split_whitespace().nth(3).unwrap()).unwrap();
    }
    let fingerprint = splay_controller::tls::fingerprint_of(&data.join("tls/cert.pem")).unwrap();
    let mut client = Client { address, fingerprint, token: String::new() };
    client.login("admin", &std::fs::read_to_string(&password).unwrap()).await;
    Process { child, client, stands_by: first.ends_with("another controller leads") }
}
