//! What a request about keys fails with: etcd's codes, texts and HTTP statuses.

use bytes::Bytes;

/// Kinds of failures, by etcd's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Code {
    KeyNotFound = 100,
    TestFailed = 101,
    NotFile = 102,
    NotDirectory = 104,
    NodeExists = 105,
    RootReadOnly = 107,
    DirectoryNotEmpty = 108,
    Unauthorized = 110,
    PrevValueRequired = 201,
    TtlNotANumber = 202,
    IndexNotANumber = 203,
    InvalidField = 209,
    InvalidForm = 210,
    RefreshValue = 211,
    RefreshTtlRequired = 212,
    RaftInternal = 300,
    EventIndexCleared = 401,
}

impl Code {
    /// etcd's text.
    pub fn message(self) -> &'static str {
        match self {
            Code::KeyNotFound => "Key not found",
            Code::TestFailed => "Compare failed",
            Code::NotFile => "Not a file",
            Code::NotDirectory => "Not a directory",
            Code::NodeExists => "Key already exists",
            Code::RootReadOnly => "Root is read only",
            Code::DirectoryNotEmpty => "Directory not empty",
            Code::Unauthorized => "The request requires user authentication",
            Code::PrevValueRequired => "PrevValue is Required in POST form",
            Code::TtlNotANumber => "The given TTL in POST form is not a number",
            Code::IndexNotANumber => "The given index in POST form is not a number",
            Code::InvalidField => "Invalid field",
            Code::InvalidForm => "Invalid POST form",
            Code::RefreshValue => "Value provided on refresh",
            Code::RefreshTtlRequired => "A TTL must be provided on refresh",
            Code::RaftInternal => "Raft Internal Error",
            Code::EventIndexCleared => "The event in requested index is outdated and cleared",
        }
    }

    /// The HTTP status that tells it.
    pub fn status(self) -> u16 {
        match self {
            Code::KeyNotFound => 404,
            Code::NotFile | Code::DirectoryNotEmpty => 403,
            Code::Unauthorized => 401,
            Code::TestFailed | Code::NodeExists => 412,
            Code::RaftInternal => 500,
            _ => 400,
        }
    }
}

/// A failed request about keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", code.message(), String::from_utf8_lossy(cause))]
pub struct KeyError {
    /// Which kind.
    pub code: Code,
    /// The operand; may be empty.
    pub cause: Bytes,
    /// The store's index then; 0 where the request was not understood.
    pub index: u64,
}

impl KeyError {
    /// A request that was not understood.
    pub fn request(code: Code, cause: impl Into<Bytes>) -> KeyError {
        KeyError { code, cause: cause.into(), index: 0 }
    }
}
