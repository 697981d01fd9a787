//! Makes the error of a program point into the program: the lines of its own files where it was
//! raised, and a traceback without the runtime's internals.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use splay_runtime::program::Program;
use splay_runtime::vm::sources;

use crate::excerpt::excerpt;

/// What stands between an error's message and its traceback.
const TRACEBACK: &str = "stack traceback:";

/// The files of a program, as its errors name them.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    name: String,
    directory: Option<PathBuf>,
    /// Lines of the files asked for; `None`: there is no such file.
    lines: RefCell<HashMap<PathBuf, Option<Vec<String>>>>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position<'a> {
    file: &'a str,
    line: usize,
}

impl Sources {
    /// Those of a program.
    pub fn of(program: &Program) -> Sources {
        Sources {
            name: program.name.clone(),
            directory: program.directory.clone(),
            lines: RefCell::default(),
        }
    }

    /// The error with the lines it is about. First comes the line that its message names, or else
    /// the innermost line of the program's own; then, where the error was raised on behalf of a
    /// caller (`error(text, 2)`), the line that raised it. An error that never was in a file of the
    /// program stays as it is.
    pub fn point(&self, error: &str) -> String {
        let (message, frames) = error.split_once(TRACEBACK).unwrap_or((error, ""));
        let message = message.trim_end();
        let named = message.lines().find_map(|line| self.position_in(line));
        let own: Vec<&str> = frames.lines().filter(|frame| self.position_of(frame).is_some()).collect();
        let raised = own.first().and_then(|frame| self.position_of(frame));
        let mut text = message.to_owned();
        match (named, raised) {
            (Some(named), raised) => {
                self.show(&mut text, "-->", &named);
                if let Some(raised) = raised.filter(|raised| *raised != named) {
                    self.show(&mut text, "raised at", &raised);
                }
            }
            (None, Some(raised)) => self.show(&mut text, "-->", &raised),
            (None, None) => return error.to_owned(),
        }
        if !own.is_empty() {
            text.push_str(&format!("\n{TRACEBACK}"));
            own.iter().for_each(|frame| text.push_str(&format!("\n{frame}")));
        }
        text
    }

    fn show(&self, text: &mut String, how: &str, position: &Position<'_>) {
        let Some(line) = self.line(position) else { return };
        text.push_str(&format!("\n {how} {}:{}\n", position.file, position.line));
        text.push_str(excerpt(position.line, &line, None).trim_end());
    }

    /// The first position in a line of a message that is of an own file.
    fn position_in<'a>(&self, line: &'a str) -> Option<Position<'a>> {
        numbered(line).find_map(|(before, number)| {
            // A path may have blanks in it; what stands before it, too.
            let starts = before.char_indices().filter(|(_, c)| c.is_whitespace() || "('\"`".contains(*c));
            let starts = std::iter::once(0).chain(starts.map(|(at, c)| at + c.len_utf8()));
            starts
                .map(|start| Position { file: &before[start..], line: number })
                .find(|position| self.line(position).is_some())
        })
    }

    /// The position of a traceback's frame: `\tfile:line: in function 'f'`.
    fn position_of<'a>(&self, frame: &'a str) -> Option<Position<'a>> {
        let frame = frame.trim_start();
        let (file, line) = numbered(frame).next()?;
        let position = Position { file, line };
        self.line(&position).map(|_| position)
    }

    /// The text at a position of an own file.
    fn line(&self, position: &Position<'_>) -> Option<String> {
        let path = self.path(position.file)?;
        let mut files = self.lines.borrow_mut();
        let lines = files.entry(path).or_insert_with_key(|path| {
            let bytes = std::fs::read(path).ok()?;
            Some(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
        });
        lines.as_ref()?.get(position.line.checked_sub(1)?).cloned()
    }

    /// The file that a chunk's name in an error stands for. Embedded libraries have none.
    fn path(&self, name: &str) -> Option<PathBuf> {
        if name == self.name {
            return Some(PathBuf::from(name));
        }
        if let Some(end) = name.strip_prefix("...") {
            // Lua keeps the end of a long name.
            if self.name.ends_with(end) {
                return Some(PathBuf::from(&self.name));
            }
            let directory = self.directory.as_ref()?;
            let mut inner = end.match_indices('/').map(|(slash, _)| directory.join(&end[slash + 1..]));
            return inner.find(|path| self.is_own(path));
        }
        let embedded = || sources().iter().any(|(library, _)| name == library.replace('.', "/") + ".lua");
        (self.is_own(Path::new(name)) && !embedded()).then(|| PathBuf::from(name))
    }

    /// Whether this is a Lua file of the program's folder: any text can be in an error, and no other
    /// file is anybody's to show.
    fn is_own(&self, path: &Path) -> bool {
        let inside = self.directory.as_ref().and_then(|directory| path.strip_prefix(directory).ok());
        inside.is_some_and(|inner| inner.components().all(|part| matches!(part, Component::Normal(_))))
            && path.extension().is_some_and(|extension| extension == "lua")
            && path.is_file()
    }
}

/// Places in a text where a number stands between colons: what is before, and the number.
fn numbered(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.match_indices(':').filter_map(move |(colon, _)| {
        let rest = &text[colon + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..digits].parse().ok()?;
        rest[digits..].starts_with(':').then_some((&text[..colon], number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a program of four lines and a module, and how its errors are shown.
    fn shown(error: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app.lua");
        std::fs::write(&app, "local lib = require 'lib'\nlib.f()\n\tcheck(nil)\nerror('x', 2)\n").unwrap();
        std::fs::write(folder.path().join("lib.lua"), "return {}\nlib line\n").unwrap();
        let program = Program::load(&app).unwrap_or_else(|_| Program {
            name: app.to_string_lossy().into_owned(),
            directory: Some(folder.path().to_owned()),
            bytecode: Vec::new(),
            precompiled: false,
        });
        let place = folder.path().display().to_string();
        let told = Sources::of(&program).point(&error.replace("HERE", &place));
        told.replace(&place, "HERE")
    }

    #[test]
    fn the_line_that_the_message_names() {
        let error = "[splay.events] E: thread: 0x1 DIE (error: HERE/app.lua:3: bad)\nstack traceback:\n\
                     \t[C]: in function 'error'\n\tHERE/app.lua:3: in function <HERE/app.lua:1>";
        assert_eq!(
            shown(error),
            "[splay.events] E: thread: 0x1 DIE (error: HERE/app.lua:3: bad)\n --> HERE/app.lua:3\n   |\n \
             3 |   check(nil)\n   |\nstack traceback:\n\tHERE/app.lua:3: in function <HERE/app.lua:1>"
        );
    }

    #[test]
    fn a_caller_is_blamed_and_who_blames_it() {
        let error = "HERE/app.lua:3: bad\nstack traceback:\n\t[C]: in function 'error'\n\
                     \tHERE/app.lua:4: in function 'check'\n\tHERE/app.lua:3: in main chunk";
        let told = shown(error);
        let caller = told.find("--> HERE/app.lua:3\n   |\n 3 |   check(nil)\n").expect(&told);
        let raised = told.find("raised at HERE/app.lua:4\n   |\n 4 | error('x', 2)\n").expect(&told);
        assert!(caller < raised, "{told}");
    }

    #[test]
    fn an_error_inside_a_library_points_to_who_called_it() {
        let error = "splay/misc.lua:90: attempt to index local 'sep' (a number value)\nstack traceback:\n\
                     \tsplay/misc.lua:90: in function 'misc.split'\n\tHERE/app.lua:2: in main chunk";
        assert_eq!(
            shown(error),
            "splay/misc.lua:90: attempt to index local 'sep' (a number value)\n --> HERE/app.lua:2\n   |\n \
             2 | lib.f()\n   |\nstack traceback:\n\tHERE/app.lua:2: in main chunk"
        );
    }

    #[test]
    fn long_names_are_found_by_their_end() {
        assert!(shown("...e/app.lua:2: bad").contains(" 2 | lib.f()\n"), "{}", shown("...e/app.lua:2: bad"));
        assert!(shown("...some/where/lib.lua:2: bad").contains(" 2 | lib line\n"));
        let inside = "error loading module 'lib' from file './lib.lua':\n\tHERE/lib.lua:2: '=' expected";
        assert!(shown(inside).contains(" --> HERE/lib.lua:2\n   |\n 2 | lib line\n"), "{}", shown(inside));
    }

    #[test]
    fn what_is_nowhere_in_the_program_stays() {
        let outside = tempfile::Builder::new().suffix(".lua").tempfile().unwrap();
        std::fs::write(&outside, "secret\n").unwrap();
        let outside = format!("{}:1: x", outside.path().display());
        assert_eq!(shown(&outside), outside);
        for error in ["nil", "splay/events.lua:1: x\nstack traceback:\n\tsplay/events.lua:1: in f", "a:3: b"]
        {
            assert_eq!(shown(error), error);
        }
    }
}
