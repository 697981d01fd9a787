//! The session between a splayd and the controller: what they say to each other.
//!
//! A splayd dials the controller's HTTPS port and opens a WebSocket at [`PATH`]; each message is
//! one binary frame, bencoded (see [`decode`] for what is refused). The controller speaks first:
//!
//! ```text
//! controller  Challenge
//! splayd      Enrol (first time: a join token becomes a pinned key) or Hello
//! controller  Welcome, or Refused and the end
//! controller  Deploy, Nodes, Load, Start, Agenda, Stop, Forget ...   in any order, at any time
//! splayd      Report, Status, NeedFiles ...
//! ```
//!
//! What a splayd reports must not be lost: reports are numbered, kept on the splayd's disk until
//! the controller has stored and acknowledged them, and sent again after a cut. The controller's
//! orders need no numbers: each is idempotent, `Hello` says what the splayd hosts, and the
//! controller sends again what is missing.
//!
//! Messages are additive: a field may be added with a default, a variant too (an unknown one is
//! told by [`DecodeError`] and passed over); none is changed. Times are microseconds since 1970 on
//! the controller's clock unless they say otherwise; bencode has no fractions and no booleans.

mod orders;
mod reports;
mod wire;

pub use orders::{
    Ack, Action, Agenda, AgendaStep, Challenge, FilePart, JobNodes, JobOrder, JobRef, LiveNodes, ProbeReply,
    Refused, RefusedCode, Seat, Settings, ShippedFile, StartOrder, StopOrder, ToSplayd, TopologyOrder,
    Welcome,
};
pub use reports::{
    Clock, DeployRefused, Deployed, Ending, Enrol, Event, Hello, HostedJob, InstanceEnded, InstanceStarted,
    JobReady, LimitHit, LogBatch, LogsDropped, NeedFiles, Phase, Probe, Report, ResultPart, SeatPorts,
    SplaydInfo, Status, ToController, UsageTotals, WorkerLost,
};
pub use wire::{DecodeError, MAX_DEPTH, MAX_MESSAGE_BYTES, decode, encode, signed_text};

/// Version of the session protocol. A controller refuses a splayd whose version it does not know.
pub const VERSION: u32 = 1;

/// Where the controller serves sessions.
pub const PATH: &str = "/session/v1";
