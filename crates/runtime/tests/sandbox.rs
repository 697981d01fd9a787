//! Programs that try to leave the sandbox: each is contained and its neighbour is well.

#[path = "sandbox/attempts.rs"]
mod attempts;
#[path = "sandbox/stage.rs"]
mod stage;

use attempts::{ATTEMPTS, EXHAUSTING};
use stage::Stage;

/// What every attempt can use: `check(condition, what)` prints a line that fails the test unless the
/// condition holds; `refused(name, ...)` requires modules in vain.
const HELP: &str = "local print = print \
    local function check(ok, what) if not ok then print('ESCAPED: ' .. (what or '?')) end end \
    local function refused(...) for _, name in ipairs {...} do \
      local m, why = require(name) check(m == nil and why == 'not permitted', name) end end ";

fn contained(attempts: &[(&str, &str)]) {
    let mut failed = Vec::new();
    for (name, program) in attempts {
        let begin = std::time::Instant::now();
        let stage = Stage::new();
        let lines = stage.run(&[&format!("{HELP}{program}"), NEIGHBOUR]);
        let text = lines.join("\n");
        let well = lines.iter().any(|line| line == "1 contained")
            && lines.iter().any(|line| line == "2 well")
            && lines.iter().any(|line| line == "2 END Finished")
            && !text.contains("ESCAPED")
            && stage.is_untouched();
        if !well {
            failed.push(format!("--- {name} ({:.1?})\n{text}", begin.elapsed()));
        }
    }
    assert!(failed.is_empty(), "{} not contained:\n{}", failed.len(), failed.join("\n"));
}

/// Runs beside every attempt and uses what the attempt may have spoilt.
const NEIGHBOUR: &str = r#"
    require "splay.base"
    local queue, bits = require "splay.queue", require "splay.bits"
    events.run(function()
      events.sleep(0.05)
      local f = assert(io.open("mine", "w"))
      assert(f:write("x")) f:close()
      local ok = io.open("mine"):read("*a") == "x" and ("a"):upper() == "A"
        and queue.new().size() == 0 and misc.size({1}) == 1 and tostring(nil) == "nil"
      print(ok and "well" or "ill")
    end)
"#;

#[test]
fn escapes_are_contained() {
    assert!(ATTEMPTS.len() >= 25);
    contained(ATTEMPTS);
}

#[test]
fn exhaustion_is_contained() {
    contained(EXHAUSTING);
}

#[test]
fn denied_functions_are_named() {
    for (call, name) in [
        ("os.execute('true')", "os.execute"),
        ("os.getenv('HOME')", "os.getenv"),
        ("os.setlocale('C')", "os.setlocale"),
        ("io.popen('true')", "io.popen"),
        ("load(print)", "load"),
        ("loadfile('app.lua')", "loadfile"),
        ("dofile('app.lua')", "dofile"),
        ("newproxy()", "newproxy"),
        ("debug.getinfo(1)", "debug.getinfo"),
        ("string.dump(print)", "string.dump"),
        ("package.loadlib('x', 'y')", "package.loadlib"),
    ] {
        let text = Stage::new().run(&[call]).join("\n");
        assert!(text.contains(&format!("{name} is not available in the sandbox")), "{call}: {text}");
        assert!(text.contains("app.lua:1"), "{text}");
        let text = Stage::new().run(&[&format!(
            "require 'splay.base' events.run(function() events.thread(function() {call} end) end)"
        )]);
        assert!(text.join("\n").contains(&format!("{name} is not available in the sandbox")), "{text:?}");
    }
}

#[test]
fn the_manuals_idiom_finds_them_absent() {
    let lines = Stage::new().run(&["if loadfile then print('local') else print('deployed') end
        print(load, dofile, os.execute, os.getenv, os.setlocale, io.popen, debug.getinfo)
        print(arg[1], arg[0], #arg)"]);
    let absent = format!("1 {}", ["nil"; 7].join("\t"));
    assert_eq!(lines[..3], ["1 deployed", &absent, "1 one\tnil\t1"]);
}

#[test]
fn a_precompiled_program_is_not_run() {
    let stage = Stage::new();
    let bytecode = stage.bytecode("print('ESCAPED')");
    let lines = stage.run_source(&bytecode);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("bytecode cannot be run in the sandbox"), "{lines:?}");
}

#[test]
fn traffic_takes_a_grant() {
    let stage = Stage::new();
    let refused = r#"
        local traffic = require "splay.traffic"
        print(traffic.run { host = "127.0.0.1" })
        print(traffic.serve { native = false })
        local S = traffic.syscalls()
        print(S.setsockopt(1, S.SOL_SOCKET, S.SO_PRIORITY, 1))
    "#;
    let line = "1 nil\tOperation not permitted";
    assert_eq!(stage.run(&[refused]), [line, line, line, "1 END Finished"]);
}

#[test]
fn traffic_keeps_within_limits() {
    let stage = Stage::new();
    let program = r#"
        require "splay.base"
        local traffic = require "splay.traffic"
        local function run(settings)
          print(traffic.run(misc.merge(settings, { host = "127.0.0.1", control_port = 34180, port = 34181,
            patience = 10 })))
        end
        events.run(function()
          print(traffic.serve { control_port = 34180, port = 80 })
          run { host = "127.0.0.2" }
          run { threads = 3, flows = 3 }
          run { flows = 20 }
          events.thread(function()
            local _, reason = traffic.serve { workload = "tcp_stream", control_port = 34180,
              port = 34181, patience = 10 }
            if reason then print("server", reason) end
          end)
          run { workload = "tcp_stream" }
          local socket = require "socket.core"
          local to = socket.udp()
          print(to:sendto(("x"):rep(20000), "127.0.0.1", 34190))
        end)
    "#;
    let restricted = "1 nil\trestricted";
    let mut lines = stage.run_with_traffic(program, 2);
    // What the test sent is missing afterwards.
    let last = lines.pop();
    assert_eq!(
        lines,
        [
            restricted,
            restricted,
            restricted,
            restricted,
            "1 nil\trestricted: max_send_bytes",
            "1 nil\trestricted",
        ]
    );
    assert_eq!(last.as_deref(), Some("1 END Finished"));
    let with_native_hook = r#"
        local traffic = require "splay.traffic"
        print(traffic.run { host = "127.0.0.1", control_port = 34182, port = 34183, patience = 0.2,
          hooks = { socket = print } })
    "#;
    // `print` is not there in hooks.
    let lines = stage.run_with_traffic(with_native_hook, 2);
    assert!(lines[0].contains("native function") || lines[0].contains("Connection refused"), "{lines:?}");
}

#[test]
fn own_modules_load_from_their_folder_alone() {
    let stage = Stage::new();
    stage.own("sibling.lua", b"module(..., package.seeall) function hello() return 'hello ' .. _NAME end");
    stage.own("nested/deep.lua", b"return {deep = ...}");
    stage.own("broken.lua", b"return +");
    stage.own("wrong.lua", b"error('wrong')");
    stage.own("compiled.lua", &stage.bytecode("return 'ESCAPED'"));
    let lines = stage.run(&[r#"
        print(require("sibling").hello(), sibling == require "sibling", package.loaded.sibling == sibling)
        print(require("nested.deep").deep)
        for _, name in ipairs { "broken", "wrong", "compiled" } do print(pcall(require, name)) end
        for _, name in ipairs { "../secret", "/etc/hostname", "nested/deep", "..secret", "absent" } do
          print(require(name))
        end
    "#]);
    assert_eq!(lines[0], "1 hello sibling\ttrue\ttrue");
    assert_eq!(lines[1], "1 nested.deep");
    assert_eq!(
        lines[2..5],
        [
            "1 false\terror loading module 'broken':",
            "1 \tbroken.lua:1: unexpected symbol near '+'",
            "1 false\twrong.lua:1: wrong",
        ]
    );
    assert!(lines.iter().any(|line| line.contains("bytecode cannot be loaded in the sandbox")), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "1 nil\tnot permitted").count(), 5, "{lines:?}");
    let refusal = "1 [splay.sandbox] W: Require of ../secret refused";
    assert!(lines.iter().any(|line| line == refusal), "{lines:?}");
}

#[test]
fn protocol_modules_work_within_limits() {
    let lines = Stage::new().run(&[r#"
        require "splay.base"
        for _, name in ipairs { "socket.url", "socket.tp", "socket.ftp", "socket.smtp", "mime",
          "mime.core", "ltn12", "ssl.https", "socket.headers" } do
          assert(type(require(name)) == "table", name)
        end
        local http, ssl = require "socket.http", require "ssl"
        print(require "socket.http_connection")
        print(ssl.newcontext { cafile = "/etc/ssl/certs/ca-certificates.crt" } == nil)
        print(ssl.newcontext { cafile = "../secret.lua" } == nil)
        print(type((assert(ssl.newcontext {}))))
        events.run(function()
          local server = assert(socket.bind("127.0.0.1", 34150))
          events.thread(function()
            local c = server:accept()
            repeat until c:receive() == ""
            c:send("HTTP/1.0 200 OK\r\n\r\nhello")
            c:close()
          end)
          print(http.request("http://127.0.0.1:" .. 34150 .. "/"))
          events.exit()
        end)
    "#]);
    let expected = ["1 [splay.sandbox] W: Require of socket.http_connection refused", "1 nil\tnot permitted"];
    assert_eq!(lines[..2], expected, "{lines:#?}");
    assert_eq!(lines[2..5], ["1 true", "1 true", "1 table"], "{lines:#?}");
    assert!(lines[5].starts_with("1 hello\t200\t"), "{lines:#?}");
}

#[test]
fn an_instance_finds_its_files_again() {
    let stage = Stage::new();
    stage.run(&["local f = io.open('a/b', 'w') f:write('kept') f:close()"]);
    let lines = stage.run(&["print(io.exists('a/b'), io.open('a/b'):read('*a'), io.stats())"]);
    assert_eq!(lines[0], "1 true\tkept\t1\t4\t1");
    assert_eq!(stage.files(1).len(), 1, "no index is kept");
}

#[test]
fn output_goes_where_the_host_wants_it() {
    let lines = Stage::new().run(&[r#"
        io.write("a", 1, "\n")
        io.stdout:write("b\n")
        io.stderr:write("c\n")
        print(io.type(io.stdout), io.output() == io.stdout, io.stdin, io.read())
        io.write("d\n")
        io.output("file")
        io.write("e")
        io.close()
        print(io.open("file"):read("*a"))
    "#]);
    let expected = ["1 a1", "1 b", "1 c", "1 file\ttrue\tnil\tnil\tno default file", "1 d", "1 e"];
    assert_eq!(lines[..6], expected);
}

#[test]
fn object_stores_share_the_quota_of_files() {
    let stage = Stage::new();
    let program = r#"
        local objstore = require "splay.objstore"
        local kept = assert(objstore.open { directory = "../../escape", flush = "never" })
        local memory = objstore.open()
        print(kept:write_full("a", ("x"):rep(30000)), memory:write_full("b", ("x"):rep(40000)))
        local file = io.open("f", "w")
        print(file:write(("x"):rep(40000)))
        print(file:write(("x"):rep(20000)))
        print(kept:write_full("c", ("x"):rep(20000)))
        print(memory:exec("c", "function h(input) cls.write_full(input) end cls.register(h)", "h",
          ("x"):rep(20000)))
        memory:close()
        print(kept:write_full("c", ("x"):rep(5000)))
        file:close()
        print(io.remove("f"))
        print(kept:write_full("c", ("x"):rep(20000)))
        kept:close()
        print(io.open("g", "w"):write(("x"):rep(60000)))
        kept = assert(objstore.open { directory = "../../escape" })
        print(#kept:read("a"), #kept:read("c"))
        local more = {}
        stores = {}
        for i = 1, 5 do
          local why
          stores[i], why = objstore.open { directory = "d" .. i }
          more[i] = why or "ok"
        end
        print(unpack(more))
        print(require "splay.objstore_core")
    "#;
    let lines = stage.run(&[program]);
    let expected = [
        "1 true\ttrue",
        "1 nil\tNo disk space",
        "1 true",
        "1 nil\tNo space left on device\t28",
        "1 -28\t\ttable: ADDRESS\tnil",
        "1 true",
        "1 true",
        "1 true",
        "1 nil\tNo disk space",
        "1 30000\t20000",
        "1 ok\tok\tok\tMaximum file descriptors reached\tMaximum file descriptors reached",
        "1 nil\tnot permitted",
    ];
    let lines: Vec<String> = lines
        .iter()
        .filter(|line| !line.contains("[splay.sandbox]"))
        .map(|line| match line.split_once("0x") {
            Some((before, rest)) => format!("{before}ADDRESS\t{}", rest.split_once('\t').map_or("", |r| r.1)),
            None => line.clone(),
        })
        .collect();
    assert_eq!(lines[..expected.len()], expected);
    assert!(stage.is_untouched());
}

/// Library tests about what the sandbox takes away or has set up already.
const NOT_IN_SANDBOX: &[&str] = &[
    "objstore_directory_test.lua",
    "restricted_io_test.lua",
    "restricted_socket_test.lua",
    "restricted_socket_limits_test.lua",
    "utils_test.lua",
];

/// Tests that require a native module, or count on a folder that is missing: any name is legal here.
const DIFFERENT: &[&str] = &[
    "crypto: has its parts as modules",
    "journal: says why it cannot be opened",
    "out: says what is missing",
];

#[test]
fn the_libraries_work_in_the_sandbox() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/tests");
    let (mut failed, mut different) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(&folder).expect("tests of the libraries") {
        let file = entry.expect("entry").path();
        let name = file.file_name().expect("has a name").to_string_lossy().into_owned();
        if !name.ends_with("_test.lua") || NOT_IN_SANDBOX.contains(&name.as_str()) {
            continue;
        }
        let lines = Stage::new().run_freely(&name, &std::fs::read(file).expect("readable"), &folder);
        let of =
            |line: &String| line.strip_prefix("1 not ok ")?.split_once(" - ").map(|(_, it)| it.to_owned());
        let not_ok: Vec<String> = lines.iter().filter_map(of).collect();
        let ended = lines.last().is_some_and(|line| line.starts_with("1 END Exit("));
        if !ended || not_ok.iter().any(|it| !DIFFERENT.contains(&it.as_str())) {
            failed.push(format!("--- {name}\n{}", lines.join("\n")));
        }
        different.extend(not_ok);
    }
    assert!(failed.is_empty(), "failed:\n{}", failed.join("\n"));
    different.sort();
    assert_eq!(different, DIFFERENT);
}

fn libraries(folder: &std::path::Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("lualib") {
        let path = entry.expect("entry").path();
        let name = path.file_stem().expect("has a name").to_string_lossy().into_owned();
        if !path.is_dir() {
            names.push(format!("{prefix}{name}"));
        } else if name != "tests" && name != "meta" {
            libraries(&path, &format!("{prefix}{name}."), names);
        }
    }
}

/// A library that is a function could load or open on behalf of whoever calls it: those are parts
/// of other libraries and belong on the list of what is refused.
#[test]
fn no_permitted_library_is_a_function() {
    let mut names = Vec::new();
    libraries(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib"), "", &mut names);
    assert!(names.len() > 40, "{names:?}");
    let program = format!(
        "for name in ('{}'):gmatch('%S+') do
           local ok, module, why = pcall(require, name)
           local kind = type(module)
           if not ok or kind ~= 'table' and kind ~= 'boolean' and why ~= 'not permitted' then
             print('WRONG', name, module)
           end
           if kind == 'table' and name:find('_core$') then print('WRONG', name) end
         end
         print(type(require 'splay.log'.new), require 'splay.lazy')",
        names.join(" ")
    );
    let lines = Stage::new().run(&[&program]);
    assert!(!lines.iter().any(|line| line.contains("WRONG")), "{lines:?}");
    assert!(lines.contains(&"1 function\tnil\tnot permitted".to_owned()), "{lines:?}");
}

#[test]
fn a_sandboxed_instance_is_about_as_small() {
    let program = "require 'splay.base' require 'splay.rpc' collectgarbage() collectgarbage()
        print(collectgarbage('count'))";
    let size = |lines: Vec<String>| lines[0][2..].parse::<f64>().expect("a number");
    let stage = Stage::new();
    let (plain, sandboxed) = (size(stage.run_plain(program)), size(stage.run(&[program])));
    println!("plain {plain:.1} KiB, sandboxed {sandboxed:.1} KiB");
    assert!(sandboxed < 1.2 * plain, "{sandboxed} against {plain} KiB");
    let with_files = size(stage.run(&[&format!("io.exists('x') {program}")]));
    println!("with files {with_files:.1} KiB");
}
