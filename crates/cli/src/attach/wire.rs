//! What crosses the socket between a run and its prompts: one JSON object a line.

use std::io::{self, BufRead, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Both sides say it; another version is refused.
pub const VERSION: u32 = 1;

/// Longest line. A piece of code is far shorter; what an instance writes is cut at a megabyte.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// What a prompt asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// First of all: on which instance.
    Hello { version: u32, instance: u32 },
    /// Evaluate code; `id` is the prompt's own number for it.
    Evaluate { id: u64, code: String },
    /// Give it up.
    Cancel { id: u64 },
    /// How may a line go on?
    Complete { id: u64, line: String },
}

/// What the run tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tell {
    /// The prompt may begin.
    Welcome { app: String, instances: u32 },
    /// It may not.
    Refused { reason: String },
    /// An evaluation wrote a line.
    Output { id: u64, error: bool, line: String },
    /// An evaluation is over: what it gave.
    Values { id: u64, values: Vec<String> },
    /// An evaluation is over: its error.
    Error { id: u64, message: String },
    /// An evaluation is over: it was killed.
    Cancelled { id: u64 },
    /// An evaluation is over, as the instance is.
    Over { id: u64 },
    /// Words that may follow; `start` is where in the line they begin.
    Completed { id: u64, start: usize, candidates: Vec<String> },
    /// The instance has ended.
    Ended { reason: String },
}

/// A message as a line.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("plain data always has a JSON form");
    line.push(b'\n');
    line
}

/// The next message; `None` at the end.
pub fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_form_is_stable() {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        let ask = Ask::Evaluate { id: 1, code: "x =\n1".into() };
        assert_eq!(text(line(&ask)), "{\"ask\":\"evaluate\",\"id\":1,\"code\":\"x =\\n1\"}\n");
        let tell = Tell::Output { id: 1, error: false, line: "a".into() };
        assert_eq!(text(line(&tell)), "{\"tell\":\"output\",\"id\":1,\"error\":false,\"line\":\"a\"}\n");
    }

    #[test]
    fn lines_are_read_one_by_one() {
        let both = [line(&Ask::Cancel { id: 1 }), line(&Ask::Cancel { id: 2 })].concat();
        let mut from = &both[..];
        for expected in [1, 2] {
            assert!(matches!(read(&mut from), Ok(Some(Ask::Cancel { id })) if id == expected));
        }
        assert!(matches!(read::<Ask>(&mut from), Ok(None)));
        assert!(read::<Ask>(&mut &b"{\"ask\":\"dance\"}\n"[..]).is_err());
    }
}
