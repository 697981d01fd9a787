//! Log lines of a job in one block of bytes: what splayds send and the controller stores, as it is.
//!
//! A record is 21 bytes and the line: time (u64, microseconds since 1970, the controller's clock),
//! position (u32), number of the line within its instance (u32), kind (u8), length (u32), bytes;
//! numbers are little-endian. The block as a whole is compressed by whoever stores or sends it.

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LineKind {
    /// `print`, `io.write`.
    Out = 0,
    /// `io.stderr`, uncaught errors with their tracebacks.
    Err = 1,
    /// `splay.log`, by its level.
    Debug = 2,
    /// See `Debug`.
    Notice = 3,
    /// See `Debug`.
    Warning = 4,
    /// See `Debug`.
    Error = 5,
    /// What the testbed itself says of an instance: limits met, its end.
    System = 6,
}

impl LineKind {
    fn from_byte(byte: u8) -> Option<LineKind> {
        use LineKind::{Debug, Err, Error, Notice, Out, System, Warning};
        [Out, Err, Debug, Notice, Warning, Error, System].get(usize::from(byte)).copied()
    }

    /// The name in filters and listings.
    pub fn name(self) -> &'static str {
        ["out", "err", "debug", "notice", "warning", "error", "system"][self as usize]
    }
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Microseconds since 1970, on the controller's clock.
    pub at_us: u64,
    /// Which instance; 0: none in particular.
    pub position: u32,
    /// Number within the instance, from 1: a gap is a line lost.
    pub number: u32,
    /// Where it comes from.
    pub kind: LineKind,
    /// The text without its newline; any bytes.
    pub text: &'a [u8],
}

const HEADER_BYTES: usize = 21;

/// Appends a line to a block.
pub fn push(block: &mut Vec<u8>, line: Line<'_>) {
    block.reserve(HEADER_BYTES + line.text.len());
    block.extend_from_slice(&line.at_us.to_le_bytes());
    block.extend_from_slice(&line.position.to_le_bytes());
    block.extend_from_slice(&line.number.to_le_bytes());
    block.push(line.kind as u8);
    block.extend_from_slice(&(line.text.len() as u32).to_le_bytes());
    block.extend_from_slice(line.text);
}

/// A block that ends within a line, or holds a kind this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of log lines is broken at byte {0}")]
pub struct BrokenBlock(pub usize);

/// The lines of a block, in their order.
pub fn lines(block: &[u8]) -> impl Iterator<Item = Result<Line<'_>, BrokenBlock>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= block.len() {
            return None;
        }
        let line = read(block, at);
        at = match &line {
            Some(line) => at + HEADER_BYTES + line.text.len(),
            None => {
                let broken = at;
                at = block.len();
                return Some(Err(BrokenBlock(broken)));
            }
        };
        line.map(Ok)
    })
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// How many lines.
    pub lines: u32,
    /// Time of the first.
    pub first_us: u64,
    /// Time of the last.
    pub last_us: u64,
}

/// Adds to the times of all lines, as another clock has it.
pub fn shift(block: &mut [u8], offset_us: i64) -> Result<Span, BrokenBlock> {
    let mut span = Span::default();
    let mut at = 0;
    while at < block.len() {
        let line = read(block, at).ok_or(BrokenBlock(at))?;
        let (time, end) = (line.at_us.saturating_add_signed(offset_us), at + HEADER_BYTES + line.text.len());
        block[at..at + 8].copy_from_slice(&time.to_le_bytes());
        if span.lines == 0 {
            span.first_us = time;
        }
        span.lines += 1;
        span.last_us = time;
        at = end;
    }
    Ok(span)
}

fn read(block: &[u8], at: usize) -> Option<Line<'_>> {
    let header = block.get(at..at + HEADER_BYTES)?;
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let length = word(17) as usize;
    let text = block.get(at + HEADER_BYTES..(at + HEADER_BYTES).checked_add(length)?)?;
    Some(Line {
        at_us: u64::from_le_bytes(header[..8].try_into().expect("eight bytes")),
        position: word(8),
        number: word(12),
        kind: LineKind::from_byte(header[16])?,
        text,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_golden() {
        let mut block = Vec::new();
        push(&mut block, Line { at_us: 1, position: 2, number: 3, kind: LineKind::Warning, text: b"hi" });
        assert_eq!(block, b"\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x04\x02\0\0\0hi");
    }

    #[test]
    fn times_are_shifted() {
        let mut block = Vec::new();
        for (at_us, text) in [(5, "a"), (9, "bc")] {
            push(
                &mut block,
                Line { at_us, position: 1, number: 1, kind: LineKind::Out, text: text.as_bytes() },
            );
        }
        assert_eq!(shift(&mut block, 100), Ok(Span { lines: 2, first_us: 105, last_us: 109 }));
        let told: Vec<u64> = lines(&block).map(|line| line.unwrap().at_us).collect();
        assert_eq!(told, [105, 109]);
        block.pop();
        assert_eq!(shift(&mut block, 0), Err(BrokenBlock(22)));
    }

    proptest! {
        #[test]
        fn lines_come_back(texts in prop::collection::vec((any::<u64>(), 0u8..7, prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut block = Vec::new();
            for (at, (time, kind, text)) in texts.iter().enumerate() {
                let kind = LineKind::from_byte(*kind).expect("in range");
                push(&mut block, Line { at_us: *time, position: at as u32, number: 9, kind, text });
            }
            let back: Vec<_> = lines(&block).map(|line| line.map(|line| (line.at_us, line.kind as u8, line.text.to_vec()))).collect();
            prop_assert_eq!(back, texts.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let told: usize = lines(&bytes).map(|line| line.map_or(0, |line| line.text.len())).sum();
            prop_assert!(told <= bytes.len());
        }
    }
}
