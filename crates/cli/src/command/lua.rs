//! `splay lua`: one program in a plain interpreter with the libraries on its path.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueHint};
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Stream};
use splay_runtime::program::Program;

use super::repl;
use crate::engine::{Alone, run_alone};
use crate::failure::{Failure, STATUS_INTERRUPTED, complain};
use crate::trace::Sources;

const EXAMPLES: &str = "\
Examples:
  splay lua app.lua 3 50            arg[0] is \"app.lua\", arg[1] \"3\", arg[2] \"50\"
  for n in $(seq 1 50); do splay lua app.lua $n 50 > $n.log 2>&1 & done
                                    fifty processes, as the manual runs them
  splay lua -e 'print(2^10)'        a line of Lua
  splay lua -e 'x = 1' app.lua      a line of Lua, then the file
  splay lua -i app.lua              the file, then a prompt
  echo 'print(...)' | splay lua - a b   a program on standard input

Exit status: what the program gives to os.exit, 0 at its normal end, 1 after an uncaught error, of
a thread too; 2 wrong command line, 3 file missing or unreadable, 4 not valid Lua, 130 interrupted.";

/// Run a program as a plain Lua interpreter does, with the SPLAY libraries on its path.
///
/// `arg` is set; io and os are whole; C modules load. The program may use `require
/// "splay.base"` and everything else of the libraries.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub struct LuaArgs {
    /// Run this line of Lua (before the file, if there is one). May be given several times.
    #[arg(short = 'e', value_name = "CODE", allow_hyphen_values = true)]
    code: Vec<String>,
    /// Open a prompt afterwards, as `splay repl` does, with nothing required and no job.
    #[arg(short = 'i')]
    interactive: bool,
    /// Tell the version of Lua.
    #[arg(short = 'v')]
    version: bool,
    /// LuaJIT's compiler off.
    #[arg(long)]
    no_jit: bool,
    /// The program's file, or `-` for standard input, and its arguments.
    #[arg(value_name = "SCRIPT [ARGS]", trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    script: Vec<String>,
}

/// Runs the program; its exit status is the command's.
pub fn execute(args: LuaArgs) -> Result<ExitCode, Failure> {
    if args.version {
        let line = format!("splay {} (Lua 5.1, LuaJIT 2.1)\n", env!("CARGO_PKG_VERSION"));
        io::stdout().write_all(line.as_bytes()).map_err(Failure::Output)?;
        if args.code.is_empty() && args.script.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut words = args.script.into_iter();
    let script = words.next();
    if args.interactive {
        if script.as_deref() == Some("-") {
            return Err(Failure::Usage("-i reads standard input itself: name the script's file".to_owned()));
        }
        let program = match (&script, args.code.is_empty()) {
            (None, true) => Program::from_source("stdin", b"", here())?,
            _ => program(&args.code, script.as_deref())?,
        };
        let banner = "Lua 5.1 (LuaJIT); Tab completes, Ctrl-D leaves";
        return repl::open(Arc::new(program), words.collect(), None, !args.no_jit, banner);
    }
    let program = program(&args.code, script.as_deref())?;
    let sources = Sources::of(&program);
    let config = InstanceConfig {
        program: Arc::new(program),
        arguments: words.collect(),
        job: None,
        mode: Mode::Interpreter,
        jit: !args.no_jit,
        compact: false,
        seed: None,
        max_memory_bytes: None,
    };
    let mut died = false;
    let mut thread_died = |error: &str| {
        died = true;
        write_line(Stream::Err, sources.point(error).as_bytes());
    };
    let reason = run_alone(config, Alone { line: &mut write_line, thread_died: &mut thread_died })?;
    let status = match reason {
        EndReason::Finished => u8::from(died),
        // As the operating system does: the low eight bits.
        EndReason::Exit(status) => status as u8,
        EndReason::Error(message) => {
            complain(&sources.point(&message));
            1
        }
        EndReason::Memory => {
            complain("not enough memory");
            1
        }
        EndReason::Stopped => STATUS_INTERRUPTED,
    };
    Ok(ExitCode::from(status))
}

fn write_line(stream: Stream, line: &[u8]) {
    // A plain interpreter does not look at whether print succeeds either.
    let _ = match stream {
        Stream::Out => io::stdout().write_all(line).and_then(|()| io::stdout().write_all(b"\n")),
        Stream::Err => io::stderr().write_all(line).and_then(|()| io::stderr().write_all(b"\n")),
    };
}

/// The program: `-e` lines, then the file, or standard input where neither is given.
fn program(code: &[String], script: Option<&str>) -> Result<Program, Failure> {
    let path = match script {
        None if !code.is_empty() => {
            return Ok(Program::from_source("(command line)", code.join("\n").as_bytes(), here())?);
        }
        None | Some("-") => {
            let source = after(code, read_standard_input()?)?;
            return Ok(Program::from_source("stdin", &source, here())?);
        }
        Some(path) => PathBuf::from(path),
    };
    if code.is_empty() {
        return Ok(Program::load(&path)?);
    }
    let source = std::fs::read(&path).map_err(|source| {
        Failure::Program(splay_runtime::program::ProgramError::Read { path: path.clone(), source })
    })?;
    let directory = path.parent().map(|parent| match parent.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => parent.to_owned(),
    });
    Ok(Program::from_source(&path.to_string_lossy(), &after(code, source)?, directory)?)
}

fn here() -> Option<PathBuf> {
    Some(PathBuf::from("."))
}

fn read_standard_input() -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        complain("reading a program from the terminal: end it with Ctrl-D (or see `splay lua --help`)");
    }
    let mut source = Vec::new();
    io::stdin().read_to_end(&mut source).map_err(Failure::Input)?;
    Ok(source)
}

/// Puts `-e` lines before a program, on its first line: line numbers stay true.
pub fn after(code: &[String], source: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if code.is_empty() {
        return Ok(source);
    }
    let code = code.join("\n");
    // An error in it should be told as one of the command line.
    Program::from_source("(command line)", code.as_bytes(), None)?;
    let mut whole = format!("assert(loadstring({}, \"=(command line)\"))() ", quoted(&code)).into_bytes();
    // A `#!` first line is one only where it comes first.
    let rest = match source.first() {
        Some(b'#') => &source[source.iter().position(|&byte| byte == b'\n').unwrap_or(source.len())..],
        _ => &source[..],
    };
    whole.extend_from_slice(rest);
    Ok(whole)
}

/// A Lua string on one line.
fn quoted(text: &str) -> String {
    let mut lua = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'"' && byte != b'\\' => lua.push(char::from(byte)),
            _ => lua.push_str(&format!("\\{byte:03}")),
        }
    }
    lua.push('"');
    lua
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_before_a_file_keep_its_line_numbers() {
        let source =
            after(&["x = \"1\"".into(), "y = 2".into()], b"#!/bin/lua\nprint(x)\n".to_vec()).unwrap();
        let expected =
            "assert(loadstring(\"x = \\0341\\034\\010y = 2\", \"=(command line)\"))() \nprint(x)\n";
        assert_eq!(String::from_utf8(source).unwrap(), expected);
        assert_eq!(after(&[], b"#!/bin/lua\n".to_vec()).unwrap(), b"#!/bin/lua\n");
    }
}
