//! `splay test`, by what it prints and ends with.

mod support;

use std::time::Instant;

use support::{Outcome, Place};

const HEAD: &str = "\
local test = require 'splay.test'
local describe, it, expect = test.describe, test.it, test.expect
local events = require 'splay.events'
";

fn file(tests: &str) -> String {
    format!("{HEAD}{tests}\ntest.run()\n")
}

fn test(place: &Place, words: &[&str]) -> Outcome {
    let mut all = vec!["test"];
    all.extend(words);
    Outcome::of(place.splay(&all))
}

#[test]
fn all_files_below_are_found() {
    let place = Place::new();
    for folder in ["deep/er", ".hidden", "runs/app"] {
        std::fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    let passes = file("it('adds', function() expect(1 + 1).equal(2) end)");
    place.write("b_test.lua", &passes);
    place.write("a_test.lua", &passes);
    place.write("deep/er/c_test.lua", &passes);
    for ignored in ["test.lua", ".hidden/d_test.lua", "runs/app/e_test.lua"] {
        place.write(ignored, "error('not a test')");
    }
    let out = test(&place, &[]).ended(0).out;
    let files: Vec<&str> = out.lines().map(|line| line.split(" (").next().unwrap()).collect();
    let each = ": 1 passed, 0 failed";
    let expected =
        ["a_test.lua", "b_test.lua", "deep/er/c_test.lua"].map(|name| format!("ok   {name}{each}"));
    assert_eq!(files[..3], expected);
    assert_eq!(files[3..], ["3 passed, 0 failed"]);
    assert_eq!(test(&place, &["deep"]).ended(0).out.lines().last(), Some("1 passed, 0 failed"));
}

#[test]
fn sleeping_costs_no_time() {
    let place = Place::new();
    place.write(
        "sleep_test.lua",
        &file("it('sleeps', function() expect(events.sleep(3000)).is_true() end, 4000)"),
    );
    let begin = Instant::now();
    let out = test(&place, &[]).ended(0).out;
    assert!(begin.elapsed().as_secs() < 30 && out.contains("(3000.0 s of virtual time)"), "{out}");
}

#[test]
fn real_time_with_real_sockets() {
    let place = Place::new();
    let port = support::free_ports(1);
    let body = format!(
        "it('calls', function()
           local rpc = require 'splay.rpc'
           function twice(x) return 2 * x end
           expect(rpc.server({port})).truthy()
           events.sleep(0.3)
           expect(rpc.call({{ip = '127.0.0.1', port = {port}}}, {{'twice', 21}})).equal(42)
         end)"
    );
    place.write("rpc_test.lua", &file(&body));
    let begin = Instant::now();
    let out = test(&place, &["rpc_test.lua", "--real"]).ended(0).out;
    assert!(begin.elapsed().as_millis() >= 300 && !out.contains("virtual"), "{out}");
    test(&place, &["rpc_test.lua"]).ended(0);
}

#[test]
fn a_failure_names_its_line_and_the_command_that_repeats_it() {
    let place = Place::new();
    let body = "\
describe('group', function()
  it('passes', function() expect(1).equal(1) end)
  it('fails', function()
    print('a hint')
    expect(math.random(10 ^ 9)).equal(-1)
  end)
end)
it('claims nothing', function() end)
it('waits', function() expect(1).equal(1) events.wait('never') end, 5)";
    place.write("x_test.lua", &file(body));
    let out = test(&place, &[]).ended(1).out;
    assert!(out.starts_with("FAIL x_test.lua: 1 passed, 3 failed"), "{out}");
    for told in [
        "  group: fails\n    x_test.lua:8: expected equal to -1, got ",
        "  claims nothing\n    x_test.lua:11: asserted nothing\n",
        "  waits\n    x_test.lua:12: still running after 5 s\n",
        "  output\n    a hint\n",
    ] {
        assert!(out.contains(told), "{told} in {out}");
    }
    assert!(out.ends_with("\n1 passed, 3 failed\n"), "{out}");
    let again = out.lines().find_map(|line| line.strip_prefix("  again: splay ")).expect("a command");
    assert!(again.starts_with("test x_test.lua --seed "), "{again}");
    let words: Vec<&str> = again.split(' ').collect();
    assert_eq!(Outcome::of(place.splay(&words)).ended(1).out, out);
    assert_ne!(test(&place, &["--seed", "1"]).ended(1).out, test(&place, &["--seed", "2"]).ended(1).out);
}

#[test]
fn a_filter_chooses_by_full_name() {
    let place = Place::new();
    let body = "\
describe('ring', function()
  it('joins', function() expect(1).equal(1) end)
  it('leaves', function() expect(1).equal(2) end)
end)
it('leaves', function() expect(1).equal(1) end)";
    place.write("x_test.lua", &file(body));
    let out = test(&place, &["--filter", "ring: j"]).ended(0).out;
    assert!(out.ends_with("\n1 passed, 0 failed\n"), "{out}");
    let out = test(&place, &["--filter", "ring: l", "--real"]).ended(1).out;
    assert!(out.contains("again: splay test x_test.lua --filter 'ring: l' --seed "), "{out}");
    assert!(out.contains(" --real\n"), "{out}");
    let outcome = test(&place, &["--filter", "nothing"]).ended(1);
    assert_eq!(outcome.err, "splay: no test has `nothing` in its name\n");
}

#[test]
fn files_that_do_not_get_to_their_results_fail() {
    let place = Place::new();
    for (source, told) in [
        ("local x = nil\nx()", "x_test.lua:2: attempt to call"),
        ("print('hello')", "x_test.lua: ran no test"),
        ("os.exit(0)", "x_test.lua: ended with os.exit(0) before all tests had run"),
        (
            "local e = require('splay.events') e.run(function() while e.sleep(60) do end end)",
            "still waiting after",
        ),
    ] {
        place.write("x_test.lua", source);
        let out = test(&place, &[]).ended(1).out;
        assert!(out.contains(told) && out.ends_with("0 passed, 1 failed\n"), "{told} in {out}");
    }
    place.write("x_test.lua", "x =");
    test(&place, &[]).ended(4);
    test(&place, &["none_test.lua"]).ended(3);
    place.write("x.lua", "print(job.position)");
    place.write("y.lua", "print(job.position)");
    let told =
        "splay: x.lua is no test: the name of a test file ends in _test.lua; did you mean x_test.lua?\n";
    assert_eq!(test(&place, &["x.lua"]).ended(2).err, told);
    assert!(test(&place, &["y.lua"]).ended(2).err.contains("; `splay run y.lua` runs an application"));
    assert!(Outcome::of(Place::new().splay(&["test"])).ended(1).err.contains("no file named *_test.lua"));
}

#[test]
fn verbose_shows_each_test() {
    let place = Place::new();
    place.write("x_test.lua", &file("it('prints', function() print('seen') expect(1).equal(1) end)"));
    let out = test(&place, &["-v"]).ended(0).out;
    assert!(out.starts_with("seen\nok 1 - prints\n1 passed, 0 failed\nok   x_test.lua"), "{out}");
}

#[test]
fn an_application_that_starts_in_its_test_is_told_how_not_to() {
    let place = Place::new();
    place.write("app.lua", "require 'splay.base'\nevents.run(function() events.sleep(1) end)\n");
    place.write("app_test.lua", "require 'app'\n");
    let out = test(&place, &[]).ended(1).out;
    assert!(
        out.contains("app.lua:2: events.run cannot wait inside a `require`;")
            && out.contains("`if job then events.run(main) end`"),
        "{out}"
    );
}

#[test]
fn failures_show_their_line() {
    let place = Place::new();
    place.write(
        "x_test.lua",
        &file(
            "it('a', function()\n  expect(1).equal(2)\nend)\nit('b', function()\n  local t\n  \
             expect(t.x).equal(2)\nend)",
        ),
    );
    let out = test(&place, &[]).ended(1).out;
    assert!(
        out.contains("\n     --> x_test.lua:5\n       |\n     5 |   expect(1).equal(2)\n       |\n"),
        "{out}"
    );
    assert!(out.contains("\n     9 |   expect(t.x).equal(2)\n"), "{out}");
    place.write("x_test.lua", "local none\nprint(none.x)\n");
    let out = test(&place, &[]).ended(1).out;
    assert!(out.contains("\n     2 | print(none.x)\n"), "{out}");
}
