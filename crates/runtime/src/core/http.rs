//! `splay.http_core`: header fields of HTTP messages. Lines are read in Lua, where it waits; what
//! they mean is decided here.

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Response, Status};

use crate::native;
use crate::vm::{Module, Return, Stack};

use super::function_table;

/// The module.
pub const MODULE: Module =
    Module { name: "splay.http_core", open: |_, stack| function_table(stack, &[(c"fields", fields)]) };

/// Room for the fields of an ordinary message; more is tried where it does not do.
const USUAL_FIELDS: usize = 64;

/// A message with more fields is refused.
const MOST_FIELDS: usize = 1024;

/// httparse wants a whole message.
const BEGINNING: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// What servers of all ages send: folded fields, blanks before the colon.
fn lenient() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    config
}

/// A value of several lines is one with blanks in their place.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(value.len());
    for line in value.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if !unfolded.is_empty() && !line.is_empty() {
            unfolded.push(b' ');
        }
        unfolded.extend_from_slice(line);
    }
    unfolded
}

/// Pushes a table of the fields by their names in small letters; what is there twice is joined
/// with commas.
fn push_fields(stack: Stack, fields: &[Header<'_>]) {
    stack.new_table(0, fields.len() as i32);
    for field in fields {
        let mut value = unfold(field.value);
        stack.push_str(&field.name.to_ascii_lowercase());
        stack.push_value(-1);
        stack.raw_get(-3);
        if let Some(first) = stack.bytes(-1) {
            value = [first, b", ", &value].concat();
        }
        stack.pop(1);
        stack.push_bytes(&value);
        stack.raw_set(-3);
    }
}

/// The error, as Lua sees it.
const MALFORMED: &str = "malformed response headers";

native! {
    /// `fields(lines) -> table` or nil and a reason. The lines end in CRLF, the empty one included.
    fn fields(cx, stack) {
        let message = [BEGINNING, stack.check_bytes(1)?].concat();
        let mut room = USUAL_FIELDS;
        loop {
            let mut headers = vec![EMPTY_HEADER; room];
            let mut response = Response::new(&mut headers);
            match lenient().parse_response(&mut response, &message) {
                Ok(Status::Complete(_)) => {
                    push_fields(stack, response.headers);
                    return Ok(Return::Values(1));
                }
                Err(Error::TooManyHeaders) if room < MOST_FIELDS => room *= 4,
                Ok(Status::Partial) | Err(_) => break,
            }
        }
        stack.push_nil();
        stack.push_str(MALFORMED);
        Ok(Return::Values(2))
    }
}
