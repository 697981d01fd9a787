//! What splayd and a job's worker process say to each other, over the worker's standard input and
//! output: frames of a length (u32, big-endian) and a bencoded message, at most
//! [`MAX_MESSAGE_BYTES`] long. Times are microseconds since 1970 on this machine's clock.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use splay_protocol::Limits;
use splay_protocol::session::{
    Ending, JobNodes, LiveNodes, MAX_MESSAGE_BYTES, ShippedFile, TopologyOrder, UsageTotals, decode, encode,
};

use crate::confine::Confinement;

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToJobd {
    /// First: how to confine itself, and what it will host.
    Setup(Box<Setup>),
    /// Second: who is in the job. Instances of the positions here are loaded. Later: that has changed.
    Nodes(JobNodes),
    /// Which nodes are there now.
    Live(LiveNodes),
    /// Hosts instances may not contact from now on.
    Blacklist(Blacklist),
    /// Run these loaded instances at an instant; others that are loaded are unloaded.
    Start(Start),
    /// Churn: a new instance at a position.
    Begin(Begin),
    /// Churn: the end of one.
    End(End),
    /// End all instances; the worker ends when its standard input is closed.
    Stop(Stop),
}

/// What a worker hosts and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Identifier of the job.
    pub job: String,
    /// Its name for people.
    pub name: String,
    /// Folder of the job's files, which nothing in the worker may change.
    pub files: PathBuf,
    /// The program, below `files`.
    pub app: String,
    /// Folder under which each life of an instance gets its own.
    pub lives: PathBuf,
    /// `arg`.
    pub arguments: Vec<String>,
    /// `job.env`.
    pub environment: BTreeMap<String, String>,
    /// What each instance may use.
    pub limits: Limits,
    /// Seed of the job.
    pub seed: String,
    /// Hosts instances may not contact.
    pub blacklist: Vec<String>,
    /// Threads that host instances.
    pub threads: u32,
    /// Instances there may be: those there are first, and those that may move here.
    pub seats: u32,
    /// Native libraries that the host allows: the paths are below `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native: Vec<ShippedFile>,
    /// The network that is emulated between the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<TopologyOrder>,
    /// What the operating system is to deny.
    pub confinement: Confinement,
}

/// See [`ToJobd::Blacklist`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blacklist {
    /// All of them.
    pub hosts: Vec<String>,
}

/// Start of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When.
    pub at_us: u64,
    /// Who; empty: all.
    pub positions: Vec<u32>,
}

/// An instance begins by churn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Where.
    pub position: u32,
    /// Step of the agenda.
    pub step: u64,
    /// When.
    pub at_us: u64,
    /// Positions that are up then.
    pub live: Vec<u32>,
}

/// An instance ends by churn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which.
    pub position: u32,
    /// Step of the agenda.
    pub step: u64,
    /// When.
    pub at_us: u64,
    /// Time for its `job.on_stop` hook; 0: it crashes.
    pub grace_ms: u64,
}

/// The end of all instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Time for `job.on_stop` hooks; 0: none.
    pub grace_ms: u64,
    /// Why.
    pub reason: String,
}

/// What a worker tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromJobd {
    /// All instances are loaded.
    Ready(Ready),
    /// It cannot host the job at all.
    Failed(Failed),
    /// An instance runs.
    Started(Started),
    /// An instance has ended.
    Ended(Ended),
    /// An instance met a limit.
    Limit(Limit),
    /// Lines of output.
    Lines(Lines),
}

/// See [`FromJobd::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What of the confinement could not be applied.
    pub degraded: Vec<String>,
}

/// See [`FromJobd::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// For people: the program's syntax error, for example.
    pub message: String,
}

/// See [`FromJobd::Started`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which.
    pub position: u32,
    /// When it really began.
    pub at_us: u64,
    /// When it was to.
    pub planned_us: u64,
    /// Step of the agenda; 0: the job's start.
    pub step: u64,
    /// Number of the life in this worker: its folder is named so.
    pub life: u64,
}

/// See [`FromJobd::Ended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub position: u32,
    /// When.
    pub at_us: u64,
    /// How.
    pub ending: Ending,
    /// For people.
    pub detail: String,
    /// What it used.
    pub usage: UsageTotals,
    /// Step of the agenda that ended it; 0: none.
    pub step: u64,
    /// When that was due.
    pub planned_us: u64,
    /// When that was carried out.
    pub acted_us: u64,
    /// Its life.
    pub life: u64,
    /// It never ran: loaded, and then not needed.
    pub unstarted: u8,
}

/// See [`FromJobd::Limit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which instance.
    pub position: u32,
    /// When.
    pub at_us: u64,
    /// Field of [`Limits`].
    pub limit: String,
    /// What is allowed.
    pub allowed: u64,
    /// What was reached.
    pub reached: u64,
    /// The instance is ended for it.
    pub ended: u8,
}

/// See [`FromJobd::Lines`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// As [`splay_protocol::log_lines`] writes them; times on this machine's clock.
    pub block: ByteBuf,
}

/// Writes a message.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&frame(message)?)
}

/// The bytes of a message, length included.
pub fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = encode(message);
    if body.len() > MAX_MESSAGE_BYTES {
        let text = format!("a message of {} bytes is too long for the pipe", body.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Length of the body announced by a frame's first bytes.
pub fn body_length(header: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if length > MAX_MESSAGE_BYTES {
        let text = format!("a frame of {length} bytes is announced");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(length)
}

/// Reads a body.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    decode(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Reads a message; `None` at the end.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; body_length(header)?];
    from.read_exact(&mut body)?;
    parse(&body).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let mut bytes = Vec::new();
        let first = ToJobd::Stop(Stop { grace_ms: 5, reason: "over".into() });
        let second = ToJobd::Start(Start { at_us: 1, positions: vec![3] });
        write(&mut bytes, &first).unwrap();
        write(&mut bytes, &second).unwrap();
        assert_eq!(bytes[..4], [0, 0, 0, 37]);
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from).unwrap(), Some(first));
        assert_eq!(read(&mut from).unwrap(), Some(second));
        assert_eq!(read::<ToJobd>(&mut from).unwrap(), None);
    }

    #[test]
    fn long_and_broken_frames_are_refused() {
        assert!(read::<FromJobd>(&mut &[0xff, 0, 0, 0, 1][..]).is_err());
        assert!(read::<FromJobd>(&mut &[0, 0, 0, 9, 1][..]).is_err());
        assert!(read::<FromJobd>(&mut &[0, 0, 0, 2, b'd', b'e'][..]).is_err());
    }
}
