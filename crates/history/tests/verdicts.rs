//! Verdicts on histories known from the literature, on random ones against a search of all orders,
//! and on long ones.

use std::time::Instant;

use proptest::prelude::*;
use splay_history::{Budget, History, Model, Phase, Value, Verdict, check};

fn value(text: &str) -> Value {
    text.as_bytes().into()
}

/// A history in short: `1 write a` calls, `1 ok`, `1 ok a`, `1 fail`, `1 info` end the call that
/// client 1 has under way.
fn history(model: Model, events: &str) -> History {
    let mut history = History::new(model);
    for event in events.split(',') {
        let mut words = event.split_whitespace();
        let client: u32 = words.next().unwrap().parse().unwrap();
        let name = words.next().unwrap();
        let values: Vec<Value> = words.map(|word| value(if word == "nil" { "" } else { word })).collect();
        let phase = match name {
            "ok" => Phase::Ok(values),
            "fail" => Phase::Fail,
            "info" => Phase::Info,
            name => Phase::Invoke { name: name.to_owned(), arguments: values },
        };
        history.add(client, 0, phase).unwrap();
    }
    history
}

fn fine(model: Model, events: &str) -> bool {
    match check(&history(model, events), Budget::default()) {
        Verdict::Linearizable => true,
        Verdict::Violated(_) => false,
        Verdict::Undecided => panic!("undecided"),
    }
}

#[test]
fn registers() {
    let fine = |events| fine(Model::Register, events);
    assert!(fine("1 read, 1 ok nil"));
    assert!(!fine("1 read, 1 ok a"));
    assert!(fine("1 write a, 1 ok, 2 read, 2 ok a"));
    assert!(!fine("1 write a, 1 ok, 2 read, 2 ok nil"), "a stale read");
    assert!(fine("1 write a, 2 read, 2 ok nil, 3 read, 3 ok a, 1 ok"));
    assert!(!fine("1 write a, 2 read, 2 ok a, 3 read, 3 ok nil, 1 ok"), "new, then old");
    assert!(fine("1 write a, 2 write b, 1 ok, 2 ok, 3 read, 3 ok a, 3 read, 3 ok a"));
    assert!(!fine("1 write a, 2 write b, 1 ok, 2 ok, 3 read, 3 ok a, 3 read, 3 ok b"));
    // What was never answered may have happened, now or later or never.
    assert!(fine("1 write a, 1 info, 2 read, 2 ok nil, 2 read, 2 ok a"));
    assert!(fine("1 write a, 1 info, 2 read, 2 ok nil"));
    assert!(fine("1 write a, 2 read, 2 ok a"));
    assert!(!fine("1 write a, 1 info, 2 read, 2 ok a, 2 read, 2 ok nil"));
    // What failed did not happen.
    assert!(!fine("1 write a, 1 fail, 2 read, 2 ok a"));
    assert!(fine("1 cas nil a, 1 ok true, 2 cas nil b, 2 ok false, 2 read, 2 ok a"));
    assert!(!fine("1 cas nil a, 1 ok true, 2 cas nil b, 2 ok true"), "two winners");
    assert!(!fine("1 cas nil a, 1 ok false"));
}

#[test]
fn maps_sets_and_queues() {
    assert!(fine(
        Model::Map,
        "1 put x a, 1 ok, 1 get y, 1 ok nil, 2 get x, 2 ok a, 2 delete x, 2 ok, 1 get x, 1 ok nil"
    ));
    assert!(!fine(Model::Map, "1 put x a, 1 ok, 2 get x, 2 ok b"));
    assert!(!fine(Model::Map, "1 cas k nil 1, 1 ok true, 2 cas k nil 2, 2 ok true"));
    assert!(fine(
        Model::Set,
        "1 add a, 1 ok, 2 contains a, 2 ok true, 2 remove a, 2 ok, 1 contains a, 1 ok false"
    ));
    assert!(!fine(Model::Set, "1 add a, 1 ok, 2 contains a, 2 ok false"), "lost");
    assert!(fine(Model::Set, "1 add a, 1 ok, 2 add b, 3 read, 3 ok a, 2 ok, 3 read, 3 ok b a"));
    assert!(!fine(Model::Set, "1 add a, 1 ok, 2 add b, 2 ok, 3 read, 3 ok b"));
    assert!(fine(
        Model::Queue,
        "1 enqueue a, 2 enqueue b, 1 ok, 2 ok, 1 dequeue, 1 ok b, 1 dequeue, 1 ok a, 1 dequeue, 1 ok nil"
    ));
    assert!(!fine(Model::Queue, "1 enqueue a, 1 ok, 1 enqueue b, 1 ok, 1 dequeue, 1 ok b"), "out of order");
    assert!(!fine(Model::Queue, "1 enqueue a, 1 ok, 1 dequeue, 1 ok a, 2 dequeue, 2 ok a"), "twice");
}

#[test]
fn a_violation_names_what_does_not_fit() {
    let history = history(Model::Map, "1 put x a, 1 ok, 2 put y b, 2 ok, 1 get y, 1 ok b, 2 get x, 2 ok c");
    let Verdict::Violated(violation) = check(&history, Budget::default()) else { panic!("violated") };
    assert_eq!(violation.part, Some(value("x")));
    let names = |list: &[splay_history::Operation]| {
        list.iter().map(|operation| operation.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&violation.explained), names(&violation.unexplained)),
        (vec!["put".into()], vec!["get".into()])
    );
}

#[test]
fn events_that_do_not_fit_are_told() {
    let mut history = History::new(Model::Queue);
    let wrong = Phase::Invoke { name: "push".into(), arguments: vec![value("a")] };
    assert_eq!(
        history.add(1, 7, wrong).unwrap_err().to_string(),
        "a queue has no operation `push` of 1 arguments: it has enqueue(value), dequeue()"
    );
    let early = history.add(1, 7, Phase::Ok(vec![]));
    assert_eq!(early.unwrap_err().to_string(), "operation 7 of client 1 ends, and is not under way");
}

/// Random clients of a real object: what they see is linearizable by construction.
fn honest(model: Model, clients: u32, operations: usize, seed: u64) -> History {
    let mut random = seed;
    let mut below = move |bound: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % bound
    };
    let mut history = History::new(model);
    let (mut cell, mut queue) = (std::collections::BTreeMap::new(), std::collections::VecDeque::new());
    // By client: what it has under way, and its result once it has happened.
    let mut open: Vec<Option<(String, Vec<Value>, Option<Vec<Value>>)>> = vec![None; clients as usize];
    let mut begun = 0;
    while begun < operations || open.iter().any(Option::is_some) {
        let client = below(u64::from(clients)) as usize;
        match &mut open[client] {
            None if begun < operations => {
                begun += 1;
                let fresh = value(&begun.to_string());
                let key = value(&format!("k{}", below(3)));
                let (name, arguments) = match (model, below(2)) {
                    (Model::Register, 0) => ("write", vec![fresh]),
                    (Model::Register, _) => ("read", vec![]),
                    (Model::Map, 0) => ("put", vec![key, fresh]),
                    (Model::Map, _) => ("get", vec![key]),
                    (Model::Queue, 0) => ("enqueue", vec![fresh]),
                    _ => ("dequeue", vec![]),
                };
                let phase = Phase::Invoke { name: name.into(), arguments: arguments.clone() };
                history.add(client as u32, 0, phase).unwrap();
                open[client] = Some((name.into(), arguments, None));
            }
            None => {}
            Some((name, arguments, result @ None)) => {
                *result = Some(match name.as_str() {
                    "write" => {
                        cell.insert(value(""), arguments[0].clone());
                        vec![]
                    }
                    "put" => {
                        cell.insert(arguments[0].clone(), arguments[1].clone());
                        vec![]
                    }
                    "read" => vec![cell.get(&value("")).cloned().unwrap_or_else(|| value(""))],
                    "get" => vec![cell.get(&arguments[0]).cloned().unwrap_or_else(|| value(""))],
                    "enqueue" => {
                        queue.push_back(arguments[0].clone());
                        vec![]
                    }
                    _ => vec![queue.pop_front().unwrap_or_else(|| value(""))],
                });
            }
            Some((_, _, Some(result))) => {
                // Now and then nobody hears of it.
                let phase = if model != Model::Queue && below(50) == 0 {
                    Phase::Info
                } else {
                    Phase::Ok(std::mem::take(result))
                };
                history.add(client as u32, 0, phase).unwrap();
                open[client] = None;
            }
        }
    }
    history
}

#[test]
fn long_histories_are_checked_soon() {
    for model in [Model::Register, Model::Map, Model::Queue] {
        let history = honest(model, 8, 10_000, 7);
        let begun = Instant::now();
        assert_eq!(check(&history, Budget { steps: 5_000_000 }), Verdict::Linearizable, "{model:?}");
        println!("{model:?}: 10000 operations of 8 clients in {:?}", begun.elapsed());
    }
}

#[test]
fn a_budget_is_kept() {
    let history = honest(Model::Register, 8, 1000, 3);
    assert_eq!(check(&history, Budget { steps: 100 }), Verdict::Undecided);
}

/// The same for a queue.
fn by_definition_of_queues(history: &History) -> bool {
    use splay_history::{Operation, Outcome};
    fn search(left: &[&Operation], held: &[Value]) -> bool {
        let first_answer = left.iter().filter_map(|operation| operation.answered).min().unwrap_or(u64::MAX);
        if left.iter().all(|operation| operation.outcome == Outcome::Unknown) {
            return true;
        }
        left.iter().enumerate().filter(|(_, operation)| operation.called < first_answer).any(
            |(at, operation)| {
                let mut held = held.to_vec();
                match operation.arguments.first() {
                    Some(new) => held.push(new.clone()),
                    None => {
                        let first = if held.is_empty() { value("") } else { held.remove(0) };
                        if let Outcome::Ok(results) = &operation.outcome
                            && results[0] != first
                        {
                            return false;
                        }
                    }
                }
                let rest: Vec<_> =
                    left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, o)| *o).collect();
                search(&rest, &held)
            },
        )
    }
    search(&history.operations().collect::<Vec<_>>(), &[])
}

/// Whether some order of all subsets explains a history: the definition, tried out.
fn by_definition(history: &History) -> bool {
    fn search(left: &[&splay_history::Operation], held: Option<&str>) -> bool {
        use splay_history::Outcome;
        let first_answer = left.iter().filter_map(|operation| operation.answered).min().unwrap_or(u64::MAX);
        if left.iter().all(|operation| operation.outcome == Outcome::Unknown) {
            return true;
        }
        left.iter().enumerate().filter(|(_, operation)| operation.called < first_answer).any(
            |(at, operation)| {
                let text = |value: &Value| String::from_utf8_lossy(value).into_owned();
                let after = match (operation.name.as_str(), &operation.outcome) {
                    ("write", _) => Some(Some(text(&operation.arguments[0]))),
                    (_, Outcome::Ok(results)) => {
                        let seen = text(&results[0]);
                        let same = held.unwrap_or("") == seen;
                        same.then(|| held.map(str::to_owned))
                    }
                    _ => Some(held.map(str::to_owned)),
                };
                let rest: Vec<_> =
                    left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, o)| *o).collect();
                after.is_some_and(|held| search(&rest, held.as_deref()))
            },
        )
    }
    let operations: Vec<_> = history.operations().collect();
    search(&operations, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn verdicts_are_those_of_the_definition(
        events in prop::collection::vec((0u32..3, 0u8..3, 0u8..3, 0u8..8), 1..18)
    ) {
        let mut history = History::new(Model::Register);
        let mut open = [None; 3];
        for (client, what, number, end) in events {
            let slot = &mut open[client as usize];
            match *slot {
                None => {
                    let arguments = if what == 0 { vec![] } else { vec![value(&number.to_string())] };
                    let name = if what == 0 { "read" } else { "write" };
                    history.add(client, 0, Phase::Invoke { name: name.into(), arguments }).unwrap();
                    *slot = Some(what);
                }
                Some(what) => {
                    let phase = match (end, what) {
                        (0, _) => Phase::Info,
                        (1, 1 | 2) => Phase::Fail,
                        (_, 0) => Phase::Ok(vec![value(&if end < 3 { String::new() } else { number.to_string() })]),
                        _ => Phase::Ok(vec![]),
                    };
                    history.add(client, 0, phase).unwrap();
                    *slot = None;
                }
            }
        }
        let found = check(&history, Budget::default());
        prop_assert_eq!(matches!(found, Verdict::Linearizable), by_definition(&history));
    }

    #[test]
    fn verdicts_on_queues_are_those_of_the_definition(
        events in prop::collection::vec((0u32..4, 0u8..2, 0u8..10), 1..18)
    ) {
        let mut history = History::new(Model::Queue);
        let mut open = [None; 4];
        let mut fresh = 0;
        for (client, what, end) in events {
            let slot = &mut open[client as usize];
            match *slot {
                None => {
                    fresh += usize::from(what == 0);
                    let (name, arguments) =
                        if what == 0 { ("enqueue", vec![value(&fresh.to_string())]) } else { ("dequeue", vec![]) };
                    history.add(client, 0, Phase::Invoke { name: name.into(), arguments }).unwrap();
                    *slot = Some(what);
                }
                Some(what) => {
                    let seen = if end < 4 { String::new() } else { (end - 3).to_string() };
                    let phase = match (end, what) {
                        (0, _) => Phase::Info,
                        (_, 0) => Phase::Ok(vec![]),
                        _ => Phase::Ok(vec![value(&seen)]),
                    };
                    history.add(client, 0, phase).unwrap();
                    *slot = None;
                }
            }
        }
        let found = check(&history, Budget::default());
        prop_assert_eq!(matches!(found, Verdict::Linearizable), by_definition_of_queues(&history));
    }
}
