//! Bytes of session messages: bencode, bounded in size and depth before it is read.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message either side sends or accepts. Files, results and logs travel in parts.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Nested lists and dictionaries a message may have; the messages of version 1 need 8.
pub const MAX_DEPTH: usize = 24;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("a message of {0} bytes is longer than the {MAX_MESSAGE_BYTES} allowed")]
    TooLong(usize),
    /// Nested deeper than [`MAX_DEPTH`], or broken before its depth is known.
    #[error("byte {0} of a message: not bencode, or nested deeper than {MAX_DEPTH}")]
    Shape(usize),
    /// Bencode, but not a message this version knows.
    #[error("not a session message: {0}")]
    Message(#[from] serde_bencode::Error),
}

/// The bytes of a message.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    serde_bencode::to_bytes(message).expect("messages hold neither fractions nor keys that are not text")
}

/// Reads a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    check_shape(bytes)?;
    Ok(serde_bencode::from_bytes(bytes)?)
}

/// Walks over the bytes once: one value, its nesting bounded, nothing after it.
fn check_shape(bytes: &[u8]) -> Result<(), DecodeError> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let broken = DecodeError::Shape(at);
        match bytes.get(at) {
            Some(b'd' | b'l') if depth < MAX_DEPTH => {
                depth += 1;
                at += 1;
            }
            Some(b'e') if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            Some(b'i') => {
                let end = bytes[at..].iter().take(24).position(|&byte| byte == b'e').ok_or(broken)?;
                at += end + 1;
            }
            Some(b'0'..=b'9') => {
                let colon = bytes[at..]
                    .iter()
                    .take(9)
                    .position(|&byte| byte == b':')
                    .ok_or(DecodeError::Shape(at))?;
                let digits = std::str::from_utf8(&bytes[at..at + colon]).ok();
                let length: usize = digits.and_then(|digits| digits.parse().ok()).ok_or(broken)?;
                at += colon + 1;
                if bytes.len() - at < length {
                    return Err(DecodeError::Shape(at));
                }
                at += length;
            }
            _ => return Err(broken),
        }
        if depth == 0 {
            return if at == bytes.len() { Ok(()) } else { Err(DecodeError::Shape(at)) };
        }
    }
}

/// What a splayd signs to prove that it holds its key: the controller's nonce, bound to this
/// protocol and to the certificate the splayd sees, so that nobody in between can pass it on.
/// `certificate_sha256` is empty where a proxy ends the TLS connection (the splayd trusts the
/// system's roots then).
pub fn signed_text(nonce: &[u8], certificate_sha256: &[u8]) -> Vec<u8> {
    let mut text = b"splay session v1\0".to_vec();
    text.extend_from_slice(&(nonce.len() as u32).to_be_bytes());
    text.extend_from_slice(nonce);
    text.extend_from_slice(certificate_sha256);
    text
}
