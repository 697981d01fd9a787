//! `splay churn`, judged by what it prints; the documents' examples are run.

mod support;

use std::time::Duration;

use support::{Outcome, Place, free_ports};

const DOCUMENT: &str = include_str!("../../../docs/reference/churn.md");

/// Fenced blocks: their language and their text.
fn blocks(document: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line.strip_prefix("```") {
            Some(language) if !inside => {
                found.push((language, String::new()));
                inside = true;
            }
            Some(_) => inside = false,
            None if inside => found.last_mut().expect("a block is open").1.extend([line, "\n"]),
            None => {}
        }
    }
    found
}

#[test]
fn examples_of_the_reference() {
    let place = Place::new();
    let mut compared = 0;
    for (language, text) in blocks(DOCUMENT) {
        if let "churn" | "trace" | "csv" = language {
            let name = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a file's name");
            place.write(name, &text);
        }
        if language != "console" {
            continue;
        }
        for example in text.split("$ ").filter(|example| !example.is_empty()) {
            let (line, expected) = example.split_once('\n').expect("a command line");
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[0], "splay", "{line}");
            let outcome = Outcome::of(place.splay(&words[1..]));
            // Where the document shows nothing, success is enough.
            if expected.is_empty() {
                assert_eq!(outcome.status, Some(0), "{line}: {outcome:#?}");
            } else {
                assert_eq!(outcome.out + &outcome.err, expected, "{line}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 6, "{compared}");
    let svg = place.read("paper.svg");
    assert!(svg.starts_with("<svg ") && svg.contains("nodes there"), "{svg}");
}

#[test]
fn expanded_script_is_a_trace_of_the_same_figures() {
    let place = Place::new();
    place.write("a.churn", "at 0s join 20\nfrom 0s to 5m const churn 50% gracefully\nat 6m stop\n");
    let expanded = Outcome::of(place.splay(&["churn", "expand", "a.churn", "--seed", "9"])).ended(0).out;
    assert!(expanded.starts_with("# splay churn expand a.churn --seed 9\n0 "), "{expanded}");
    place.write("a.trace", &expanded);
    let stats = |words: &[&str]| {
        let mut all = vec!["churn", "stats", "--json"];
        all.extend(words);
        Outcome::of(place.splay(&all)).ended(0).out
    };
    let of_trace = stats(&["a.trace"]);
    assert_eq!(stats(&["a.churn", "--seed", "9"]), of_trace);
    let figures: serde_json::Value = serde_json::from_str(&of_trace).expect("JSON");
    assert_eq!((figures["joins"].as_u64(), figures["graceful"].as_u64()), (Some(30), Some(10)));
    assert_eq!(figures["population"]["end"], 0);
    let again = Outcome::of(place.splay(&["churn", "expand", "a.trace"])).ended(0).out;
    assert_eq!(Some(again.as_str()), expanded.split_once('\n').map(|(_, trace)| trace));
}

#[test]
fn mistakes_have_their_status() {
    let place = Place::new();
    place.write("bad.trace", "0 10 5\n");
    place.write("odd.churn", "at 0s join 3\nat 5s leave 4\n");
    place.write("one.csv", "a 0 10\n");
    for (words, status, part) in [
        (&["churn", "check", "missing"] as &[&str], 3, "no such file: missing"),
        (&["churn", "check", "."], 3, "is a folder, not a file"),
        (&["churn", "check", "bad.trace"], 4, "bad.trace:1:6: `5` comes after `10`"),
        (&["churn", "expand", "odd.churn"], 4, "odd.churn:2:7: nobody can leave at 5s"),
        (&["churn", "convert", "one.csv", "-n", "2"], 2, "one.csv: 2 nodes are asked for, and 1"),
        (&["churn", "convert", "one.csv", "--speed", "0"], 2, "--speed: a speed is more than 0"),
        (&["churn", "convert", "bad.trace", "--for", "0s"], 2, "must be more than 0"),
        (
            &["churn", "stats", "odd.churn", "--ignore-empty", "--until", "9999h", "--interval", "1ms"],
            2,
            "--interval",
        ),
        (&["churn", "plot", "odd.churn", "--ignore-empty", "-o", "no/where.svg"], 6, "write `no/where.svg`"),
    ] {
        let outcome = Outcome::of(place.splay(words)).ended(status);
        assert!(outcome.err.contains(part), "{words:?}: {outcome:#?}");
    }
    let mended = Outcome::of(place.splay(&["churn", "check", "odd.churn", "--ignore-empty"])).ended(0);
    assert!(mended.err.starts_with("splay: warning: odd.churn:2:7: some leaves are left out"), "{mended:#?}");
    let piped = place.splay(&["churn", "check", "-"]).write_stdin("0 5\n").output().expect("it runs");
    assert!(Outcome::from(piped).ended(0).out.starts_with("trace: 1 node, "));
}

/// `splay run app.lua --churn a.trace WORDS` on free ports.
fn run(place: &Place, nodes: u16, words: &[&str]) -> Outcome {
    let first = free_ports(nodes).to_string();
    let mut all = vec!["run", "app.lua", "--churn", "a.trace", "--first-port", &first];
    all.extend(words);
    let mut command = place.splay(&all);
    command.timeout(Duration::from_secs(100));
    Outcome::of(command)
}

/// The events of churn of the last run: instance, action, when it was due and how late it was.
fn churned(place: &Place) -> Vec<(u64, String, f64, f64)> {
    let journal = place.result("events.jsonl");
    let events = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    events
        .filter(|event| event["event"] == "churn")
        .map(|event| {
            let number = |name: &str| event[name].as_f64().expect("a number");
            let action = event["action"].as_str().expect("a word").to_owned();
            (number("instance") as u64, action, number("due"), number("late"))
        })
        .collect()
}

#[test]
fn instances_start_and_stop_at_their_times() {
    let place = Place::with(
        "require 'splay.base'
         local function ports(nodes)
           local all = {} for i, n in ipairs(nodes) do all[i] = n.port - job.me.port + job.position end
           return table.concat(all, ' ')
         end
         print('up', math.random(1, 1e6), '|', ports(job.nodes), '|', job.total)
         job.on_stop = function() print('leaves') events.sleep(0.05) print('has left') end
         events.run(function()
           local before = ports(job.nodes())
           while true do
             events.sleep(0.02)
             local now = ports(job.get_live_nodes())
             if now ~= before then print('now', now) before = now end
           end
         end)",
    );
    place.write("a.trace", "0\n0 0.6 1.4 2.2\n0.3 1.0g\n");
    let outcome = run(&place, 3, &["--for", "3s", "--workers", "2"]).ended(0);
    let of = |instance: u32, word: &str| -> Vec<String> {
        let lines = outcome.out.lines().map(support::without_prefix);
        let mine = lines.filter(|(who, text)| *who == instance && text.starts_with(word));
        mine.map(|(_, text)| text.replace('\t', " ")).collect()
    };
    let told = |line: &String| line.split(" | ").nth(1).expect("three parts").to_owned();
    // Who has been there for longest comes first; the one that comes back is the last.
    let lists = |instance| of(instance, "up").iter().map(told).collect::<Vec<_>>();
    assert_eq!(
        (lists(1), lists(2), lists(3)),
        (vec!["1 2".into()], vec!["1 2".into(), "1 2".into()], vec!["1 2 3".into()])
    );
    assert_eq!(of(1, "now"), ["now 1 2 3", "now 1 3", "now 1", "now 1 2", "now 1"]);
    assert_eq!((of(3, "leaves").len(), of(3, "has left").len(), of(2, "leaves").len()), (1, 1, 0));
    let again = of(2, "up");
    assert_ne!(again[0], again[1], "it draws other numbers");
    let events = churned(&place);
    let mut order: Vec<_> =
        events.iter().map(|(node, action, due, _)| (*due, action.as_str(), *node)).collect();
    order.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    let expected = [
        (0.0, "start", 1),
        (0.0, "start", 2),
        (0.3, "start", 3),
        (0.6, "stop", 2),
        (1.0, "leave", 3),
        (1.4, "start", 2),
        (2.2, "stop", 2),
    ];
    assert_eq!(order, expected);
    assert!(events.iter().all(|(.., late)| (0.0..2.0).contains(late)), "{events:?}");
    let summary = place.summary();
    assert_eq!(summary["churn_late_seconds"]["count"], 7);
    assert_eq!((&summary["per_instance"][1]["starts"], &summary["never_started"]), (&2.into(), &0.into()));
    assert!(outcome.err.contains("splay: churn: 7 events, late by "), "{outcome:#?}");
    assert_eq!(place.result("churn.trace"), "0\n0 0.6 1.4 2.2\n0.3 1g\n");
}

#[test]
fn run_ends_when_nothing_can_start_any_more() {
    let place = Place::with("require 'splay.base' job.on_stop = function() events.sleep(100) end
        events.run(function() events.sleep(0.1) if job.position == 1 then os.exit(0) end events.sleep(100) end)");
    // The second is told to leave and does not: it is closed after the grace.
    place.write("a.trace", "0 50\n0.2 0.4g\n0.5 0.8\n");
    let outcome = run(&place, 3, &["--grace", "300ms"]).ended(0);
    let summary = place.summary();
    assert!(summary["duration_seconds"].as_f64().expect("a number") < 30.0, "{summary}");
    assert_eq!(summary["ended_well"], 3, "{outcome:#?}");
}

#[test]
fn failures_are_not_forgotten_when_an_instance_comes_back() {
    let place = Place::with("if not io.open('once') then io.open('once', 'w') error('first time') end");
    place.write("a.trace", "0 0.5 0.8\n");
    let outcome = run(&place, 1, &[]).ended(1);
    assert!(outcome.err.contains("[1] failed: app.lua:1: first time"), "{outcome:#?}");
    let summary = place.summary();
    assert_eq!((&summary["failed"], &summary["per_instance"][0]["starts"]), (&1.into(), &2.into()));
}

#[test]
fn options_of_churn_in_a_run() {
    let place = Place::with("print(job.total)");
    place.write("a.trace", "at 0s join 3\nat 1s stop\n");
    run(&place, 3, &["--churn-seed", "5"]).ended(0);
    let options: serde_json::Value = serde_json::from_str(&place.result("options.json")).expect("JSON");
    assert_eq!((&options["churn_seed"], &options["instances"]), (&5.into(), &3.into()));
    let line = options["command_line"].as_array().expect("words");
    let words: Vec<&str> = line[1..].iter().map(|word| word.as_str().expect("a word")).collect();
    Outcome::of(place.splay(&words)).ended(0);
    for (words, status, part) in [
        (
            &["run", "app.lua", "--churn", "a.trace", "-n", "4"] as &[&str],
            2,
            "cannot be used with '--instances <N>'",
        ),
        (&["run", "app.lua", "--churn", "none"], 3, "no such file: none"),
        (&["run", "app.lua", "--churn", "app.lua"], 4, "app.lua:1:1: `at TIME`"),
        (&["run", "app.lua", "--churn-seed", "4"], 2, "--churn <FILE>"),
        (
            &["run", "app.lua", "--churn", "a.trace", "--only", "4"],
            2,
            "--only names instance 4, and there are 3",
        ),
    ] {
        let outcome = Outcome::of(place.splay(words)).ended(status);
        assert!(outcome.err.contains(part), "{words:?}: {outcome:#?}");
    }
}

/// Chord finds its ring again after nodes crashed, left and came back.
#[test]
fn chord_under_churn() {
    let place = Place::with(include_str!("../../../apps/chord.lua"));
    place.write("a.trace", "0\n0 4.1 5\n0\n0 6.2g\n0 3.5\n0\n0\n1.5 5.5 6.5\n2\n2.5 4.5\n3\n");
    let outcome = run(&place, 11, &["--seed", "3", "--", "after=7", "timeout=1"]);
    let verdict: Vec<&str> = outcome.lines().into_iter().filter(|line| line.starts_with("ring")).collect();
    assert_eq!(verdict, ["ring correct: 8 nodes"], "{outcome:#?}");
    assert_eq!(outcome.status, Some(0));
}
