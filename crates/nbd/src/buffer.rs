//! Bytes on their way in: received at the end, used from the beginning, never more of them than
//! were announced and have come.

/// Room for one receive.
const CHUNK_BYTES: usize = 64 << 10;
/// An empty buffer larger than this is given back.
const KEEP_BYTES: usize = 512 << 10;

#[derive(Debug, Default)]
pub struct Incoming {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Where to receive into. Grows with what has come, not with what a client announces.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.data.len() > KEEP_BYTES {
                self.data.truncate(CHUNK_BYTES);
                self.data.shrink_to_fit();
            }
        } else if self.data.len() - self.end < CHUNK_BYTES && self.start >= self.len() {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.data.len() - self.end < CHUNK_BYTES {
            let grown = (self.end + CHUNK_BYTES).max(self.data.len() * 2);
            self.data.resize(grown, 0);
        }
        &mut self.data[self.end..]
    }

    pub fn received(&mut self, count: usize) {
        assert!(count <= self.data.len() - self.end, "received into the room");
        self.end += count;
    }

    pub fn used(&mut self, count: usize) {
        assert!(count <= self.len(), "used what was there");
        self.start += count;
    }

    /// The bytes from the position of `used` before so many were.
    pub fn behind(&self, count: usize) -> &[u8] {
        &self.data[self.start - count..self.start]
    }

    pub fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes().to_vec();
        self.start = self.end;
        rest
    }
}

/// The big-endian numbers at the beginning of a message.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_pieces_is_whole() {
        let mut incoming = Incoming::default();
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut seen = Vec::new();
        let mut given = 0;
        while seen.len() < text.len() {
            let room = incoming.room();
            let count = room.len().min(text.len() - given).min(50_001);
            room[..count].copy_from_slice(&text[given..given + count]);
            incoming.received(count);
            given += count;
            let used = if given == text.len() { incoming.len() } else { incoming.len() / 3 };
            seen.extend_from_slice(&incoming.bytes()[..used]);
            incoming.used(used);
            assert_eq!(incoming.behind(used), &seen[seen.len() - used..]);
        }
        assert_eq!(seen, text);
        assert!(incoming.room().len() >= CHUNK_BYTES);
    }
}
