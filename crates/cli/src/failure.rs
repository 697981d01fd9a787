//! What makes a command give up: one line each, and an exit status that tells them apart.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use splay_etcd::disk::DiskError;
use splay_etcd::server::ServerError;
use splay_protocol::ListError;
use splay_protocol::api::ErrorCode;
use splay_protocol::churn::SourceError;
use splay_runtime::program::ProgramError;

use crate::excerpt::excerpt;
use crate::plot::{Kind, PlotError};
use crate::reservation::Taken;

/// An instance of a run failed.
pub const STATUS_INSTANCE_FAILED: u8 = 1;
/// Results, a picture or output cannot be written.
pub const STATUS_UNWRITTEN: u8 = 6;
/// Ended by Ctrl-C or SIGTERM.
pub const STATUS_INTERRUPTED: u8 = 130;

/// Exit statuses, as `--help` tells them.
pub const STATUSES: &str = "\
Exit status:
  0    all instances ended well, or were stopped by --for
  1    an instance failed: error, exit with another status than 0, or memory limit;
       or a thread died of an uncaught error, however its instance ended
  2    the command line is wrong
  3    the application's file, that of --churn or of a topology is missing or unreadable
  4    the application's file is not valid Lua, or that of --churn or of a topology is wrong
  5    the machine cannot host it: a port is taken, or too few file descriptors
  6    results, a picture or output cannot be written; nobody reads the output any more, as in
       `splay run app.lua | head`: all instances are stopped
  70   a worker broke down (a bug in splay)
  130  interrupted";

/// Why a command cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The program cannot be loaded.
    #[error("{}", explain(.0))]
    Program(#[from] ProgramError),
    /// The job cannot be made.
    #[error("{0}")]
    Lists(#[from] ListError),
    /// Another process uses a port of the run.
    #[error(
        "port {port} is taken ({transport}, wanted by instance {instance}): end what uses it, or \
         choose other ports with --first-port (without it, free ones are found)"
    )]
    PortTaken {
        /// Which port.
        port: u16,
        /// `tcp` or `udp`.
        transport: &'static str,
        /// Which instance it is for.
        instance: u32,
    },
    /// Another command has reserved ports of the run.
    #[error(
        "ports {wanted} are wanted, and {} to {} are those of {}: end it, or choose other ports with \
         --first-port (without it, free ones are found)",
        taken.ports.start(), taken.ports.end(), taken.holder
    )]
    PortsReserved {
        /// The first and the last of the run.
        wanted: String,
        /// By whom.
        taken: Taken,
    },
    /// A port cannot be bound, for another reason than being taken.
    #[error("port {port} cannot be used ({transport}, wanted by instance {instance}): {source}")]
    Port {
        /// Which port.
        port: u16,
        /// `tcp` or `udp`.
        transport: &'static str,
        /// Which instance it is for.
        instance: u32,
        /// Why.
        source: io::Error,
    },
    /// The limit of descriptors is below what the instances need at the least.
    #[error(
        "{instances} instances need at least {needed} file descriptors and the hard limit is {limit}: \
         raise it (as root `ulimit -Hn {needed}` before the run, or `nofile` in \
         /etc/security/limits.conf), or run fewer"
    )]
    Descriptors {
        /// How many instances.
        instances: u32,
        /// One each and some for the command itself.
        needed: u64,
        /// What the system allows.
        limit: u64,
    },
    /// A file of the results cannot be written.
    #[error("write `{path}`: {source}")]
    Write {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A recording cannot be read.
    #[error("read the recording `{path}`: {source}")]
    Recording {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the user's is wrong.
    #[error("{}:{error}\n{}", path.display(), error.excerpt())]
    Source {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: SourceError,
    },
    /// What a file asks a testbed for makes no sense.
    #[error("{}:{line}: {message}", path.display())]
    Options {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What, and which key.
        message: String,
    },
    /// A file cannot be read.
    #[error("{}", unreadable(path, source))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing by the name asked for.
    #[error("{0}")]
    NotFound(String),
    /// There is no run, or no instance of it, to open a prompt on.
    #[error("{0}")]
    Unreachable(String),
    /// A test of traffic did not take place, or was broken off.
    #[error(transparent)]
    Traffic(#[from] splay_traffic::Error),
    /// A folder cannot be looked into.
    #[error("read the folder `{path}`: {source}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of a topology cannot be read.
    #[error("read the topology `{path}`: {source}")]
    Topology {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of a topology is not one.
    #[error("{place}: {problem}")]
    TopologyInvalid {
        /// File and line.
        place: String,
        /// What is wrong, and with which element.
        problem: String,
    },
    /// What a run showed cannot be read.
    #[error("read what the run showed, `{path}`: {source}")]
    View {
        /// Its view.json.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing for a picture.
    #[error("no {} drawn: {source}", kind.name())]
    Plot {
        /// Which one.
        kind: Kind,
        /// Why.
        source: PlotError,
    },
    /// A run has left nothing to draw.
    #[error("nothing to draw in {}: {why} (see `splay doc view`)", run.display())]
    NothingShown {
        /// Its folder.
        run: PathBuf,
        /// Why.
        why: String,
    },
    /// The standard output cannot be written.
    #[error("write to standard output: {0}")]
    Output(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("read standard input: {0}")]
    Input(#[source] io::Error),
    /// A controller cannot be reached, or is none.
    #[error("controller {url}: {message}")]
    Controller {
        /// Its address.
        url: String,
        /// What is wrong, and what to try.
        message: String,
    },
    /// A controller does not do what it was asked for.
    #[error("refused: {message}{}", advice(*code))]
    Refused {
        /// Kind of refusal.
        code: ErrorCode,
        /// Why.
        message: String,
    },
    /// There is no session to ask with.
    #[error("{0}")]
    NotLoggedIn(String),
    /// Ctrl-C or SIGTERM came before anything was done.
    #[error("interrupted")]
    Interrupted,
    /// A process of a testbed did not do what it must.
    #[error("{0}")]
    Testbed(String),
    /// A password cannot be read.
    #[error("read the password: {0}")]
    Password(#[source] io::Error),
    /// The etcd server does not start, or cannot go on.
    #[error(transparent)]
    Etcd(#[from] ServerError),
    /// A worker cannot be set up.
    #[error("start a worker: {0}")]
    Worker(#[source] io::Error),
}

impl Failure {
    /// The exit status of this failure.
    pub fn status(&self) -> u8 {
        match self {
            Failure::NotFound(_) => 1,
            Failure::Usage(_) | Failure::Lists(_) => 2,
            Failure::Program(ProgramError::Read { .. })
            | Failure::Folder { .. }
            | Failure::Recording { .. }
            | Failure::Topology { .. }
            | Failure::View { .. }
            | Failure::Input(_)
            | Failure::Read { .. }
            | Failure::Password(_)
            | Failure::Unreachable(_) => 3,
            Failure::Program(_)
            | Failure::Source { .. }
            | Failure::Options { .. }
            | Failure::TopologyInvalid { .. } => 4,
            Failure::PortTaken { .. }
            | Failure::PortsReserved { .. }
            | Failure::Port { .. }
            | Failure::Descriptors { .. } => 5,
            Failure::Write { .. }
            | Failure::Plot { .. }
            | Failure::NothingShown { .. }
            | Failure::Output(_) => STATUS_UNWRITTEN,
            Failure::Controller { .. } => 7,
            Failure::Traffic(error) => traffic_status(error),
            Failure::NotLoggedIn(_) => 8,
            Failure::Refused { code, .. } => match code {
                ErrorCode::Internal | ErrorCode::Unavailable => 7,
                ErrorCode::Unauthorized | ErrorCode::Forbidden => 8,
                _ => 9,
            },
            Failure::Etcd(error) => match error {
                ServerError::Listen { .. } | ServerError::Disk(DiskError::Taken(_)) => 5,
                ServerError::Disk(DiskError::Damaged { .. } | DiskError::Gap { .. }) => 4,
                ServerError::Disk(DiskError::File { .. }) => 6,
                ServerError::Threads(_) => STATUS_BROKEN,
            },
            Failure::Testbed(_) => 14,
            Failure::Interrupted => STATUS_INTERRUPTED,
            Failure::Worker(_) => STATUS_BROKEN,
        }
    }

    /// Tells the user, and gives the status to end with.
    pub fn tell(self) -> ExitCode {
        // Nobody reads: nothing to tell, as other commands in a pipe do.
        let closed = matches!(&self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe);
        if !closed {
            complain(&self.to_string());
        }
        ExitCode::from(self.status())
    }
}

/// A worker broke down.
pub const STATUS_BROKEN: u8 = 70;

/// Writes `splay: message` to standard error.
pub fn complain(message: &str) {
    use std::io::Write;
    // Where standard error is closed there is no one left to tell.
    let _ = writeln!(io::stderr(), "splay: {message}");
}

/// Which status a failed test of traffic ends with.
fn traffic_status(error: &splay_traffic::Error) -> u8 {
    use splay_traffic::Error;
    match error {
        Error::Options(_) => 2,
        Error::System { call: "bind" | "socket" | "listen" | "eventfd" | "epoll", .. } => 5,
        Error::Samples { .. } => 6,
        Error::Resolve { .. } | Error::Control { .. } => 7,
        Error::Stopped => STATUS_INTERRUPTED,
        Error::System { .. } | Error::Hook(_) | Error::Limit(_) => STATUS_INSTANCE_FAILED,
    }
}

/// What to do about a refusal.
fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unauthorized => " (see `splay login --help`)",
        ErrorCode::Unavailable => " (try again in a while)",
        _ => "",
    }
}

/// Why a file cannot be read, in the words of a user.
fn unreadable(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => {
            // The ending was forgotten.
            let lua = path.with_extension("lua");
            match path.extension().is_none() && lua.is_file() {
                true => format!("no such file: {}; did you mean {}?", path.display(), lua.display()),
                false => format!("no such file: {}", path.display()),
            }
        }
        io::ErrorKind::IsADirectory => format!("is a folder, not a file: {}", path.display()),
        _ => format!("cannot read {}: {source}", path.display()),
    }
}

/// The program error in the words of a user; a syntax error with the line it is on.
fn explain(error: &ProgramError) -> String {
    match error {
        ProgramError::Read { path, source } if source.kind() == io::ErrorKind::IsADirectory => {
            format!("is a folder, not a Lua file: {}", path.display())
        }
        ProgramError::Read { path, source } => unreadable(path, source),
        ProgramError::Syntax { message } => match source_line(message) {
            Some((number, line)) => {
                let shown = excerpt(number, &line, None);
                format!("{message}\n{}", shown.trim_end())
            }
            None => message.clone(),
        },
    }
}

/// The line that a message beginning with `file:line:` is about.
fn source_line(message: &str) -> Option<(usize, String)> {
    let (path, number) = message.match_indices(':').find_map(|(at, _)| {
        let rest = &message[at + 1..];
        let number: usize = rest[..rest.find(':')?].parse().ok()?;
        Some((&message[..at], number))
    })?;
    let source = std::fs::read(path).ok()?;
    let line = source.split(|&byte| byte == b'\n').nth(number.checked_sub(1)?)?;
    Some((number, String::from_utf8_lossy(line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_in_the_help() {
        let told =
            [0, STATUS_INSTANCE_FAILED, 2, 3, 4, 5, STATUS_UNWRITTEN, STATUS_BROKEN, STATUS_INTERRUPTED];
        for status in told {
            assert!(STATUSES.lines().any(|line| line.trim().starts_with(&format!("{status} "))), "{status}");
        }
    }

    #[test]
    fn syntax_errors_show_their_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "local a = 1\n\tlocal = 2\n").unwrap();
        let path = file.path().display();
        let message = format!("{path}:2: '<name>' expected near '='");
        let text = Failure::from(ProgramError::Syntax { message: message.clone() }).to_string();
        assert_eq!(text, format!("{message}\n   |\n 2 |   local = 2\n   |"));
    }
}
