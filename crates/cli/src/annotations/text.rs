//! The text of a comment: what of it is prose, what an example, what says something of a fixed kind
//! (`Errors:`, `Since:`, `Manual:`).

/// A piece of Lua that shows how something is used. `--> result` after an expression tells what it
/// gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Example {
    /// Its lines.
    pub lines: Vec<String>,
    /// Why it is not run by the tests, if it is not.
    pub not_run: Option<String>,
}

/// The parts of a comment's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// What it says, line by line.
    pub prose: Vec<String>,
    /// How it is used.
    pub examples: Vec<Example>,
    /// What it returns or raises when it fails.
    pub errors: Option<String>,
    /// The version that had it first.
    pub since: Option<String>,
    /// The section of the manual of the original that describes it.
    pub manual: Option<String>,
}

/// What begins a listing, and what may follow on that line.
const FENCE: &str = "```";
const NOT_RUN: &str = "lua not run:";

/// Whether a line of text begins something of its own, and cannot continue a sentence before it.
pub fn stands_alone(line: &str) -> bool {
    line.is_empty()
        || line.starts_with(FENCE)
        || is_span(line)
        || label(line).is_some()
        || line.starts_with("Example: ")
}

/// Whether a line is one code span.
fn is_span(line: &str) -> bool {
    line.len() > 2
        && line
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'))
            .is_some_and(|code| !code.contains('`'))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Errors,
    Since,
    Manual,
}

/// The label at the beginning of a line, and the rest of the line.
fn label(line: &str) -> Option<(Label, &str)> {
    [("Errors:", Label::Errors), ("Since:", Label::Since), ("Manual:", Label::Manual)]
        .into_iter()
        .find_map(|(word, label)| Some((label, line.strip_prefix(word)?.trim())))
}

/// Takes the text of a comment apart.
pub fn parts(lines: &[String]) -> Text {
    let mut text = Text::default();
    let mut lines = lines.iter().map(String::as_str).peekable();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix(FENCE) {
            let listing = lines.by_ref().take_while(|line| !line.starts_with(FENCE)).map(str::to_owned);
            let listing: Vec<String> = listing.collect();
            let not_run = info.strip_prefix(NOT_RUN).map(|reason| reason.trim().to_owned());
            text.examples.push(Example { lines: listing, not_run });
        } else if is_span(line) {
            let mut example = Example { lines: vec![line.trim_matches('`').to_owned()], not_run: None };
            while let Some(next) = lines.next_if(|line| is_span(line)) {
                example.lines.push(next.trim_matches('`').to_owned());
            }
            text.examples.push(example);
        } else if let Some((code, result)) =
            line.strip_prefix("Example: `").and_then(|rest| rest.split_once('`'))
        {
            let mut shown = vec![format!("{code}{}{result}", if result.is_empty() { "" } else { " " })];
            while let Some(next) = lines.next_if(|line| line.trim_start().starts_with("-->")) {
                shown.push(next.to_owned());
            }
            text.examples.push(Example { lines: shown, not_run: None });
        } else if let Some((label, said)) = label(line) {
            let mut said = said.to_owned();
            while let Some(next) = lines.next_if(|line| !stands_alone(line)) {
                said.push(' ');
                said.push_str(next.trim());
            }
            match label {
                Label::Errors => text.errors = Some(said),
                Label::Since => text.since = Some(said),
                Label::Manual => text.manual = Some(said),
            }
        } else if !(line.is_empty() && text.prose.last().is_none_or(String::is_empty)) {
            text.prose.push(line.to_owned());
        }
    }
    if text.prose.last().is_some_and(String::is_empty) {
        text.prose.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Text {
        parts(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    fn example(lines: &[&str], not_run: Option<&str>) -> Example {
        Example {
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
            not_run: not_run.map(str::to_owned),
        }
    }

    #[test]
    fn prose_and_labels() {
        let text = read(
            "Waits.\nNot long.\n\n`f()  --> 1`\n\nErrors: nil, \"timeout\"\nafter a while\nSince: 0.2\nManual: 'events'",
        );
        assert_eq!(text.prose, ["Waits.", "Not long."]);
        assert_eq!(text.errors.unwrap(), "nil, \"timeout\" after a while");
        assert_eq!((text.since.unwrap(), text.manual.unwrap()), ("0.2".into(), "'events'".into()));
    }

    #[test]
    fn examples_of_every_form() {
        let text = read(
            "`local s = f()`\n`s.x  --> 1`\nand\n```lua\nf()\n\n--> 2\n```\n```lua not run: no server\ng()\n```\nExample: `h()` --> 3\n  --> 4",
        );
        assert_eq!(text.prose, ["and"]);
        let expected = [
            example(&["local s = f()", "s.x  --> 1"], None),
            example(&["f()", "", "--> 2"], None),
            example(&["g()"], Some("no server")),
            example(&["h()  --> 3", "  --> 4"], None),
        ];
        assert_eq!(text.examples, expected);
    }

    #[test]
    fn a_sentence_with_code_in_it_is_prose() {
        for line in ["`a` and `b`", "see `c`"] {
            assert_eq!(read(line).prose, [line]);
            assert!(!stands_alone(line));
        }
    }
}
