//! A queue of bytes kept as the pieces in which they arrived: nothing is copied but out of it.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    pieces: VecDeque<Box<[u8]>>,
    /// Bytes of the first piece already read.
    head: usize,
    length: usize,
}

impl ByteQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, piece: Box<[u8]>) {
        self.length += piece.len();
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Moves as many bytes as there are and fit.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < out.len() {
            let Some(piece) = self.pieces.front() else { break };
            let rest = &piece[self.head..];
            let count = rest.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            if count == rest.len() {
                self.pieces.pop_front();
                self.head = 0;
            } else {
                self.head += count;
            }
        }
        self.length -= filled;
        if self.length == 0 && self.pieces.capacity() > 64 {
            self.pieces = VecDeque::new();
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::ByteQueue;

    #[test]
    fn reads_across_pieces() {
        let mut queue = ByteQueue::default();
        for piece in ["ab", "", "cde", "f"] {
            queue.push(piece.as_bytes().into());
        }
        let mut out = [0; 4];
        assert_eq!(queue.read(&mut out), 4);
        assert_eq!(&out, b"abcd");
        assert!(!queue.is_empty());
        assert_eq!(queue.read(&mut out), 2);
        assert_eq!(&out[..2], b"ef");
        assert!(queue.is_empty());
        assert_eq!(queue.read(&mut out), 0);
    }
}
