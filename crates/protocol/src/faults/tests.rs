use std::time::Duration;

use super::{Fault, Nodes, Plan, Strike, StrikeId};
use crate::churn::Script;

const S: fn(u64) -> Duration = Duration::from_secs;

/// Every kind, in every form that differs; on the right as it is written out.
const FORMS: &[(&str, &str)] = &[
    ("from 60s to 90s partition {1..5} from rest", "from 60s to 90s partition {1..5} from rest"),
    ("from 1s to 2s partition 50%", "from 1s to 2s partition 50% from rest"),
    ("at 1s partition {1} from {2, 3} from {4..6}", "at 1s partition {1} from {2, 3} from {4..6}"),
    ("at 1s drop between node 3 and all", "at 1s drop between {3} and all"),
    ("at 1s drop", "at 1s drop between all and all"),
    ("from 10s to 20s loss 5% between A and B one-way", "from 10s to 20s loss 5% from A to B"),
    ("at 1s lose 0.5% of {3}", "at 1s loss 0.5% between {3} and all"),
    ("at 1s delay 50ms from A to rest", "at 1s delay 50ms from A to rest"),
    ("at 1s delay 50ms to 1s", "at 1s delay 50ms to 1s between all and all"),
    ("at 1s jitter 5ms", "at 1s jitter 5ms between all and all"),
    ("at 1s duplicate 1%", "at 1s duplicate 1% between all and all"),
    ("at 1s reorder 10% by 20ms", "at 1s reorder 10% by 20ms between all and all"),
    ("at 1s corrupt 1%", "at 1s corrupt 1% between all and all"),
    ("at 1s bandwidth 1Mbps between A and B", "at 1s bandwidth 1Mbps between A and B"),
    ("at 1s refuse connections from all to {2}", "at 1s refuse connections from all to {2}"),
    ("at 1s full backlog of {2}", "at 1s full backlog of {2}"),
    ("at 1s reset connections", "at 1s reset connections between all and all"),
    ("at 1s slow names by 200ms of {2}", "at 1s slow names by 200ms of {2}"),
    ("at 1s no names on {2}", "at 1s no names of {2}"),
    ("at 1s no sockets of {2}", "at 1s no sockets of {2}"),
    ("at 1s pause 2 for 3s", "from 1s to 4s pause 2"),
    ("at 30s crash 10%", "at 30s crash 10%"),
    ("at 30s crash {1..3} silently for 10s", "from 30s to 40s crash {1..3} silently"),
    ("at 30s crash 1 gracefully without its files", "at 30s crash 1 gracefully without files"),
    ("at 30s restart 10% with files", "at 30s restart 10%"),
    ("at 30s restart all without files", "at 30s restart all without files"),
    ("at 1s slow {3} by 10 times", "at 1s slow {3} by 10 times"),
    ("at 1s clock of {3} ahead 200ms", "at 1s clock of {3} ahead 200ms"),
    ("at 1s clock of {3} behind 2s", "at 1s clock of {3} behind 2s"),
    ("at 1s clock of all fast 1%", "at 1s clock of all fast 1%"),
    ("at 1s clock of all slow 0.02%", "at 1s clock of all slow 0.02%"),
    ("at 1s full disk of {3}", "at 1s full disk of {3}"),
    ("at 1s read errors 10% of {3}", "at 1s read errors 10% of {3}"),
    ("at 1s write errors 10% of {3}", "at 1s write errors 10% of {3}"),
    ("at 1s slow disk by 10ms of {3}", "at 1s slow disk by 10ms of {3}"),
    (
        "from 1m to 2m every 20s for 5s partition A from B",
        "from 60s to 120s every 20s for 5s partition A from B",
    ),
];

const GROUPS: &str = "group A = {1, 2}\ngroup B = 3\n";

fn parse(rule: &str) -> Script {
    let text = format!("{GROUPS}{rule}\n");
    Script::parse(&text).unwrap_or_else(|error| panic!("{rule}: {error}\n{}", error.excerpt()))
}

#[test]
fn every_kind_is_read_and_written() {
    for (rule, canonical) in FORMS {
        let script = parse(rule);
        assert_eq!(script.to_string(), format!("{GROUPS}{canonical}\n"));
        let again = Script::parse(&script.to_string()).unwrap();
        assert_eq!((again.faults[0].fault == script.faults[0].fault, again.faults[0].when), {
            (true, script.faults[0].when)
        });
    }
    let mut names: Vec<&str> = FORMS.iter().map(|(rule, _)| parse(rule).faults[0].fault.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 24, "{names:?}");
}

#[test]
fn mistakes_are_told_where_they_are() {
    let of = |text: &str| {
        let error = Script::parse(text).map(|script| Plan::new(&script, 9, None));
        let error = match error {
            Ok(planned) => planned.err().unwrap_or_else(|| panic!("{text} is accepted")),
            Err(error) => error,
        };
        (error.line, error.column, error.message)
    };
    let cases = [
        ("at 1s loss 5", 12, "a share is in percent, from 0% to 100%"),
        ("at 1s loss 101%", 12, "a share is in percent, from 0% to 100%"),
        ("at 1s loss 5% between {1}", 26, "`and` was expected here"),
        ("at 1s partition all", 20, "a partition is between parts, and this is all"),
        ("at 1s partition {1..3} from {3..5}", 7, "node 3 is on two sides of this partition"),
        ("at 1s partition rest from rest", 7, "only one part of a rule can be the rest"),
        ("at 1s pause {5..3}", 14, "this range ends before it begins"),
        ("at 1s pause {0}", 14, "the number of a node, from 1, was expected, not `0}`"),
        ("at 1s pause {3..12}", 7, "there is no node 12: the run has 9"),
        ("at 1s pause left", 7, "no group is called `left`: `group left = {1..5}` makes one"),
        ("from 1s to 2s restart 1", 15, "restart happens at an instant (`at`), it does not last"),
        ("at 1s slow {1} by 0.5 times", 19, "this is not from 1 to 1000000 times"),
        ("at 1s clock of {1} late", 20, "`ahead` or `behind` or `fast` or `slow` was expected, not `late`"),
        ("at 1s bandwidth 10MB", 17, "`10MB` is not a rate such as 10Mbps, 512kbps or 1Gbps"),
        ("at 1s every 2s for 1s drop", 7, "`every` needs a period (`from ... to ...`)"),
        ("from 1s to 9s every 2s for 3s drop", 15, "each time ends after the next has begun"),
        ("from 1s to 9s drop for 3s", 20, "`for` needs an instant (`at`): the rule has a period"),
        ("group rest = {1}", 7, "`rest` has a meaning of its own"),
    ];
    for (text, column, message) in cases {
        assert_eq!(of(text), (1, column, message.to_owned()), "{text}");
    }
    let (line, _, message) = of("group a = {1}\ngroup a = {2}\nat 1s drop");
    assert_eq!((line, message.as_str()), (2, "the group `a` is told a second time"));
    let (_, _, message) = of("at 1s jion 10");
    assert!(message.contains("or a fault such as `crash`"), "{message}");
}

#[test]
fn churn_and_faults_share_a_script() {
    let script = Script::parse("seed 4\nat 0s join 10\nat 5s crash {1} for 5s\nat 9s leave 50%\n").unwrap();
    assert_eq!((script.rules.len(), script.faults.len()), (2, 1));
    assert_eq!(Script::parse(&script.to_string()).unwrap().faults[0].fault, script.faults[0].fault);
}

/// Everything that happens, with all there.
fn followed(text: &str, population: u32) -> Vec<(u64, Strike)> {
    let script = Script::parse(text).unwrap();
    let mut plan = Plan::new(&script, population, None).unwrap();
    let mut happened = Vec::new();
    while let Some(at) = plan.next_at() {
        while let Some(strike) = plan.due(at, || (1..=population).collect()) {
            happened.push((at.as_secs(), strike));
        }
    }
    happened
}

#[test]
fn faults_begin_and_end_in_their_order() {
    let happened = followed("from 2s to 4s pause {1}\nat 4s pause {2} for 2s\nat 1s restart {3}\n", 5);
    let pause = |node| Fault::Pause(Nodes::These([node].into()));
    let expected = [
        (2, Strike::Begin(StrikeId(1), pause(1))),
        // One ends before the other begins.
        (4, Strike::End(StrikeId(1), pause(1))),
        (4, Strike::Begin(StrikeId(2), pause(2))),
        (6, Strike::End(StrikeId(2), pause(2))),
    ];
    assert_eq!(happened[1..], expected);
    assert!(matches!(&happened[0], (1, Strike::Begin(StrikeId(0), Fault::Restart { .. }))));
}

#[test]
fn a_fault_that_comes_and_goes() {
    let happened = followed("from 10s to 31s every 10s for 4s drop", 2);
    let times: Vec<(u64, bool)> =
        happened.iter().map(|(at, strike)| (*at, matches!(strike, Strike::Begin(..)))).collect();
    assert_eq!(times, [(10, true), (14, false), (20, true), (24, false), (30, true), (31, false)]);
}

#[test]
fn nodes_are_drawn_among_those_there() {
    let script = Script::parse("group g = 3\nat 1s crash 50%\nat 2s partition 4 from g from rest\n").unwrap();
    let up: Vec<u32> = (10..20).collect();
    let draw = |seed| {
        let mut plan = Plan::new(&script, 30, Some(seed)).unwrap();
        let crash = plan.due(S(1), || up.clone());
        let partition = plan.due(S(2), || up.clone());
        assert!(plan.due(S(9), || up.clone()).is_none());
        (crash.unwrap(), partition.unwrap())
    };
    let (Strike::Begin(_, Fault::Crash { nodes: Nodes::These(crashed), .. }), partition) = draw(7) else {
        panic!("a crash of some nodes");
    };
    assert_eq!(crashed.len(), 5);
    assert!(crashed.iter().all(|node| up.contains(node)), "{crashed:?}");
    let Strike::Begin(_, Fault::Partition(groups)) = partition else { panic!("a partition") };
    let sizes: Vec<usize> = groups.iter().map(|group| group.of(30).len()).collect();
    assert_eq!(sizes, [4, 3, 23]);
    let all: std::collections::BTreeSet<u32> = groups.iter().flat_map(|group| group.of(30)).collect();
    assert_eq!(all.len(), 30, "no node is in two groups");
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    // A small share of few is still one.
    let one = followed("at 1s pause 1%", 3);
    assert!(matches!(&one[0].1, Strike::Begin(_, Fault::Pause(Nodes::These(nodes))) if nodes.len() == 1));
}

#[test]
fn who_is_cut_from_whom() {
    let begun = |text| match followed(text, 6).remove(0).1 {
        Strike::Begin(_, fault) => fault,
        Strike::End(..) => panic!("an end first"),
    };
    let partition = begun("at 1s partition {1, 2} from {3}");
    let cut = |fault: &Fault<Nodes>, from, to| fault.cuts(from, to);
    assert!(
        cut(&partition, 1, 3) && cut(&partition, 4, 1) && !cut(&partition, 1, 2) && !cut(&partition, 4, 5)
    );
    let one_way = begun("at 1s drop from {1} to all");
    assert!(cut(&one_way, 1, 2) && !cut(&one_way, 2, 1));
    let off = begun("at 1s crash {1} silently");
    assert!(cut(&off, 1, 2) && cut(&off, 2, 1) && !cut(&off, 2, 3));
    assert!(!cut(&begun("at 1s crash {1}"), 1, 2));
}
