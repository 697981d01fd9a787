//! The language as a whole: its spellings, and what scripts amount to.

use std::time::Duration;

use super::order::order;
use super::script::{Action, Churn, Quantity, When};
use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

/// The samples of the original's distribution.
const SAMPLES: &str = "\
at 0s set replacement ratio 50%
at 0s set max pop 2000
from 0 second to 2 minutes and 30 seconds increase 100
from 3m,10s to 1h,20m,30s keep churn 100% per 30m
at 2 hours, 30 minutes and 20 seconds decrease 50
at ((3*30)+6) minutes increase 100
from 0s to 10m increase 10 churn 10%
at 2 days stop
";

/// The script behind a figure of the original's paper.
const FIGURE: &str = "\
at 30s join 10
from 5m to 10m inc 10
from 10m to 15m const churn 50%
at 15m leave 50%
from 15m to 20m inc 10 churn 150%
at 20m stop
";

fn parsed(text: &str) -> Script {
    Script::parse(text).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()))
}

fn expanded(text: &str, settings: &Settings) -> Trace {
    let script = parsed(text);
    expand(&script, settings).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt())).trace
}

fn plain(text: &str) -> Trace {
    expanded(text, &Settings::default())
}

fn refused(text: &str, settings: &Settings) -> SourceError {
    expand(&parsed(text), settings).expect_err(text)
}

/// Population just before and at times in seconds.
fn populations(trace: &Trace, seconds: &[u64]) -> Vec<u32> {
    seconds.iter().map(|&at| trace.population(S(at))).collect()
}

#[test]
fn samples_of_the_original() {
    let trace = plain(SAMPLES);
    assert_eq!(populations(&trace, &[0, 150]), [0, 103]);
    // Churn keeps the population up to at most one in each part of the period.
    for at in [600, 2000, 4829, 5400] {
        assert!((105..=115).contains(&trace.population(S(at))), "at {at}: {}", trace.population(S(at)));
    }
    assert_eq!(
        populations(&trace, &[5759, 5760, 9019, 9020, 172_799, 172_800]),
        [110, 210, 210, 160, 160, 0]
    );
    let stats = Statistics::of(&trace, None, None);
    // 100 % each 30 minutes of 77 minutes 20: 2.58 times about 109, and 10 % of about 60.
    let churned = stats.joins - 210;
    assert!((275..=300).contains(&churned), "{churned}");
    assert!(stats.population.max <= 211);
}

#[test]
fn script_of_the_figure() {
    let trace = plain(FIGURE);
    assert_eq!(populations(&trace, &[29, 30, 299, 300, 450, 600]), [0, 10, 10, 10, 15, 20]);
    assert_eq!(populations(&trace, &[899, 900, 1199, 1200]), [20, 10, 20, 0]);
    let stats = Statistics::of(&trace, None, Some(S(300)));
    // 50 % of 20 in the third five minutes, 150 % of 15 in the last; 10 go before, 20 at the end.
    let rows: Vec<_> = stats.intervals.iter().map(|row| (row.joins, row.leaves)).collect();
    assert_eq!(rows[..3], [(10, 0), (10, 0), (10, 10)]);
    let (joins, leaves) = rows[3];
    assert!((31..=33).contains(&joins) && leaves == joins + 20, "{rows:?}");
    assert_eq!(stats.population.end, 0);
}

#[test]
fn all_spellings() {
    let rule = |text: &str| {
        let rule = parsed(text).rules.remove(0);
        (rule.when, rule.action, rule.churn)
    };
    let nodes = |n: f64| Quantity::Nodes(n);
    let at = |text: &str| match rule(&format!("at {text} stop")).0 {
        When::At(at) => at.as_secs_f64(),
        When::During(..) => unreachable!(),
    };
    for (text, seconds) in [
        ("0s", 0.0),
        ("0", 0.0),
        ("1 second", 1.0),
        ("2 Seconds", 2.0),
        ("3S", 3.0),
        ("1m", 60.0),
        ("1M", 60.0),
        ("2 minutes", 120.0),
        ("1 Hour", 3600.0),
        ("2H", 7200.0),
        ("1d", 86400.0),
        ("2 Days", 172_800.0),
        ("250ms", 0.25),
        ("1.5m", 90.0),
        ("0.5 s", 0.5),
        ("1m30s", 90.0),
        ("3m,10s", 190.0),
        ("1h,20m,30s", 4830.0),
        ("1m + 1s and 1s", 62.0),
        ("2 hours, 30 minutes, and 20 seconds", 9020.0),
        ("5m-10s", 290.0),
        ("((3*30)+6) minutes", 5760.0),
        ("3+6 minutes", 540.0),
        ("2*3s", 6.0),
        ("2*(1m+30s)", 180.0),
        ("(1m + 30s)*2", 180.0),
        ("(1+1)*(1m - 30s)", 60.0),
        ("4*d", 345_600.0),
        ("10-2-3 s", 5.0),
    ] {
        assert_eq!(at(text), seconds, "{text}");
    }
    for word in ["join", "add", "increase", "inc", "JOIN"] {
        assert_eq!(rule(&format!("at 1s {word} 2*(3+4)-1")).1, Action::Join(nodes(13.0)));
    }
    for word in ["leave", "remove", "decrease", "dec"] {
        assert_eq!(rule(&format!("at 1s {word} 5%")).1, Action::Leave(Quantity::Percent(5.0), Leave::Crash));
        let graceful = Action::Leave(nodes(5.0), Leave::Graceful);
        assert_eq!(rule(&format!("at 1s {word} 5 gracefully")).1, graceful);
    }
    for text in ["set maximum population to 5", "set max pop 5", "set max population 5"] {
        assert_eq!(rule(&format!("at 1s {text}")).1, Action::MaxPopulation(nodes(5.0)));
    }
    for text in ["replacement ratio to 5%", "repratio 5%", "rep.ratio 5%", "replacement ratio 5 %"] {
        assert_eq!(rule(&format!("at 1s set {text}")).1, Action::ReplacementRatio(5.0));
    }
    for word in ["const", "keep"] {
        for (text, per) in
            [("", None), ("/1m", Some(S(60))), (" per 1m", Some(S(60))), (" each 1m", Some(S(60)))]
        {
            let churn = Churn { quantity: Quantity::Percent(12.5), per, leave: Leave::Crash };
            let (when, action, found) = rule(&format!("from 0s to 1m {word} churn 12.5%{text}"));
            assert_eq!((when, action, found), (When::During(S(0), S(60)), Action::Const, Some(churn)));
        }
    }
    for word in ["stop", "end"] {
        assert_eq!(rule(&format!("at 1s {word}")).1, Action::Stop(Leave::Crash));
    }
    let commented = "/* a\n b */ at 1s join 1 // c\n# d\nat 2s /* e */ leave 1 # f\nseed 7\n";
    let script = parsed(commented);
    assert_eq!((script.rules.len(), script.seed), (2, Some(7)));
    assert_eq!(script.to_string(), "seed 7\nat 1s join 1\nat 2s leave 1\n");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (text, line, column, part) in [
        (
            "at 5m jion 10",
            1,
            7,
            "`set`, `join`, `leave`, `const`, `stop` or a fault such as `crash` was expected, not `jion`",
        ),
        ("at 5 join 10", 1, 4, "a time needs a unit"),
        ("at 5m join", 1, 11, "an amount such as 10 or 50% was expected here"),
        ("at 5m join -3", 1, 12, "not `-3`"),
        ("at 5m join 3-5", 1, 12, "cannot be negative"),
        ("at 5m join 10 nodes", 1, 15, "the end of the line was expected, not `nodes`"),
        ("at 5m-6m stop", 1, 4, "this time is negative"),
        ("at 5m + stop", 1, 9, "a time such as 30s"),
        ("at 2m*3m stop", 1, 4, "a time multiplied by a time"),
        ("at (5m stop", 1, 8, "`)` was expected"),
        ("from 5m join 10", 1, 9, "`to` and the end"),
        ("from 5m to 5m join 10", 1, 6, "ends before it has begun"),
        ("at 1s set pop 5", 1, 11, "`max population` or `replacement ratio`"),
        ("at 1s set replacement ratio 5", 1, 29, "in percent"),
        ("at 1s set repratio 101%", 1, 20, "at most 100%"),
        ("join 10", 1, 1, "`at TIME`"),
        ("from 0s to 1m const churn 5% per 0s", 1, 34, "per no time"),
        ("at 1s join 1\nat 40000d stop", 2, 4, "31 years"),
        ("seed x\nat 1s join 1", 1, 6, "a whole number"),
        ("seed 1\nseed 2\nat 1s join 1", 2, 6, "a second time"),
        ("# é /*\n/* é */ at 1s jion 1", 2, 15, "not `jion`"),
        ("", 1, 1, "at least one rule"),
        ("at 1s join 99999999999999999999", 1, 12, "too large"),
    ] {
        let error = Script::parse(text).expect_err(text);
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}\n{}", error.excerpt());
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let deep = format!("at {}1m{} stop", "(".repeat(500), ")".repeat(500));
    assert!(Script::parse(&deep).unwrap_err().message.contains("too many parentheses"));
}

#[test]
fn what_makes_no_sense_is_refused_or_mended() {
    let repair = Settings { repair: true, ..Settings::default() };
    for (rule, part, mended) in [
        ("at 1m const churn 10%", "churn needs a period", "at 60s const"),
        ("at 1m join 5 churn 10%", "churn needs a period", "at 60s join 5"),
        ("from 1m to 2m stop", "a stop is at an instant", "at 120s stop"),
        (
            "from 1m to 2m set max pop 50",
            "a setting is made at an instant",
            "at 60s set max population to 50",
        ),
        ("at 1m stop churn 10%", "churn needs `const`", "at 60s stop"),
    ] {
        let script = parsed(&format!("at 0s join 10\n{rule}"));
        let error = expand(&script, &Settings::default()).expect_err(rule);
        assert!(error.message.contains(part) && error.line == 2, "{rule}: {error}");
        let ordered = order(&script, &repair).unwrap();
        assert_eq!(ordered.rules[1].to_string(), mended);
        assert_eq!(ordered.warnings.len(), 1);
        assert!(expand(&script, &repair).is_ok());
    }
    let late = parsed("at 0s join 10\nfrom 0s to 2m join 10\nat 1m stop\nat 90s join 3");
    let error = expand(&late, &Settings::default()).unwrap_err();
    assert!(error.message.contains("after the stop"), "{error}");
    let mended = expand(&late, &repair).unwrap();
    assert_eq!(populations(&mended.trace, &[0, 59, 60, 120]), [10, 15, 0, 0]);
    assert_eq!(mended.warnings.len(), 2);
}

#[test]
fn leaves_need_somebody() {
    let script = "at 0s join 3\nat 10s leave 5";
    let error = refused(script, &Settings::default());
    assert_eq!((error.line, error.column), (2, 8));
    assert!(error.message.contains("nobody can leave at 10s: nobody is there"), "{error}");
    let ignoring = Settings { ignore_empty: true, ..Settings::default() };
    let expansion = expand(&parsed(script), &ignoring).unwrap();
    assert_eq!((expansion.trace.population(S(10)), expansion.warnings.len()), (0, 1));
}

#[test]
fn population_has_a_maximum() {
    let error = refused("at 0s set max pop 5\nat 1s join 6", &Settings::default());
    assert!(error.message.contains("5 nodes, the maximum"), "{error}");
    // New ones are wanted each time, and there is no room: those who were there come back.
    let back =
        plain("at 0s set max pop 5\nat 0s set repratio 100%\nat 1s join 5\nat 2s leave 5\nat 3s join 5");
    assert_eq!((back.nodes(), back.population(S(3))), (5, 5));
    let error = refused("at 0s join 5\nat 1s set max pop 4", &Settings::default());
    assert!(error.message.contains("5 nodes are there at 1s already"), "{error}");
    let full = plain("at 0s set max pop 10\nat 0s join 10\nfrom 0s to 10m const churn 300%");
    let stats = Statistics::of(&full, None, None);
    assert_eq!((stats.nodes, stats.population.max), (10, 10));
    assert_eq!(stats.joins, 10 + 30);
}

#[test]
fn replacement_ratio_decides_who_comes() {
    let with = |ratio: &str| {
        let script =
            format!("at 0s set replacement ratio {ratio}\nat 0s join 100\nfrom 0s to 1h const churn 400%");
        plain(&script).nodes()
    };
    // A new one where all are there.
    assert!((101..=120).contains(&with("0%")), "{}", with("0%"));
    assert_eq!(with("100%"), 100 + 400);
    let default = plain("at 0s join 100\nfrom 0s to 1h const churn 400%").nodes();
    // 400 x 20 %, with a deviation of 8.
    assert!((140..=220).contains(&default), "{default}");
}

#[test]
fn churn_follows_the_population_and_adds_up() {
    let churned = |script: &str, settings: &Settings| {
        let trace = expanded(script, settings);
        let stats = Statistics::of(&trace, None, Some(S(100)));
        stats.intervals.iter().map(|row| row.leaves).collect::<Vec<_>>()
    };
    // 10 % of 100, then of 200.
    let growing = "at 0s join 100\nfrom 0s to 200s const churn 20%\nat 100s join 100";
    let rows = churned(growing, &Settings::default());
    assert!(rows[0].abs_diff(10) <= 1 && rows[1].abs_diff(20) <= 1, "{rows:?}");
    let double = "at 0s join 100\nfrom 0s to 200s const churn 20%\nfrom 100s to 300s const churn 40%";
    let rows = churned(double, &Settings::default());
    assert!(rows[0].abs_diff(10) <= 1 && rows[1].abs_diff(30) <= 1 && rows[2].abs_diff(20) <= 1, "{rows:?}");
    let latest = Settings { latest_wins: true, ..Settings::default() };
    let rows = churned(double, &latest);
    assert!(rows[0].abs_diff(10) <= 1 && rows[1].abs_diff(20) <= 1 && rows[2].abs_diff(20) <= 1, "{rows:?}");
    // What is cut out of the middle leaves both ends.
    let inside = "at 0s join 100\nfrom 0s to 300s const churn 30%\nfrom 100s to 200s const churn 50%";
    let rows = churned(inside, &latest);
    assert!(rows[0].abs_diff(10) <= 1 && rows[1].abs_diff(50) <= 1 && rows[2].abs_diff(10) <= 1, "{rows:?}");
    // Amounts per time, also fractions of nodes.
    let slow = churned("at 0s join 100\nfrom 0s to 1000s const churn 0.5 per 10s", &Settings::default());
    assert_eq!(slow.iter().sum::<u64>(), 50);
}

#[test]
fn sessions_and_pauses_have_a_least_length() {
    let script = "at 0s join 100\nfrom 0s to 1h const churn 500%";
    let settings =
        Settings { min_offline: S(100), min_online: S(60), allow_creation: true, ..Settings::default() };
    let stats = Statistics::of(&expanded(script, &settings), None, None);
    assert!(stats.sessions.unwrap().min >= 60.0, "{stats:?}");
    assert!(stats.downtimes.unwrap().min >= 100.0, "{stats:?}");
    let without = Statistics::of(&plain(script), None, None);
    assert!(without.sessions.unwrap().min < 60.0 && without.downtimes.unwrap().min < 100.0);
    let strict = Settings { min_offline: S(100), ..Settings::default() };
    let error = refused("at 0s set repratio 0%\nat 0s join 5\nat 10s leave 5\nat 50s join 5", &strict);
    assert!(error.message.contains("no node has been away for 100s"), "{error}");
    let strict = Settings { min_online: S(100), ..Settings::default() };
    let error = refused("at 0s join 5\nat 10s leave 5", &strict);
    assert!(error.message.contains("no node has been there for 100s"), "{error}");
}

#[test]
fn order_at_an_instant() {
    // Stop, then a setting, then joins, whatever the order of lines.
    let trace = plain("at 1m stop\nat 1m join 5\nat 0s join 5\nat 0s set max pop 10");
    assert_eq!(populations(&trace, &[0, 59, 60]), [5, 5, 0]);
    // Nobody came and went at the same instant.
    assert_eq!(trace.nodes(), 5);
    let trace = plain("at 1m leave 50%\nfrom 0s to 1m join 10\nat 1m join 10");
    // Leave comes first in the file: 5 of 10 go, 10 come.
    assert_eq!(populations(&trace, &[59, 60]), [10, 15]);
}

#[test]
fn graceful_leaves_are_marked() {
    let trace = plain("at 0s join 4\nat 1s leave 1 gracefully\nat 2s leave 1\nat 3s stop gracefully");
    let actions: Vec<_> = trace.schedule().events()[4..].iter().map(|event| event.action).collect();
    use super::Action::{Leave, Stop};
    assert_eq!(actions, [Leave, Stop, Leave, Leave]);
    let churned = plain("at 0s join 10\nfrom 0s to 1m const churn 100% gracefully");
    let stats = Statistics::of(&churned, None, None);
    assert_eq!((stats.leaves, stats.graceful), (10, 10));
}

#[test]
fn seed_is_the_settings_or_the_scripts() {
    let script = format!("seed 7\n{FIGURE}");
    let seven = Settings { seed: Some(7), ..Settings::default() };
    let eight = Settings { seed: Some(8), ..Settings::default() };
    assert_eq!(plain(&script), expanded(FIGURE, &seven));
    assert_ne!(plain(&script), expanded(&script, &eight));
    assert_eq!(plain(FIGURE), plain(&format!("seed 1\n{FIGURE}")));
}

/// A seed gives the same trace in every version.
#[test]
fn expansion_is_golden() {
    let script = "seed 42\nat 0s join 3\nfrom 10s to 40s join 2 churn 100%\nat 1m leave 1 gracefully";
    assert_eq!(plain(script).to_string(), GOLDEN);
}

const GOLDEN: &str = "\
0 33.399
0 17.415 17.5
0 32.049 32.5
11.599
22.184 28.682 36.184
34.929 60g
";

#[test]
fn nobody_and_too_many_are_refused() {
    let error = refused("at 0s set max pop 5", &Settings::default());
    assert!(error.message.contains("no node ever starts"), "{error}");
    let error = refused("at 0s join 6000000", &Settings::default());
    assert!(error.message.contains("more than 5000000"), "{error}");
    let error = refused("at 0s join 2.5", &Settings::default());
    assert!(error.message.contains("2.5 is not a whole number"), "{error}");
}
