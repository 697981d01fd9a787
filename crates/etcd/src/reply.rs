//! Answers, before they are bytes of HTTP.

use bytes::Bytes;

use crate::error::KeyError;
use crate::json;
use crate::member::Member;

/// The only term of a cluster of one; etcd's first is 2.
const TERM: u64 = 2;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// There is no field about it.
    None,
    /// `application/json`
    Json,
    /// `text/plain; charset=utf-8`
    Text,
    /// The same, and clients shall not guess: what Go answers errors with.
    Error,
    /// `text/html; charset=utf-8`
    Html,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP's status.
    pub status: u16,
    /// What the body is.
    pub content: Content,
    /// X-Etcd-Index.
    pub index: Option<u64>,
    /// X-Raft-Index; X-Raft-Term goes with it.
    pub raft: Option<u64>,
    /// X-Etcd-Cluster-Id is told.
    pub cluster: bool,
    /// Allow, of methods.
    pub allow: Option<&'static str>,
    /// Location.
    pub location: Option<String>,
    /// The body; also where the method is HEAD, which does not get it.
    pub body: Bytes,
}

impl Reply {
    /// An answer with a body.
    pub fn new(status: u16, content: Content, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            content,
            index: None,
            raft: None,
            cluster: false,
            allow: None,
            location: None,
            body: body.into(),
        }
    }

    /// JSON with status 200.
    pub fn json(body: impl Into<Bytes>) -> Reply {
        Reply::new(200, Content::Json, body)
    }

    /// A JSON object with a message.
    pub fn message(status: u16, message: &str) -> Reply {
        let mut body = b"{\"message\":".to_vec();
        json::string(&mut body, message.as_bytes());
        body.push(b'}');
        Reply::new(status, Content::Json, body)
    }

    /// What Go answers an error with.
    pub fn error(status: u16, text: &'static str) -> Reply {
        Reply::new(status, Content::Error, text.as_bytes())
    }

    /// The method is none of those.
    pub fn not_allowed(allow: &'static str) -> Reply {
        Reply { allow: Some(allow), ..Reply::error(405, "Method Not Allowed\n") }
    }

    /// X-Etcd-Cluster-Id is told.
    pub fn with_cluster(self) -> Reply {
        Reply { cluster: true, ..self }
    }

    /// The whole answer in HTTP/1.1, sent at `now` (nanoseconds since 1970). `head_only`: to a
    /// request that gets no body; `close`: the connection is closed after it.
    pub fn http(&self, member: &Member, now: i64, head_only: bool, close: bool) -> Vec<u8> {
        let mut out = self.head(member, now, close);
        let body = if head_only { &[][..] } else { &self.body };
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(body);
        out
    }

    /// The head of one whose body comes in chunks.
    pub fn chunked(&self, member: &Member, now: i64, close: bool) -> Vec<u8> {
        let mut out = self.head(member, now, close);
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        out
    }

    fn head(&self, member: &Member, now: i64, close: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).as_bytes());
        self.fields(member, |name, value| {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        });
        let date = jiff::Timestamp::from_nanosecond(now.into()).expect("an i64 of nanoseconds is near 1970");
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date);
        out.extend_from_slice(format!("Date: {}\r\n", date.unwrap_or_default()).as_bytes());
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out
    }

    /// Fields of the head but Date and those about its length, by their names in their usual form.
    pub fn fields(&self, member: &Member, mut field: impl FnMut(&'static str, &str)) {
        field("Access-Control-Allow-Headers", "accept, content-type, authorization");
        field("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE");
        field("Access-Control-Allow-Origin", "*");
        if let Some(allow) = self.allow {
            field("Allow", allow);
        }
        match self.content {
            Content::None => {}
            Content::Json => field("Content-Type", "application/json"),
            Content::Html => field("Content-Type", "text/html; charset=utf-8"),
            Content::Text | Content::Error => field("Content-Type", "text/plain; charset=utf-8"),
        }
        if let Some(location) = &self.location {
            field("Location", location);
        }
        if self.content == Content::Error {
            field("X-Content-Type-Options", "nosniff");
        }
        let mut number = itoa::Buffer::new();
        if self.cluster {
            field("X-Etcd-Cluster-Id", &format!("{:x}", member.cluster));
        }
        if let Some(index) = self.index {
            field("X-Etcd-Index", number.format(index));
        }
        if let Some(raft) = self.raft {
            field("X-Raft-Index", number.format(raft));
            field("X-Raft-Term", number.format(TERM));
        }
    }
}

/// HTTP's words for the statuses that are used.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        301 => "Moved Permanently",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}

impl From<KeyError> for Reply {
    fn from(error: KeyError) -> Reply {
        let mut body =
            format!("{{\"errorCode\":{},\"message\":\"{}\"", error.code as u16, error.code.message())
                .into_bytes();
        if !error.cause.is_empty() {
            body.extend_from_slice(b",\"cause\":");
            json::string(&mut body, &error.cause);
        }
        body.extend_from_slice(b",\"index\":");
        json::number(&mut body, error.index);
        body.extend_from_slice(b"}\n");
        let reply = Reply::new(error.code.status(), Content::Json, body);
        Reply { index: Some(error.index), ..reply }.with_cluster()
    }
}
