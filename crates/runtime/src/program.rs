//! A Lua program, read and made ready once, started many times.

use std::path::{Path, PathBuf};

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file cannot be read.
    #[error("read app `{path}`: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not valid Lua.
    #[error("{message}")]
    Syntax {
        /// LuaJIT's message: `file:line: what`.
        message: String,
    },
}

/// A program: its source, made acceptable to LuaJIT, and compiled.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name in messages and `arg[0]`.
    pub name: String,
    /// Where `require` looks for the program's own modules.
    pub directory: Option<PathBuf>,
    /// LuaJIT bytecode with line information.
    pub bytecode: Vec<u8>,
    /// It was bytecode to begin with, which no sandbox runs.
    pub precompiled: bool,
}

impl Program {
    /// Reads and compiles a file.
    pub fn load(path: &Path) -> Result<Program, ProgramError> {
        let source =
            std::fs::read(path).map_err(|source| ProgramError::Read { path: path.to_owned(), source })?;
        let mut directory = path.parent().map(Path::to_owned);
        if directory.as_deref() == Some(Path::new("")) {
            directory = Some(PathBuf::from("."));
        }
        Self::from_source(&path.to_string_lossy(), &source, directory)
    }

    /// Compiles a program given as text. `name` appears in messages.
    pub fn from_source(
        name: &str,
        source: &[u8],
        directory: Option<PathBuf>,
    ) -> Result<Program, ProgramError> {
        let prepared = crate::compat::prepare(source);
        let bytecode = crate::vm::compile_alone(&format!("@{name}"), &prepared)
            .map_err(|message| ProgramError::Syntax { message })?;
        let precompiled = prepared.first() == Some(&crate::vm::BYTECODE);
        Ok(Program { name: name.to_owned(), directory, bytecode, precompiled })
    }
}
