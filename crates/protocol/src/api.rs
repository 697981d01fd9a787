//! The controller's HTTP API: what requests and answers hold. Shared by the controller and the
//! command line. Everything is JSON below [`BASE`]; times are seconds since 1970 with a fraction.
//!
//! A request carries `Authorization: Bearer TOKEN`, where the token is a session's (from
//! `POST /login`) or an API token. A refused one is answered with a status of 400 or more and an
//! [`ErrorBody`]. Lists come whole, newest last.

mod accounts;
mod jobs;
mod outcome;
mod refusal;
mod splayds;
mod submit;

pub use accounts::{
    AuditEntry, ChangeUser, CreatedJoinToken, CreatedToken, JoinTokenInfo, LoggedIn, Login, NewJoinToken,
    NewToken, NewUser, Role, Token, User,
};
pub use jobs::{ChurnReport, FileInfo, Instance, InstanceState, Job, JobState, JobSummary, Spread};
pub use outcome::{JobEvent, JobEventKind, LogLine, LogsInfo, ResultFile};
pub use refusal::{ErrorBody, ErrorCode, ErrorDetail};
pub use splayds::{
    Blacklist, ChangeSplayd, Health, MachineStatus, NativeLib, NewNativeLib, Splayd, SplaydChange,
    SplaydState,
};
pub use submit::{Kill, Submit, SubmitFile, Submitted};

/// What every path begins with.
pub const BASE: &str = "/api/v1";
