//! What the methods `eval_json` and `eval_bufferlist` of the class `lua` take: a script, the name of
//! a handler and its input in one string of bytes.

use serde_json::Value;

/// A script to run on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Source of the chunk.
    pub script: Vec<u8>,
    /// Name of a global function; empty: the chunk alone.
    pub handler: Vec<u8>,
    /// What the handler gets.
    pub input: Vec<u8>,
}

/// Bytes that are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no request for the class lua: {0}")]
pub struct RequestError(String);

/// Takes out commas before a closing bracket, which RADOS's parser accepts.
fn without_trailing_commas(text: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    // Where a comma stands with nothing but space behind it.
    let mut comma = None;
    for &byte in text {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b',' => comma = Some(kept.len()),
                b'}' | b']' => {
                    if let Some(at) = comma.take() {
                        kept.remove(at);
                    }
                }
                _ if byte.is_ascii_whitespace() => {}
                _ => {
                    quoted = byte == b'"';
                    comma = None;
                }
            }
        }
        kept.push(byte);
    }
    kept
}

impl Request {
    /// Reads `{"script": TEXT, "handler": TEXT, "input": TEXT}`; the input may be left out.
    pub fn from_json(text: &[u8]) -> Result<Request, RequestError> {
        let fail = |what: &str| RequestError(what.to_owned());
        let value = serde_json::from_slice(&without_trailing_commas(text));
        let value: Value = value.map_err(|error| RequestError(error.to_string()))?;
        let Value::Object(mut fields) = value else { return Err(fail("not an object")) };
        let mut field = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Ok(Some(text.into_bytes())),
            Some(_) => Err(RequestError(format!("`{name}` is not a string"))),
            None => Ok(None),
        };
        Ok(Request {
            script: field("script")?.ok_or_else(|| fail("`script` is missing"))?,
            handler: field("handler")?.ok_or_else(|| fail("`handler` is missing"))?,
            input: field("input")?.unwrap_or_default(),
        })
    }

    /// Reads the binary form: version 1, oldest compatible version (each a byte), length of the rest,
    /// then script, handler and input, each after its length (lengths: four bytes, little-endian).
    pub fn from_bufferlist(bytes: &[u8]) -> Result<Request, RequestError> {
        let short = || RequestError("too short".to_owned());
        let (head, rest) = bytes.split_at_checked(6).ok_or_else(short)?;
        if head[0] < 1 || head[1] > 1 {
            return Err(RequestError("an unknown version".to_owned()));
        }
        let length = u32::from_le_bytes(head[2..].try_into().expect("four bytes")) as usize;
        // A later version may have more behind.
        let mut body = rest.get(..length).ok_or_else(short)?;
        let mut string = || {
            let (length, rest) = body.split_at_checked(4).ok_or_else(short)?;
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            let (string, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            body = rest;
            Ok(string.to_vec())
        };
        Ok(Request { script: string()?, handler: string()?, input: string()? })
    }

    /// The binary form of a request.
    pub fn to_bufferlist(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in [&self.script, &self.handler, &self.input] {
            body.extend_from_slice(&(part.len() as u32).to_le_bytes());
            body.extend_from_slice(part);
        }
        let length = (body.len() as u32).to_le_bytes();
        [&[1, 1][..], &length, &body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(script: &str, handler: &str, input: &str) -> Request {
        Request { script: script.into(), handler: handler.into(), input: input.into() }
    }

    #[test]
    fn json() {
        let text = br#"{"script": "x = 1", "handler": "h", "input": "i,]",}"#;
        assert_eq!(Request::from_json(text), Ok(request("x = 1", "h", "i,]")));
        let text = br#"{"script": "a\",}", "handler": ""}"#;
        assert_eq!(Request::from_json(text), Ok(request("a\",}", "", "")));
        for (text, reason) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[]", "not an object"),
            ("{\"script\": \"\"}", "`handler` is missing"),
            ("{\"handler\": \"\"}", "`script` is missing"),
            ("{\"script\": 1, \"handler\": \"\"}", "`script` is not a string"),
            ("{\"script\": \"\", \"handler\": null}", "`handler` is not a string"),
            ("{\"script\": \"\", \"handler\": \"\", \"input\": {}}", "`input` is not a string"),
        ] {
            let error = Request::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("no request for the class lua: {reason}"), "{text}");
        }
    }

    #[test]
    fn bufferlist() {
        let golden = b"\x01\x01\x11\0\0\0\x02\0\0\0ab\x01\0\0\0c\x02\0\0\0de";
        assert_eq!(request("ab", "c", "de").to_bufferlist(), golden);
        assert_eq!(Request::from_bufferlist(golden), Ok(request("ab", "c", "de")));
        for length in 0..golden.len() {
            assert!(Request::from_bufferlist(&golden[..length]).is_err(), "{length}");
        }
        let mut newer = golden.to_vec();
        newer[1] = 2;
        assert!(Request::from_bufferlist(&newer).is_err());
    }
}
