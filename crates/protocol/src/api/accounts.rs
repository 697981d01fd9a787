//! Users, what they show, what lets splayds in, and who did what.

use serde::{Deserialize, Serialize};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, on everybody's jobs.
    Admin,
    /// Own jobs; sees the splayds.
    User,
    /// Sees all jobs, their logs and the splayds; changes nothing.
    ReadOnly,
}

/// `POST /login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Name of the user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A session. `POST /logout` ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// What later requests carry.
    pub token: String,
    /// Until when it is good.
    pub expires_at: f64,
    /// Whose it is.
    pub user: User,
}

/// A user: `GET /users`, `GET /users/me`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Since when.
    pub created_at: f64,
}

/// `POST /users` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 of letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// At least 8 characters.
    pub password: String,
    /// What the user may do.
    pub role: Role,
}

/// `PATCH /users/NAME`: an admin changes anybody, everybody the own password. All sessions and API
/// tokens of a user whose password changes end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeUser {
    /// The password so far: needed for the own one.
    pub old_password: Option<String>,
    /// The new password.
    pub password: Option<String>,
    /// The new role (admin).
    pub role: Option<Role>,
}

/// `POST /tokens`: an API token for programs, with the rights of the user who makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// Seconds it is good for, at most a year.
    pub expires_in: f64,
}

/// An API token: `GET /tokens`, `DELETE /tokens/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Identifier.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// Since when.
    pub created_at: f64,
    /// Until when.
    pub expires_at: f64,
}

/// An API token when it is made: the only time it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// About it.
    pub about: Token,
}

/// `POST /join-tokens` (admin): lets splayds enrol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewJoinToken {
    /// How many splayds may enrol with it.
    pub uses: u32,
    /// Seconds it is good for.
    pub expires_in: f64,
    /// The controller's address as splayds reach it, `https://host:port`; absent: the one
    /// configured.
    pub url: Option<String>,
}

impl Default for NewJoinToken {
    fn default() -> Self {
        NewJoinToken { uses: 1, expires_in: 7.0 * 86400.0, url: None }
    }
}

/// A join token without its secret: `GET /join-tokens`, `DELETE /join-tokens/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinTokenInfo {
    /// Identifier.
    pub id: String,
    /// How many may enrol.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Since when.
    pub created_at: f64,
    /// Until when.
    pub expires_at: f64,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A join token when it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedJoinToken {
    /// The text to hand over: [`crate::join::JoinToken`].
    pub join: String,
    /// About it.
    pub about: JoinTokenInfo,
}

/// An entry of the audit log: `GET /audit?limit=N` (admin).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: f64,
    /// Who; empty: nobody known (a failed login).
    pub user: String,
    /// From where.
    pub address: String,
    /// What: `login`, `job.submit` ...
    pub action: String,
    /// To what.
    pub target: String,
    /// How it went, and more.
    pub detail: String,
}
