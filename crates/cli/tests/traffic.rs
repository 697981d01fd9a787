//! `splay traffic`: both sides as processes, scripts with hooks, and what is told of mistakes.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use support::{Outcome, Place, free_ports};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/traffic").join(name)
}

/// A control port and the first of two data ports.
fn ports() -> [String; 4] {
    let first = free_ports(3);
    ["-C".to_owned(), first.to_string(), "-P".to_owned(), (first + 1).to_string()]
}

/// A server and a client of a workload, with words for both, the server's and the client's.
fn both(place: &Place, workload: &str, server: &[&str], client: &[&str]) -> (Outcome, Outcome) {
    let ports = ports();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let line = |own: &[&str]| [&["traffic", workload], &ports[..], own].concat().join("\u{0}");
    let (serving, asking) = (line(server), line(&[&["-c", "-H", "127.0.0.1", "-l", "1"], client].concat()));
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let words: Vec<&str> = serving.split('\u{0}').collect();
            Outcome::of(place.splay(&words))
        });
        let words: Vec<&str> = asking.split('\u{0}').collect();
        let client = Outcome::of(place.splay(&words));
        (served.join().expect("the server's thread"), client)
    })
}

fn values(out: &str) -> HashMap<&str, &str> {
    out.lines().filter_map(|line| line.split_once('=')).collect()
}

fn number(values: &HashMap<&str, &str>, name: &str) -> f64 {
    let text = values.get(name).unwrap_or_else(|| panic!("no {name} in {values:?}"));
    text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
}

#[test]
fn every_workload_tells_its_figures_after_a_second() {
    let place = Place::new();
    for workload in ["tcp_rr", "tcp_crr", "udp_rr"] {
        let (server, client) = both(&place, workload, &[], &["-p", "50,99.9", "-T", "1", "-F", "2"]);
        let (server, client) = (server.ended(0), client.ended(0));
        let (server, client) = (values(&server.out), values(&client.out));
        assert!(number(&client, "throughput") > 10.0 && number(&server, "throughput") > 10.0, "{workload}");
        assert!(number(&client, "num_transactions") > 10.0);
        let order = ["latency_min", "latency_p50", "latency_p99.9", "latency_max"];
        let told = order.map(|name| number(&client, name));
        assert!(told.is_sorted() && told[3] > 0.0, "{workload}: {told:?}");
        assert!(!server.contains_key("latency_min") && client["total_run_time"] == "1");
        for name in ["time_start", "time_end", "utime_start", "maxrss_end", "nivcsw_end", "num_samples"] {
            number(&client, name);
        }
    }
    for workload in ["tcp_stream", "udp_stream"] {
        let (server, client) = both(&place, workload, &["-T", "2"], &["-T", "2", "-F", "2"]);
        let (server, client) = (server.ended(0), client.ended(0));
        let (server, client) = (values(&server.out), values(&client.out));
        let sum = number(&server, "throughput_Mbps[0]") + number(&server, "throughput_Mbps[1]");
        let total = number(&server, "throughput_Mbps");
        assert!(total > 1.0 && (total - sum).abs() < 0.02, "{workload}");
        // A sender of a stream does not know what arrived; one of datagrams tells what it sent.
        assert_eq!(client.contains_key("throughput_Mbps"), workload == "udp_stream");
    }
}

#[test]
fn samples_are_written_where_it_was_started() {
    let place = Place::new();
    let (server, client) =
        both(&place, "tcp_rr", &["-A=mine.csv", "-I", "0.25"], &["-A", "-I", "0.25", "-p", "99", "--json"]);
    server.ended(0);
    let client = client.ended(0);
    let object: serde_json::Value = serde_json::from_str(&client.out).expect("JSON");
    assert!(object["throughput"].as_f64().is_some_and(|rate| rate > 10.0), "{}", client.out);
    let header = place.read("samples.csv").lines().next().map(str::to_owned);
    let expected = "time,tid,flow_id,bytes_read,transactions,latency_min,latency_mean,latency_max,latency_stddev,\
                    latency_p99,utime,stime,maxrss,minflt,majflt,nvcsw,nivcsw";
    assert_eq!(header.as_deref(), Some(expected));
    assert!(place.read("mine.csv").lines().count() >= 4);
}

/// Runs an example on one side and returns what that side printed, on both streams.
fn example(workload: &str, name: &str, on_client: bool, server: &[&str], client: &[&str]) -> String {
    let place = Place::new();
    let path = script(name).display().to_string();
    let own = ["--script", path.as_str()];
    let (on, off): (&[&str], &[&str]) = (&own, &[]);
    let (for_server, for_client) = if on_client { (off, on) } else { (on, off) };
    let (served, asked) =
        both(&place, workload, &[server, for_server].concat(), &[client, for_client].concat());
    let (served, asked) = (served.ended(0), asked.ended(0));
    let outcome = if on_client { asked } else { served };
    format!("{}{}", outcome.out, outcome.err)
}

fn count(text: &str, before: &str) -> f64 {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in:\n{text}")).1;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after `{before}` in:\n{text}"))
}

#[test]
fn example_time_script_run() {
    let text = example("tcp_rr", "time_script_run.lua", true, &[], &[]);
    assert!((1.0..=20.0).contains(&count(&text, "Script ran for ")), "{text}");
}

#[test]
fn example_collect_values() {
    let text = example("tcp_rr", "collect_values.lua", true, &[], &["-T", "2", "-F", "5"]);
    assert!(count(&text, "thread 1: sockets") > 2.0 && count(&text, "thread 2: sockets") > 2.0, "{text}");
    assert!(text.contains(", 3 opened, 3 closed\n") && text.contains(", 2 opened, 2 closed\n"), "{text}");
    // Hooks of a server see its listening sockets.
    let text = example("tcp_rr", "collect_values.lua", false, &["-T", "2"], &["-F", "5"]);
    assert_eq!(text.matches(", 1 opened, 1 closed\n").count(), 2, "{text}");
}

#[test]
fn example_check_src_addr() {
    let text = example("udp_stream", "check_src_addr.lua", false, &["-4"], &["-4", "-B", "1000"]);
    assert!(count(&text, "thread 1: ") > 10.0, "{text}");
}

#[test]
fn example_drop_count() {
    let text = example("udp_stream", "drop_count.lua", false, &[], &["-B", "1000"]);
    assert!(count(&text, "received ") > 10.0, "{text}");
    count(&text, "dropped ");
}

#[test]
fn example_tcp_ack_interval() {
    let text = example("tcp_stream", "tcp_ack_interval.lua", true, &[], &[]);
    assert!(text.contains("us and more: "), "{text}");
    let sum: f64 = text.lines().filter_map(|line| line.split_once("more: ")?.1.parse::<f64>().ok()).sum();
    assert!(sum > 10.0, "{text}");
}

#[test]
fn example_bind_to_device() {
    let text = example("udp_stream", "bind_to_device.lua", false, &[], &[]);
    assert!(text.contains("thread 1: bound to lo\n"), "{text}");
    assert!(number(&values(&text), "throughput_Mbps") > 0.1, "{text}");
}

#[test]
fn example_reuseport_cbpf() {
    for threads in ["1", "2"] {
        let text = example("tcp_rr", "reuseport_cbpf.lua", false, &["-T", threads], &["-F", "6"]);
        assert!(text.contains("thread 1: program attached: true\n"), "{text}");
        assert_eq!(text.matches("program attached: ").count().to_string(), threads, "{text}");
        assert!(number(&values(&text), "throughput") > 10.0);
    }
}

#[test]
fn example_tcp_info() {
    let text = example("tcp_stream", "tcp_info.lua", true, &[], &["-F", "2"]);
    assert!(count(&text, "thread 1 flow 2: rtt ") > 0.0 && count(&text, "us, window ") > 0.0, "{text}");
}

#[test]
fn hooks_in_all_places() {
    let place = Place::new();
    place.write(
        "both.lua",
        r#"
        local ours = { calls = collect({}), level = 2 }
        local function note(name) ours.calls[name] = (ours.calls[name] or 0) + 1 end
        local shared = 0
        local function opened(fd, ai)
          note("socket")
          assert(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, ours.level))
          assert(getsockopt(fd, SOL_SOCKET, SO_PRIORITY) == 2)
          assert(getsockopt(fd, SOL_SOCKET, SO_TYPE) == (ai.ai_protocol == IPPROTO_TCP and SOCK_STREAM or SOCK_DGRAM))
          assert(ai.ai_family == ai.ai_addr.sa_family and ai.ai_next == nil)
          shared = shared + 1
          local _, err = getsockopt(fd + 100, SOL_SOCKET, SO_TYPE)
          assert(tostring(err) == "Operation not permitted" and err.errno == EPERM and err.EPERM)
        end
        local function sent(fd, msg, flags)
          note("sendmsg")
          assert(shared > 0 and msg.msg_iovlen == 1 and msg.msg_iov[0].iov_len > 0)
          return sendmsg(fd, msg, flags)
        end
        local function received(fd, msg, flags)
          note("recvmsg")
          return S.recvmsg(fd, msg, bit.bor(flags, S.c.MSG.DONTWAIT))
        end
        for _, side in ipairs { "client", "server" } do
          _G[side .. "_socket"](opened)
          _G[side .. "_close"](function() note("close") end)
          _G[side .. "_sendmsg"](sent)
          _G[side .. "_recvmsg"](received)
        end
        run()
        for _, name in ipairs { "socket", "close", "sendmsg", "recvmsg" } do
          print(name, ours.calls[1][name])
        end
        "#,
    );
    for workload in ["tcp_rr", "tcp_crr", "udp_rr"] {
        let (server, client) = both(&place, workload, &["--script", "both.lua"], &["--script", "both.lua"]);
        for outcome in [server.ended(0), client.ended(0)] {
            for name in ["socket\t", "close\t", "sendmsg\t", "recvmsg\t"] {
                assert!(count(&outcome.out, name) >= 1.0, "{workload}: {}", outcome.out);
            }
            assert!(count(&outcome.out, "sendmsg\t") > 10.0, "{workload}: {}", outcome.out);
        }
    }
}

#[test]
fn mistakes_are_told_in_a_line() {
    let place = Place::new();
    let words = |more: &[&str]| {
        let ports = ports();
        let all = [&["traffic", "tcp_rr", "-c", "-H", "127.0.0.1"], more].concat();
        let mut command = place.splay(&all);
        command.args(ports);
        Outcome::of(command)
    };
    for (arguments, status, text) in [
        (&["-l", "0"][..], 2, "splay: test_length must be at least 1.\n"),
        (&["-T", "2"], 2, "splay: There should not be less flows than threads.\n"),
        (&["--script", "none.lua"], 3, "splay: no such file: none.lua\n"),
        (&["-p", "half"], 2, "splay: invalid value 'half' for '--percentiles <LIST>'"),
        (&["--nonsense"], 2, "splay: unexpected argument '--nonsense' found"),
    ] {
        let outcome = words(arguments).ended(status);
        assert!(outcome.err.starts_with(text), "{}", outcome.err);
        assert_eq!(outcome.err.lines().count(), 1, "{}", outcome.err);
    }
    let server = Outcome::of(place.splay(&["traffic", "tcp_rr", "-L", "127.0.0.1"])).ended(2);
    assert_eq!(server.err, "splay: local_host may only be set for clients.\n");
    let dry = words(&["-n", "-l", "3"]).ended(0);
    assert!(dry.out.contains("test_length=3\n") && dry.out.contains("dry_run=1\n"), "{}", dry.out);
}

/// What a script of a server does wrong, and what is told of it.
#[test]
fn scripts_that_fail() {
    let place = Place::new();
    for (source, text) in [
        ("x =", "bad.lua:1: unexpected symbol near '<eof>'"),
        ("error('boom')", "bad.lua:1: boom"),
        ("server_socket(1)", "bad.lua:1: bad argument #1 to 'server_socket' (function expected, got number)"),
        (
            "local f = function() end server_socket(f)\nserver_socket(f)",
            "bad.lua:2: hook server_socket already set",
        ),
        ("\nserver_socket(function() error('no') end)", "server_socket: lua_pcall: bad.lua:2: no"),
        (
            "server_socket(function(fd) assert(setsockopt(fd, SOL_SOCKET, 9999, 1)) end)",
            "server_socket: lua_pcall: Protocol not available",
        ),
        ("server_socket(function() return -13 end)", "server_socket: Permission denied"),
        ("server_socket(function() undefined() end)", "attempt to call global 'undefined' (a nil value)"),
        (
            "local co = coroutine.create(print) server_socket(function() return co end)",
            "server hooks: upvalue co: a coroutine cannot be copied",
        ),
    ] {
        place.write("bad.lua", source);
        let mut command = place.splay(&["traffic", "tcp_rr", "--script", "bad.lua"]);
        command.args(ports());
        let outcome = Outcome::of(command).ended(1);
        assert!(outcome.err.contains(text), "{source}: {}", outcome.err);
        assert_eq!(outcome.err.lines().count(), 1, "{}", outcome.err);
    }
    place.write("none.lua", "client_sendmsg(function() end)");
    let ports = ports();
    let server = place.start(&["traffic", "tcp_rr", "-C", &ports[1], "-P", &ports[3]]);
    let mut client = place.splay(&["traffic", "tcp_rr", "-c", "-H", "127.0.0.1", "--script", "none.lua"]);
    client.args(&ports);
    let outcome = Outcome::of(client).ended(1);
    assert_eq!(outcome.err, "splay: client_sendmsg: No return value from hook\n");
    // Its only client is gone, and so is its test.
    server.wait().ended(0);
}
