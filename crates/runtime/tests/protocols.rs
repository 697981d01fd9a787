//! LuaSocket's protocol modules against real servers on loopback: nginx, aiosmtpd, pyftpdlib, from
//! Debian's packages of these names.

mod host;
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use splay_runtime::host::EndReason;

/// Longest a program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a program of tests/servers with the table `given` and expects all its tests to pass.
fn prove(program: &str, folder: &Path, given: &[(&str, u16)]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(program);
    let source = fs::read_to_string(source).expect("the program");
    let mut table = format!("folder = {:?}", folder.display().to_string());
    for (name, number) in given {
        write!(table, ", {name} = {number}").expect("to a string");
    }
    let file = folder.join(program);
    // One line, so that errors name the lines of the program's own file.
    fs::write(&file, format!("local given = {{ {table} }} {source}")).expect("written");
    let outcome = host::run(&file, &[], vec![None], LIMIT);
    let text = outcome.lines.join("\n");
    assert_eq!(outcome.ends, [EndReason::Exit(0)], "{text}");
    assert!(text.ends_with(" passed, 0 failed"), "{text}");
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The servers of the configuration, but for their ports.
const NGINX: &str = r#"
keepalive_timeout 1s;
add_header X-Connection $connection;
add_header X-Protocol $ssl_protocol;
types { text/plain txt; text/html shtml; }
root FOLDER/files;
ssl_certificate FOLDER/leaf.pem;
ssl_certificate_key FOLDER/leaf.key;
ssl_protocols TLSv1.2 TLSv1.3;
server {
  listen 127.0.0.1:HTTP;
  listen 127.0.0.1:HTTPS ssl;
  ssi on;
  client_max_body_size 10m;
  location /put/ { dav_methods PUT DELETE; }
  location /old/ { rewrite ^/old/(.*)$ /$1 permanent; }
  location /round { return 302 /round; }
  location /secure { return 302 https://localhost:HTTPS/small.txt; }
  location /private/ {
    auth_basic "friends";
    auth_basic_user_file FOLDER/users;
    alias FOLDER/files/;
  }
}
server {
  listen 127.0.0.1:EXPIRED ssl;
  ssl_certificate FOLDER/expired.pem;
  ssl_certificate_key FOLDER/expired.key;
}
server {
  listen 127.0.0.1:MUTUAL ssl;
  ssl_client_certificate FOLDER/ca.pem;
  ssl_verify_client on;
}
server {
  listen 127.0.0.1:PROXY;
  add_header X-By proxy;
  location / { proxy_pass http://$http_host$uri$is_args$args; }
}
"#;

#[test]
fn http_and_https_with_nginx() {
    if !servers::has_nginx() {
        return;
    }
    let folder = temporary();
    let path = folder.path();
    let authority = servers::Authority::new("Test authority");
    authority.write(path);
    authority.write_leaf(path, "leaf", false);
    authority.write_leaf(path, "expired", true);
    fs::create_dir(path.join("other")).expect("a folder");
    servers::Authority::new("Other authority").write(&path.join("other"));
    fs::create_dir_all(path.join("files/put")).expect("a folder");
    fs::write(path.join("files/small.txt"), "small\n").expect("written");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 + n / 251) as u8).collect();
    fs::write(path.join("files/large.bin"), large).expect("written");
    let page =
        "by <!--# echo var=\"SERVER_PROTOCOL\" default=\"\" --> from <!--# echo var=\"REMOTE_ADDR\" -->\n";
    fs::write(path.join("files/page.shtml"), page).expect("written");
    fs::write(path.join("users"), "me:{PLAIN}secret\n").expect("written");

    let names = ["http", "https", "expired", "mutual", "proxy"];
    let ports: Vec<(&str, u16)> = names.iter().map(|name| (*name, servers::free_port())).collect();
    let mut configuration = NGINX.to_owned();
    for (name, port) in ports.iter().rev() {
        configuration = configuration.replace(&format!(":{}", name.to_uppercase()), &format!(":{port}"));
    }
    let server = servers::nginx(folder, ports[0].1, &configuration);
    prove("http.lua", server.folder.path(), &ports);
}

#[test]
fn smtp_with_aiosmtpd() {
    if !servers::has_module("python3-aiosmtpd", "aiosmtpd") {
        return;
    }
    let folder = temporary();
    let authority = servers::Authority::new("Test authority");
    authority.write(folder.path());
    authority.write_leaf(folder.path(), "leaf", false);
    let server = servers::smtp(folder);
    prove("smtp.lua", server.folder.path(), &[("port", server.port)]);

    let mails = servers::mails(&server);
    let find = |subject: &str| {
        let found = mails.iter().find(|mail| mail.contains(&format!("Subject: {subject}\n")));
        found.unwrap_or_else(|| panic!("no mail `{subject}` in {mails:#?}"))
    };
    assert_eq!(mails.len(), 3, "{mails:#?}");
    assert!(find("dots").contains("\n\n.\n..two\n.\n\nend of dots\n"), "{mails:#?}");
    assert!(find("dots").contains("X-RcptTo: you@localhost, them@localhost\n"), "{mails:#?}");
    assert!(find("parts").contains("\n\ncaf=E9 =3D\n"), "{mails:#?}");
    let line = format!("{}\n{}\n", "AAEC".repeat(19), "AAEC".repeat(19));
    assert!(find("parts").contains(&line), "{mails:#?}");
    assert!(find("sealed").contains("\n\nsecret\n"), "{mails:#?}");
}

#[test]
fn ftp_with_pyftpdlib() {
    if !servers::has_module("python3-pyftpdlib", "pyftpdlib") {
        return;
    }
    let server = servers::ftp(temporary());
    prove("ftp.lua", server.folder.path(), &[("port", server.port)]);
    let files = server.folder.path().join("files");
    assert_eq!(fs::read(files.join("ways")).expect("the file"), b"both");
    assert!(!files.join("folder").exists());
}
