//! What is wrong with a command line, in one line: what clap says, and what was probably meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::likeness::likest;

/// Words that users of other tools try, and the options that may be meant: the first that the
/// command has.
const MEANT: &[(&[&str], &[&str])] = &[
    (
        &["nodes", "node", "instance", "peers", "processes", "count", "number", "num", "size", "n"],
        &["instances", "splayds"],
    ),
    (&["port", "base-port", "ports"], &["first-port"]),
    (&["time", "duration", "timeout", "time-limit", "limit", "seconds"], &["for"]),
    (&["output", "out", "results"], &["runs", "output"]),
    (&["threads", "cores", "cpus"], &["workers"]),
    (&["list", "list-length"], &["list-size"]),
];

/// What the standard library says of numbers, and what a user understands.
const NUMBERS: &[(&str, &str)] = &[
    ("invalid digit found in string", "not a whole number"),
    ("cannot parse integer from empty string", "not a whole number"),
    ("number too large to fit in target type", "too large"),
    ("number too small to fit in target type", "too small"),
    ("invalid float literal", "not a number"),
];

/// One line for an error in these words, the first of which is the program's name.
pub fn one_line(error: &clap::Error, definition: &clap::Command, words: &[String]) -> String {
    let (command, path) = command_of(definition, words);
    let told = match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(error, command),
        ErrorKind::UnknownArgument => unknown_argument(error, command),
        _ => None,
    };
    let mut line = told.unwrap_or_else(|| joined(error));
    for (standard, plain) in NUMBERS {
        line = line.replace(standard, plain);
    }
    format!("{line} (see `{path} --help`)")
}

/// The command that the words lead to, and how it is called.
fn command_of<'a>(definition: &'a clap::Command, words: &[String]) -> (&'a clap::Command, String) {
    let (mut command, mut path) = (definition, definition.get_name().to_owned());
    for word in words.iter().skip(1) {
        let Some(next) = command.find_subcommand(word) else { break };
        path = format!("{path} {}", next.get_name());
        command = next;
    }
    (command, path)
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn unknown_command(error: &clap::Error, command: &clap::Command) -> Option<String> {
    let word = text(error, ContextKind::InvalidSubcommand)?;
    let names = command.get_subcommands().filter(|one| !one.is_hide_set()).map(clap::Command::get_name);
    let hint = likest(word, names).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    Some(format!("there is no command `{word}`{hint}"))
}

fn unknown_argument(error: &clap::Error, command: &clap::Command) -> Option<String> {
    let argument = text(error, ContextKind::InvalidArg)?;
    let option = |long: &str| {
        command.get_arguments().find(|one| one.get_long() == Some(long)).map(|one| match one.get_short() {
            Some(short) => format!("-{short}/--{long}"),
            None => format!("--{long}"),
        })
    };
    let bare = argument.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
    let meant = MEANT
        .iter()
        .filter(|(words, _)| bare.is_some_and(|bare| words.contains(&bare)))
        .find_map(|(_, options)| options.iter().find_map(|long| option(long)));
    if let Some(meant) = meant {
        return Some(format!("unexpected argument '{argument}' found; did you mean `{meant}`?"));
    }
    let takes_more = command.get_positionals().any(clap::Arg::is_last_set);
    if takes_more && !argument.starts_with('-') {
        return Some(format!(
            "unexpected argument '{argument}' found; what the application is to find in `arg` comes after \
             `--`: `-- {argument}`"
        ));
    }
    None
}

/// Clap's message of several paragraphs.
fn joined(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut told: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        if !line.is_empty() {
            told.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    let line = told.join(" ").replace(" tip: ", "; ");
    line.strip_prefix("tip: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::command::Cli;

    fn told(words: &[&str]) -> String {
        let words: Vec<String> = ["splay"].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let error = Cli::try_parse_from(&words).unwrap_err();
        let line = one_line(&error, &Cli::command(), &words);
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn clap_is_told_in_one_line() {
        let line = told(&["run", "a.lua", "--list-typ", "head"]);
        assert!(line.starts_with("unexpected argument '--list-typ' found;"), "{line}");
        assert!(line.contains("'--list-type'") && line.ends_with("(see `splay run --help`)"), "{line}");
    }

    #[test]
    fn words_of_other_tools_lead_to_the_option() {
        for (words, meant) in [
            (&["run", "a.lua", "--nodes", "3"][..], "`-n/--instances`"),
            (&["sim", "a.lua", "--nodes=3"], "`-n/--instances`"),
            (&["up", "--nodes", "3"], "`-n/--splayds`"),
            (&["run", "a.lua", "--port", "3"], "`--first-port`"),
            (&["run", "a.lua", "--time", "3"], "`--for`"),
        ] {
            let line = told(words);
            assert!(line.contains(&format!("did you mean {meant}?")) && !line.contains("'-- "), "{line}");
        }
        let line = told(&["run", "a.lua", "fanout=1"]);
        assert!(line.contains("comes after `--`: `-- fanout=1`"), "{line}");
    }

    #[test]
    fn commands_that_are_like_it_are_named() {
        for (word, meant) in [("rum", "run"), ("tset", "test"), ("resubmt", "resubmit"), ("plto", "plot")] {
            let line = told(&[word]);
            let expected =
                format!("there is no command `{word}`; did you mean `{meant}`? (see `splay --help`)");
            assert_eq!(line, expected);
        }
        assert_eq!(told(&["xyzzy"]), "there is no command `xyzzy` (see `splay --help`)");
        assert!(
            told(&["topology", "shwo", "a"]).contains("did you mean `show`? (see `splay topology --help`)")
        );
    }

    #[test]
    fn numbers_are_asked_for_in_plain_words() {
        for bad in ["three", "1.5", ""] {
            let line = told(&["run", "a.lua", "-n", bad]);
            assert!(line.contains("not a whole number") && line.contains("--instances <N>"), "{line}");
        }
        assert!(told(&["run", "a.lua", "--seed", "x"]).contains("not a whole number"));
    }
}
