//! `splay test`: finds an application's own tests, runs each file in virtual time or over real
//! sockets, and tells what failed, where, and how to repeat it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use splay_runtime::host::{EndReason, InstanceConfig, Mode};
use splay_runtime::program::Program;

use crate::command::search;
use crate::engine::{Alone, run_alone, run_virtual};
use crate::failure::{Failure, STATUS_INTERRUPTED};
use crate::options::shell_line;
use crate::trace::Sources;

const EXAMPLES: &str = "\
Examples:
  splay test                          every *_test.lua below this folder
  splay test chord_test.lua           one file
  splay test tests --filter join      of the folder `tests`, what has `join` in its name
  splay test --seed 7                 the same random numbers each time
  splay test --real                   over real sockets, in real time

A test file is an application that ends with test.run():

  local test = require \"splay.test\"
  local describe, it, expect = test.describe, test.it, test.expect
  describe(\"addition\", function()
    it(\"adds\", function() expect(1 + 1).equal(2) end)
  end)
  test.run()

It finds the modules beside it by `require`; the global `job` is nil. In virtual time a sleep takes
no time, and the same seed gives the same run.

Exit status: 0 all tests passed, 1 a test failed or none was found; 2 wrong command line, 3 file
missing or unreadable, 4 not valid Lua, 130 interrupted.";

/// What the names of test files end in.
const SUFFIX: &str = "_test.lua";

/// Longest virtual time of a file: each test has a limit of its own, this one is for what waits
/// outside of them.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Run an application's own tests, written with `splay.test`, in virtual time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// Test files, or folders with files named *_test.lua in them [default: the current folder].
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Run only the tests whose full name ("group: test") contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// What math.random and the simulated network follow from [default: a random one, told with
    /// each failure].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Real sockets and real time.
    #[arg(long)]
    real: bool,
    /// Show each test and all that the programs print.
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the files one after the other.
pub fn execute(args: TestArgs) -> Result<ExitCode, Failure> {
    let files = search::find(&args.files, SUFFIX)?;
    if let Some(other) = files.iter().find(|file| file.is_file() && !named_as_test(file)) {
        return Err(Failure::Usage(no_test(other)));
    }
    if files.is_empty() {
        return Err(Failure::NotFound(format!("no file named *{SUFFIX} here or below")));
    }
    // 32 random bits: enough to differ, short enough to retype.
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let outcome = run(file, &args, seed)?;
        passed += outcome.passed;
        failed += outcome.failed();
        tell(&outcome.summary(file, &args, seed))?;
        if outcome.interrupted {
            return Ok(ExitCode::from(STATUS_INTERRUPTED));
        }
    }
    tell(&format!("{passed} passed, {failed} failed\n"))?;
    if let (0, 0, Some(text)) = (passed, failed, &args.filter) {
        return Err(Failure::NotFound(format!("no test has `{text}` in its name")));
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn named_as_test(file: &Path) -> bool {
    file.to_string_lossy().ends_with(SUFFIX)
}

/// What to say of a file that is not one of tests.
fn no_test(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!("{stem}{SUFFIX}"));
    let hint = match beside.is_file() {
        true => format!("did you mean {}?", beside.display()),
        false => format!("`splay run {}` runs an application", file.display()),
    };
    format!("{} is no test: the name of a test file ends in {SUFFIX}; {hint}", file.display())
}

fn tell(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)
}

/// What a test that failed has said.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    name: String,
    text: String,
}

/// What came of a file.
#[derive(Debug, Default)]
struct Outcome {
    passed: usize,
    failures: Vec<Failed>,
    /// Why not all of its tests have run.
    broken: Option<String>,
    /// What it printed besides the results, and errors of its threads.
    output: Vec<String>,
    /// It has told its results to the end.
    complete: bool,
    interrupted: bool,
    took: Duration,
}

impl Outcome {
    /// Takes in a line that the file has printed.
    fn hear(&mut self, line: &str) {
        let number = self.passed + self.failures.len() + 1;
        if self.complete {
            self.output.push(line.to_owned());
        } else if line.strip_prefix(&format!("ok {number} - ")).is_some() {
            self.passed += 1;
        } else if let Some(name) = line.strip_prefix(&format!("not ok {number} - ")) {
            self.failures.push(Failed { name: name.to_owned(), text: String::new() });
        } else if let (Some(text), Some(failed)) = (line.strip_prefix("    "), self.failures.last_mut()) {
            writeln!(failed.text, "{text}").expect("to a string");
        } else if line == format!("{} passed, {} failed", self.passed, self.failures.len()) {
            self.complete = true;
        } else {
            self.output.push(line.to_owned());
        }
    }

    /// Takes in why the file has ended.
    fn end(&mut self, reason: Option<EndReason>) {
        self.interrupted = reason == Some(EndReason::Stopped);
        self.broken = match reason {
            Some(EndReason::Exit(_)) if self.complete => None,
            Some(EndReason::Exit(status)) => {
                Some(format!("ended with os.exit({status}) before all tests had run"))
            }
            Some(EndReason::Finished) => Some("ran no test: does it end with test.run()?".to_owned()),
            Some(EndReason::Error(message)) => Some(message),
            Some(EndReason::Memory) => Some("not enough memory".to_owned()),
            Some(EndReason::Stopped) => Some("interrupted".to_owned()),
            None => Some(format!("still waiting after {} h of virtual time", LIMIT.as_secs() / 3600)),
        };
    }

    fn failed(&self) -> usize {
        self.failures.len() + usize::from(self.broken.is_some())
    }

    /// The lines told about the file.
    fn summary(&self, file: &Path, args: &TestArgs, seed: u64) -> String {
        let failed = self.failed();
        let word = if failed == 0 { "ok  " } else { "FAIL" };
        let kind = if args.real { "s" } else { "s of virtual time" };
        let mut text = format!(
            "{word} {}: {} passed, {failed} failed ({:.1} {kind})\n",
            file.display(),
            self.passed,
            self.took.as_secs_f64(),
        );
        if failed == 0 {
            return text;
        }
        for Failed { name, text: told } in &self.failures {
            write!(text, "  {name}\n{}", indented(told)).expect("to a string");
        }
        if let Some(broken) = &self.broken {
            // An error of the file's begins with its line; anything else is about the whole file.
            let begins = broken.starts_with(&*file.to_string_lossy());
            let place = if begins { String::new() } else { format!("{}: ", file.display()) };
            text.push_str(&indented(&format!("{place}{broken}")));
        }
        if !self.output.is_empty() && !args.verbose {
            write!(text, "  output\n{}", indented(&self.output.join("\n"))).expect("to a string");
        }
        writeln!(text, "  again: {}", again(file, args, seed)).expect("to a string");
        text
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// The command that does the same to one file. The filter is the one given: with fewer tests
/// before it, a test would see other random numbers.
fn again(file: &Path, args: &TestArgs, seed: u64) -> String {
    let mut words = vec!["splay".to_owned(), "test".to_owned(), file.to_string_lossy().into_owned()];
    if let Some(text) = &args.filter {
        words.extend(["--filter".to_owned(), text.clone()]);
    }
    words.extend(["--seed".to_owned(), seed.to_string()]);
    if args.real {
        words.push("--real".to_owned());
    }
    shell_line(&words)
}

fn run(file: &Path, args: &TestArgs, seed: u64) -> Result<Outcome, Failure> {
    let arguments = args.filter.iter().flat_map(|text| ["--filter".to_owned(), text.clone()]).collect();
    let program = Program::load(file)?;
    let sources = Sources::of(&program);
    let config = InstanceConfig {
        program: Arc::new(program),
        arguments,
        job: None,
        mode: Mode::Hosted,
        jit: true,
        compact: false,
        seed: Some(seed),
        max_memory_bytes: None,
    };
    let outcome = std::cell::RefCell::new(Outcome::default());
    let verbose = |line: &str| {
        if args.verbose {
            // Where nobody reads any more, the summary fails next.
            let _ = tell(&format!("{line}\n"));
        }
    };
    let mut line = |_, bytes: &[u8]| {
        let line = String::from_utf8_lossy(bytes);
        verbose(&line);
        outcome.borrow_mut().hear(&line);
    };
    let mut thread_died = |error: &str| {
        let text = format!("a thread died: {}", sources.point(error));
        verbose(&text);
        outcome.borrow_mut().output.push(text);
    };
    let told = Alone { line: &mut line, thread_died: &mut thread_died };
    let (reason, took) = if args.real {
        let begin = Instant::now();
        let reason = run_alone(config, told)?;
        (Some(reason), begin.elapsed())
    } else {
        run_virtual(config, seed, LIMIT, told)?
    };
    let mut outcome = outcome.into_inner();
    outcome.took = took;
    outcome.end(reason.map(|reason| match reason {
        EndReason::Error(message) => EndReason::Error(sources.point(&message)),
        other => other,
    }));
    for failed in &mut outcome.failures {
        failed.text = format!("{}\n", sources.point(&failed.text).trim_end());
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str], reason: EndReason) -> Outcome {
        let mut outcome = Outcome::default();
        lines.iter().for_each(|line| outcome.hear(line));
        outcome.end(Some(reason));
        outcome
    }

    #[test]
    fn results_are_told_from_other_output() {
        let lines =
            ["hello", "ok 9 - not a result", "ok 1 - a", "not ok 2 - b", "    x_test.lua:3: expected nil"];
        let outcome = heard(&[&lines[..], &["1 passed, 1 failed"]].concat(), EndReason::Exit(1));
        assert_eq!((outcome.passed, outcome.failed()), (1, 1));
        let text = "x_test.lua:3: expected nil\n".to_owned();
        assert_eq!(outcome.failures, [Failed { name: "b".to_owned(), text }]);
        assert_eq!(outcome.output, ["hello", "ok 9 - not a result"]);
        assert_eq!(outcome.broken, None);
    }

    #[test]
    fn a_file_that_ends_early_has_failed() {
        let outcome = heard(&["ok 1 - a"], EndReason::Exit(0));
        assert_eq!((outcome.passed, outcome.failed()), (1, 1));
        assert!(outcome.broken.unwrap().contains("os.exit(0) before"));
        assert_eq!(heard(&[], EndReason::Finished).failed(), 1);
    }
}
