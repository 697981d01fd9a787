//! Quoted-printable text (RFC 2045, 6.7), piece by piece.

/// Ends a line of the encoded text that is none of the original.
pub(super) const SOFT_BREAK: &[u8] = b"=\r\n";

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn quote(byte: u8, output: &mut Vec<u8>) {
    output.extend_from_slice(&[b'=', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'<' | b'>'..=b'~')
}

/// Encodes what can be encoded without knowing what follows; returns that and the rest. At the
/// end (`last`) nothing follows, and a soft break keeps what needed to be looked at apart.
pub(super) fn encode(input: &[u8], last: bool, marker: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut output = Vec::with_capacity(input.len() + input.len() / 4);
    let mut rest = input;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'\r' | b' ' | b'\t' => {
                // A line end, and a blank before one, look different than elsewhere.
                let (blank, end) = if byte == b'\r' { (&rest[..0], rest) } else { (&rest[..1], after) };
                match end {
                    [b'\r', b'\n', ..] => {
                        blank.iter().for_each(|&blank| quote(blank, &mut output));
                        output.extend_from_slice(marker);
                        rest = &end[2..];
                        continue;
                    }
                    [] | [_] => break,
                    _ if byte == b'\r' => quote(byte, &mut output),
                    _ => output.push(byte),
                }
            }
            _ if is_plain(byte) => output.push(byte),
            _ => quote(byte, &mut output),
        }
        rest = after;
    }
    if !last || rest.is_empty() {
        return (output, rest.to_vec());
    }
    for &byte in rest {
        if is_plain(byte) { output.push(byte) } else { quote(byte, &mut output) }
    }
    output.extend_from_slice(SOFT_BREAK);
    (output, Vec::new())
}

/// Decodes what is complete; returns that and the rest. Escapes that are none stay as they are;
/// control characters and bytes beyond ASCII, which encoded text cannot contain, are dropped.
pub(super) fn decode(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    loop {
        rest = match rest {
            [] | [b'='] | [b'=', _] | [b'\r'] => break,
            [b'=', b'\r', b'\n', after @ ..] => after,
            [b'=', high, low, after @ ..] => {
                match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => output.push(high << 4 | low),
                    _ => output.extend_from_slice(&rest[..3]),
                }
                after
            }
            [b'\r', b'\n', after @ ..] => {
                output.extend_from_slice(b"\r\n");
                after
            }
            [byte @ (b'\t' | b' '..=b'~'), after @ ..] => {
                output.push(*byte);
                after
            }
            [_, after @ ..] => after,
        };
    }
    (output, rest.to_vec())
}
