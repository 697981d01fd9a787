//! Splayds that are lost before and after the start, and what the others are told.

use super::*;

#[test]
fn a_splayd_lost_while_loading_is_replaced() {
    let mut world = World::new(6, 1);
    world.slow = vec!["s1".into(), "s2".into(), "s3".into(), "s4".into(), "s5".into(), "s6".into()];
    world.submit("j", Submission { factor: 1.5, ..ask(2) });
    assert_eq!((world.job("j").0, world.used()), (JobState::Loading, 3));
    let hosts = || ["s1", "s2", "s3", "s4", "s5", "s6"].map(str::to_owned);
    let places = |world: &World| -> Vec<String> {
        world.state.jobs()["j"].places.iter().flatten().map(|(splayd, _)| splayd.clone()).collect()
    };
    let first = places(&world);
    world.slow.clear();
    world.apply(Input::Disconnected(first[0].clone()));
    world.sleep(9.0);
    assert_eq!((world.job("j").0, places(&world)), (JobState::Loading, first.clone()));
    // The seat in reserve takes its instance; the other keeps its position and loads the new list.
    world.told.clear();
    world.sleep(1.5);
    let second = places(&world);
    assert!(second[0] != first[0] && second[1] == first[1], "{second:?} {first:?}");
    let loads = world.told.iter().filter(|(_, told)| matches!(told, ToSplayd::Load(_))).count();
    assert_eq!((loads, world.job("j").0), (2, JobState::Starting));
    assert_eq!(world.used(), 2);
    // Without reserve, another is asked; a job that is to start at once fails instead.
    for (id, strict) in [("k", false), ("l", true)] {
        world.slow = hosts().to_vec();
        world.submit(id, Submission { factor: 1.0, strict, ..ask(1) });
        let host = world.state.jobs()[id].places[0].clone().unwrap().0;
        world.slow.clear();
        world.apply(Input::Disconnected(host.clone()));
        world.sleep(11.0);
        let (state, why) = world.job(id);
        match strict {
            false => assert_eq!(state, JobState::Running, "{why}"),
            true => assert_eq!(
                (state, why),
                (JobState::Failed, format!("lost before its start: name-{host}").as_str())
            ),
        }
    }
}

#[test]
fn those_that_do_not_load_in_time_are_replaced_and_broken_programs_are_not() {
    let mut world = World::new(3, 1);
    world.slow = (1..=3).map(|n| format!("s{n}")).collect();
    world.submit("j", Submission { factor: 1.0, ..ask(2) });
    let places = world.state.jobs()["j"].who_hosts();
    let (never, now) = (places[0].clone().unwrap(), world.now);
    world.report(places[1].as_ref().unwrap(), now, Event::Ready(JobReady { job: "j".into() }));
    world.slow = vec![never.clone()];
    world.sleep(59.0);
    assert_eq!(world.job("j").0, JobState::Loading);
    world.sleep(5.0);
    assert_eq!(world.job("j").0, JobState::Running);
    let after = world.state.jobs()["j"].who_hosts();
    assert!(after[0] != places[0] && after[1] == places[1], "{after:?}");
    // Where nobody may take their part, the job tells who did not load.
    for (id, strict) in [("strict", true), ("mandatory", false)] {
        let mut world = World::new(3, 1);
        world.slow = (1..=3).map(|n| format!("s{n}")).collect();
        let mandatory = if strict { vec![] } else { vec!["name-s2".to_owned()] };
        world.submit(id, Submission { factor: 1.0, strict, mandatory, ..ask(2) });
        let hosts = world.state.jobs()[id].who_hosts();
        let loads = hosts.iter().flatten().find(|splayd| *splayd != "s2").unwrap().clone();
        let late = hosts.iter().flatten().find(|splayd| **splayd != loads).unwrap().clone();
        let now = world.now;
        world.report(&loads, now, Event::Ready(JobReady { job: id.into() }));
        world.sleep(61.0);
        let why = match strict {
            true => format!("1 of 2 splayds did not load it within 60 s: name-{late}"),
            false => "`name-s2`, which must take part, did not load it within 60 s".to_owned(),
        };
        assert_eq!(world.job(id), (JobState::Failed, why.as_str()));
    }
    let mut world = World::new(2, 1);
    world.slow = vec!["s1".into(), "s2".into()];
    world.submit("k", Submission { factor: 1.0, ..ask(1) });
    let host = world.state.jobs()["k"].places[0].clone().unwrap().0;
    let mut end = ended("k", 1, Ending::Error, 0, 0);
    end.detail = "a.lua:3: unexpected symbol\nmore".to_owned();
    let now = world.now;
    world.report(&host, now, Event::Ended(end));
    let why = format!("instance 1 on name-{host} did not load: a.lua:3: unexpected symbol");
    assert_eq!(world.job("k"), (JobState::Failed, why.as_str()));
}

#[test]
fn who_is_there_is_told_once_for_changes_that_come_together() {
    let mut world = World::new(10, 10);
    world.submit("j", Submission { factor: 1.0, ..ask(100) });
    world.sleep(5.0);
    assert_eq!(world.live("s1"), None, "all are there: nothing is told");
    let count =
        |world: &World| world.told.iter().filter(|(_, told)| matches!(told, ToSplayd::Live(_))).count();
    let at =
        |world: &World, position| world.state.jobs()["j"].places[position as usize - 1].clone().unwrap().0;
    for position in (2..=100).step_by(2) {
        let (splayd, now) = (at(&world, position), world.now);
        world.report(&splayd, now, Event::Ended(ended("j", position, Ending::Finished, 0, 0)));
    }
    world.sleep(1.0);
    let odd: Vec<(u32, u32)> = (1..100).step_by(2).map(|position| (position, position)).collect();
    assert_eq!((count(&world), world.live("s3")), (10, Some(odd)), "one message to each of ten splayds");
    // A splayd that is lost takes its instances along; one that was away is told again.
    let (lost, back, other) = (at(&world, 1), at(&world, 2), at(&world, 3));
    world.apply(Input::Disconnected(lost.clone()));
    world.apply(Input::Disconnected(back.clone()));
    world.sleep(30.0);
    world.told.clear();
    world.connect(&back, vec![HostedJob { job: "j".into(), phase: Phase::Running, last_step: 0 }]);
    assert_eq!(count(&world), 1);
    world.sleep(32.0);
    let gone: Vec<u32> = (1..=100).filter(|position| at(&world, *position) == lost).collect();
    let live = world.live(&other).unwrap();
    assert!(
        gone.iter().all(|gone| live.iter().all(|(first, last)| !(first..=last).contains(&gone))),
        "{live:?}"
    );
    assert!(live.len() > 30);
}

#[test]
fn large_jobs_are_told_rarely() {
    let mut world = World::new(500, 4);
    world.submit("j", Submission { factor: 1.0, ..ask(2_000) });
    world.sleep(5.0);
    let tellings = |world: &World| world.state.jobs()["j"].live.tellings;
    // Every other one ends: the message has 1,000 runs, 12 KB for each of 500.
    for position in (2..=2_000).step_by(2) {
        let (splayd, now) = (world.state.jobs()["j"].places[position - 1].clone().unwrap().0, world.now);
        world.report(&splayd, now, Event::Ended(ended("j", position as u32, Ending::Finished, 0, 0)));
    }
    world.sleep(1.0);
    assert_eq!(tellings(&world), 1);
    for position in (1..=21).step_by(2) {
        let (splayd, now) = (world.state.jobs()["j"].places[position - 1].clone().unwrap().0, world.now);
        world.report(&splayd, now, Event::Ended(ended("j", position as u32, Ending::Finished, 0, 0)));
        world.sleep(0.3);
    }
    assert!((2..=4).contains(&tellings(&world)), "{}", tellings(&world));
    world.sleep(5.0);
    assert_eq!(world.live("s1").unwrap()[0], (23, 23));
}

#[test]
fn instances_that_move_are_told_to_all() {
    let mut world = World::new(4, 1);
    let churn = Some("0\n0\n0\n".to_owned());
    world.submit("j", Submission { churn, factor: 1.3, ..ask(1) });
    world.sleep(2.0);
    let host = world.state.jobs()["j"].places[0].clone().unwrap().0;
    world.nodes.clear();
    world.apply(Input::Disconnected(host.clone()));
    world.sleep(62.0);
    let told: BTreeSet<&str> = world.nodes.iter().map(|(splayd, _)| splayd.as_str()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let from = world.events.iter().find_map(|event| match event {
        JobEventKind::Moved { position: 1, from, .. } => Some(from.clone()),
        _ => None,
    });
    assert_eq!(from, Some(format!("name-{host}")));
    let other = world.state.jobs()["j"].places[1].clone().unwrap().0;
    assert_eq!(world.live(&other), Some(vec![(1, 3)]), "it is there again, elsewhere");
}
