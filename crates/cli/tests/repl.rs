//! `splay repl`, through a pipe and on a terminal.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::terminal::Terminal;
use support::{Outcome, Place};

fn piped(words: &[&str], input: &str) -> Outcome {
    let place = Place::with("require 'splay.base' function twice(x) return 2 * x end print('app', arg[1])");
    let mut all = vec!["repl"];
    all.extend(words);
    let mut command = place.splay(&all);
    command.write_stdin(input);
    Outcome::of(command)
}

#[test]
fn values_are_printed() {
    let outcome = piped(&[], "1 + 1\n= 'a', nil\nx = {1, a = {2}}\nx\n\n-- nothing\nprint('p')\n").ended(0);
    assert_eq!(outcome.out, "2\n\"a\"\tnil\n{1, a = {2}}\np\n");
    assert_eq!(outcome.err, "");
}

#[test]
fn chunks_go_over_lines() {
    let outcome = piped(&[], "for i = 1, 2 do\nprint(i)\nend\ns = [[a\nb]]\ns\n").ended(0);
    assert_eq!(outcome.out, "1\n2\n\"a\\nb\"\n");
    let outcome = piped(&[], "print(1)\nfor i = 1, 2 do\n").ended(1);
    assert_eq!(outcome.out, "1\n");
    assert!(outcome.err.starts_with("prompt:2: 'end' expected"), "{outcome:?}");
}

#[test]
fn errors_are_told_and_remembered() {
    let outcome = piped(&[], "function f() error('bad') end\nf()\nprint('on')\nnil + 1\n").ended(1);
    assert_eq!(outcome.out, "on\n");
    assert!(outcome.err.contains("prompt:1: bad\nstack traceback:\n"), "{outcome:?}");
    assert!(outcome.err.contains("attempt to perform arithmetic on a nil value"), "{outcome:?}");
    for internal in ["frame", "splay/", "events"] {
        assert!(!outcome.err.contains(internal), "{outcome:?}");
    }
}

#[test]
fn threads_and_remote_calls_go_on() {
    let outcome = piped(
        &[],
        "rpc = require 'splay.rpc'\n\
         t = events.periodic(0.02, function() n = (n or 0) + 1 end)\n\
         rpc.server(job.me)\n\
         function add(a, b) return a + b end\n\
         rpc.call(job.me, {'add', 20, 22})\n\
         while not n do events.sleep(0.02) end\n\
         n > 0, job.position, #job.nodes()\n",
    )
    .ended(0);
    assert!(outcome.out.ends_with("42\ntrue\t1\t1\n"), "{outcome:?}");
}

#[test]
fn an_application_comes_first() {
    let outcome = piped(&["app.lua", "--", "one"], "twice(21)\n").ended(0);
    let mut lines: Vec<&str> = outcome.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["42", "app\tone"]);
    assert_eq!(piped(&["none.lua"], "").ended(3).err, "splay: no such file: none.lua\n");
}

#[test]
fn a_plain_interpreter_has_one_too() {
    let place = Place::with("x = ... y = arg[1]");
    let outcome = place.lua(&["-i", "-e", "z = 3", "app.lua", "a"], "x, y, z, job, events\n").ended(0);
    assert_eq!(outcome.out, "\"a\"\t\"a\"\t3\tnil\tnil\n");
    assert_eq!(place.lua(&["-i"], "1 + 1\n").ended(0).out, "2\n");
    assert!(place.lua(&["-i", "-"], "").ended(2).err.contains("-i reads standard input"));
}

#[test]
fn the_program_may_end_itself() {
    assert_eq!(piped(&[], "os.exit(7)\nprint('never')\n").ended(7).out, "");
    piped(&[], "events.exit() events.sleep(60)\n").ended(0);
}

#[test]
fn lines_are_edited_and_completed() {
    let place = Place::new();
    let mut terminal = Terminal::start(place.path(), &["repl"]);
    terminal.shows("Ctrl-D leaves");
    terminal.shows("> ");
    terminal.type_keys("6 * 8\x7f7\r");
    terminal.shows("42\r\n");
    terminal.type_keys("stri\t.forma\t('%d!', 7)\r");
    terminal.shows("\"7!\"\r\n");
    terminal.type_keys("require 'splay.bas\t'\r");
    terminal.shows("true\r\n");
    terminal.type_keys("for i = 5, 6 do\r");
    terminal.type_keys("print('line', i)\r");
    terminal.type_keys("end\r");
    terminal.shows("\t6\r\n");
    // Ctrl-C drops the line, Ctrl-D leaves.
    terminal.type_keys("print('dropped')\x03");
    terminal.shows("dropped");
    terminal.shows("> ");
    terminal.type_keys("'ke' .. 'pt'\r");
    terminal.shows("\"kept\"\r\n");
    terminal.shows("> ");
    assert!(!terminal.screen().contains("\ndropped"), "{}", terminal.screen());
    terminal.type_keys("\x04");
    terminal.ends(0);

    let history = place.path().join("state/splay/history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let mut terminal = Terminal::start(place.path(), &["repl"]);
    terminal.shows("> ");
    // The line before the last of the other session.
    terminal.type_keys("\x1b[A\x1b[A");
    terminal.shows("print('line', i)");
    terminal.type_keys("\x03");
    terminal.shows("> ");
    terminal.type_keys("\x04");
    terminal.ends(0);
}

#[test]
fn what_runs_is_interrupted() {
    let place = Place::new();
    let mut terminal = Terminal::start(place.path(), &["repl"]);
    terminal.shows("> ");
    terminal.type_keys("print('loo' .. 'ping') while true do end\r");
    terminal.shows("looping");
    terminal.type_keys("\x03");
    terminal.shows("interrupted");
    terminal.shows("> ");
    terminal.type_keys("print('wai' .. 'ting') events.sleep(3600)\r");
    terminal.shows("waiting");
    terminal.type_keys("\x03");
    terminal.shows("interrupted");
    terminal.shows("> ");
    terminal.type_keys("events.thread(function() events.sleep(0.3) print('behind', 'your back') end)\r");
    terminal.shows("\"thread: 0x");
    terminal.shows("> ");
    terminal.type_keys("half a li");
    terminal.shows("behind");
    // The line being typed is still there, below what was printed.
    terminal.shows("half a li");
    terminal.type_keys("\x03");
    terminal.shows("> ");
    terminal.type_keys("os.exit(5)\r");
    terminal.ends(5);
}
