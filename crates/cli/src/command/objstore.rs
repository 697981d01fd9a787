//! `splay objstore`: an object store that serves other nodes, and a handler run on one of its objects.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Stream};
use splay_runtime::program::Program;

use crate::engine::{Alone, run_alone};
use crate::failure::{Failure, STATUS_INTERRUPTED, complain};

const EXAMPLES: &str = "\
Examples:
  splay objstore serve --port 7480 --dir objects
                          a store that survives crashes, in the folder `objects`
  splay objstore serve --port 7480 --class counter.lua
                          one in memory, with a class that clients call `counter`
  splay objstore exec --port 7480 votes counter.lua add 3
                          a script run on the object `votes`: its function `add`, with the input `3`
  splay objstore exec --port 7480 votes counter add 3
                          the same with the installed class
  tail -c 100 data | splay objstore exec --port 7480 log append.lua append -
                          with the input from a pipe";

const SERVE: &str = "\
Prints `objstore: serving on ADDRESS:PORT` when it is ready. Ends with Ctrl-C or SIGTERM.

Programs reach it by `objstore.connect { ip = ..., port = ... }` of `splay.objstore`.

Exit status: 2 wrong command line, 3 the file of a class is missing, 4 the file of a class is not
valid Lua, 5 the port is taken, 6 the folder cannot be used or is damaged, 130 interrupted.";

const EXEC: &str = "\
The output goes to standard output as it is, what the handler logged to standard error, a line
each, and then what it returned if that is not 0.

Exit status: 0 the handler returned 0 or more, 1 it returned an error: nothing has changed; 2 wrong
command line, 3 the script's file is missing, 7 no answer.";

/// Serve an object store, and run handlers on its objects.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ObjstoreArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a store, in memory or in a folder, to other nodes.
    #[command(after_help = SERVE)]
    Serve(ServeArgs),
    /// Run a handler on an object of a store that is served.
    #[command(after_help = EXEC)]
    Exec(ExecArgs),
}

/// When changes are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flush {
    /// Before each is acknowledged.
    Commit,
    /// Once a second.
    Second,
    /// When the system sees fit.
    Never,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Port to serve; other machines reach it too.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Folder of the objects, made if missing; without it they are in memory alone.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// When changes are on the disk. A killed program loses none either way.
    #[arg(long, value_enum, default_value_t = Flush::Commit, value_name = "WHEN", requires = "dir")]
    flush: Flush,
    /// Install a class: its name is that of the file without `.lua`. May be given several times.
    #[arg(long, value_name = "FILE.lua", value_hint = ValueHint::FilePath)]
    class: Vec<PathBuf>,
    /// What all objects may take, in bytes.
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Show what handlers log up to this level.
    #[arg(long, value_name = "LEVEL", default_value_t = 0)]
    log_level: u32,
    /// Answer for functions that are not registered with -EOPNOTSUPP, as in 2013, not with -EIO.
    #[arg(long)]
    compat_2013: bool,
}

#[derive(Debug, Args)]
struct ExecArgs {
    /// Address of the store.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,
    /// Port of the store.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Seconds to wait for the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// Name of the object.
    object: String,
    /// File of a script (its name ends in `.lua`), or name of an installed class.
    #[arg(value_name = "FILE.lua|CLASS", value_hint = ValueHint::FilePath)]
    class: String,
    /// Function that the script registers; `""` runs the script alone.
    handler: String,
    /// What the handler gets; `-`: standard input.
    #[arg(default_value = "", allow_hyphen_values = true)]
    input: String,
}

/// Serves a store. Arguments: port, folder, flush, bytes, level, compatibility, then classes: name and
/// script.
const SERVER: &str = r#"
require "splay.base"
local objstore = require "splay.objstore"
local port, folder, flush, bytes, level, compat = unpack(arg)
local function fail(status, reason)
  io.stderr:write("splay: ", reason, "\n")
  os.exit(status)
end
local store, reason = objstore.open {
  directory = folder ~= "" and folder or nil, flush = flush, max_bytes = tonumber(bytes),
  log_level = tonumber(level), compat = compat,
}
if not store then fail(6, reason) end
for i = 7, #arg, 2 do
  local ok, why = store:install(arg[i], arg[i + 1])
  if not ok then fail(4, why) end
end
events.run(function()
  local ok, why = objstore.serve(store, { port = tonumber(port) })
  if not ok then fail(5, "port " .. port .. ": " .. why) end
  print("objstore: serving on 0.0.0.0:" .. port)
  io.stdout:flush()
end)
"#;

/// Runs a handler. Arguments: address, port, seconds, object, class, handler, input.
const CLIENT: &str = r#"
require "splay.base"
local host, port, seconds, oid, class, handler, input = unpack(arg)
if input == "-" then input = io.read("*a") end
events.run(function()
  local node = { ip = host, port = tonumber(port) }
  local far = require("splay.objstore").connect(node, { timeout = tonumber(seconds) })
  local ret, output, log = far:exec(oid, class, handler, input)
  if not ret then
    io.stderr:write("splay: ", host, ":", port, ": ", output, "\n")
    os.exit(7)
  end
  for _, line in ipairs(log) do io.stderr:write(line, "\n") end
  io.stdout:write(output)
  io.stdout:flush()
  if ret < 0 then
    local errno = require "splay.errno"
    local name = errno.name(ret)
    local what = log.error or errno.message(ret)
    io.stderr:write("splay: ", name and "-" .. name or ret, " (", ret, "): ", what, "\n")
    os.exit(1)
  end
  if ret > 0 then io.stderr:write("returned ", ret, "\n") end
  os.exit(0)
end)
"#;

/// Runs the subcommand.
pub fn execute(args: ObjstoreArgs) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Serve(args) => serve(args),
        Command::Exec(args) => exec(args),
    }
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
    // Scripts are text; what is none fails when it is compiled.
    String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("`{}` is not UTF-8, as a script here must be", path.display())))
}

fn serve(args: ServeArgs) -> Result<ExitCode, Failure> {
    let folder = args.dir.as_ref().map_or(Some(""), |dir| dir.to_str());
    let folder = folder.ok_or_else(|| Failure::Usage("the folder's name is not UTF-8".to_owned()))?;
    let flush = match args.flush {
        Flush::Commit => "commit",
        Flush::Second => "second",
        Flush::Never => "never",
    };
    let bytes = args.max_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    let compat = if args.compat_2013 { "2013" } else { "upstream" };
    let mut arguments = vec![
        args.port.to_string(),
        folder.to_owned(),
        flush.to_owned(),
        bytes,
        args.log_level.to_string(),
        compat.to_owned(),
    ];
    for path in &args.class {
        let script = read(path)?;
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        arguments.extend([name, script]);
    }
    run(SERVER, arguments)
}

fn exec(args: ExecArgs) -> Result<ExitCode, Failure> {
    let class = match args.class.ends_with(".lua") {
        true => read(&PathBuf::from(&args.class))?,
        false => args.class,
    };
    let (port, timeout) = (args.port.to_string(), args.timeout.to_string());
    run(CLIENT, vec![args.host, port, timeout, args.object, class, args.handler, args.input])
}

/// Runs one of the programs above as a plain interpreter does.
fn run(source: &str, arguments: Vec<String>) -> Result<ExitCode, Failure> {
    let program = Program::from_source("objstore", source.as_bytes(), None)?;
    let config = InstanceConfig {
        program: Arc::new(program),
        arguments,
        job: None,
        mode: Mode::Interpreter,
        jit: true,
        compact: false,
        seed: None,
        max_memory_bytes: None,
    };
    let mut write_line = |stream: Stream, line: &[u8]| {
        let line = [line, b"\n"].concat();
        // Nobody may be reading any more.
        let _ = match stream {
            Stream::Out => io::stdout().write_all(&line),
            Stream::Err => io::stderr().write_all(&line),
        };
    };
    let mut thread_died = |error: &str| complain(error);
    let reason = run_alone(config, Alone { line: &mut write_line, thread_died: &mut thread_died })?;
    Ok(match reason {
        EndReason::Finished => ExitCode::SUCCESS,
        EndReason::Exit(status) => ExitCode::from(status as u8),
        EndReason::Error(message) => {
            complain(&message);
            ExitCode::from(crate::failure::STATUS_BROKEN)
        }
        EndReason::Memory => {
            complain("not enough memory");
            ExitCode::from(crate::failure::STATUS_BROKEN)
        }
        EndReason::Stopped => ExitCode::from(STATUS_INTERRUPTED),
    })
}
