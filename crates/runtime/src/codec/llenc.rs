//! Frames: the decimal length of the payload, a newline, the payload.

/// Longest accepted length line, newline included: no length needs more digits, and a peer that
/// never sends a newline is noticed.
pub const MAX_LINE: usize = 32;

/// What a buffer of received bytes starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A whole frame.
    Frame {
        /// Where the payload is in the buffer; its end is where the next frame starts.
        payload: std::ops::Range<usize>,
    },
    /// Part of a frame.
    NeedMore {
        /// Length of the whole frame in bytes, once the length line is there.
        total: Option<usize>,
    },
    /// No length line: the stream is not made of frames.
    Bad,
    /// A frame longer than allowed.
    TooLong {
        /// Length of its payload in bytes.
        length: usize,
        /// Where its payload starts.
        start: usize,
    },
}

/// Looks at the first frame of `buffer`, whose payload may be at most `max` bytes long.
pub fn parse(buffer: &[u8], max: usize) -> Parsed {
    let line = &buffer[..buffer.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        let plausible = line.len() < MAX_LINE && line.iter().all(|&byte| is_line_byte(byte));
        return if plausible { Parsed::NeedMore { total: None } } else { Parsed::Bad };
    };
    let Some(length) = parse_length(&line[..end]) else { return Parsed::Bad };
    let start = end + 1;
    if length > max {
        return Parsed::TooLong { length, start };
    }
    match start.checked_add(length) {
        Some(total) if total <= buffer.len() => Parsed::Frame { payload: start..total },
        Some(total) => Parsed::NeedMore { total: Some(total) },
        None => Parsed::Bad,
    }
}

fn is_line_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b' ' | b'\t' | b'\r')
}

/// Reads the text of a length line: digits, blanks around them, carriage returns anywhere.
pub fn parse_length(line: &[u8]) -> Option<usize> {
    let mut length = None::<usize>;
    let mut ended = false;
    for &byte in line {
        match byte {
            b'0'..=b'9' if !ended => {
                let digit = usize::from(byte - b'0');
                length = Some(length.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            }
            b'\r' => {}
            b' ' | b'\t' => ended = length.is_some(),
            _ => return None,
        }
    }
    length
}

/// Appends `payload` as a frame.
pub fn write_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(payload.len()).as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload);
}

/// Appends a frame whose payload `write` appends, without knowing its length beforehand. If
/// `write` fails nothing is left behind.
pub fn write_frame_with<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    // Room for the usual length line; other lengths move the payload.
    out.extend_from_slice(b"00\n");
    let payload = out.len();
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(out.len() - payload).as_bytes();
    if digits.len() == 2 {
        out[start..start + 2].copy_from_slice(digits);
    } else {
        out.splice(start..start + 2, digits.iter().copied());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1000;

    #[test]
    fn frames_are_parsed_as_they_arrive() {
        assert_eq!(parse(b"", MAX), Parsed::NeedMore { total: None });
        assert_eq!(parse(b"1", MAX), Parsed::NeedMore { total: None });
        assert_eq!(parse(b"14\nd4:type", MAX), Parsed::NeedMore { total: Some(17) });
        assert_eq!(parse(b"14\nd4:type4:pinge1\nt", MAX), Parsed::Frame { payload: 3..17 });
        assert_eq!(parse(b"0\n", MAX), Parsed::Frame { payload: 2..2 });
        assert_eq!(parse(b"2\r\nle", MAX), Parsed::Frame { payload: 3..5 });
        assert_eq!(parse(b" 2 \nle", MAX), Parsed::Frame { payload: 4..6 });
    }

    #[test]
    fn other_streams_are_refused_early() {
        for bad in [&b"GET / HTTP/1.0\r\n"[..], b"\n", b"x", b"1 2\n", b"-1\n", b"0x10\n", b"1.5\n"] {
            assert_eq!(parse(bad, MAX), Parsed::Bad, "{}", bad.escape_ascii());
        }
        assert_eq!(parse(&[b'1'; MAX_LINE], MAX), Parsed::Bad);
        assert_eq!(parse(b"99999999999999999999999\n", usize::MAX), Parsed::Bad);
        assert_eq!(parse(format!("{}\n", usize::MAX).as_bytes(), usize::MAX), Parsed::Bad);
    }

    #[test]
    fn long_frames_are_reported_before_they_are_read() {
        assert_eq!(parse(b"1001\nabc", MAX), Parsed::TooLong { length: 1001, start: 5 });
        assert_eq!(parse(b"1000\nabc", MAX), Parsed::NeedMore { total: Some(1005) });
    }

    #[test]
    fn a_failed_frame_leaves_nothing() {
        let mut out = b"before".to_vec();
        let failed = write_frame_with(&mut out, |out| {
            out.push(b'x');
            Err("no")
        });
        assert_eq!((failed, &out[..]), (Err("no"), &b"before"[..]));
    }

    proptest! {
        #[test]
        fn frames_come_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let (mut out, mut same) = (Vec::new(), Vec::new());
            for payload in &payloads {
                write_frame(&mut out, payload);
                write_frame_with(&mut same, |out| {
                    out.extend_from_slice(payload);
                    Ok::<(), ()>(())
                })
                .unwrap();
            }
            prop_assert_eq!(&out, &same);
            let mut rest = &out[..];
            for payload in &payloads {
                let Parsed::Frame { payload: found } = parse(rest, MAX) else { panic!("no frame") };
                prop_assert_eq!(&rest[found.clone()], &payload[..]);
                rest = &rest[found.end..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Parsed::Frame { payload } = parse(&bytes, MAX) {
                prop_assert!(payload.end <= bytes.len() && payload.len() <= MAX);
            }
        }
    }
}
