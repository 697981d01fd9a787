//! Server-sent events: an event is lines `field: value`, ended by an empty one. Reads from any
//! reader; opens none.

use std::io::{self, BufRead};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `id`, where the sender numbers its events.
    pub id: String,
    /// `event`.
    pub name: String,
    /// `data`; several lines are joined.
    pub data: String,
}

/// The next event; `None` at the end of the stream. Comments, which keep a connection alive, are
/// passed over; an event that is cut is none.
pub fn next(stream: &mut impl BufRead) -> io::Result<Option<Event>> {
    let mut event = Event::default();
    let mut any = false;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if stream.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            if any {
                return Ok(Some(event));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if any => event.data.extend(["\n", value]),
            "data" => {
                any = true;
                event.data = value.to_owned();
            }
            "id" => event.id = value.to_owned(),
            "event" => event.name = value.to_owned(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_one_after_the_other() {
        let text = ": hello\n\nid: 3\nevent: x\ndata: a\ndata:b\n\n:\n\ndata: {}\r\n\r\ndata: cut";
        let mut stream = text.as_bytes();
        let first = Event { id: "3".into(), name: "x".into(), data: "a\nb".into() };
        assert_eq!(next(&mut stream).unwrap(), Some(first));
        assert_eq!(next(&mut stream).unwrap().unwrap().data, "{}");
        assert!(next(&mut stream).is_err());
        assert_eq!(next(&mut "data: x\n".as_bytes()).unwrap(), None);
    }
}
