//! `splay nbd` and the library's servers before clients that others have written: those of libnbd,
//! qemu and fio. Without them (packages libnbd-bin, nbdfuse, python3-libnbd, qemu-utils, fio) the tests are
//! skipped, but in CI they must be there; nbdkit with its Lua plugin is compared with where it is.

mod support;

#[path = "nbd/clients.rs"]
mod clients;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clients::{Served, client, has, python, succeed};
use rustix::process::Signal;
use support::{Outcome, Place, eventually, free_ports};

/// A disk in memory as a script of nbdkit.
fn memory() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/code/nbd/memory.lua");
    script.canonicalize().expect("the guide's script").display().to_string()
}

/// Bytes that no two blocks have in common, and holes.
fn contents(size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bytes[size / 4..size / 2].fill(0);
    bytes
}

const SIZE: usize = 4 << 20;

#[test]
fn nbdinfo_tells_what_there_is() {
    if !has("nbdinfo", "libnbd-bin") {
        return;
    }
    let served = Served::new(&[&memory(), "size=1048576"]);
    let told = succeed(client("nbdinfo").args(["--json", &served.uri()]));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["protocol"], "newstyle-fixed");
    assert_eq!(told["structured"], true);
    let export = &told["exports"][0];
    assert_eq!(export["export-size"], 1_048_576);
    assert_eq!(export["contexts"][0], "base:allocation");
    for (ability, expected) in [
        ("is_read_only", false),
        ("is_rotational", false),
        ("can_cache", false),
        ("can_df", true),
        ("can_fast_zero", true),
        ("can_flush", true),
        ("can_fua", true),
        ("can_multi_conn", false),
        ("can_trim", true),
        ("can_zero", true),
    ] {
        assert_eq!(export[ability], expected, "{ability}: {told:#}");
    }
    let listed = succeed(client("nbdinfo").args(["--list", "--json", &served.uri()]));
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["exports"][0]["export-size"], 1_048_576, "{listed:#}");
    let map = succeed(client("nbdinfo").args(["--map", &served.uri()]));
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "1048576", "0", "data"]);
    served.ended(0);
}

#[test]
fn nbdcopy_and_qemu_see_the_same_disk() {
    if !(has("nbdcopy", "libnbd-bin") && has("qemu-img", "qemu-utils")) {
        return;
    }
    let served = Served::new(&[&memory(), &format!("size={SIZE}")]);
    let (uri, folder) = (served.uri(), served.place.path().to_owned());
    fs::write(folder.join("image"), contents(SIZE)).expect("writable");
    let copy = |from: &str, to: &str| succeed(client("nbdcopy").current_dir(&folder).args([from, to]));
    copy("image", &uri);
    copy(&uri, "copy");
    assert!(fs::read(folder.join("copy")).expect("copied") == contents(SIZE), "another disk");

    let qemu = |words: &[&str]| succeed(client("qemu-img").current_dir(&folder).args(words));
    let info = qemu(&["info", "--output=json", &uri]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((&info["virtual-size"], &info["format"]), (&SIZE.into(), &"raw".into()));
    qemu(&["convert", "-f", "raw", "-O", "qcow2", &uri, "disk.qcow2"]);
    qemu(&["compare", "-f", "raw", "-F", "qcow2", &uri, "disk.qcow2"]);
    qemu(&["compare", "-f", "raw", "-F", "raw", &uri, "image"]);
    qemu(&["bench", "-f", "raw", "-c", "200", "-d", "16", "-w", "--flush-interval=50", &uri]);
    fs::write(folder.join("other"), &contents(SIZE + 7)[7..]).expect("writable");
    qemu(&["convert", "-n", "-f", "raw", "-O", "raw", "other", &uri]);
    qemu(&["compare", "-f", "raw", "-F", "raw", "other", &uri]);
    if has("qemu-nbd", "qemu-utils") {
        let listed = succeed(client("qemu-nbd").args(["--list", "-k"]).arg(served.socket()));
        assert!(
            listed.contains("exports available: 1") && listed.contains(&format!("size:  {SIZE}")),
            "{listed}"
        );
        assert!(listed.contains("base:allocation"), "{listed}");
    }
    served.ended(0);
}

#[test]
fn fio_reads_what_it_wrote() {
    if !has("fio", "fio") {
        return;
    }
    let served = Served::new(&[&memory(), &format!("size={SIZE}")]);
    let uri = format!("--uri={}", served.uri());
    let job = ["--name=job", "--ioengine=nbd", &uri, "--size=4M", "--bs=4k", "--output-format=json"];
    for (pattern, depth) in [("randwrite", "1"), ("randwrite", "16"), ("randrw", "16"), ("trimwrite", "4")] {
        let mut fio = client("fio");
        fio.current_dir(served.place.path()).args(job).args(["--rw", pattern, "--iodepth", depth]);
        if pattern == "randwrite" {
            fio.args(["--verify=crc32c", "--verify_fatal=1"]);
        }
        let told = succeed(&mut fio);
        let told: serde_json::Value =
            serde_json::from_str(&told[told.find('{').expect("JSON")..]).expect("JSON");
        assert_eq!(told["jobs"][0]["error"], 0, "{pattern}: {told:#}");
    }
    served.ended(0);
}

#[test]
fn a_script_is_called_as_by_nbdkit() {
    let Some(python) = python() else { return };
    let place = Place::new();
    place.write("log.lua", include_str!("nbd/log.lua"));
    place.write("questions.py", include_str!("nbd/questions.py"));
    let command = format!("{python} questions.py \"$uri\"");
    let words = ["log.lua", "some=thing", "a=b=c"];
    for readonly in [false, true] {
        let mut all = vec!["nbd", "-f"];
        all.extend(readonly.then_some("-r"));
        all.extend(words);
        let ours = Outcome::of(place.splay(&[&all[..], &["--run", &command]].concat())).ended(0);
        assert!(
            ours.out.contains("get_size 65536") && ours.out.contains("base:allocation 0 [65536, 0]"),
            "{ours:#?}"
        );
        assert!(ours.err.contains("config some thing\nconfig a b=c\nconfig_complete\n"), "{ours:#?}");
        assert!(ours.err.contains("splay nbd: lua[1]: error: pread: log.lua:"), "{ours:#?}");
        if !has_nbdkit() {
            continue;
        }
        let mut nbdkit = client("nbdkit");
        nbdkit.current_dir(place.path()).args(["-f", "-U", "-"]).args(readonly.then_some("-r")).arg("lua");
        let theirs = nbdkit.args(words).args(["--run", &command]).output().expect("nbdkit runs");
        let theirs = Outcome::from(theirs).ended(0);
        // No script of nbdkit's can choose an error.
        assert_eq!(ours.out.replace("full ENOSPC", "full EIO"), theirs.out);
        let calls = |err: &str| -> Vec<String> {
            err.lines().filter(|line| !line.contains("error: ")).map(str::to_owned).collect()
        };
        assert_eq!(calls(&ours.err), calls(&theirs.err));
    }
}

fn has_nbdkit() -> bool {
    let lua = Command::new("nbdkit").args(["--dump-plugin", "lua"]).output();
    lua.is_ok_and(|output| output.status.success())
}

#[test]
fn errors_are_told_as_nbdkit_tells_them() {
    let place = Place::new();
    let callbacks = "function open() return 1 end function get_size() return 512 end\n\
                     function pread(h, c) return string.rep('x', c) end\n";
    place.write("good.lua", callbacks);
    place.write("syntax.lua", "x = = 1\n");
    place.write("top.lua", "error('top')\n");
    place.write("missing.lua", "function open() end\n");
    place.write(
        "config.lua",
        &format!("{callbacks}function config(k, v) error('unknown ' .. k .. '=' .. v) end\n"),
    );
    place.write("there", "");
    for (words, status, told) in [
        (&["gone.lua"][..], 3, "could not parse Lua script cannot open gone.lua: No such file or directory"),
        (&["syntax.lua"], 4, "could not parse Lua script syntax.lua:1: unexpected symbol near '='"),
        (&["top.lua"], 1, "could not run Lua script: top.lua:1: top"),
        (
            &["missing.lua"],
            1,
            "missing.lua: one of the required callbacks 'open', 'get_size' or 'pread' is not defined",
        ),
        (&["good.lua", "a=1"], 1, "good.lua: this plugin does not need command line configuration"),
        (&["config.lua", "a=1"], 1, "config: config.lua:3: unknown a=1"),
        (&["-U", "there", "good.lua"], 5, "address already in use"),
        (&["--tls", "require", "good.lua"], 3, ".pem: No such file or directory"),
        (&["-U", "x", "-p", "1", "good.lua"], 2, "cannot be used with"),
        (&[], 2, "required"),
    ] {
        let outcome = Outcome::of(place.splay(&[&["nbd"], words].concat())).ended(status);
        assert!(outcome.err.contains(told) && outcome.err.lines().count() == 1, "{outcome:#?}");
    }
}

#[test]
fn a_server_stays_until_it_is_stopped() {
    let place = Place::new();
    let port = free_ports(1);
    let number = port.to_string();
    let script = fs::read_to_string(memory()).expect("there");
    place.write("disk.lua", &script.replace("#!/usr/sbin/nbdkit lua", "#!/usr/bin/env -S splay nbd"));
    let running = place.start(&["nbd", "-p", &number, "-P", "pid", "disk.lua", "size=512"]);
    eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    eventually("it tells its number", || place.path().join("pid").exists());
    assert_eq!(place.read("pid").trim(), running.child.id().to_string());
    running.signal(Signal::TERM);
    let outcome = running.wait().ended(0);
    assert_eq!(outcome.out, format!("disk.lua at nbd://localhost:{port}\n"));
    assert!(!place.path().join("pid").exists());
    let outcome =
        Outcome::of(place.splay(&["nbd", "lua", "disk.lua", "--run", "echo $uri; exit 7"])).ended(7);
    assert!(outcome.out.starts_with("nbd+unix:///?socket=/"), "{outcome:#?}");
    let told = Outcome::of(place.splay(&["nbd", "--dump-plugin", "disk.lua"])).ended(0);
    assert!(told.out.contains("name=lua\n") && told.out.contains("has_pwrite=1\n"), "{told:#?}");
}

#[test]
fn tls_with_the_clients_of_libnbd() {
    if !has("nbdinfo", "libnbd-bin") {
        return;
    }
    let place = Place::new();
    let folder = place.path();
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let issuer = rcgen::CertifiedIssuer::self_signed(params, authority).expect("a certificate");
    place.write("ca-cert.pem", &issuer.pem());
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        place.write(&format!("{name}-cert.pem"), &certificate.pem());
        place.write(&format!("{name}-key.pem"), &key.serialize_pem());
    }
    let script = memory();
    let command = format!(
        "nbdinfo --size \"$uri&tls-certificates={0}\"; nbdinfo --size \"nbd+unix:///?socket=$unixsocket\"",
        folder.display()
    );
    for (mode, plain) in [("on", "1048576\n"), ("require", "")] {
        let words = ["nbd", "--tls", mode, "--tls-verify-peer", &script, "size=1048576", "--run", &command];
        let outcome = Outcome::of(place.splay(&words));
        assert_eq!(outcome.out, format!("1048576\n{plain}"), "{outcome:#?}");
    }
}

/// A file system in the disk, through FUSE and a loop device, where the machine lets it be mounted.
#[test]
fn a_file_system_lives_on_it() {
    if !(has("nbdcopy", "libnbd-bin") && has("mke2fs", "e2fsprogs")) {
        return;
    }
    let served = Served::new(&[&memory(), "size=16777216"]);
    let (uri, folder) = (served.uri(), served.place.path().to_owned());
    let run = |program: &str, words: &[&str]| succeed(client(program).current_dir(&folder).args(words));
    fs::create_dir(folder.join("files")).expect("writable");
    fs::write(folder.join("files/numbers"), contents(1 << 20)).expect("writable");
    run("mke2fs", &["-q", "-t", "ext4", "-d", "files", "image", "16384"]);
    run("nbdcopy", &["--flush", "image", &uri]);
    run("nbdcopy", &[&uri, "back"]);
    run("e2fsck", &["-fn", "back"]);
    if mounts(&folder, &uri) {
        run("nbdcopy", &[&uri, "after"]);
        run("e2fsck", &["-fn", "after"]);
        run("debugfs", &["-R", "dump /numbers numbers", "after"]);
        assert!(fs::read(folder.join("numbers")).expect("dumped") == contents(1 << 20), "another file");
        run("debugfs", &["-R", "dump /more more", "after"]);
        assert!(fs::read(folder.join("more")).expect("dumped") == contents(3 << 20), "another file");
    }
    served.ended(0);
}

/// Writes a file into the mounted file system; false, with a notice, where nothing can be mounted.
#[allow(clippy::print_stderr)]
fn mounts(folder: &Path, uri: &str) -> bool {
    let skip = |why: &str| {
        eprintln!("skipped: mounting ({why})");
        false
    };
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        return skip("needs root and /dev/fuse");
    }
    if Command::new("nbdfuse").arg("--version").output().is_err() {
        return skip("nbdfuse is missing (package nbdfuse)");
    }
    fs::write(folder.join("disk"), "").expect("writable");
    fs::create_dir(folder.join("mounted")).expect("writable");
    let mut fuse = client("nbdfuse").current_dir(folder).args(["disk", uri]).spawn().expect("nbdfuse starts");
    let ready = || fs::metadata(folder.join("disk")).is_ok_and(|disk| disk.len() > 0);
    let begin = std::time::Instant::now();
    while !ready() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mounted = ready() && {
        let mount = client("mount").current_dir(folder).args(["-o", "loop", "disk", "mounted"]).output();
        mount.is_ok_and(|output| output.status.success())
    };
    if mounted {
        fs::write(folder.join("mounted/more"), contents(3 << 20)).expect("room for it");
        let unmounted = client("umount").current_dir(folder).arg("mounted").status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
    let _ = client("fusermount3").current_dir(folder).args(["-u", "disk"]).status();
    let _ = fuse.wait();
    if mounted { true } else { skip("FUSE or loop devices are not to be had here") }
}
