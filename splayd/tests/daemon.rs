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
        let of: Vec<_> = lines.iter().filter(|line| line.0 == position).map(|l| (l.1, l.2.as_str())).collect();
        let hello = format!("hello from {position} of 3\ttest\tblue\tone");
        assert!(of.contains(&(LineKind::Out, hello.as_str())), "{of:?}");
        assert!(of.contains(&(LineKind::Err, "oops")), "{of:?}");
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

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {what}");
}
