//! `splay libs`: native libraries that jobs may ask for.

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use splay_protocol::api::{NativeLib, NewNativeLib};

use crate::failure::Failure;
use crate::quantity::size_text;
use crate::testbed::table::Table;
use crate::testbed::times::clock;
use crate::testbed::{STATUSES, Target};

const EXAMPLES: &str = "\
Examples:
  splay libs
  splay libs add lxyssl.so --name lxyssl
  splay libs add lxyssl-arm.so --name lxyssl --architecture aarch64
  splay libs remove 9f86d081884c7d65
  splay submit app.lua --native lxyssl

A job that asks for a library runs on splayds there is a build for and whose administrators allow its
digest (native_libraries in splayd.toml): native code is not confined by the sandbox.
";

/// List and change the native libraries of a controller.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{STATUSES}"))]
pub struct LibsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a build (administrators).
    #[command(after_help = "Examples:\n  splay libs add lxyssl.so --name lxyssl")]
    Add {
        /// The shared object.
        file: PathBuf,
        /// What a program requires [default: the file's name without its ending].
        #[arg(long)]
        name: Option<String>,
        /// Operating system it is built for.
        #[arg(long, default_value = std::env::consts::OS)]
        os: String,
        /// Processor it is built for.
        #[arg(long, default_value = std::env::consts::ARCH)]
        architecture: String,
    },
    /// Remove a build (administrators).
    #[command(after_help = "Examples:\n  splay libs remove 9f86d081884c7d65")]
    Remove {
        /// Its digest, or enough of the beginning.
        sha256: String,
    },
}

/// Lists or changes libraries.
pub fn execute(args: LibsArgs) -> Result<ExitCode, Failure> {
    let client = args.target.client()?;
    match args.action {
        None => {
            let libs: Vec<NativeLib> = client.get("/native")?;
            args.target.show(&libs, |libs| {
                if libs.is_empty() {
                    return "no native libraries\n".to_owned();
                }
                let mut table = Table::new(&["NAME", "OS", "ARCHITECTURE", ">SIZE", "ADDED", "SHA256"]);
                for lib in libs {
                    table.row([
                        lib.name.clone(),
                        lib.os.clone(),
                        lib.architecture.clone(),
                        size_text(lib.bytes),
                        clock(lib.added_at),
                        lib.sha256.clone(),
                    ]);
                }
                table.to_string()
            })?;
        }
        Some(Action::Add { file, name, os, architecture }) => {
            let bytes =
                std::fs::read(&file).map_err(|source| Failure::Read { path: file.clone(), source })?;
            let stem =
                || file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let name = name.unwrap_or_else(stem);
            let new = NewNativeLib { name: name.clone(), os, architecture, base64: STANDARD.encode(bytes) };
            client.tell("POST", "/native", Some(&new))?;
            args.target.done(&format!("library {name} added"))?;
        }
        Some(Action::Remove { sha256 }) => {
            let libs: Vec<NativeLib> = client.get("/native")?;
            let found: Vec<&NativeLib> = libs.iter().filter(|lib| lib.sha256.starts_with(&sha256)).collect();
            let [lib] = found.as_slice() else {
                let what = if found.is_empty() { "no library" } else { "several libraries" };
                return Err(Failure::NotFound(format!("{what} with a digest that begins `{sha256}`")));
            };
            client.tell("DELETE", &format!("/native/{}", lib.sha256), None::<&()>)?;
            args.target.done(&format!("library {} removed", lib.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
