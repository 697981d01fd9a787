//! `splay check`: finds the files, lets [`crate::check`] look at them and prints what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use splay_runtime::program::ProgramError;

use crate::check::{Code, Facts, Finding, Level, Source, ask, is_library};
use crate::command::search;
use crate::excerpt::{excerpt, on_one_line};
use crate::failure::{Failure, complain};

const EXAMPLES: &str = "\
Examples:
  splay check chord.lua               one application
  splay check                         every .lua file below this folder
  splay check apps tests --json       one JSON object a line, for other programs

Each finding has a file, a line, a column and a name. The comment `-- splay: allow(name)` on its
line, or alone on the line before, silences it.
";

/// Look for mistakes in an application without running it.
///
/// The files are read as `splay run` reads them. Modules a file requires from its own folder are
/// read too; names of libraries are those a live instance has.
#[derive(Debug, Args)]
#[command(after_long_help = after_help(), after_help = after_help())]
pub struct CheckArgs {
    /// Lua files, or folders with .lua files in them [default: the current folder].
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,
    /// One JSON object a line: file, line, column, code, level, message, hint, source.
    #[arg(long)]
    json: bool,
}

fn after_help() -> String {
    let mut text = EXAMPLES.to_owned();
    text.push_str("\nFindings:\n");
    for code in Code::ALL {
        writeln!(text, "  {:<17} {}", code.name(), code.about()).expect("to a string");
    }
    text.push_str(
        "\nExit status: 0 nothing found, 1 something found, or there is no file; 2 wrong command line,\n\
         3 a file is missing or unreadable, 6 output cannot be written.",
    );
    text
}

/// Stack of the thread that reads: long sums and deep tables are deep trees.
const STACK_BYTES: usize = 512 << 20;

/// Checks the files and prints what is found.
pub fn execute(args: CheckArgs) -> Result<ExitCode, Failure> {
    let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || look(&args));
    match reader.map_err(Failure::Worker)?.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn look(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let files = search::find(&args.files, ".lua")?;
    if files.is_empty() {
        return Err(Failure::NotFound("no file named *.lua here or below".to_owned()));
    }
    let mut library = Library::default();
    for file in &files {
        library.load(file)?;
    }
    let colour = !args.json
        && io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (mut count, mut concerned) = (0, 0);
    for file in &files {
        let (source, findings) = library.check(file)?;
        if !source.followed() {
            complain(&format!("{}: only its syntax was checked: it uses LuaJIT's own", file.display()));
        }
        count += findings.len();
        concerned += usize::from(!findings.is_empty());
        let mut text = String::new();
        for finding in &findings {
            match args.json {
                true => text.push_str(&json(file, source, finding)),
                false => text.push_str(&told(file, source, finding, colour)),
            }
        }
        io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    }
    if !args.json {
        let text = match count {
            0 => format!("{}: nothing found\n", counted(files.len(), "file")),
            _ => format!(
                "{} in {} of {}\n",
                counted(count, "finding"),
                concerned,
                counted(files.len(), "file")
            ),
        };
        io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    }
    Ok(ExitCode::from(u8::from(count > 0)))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Files read, by path.
#[derive(Debug, Default)]
struct Library {
    sources: BTreeMap<PathBuf, Source>,
}

impl Library {
    /// Reads a file and the modules of its folder that it requires, and so on.
    fn load(&mut self, path: &Path) -> Result<(), Failure> {
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            if self.sources.contains_key(&path) {
                continue;
            }
            let bytes = std::fs::read(&path)
                .map_err(|source| Failure::Program(ProgramError::Read { path: path.clone(), source }))?;
            let source = Source::read(&path.to_string_lossy(), &bytes);
            left.extend(required_files(&path, &source));
            self.sources.insert(path, source);
        }
        Ok(())
    }

    fn check(&self, path: &Path) -> Result<(&Source, Vec<Finding>), Failure> {
        let source = &self.sources[path];
        let relatives = self.relatives(path);
        let facts: Vec<&Facts> = relatives.iter().filter_map(|path| self.sources[*path].facts()).collect();
        let mut questions = source.questions();
        questions.folder = Some(folder(path));
        for name in facts.iter().flat_map(|facts| &facts.requires).map(|(name, _)| name) {
            if is_library(name) {
                questions.libraries.insert(name.clone());
            }
        }
        let world = ask(&questions)?;
        Ok((source, source.check(&facts, &world)))
    }

    /// Files that run together with this one: what it requires, and what requires it.
    fn relatives(&self, path: &Path) -> BTreeSet<&PathBuf> {
        let mut found: BTreeSet<&PathBuf> = BTreeSet::new();
        let requires = |path: &Path| match self.sources.get(path) {
            Some(source) => required_files(path, source),
            None => Vec::new(),
        };
        let mut left = vec![path.to_owned()];
        left.extend(self.sources.keys().filter(|other| requires(other).iter().any(|it| it == path)).cloned());
        while let Some(next) = left.pop() {
            let Some((known, _)) = self.sources.get_key_value(&next) else { continue };
            if known != path && !found.insert(known) {
                continue;
            }
            left.extend(requires(&next).into_iter().filter(|it| it != path && !found.contains(it)));
        }
        found
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Where `require` finds the modules of a program's own folder.
fn required_files(path: &Path, source: &Source) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for (name, _) in source.facts().map_or(&[][..], |facts| &facts.requires) {
        let inner = name.replace('.', "/");
        if is_library(name) || inner.is_empty() || inner.starts_with('/') {
            continue;
        }
        let places = [folder.join(format!("{inner}.lua")), folder.join(inner).join("init.lua")];
        files.extend(places.into_iter().find(|place| place.is_file()));
    }
    files
}

/// A finding as a person reads it.
fn told(file: &Path, source: &Source, finding: &Finding, colour: bool) -> String {
    let tone = match finding.code.level() {
        Level::Error => AnsiColor::Red,
        Level::Warning => AnsiColor::Yellow,
        Level::Note => AnsiColor::Cyan,
    };
    let style = if colour { Style::new().fg_color(Some(tone.into())).bold() } else { Style::new() };
    let Finding { at, code, message, hint } = finding;
    let mut text = format!(
        "{}:{}:{}: {style}{}[{}]{style:#}: {message}\n",
        file.display(),
        at.line,
        at.column,
        code.level().name(),
        code.name(),
    );
    let line = source.text.lines().nth(at.line - 1).unwrap_or("");
    text.push_str(&excerpt(at.line, line, Some(at.column)));
    if let Some(hint) = hint {
        writeln!(text, "  hint: {hint}").expect("to a string");
    }
    text
}

/// A finding as `--json` writes it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    file: std::borrow::Cow<'a, str>,
    line: usize,
    column: usize,
    level: Level,
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    source: String,
}

fn json(file: &Path, source: &Source, finding: &Finding) -> String {
    let line = source.text.lines().nth(finding.at.line - 1).unwrap_or("");
    let record = Record {
        file: file.to_string_lossy(),
        line: finding.at.line,
        column: finding.at.column,
        level: finding.code.level(),
        code: finding.code.name(),
        message: &finding.message,
        hint: finding.hint.as_deref(),
        source: on_one_line(line),
    };
    let mut text = serde_json::to_string(&record).expect("plain data always has a JSON form");
    text.push('\n');
    text
}
