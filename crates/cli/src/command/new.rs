//! `splay new`: writes a commented application to begin with, its test, and settings for editors.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use splay_runtime::vm::sources;

use crate::command::doc::write_stubs;
use crate::failure::Failure;
use crate::options::shell_line;

const EXAMPLES: &str = "\
Examples:
  splay new ring                      ring.lua and ring_test.lua, in this folder
  splay new apps/rumor -t gossip      in the folder `apps`, made if missing
  splay run ring.lua -n 5             what to do next
  splay test ring_test.lua

Files that are there already are never written over; an existing .luarc.json is kept. Stubs of the
libraries, for completion and types in editors with a Lua language server, are written into
.splay/stubs; `splay doc --stubs .splay/stubs` renews them.

Exit status: 0 written, 2 wrong command line or unusable name, 6 a file is there already or
cannot be written.";

/// Settings of a Lua language server. Paths are those of the folder: it holds on every machine.
/// Functions that others call are global.
const EDITOR_SETTINGS: &str = r#"{
  "runtime.version": "LuaJIT",
  "workspace.library": [".splay/stubs"],
  "workspace.checkThirdParty": false,
  "diagnostics.disable": ["lowercase-global"]
}
"#;

/// Where the stubs are that these settings name.
const STUBS: &str = ".splay/stubs";

/// Write an application that runs at once, to be changed, and a test of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct NewArgs {
    /// Name of the application, with a folder before it or not.
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// What to begin with.
    #[arg(short, long, value_enum, default_value_t = Template::Hello, value_name = "TEMPLATE")]
    template: Template,
}

/// `--template`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// Threads that print and sleep.
    Hello,
    /// Instances that call functions of each other.
    Rpc,
    /// A rumor that spreads.
    Gossip,
    /// A distributed hash table with replicas.
    Dht,
    /// Agreement on one value (Paxos).
    Consensus,
}

impl Template {
    /// The module's name in the template, and the sources of application and test.
    fn sources(self) -> (&'static str, &'static str, &'static str) {
        macro_rules! template {
            ($name:literal) => {
                (
                    $name,
                    include_str!(concat!("../../templates/", $name, ".lua")),
                    include_str!(concat!("../../templates/", $name, "_test.lua")),
                )
            };
        }
        match self {
            Template::Hello => template!("hello"),
            Template::Rpc => template!("rpc"),
            Template::Gossip => template!("gossip"),
            Template::Dht => template!("dht"),
            Template::Consensus => template!("consensus"),
        }
    }
}

/// Writes the files and tells what to do with them.
pub fn execute(args: NewArgs) -> Result<ExitCode, Failure> {
    let name = module_name(&args.name)?;
    let folder = args.name.parent().unwrap_or(Path::new(""));
    let (from, app, test) = args.template.sources();
    let app_path = folder.join(format!("{name}.lua"));
    let test_path = folder.join(format!("{name}_test.lua"));
    // Both or none: a name in use is noticed before anything is written.
    for path in [&app_path, &test_path] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Write { path: path.clone(), source: exists() });
        }
    }
    if !folder.as_os_str().is_empty() {
        fs::create_dir_all(folder).map_err(|source| Failure::Write { path: folder.to_owned(), source })?;
    }
    write_new(&app_path, &renamed(app, from, &name))?;
    write_new(&test_path, &renamed(test, from, &name))?;
    let settings = folder.join(".luarc.json");
    if settings.symlink_metadata().is_err() {
        write_new(&settings, EDITOR_SETTINGS)?;
    }
    write_stubs(&folder.join(STUBS))?;
    let command = |words: &[&str], path: &Path| {
        let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        words.insert(2, path.to_string_lossy().into_owned());
        shell_line(&words)
    };
    let text = format!(
        "written: {}, {}\nrun it:   {}\ntest it:  {}\ncheck it: {}\n",
        app_path.display(),
        test_path.display(),
        command(&["splay", "run", "-n", "5"], &app_path),
        command(&["splay", "test"], &test_path),
        command(&["splay", "check"], &app_path),
    );
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// The name that `require` will know the application by.
fn module_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".lua").unwrap_or(&name);
    let reason = if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    {
        "a name begins with a letter and has letters, digits, - and _"
    } else if name.ends_with("_test") {
        "files named *_test.lua are tests"
    } else if LUA_LIBRARIES.contains(&name) || sources().iter().any(|(library, _)| *library == name) {
        "a library has this name, and `require` would find that one"
    } else {
        return Ok(name.to_owned());
    };
    Err(Failure::Usage(format!("no application can be called `{name}`: {reason}")))
}

/// What Lua itself has loaded under these names.
const LUA_LIBRARIES: [&str; 12] =
    ["bit", "coroutine", "debug", "ffi", "io", "jit", "math", "os", "package", "splay", "string", "table"];

/// The template with another name: in the names of its files, and where its test requires it.
fn renamed(source: &str, from: &str, name: &str) -> String {
    source
        .replace(&format!("{from}.lua"), &format!("{name}.lua"))
        .replace(&format!("{from}_test.lua"), &format!("{name}_test.lua"))
        .replace(&format!("require \"{from}\""), &format!("require \"{name}\""))
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| Failure::Write { path: path.to_owned(), source })
}

fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "it is there already; choose another name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_required_are_refused() {
        for name in ["", "..", "1st", "a b", "a.b", "json", "string", "x_test"] {
            assert!(module_name(Path::new(name)).is_err(), "{name}");
        }
        assert_eq!(module_name(Path::new("apps/my-ring_2.lua")).unwrap(), "my-ring_2");
    }

    #[test]
    fn nothing_of_a_template_keeps_its_name() {
        for template in Template::value_variants() {
            let (from, app, test) = template.sources();
            for source in [app, test] {
                let text = renamed(source, from, "fresh");
                assert!(!text.contains(&format!("{from}.lua")), "{text}");
                assert!(!text.contains(&format!("{from}_test")), "{text}");
                assert!(text.contains("fresh_test.lua"), "{text}");
            }
            assert!(renamed(test, from, "fresh").contains("require \"fresh\""), "{template:?}");
        }
    }

    #[test]
    fn editor_settings_are_json() {
        let settings: serde_json::Value = serde_json::from_str(EDITOR_SETTINGS).unwrap();
        assert_eq!(settings["workspace.library"][0], STUBS);
    }
}
