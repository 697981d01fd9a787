//! What is told of churn: how many steps, how late each kind, how far apart the first starts.

use super::*;

fn started(position: u32, planned_us: Micros, step: u64) -> Event {
    Event::Started(InstanceStarted { job: "j".into(), position, planned_us, step })
}

/// Reports from the splayd of an instance, so late after the time of a step.
struct Teller {
    world: World,
    start: Micros,
}

impl Teller {
    fn step(&self, index: usize) -> (u64, Micros) {
        let event = self.world.state.jobs()["j"].churn.as_ref().unwrap().schedule().events()[index];
        ((index as u64 + 1) << 10, self.start + event.at.as_micros() as u64)
    }

    fn starts(&mut self, position: u32, index: usize, late: Micros) {
        let (step, planned) = self.step(index);
        self.says(position, planned + late, started(position, planned, step));
    }

    fn ends(&mut self, position: u32, index: usize, acted: Micros, late: Micros) {
        let (step, planned) = self.step(index);
        let mut end = ended("j", position, Ending::Churn, step, planned);
        end.acted_us = if acted > 0 { planned + acted } else { 0 };
        self.says(position, planned + late, Event::Ended(end));
    }

    fn says(&mut self, position: u32, at: Micros, event: Event) {
        let splayd = self.world.state.jobs()["j"].places[position as usize - 1].clone().unwrap().0;
        self.world.report(&splayd, at, event);
    }

    fn report(&self) -> (splay_protocol::api::Job, splay_protocol::api::ChurnReport) {
        let job = self.world.state.job_view(&self.world.state.jobs()["j"]);
        let churn = job.churn.clone().unwrap();
        (job, churn)
    }
}

/// Two nodes from the start; events in order: 1 and 2 start, 1 stops at 10 and starts at 12, 2 leaves
/// at 14 and starts at 20.
fn teller() -> Teller {
    let mut world = World::new(4, 1);
    let churn = Some("0 10 12\n0 14g 20\n".to_owned());
    world.submit("j", Submission { churn, factor: 1.5, ..ask(1) });
    world.mute = (1..=4).map(|n| format!("s{n}")).collect();
    world.sleep(2.0);
    let start = world.state.jobs()["j"].live.start_at_us.unwrap();
    // The two had been told to start before they fell silent.
    Teller { world, start }
}

#[test]
fn each_event_counts_once_and_is_as_late_as_it_was() {
    let mut teller = teller();
    let (job, churn) = teller.report();
    assert_eq!((churn.steps, churn.done, job.start_skew.unwrap().count), (6, 2, 2));
    teller.world.sleep(25.0);
    teller.ends(1, 2, 0, 4000);
    // Of a join, the start counts; what it had to end first is no event of its own.
    let (step, planned) = teller.step(3);
    teller.says(1, planned + 500, Event::Ended(ended("j", 1, Ending::Churn, step, planned)));
    teller.starts(1, 3, 8000);
    // It leaves 3 ms late, and has then a second to say goodbye.
    teller.ends(2, 4, 3000, 1_000_000);
    teller.starts(2, 5, 5000);
    let (job, churn) = teller.report();
    assert_eq!((churn.steps, churn.sent, churn.done), (6, 6, 6));
    let late = churn.lateness.unwrap();
    assert_eq!((late.count, late.min_ms, late.max_ms), (4, 3.0, 8.0));
    assert_eq!(churn.replacements, None);
    let skew = job.start_skew.unwrap();
    assert_eq!((skew.count, skew.min_ms, skew.max_ms), (2, 1.0, 2.0), "those that started again are in it");
}

#[test]
fn a_replacement_is_no_event_of_the_schedule() {
    let mut teller = teller();
    let host = teller.world.state.jobs()["j"].places[0].clone().unwrap().0;
    teller.world.apply(Input::Revoke(host));
    let repair = teller.world.state.jobs()["j"].live.repairs[0].clone();
    assert_eq!(repair.position, 1);
    teller.says(1, repair.at_us + 70_000, started(1, repair.at_us, repair.number));
    let (job, churn) = teller.report();
    assert_eq!((churn.done, churn.moved, churn.lateness), (2, 1, None));
    let replacements = churn.replacements.unwrap();
    assert_eq!((replacements.count, replacements.max_ms), (1, 70.0));
    assert_eq!(job.start_skew.unwrap().count, 2, "where it was first is in it");
    // Later steps reach it where it is now; those before its move are not sent again.
    teller.world.sleep(10.0);
    let new = teller.world.state.jobs()["j"].places[0].clone().unwrap().0;
    teller.world.told.clear();
    teller.world.connect(&new, vec![HostedJob { job: "j".into(), phase: Phase::Running, last_step: 0 }]);
    let numbers: Vec<u64> = teller
        .world
        .told
        .iter()
        .filter_map(|(splayd, told)| match told {
            ToSplayd::Agenda(agenda) if *splayd == new => Some(agenda.steps.iter().map(|step| step.number)),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(numbers.first(), Some(&repair.number), "{numbers:?}");
    teller.ends(1, 2, 0, 4000);
    // What ends by itself is no step: it is missing from those that were done.
    teller.says(2, teller.start + 13_000_000, Event::Ended(ended("j", 2, Ending::Finished, 0, 0)));
    let (_, churn) = teller.report();
    assert_eq!((churn.done, churn.lateness.unwrap().count), (3, 1));
}
