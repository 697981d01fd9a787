//! How requests are refused.

use serde::{Deserialize, Serialize};

/// Body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one line.
    pub message: String,
}

/// Kinds of refusal, each with one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request makes no sense; the message names the field.
    BadRequest,
    /// 401: no token, or one that is not (or no longer) good.
    Unauthorized,
    /// 403: not with this role, or somebody else's.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409: it exists already, or its state does not allow it.
    Conflict,
    /// 413: more bytes than are taken.
    TooLarge,
    /// 429: too many tries; the message tells for how long to wait.
    TooMany,
    /// 500: the controller's fault; its log has more.
    Internal,
    /// 503: the controller is about to end, or is not the leader and cannot reach it.
    Unavailable,
}
