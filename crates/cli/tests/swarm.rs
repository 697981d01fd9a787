//! `apps/swarm.lua` and an ordinary BitTorrent client, aria2, each downloading from the other.
//! Without the client (package aria2) the test is skipped, but in CI it must be there.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use support::{Place, eventually, free_ports};

/// Bytes of the file: the last piece and its last block are short.
const SIZE: u32 = 1_000_003;

#[allow(clippy::disallowed_methods)]
fn has_client() -> bool {
    let found = Command::new("aria2c").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "aria2c is missing (package aria2)");
    if !found {
        #[expect(clippy::print_stderr, reason = "who runs the tests should know")]
        {
            eprintln!("skipped: aria2c is missing (package aria2)");
        }
    }
    found
}

/// Numbers that no two pieces have in common.
fn contents() -> Vec<u8> {
    (0..SIZE).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// aria2c in a folder, without what reaches beyond this machine.
fn client(folder: &Path, words: &[&str]) -> Child {
    Command::new("aria2c")
        .current_dir(folder)
        .args(["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"])
        .args(["--enable-peer-exchange=false", "--summary-interval=0", "--console-log-level=warn"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("aria2c starts")
}

/// A child that does not outlive the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_client_takes_and_gives() {
    if !has_client() {
        return;
    }
    let place = Place::new();
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/swarm.lua");
    let app = app.to_str().expect("a path in UTF-8");
    std::fs::write(place.path().join("file.bin"), contents()).expect("writable");
    std::fs::create_dir(place.path().join("client")).expect("writable");
    let folder = place.path().join("client");
    let ports = free_ports(4);
    let first = ports.to_string();
    let listen = format!("--listen-port={}", ports + 3);
    let torrent = format!("http://127.0.0.1:{first}/torrent");

    // The client takes the file from three nodes that run on.
    let words = ["run", app, "-n", "3", "--first-port", &first, "--", "seed=file.bin", "rate=0", "stay"];
    let nodes = place.start(&words);
    eventually("the tracker answers", || std::net::TcpStream::connect(("127.0.0.1", ports)).is_ok());
    let taken = client(&folder, &[&listen, "--seed-time=0", "--stop=50", &torrent]).wait();
    nodes.signal(Signal::INT);
    let outcome = nodes.wait();
    assert!(taken.expect("aria2c runs").success(), "{outcome:#?}");
    assert!(std::fs::read(folder.join("file.bin")).expect("downloaded") == contents(), "another file");
    assert!(!outcome.out.contains("wrong"), "{outcome:#?}");

    // The client gives it to nodes that know nothing but the .torrent.
    let listen = [&listen, "--seed-ratio=0.0", "--check-integrity=true", "--stop=100", "torrent"];
    let _seed = Guard(client(&folder, &listen));
    let words = ["run", app, "-n", "3", "--first-port", &first, "--"];
    let torrent = format!("torrent={}", folder.join("torrent").display());
    let outcome = place.start(&[&words[..], &[&torrent, "save=got", "rate=0"]].concat()).wait().ended(0);
    assert!(outcome.out.contains("file correct: 3 nodes, 31 pieces"), "{outcome:#?}");
    for port in ports..ports + 3 {
        let got = std::fs::read(place.path().join(format!("got-{port}"))).expect("saved");
        assert!(got == contents(), "{port} has another file");
    }
}
