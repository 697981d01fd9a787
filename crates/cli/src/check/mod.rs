//! Static checks of an application: source and what the runtime offers in, findings out. Reading
//! files and printing is `splay check`'s. A check speaks up only where it is sure; what it cannot
//! follow it leaves alone.

mod blocking;
mod calls;
mod facts;
mod globals;
mod holes;
mod host;
mod lower;
mod names;
mod tree;
mod waits;
mod world;

use std::borrow::Cow;

use splay_runtime::program::{Program, ProgramError};

pub use self::facts::Facts;
pub use self::tree::Place;
pub use self::world::{Questions, World, ask, is_library};

use self::host::Host;
use self::names::Names;
use self::tree::Chunk;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The program does not run.
    Error,
    /// It will go wrong.
    Warning,
    /// It may be meant.
    Note,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $level:ident $about:literal;)*) => {
        /// What a finding is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $about] $variant,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// Its name, as printed and as `-- splay: allow(name)` takes it.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),* }
            }

            /// How bad it is.
            pub fn level(self) -> Level {
                match self { $(Code::$variant => Level::$level),* }
            }

            /// What is found, in a few words.
            pub fn about(self) -> &'static str {
                match self { $(Code::$variant => $about),* }
            }
        }
    };
}

codes! {
    Syntax "syntax" Error "what the runtime cannot compile";
    UndefinedGlobal "undefined-global" Warning "a global that is read and never assigned";
    AccidentalGlobal "accidental-global" Note "a global that only a function assigns: a `local` forgotten";
    UnknownModule "unknown-module" Warning "a module that `require` does not find";
    UnknownMember "unknown-member" Warning "a name that a library does not have";
    NilHole "nil-hole" Warning "`#` of a table with holes";
    Blocks "blocks" Warning "a call that stops all threads and instances";
    BusyLoop "busy-loop" Warning "a loop that waits without letting other threads run";
    TornUpdate "torn-update" Warning "a value read before a wait and written after it";
    StaleIndex "stale-index" Warning "`t[#t + 1] = table.remove(t)`: the index is from before";
    NoEventsRun "no-events-run" Warning "threads or servers in a program without `events.run`";
    WaitOutside "wait-outside" Warning "`events.sleep` and the like in the main chunk, outside of all threads";
    UnknownRemote "unknown-remote" Warning "a remote call of a function that no file defines";
}

/// Something that is wrong, or looks so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: Place,
    /// What it is about.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A source, read.
#[derive(Debug)]
pub struct Source {
    /// Its text; bytes that are no UTF-8 are replaced, one character each.
    pub text: String,
    parsed: Result<Parsed, Finding>,
}

#[derive(Debug)]
struct Parsed {
    /// `None`: the runtime accepts it, and the parser here does not follow.
    tree: Option<(Chunk, Names)>,
    facts: Facts,
}

impl Source {
    /// Reads a source. `name` appears in no message.
    pub fn read(name: &str, bytes: &[u8]) -> Source {
        let text = text_of(bytes);
        let nbdkit = host::is_nbdkit(&text);
        let plain = if nbdkit { host::as_lua51(&text) } else { Cow::Borrowed(&*text) };
        let program = match nbdkit {
            true => Program::from_source(name, plain.as_bytes(), None),
            false => Program::from_source(name, bytes, None),
        };
        let parsed = match program {
            Err(ProgramError::Syntax { message }) => Err(syntax(&message, &text)),
            Err(other) => Err(syntax(&other.to_string(), &text)),
            Ok(_) => {
                let tree = lower::read(&plain).map(|chunk| {
                    let names = Names::of(&chunk);
                    (chunk, names)
                });
                let mut facts =
                    tree.as_ref().map_or_else(Facts::default, |(chunk, names)| Facts::of(chunk, names));
                if nbdkit {
                    // Lua 5.3's libraries are not asked about.
                    facts.dynamic = true;
                    facts.members.clear();
                }
                Ok(Parsed { tree, facts })
            }
        };
        Source { text, parsed }
    }

    /// Whether more than its syntax could be checked.
    pub fn followed(&self) -> bool {
        self.parsed.as_ref().map_or(true, |parsed| parsed.tree.is_some())
    }

    /// What it says of names; of one with a syntax error, nothing.
    pub fn facts(&self) -> Option<&Facts> {
        self.parsed.as_ref().ok().map(|parsed| &parsed.facts)
    }

    /// What has to be known of the runtime to check it.
    pub fn questions(&self) -> Questions {
        let mut questions = Questions::default();
        if let Some(facts) = self.facts() {
            questions.host = Host::of(facts);
            for (name, _) in &facts.requires {
                let kind = if is_library(name) { &mut questions.libraries } else { &mut questions.others };
                kind.insert(name.clone());
            }
            questions.members =
                facts.members.iter().map(|(module, name, _)| (module.clone(), name.clone())).collect();
        }
        questions
    }

    /// Checks it. `relatives` are the files it requires and those that require it.
    pub fn check(&self, relatives: &[&Facts], world: &World) -> Vec<Finding> {
        let parsed = match &self.parsed {
            Ok(parsed) => parsed,
            Err(finding) => return vec![finding.clone()],
        };
        let Some((chunk, names)) = &parsed.tree else { return Vec::new() };
        let view = View { chunk, names, facts: &parsed.facts, relatives, world };
        let mut findings = Vec::new();
        for check in [globals::check, holes::check, blocking::check, waits::check, calls::check] {
            check(&view, &mut findings);
        }
        let lines: Vec<&str> = self.text.lines().collect();
        findings.retain(|finding| !allowed(&lines, finding));
        findings.sort_by_key(|finding| (finding.at, finding.code));
        findings.dedup_by_key(|finding| (finding.at, finding.code));
        findings
    }
}

/// All that a check may look at.
struct View<'a> {
    chunk: &'a Chunk,
    names: &'a Names,
    facts: &'a Facts,
    relatives: &'a [&'a Facts],
    world: &'a World,
}

impl View<'_> {
    /// Whether a global may have a value.
    fn is_defined(&self, name: &str) -> bool {
        self.world.globals.contains(name) || self.everywhere().any(|facts| facts.assigns(name))
    }

    /// Whether something makes globals under names that are computed.
    fn is_dynamic(&self) -> bool {
        self.everywhere().any(|facts| facts.dynamic)
    }

    fn everywhere(&self) -> impl Iterator<Item = &Facts> {
        self.relatives.iter().copied().chain([self.facts])
    }
}

/// Text whose lines and columns are those of the bytes as far as a terminal shows them.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        text.push_str(piece.valid());
        text.extend(piece.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// LuaJIT tells a line and the text near the error, no column: it is where the text is, if it is in
/// the line once.
fn syntax(message: &str, text: &str) -> Finding {
    let told = message.match_indices(':').find_map(|(colon, _)| {
        let rest = &message[colon + 1..];
        let (number, what) = rest.split_once(": ")?;
        Some((number.parse::<usize>().ok()?, what.to_owned()))
    });
    let (line, what) = told.unwrap_or((1, message.to_owned()));
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
    let near = what.rsplit_once(" near '").and_then(|(_, rest)| rest.strip_suffix('\''));
    let found = near
        .and_then(|near| only_place(source, near))
        .unwrap_or_else(|| source.len() - source.trim_start().len());
    let column = source[..found].chars().count() + 1;
    Finding { at: Place { line, column }, code: Code::Syntax, message: what, hint: None }
}

fn only_place(line: &str, text: &str) -> Option<usize> {
    let mut places = line.match_indices(text).map(|(at, _)| at);
    places.next().filter(|_| places.next().is_none())
}

/// Whether a comment at the end of the line, or alone on the line before, allows it.
fn allowed(lines: &[&str], finding: &Finding) -> bool {
    let line = |number: usize| number.checked_sub(1).and_then(|index| lines.get(index)).copied();
    let allows = |line: &str| {
        let list = line
            .split_once("--")
            .and_then(|(_, comment)| comment.split_once("splay: allow("))
            .and_then(|(_, rest)| rest.split_once(')'));
        list.is_some_and(|(codes, _)| codes.split(',').any(|code| code.trim() == finding.code.name()))
    };
    let own = line(finding.at.line).is_some_and(allows);
    let before = finding.at.line.checked_sub(1).and_then(line);
    own || before.is_some_and(|line| line.trim_start().starts_with("--") && allows(line))
}
