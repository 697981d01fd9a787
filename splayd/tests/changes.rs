//! What may change of a job that a splayd hosts: its nodes, its seats, who is there, whom it may not
//! contact.

mod fake;

use std::time::Duration;

use fake::{Controller, Session, Splayd, job};
use splay_protocol::session::*;
use splay_protocol::{ListType, Node};

const CONFIG: &str = "name = \"n1\"\nports = \"31200-31399\"\nmax_instances = 20\n";

/// Says which ports it knows at its start, and then whenever those that are there are others.
const TELLER: &str = r#"require "splay.base"
local function ports(nodes)
  local all = {}
  for n, node in ipairs(nodes) do all[n] = node.port end
  return table.concat(all, " ")
end
print("begins with " .. ports(job.nodes))
events.run(function()
  local said = ports(job.get_live_nodes())
  while true do
    local now = ports(job.get_live_nodes())
    if now ~= said then said = now print("there are " .. now) end
    events.sleep(0.02)
  end
end)
"#;

fn nodes(ports: &[u16], positions: &[(u32, u32)]) -> JobNodes {
    JobNodes {
        job: "j1".into(),
        nodes: ports.iter().map(|&port| Node { ip: "127.0.0.1".into(), port }).collect(),
        positions: positions.to_vec(),
        list_type: ListType::Head,
        packed: Default::default(),
        list_size: 0,
    }
}

async fn load(controller: &mut Controller, session: &mut Session) {
    session.send(ToSplayd::Load(JobRef { job: "j1".into() })).await;
    let ready = |event: &Event| matches!(event, Event::Ready(_)).then_some(());
    controller.event(session, ready).await;
}

async fn says(controller: &mut Controller, session: &mut Session, position: u32, text: &str) {
    while !controller.lines().iter().any(|line| line.0 == position && line.2 == text) {
        controller.hear(session).await;
    }
}

fn begun(event: &Event) -> Option<u32> {
    if let Event::Started(started) = event { Some(started.position) } else { None }
}

#[tokio::test]
async fn before_the_start_all_is_loaded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 2, TELLER);
    let seats = controller.deploy(&mut session, &order, TELLER).await;
    let (one, two) = (seats[0].port, seats[1].port);
    // The second instance is elsewhere; the second seat is in reserve.
    session.send(ToSplayd::Nodes(nodes(&[one, 7000], &[(1, 1)]))).await;
    load(&mut controller, &mut session).await;
    let first = splayd.workers();
    // What is the same changes nothing.
    session.send(ToSplayd::Nodes(nodes(&[one, 7000], &[(1, 1)]))).await;
    // The other splayd is lost: the reserve takes its instance, and a third seat is asked for.
    order.seats = (1..=3).map(|seat| Seat { seat }).collect();
    session.send(ToSplayd::Deploy(order)).await;
    let deployed = |event: &Event| match event {
        Event::Deployed(deployed) => Some(deployed.seats.clone()),
        _ => None,
    };
    let seats = controller.event(&mut session, deployed).await;
    assert_eq!((seats.len(), seats[0].port, seats[1].port), (3, one, two));
    session.send(ToSplayd::Nodes(nodes(&[one, two], &[(1, 1), (2, 2)]))).await;
    load(&mut controller, &mut session).await;
    assert_ne!(splayd.workers(), first);
    let start = StartOrder { job: "j1".into(), at_us: fake::now_us(), positions: vec![] };
    session.send(ToSplayd::Start(start)).await;
    let all = format!("begins with {one} {two}");
    says(&mut controller, &mut session, 1, &all).await;
    says(&mut controller, &mut session, 2, &all).await;
    assert_eq!(splayd.workers().len(), 1, "the one that was loaded first is gone");
    session.send(ToSplayd::Stop(StopOrder { job: "j1".into(), grace_ms: 0, reason: "enough".into() })).await;
    controller.done(&mut session, "j1").await;
    assert_eq!(controller.ends().len(), 2, "of the first worker nothing is told");
}

#[tokio::test]
async fn who_is_there_is_told_while_instances_run_and_one_moves_here() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 2, TELLER);
    order.churn = 1;
    let seats = controller.deploy(&mut session, &order, TELLER).await;
    let (one, spare) = (seats[0].port, seats[1].port);
    session.send(ToSplayd::Nodes(nodes(&[one, 7000, 7001], &[(1, 1)]))).await;
    load(&mut controller, &mut session).await;
    let start = StartOrder { job: "j1".into(), at_us: fake::now_us(), positions: vec![1, 2, 3] };
    session.send(ToSplayd::Start(start)).await;
    controller.event(&mut session, begun).await;
    let live = |number, up: &[u32]| ToSplayd::Live(LiveNodes::new("j1".into(), number, up.iter().copied()));
    session.send(live(1, &[1, 3])).await;
    says(&mut controller, &mut session, 1, &format!("there are {one} 7001")).await;
    // The second instance moves to the seat in reserve of the worker that runs.
    let workers = splayd.workers();
    session.send(ToSplayd::Nodes(nodes(&[one, spare, 7001], &[(1, 1), (2, 2)]))).await;
    let step = AgendaStep {
        number: 1,
        at_us: fake::now_us(),
        position: 2,
        action: Action::Start,
        live: vec![1, 2, 3],
    };
    session.send(ToSplayd::Agenda(Agenda { job: "j1".into(), steps: vec![step] })).await;
    says(&mut controller, &mut session, 2, &format!("begins with {one} {spare} 7001")).await;
    session.send(live(2, &[1, 2])).await;
    for position in [1, 2] {
        says(&mut controller, &mut session, position, &format!("there are {one} {spare}")).await;
    }
    assert_eq!(splayd.workers(), workers);
}

#[tokio::test]
async fn a_leave_is_told_with_the_time_of_its_beginning_and_a_restart_does_not_hide_it() {
    const SLOW: &str = r#"require "splay.base"
    function job.on_stop() events.sleep(0.7) end
    events.run(function() events.sleep(1000) end)
    "#;
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 2, SLOW);
    order.churn = 1;
    let seats = controller.deploy(&mut session, &order, SLOW).await;
    let ports: Vec<u16> = seats.iter().map(|seat| seat.port).collect();
    session.send(ToSplayd::Nodes(nodes(&ports, &[(1, 1), (2, 2)]))).await;
    load(&mut controller, &mut session).await;
    let start = StartOrder { job: "j1".into(), at_us: fake::now_us(), positions: vec![1, 2] };
    session.send(ToSplayd::Start(start)).await;
    controller.event(&mut session, begun).await;
    controller.event(&mut session, begun).await;
    let at_us = fake::now_us() + 100_000;
    let step = |number, at_us, position, action| AgendaStep { number, at_us, position, action, live: vec![] };
    let steps = vec![
        step(1, at_us, 1, Action::Leave),
        step(2, at_us, 2, Action::Leave),
        // The second starts again while it is still leaving.
        step(3, at_us + 300_000, 2, Action::Start),
    ];
    session.send(ToSplayd::Agenda(Agenda { job: "j1".into(), steps })).await;
    let mut ends = Vec::new();
    while ends.len() < 2 {
        if let ToController::Report(Report { at_us, event: Event::Ended(end), .. }) =
            controller.hear(&mut session).await
        {
            ends.push((at_us, end));
        }
    }
    ends.sort_by_key(|(_, end)| end.position);
    for (ended_us, end) in &ends {
        assert_eq!((end.ending, end.step), (Ending::Churn, u64::from(end.position)), "{end:?}");
        let late = end.acted_us as i64 - end.planned_us as i64;
        assert!((0..200_000).contains(&late), "its hook was called {late} us late");
        let took = Duration::from_micros(ended_us - end.acted_us);
        assert!(took >= Duration::from_millis(200), "its hook had {took:?}");
    }
    let starts: Vec<u32> = controller.reports.iter().filter_map(|report| begun(&report.event)).collect();
    assert_eq!((starts.len(), starts.last()), (3, Some(&2)), "it has started again");
}
