//! Lines of a host thread's instances, gathered into blocks; numbers them, and keeps each
//! instance to its `max_log_bytes`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_bytes::ByteBuf;
use splay_protocol::log_lines::{Line, LineKind, push};

use crate::pipe::Lines;

/// A block is passed on when it has grown to this.
const BLOCK_BYTES: usize = 64 << 10;

/// Or when its first line is this old.
const BLOCK_AGE: Duration = Duration::from_millis(50);

/// The longest line that is passed on whole; more is cut off. Every message must fit its frame.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    number: u32,
    bytes: u64,
    over: bool,
}

/// What came of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is in the block.
    Yes,
    /// It was the first too many: so many bytes would have been reached.
    FirstOver(u64),
    /// It was dropped.
    No,
}

/// Blocks of one thread.
#[derive(Debug)]
pub struct Output {
    block: Vec<u8>,
    since: Option<Instant>,
    accounts: HashMap<u32, Account>,
    max_log_bytes: u64,
}

impl Output {
    /// An empty block, for instances that may write so much each.
    pub fn new(max_log_bytes: u64) -> Output {
        Output { block: Vec::new(), since: None, accounts: HashMap::new(), max_log_bytes }
    }

    /// A new life at a position: it may write as much again.
    pub fn begin(&mut self, position: u32) {
        let account = self.accounts.entry(position).or_default();
        (account.bytes, account.over) = (0, false);
    }

    /// Takes a line of an instance.
    pub fn line(&mut self, at_us: u64, position: u32, kind: LineKind, text: &[u8]) -> Kept {
        let text = &text[..text.len().min(MAX_LINE_BYTES)];
        let account = self.accounts.entry(position).or_default();
        // A dropped line has a number too: the gap tells of it.
        account.number = account.number.wrapping_add(1);
        account.bytes += text.len() as u64 + 1;
        if account.bytes > self.max_log_bytes {
            let (first, reached, number) = (!account.over, account.bytes, account.number);
            account.over = true;
            if !first {
                return Kept::No;
            }
            let said = format!(
                "[splayd] more than max_log_bytes {} written: further lines are dropped",
                self.max_log_bytes
            );
            self.put(Line { at_us, position, number, kind: LineKind::System, text: said.as_bytes() });
            return Kept::FirstOver(reached);
        }
        let number = account.number;
        self.put(Line { at_us, position, number, kind, text });
        Kept::Yes
    }

    /// Takes a line the testbed itself has to say; it does not count against the instance.
    pub fn system(&mut self, at_us: u64, position: u32, text: &str) {
        let account = self.accounts.entry(position).or_default();
        account.number = account.number.wrapping_add(1);
        let number = account.number;
        self.put(Line { at_us, position, number, kind: LineKind::System, text: text.as_bytes() });
    }

    fn put(&mut self, line: Line<'_>) {
        if self.block.is_empty() {
            self.since = Some(Instant::now());
        }
        push(&mut self.block, line);
    }

    /// Whether the block has grown enough to be passed on.
    pub fn full(&self) -> bool {
        self.block.len() >= BLOCK_BYTES
    }

    /// When the block is to be passed on whatever its size.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + BLOCK_AGE)
    }

    /// The block, if it holds anything.
    pub fn take(&mut self) -> Option<Lines> {
        self.since = None;
        if self.block.is_empty() {
            return None;
        }
        let capacity = self.block.capacity().min(2 * BLOCK_BYTES);
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(capacity));
        Some(Lines { block: ByteBuf::from(block) })
    }
}

#[cfg(test)]
mod tests {
    use splay_protocol::log_lines::lines;

    use super::*;

    #[test]
    fn beyond_the_limit_one_line_says_so() {
        let mut output = Output::new(10);
        assert_eq!(output.line(1, 7, LineKind::Out, b"12345678"), Kept::Yes);
        assert_eq!(output.line(2, 7, LineKind::Out, b"1"), Kept::FirstOver(11));
        assert_eq!(output.line(3, 7, LineKind::Out, b"1"), Kept::No);
        assert_eq!(output.line(4, 8, LineKind::Err, b"other"), Kept::Yes);
        output.begin(7);
        assert_eq!(output.line(5, 7, LineKind::Out, b"again"), Kept::Yes);
        let block = output.take().unwrap().block;
        let told: Vec<_> = lines(&block).map(|line| line.unwrap()).map(|l| (l.position, l.number)).collect();
        assert_eq!(told, [(7, 1), (7, 2), (8, 1), (7, 4)]);
        assert!(output.take().is_none() && output.due().is_none());
    }

    #[test]
    fn a_block_is_passed_on_when_it_is_large() {
        let mut output = Output::new(1 << 30);
        let text = [b'x'; 1000];
        let count = (1..).take_while(|_| {
            output.line(1, 1, LineKind::Out, &text);
            !output.full()
        });
        assert_eq!(count.count(), 64);
    }
}
