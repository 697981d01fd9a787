//! Everything by which two processes could differ, one test each: what a program can find out of
//! it is the same in every process. Each program tells what it has seen; the processes differ in
//! environment, working directory, time zone, locale, address layout and load.

mod repeat;

use std::io::Write;

/// Not a test: what a child process runs.
#[test]
fn child() {
    repeat::be_child();
}

/// Runs `body` in a thread of three instances, where `see(...)` notes what was found.
fn same(body: &str) -> String {
    let source = format!(
        r##"
require "splay.base"
local seen = {{}}
local function see(...)
  for n = 1, select("#", ...) do seen[#seen + 1] = tostring((select(n, ...))) end
end
events.run(function()
{body}
  local text = table.concat(seen, " ")
  for at = 1, #text, 900 do print(text:sub(at, at + 899)) end
end)
"##
    );
    let mut file = tempfile::Builder::new().suffix(".lua").tempfile().expect("a file");
    file.write_all(source.as_bytes()).expect("written");
    let told = repeat::repeat(file.path(), 3, 4);
    assert!(told.lines().count() > 1 && !told.contains("DIE"), "{told}");
    told
}

#[test]
fn order_of_string_keys() {
    same(
        r#"
  for size = 1, 200, 13 do
    local t = {}
    for n = 1, size do t["key" .. n * 7919] = n end
    t.x = nil
    for _, n in pairs(t) do see(n) end
  end"#,
    );
}

#[test]
fn order_of_keys_with_addresses() {
    same(
        r#"
  for round = 1, 20 do
    local keys = {}
    for n = 1, 30 do
      keys[{}] = n
      keys[function() return n end] = n
      keys[coroutine.create(print)] = n
      keys[newproxy()] = n
      keys[n / 7] = n
      keys[print] = n
      keys[io.stdout] = n
    end
    for _, n in pairs(keys) do see(n) end
    events.sleep(0.1)
  end"#,
    );
}

#[test]
fn what_references_are_called() {
    same(
        r#"
  see({}, print, function() end, coroutine.create(print), newproxy(), io.stdout, io.stderr)
  see(require("splay.socket").udp(), assert(socket.tcp()), events.thread(function() end))
  see(("%p"):format({}), tostring(string), coroutine.running())"#,
    );
}

#[test]
fn random_numbers() {
    let told = same(
        r#"
  for n = 1, 20 do see(math.random(), math.random(100), misc.random_pick({ 1, 2, 3, 4, 5 })) end
  math.randomseed(5)
  see(math.random())
  see(require("crypto").rand.pseudo_bytes(8):byte(1, 8))
  local rpc = require "splay.urpc"
  rpc.server(job.me)
  see(rpc.call(job.me, { "math.random", 1000 }))"#,
    );
    // The instances have each their own.
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("line ")).collect();
    assert!(lines[0] != lines[1], "{told}");
}

#[test]
fn when_garbage_is_collected() {
    same(
        r#"
  local collected = 0
  for round = 1, 60 do
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function() collected = collected + 1; see("gc", round) end
    proxy = nil
    local waste = {}
    for n = 1, 200 do waste[n] = { ("x"):rep(n) } end
    see(collected)
    events.sleep(0.01)
  end"#,
    );
}

#[test]
fn what_weak_tables_have_left() {
    same(
        r#"
  local keys, values = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "v" })
  for round = 1, 50 do
    for n = 1, 100 do keys[{}] = n; values[n] = { n } end
    local left, last = 0, nil
    for _, n in pairs(keys) do left, last = left + 1, n end
    for _ in pairs(values) do left = left + 1 end
    see(left, last)
    events.yield()
  end"#,
    );
}

#[test]
fn how_much_memory_is_used() {
    same(
        r#"
  for n = 1, 50 do
    see(collectgarbage("count"), gcinfo())
    local t = {}
    for i = 1, n * 20 do t[i] = tostring(i) .. "x" end
    if n % 10 == 0 then collectgarbage("step", 5) end
  end"#,
    );
}

#[test]
fn clocks_and_dates() {
    let told = same(
        r#"
  events.sleep(1.5)
  see(os.time(), os.clock(), os.date("%c %z %Z"), os.date("%H:%M"), misc.time(), misc.ctime())
  see(os.date("*t").hour, os.time({ year = 2001, month = 1, day = 1, hour = 0 }))"#,
    );
    assert!(told.contains("946684801 1.5 "), "{told}");
}

#[test]
fn names_of_temporary_files() {
    same(
        r#"
  local one, two = os.tmpname(), os.tmpname()
  assert(one ~= two)
  see(one, two)"#,
    );
}

#[test]
fn environment_and_locale() {
    let told = same(
        r#"
  see(os.getenv("HOME"), os.getenv("TZ"), os.getenv("PATH"), os.getenv("TMPDIR"))
  see(os.setlocale(), os.setlocale(""), os.setlocale("de_DE.UTF-8"), os.setlocale("C"))
  see(("%.2f %g"):format(1.5, 1e21), ("I"):lower(), ("i"):upper(), "a" < "B")"#,
    );
    assert!(told.contains("nil nil nil nil C C nil C"), "{told}");
}

#[test]
fn how_numbers_look() {
    let told = same(
        r#"
  see(1 / 3, 1e15, 1e16, 2 ^ 53, -0.0, 1 / 0, -1 / 0, 123456789.123, 1e-7, 5e-324)
  see(("%.17g %.3f %5.1e %a"):format(0.1, 2.5, 12345.678, 1.5), tonumber("0x1p4"), tonumber("1e1"))
  see(require("splay.benc").encode({ 0.1, 1e300, 1 / 3 }), require("json").encode({ 0.1, 1e20 }))"#,
    );
    assert!(told.contains("0.33333333333333 1e+15 1e+16"), "{told}");
}

#[test]
fn names_and_addresses() {
    same(
        r#"
  local dns = require("socket").dns
  see(dns.gethostname(), dns.toip("localhost"))
  see(dns.toip("no.such.host"))
  see(dns.toip("example.com"))
  see(dns.tohostname("127.0.0.1"), job.me.ip, job.me.port)
  local s = assert(socket.bind("*", 0))
  see(s:getsockname())"#,
    );
}

#[test]
fn order_of_what_happens_at_one_instant() {
    same(
        r#"
  local rpc = require "splay.rpc"
  local urpc = require "splay.urpc"
  function hear(n) see(n, job.position) return n end
  rpc.server(job.me)
  urpc.server(job.me.port + 1)
  events.sleep(1)
  for n = 1, 30 do
    events.thread(function()
      for _, node in ipairs(job.nodes()) do
        see(rpc.call(node, { "hear", n }))
        see(urpc.call({ ip = node.ip, port = node.port + 1 }, { "hear", -n }))
      end
    end)
    events.thread(function() events.sleep(n % 3) see("slept", n) end)
  end
  events.sleep(20)"#,
    );
}

#[test]
fn errors_and_tracebacks() {
    same(
        r#"
  see(pcall(error, {}))
  see(select(2, pcall(function() local x = nil; return x.y end)):gsub("^.-:", ""))
  see(debug.traceback("here"):gsub("/[^\n]*/", ""))
  see(select(2, io.open("/no/such/file")))"#,
    );
}
