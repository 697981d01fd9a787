//! `splay objstore`: a store that is served, handlers from the command line, and what `kill -9` loses.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Outcome, Place, free_ports};

const COUNTER: &str = r#"
function add(input, output)
  local ok, old = pcall(cls.map_get_val, "count")
  local new = bufferlist.new()
  new:append(tostring((ok and tonumber(old:str()) or 0) + tonumber(input:str())))
  cls.map_set_val("count", new)
  cls.log("added", input:str())
  output:append(new:str())
  return 3
end
function hidden() end
cls.register(add)
"#;

/// A store that is served; killed when dropped.
struct Server(Child);

impl Server {
    fn start(place: &Place, words: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_splay"))
            .args(["objstore", "serve"])
            .args(words)
            .current_dir(place.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("splay starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("readable");
        assert!(line.starts_with("objstore: serving on "), "{line:?}");
        // What it logs is read, so that it never waits.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Server(child)
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn handlers_run_from_the_command_line() {
    let place = Place::new();
    place.write("counter.lua", COUNTER);
    let port = free_ports(1).to_string();
    let exec = |words: &[&str]| {
        let all = [&["objstore", "exec", "--port", &port], words].concat();
        Outcome::of(place.splay(&all))
    };
    let server = Server::start(&place, &["--port", &port, "--class", "counter.lua"]);
    let outcome = exec(&["votes", "counter.lua", "add", "4"]).ended(0);
    assert_eq!((&*outcome.out, &*outcome.err), ("4", "added 4\nreturned 3\n"));
    assert_eq!(exec(&["votes", "counter", "add", "-1"]).ended(0).out, "3");
    let outcome = exec(&["votes", "counter", "hidden"]).ended(1);
    assert_eq!(outcome.err, "splay: -EOPNOTSUPP (-95): Handler is not registered\n");
    let outcome = exec(&["votes", "counter.lua", "hidden"]).ended(1);
    assert_eq!(outcome.err, "splay: -EIO (-5): Handler is not registered\n");
    let outcome = exec(&["votes", "counter", "add", "many"]).ended(1);
    assert!(outcome.err.starts_with("splay: -EIO (-5): counter:5: "), "{}", outcome.err);
    let outcome = exec(&["votes", "missing.lua", "add"]).ended(3);
    assert_eq!(outcome.err, "splay: no such file: missing.lua\n");
    let outcome = Outcome::of(place.splay(&["objstore", "serve", "--port", &port])).ended(5);
    assert!(outcome.err.contains("address already in use"), "{}", outcome.err);
    server.kill();
    let outcome = exec(&["votes", "counter", "add", "1"]).ended(7);
    assert_eq!(outcome.err, format!("splay: 127.0.0.1:{port}: connection refused\n"));
}

#[test]
fn what_cannot_be_served_is_said_in_a_line() {
    let place = Place::new();
    let port = free_ports(1).to_string();
    let serve = |words: &[&str]| {
        let all = [&["objstore", "serve", "--port", &port], words].concat();
        Outcome::of(place.splay(&all))
    };
    place.write("bad.lua", "function");
    let outcome = serve(&["--class", "bad.lua"]).ended(4);
    assert!(outcome.err.starts_with("splay: bad:1: "), "{}", outcome.err);
    serve(&["--class", "missing.lua"]).ended(3);
    serve(&["--flush", "never"]).ended(2);
    Outcome::of(place.splay(&["objstore", "serve", "--port", "0"])).ended(2);
    place.write("file", "");
    let outcome = serve(&["--dir", "file"]).ended(6);
    assert!(outcome.err.starts_with("splay: make the folder `file`"), "{}", outcome.err);
    std::fs::create_dir(place.path().join("damaged")).expect("made");
    place.write("damaged/objects.0000000000000001", "nothing that splay wrote");
    let outcome = serve(&["--dir", "damaged"]).ended(6);
    assert!(outcome.err.contains("is damaged at byte 0"), "{}", outcome.err);
}

/// Appends numbers to an object of its own and counts in one of all, until the store is gone; a line
/// for what was acknowledged.
const WRITER: &str = r#"
require "splay.base"
local port, name = tonumber(arg[1]), arg[2]
local script = [[
  function append_line(input)
    local ok, size = pcall(cls.stat)
    cls.write(ok and size or 0, #input, input)
    cls.setxattr("last", input)
  end
  cls.register(append_line)
]]
local count = "function add() local ok, old = pcall(cls.read, 0, 9) local new = bufferlist.new() "
  .. "new:append(tostring((ok and tonumber(old:str()) or 0) + 1)) cls.write_full(new) end "
  .. "cls.register(add)"
events.run(function()
  local far = require("splay.objstore").connect({ ip = "127.0.0.1", port = port }, { timeout = 5 })
  local appended, counted, n = 0, 0, 0
  while true do
    n = n + 1
    if far:exec(name, script, "append_line", n .. "\n") ~= 0 then break end
    appended = n
    if far:exec("all", count, "add") ~= 0 then break end
    counted = n
  end
  print(appended, counted)
  os.exit(0)
end)
"#;

#[test]
fn a_killed_store_has_all_that_it_acknowledged() {
    for flush in ["never", "commit"] {
        let place = Place::new();
        place.write("writer.lua", WRITER);
        let port = free_ports(1).to_string();
        let words = ["--port", &port, "--dir", "objects", "--flush", flush];
        let server = Server::start(&place, &words);
        let writer = |name: &str| {
            Command::new(env!("CARGO_BIN_EXE_splay"))
                .args(["lua", "writer.lua", &port, name])
                .current_dir(place.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("splay starts")
        };
        let names = ["one", "two", "three", "four"];
        let writers = names.map(writer);
        std::thread::sleep(Duration::from_millis(2500));
        server.kill();
        let acknowledged = writers.map(|writer| {
            let output = writer.wait_with_output().expect("it ends");
            let text = String::from_utf8(output.stdout).expect("text");
            let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
            (numbers[0], numbers[1])
        });
        let _server = Server::start(&place, &words);
        let read = "function get(_, output) output:append(cls.read(0, 0):str()) end cls.register(get)";
        place.write("read.lua", read);
        let get = |name: &str| {
            let words = ["objstore", "exec", "--port", &port, name, "read.lua", "get"];
            Outcome::of(place.splay(&words)).ended(0).out
        };
        let mut least = 0;
        for (name, (appended, counted)) in names.into_iter().zip(acknowledged) {
            assert!(counted > 0, "{name} wrote nothing in time");
            let lines: Vec<u64> = get(name).lines().map(|line| line.parse().expect("whole lines")).collect();
            let there = lines.len() as u64;
            assert_eq!(lines, (1..=there).collect::<Vec<_>>(), "{name}");
            // The last one may have been done without anyone hearing of it.
            assert!(there >= appended && there <= appended + 1, "{name}: {there} {appended}");
            least += counted;
        }
        let all: u64 = get("all").parse().expect("a number");
        assert!(all >= least && all <= least + names.len() as u64, "{all} of {least}");
    }
}
