//! Whether a command printed what the page shows.
//!
//! What differs from run to run is not compared: the time in front of a line, the names of folders of
//! results, ports, how long something took, and the warnings of the scheduler that a machine is too busy
//! for a periodic function. `...` stands for any text within a line, alone on a line for
//! any lines. Runs of blanks are one.

/// Line by line.
pub fn same(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (lines(shown), lines(printed));
    in_order(&shown, &printed)
}

/// The same lines in any order; a line `...` allows for others.
pub fn same_lines(shown: &str, printed: &str) -> bool {
    let (mut shown, printed) = (lines(shown), lines(printed));
    let before = shown.len();
    shown.retain(|line| line != "...");
    if shown.len() > printed.len() || (shown.len() == before && shown.len() < printed.len()) {
        return false;
    }
    let mut taken_by = vec![None; printed.len()];
    (0..shown.len())
        .all(|line| find_place(line, &shown, &printed, &mut taken_by, &mut vec![false; printed.len()]))
}

/// Gives a line shown a line printed of its own; those placed before may have to move.
fn find_place(
    line: usize,
    shown: &[String],
    printed: &[String],
    taken_by: &mut Vec<Option<usize>>,
    seen: &mut Vec<bool>,
) -> bool {
    for place in 0..printed.len() {
        if seen[place] || !line_matches(&shown[line], &printed[place]) {
            continue;
        }
        seen[place] = true;
        let free = match taken_by[place] {
            None => true,
            Some(other) => find_place(other, shown, printed, taken_by, seen),
        };
        if free {
            taken_by[place] = Some(line);
            return true;
        }
    }
    false
}

fn in_order(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=printed.len()).any(|skip| in_order(rest, &printed[skip..]))
        }
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && in_order(rest, others)),
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let parts: Vec<&str> = shown.split("...").collect();
    let Some(mut rest) = printed.strip_prefix(parts[0]) else { return false };
    let Some((last, between)) = parts[1..].split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn lines(text: &str) -> Vec<String> {
    let late = |line: &&str| !line.contains("[splay.events] W: Periodic: ");
    text.lines().filter(late).map(comparable).filter(|line| !line.is_empty()).collect()
}

/// A line without what differs from run to run.
fn comparable(line: &str) -> String {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    // `[ 3]    0.513 text` is split as `[`, `3]`, `0.513`, ...
    let prefix = words.iter().take(2).position(|word| word.ends_with(']'));
    if let Some(end) = prefix.filter(|_| line.starts_with('[')) {
        let instance = words.drain(..=end).collect::<String>();
        if words.first().is_some_and(|word| is_time(word)) {
            words[0] = "TIME".into();
        }
        words.insert(0, instance);
    } else if words.first().is_some_and(|word| is_time(word)) {
        words[0] = "TIME".into(); // a line of instances/N.log
    }
    for index in 0..words.len() {
        if is_run_folder(&words[index]) {
            let (parent, _) = words[index].rsplit_once('/').unwrap_or_default();
            words[index] = format!("{parent}/RUN");
        } else if let Some(colon) = words[index].find("127.0.0.1:") {
            let digits = colon + "127.0.0.1:".len();
            let end = words[index][digits..]
                .find(|c: char| !c.is_ascii_digit())
                .map_or(words[index].len(), |n| digits + n);
            words[index].replace_range(digits..end, "PORT");
        } else if index > 0 && words[index - 1] == "in" && words[index].parse::<f64>().is_ok() {
            // `50 instances in 5.64 s: ...`
            if words.get(index + 1).is_some_and(|word| word.starts_with("s:")) {
                words[index] = "TIME".into();
            }
        } else if index > 0 && words[index - 1] == "after" && words[index].parse::<f64>().is_ok() {
            // `timeout after 2.0 s`: a busy machine takes longer
            words[index] = "TIME".into();
        }
    }
    words.join(" ")
}

/// Seconds to the millisecond.
fn is_time(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    word.split_once('.').is_some_and(|(whole, part)| part.len() == 3 && digits(whole) && digits(part))
}

/// `runs/app/20260215T094521Z-cb76`.
fn is_run_folder(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    name.len() == 21 && name.as_bytes()[8] == b'T' && name.as_bytes()[15..17] == *b"Z-"
}

#[test]
fn what_may_differ() {
    let shown = "[ 1]    0.503 hello\t...!\nsplay: 5 instances in 1.11 s: 5 finished\n\
                 splay: results in runs/a/20260215T094521Z-cb76\n...\nat 127.0.0.1:20001";
    let printed = "[1]    7.001 hello you!\nsplay: 5 instances in 12.1 s: 5 finished\n\
                   splay: results in runs/a/20300101T000000Z-0000\nmore\nand more\nat 127.0.0.1:40001\n";
    assert!(same(shown, printed));
    assert!(same(
        "[1] 0.1 no after 0.5 s",
        "[1] 0.1 no after 0.6 s\n[2] 0.2 [splay.events] W: Periodic: x is not"
    ));
    assert!(!same(shown, &printed.replace("[1]", "[2]")));
    assert!(!same(shown, &printed.replace("you!", "you")));
    assert!(!same(shown, &format!("{printed}more")));
    assert!(same("[10] 0.100 a\n", "[10]   0.200 a") && !same("[10] 0.100 a\n", "[10] b a"));
}

#[test]
fn any_order_uses_each_line_once() {
    assert!(same_lines("a...\nab\n", "ab\nac\n"));
    assert!(!same_lines("ab\nab\n", "ab\nac\n"));
    assert!(!same_lines("ab\n", "ab\nac\n"));
    assert!(same_lines("ab\n...\n", "ac\nab\n"));
}
