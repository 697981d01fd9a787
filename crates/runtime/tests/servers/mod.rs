//! Runs real servers on loopback, from a folder of their own, as long as a test needs them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// The interpreter that finds the modules of Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// Longest a server may take to answer.
const START: Duration = Duration::from_secs(20);

/// A server, stopped when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    /// Where it keeps its files.
    pub folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program that a test needs is there. Where it is not, the test is skipped on a
/// developer's machine, and fails on the one that builds.
#[allow(clippy::print_stderr)]
pub fn is_there(package: &str, probe: &mut Command) -> bool {
    let found = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let hint = format!("Debian's package {package} is not installed");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{hint}");
    eprintln!("SKIPPED: {hint}");
    false
}

/// Whether a module of Debian's Python is there.
pub fn has_module(package: &str, module: &str) -> bool {
    is_there(package, Command::new(PYTHON).args(["-c", &format!("import {module}")]))
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn start(command: &mut Command, port: u16, folder: TempDir) -> Server {
    let log = std::fs::File::create(folder.path().join("server.log")).expect("a log");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    let child = command.spawn().expect("the server starts");
    let mut server = Server { child, port, folder };
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child.try_wait().expect("a child");
        let log = || std::fs::read_to_string(server.folder.path().join("server.log")).unwrap_or_default();
        assert!(ended.is_none(), "the server ended: {}", log());
        assert!(begin.elapsed() < START, "the server does not listen: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// An authority, and certificates it has signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority of a name.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// Writes `ca.pem`.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("ca.pem"), self.issuer.pem()).expect("written");
    }

    /// Writes `NAME.pem` and `NAME.key`, a certificate for localhost and its key.
    pub fn write_leaf(&self, folder: &Path, name: &str, expired: bool) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }
}

/// nginx with `servers` in its configuration, in which FOLDER is its folder. `port` is one that
/// it listens on.
pub fn nginx(folder: TempDir, port: u16, servers: &str) -> Server {
    let root = folder.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path FOLDER/{kind};\n"))
        .collect();
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid FOLDER/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{servers}}}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration.replace("FOLDER", &root)).expect("written");
    let mut command = Command::new("nginx");
    command.env("PATH", with_sbin()).arg("-p").arg(folder.path()).arg("-c").arg(&file);
    start(&mut command, port, folder)
}

/// Whether nginx is there.
pub fn has_nginx() -> bool {
    is_there("nginx", Command::new("nginx").env("PATH", with_sbin()).arg("-v"))
}

/// Debian puts servers where an ordinary user does not look.
fn with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// An FTP server of pyftpdlib; `me` with `secret` may write.
pub fn ftp(folder: TempDir) -> Server {
    let port = free_port();
    let mut command = Command::new(PYTHON);
    command.args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-w", "-u", "me", "-P", "secret"]);
    command.args(["-p", &port.to_string(), "-d"]).arg(folder.path().join("files"));
    std::fs::create_dir(folder.path().join("files")).expect("a folder");
    start(&mut command, port, folder)
}

/// A mail server of aiosmtpd, see `smtp.py`.
pub fn smtp(folder: TempDir) -> Server {
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/smtp.py");
    let mut command = Command::new(PYTHON);
    command.arg(script).arg(port.to_string()).arg(folder.path());
    start(&mut command, port, folder)
}

/// The mails that the mail server has taken, in no particular order.
pub fn mails(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.folder.path().join("mails/new")).expect("a mailbox");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path: PathBuf| std::fs::read_to_string(path).expect("a mail")).collect()
}
