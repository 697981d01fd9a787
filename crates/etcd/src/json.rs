//! JSON as Go's encoder writes it, byte for byte.

/// Appends a string: `&`, `<`, `>` and the line separators are escaped, bytes that are not UTF-8
/// become `\ufffd`.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        text(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            // Go replaces every byte, a chunk may have up to three.
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'&' => b"\\u0026",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            0..0x20 => b"",
            // U+2028 and U+2029 are e2 80 a8 and e2 80 a9.
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => b"\\u2028",
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => b"\\u2029",
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        match byte {
            0..0x20 if escape.is_empty() => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.extend_from_slice(escape),
        }
        written = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Appends a whole number.
pub fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Nanoseconds since 1970 in the form of RFC 3339, without trailing zeros.
pub fn timestamp(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into())
        .expect("an i64 of nanoseconds is within three centuries of 1970")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_gos() {
        assert_eq!(written(b"a\"b\\c\n\t\r"), r#""a\"b\\c\n\t\r""#);
        assert_eq!(written(b"<a&b>\x01\x7f"), "\"\\u003ca\\u0026b\\u003e\\u0001\x7f\"");
        assert_eq!(written("ü\u{2028}x".as_bytes()), "\"ü\\u2028x\"");
        assert_eq!(written(b"a\xff\xe2\x80b"), "\"a\\ufffd\\ufffd\\ufffdb\"");
    }

    #[test]
    fn times_are_gos() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_500_000_000_120_000_000), "2017-07-14T02:40:00.12Z");
        assert_eq!(timestamp(1_500_000_000_000_000_001), "2017-07-14T02:40:00.000000001Z");
    }
}
