//! Rates, shares of the processor and emulated networks on a real splayd: what instances measure
//! of themselves and of each other, within wide bounds.

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use fake::{Controller, Splayd, digest, job};
use serde_bytes::ByteBuf;
use splay_protocol::session::*;

/// A configuration; tests that run at the same time use different ports.
fn config(range: u16, more: &str) -> String {
    let first = 32_100 + 40 * range;
    format!("ports = \"{first}-{}\"\n{more}", first + 39)
}

/// Instance 1 listens; the others send to it for two seconds, by the transport in `arg[1]`, and it
/// prints how many bytes came from when on.
const FLOOD: &str = r#"require "splay.base"
local socket = require "socket"
local udp = arg[1] == "udp"
events.run(function()
  if job.position == 1 then
    local total, first, last = 0, nil, nil
    local function came(count)
      last = misc.time()
      first = first or last
      total = total + count
    end
    if udp then
      local u = socket.udp()
      assert(u:setsockname("*", job.me.port))
      u:settimeout(2)
      while true do
        local data = u:receive()
        if not data then break end
        came(#data)
      end
    else
      local server = assert(socket.bind("*", job.me.port))
      local open = job.total - 1
      for n = 2, job.total do
        local client = server:accept()
        events.thread(function()
          while true do
            local data, err, part = client:receive(2000)
            came(#(data or part))
            if err then break end
          end
          open = open - 1
          if open == 0 then events.fire("all") end
        end)
      end
      events.wait("all")
    end
    print("rate " .. math.floor(total / (last - first)))
  else
    events.sleep(0.3)
    local to = job.nodes[1]
    local stop = misc.time() + 2
    if udp then
      local u = socket.udp()
      while misc.time() < stop do
        assert(u:sendto(("x"):rep(1000), to.ip, to.port))
        events.sleep(0.001)
      end
    else
      local c = assert(socket.connect(to.ip, to.port))
      while misc.time() < stop do assert(c:send(("x"):rep(8000))) end
      c:close()
    end
  end
end)
"#;

/// What instances printed after a word: by position.
fn figures(controller: &Controller, word: &str) -> BTreeMap<u32, f64> {
    let figure = |(position, _, text): (u32, _, String)| {
        let figure = text.strip_prefix(word)?.strip_prefix(' ')?;
        Some((position, figure.parse().expect("a number")))
    };
    controller.lines().into_iter().filter_map(figure).collect()
}

/// Limits that were told of: position, name, allowed.
fn limits(controller: &Controller) -> Vec<(u32, String, u64)> {
    let limit = |report: &Report| match &report.event {
        Event::Limit(limit) => {
            assert!(limit.reached > limit.allowed && limit.ended == 0, "{limit:?}");
            Some((limit.position, limit.limit.clone(), limit.allowed))
        }
        _ => None,
    };
    let mut all: Vec<_> = controller.reports.iter().filter_map(limit).collect();
    all.sort();
    all
}

/// Runs a job to its end on a splayd of its own; every instance must finish.
async fn run(config: &str, order: JobOrder, source: &str) -> Controller {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), config, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &order, source, Duration::ZERO).await;
    controller.done(&mut session, &order.job).await;
    let (ends, lines) = (controller.ends(), controller.lines());
    assert!(ends.values().all(|end| end.ending == Ending::Finished), "{ends:#?} {lines:#?}");
    controller
}

fn flood(seats: u32, transport: &str) -> JobOrder {
    JobOrder { arguments: vec![transport.into()], ..job("j1", seats, FLOOD) }
}

fn assert_near(found: f64, expected: f64) {
    assert!((expected * 0.6..expected * 1.4).contains(&found), "{found}, not about {expected}");
}

#[tokio::test]
async fn sending_keeps_to_the_lower_of_the_jobs_and_the_hosts_rate() {
    for (transport, asked) in [("tcp", 0), ("udp", 500_000)] {
        let mut order = flood(2, transport);
        order.limits.send_bytes_per_second = asked;
        let config = config(0, "[maxima]\nsend_bytes_per_second = 200_000\n");
        let controller = run(&config, order, FLOOD).await;
        assert_near(figures(&controller, "rate")[&1], 200_000.0);
        assert_eq!(limits(&controller), [(2, "send_bytes_per_second".to_owned(), 200_000)]);
    }
}

#[tokio::test]
async fn receiving_keeps_to_its_rate() {
    for transport in ["tcp", "udp"] {
        let mut order = flood(2, transport);
        order.limits.receive_bytes_per_second = 300_000;
        let controller = run(&config(2, ""), order, FLOOD).await;
        assert_near(figures(&controller, "rate")[&1], 300_000.0);
        assert_eq!(limits(&controller), [(1, "receive_bytes_per_second".to_owned(), 300_000)]);
    }
}

#[tokio::test]
async fn the_instances_of_a_job_share_its_rate() {
    let config = config(1, "[job]\nsend_bytes_per_second = 240_000\n");
    let controller = run(&config, flood(5, "tcp"), FLOOD).await;
    assert_near(figures(&controller, "rate")[&1], 240_000.0);
    let limits = limits(&controller);
    assert!(!limits.is_empty(), "who waits is told");
    assert!(
        limits
            .iter()
            .all(|(_, name, allowed)| (name.as_str(), *allowed) == ("job_send_bytes_per_second", 240_000)),
        "{limits:?}"
    );
}

/// Instance 1 computes in small steps all the time; the others, some of which are on its thread,
/// say how late they wake.
const BUSY: &str = r#"require "splay.base"
events.run(function()
  local stop = misc.time() + 3
  if job.position == 1 then
    while misc.time() < stop do
      for n = 1, 2e4 do math.sqrt(n) end
      events.yield()
    end
  else
    local late = 0
    while misc.time() < stop do
      local before = misc.time()
      events.sleep(0.01)
      late = math.max(late, misc.time() - before - 0.01)
    end
    print("late " .. late)
  end
end)
"#;

#[tokio::test]
async fn an_instance_keeps_to_its_share_of_the_processor() {
    // More than there are threads in a worker: one shares that of the first.
    let mut order = job("j1", 17, BUSY);
    order.limits.cpu_permille = 200;
    let controller = run(&config(3, ""), order, BUSY).await;
    let used = controller.ends()[&1].usage.cpu_us as f64 / 3e6;
    assert!((0.03..0.3).contains(&used), "{used} of a core");
    let limits = limits(&controller);
    assert!(limits.contains(&(1, "cpu_permille".to_owned(), 200)), "{limits:?}");
    let mut late: Vec<f64> = figures(&controller, "late").into_values().collect();
    late.sort_by(f64::total_cmp);
    assert!(late[late.len() / 2] < 0.5, "neighbours are unharmed: {late:?}");
}

/// Instance 1 answers; instance 2 measures round trips, bandwidth and loss.
const MEASURE: &str = r#"require "splay.base"
local socket = require "socket"
events.run(function()
  if job.position == 1 then
    events.thread(function()
      local u = socket.udp()
      assert(u:setsockname("*", job.me.port))
      local count = 0
      while count < 10000 do
        local data, ip, port = u:receivefrom()
        if data == "end" then break end
        count = count + 1
        if data == "ask" then u:sendto("answer", ip, port) end
      end
      print("datagrams " .. count)
    end)
    local server = assert(socket.bind("*", job.me.port))
    for n = 1, 5 do server:accept():close() end
    local c = server:accept()
    while true do
      local line = c:receive()
      if not line then break end
      if line == "bulk" then
        local before
        for n = 1, 100 do
          c:receive(1000)
          before = before or misc.time()
        end
        print("bandwidth " .. math.floor(99 * 1000 / (misc.time() - before)))
      else
        c:send(line .. "\n")
      end
    end
  else
    events.sleep(0.2)
    local to = job.nodes[1]
    local best, before = 100, nil
    for n = 1, 5 do
      before = misc.time()
      local c = assert(socket.connect(to.ip, to.port))
      best = math.min(best, misc.time() - before)
      c:close()
    end
    print("connect " .. best)
    local c = assert(socket.connect(to.ip, to.port))
    best = 100
    for n = 1, 10 do
      before = misc.time()
      c:send("ping\n")
      c:receive()
      best = math.min(best, misc.time() - before)
    end
    print("stream " .. best)
    c:send("bulk\n")
    c:send(("x"):rep(100000))
    local u = socket.udp()
    u:settimeout(2)
    best = 100
    for n = 1, 20 do
      before = misc.time()
      u:sendto("ask", to.ip, to.port)
      if u:receive() then best = math.min(best, misc.time() - before) end
    end
    print("datagram " .. best)
    for n = 1, 300 do
      u:sendto("x", to.ip, to.port)
      events.sleep(0.002)
    end
    events.sleep(0.2)
    for n = 1, 30 do u:sendto("end", to.ip, to.port) end
    events.sleep(0.2)
    c:close()
  end
end)
"#;

/// Two places with 15 ms to the router between them; the second one's link loses a fifth of the
/// packets towards the router and is narrow.
const TOPOLOGY: &str = r#"<topology>
<vertices><vertex int_idx="0" role="gateway"/><vertex int_idx="1" role="virtnode" int_vn="1"/>
<vertex int_idx="2" role="virtnode" int_vn="2"/></vertices>
<edges>
<edge int_idx="1" int_src="1" int_dst="0" specs="client-stub"/>
<edge int_idx="2" int_src="0" int_dst="1" specs="client-stub"/>
<edge int_idx="3" int_src="2" int_dst="0" specs="client-stub" dbl_kbps="800" dbl_plr="LOSS"/>
<edge int_idx="4" int_src="0" int_dst="2" specs="client-stub"/>
</edges>
<specs><client-stub dbl_plr="0" dbl_kbps="80000" int_delayms="15" int_qlen="1000"/></specs>
</topology>"#;

async fn measured(range: u16, topology: &str) -> Controller {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), &config(range, ""), Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 2, MEASURE);
    order.files.push(ShippedFile {
        path: ".topology".into(),
        sha256: digest(topology),
        bytes: topology.len() as u64,
        native: None,
    });
    order.topology = Some(TopologyOrder { path: ".topology".into(), shuffled: 0 });
    let first = FilePart { sha256: digest(topology), offset: 0, data: ByteBuf::from(topology.as_bytes()) };
    controller.more_files.push(first);
    controller.start(&mut session, &order, MEASURE, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let (ends, lines) = (controller.ends(), controller.lines());
    assert!(ends.values().all(|end| end.ending == Ending::Finished), "{ends:#?} {lines:#?}");
    controller
}

#[tokio::test]
async fn instances_are_as_far_apart_as_the_topology_says() {
    let controller = measured(4, &TOPOLOGY.replace("LOSS", "0")).await;
    let lines = controller.lines();
    for position in [1, 2] {
        let place = format!("[splayd] at place {position} of the topology");
        assert!(lines.iter().any(|(at, _, text)| *at == position && *text == place), "{lines:#?}");
    }
    for word in ["connect", "stream", "datagram"] {
        let round_trip = figures(&controller, word)[&2];
        // A machine that runs other tests besides may be late, never early.
        assert!((0.0599..0.075).contains(&round_trip), "{word}: {round_trip}");
    }
    let bandwidth = figures(&controller, "bandwidth")[&1];
    assert!((85_000.0..115_000.0).contains(&bandwidth), "{bandwidth} bytes a second, not 100,000");
    assert_eq!(figures(&controller, "datagrams")[&1], 320.0);
}

#[tokio::test]
async fn as_many_datagrams_are_lost_as_the_topology_says() {
    let controller = measured(5, &TOPOLOGY.replace("LOSS", "0.2")).await;
    // 20 and 300: the deviation is 7.
    let arrived = figures(&controller, "datagrams")[&1];
    assert!((226.0..=286.0).contains(&arrived), "{arrived}");
}

#[tokio::test]
async fn a_topology_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), &config(6, ""), Some(&controller.token()));
    let mut session = controller.welcome().await;
    let order = JobOrder {
        topology: Some(TopologyOrder { path: "net".into(), shuffled: 0 }),
        ..job("j1", 1, "print 'x'")
    };
    session.send(ToSplayd::Deploy(order.clone())).await;
    let refused = |event: &Event| match event {
        Event::DeployRefused(refused) => Some(refused.reason.clone()),
        _ => None,
    };
    let reason = controller.event(&mut session, refused).await;
    assert_eq!(reason, "topology `net` is not among the job's files");
}
