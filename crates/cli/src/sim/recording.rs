//! Files of recordings, and what their header keeps so that the run can be repeated.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use splay_runtime::program::Program;
use splay_simulator::recording::{Reader, Recorder};

use crate::failure::Failure;
use crate::options::Options;

/// The header of a recording.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    /// See [`build`].
    pub build: String,
    /// See [`fingerprint`].
    pub application: String,
    /// Name of the application.
    pub name: String,
    /// How many instances.
    pub instances: u32,
    /// The seed.
    pub seed: u64,
    /// The command line that repeats the run.
    pub command_line: Vec<String>,
    /// Where it was given.
    pub working_directory: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written<'a> {
    build: String,
    application: String,
    #[serde(flatten)]
    options: &'a Options,
}

/// Which build of the command this is: its version, and a hash of its file.
pub fn build() -> String {
    let own = std::env::current_exe().and_then(std::fs::read);
    let hash = own.map_or(0, |bytes| splay_simulator::recording::hash(&bytes));
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hash as u64)
}

/// A hash of the application's main file, as it is compiled.
pub fn fingerprint(program: &Program) -> String {
    format!("{:032x}", splay_simulator::recording::hash(&program.bytecode))
}

/// Begins a recording.
pub fn create(path: &Path, options: &Options, program: &Program) -> Result<Recorder, Failure> {
    let header = Written { build: build(), application: fingerprint(program), options };
    let header = serde_json::to_vec(&header).expect("plain data always has a JSON form");
    let created = File::create(path).and_then(|file| Recorder::to(Box::new(BufWriter::new(file)), &header));
    created.map_err(|source| Failure::Write { path: path.to_owned(), source })
}

/// Begins to read a recording.
pub fn open(path: &Path) -> Result<(Reader, Header), Failure> {
    let unreadable = |source| Failure::Recording { path: path.to_owned(), source };
    let (reader, header) =
        File::open(path).and_then(|file| Reader::open(Box::new(file))).map_err(unreadable)?;
    let header = serde_json::from_slice(&header).map_err(|error| unreadable(io::Error::from(error)))?;
    Ok((reader, header))
}
