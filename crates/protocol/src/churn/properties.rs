//! What holds for all traces and scripts.

use std::time::Duration;

use proptest::prelude::*;

use super::order::order;
use super::script::{Action, Churn, Quantity, Rule, When};
use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![
        (0u32..40).prop_map(|n| Quantity::Nodes(n.into())),
        // More would grow, rule by rule, to as many starts and stops as there may be, which takes minutes.
        (0u32..1000).prop_map(|n| Quantity::Percent(f64::from(n) / 8.0)),
    ]
}

fn leave() -> impl Strategy<Value = Leave> {
    prop_oneof![Just(Leave::Crash), Just(Leave::Graceful)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let when = prop_oneof![
        (0u64..100_000).prop_map(|at| When::At(Duration::from_millis(at * 10))),
        (0u64..100_000, 1u64..60_000).prop_map(|(from, length)| {
            When::During(Duration::from_millis(from * 10), Duration::from_millis((from + length) * 10))
        }),
    ];
    let action = prop_oneof![
        1 => (20u32..60).prop_map(|n| Action::MaxPopulation(Quantity::Nodes(n.into()))),
        1 => (0u32..=100).prop_map(|n| Action::ReplacementRatio(n.into())),
        5 => quantity().prop_map(Action::Join),
        3 => (quantity(), leave()).prop_map(|(amount, leave)| Action::Leave(amount, leave)),
        3 => Just(Action::Const),
        1 => leave().prop_map(Action::Stop),
    ];
    let churn = (quantity(), proptest::option::of(10u64..600), leave())
        .prop_map(|(quantity, per, leave)| Churn { quantity, per: per.map(S), leave });
    let place = script::Place { line: 1, text: String::new(), from: 0, to: 0 };
    (when, action, proptest::option::of(churn)).prop_map(move |(when, action, churn)| Rule {
        when,
        action,
        churn,
        place: place.clone(),
    })
}

fn rules() -> impl Strategy<Value = Script> {
    (proptest::collection::vec(rule(), 1..12), proptest::option::of(any::<u64>()))
        .prop_map(|(rules, seed)| Script { rules, faults: Vec::new(), groups: Vec::new(), seed })
}

fn trace() -> impl Strategy<Value = Trace> {
    let line = (proptest::collection::vec((1u64..5_000_000, leave()), 1..8)).prop_map(|steps| {
        let mut at = Duration::ZERO;
        let times: Vec<_> = steps
            .into_iter()
            .map(|(step, leave)| {
                at += Duration::from_micros(step - 1) + Duration::from_micros(u64::from(!at.is_zero()));
                (at, leave)
            })
            .collect();
        let pairs = times.chunks(2);
        pairs.map(|pair| Session { start: pair[0].0, end: pair.get(1).copied() }).collect::<Vec<_>>()
    });
    proptest::collection::vec(line, 1..20).prop_filter_map("strictly increasing", Trace::new)
}

proptest! {
    #[test]
    fn traces_are_read_as_written(trace in trace()) {
        prop_assert_eq!(Trace::parse(&trace.to_string()).unwrap(), trace);
    }

    #[test]
    fn scripts_are_read_as_written(script in rules()) {
        let again = Script::parse(&script.to_string()).unwrap();
        prop_assert_eq!(again.to_string(), script.to_string());
        prop_assert_eq!(again.seed, script.seed);
        for (a, b) in again.rules.iter().zip(&script.rules) {
            prop_assert_eq!((a.when, a.action, a.churn), (b.when, b.action, b.churn));
        }
    }

    #[test]
    fn populations_stay_in_their_bounds(script in rules(), seed: u64, latest_wins: bool, least in 0u64..30) {
        let settings = Settings {
            seed: Some(seed), latest_wins, repair: true, ignore_empty: true,
            allow_creation: true, min_offline: S(least), min_online: S(least / 2),
        };
        let Ok(expansion) = expand(&script, &settings) else { return Ok(()) };
        prop_assert_eq!(&expand(&script, &settings).unwrap(), &expansion);
        // Times that increase and sessions that alternate are what a trace is made of.
        let trace = expansion.trace;
        let again = Trace::new(trace.lines().to_vec());
        prop_assert_eq!(again.as_ref(), Some(&trace));
        let schedule = trace.schedule();
        let mut up = vec![false; trace.nodes() as usize];
        for event in schedule.events() {
            let node = &mut up[event.node as usize - 1];
            prop_assert_eq!(*node, event.action != super::Action::Start);
            *node = !*node;
        }
        let ordered = order(&script, &settings).unwrap().rules;
        let mut most = u32::MAX;
        let mut limits: Vec<(Duration, u32)> = vec![(Duration::ZERO, most)];
        for rule in &ordered {
            if let Action::MaxPopulation(Quantity::Nodes(n)) = rule.action {
                most = n as u32;
                limits.push((rule.when.start(), most));
            }
        }
        for (at, population) in stats::population_steps(schedule.events()) {
            let limit = limits[..limits.partition_point(|limit| limit.0 <= at)].last().unwrap().1;
            prop_assert!(population <= limit, "{} of {} at {:?}", population, limit, at);
        }
        for sessions in trace.lines() {
            for pair in sessions.windows(2) {
                let pause = pair[1].start - pair[0].end.unwrap().0;
                prop_assert!(pause >= S(least));
            }
        }
    }

    #[test]
    fn reading_never_panics(text in "[ -~\\n]{0,80}", words in proptest::collection::vec(
        prop_oneof!["at", "from", "to", "join", "churn", "%", "per", "set", "max", "pop", "5", "2.5", "s", "m",
            "\\(", "\\)", "\\*", "\\+", "-", "and", ",", "stop", "/\\*", "\\*/", "//", "é", "\\n", " "], 0..30)) {
        let _ = Script::parse(&text).map_err(|error| error.excerpt());
        let joined = words.concat();
        let spaced = words.join(" ");
        for text in [joined, spaced] {
            let _ = Script::parse(&text).map_err(|error| error.excerpt());
            let _ = Trace::parse(&text).map_err(|error| error.excerpt());
            let _ = availability::Measurement::parse(&text).map_err(|error| error.excerpt());
        }
    }
}
