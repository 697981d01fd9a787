//! What can go wrong with a test.

use std::io;
use std::path::PathBuf;

/// Why a test did not take place or was broken off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that do not fit together or are out of range.
    #[error("{0}")]
    Options(String),
    /// The host has no address of the family asked for.
    #[error("host {host}: {reason}")]
    Resolve {
        /// As it was given.
        host: String,
        /// What the name service says.
        reason: String,
    },
    /// A call of the operating system failed.
    #[error("{call} {operand}: {source}")]
    System {
        /// What was tried: `bind`, `connect`, ...
        call: &'static str,
        /// On what.
        operand: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The control connection could not be made or was lost.
    #[error("control connection with {peer}: {reason}")]
    Control {
        /// The other side.
        peer: String,
        /// What happened.
        reason: String,
    },
    /// A hook failed: the message names it.
    #[error("{0}")]
    Hook(String),
    /// A limit of the job forbids more.
    #[error("restricted: {0}")]
    Limit(&'static str),
    /// Somebody stopped the test.
    #[error("stopped")]
    Stopped,
    /// Samples could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Samples {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// A failed call of the operating system.
    pub(crate) fn system(call: &'static str, operand: impl ToString, source: io::Error) -> Error {
        Error::System { call, operand: operand.to_string(), source }
    }
}
