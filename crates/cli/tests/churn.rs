//! `splay churn`, judged by what it prints; the documents' examples are run.

mod support;

use support::{Outcome, Place};

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
