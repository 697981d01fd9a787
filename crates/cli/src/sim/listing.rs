//! Entries of a recording, and packets, for people to read. Payloads that are bencoded, as those of
//! remote calls are, are decoded.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use splay_runtime::codec::benc::{Items, Reader, Value};
use splay_simulator::recording::{Entry, Kind};

/// More of a payload is not shown.
const SHOWN_BYTES: usize = 300;

/// One line: `    12.345678 [ 3] sends 10.0.0.3:20000 > 10.0.0.1:20000 {...}`.
pub fn shown(entry: &Entry) -> String {
    let who = match entry.instance {
        0 => "[  -]".to_owned(),
        instance => format!("[{instance:3}]"),
    };
    format!("{:13.6} {who} {}", entry.at as f64 / 1e9, what(entry))
}

fn what(entry: &Entry) -> String {
    let bytes = &entry.bytes[..];
    match Kind::from_number(entry.kind) {
        Some(Kind::Started) => "started".to_owned(),
        Some(Kind::Output) => {
            let (stream, line) = bytes.split_first().unwrap_or((&1, b""));
            let stream = if *stream == 2 { "err" } else { "out" };
            format!("{stream}      {}", cut(&String::from_utf8_lossy(line)))
        }
        Some(Kind::ThreadDied) => format!("thread died: {}", first_line(bytes)),
        Some(Kind::Ended) => format!("ended    {}", first_line(bytes)),
        Some(Kind::Datagram) => sent("datagram", bytes),
        Some(Kind::Stream) => sent("stream  ", bytes),
        Some(Kind::Connection) => {
            let (which, rest) = bytes.split_first().unwrap_or((&b'?', b""));
            let which = match which {
                b'c' => "connects",
                b'e' => "ends    ",
                _ => "connection",
            };
            sent(which, rest)
        }
        Some(Kind::Random) => format!("random   {}", hex(bytes)),
        Some(Kind::Name) => format!("asks for the address of {}", String::from_utf8_lossy(bytes)),
        Some(Kind::Fault) => format!("fault    {}", first_line(bytes)),
        None => format!("kind {} ({} bytes)", entry.kind, bytes.len()),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    cut(text.lines().next().unwrap_or_default())
}

fn sent(what: &str, bytes: &[u8]) -> String {
    let (from, rest) = address(bytes);
    let (to, payload) = address(rest);
    let show = |address: Option<SocketAddr>| address.map_or("?".to_owned(), |address| address.to_string());
    let payload = if payload.is_empty() { String::new() } else { format!(" {}", self::payload(payload)) };
    format!("{what} {} > {}{payload}", show(from), show(to))
}

/// The address that bytes of a recording begin with, and the rest.
fn address(bytes: &[u8]) -> (Option<SocketAddr>, &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else { return (None, bytes) };
    let Some((ip, rest)) = rest.split_at_checked(length.into()) else { return (None, bytes) };
    let Some((port, rest)) = rest.split_at_checked(2) else { return (None, bytes) };
    let ip = match length {
        4 => <[u8; 4]>::try_from(ip).ok().map(|ip| IpAddr::V4(Ipv4Addr::from(ip))),
        16 => <[u8; 16]>::try_from(ip).ok().map(|ip| IpAddr::V6(Ipv6Addr::from(ip))),
        _ => None,
    };
    let port = u16::from_be_bytes([port[0], port[1]]);
    (ip.map(|ip| SocketAddr::new(ip, port)), rest)
}

/// A payload: decoded if it is bencoded, with or without a block's length before it.
pub fn payload(bytes: &[u8]) -> String {
    let decoded = decoded(bytes).or_else(|| {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let length: usize = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        let block = bytes.get(end + 1..end + 1 + length)?;
        decoded(block).map(|text| format!("block {text}"))
    });
    match decoded {
        Some(text) => cut(&text),
        None => cut(&format!("\"{}\"", bytes.escape_ascii())),
    }
}

fn decoded(bytes: &[u8]) -> Option<String> {
    // Text that merely begins like a value is not one.
    if splay_runtime::codec::benc::skip(bytes).ok()? != bytes.len() {
        return None;
    }
    let mut text = String::new();
    match bytes.first()? {
        b'd' | b'l' => show_table(bytes, &mut text).then_some(text),
        _ => None,
    }
}

fn show_table(bytes: &[u8], text: &mut String) -> bool {
    text.push('{');
    let mut first = true;
    let mut comma = |text: &mut String| {
        if !std::mem::take(&mut first) {
            text.push_str(", ");
        }
    };
    if bytes.first() == Some(&b'l') {
        let Ok(mut items) = Items::new(bytes) else { return false };
        loop {
            match items.next_item() {
                Ok(Some(value)) => {
                    comma(text);
                    show_value(value, text);
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    } else {
        let Ok(mut fields) = Reader::new(bytes) else { return false };
        loop {
            match fields.next_entry() {
                Ok(Some((key, value))) => {
                    comma(text);
                    let _ = write!(text, "{} = ", key.escape_ascii());
                    show_value(value, text);
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    text.push('}');
    true
}

fn show_value(value: Value<'_>, text: &mut String) {
    let raw = value.raw();
    if value.is_table() {
        if !show_table(raw, text) {
            text.push('?');
        }
    } else if let Some(bytes) = value.as_bytes() {
        let _ = write!(text, "\"{}\"", bytes.escape_ascii());
    } else if let Some(number) = value.as_number() {
        let _ = write!(text, "{number}");
    } else if let Some(truth) = value.as_bool() {
        let _ = write!(text, "{truth}");
    } else {
        text.push_str("nil");
    }
}

fn hex(bytes: &[u8]) -> String {
    cut(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_BYTES) {
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_decoded() {
        let call = b"d4:calll4:echoi1e3:two1:xe4:type4:call4:goodte";
        assert_eq!(payload(call), r#"{call = {"echo", 1, "two", "x"}, type = "call", good = true}"#);
        assert_eq!(payload(b"10\nli1e3:twoe"), r#"block {1, "two"}"#);
        assert_eq!(payload(b"GET / HTTP/1.0\r\n"), r#""GET / HTTP/1.0\r\n""#);
        assert_eq!(payload(b"le, and more"), r#""le, and more""#);
    }

    #[test]
    fn entries_are_lines() {
        let entry = |kind: Kind, bytes: &[u8]| Entry {
            at: 1_500_000,
            kind: kind as u8,
            instance: 7,
            bytes: bytes.to_vec(),
        };
        assert_eq!(shown(&entry(Kind::Output, b"\x01hello")), "     0.001500 [  7] out      hello");
        let datagram = b"\x04\x0a\x00\x00\x01\x4e\x20\x04\x0a\x00\x00\x02\x4e\x21li1ee";
        assert_eq!(
            shown(&entry(Kind::Datagram, datagram)),
            "     0.001500 [  7] datagram 10.0.0.1:20000 > 10.0.0.2:20001 {1}"
        );
        // A broken one is shown as far as it goes.
        assert!(shown(&entry(Kind::Datagram, b"\x04\x0a")).contains("? > ?"));
        let unknown = Entry { at: 0, kind: 99, instance: 0, bytes: vec![1, 2] };
        assert_eq!(shown(&unknown), "     0.000000 [  -] kind 99 (2 bytes)");
    }
}
