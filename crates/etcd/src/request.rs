//! Requests: from HTTP to what the service is to do. Nothing here knows the store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Code, KeyError};
use crate::form::{Form, clean, escape, unescape};
use crate::member::AdminConfig;
use crate::reply::{Content, Reply};
use crate::store::{Condition, Life};

/// Parts of a key: etcd has no limit. Answers about directories are made by recursion.
const MOST_PARTS: usize = 1000;

/// Bytes of a form, as Go limits them.
pub const MOST_FORM_BYTES: usize = 10 << 20;

/// A request, as it came over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// Path and query, as they came.
    pub target: &'a [u8],
    /// The field of that name.
    pub content_type: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// A change of the state. These are what a log keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Write {
    Set {
        path: Bytes,
        value: Option<Bytes>,
        life: Life,
    },
    Create {
        path: Bytes,
        value: Option<Bytes>,
        unique: bool,
        life: Life,
    },
    Update {
        path: Bytes,
        value: Bytes,
        life: Life,
    },
    CompareAndSwap {
        path: Bytes,
        condition: Condition,
        value: Bytes,
        life: Life,
    },
    Delete {
        path: Bytes,
        dir: bool,
        recursive: bool,
    },
    CompareAndDelete {
        path: Bytes,
        condition: Condition,
    },
    /// What has come to its end goes.
    Expire,
    Configure(AdminConfig),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Call {
    /// It is answered already.
    Answer(Reply),
    Get {
        path: Bytes,
        recursive: bool,
    },
    Watch {
        path: Bytes,
        recursive: bool,
        stream: bool,
        since: u64,
    },
    /// A change; `brief`: without the nodes in its answer.
    Write {
        write: Write,
        brief: bool,
    },
    StoreStats,
    SelfStats,
    LeaderStats,
    Members,
    LeadingMember,
    /// A change of members, by identifier where there is one.
    ChangeMember(Option<String>),
    Machines,
    Leader,
    AdminMachines,
    AdminMachine(String),
    RemoveMachine(String),
    AdminConfig,
    /// JSON of the settings to change.
    Configure(Bytes),
}

const KEYS: &[u8] = b"/v2/keys";

impl Call {
    /// Reads a request that came at `now` (nanoseconds since 1970).
    pub fn read(request: &Request<'_>, now: i64) -> Call {
        if request.method == "OPTIONS" {
            return Call::Answer(Reply::new(200, Content::None, ""));
        }
        let target = without_origin(request.target);
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        let Ok(path) = unescape(path, false) else {
            return Call::Answer(Reply::new(400, Content::Text, "400 Bad Request"));
        };
        let cleaned = clean(&path);
        if cleaned != path {
            return Call::Answer(moved(request.method, &cleaned, query));
        }
        match path.strip_prefix(KEYS) {
            Some(key) if key.is_empty() || key.starts_with(b"/") => {
                keys(request, key, query.unwrap_or_default(), now)
                    .unwrap_or_else(|error| Call::Answer(error.into()))
            }
            _ => others(request, &path),
        }
    }
}

/// A target may name its server.
fn without_origin(target: &[u8]) -> &[u8] {
    match target.strip_prefix(b"http://") {
        Some(rest) => memchr::memchr(b'/', rest).map_or(b"/", |slash| &rest[slash..]),
        None => target,
    }
}

fn moved(method: &str, path: &[u8], query: Option<&[u8]>) -> Reply {
    let mut location = escape(path);
    if let Some(query) = query {
        location.push('?');
        location.push_str(&String::from_utf8_lossy(query));
    }
    let shown = location.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let shown = shown.replace('"', "&#34;").replace('\'', "&#39;");
    let reply = match method {
        "GET" => Reply::new(301, Content::Html, format!("<a href=\"{shown}\">Moved Permanently</a>.\n\n")),
        "HEAD" => Reply::new(301, Content::Html, ""),
        _ => Reply::new(301, Content::None, ""),
    };
    Reply { location: Some(location), ..reply }
}

fn is_form(content_type: Option<&[u8]>) -> bool {
    let kind = content_type.unwrap_or_default().split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn form(request: &Request<'_>, query: &[u8]) -> Result<Form, KeyError> {
    let wrong = |reason: String| KeyError::request(Code::InvalidForm, reason);
    let mut form = Form::default();
    let mut outcome = Ok(());
    if matches!(request.method, "PUT" | "POST") && is_form(request.content_type) {
        if request.body.len() > MOST_FORM_BYTES {
            return Err(wrong("http: POST too large".to_owned()));
        }
        outcome = form.read(request.body);
    }
    outcome.and(form.read(query)).map_err(wrong)?;
    Ok(form)
}

fn keys(request: &Request<'_>, key: &[u8], query: &[u8], now: i64) -> Result<Call, KeyError> {
    let method = request.method;
    if !matches!(method, "HEAD" | "GET" | "PUT" | "POST" | "DELETE") {
        return Ok(Call::Answer(Reply::not_allowed("HEAD,GET,PUT,POST,DELETE")));
    }
    let form = form(request, query)?;
    let path = match key.strip_suffix(b"/").unwrap_or(key) {
        b"" => Bytes::from_static(b"/"),
        key => Bytes::copy_from_slice(key),
    };
    if memchr::memchr_iter(b'/', &path).count() > MOST_PARTS {
        let cause = format!("a key has at most {MOST_PARTS} parts");
        return Err(KeyError::request(Code::InvalidForm, cause));
    }

    let index = |name: &str| {
        let invalid = |_| KeyError::request(Code::IndexNotANumber, format!("invalid value for \"{name}\""));
        form.number(name).map(Option::unwrap_or_default).map_err(invalid)
    };
    let flag = |name: &str| {
        let invalid = |_| KeyError::request(Code::InvalidField, format!("invalid value for \"{name}\""));
        form.boolean(name).map(Option::unwrap_or_default).map_err(invalid)
    };
    let choice = |name: &str| {
        let invalid = |_| KeyError::request(Code::InvalidField, format!("invalid value for {name}"));
        form.boolean(name).map_err(invalid)
    };
    // The order decides which error is told.
    let condition_index = index("prevIndex")?;
    let since = index("waitIndex")?;
    let recursive = flag("recursive")?;
    flag("sorted")?; // listings are
    let wait = flag("wait")?;
    let dir = flag("dir")?;
    let quorum = flag("quorum")?;
    let stream = flag("stream")?;
    if wait && method != "GET" {
        return Err(KeyError::request(Code::InvalidField, "\"wait\" can only be used with GET requests"));
    }
    if form.get("prevValue").is_some_and(<[u8]>::is_empty) {
        return Err(KeyError::request(Code::PrevValueRequired, "\"prevValue\" cannot be empty"));
    }
    let brief = flag("noValueOnSuccess")?;
    let ttl = match form.get("ttl") {
        None | Some(b"") => None,
        Some(_) => match form.number("ttl") {
            Ok(ttl) => ttl,
            Err(_) => return Err(KeyError::request(Code::TtlNotANumber, "invalid value for \"ttl\"")),
        },
    };
    let exists = choice("prevExist")?;
    let refresh = choice("refresh")?.unwrap_or(false);
    if refresh {
        if form.get("value").is_some_and(|value| !value.is_empty()) {
            return Err(KeyError::request(Code::RefreshValue, "A value was provided on a refresh"));
        }
        if ttl.is_none() {
            return Err(KeyError::request(Code::RefreshTtlRequired, "No TTL value set"));
        }
    }

    // What does not fit wraps around, as in Go.
    let until = ttl.map(|ttl| now.wrapping_add((ttl as i64).wrapping_mul(1_000_000_000)));
    let life = Life { until: until.filter(|until| *until != 0), refresh };
    let text = form.text("value");
    let value = (!dir).then(|| text.clone());
    let condition = Condition { value: form.text("prevValue"), index: condition_index };
    let write = match method {
        "GET" if wait && !quorum => return Ok(Call::Watch { path, recursive, stream, since }),
        "GET" | "HEAD" => return Ok(Call::Get { path, recursive }),
        "POST" => Write::Create { path, value, unique: true, life },
        "DELETE" if condition.is_none() => Write::Delete { path, dir, recursive },
        "DELETE" => Write::CompareAndDelete { path, condition },
        _ => match exists {
            Some(true) if condition.is_none() => Write::Update { path, value: text, life },
            Some(false) => Write::Create { path, value, unique: false, life },
            None if condition.is_none() => Write::Set { path, value, life },
            _ => Write::CompareAndSwap { path, condition, value: text, life },
        },
    };
    Ok(Call::Write { write, brief })
}

fn others(request: &Request<'_>, path: &[u8]) -> Call {
    let allowed =
        |methods: &'static str, call: Call| match methods.split(',').any(|one| one == request.method) {
            true => call,
            false => Call::Answer(Reply::not_allowed(methods)),
        };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let not_found = || Call::Answer(Reply::error(404, "404 page not found\n"));
    match path {
        b"/version" => {
            let version = r#"{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}"#;
            allowed("GET", Call::Answer(Reply::json(version)))
        }
        b"/health" => allowed("GET", Call::Answer(Reply::new(200, Content::Text, r#"{"health":"true"}"#))),
        b"/v2/stats/store" => allowed("GET", Call::StoreStats),
        b"/v2/stats/self" => allowed("GET", Call::SelfStats),
        b"/v2/stats/leader" => allowed("GET", Call::LeaderStats),
        b"/v2/machines" => allowed("GET,HEAD", Call::Machines),
        b"/v2/leader" => allowed("GET", Call::Leader),
        b"/v2/auth/enable" => match request.method {
            "GET" => Call::Answer(Reply::json("{\"enabled\":false}\n").with_cluster()),
            _ => Call::Answer(Reply::not_allowed("GET")),
        },
        b"/v2/admin/config" => match request.method {
            "PUT" => Call::Configure(Bytes::copy_from_slice(request.body)),
            _ => allowed("GET,PUT", Call::AdminConfig),
        },
        b"/v2/admin/machines" | b"/v2/admin/machines/" => allowed("GET", Call::AdminMachines),
        _ => {
            if let Some(name) = path.strip_prefix(b"/v2/admin/machines/") {
                return match request.method {
                    "DELETE" => Call::RemoveMachine(text(name)),
                    _ => allowed("GET,DELETE", Call::AdminMachine(text(name))),
                };
            }
            let Some(rest) = path.strip_prefix(b"/v2/members") else { return not_found() };
            let name = match rest.strip_prefix(b"/") {
                Some(name) => name,
                None if rest.is_empty() => rest,
                None => return not_found(),
            };
            let missing = || Call::Answer(Reply::message(404, "Not found").with_cluster());
            match (request.method, name) {
                ("GET", b"") => Call::Members,
                ("GET", b"leader") => Call::LeadingMember,
                ("GET", _) => missing(),
                ("POST", _) => Call::ChangeMember(None),
                ("PUT" | "DELETE", b"") => {
                    Call::Answer(Reply::error(405, "Method Not Allowed\n").with_cluster())
                }
                ("PUT" | "DELETE", name) => Call::ChangeMember(Some(text(name))),
                _ => Call::Answer(Reply::not_allowed("GET,POST,DELETE,PUT")),
            }
        }
    }
}
