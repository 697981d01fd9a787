//! What the runtime offers to a program: its globals and its modules' members, asked of a live
//! instance. No code of the program runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{InstanceConfig, Mode, Stream};
use splay_runtime::program::Program;

use super::host::{Host, traffic_globals};
use super::names::Module;
use crate::engine::{Alone, run_virtual};
use crate::failure::Failure;

/// What is asked.
#[derive(Debug, Default)]
pub struct Questions {
    /// Who runs the file.
    pub host: Host,
    /// Modules of the libraries that are required.
    pub libraries: BTreeSet<String>,
    /// Other modules: whether `require` would find a file.
    pub others: BTreeSet<String>,
    /// Members of modules.
    pub members: BTreeSet<(Module, String)>,
    /// Where the program's own modules are.
    pub folder: Option<PathBuf>,
}

/// What is known.
#[derive(Debug, Default)]
pub struct World {
    /// Who runs the file.
    pub host: Host,
    /// Globals there are once the required libraries are loaded.
    pub globals: BTreeSet<String>,
    /// Modules that `require` would not find.
    pub missing: BTreeSet<String>,
    /// Members asked for that do not exist, though their module does.
    pub absent: BTreeSet<(Module, String)>,
    /// All members of the modules asked about.
    pub members: BTreeMap<Module, BTreeSet<String>>,
}

/// Globals that an instance may have though a bare one has not.
const MAY_BE: [&str; 2] = ["job", "arg"];

const PROBE: &str = r#"
local out, path, cpath = print, package.path, package.cpath
local require, pcall, type, next = require, pcall, type, next
local scope = _G
local function find(name)
  return package.searchpath(name, path) or package.searchpath(name, cpath)
end
local function library(name) pcall(require, name) end
local function other(name)
  if not package.loaded[name] and not package.preload[name] and not find(name) then
    out("missing", name)
  end
end
local function keys(kind, name, t, seen)
  if seen[t] then return end
  seen[t] = true
  for key in next, t do
    if type(key) == "string" then out("key", kind, name, key) end
  end
  local meta = debug.getmetatable(t)
  if meta and type(meta.__index) == "table" then keys(kind, name, meta.__index, seen) end
end
local function member(kind, name, field)
  local ok, t
  if kind == "required" then ok, t = pcall(require, name) else ok, t = true, scope[name] end
  if not ok or type(t) ~= "table" then return end
  local found, value = pcall(function() return t[field] end)
  if found and value == nil then out("absent", kind, name, field) end
  keys(kind, name, t, {})
end
local function globals()
  for key in next, scope do
    if type(key) == "string" then out("global", key) end
  end
end
-- What the script of an object class sees, as it is told by one.
local function class()
  local script = [[
    function tell__names(_, output)
      for name, value in pairs(_G) do
        output:append(name .. "\n")
        if type(value) == "table" then
          for field in pairs(value) do output:append(name .. " " .. tostring(field) .. "\n") end
        end
      end
    end
    cls.register(tell__names)
  ]]
  local _, told = require("splay.objstore").open():exec("names", script, "tell__names")
  scope = {}
  for name, field in told:gmatch("([^ \n]+) ?([^\n]*)") do
    if field == "" then
      scope[name] = scope[name] or true
    else
      if type(scope[name]) ~= "table" then scope[name] = {} end
      scope[name][field] = true
    end
  end
  scope.tell__names = nil
end
"#;

/// Modules that LuaJIT itself has loaded or can load.
pub const LUA_MODULES: [&str; 12] =
    ["string", "table", "math", "os", "io", "coroutine", "debug", "package", "bit", "jit", "ffi", "_G"];

/// Whether `require` of this name loads a library of the runtime's.
pub fn is_library(name: &str) -> bool {
    library_names().any(|library| library == name)
}

/// Names of everything the runtime itself can load.
pub fn library_names() -> impl Iterator<Item = &'static str> {
    let sources = splay_runtime::vm::sources().iter().map(|(name, _)| *name);
    sources.chain(splay_runtime::core::MODULES.iter().map(|module| module.name)).chain(LUA_MODULES)
}

/// Asks.
pub fn ask(questions: &Questions) -> Result<World, Failure> {
    let mut source = PROBE.to_owned();
    let quoted = |text: &str| format!("{text:?}");
    let mut line = |function: &str, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        writeln!(source, "{function}({})", words.join(", ")).expect("to a string");
    };
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    questions.libraries.iter().for_each(|name| line("library", &[name]));
    questions.others.iter().filter(|name| plain(name)).for_each(|name| line("other", &[name]));
    if questions.host == Host::Store {
        line("class", &[]);
    }
    line("globals", &[]);
    for (module, field) in questions.members.iter().filter(|(_, field)| plain(field)) {
        match module {
            // A file of the program's own is not run.
            Module::Required(name) if is_library(name) => line("member", &["required", name, field]),
            Module::Required(_) => {}
            Module::Global(name) => line("member", &["global", name, field]),
        }
    }
    let program = Program::from_source("(question)", source.as_bytes(), questions.folder.clone())?;
    let config = InstanceConfig {
        program: Arc::new(program),
        arguments: Vec::new(),
        job: None,
        mode: Mode::Hosted,
        jit: false,
        compact: false,
        seed: Some(0),
        max_memory_bytes: None,
    };
    let mut world = World { host: questions.host, ..World::default() };
    let mut hear = |_: Stream, line: &[u8]| world.hear(&String::from_utf8_lossy(line));
    let told = Alone { line: &mut hear, thread_died: &mut |_| {} };
    run_virtual(config, 0, Duration::from_secs(60), told)?;
    match questions.host {
        Host::Instance => world.globals.extend(MAY_BE.map(str::to_owned)),
        Host::Traffic => world.globals = traffic_globals()?.into_iter().collect(),
        Host::Store => {}
    }
    Ok(world)
}

impl World {
    fn hear(&mut self, line: &str) {
        let module = |kind: &str, name: &str| match kind {
            "required" => Module::Required(name.to_owned()),
            _ => Module::Global(name.to_owned()),
        };
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["global", name] => {
                self.globals.insert(name.to_owned());
            }
            ["missing", name] => {
                self.missing.insert(name.to_owned());
            }
            ["absent", kind, name, field] => {
                self.absent.insert((module(kind, name), field.to_owned()));
            }
            ["key", kind, name, field] => {
                self.members.entry(module(kind, name)).or_default().insert(field.to_owned());
            }
            _ => {}
        }
    }
}
