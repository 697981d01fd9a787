//! `splay attach`, on runs in other processes.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::terminal::Terminal;
use support::{Outcome, Place, Running, eventually, free_ports};

const APP: &str = "require 'splay.base' alive = 0 \
    events.run(function() while true do alive = alive + 1 events.sleep(0.02) end end)";

/// A run that can be attached to.
fn start(place: &Place, instances: u16, words: &[&str]) -> Running {
    let (first, count) = (free_ports(instances).to_string(), instances.to_string());
    // A test that fails leaves nothing behind for long.
    let mut all = vec!["run", "app.lua", "-n", &count, "--first-port", &first, "--attach", "--for", "2m"];
    all.extend(words);
    let running = place.start(&all);
    let socket = place.folder_of_results().join("attach.sock");
    eventually("the run listens", || socket.exists());
    running
}

fn attach(place: &Place, words: &[&str]) -> Outcome {
    let mut all = vec!["attach"];
    all.extend(words);
    Outcome::of(place.splay(&all))
}

fn end(run: Running) -> Outcome {
    run.signal(Signal::INT);
    run.wait().ended(130)
}

#[test]
fn code_runs_inside_the_instance() {
    let place = Place::with(APP);
    let run = start(&place, 3, &["--workers", "2"]);
    let socket = place.folder_of_results().join("attach.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for instance in ["1", "2", "3"] {
        let outcome = attach(&place, &["app", instance, "-e", "job.position, alive > 0"]).ended(0);
        assert_eq!(outcome.out, format!("{instance}\ttrue\n"));
    }
    let outcome =
        attach(&place, &["2", "-e", "print('to the prompt')", "-e", "mine = 1", "-e", "events.sleep(0.01)"]);
    assert_eq!(outcome.ended(0).out, "to the prompt\ntrue\n");
    let background = "events.thread(function() print('to the log', mine) end)";
    attach(&place, &["runs/app/latest", "2", "-e", background]).ended(0);
    let outcome = attach(&place, &["app.lua", "2", "-e", "error('bad')", "-e", "print('never')"]).ended(1);
    assert!(
        outcome.out.is_empty() && outcome.err.starts_with("prompt:1: bad\nstack traceback:"),
        "{outcome:?}"
    );
    let outcome = attach(&place, &["7", "-e", "1"]).ended(3);
    assert_eq!(outcome.err, "splay: no instance 7: app has 1 to 3\n");
    let mut command = place.splay(&["attach", "3"]);
    command.write_stdin("for i = 1, 2 do\nprint(i)\nend\njob.position\n");
    assert_eq!(Outcome::of(command).ended(0).out, "1\n2\n3\n");
    assert!(end(run).err.contains("3 stopped"));
    let log = place.result("instances/2.log");
    assert!(log.contains("to the log\t1") && !log.contains("to the prompt") && !log.contains("bad"), "{log}");
    assert!(!socket.exists());
    assert!(attach(&place, &["app", "1", "-e", "1"]).ended(3).err.contains("it is over"));
    attach(&place, &["1", "-e", "1"]).ended(3);
    attach(&place, &["nothing", "1"]).ended(3);
}

#[test]
fn a_killed_prompt_leaves_the_run_well() {
    let place = Place::with(APP);
    let run = start(&place, 1, &[]);
    let mut client = place.start(&["attach", "1", "-e", "while true do events.sleep(0.01) last = alive end"]);
    eventually("it began", || attach(&place, &["1", "-e", "last ~= nil"]).out == "true\n");
    client.child.kill().unwrap();
    client.child.wait().unwrap();
    let stands = "before = last events.sleep(0.2) return last == before, alive > before";
    eventually("its thread is dead", || attach(&place, &["1", "-e", stands]).out == "true\ttrue\n");
    assert!(end(run).err.contains("1 stopped"));
}

#[test]
fn endless_code_is_cut() {
    let place = Place::with(APP);
    let run = start(&place, 1, &["--slice", "300ms"]);
    let outcome = attach(&place, &["1", "-e", "while true do end"]).ended(1);
    assert!(outcome.err.contains("ran longer than 300ms"), "{outcome:?}");
    assert_eq!(attach(&place, &["1", "-e", "1"]).out, "1\n");
    end(run);
    assert_eq!(place.summary()["per_instance"][0]["threads_died"], 0, "{}", place.result("summary.json"));
}

#[test]
fn the_end_of_the_run_is_told() {
    let place = Place::with(APP);
    let run = start(&place, 2, &[]);
    let mut terminal = Terminal::start(place.path(), &["attach", "app", "2"]);
    terminal.shows("instance 2 of 2 of app");
    terminal.type_keys("job.posi\t\r");
    terminal.shows("2\r\n");
    let waiting = place.start(&["attach", "1", "-e", "waits = true events.sleep(3600)"]);
    eventually("it waits", || attach(&place, &["1", "-e", "waits"]).out == "true\n");
    end(run);
    terminal.shows("instance 2 has ended: stopped");
    terminal.ends(0);
    let outcome = waiting.wait().ended(1);
    assert!(outcome.err.contains("instance 1 has ended: stopped"), "{outcome:?}");
}

#[test]
fn ctrl_c_kills_the_thread_alone() {
    let place = Place::with(APP);
    let run = start(&place, 1, &[]);
    let mut terminal = Terminal::start(place.path(), &["attach", "1"]);
    terminal.shows("> ");
    terminal.type_keys("print('wai' .. 'ting') events.sleep(3600)\r");
    terminal.shows("waiting");
    terminal.type_keys("\x03");
    terminal.shows("interrupted");
    terminal.shows("> ");
    terminal.type_keys("alive > 0\r");
    terminal.shows("true\r\n");
    terminal.shows("> ");
    terminal.type_keys("\x04");
    terminal.ends(0);
    end(run);
}

#[test]
fn ctrl_c_cuts_a_loop_that_never_waits() {
    let place = Place::with(APP);
    // Nothing else cuts it in the time of a test.
    let run = start(&place, 2, &["--workers", "1", "--slice", "10m"]);
    let mut terminal = Terminal::start(place.path(), &["attach", "1"]);
    terminal.shows("> ");
    terminal.type_keys("print('loo' .. 'ping') while true do end\r");
    terminal.shows("looping");
    terminal.type_keys("\x03");
    terminal.shows("prompt:1: interrupted");
    terminal.shows("> ");
    terminal.type_keys("alive > 0\r");
    terminal.shows("true\r\n");
    terminal.shows("> ");
    terminal.type_keys("exit\r");
    terminal.shows("Ctrl-D leaves");
    terminal.shows("> ");
    // So does the end of the prompt, whatever ends it.
    let client =
        place.start(&["attach", "1", "-e", "spinning = true events.sleep(0.1) print(1) while true do end"]);
    eventually("it began", || attach(&place, &["1", "-e", "spinning"]).out == "true\n");
    std::thread::sleep(Duration::from_millis(300));
    client.signal(Signal::KILL);
    eventually("its instance goes on", || attach(&place, &["1", "-e", "alive > 0"]).out == "true\n");
    terminal.type_keys("\x04");
    terminal.ends(0);
    assert!(end(run).err.contains("2 stopped"));
}

#[test]
fn a_prompt_that_does_not_read_holds_nothing() {
    let place = Place::with(APP);
    let run = start(&place, 1, &[]);
    let mut stream = UnixStream::connect(place.folder_of_results().join("attach.sock")).unwrap();
    let flood = "for i = 1, 2000 do print(('x'):rep(50000)) events.yield() end flooded = true";
    writeln!(stream, "{{\"ask\":\"hello\",\"version\":1,\"instance\":1}}").unwrap();
    writeln!(stream, "{{\"ask\":\"evaluate\",\"id\":1,\"code\":\"{flood}\"}}").unwrap();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut welcome = String::new();
    from.read_line(&mut welcome).unwrap();
    assert!(welcome.starts_with("{\"tell\":\"welcome\""), "{welcome}");
    // Hung up long before all of it is sent, and its thread killed.
    eventually("it is hung up", || stream.write_all(b"{\"ask\":\"cancel\",\"id\":9}\n").is_err());
    assert_eq!(attach(&place, &["1", "-e", "flooded, alive > 0"]).out, "nil\ttrue\n");
    // Nor does one that says nothing, or nonsense.
    let _silent = UnixStream::connect(place.folder_of_results().join("attach.sock")).unwrap();
    let mut nonsense = UnixStream::connect(place.folder_of_results().join("attach.sock")).unwrap();
    nonsense.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let asked = Instant::now();
    end(run);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn the_sandbox_holds_for_prompts() {
    let place =
        Place::with("local events = require 'splay.events' events.run(function() events.sleep(3600) end)");
    let run = start(&place, 1, &["--sandbox"]);
    let outcome =
        attach(&place, &["1", "-e", "os.execute, io.popen, loadfile, require('splay.utils')"]).ended(0);
    assert!(outcome.out.ends_with("\nnil\tnil\tnil\tnil\t\"not permitted\"\n"), "{outcome:?}");
    attach(&place, &["1", "-e", "\u{1b}LJ"]).ended(1);
    end(run);
}

#[test]
fn runs_are_closed_unless_asked() {
    let place = Place::with(&format!("print('up') {APP}"));
    let port = free_ports(1).to_string();
    let run = place.start(&["run", "app.lua", "--first-port", &port]);
    eventually("it runs", || place.folder_of_results().join("instances/1.log").exists());
    assert!(attach(&place, &["app", "1", "-e", "1"]).ended(3).err.contains("without --attach"));
    assert!(attach(&place, &["1", "-e", "1"]).ended(3).err.contains("splay run --attach"));
    end(run);
    let help = Command::new(assert_cmd::cargo::cargo_bin("splay"))
        .args(["attach"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(help.status.code(), Some(2));
}
