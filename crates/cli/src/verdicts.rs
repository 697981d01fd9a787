//! What `splay.check` found in a run: violations as they are told, and at the end the judgement on
//! histories and on what some instance was to reach. Pure: events in, violations out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use splay_history::{Budget, History, Model, Operation, Outcome, Phase, Verdict, check};
use splay_runtime::host::{Check, InstanceNumber};

use crate::event::seconds;

/// Operations of a violated history that are shown.
const SHOWN: usize = 8;

/// Something that was to hold and did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// When that was found, from the start of the run.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// By which instance; `None`: at the end, of all.
    pub instance: Option<InstanceNumber>,
    /// What was to hold.
    pub name: String,
    /// Why it does not.
    pub message: String,
}

/// An event of a history.
#[derive(Debug, Clone)]
struct Step {
    at: Duration,
    instance: InstanceNumber,
    number: u64,
    phase: Phase,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Verdicts {
    violations: Vec<Violation>,
    declared: BTreeSet<String>,
    reached: BTreeSet<String>,
    histories: BTreeMap<String, (Model, Vec<Step>)>,
    undecided: Vec<String>,
}

impl Verdicts {
    /// Takes down what an instance told.
    pub fn apply(&mut self, at: Duration, instance: InstanceNumber, check: &Check) {
        match check.clone() {
            Check::Violated { name, message } => {
                self.violations.push(Violation { at, instance: Some(instance), name, message });
            }
            Check::Declared { name } => drop(self.declared.insert(name)),
            Check::Reached { name } => drop(self.reached.insert(name)),
            Check::Operation { history, model, number, phase } => {
                let (_, steps) = self.histories.entry(history).or_insert((model, Vec::new()));
                steps.push(Step { at, instance, number, phase });
            }
        }
    }

    /// The run is over at that time: judges what can only be judged then.
    pub fn conclude(&mut self, at: Duration) {
        let end =
            |name: &String, message: String| Violation { at, instance: None, name: name.clone(), message };
        let missed = self.declared.difference(&self.reached);
        let missed = missed.map(|name| end(name, "no instance reached it".to_owned())).collect::<Vec<_>>();
        self.violations.extend(missed);
        for (name, (model, mut steps)) in std::mem::take(&mut self.histories) {
            // Workers tell independently of each other; the clock is the same.
            steps.sort_by_key(|step| step.at);
            let mut history = History::new(model);
            let mut fits = Ok(());
            for step in steps {
                // A number is an instance's own for as long as it lives, and starts again with it.
                fits = fits.and(history.add(step.instance, step.number, step.phase));
            }
            match fits.map(|()| check(&history, Budget::default())) {
                Err(error) => self.violations.push(end(&name, error.to_string())),
                Ok(Verdict::Linearizable) => {}
                Ok(Verdict::Undecided) => self.undecided.push(name),
                Ok(Verdict::Violated(why)) => {
                    self.violations.push(end(&name, explain(model, &history, &why)));
                }
            }
        }
    }

    /// What does not hold, in the order in which it was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Histories of which nobody could tell in reasonable time.
    pub fn undecided(&self) -> &[String] {
        &self.undecided
    }
}

fn explain(model: Model, history: &History, why: &splay_history::Violation) -> String {
    let part = why.part.as_ref().map_or(String::new(), |part| format!(" of {}", text(part)));
    let total = history.operations().count();
    let mut told =
        format!("the {model}{part} is not linearizable ({total} operations)", model = model.name());
    let mut list = |title: &str, operations: &[Operation]| {
        if !operations.is_empty() {
            told.push_str(title);
            operations.iter().for_each(|operation| told.push_str(&format!("\n    {}", shown(operation))));
        }
    };
    let last = &why.explained[why.explained.len().saturating_sub(SHOWN)..];
    list("\n  the last that can be explained:", last);
    list("\n  none of these fits:", &why.unexplained[..why.unexplained.len().min(SHOWN)]);
    told
}

/// `[3] put(x, 1) -> ok`.
fn shown(operation: &Operation) -> String {
    let arguments = operation.arguments.iter().map(|value| text(value)).collect::<Vec<_>>().join(", ");
    let result = match &operation.outcome {
        Outcome::Ok(results) if results.is_empty() => "ok".to_owned(),
        Outcome::Ok(results) => results.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "),
        Outcome::Unknown => "unknown".to_owned(),
    };
    format!("[{}] {}({arguments}) -> {result}", operation.client, operation.name)
}

fn text(value: &[u8]) -> String {
    match value {
        b"" => "nil".to_owned(),
        value => String::from_utf8_lossy(value).chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(history: &str, number: u64, phase: Phase) -> Check {
        Check::Operation { history: history.into(), model: Model::Register, number, phase }
    }

    fn invoke(name: &str, arguments: &[&str]) -> Phase {
        let arguments = arguments.iter().map(|text| text.as_bytes().into()).collect();
        Phase::Invoke { name: name.into(), arguments }
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn histories_of_all_instances_are_one() {
        let mut verdicts = Verdicts::default();
        // Told out of order, as workers do.
        verdicts.apply(MS(3), 2, &operation("r", 1, invoke("read", &[])));
        verdicts.apply(MS(4), 2, &operation("r", 1, Phase::Ok(vec![b""[..].into()])));
        verdicts.apply(MS(1), 1, &operation("r", 1, invoke("write", &["5"])));
        verdicts.apply(MS(2), 1, &operation("r", 1, Phase::Ok(vec![])));
        verdicts.conclude(MS(9));
        let [violation] = verdicts.violations() else { panic!("{verdicts:?}") };
        assert_eq!((violation.at, violation.instance, violation.name.as_str()), (MS(9), None, "r"));
        assert_eq!(
            violation.message,
            "the register is not linearizable (2 operations)\n  the last that can be explained:\n    \
             [1] write(5) -> ok\n  none of these fits:\n    [2] read() -> nil"
        );
    }

    #[test]
    fn what_nobody_reached() {
        let mut verdicts = Verdicts::default();
        for name in ["seen", "missed"] {
            verdicts.apply(MS(1), 1, &Check::Declared { name: name.into() });
        }
        verdicts.apply(MS(2), 2, &Check::Reached { name: "seen".into() });
        verdicts.conclude(MS(3));
        let names: Vec<&str> =
            verdicts.violations().iter().map(|violation| violation.name.as_str()).collect();
        assert_eq!(names, ["missed"]);
    }
}
