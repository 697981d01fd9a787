//! A splayd from its first day to its last, commanded by a small controller over real sockets.

mod fake;

use std::time::Duration;

use fake::{Controller, Splayd, job};
use splay_protocol::log_lines::LineKind;
use splay_protocol::session::*;

const CONFIG: &str = "name = \"n1\"\nports = \"31000-31199\"\nmax_instances = 20\n[labels]\nrack = \"3\"\n";

const HELLO: &str = r#"require "splay.base"
print("hello from " .. job.position .. " of " .. job.total, job.name, job.env.colour, arg and arg[1] or ...)
log:error("serious")
io.stderr:write("oops\n")
events.run(function() events.sleep(0.2) end)
"#;

#[tokio::test]
async fn a_job_runs_from_deployment_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    assert_eq!(session.token, Some(("t1".into(), "open-sesame".into())));
    let info = &session.hello().info;
    assert_eq!((info.name.as_str(), info.max_instances, info.ports), ("n1", 20, (31000, 31199)));
    assert_eq!((info.labels["rack"].as_str(), info.os.as_str()), ("3", "linux"));

    let mut order = job("j1", 3, HELLO);
    order.environment.insert("colour".into(), "blue".into());
    order.arguments = vec!["one".into()];
    let at_us = controller.start(&mut session, &order, HELLO, Duration::from_millis(300)).await;
    assert_eq!(splayd.workers().len(), 1);
    controller.done(&mut session, "j1").await;

    let ends = controller.ends();
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(ends.values().all(|end| end.ending == Ending::Finished && end.usage.memory_bytes > 0));
    let started: Vec<&Report> =
        controller.reports.iter().filter(|report| matches!(report.event, Event::Started(_))).collect();
    assert_eq!(started.len(), 3);
    for report in started {
        let Event::Started(event) = &report.event else { unreachable!() };
        assert!(event.planned_us.abs_diff(at_us) < 5_000, "planned {} for {at_us}", event.planned_us);
        assert!(report.at_us >= event.planned_us, "started {} before {}", report.at_us, event.planned_us);
    }
    let lines = controller.lines();
    for position in 1..=3 {
        let of: Vec<_> =
            lines.iter().filter(|line| line.0 == position).map(|l| (l.1, l.2.as_str())).collect();
        let hello = format!("hello from {position} of 3\ttest\tblue\tone");
        assert!(of.contains(&(LineKind::Out, hello.as_str())), "{of:?}");
        assert!(of.contains(&(LineKind::Err, "oops")), "{of:?}");
        assert!(of.contains(&(LineKind::Error, "E: serious")), "{of:?}");
    }
    // The order of things: deployed, ready, started, ended, done, and nothing after it.
    let kind = |report: &Report| match report.event {
        Event::Deployed(_) => 'd',
        Event::Ready(_) => 'r',
        Event::Started(_) => 's',
        Event::Ended(_) => 'e',
        Event::Done(_) => 'D',
        Event::Logs(_) => 'l',
        _ => '?',
    };
    let kinds: String = controller.reports.iter().map(kind).filter(|&kind| kind != 'l').collect();
    assert_eq!(kinds, "drssseeeD");
    assert!(splayd.workers().is_empty());
    session.send(ToSplayd::Forget(JobRef { job: "j1".into() })).await;
    eventually("the job's folder is gone", || !folder.path().join("data/jobs/j1").exists()).await;
}

const TICKER: &str = r#"require "splay.base"
events.run(function()
  for n = 1, 1000 do print("tick " .. n) events.sleep(0.05) end
end)
"#;

fn started(event: &Event) -> Option<u32> {
    if let Event::Started(started) = event { Some(started.position) } else { None }
}

fn ended(event: &Event) -> Option<InstanceEnded> {
    if let Event::Ended(ended) = event { Some(ended.clone()) } else { None }
}

fn ticks(controller: &Controller, position: u32) -> Vec<u32> {
    let of = controller.lines().into_iter().filter(|line| line.0 == position);
    of.filter_map(|line| line.2.strip_prefix("tick ")?.parse().ok()).collect()
}

#[tokio::test]
async fn a_cut_session_is_resumed_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 1, TICKER), TICKER, Duration::ZERO).await;
    controller.event(&mut session, started).await;
    let incarnation = session.hello().incarnation.clone();
    let workers = splayd.workers();
    // From here on the controller stores, but its word does not get through.
    controller.acknowledges = false;
    while ticks(&controller, 1).len() < 5 {
        controller.hear(&mut session).await;
    }
    drop(session);
    tokio::time::sleep(Duration::from_millis(500)).await;
    controller.acknowledges = true;
    let mut session = controller.welcome().await;
    assert_eq!(session.token, None, "it is known by its key now");
    assert_eq!(session.hello().incarnation, incarnation);
    let hosted = HostedJob { job: "j1".into(), phase: Phase::Running, last_step: 0 };
    assert_eq!(session.hello().jobs, [hosted]);
    while ticks(&controller, 1).len() < 40 {
        controller.hear(&mut session).await;
    }
    let all = ticks(&controller, 1);
    assert_eq!(all, (1..=all.len() as u32).collect::<Vec<_>>(), "each line once, in order");
    assert_eq!(splayd.workers(), workers, "the instance went on");
}

#[tokio::test]
async fn a_killed_splayd_takes_its_workers_along_and_tells_what_died() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let mut splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 2, TICKER), TICKER, Duration::ZERO).await;
    controller.event(&mut session, started).await;
    controller.event(&mut session, started).await;
    let (incarnation, workers) = (session.hello().incarnation.clone(), splayd.workers());
    assert_eq!(workers.len(), 1);
    splayd.signal(libc::SIGKILL);
    splayd.wait().await;
    eventually("the worker is dead", || workers.iter().all(|&pid| !fake::is_alive(pid))).await;
    drop(session);

    let _splayd = Splayd::start(folder.path(), CONFIG, None);
    let mut session = controller.welcome().await;
    assert!(session.hello().incarnation != incarnation && session.hello().jobs.is_empty());
    controller.done(&mut session, "j1").await;
    let lost =
        |report: &Report| matches!(&report.event, Event::WorkerLost(lost) if lost.how == "splayd was killed");
    assert!(controller.reports.iter().any(lost));
    let ends = controller.ends();
    assert_eq!(ends.len(), 2);
    assert!(ends.values().all(|end| end.ending == Ending::Lost));
    assert!(!folder.path().join("data/jobs/j1").exists());
    // And it is as good as new.
    controller.reports.retain(|report| !matches!(report.event, Event::Ended(_)));
    controller.start(&mut session, &job("j2", 1, HELLO), HELLO, Duration::ZERO).await;
    controller.done(&mut session, "j2").await;
    assert_eq!(controller.ends()[&1].ending, Ending::Finished);
}

#[tokio::test]
async fn a_killed_worker_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 1, TICKER), TICKER, Duration::ZERO).await;
    controller.event(&mut session, started).await;
    let worker = splayd.workers()[0];
    // SAFETY: signals the worker of this test's own splayd, which waits for it.
    assert_eq!(unsafe { libc::kill(worker as i32, libc::SIGKILL) }, 0);
    controller.done(&mut session, "j1").await;
    let how = |report: &Report| match &report.event {
        Event::WorkerLost(lost) => Some(lost.how.clone()),
        _ => None,
    };
    assert_eq!(controller.reports.iter().find_map(how).as_deref(), Some("killed by signal 9"));
    assert_eq!(controller.ends()[&1].ending, Ending::Lost);
}

#[tokio::test]
async fn times_are_those_of_the_controller() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    controller.ahead_us = 3_600_000_000;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let at_us = controller.start(&mut session, &job("j1", 2, HELLO), HELLO, Duration::from_millis(200)).await;
    controller.done(&mut session, "j1").await;
    assert!(fake::now_us() < at_us, "the clocks are an hour apart");
    for report in controller.reports.iter().filter(|report| started(&report.event).is_some()) {
        let late = report.at_us as i64 - at_us as i64;
        assert!((-5_000..500_000).contains(&late), "started {late} us after its time");
    }
    assert_eq!(controller.lines().len(), 6, "every line lies within its batch's times");
    let clock = loop {
        if let ToController::Status(Status { clock: Some(clock), .. }) = controller.hear(&mut session).await {
            break clock;
        }
    };
    assert!((clock.offset_us - 3_600_000_000).abs() < 50_000, "{clock:?}");
}

const POLITE: &str = r#"require "splay.base"
function job.on_stop() print("goodbye from " .. job.position) end
events.run(function() events.sleep(1000) end)
"#;

#[tokio::test]
async fn a_splayd_told_to_end_ends_its_jobs_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let mut splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 1, POLITE), POLITE, Duration::ZERO).await;
    controller.event(&mut session, started).await;
    splayd.signal(libc::SIGTERM);
    controller.done(&mut session, "j1").await;
    let end = &controller.ends()[&1];
    assert_eq!((end.ending, end.detail.as_str()), (Ending::Stopped, "splayd was told to end"));
    assert!(controller.lines().contains(&(1, LineKind::Out, "goodbye from 1".into())));
    assert_eq!(splayd.wait().await.code(), Some(0));
    while session.receive().await.is_some() {}
    assert!(session.said_goodbye, "not merely cut");
}

const STUBBORN: &str = r#"require "splay.base"
function job.on_stop() while true do pcall(function() while true do end end) end end
events.run(function() events.sleep(1000) end)
"#;

#[tokio::test]
async fn a_stop_is_carried_out_whatever_the_instance_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 1, STUBBORN), STUBBORN, Duration::ZERO).await;
    controller.event(&mut session, started).await;
    let stop = StopOrder { job: "j1".into(), grace_ms: 300, reason: "killed by its user".into() };
    session.send(ToSplayd::Stop(stop)).await;
    controller.done(&mut session, "j1").await;
    let end = &controller.ends()[&1];
    assert_eq!(end.ending, Ending::Stopped);
    assert!(end.detail.starts_with("killed by its user"), "{}", end.detail);
    assert!(splayd.workers().is_empty());
    let lost = |report: &Report| matches!(report.event, Event::WorkerLost(_));
    assert!(!controller.reports.iter().any(lost), "it was told to end");
}

#[tokio::test]
async fn a_job_ends_after_its_time_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let order = JobOrder { max_seconds: 1, ..job("j1", 1, POLITE) };
    controller.start(&mut session, &order, POLITE, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    assert_eq!(controller.ends()[&1].detail, "ran for max_seconds 1");
}

const CHURNED: &str = r#"require "splay.base"
function job.on_stop() print("leaving") end
print("up " .. job.position .. " with " .. #job.nodes, tostring(io.open("mark")))
io.open("mark", "w"):close()
events.run(function() events.sleep(1000) end)
"#;

#[tokio::test]
async fn churn_starts_and_ends_single_instances() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let order = JobOrder { churn: 1, ..job("j1", 3, CHURNED) };
    controller.load(&mut session, &order, CHURNED).await;
    let start = StartOrder { job: "j1".into(), at_us: fake::now_us(), positions: vec![1, 2] };
    session.send(ToSplayd::Start(start)).await;
    controller.event(&mut session, started).await;
    controller.event(&mut session, started).await;
    let soon = fake::now_us() + 100_000;
    let step = |number, position, action, live: &[u32]| AgendaStep {
        number,
        at_us: soon + 200_000 * number,
        position,
        action,
        live: live.to_vec(),
    };
    let steps = vec![
        step(1, 1, Action::Stop, &[]),
        step(2, 2, Action::Leave, &[]),
        step(3, 3, Action::Start, &[3]),
        step(4, 1, Action::Start, &[1, 3]),
    ];
    let agenda = Agenda { job: "j1".into(), steps };
    // Sent twice: a step is carried out once.
    session.send(ToSplayd::Agenda(agenda.clone())).await;
    session.send(ToSplayd::Agenda(agenda)).await;
    let crashed = controller.event(&mut session, ended).await;
    assert_eq!((crashed.position, crashed.ending, crashed.step), (1, Ending::Churn, 1));
    let left = controller.event(&mut session, ended).await;
    assert_eq!((left.position, left.ending, left.step), (2, Ending::Churn, 2));
    assert!(left.planned_us.abs_diff(soon + 400_000) < 50_000);
    assert_eq!(controller.event(&mut session, started).await, 3);
    assert_eq!(controller.event(&mut session, started).await, 1);
    let stop = StopOrder { job: "j1".into(), grace_ms: 0, reason: "over".into() };
    session.send(ToSplayd::Stop(stop)).await;
    controller.done(&mut session, "j1").await;
    let said: Vec<(u32, String)> = controller.lines().into_iter().map(|line| (line.0, line.2)).collect();
    let of = |position: u32| -> Vec<&str> {
        said.iter().filter(|line| line.0 == position).map(|line| line.1.as_str()).collect()
    };
    assert_eq!(of(2), ["up 2 with 3\tnil", "leaving"]);
    assert_eq!(of(3), ["up 3 with 1\tnil"]);
    assert_eq!(of(1), ["up 1 with 3\tnil", "up 1 with 2\tnil"], "the folder of a new life is empty");
}

#[tokio::test]
async fn what_cannot_be_hosted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let order = job("j1", 1, HELLO);
    let mut many = job("j1", 21, HELLO);
    let mut large = order.clone();
    large.limits.max_memory_bytes = 1 << 40;
    let mut native = order.clone();
    native.files.push(ShippedFile {
        path: "x.so".into(),
        native: Some("x".into()),
        ..order.files[0].clone()
    });
    let mut escape = order.clone();
    escape.files[0].path = "../app.lua".into();
    let absent = JobOrder { app: "other.lua".into(), ..order.clone() };
    let named = JobOrder { job: "../j1".into(), ..order.clone() };
    many.name = "many".into();
    for (order, reason) in [
        (many, "20 seats free, 21 asked for"),
        (large, "max_memory_bytes 1099511627776 is more than the 268435456 allowed"),
        (native, "native library `x.so` is not allowed here"),
        (escape, "file `../app.lua`: not a path in the job's folder"),
        (absent, "app `other.lua` is not among the job's files"),
        (named, "the job's identifier is not made of letters, digits, - and _"),
    ] {
        session.send(ToSplayd::Deploy(order)).await;
        let refused = |event: &Event| match event {
            Event::DeployRefused(refused) => Some(refused.reason.clone()),
            _ => None,
        };
        assert_eq!(controller.event(&mut session, refused).await, reason);
    }
    // A program that is none ends every instance, with its line.
    let broken = "print 'x'\nif then";
    let order = job("j2", 2, broken);
    let seats = controller.deploy(&mut session, &order, broken).await;
    let nodes = JobNodes {
        job: "j2".into(),
        nodes: seats
            .iter()
            .map(|seat| splay_protocol::Node { ip: "127.0.0.1".into(), port: seat.port })
            .collect(),
        packed: Default::default(),
        positions: vec![(1, 1), (2, 2)],
        list_type: splay_protocol::ListType::Head,
        list_size: 0,
    };
    session.send(ToSplayd::Nodes(nodes)).await;
    session.send(ToSplayd::Load(JobRef { job: "j2".into() })).await;
    controller.done(&mut session, "j2").await;
    assert!(
        controller
            .ends()
            .values()
            .all(|end| end.ending == Ending::Error && end.detail.contains("app.lua:2:"))
    );
}

#[tokio::test]
async fn only_the_right_controller_is_joined() {
    let folder = tempfile::tempdir().unwrap();
    let join = async |controller: &Controller, token: splay_protocol::JoinToken| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_splayd"));
        command.args(["join", &token.to_string(), "--data-directory"]).arg(folder.path().join("data"));
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let served =
            tokio::time::timeout(Duration::from_secs(5), controller.refuse(RefusedCode::Token, "used up"));
        let _ = served.await;
        let output = run.await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let controller = Controller::new().await;
    let other = splay_protocol::JoinToken { fingerprint: "ab".repeat(32), ..controller.token() };
    let (status, said) = join(&controller, other).await;
    assert_eq!(status, Some(1));
    assert!(said.contains("shows another certificate"), "{said}");
    let late = Controller::with_validity(-9, -2).await;
    let (status, said) = join(&late, late.token()).await;
    assert_eq!(status, Some(1));
    assert!(said.contains("the controller's certificate expired"), "{said}");
    let early = Controller::with_validity(2, 9).await;
    assert!(join(&early, early.token()).await.1.contains("is valid only from"));
    let (status, said) = join(&controller, controller.token()).await;
    assert_eq!(status, Some(4));
    assert!(said.contains("the controller refuses this splayd: used up"), "{said}");
    assert!(!said.contains("open-sesame"), "{said}");
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {what}");
}
