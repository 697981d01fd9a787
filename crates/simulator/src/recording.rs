//! The recording of a simulation: everything that crossed between an instance and its world, in
//! order. Its hash is the fingerprint of a run: two runs with the same hash were the same.
//!
//! A recording is a header and entries. An entry is: nanoseconds since the last one (LEB128), kind
//! (one byte), instance (LEB128, 0: none), length (LEB128), bytes. The hash is XXH3 (128 bits) of
//! the entries.

use std::io::{self, Write};

use xxhash_rust::xxh3::Xxh3;

use crate::network::Time;

/// First bytes of a recording's file.
pub const MAGIC: &[u8; 16] = b"splay recording\x01";

/// What an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An instance was started; bytes: its arguments, each ended by a zero.
    Started = 1,
    /// A line of output; bytes: stream (1 or 2) and the line.
    Output = 2,
    /// A thread died; bytes: the error.
    ThreadDied = 3,
    /// An instance ended; bytes: why.
    Ended = 4,
    /// A datagram was sent; bytes: from, to, payload.
    Datagram = 5,
    /// Bytes were written to a stream; bytes: from, to, payload.
    Stream = 6,
    /// A stream was asked for, answered, ended or broken; bytes: which of them, from, to.
    Connection = 7,
    /// Random bytes were drawn; bytes: they.
    Random = 8,
    /// A name was asked for; bytes: it.
    Name = 9,
}

/// Takes down a recording: always its hash, and its bytes if they are wanted.
pub struct Recorder {
    hash: Xxh3,
    entries: u64,
    last: Time,
    scratch: Vec<u8>,
    file: Option<Box<dyn Write>>,
    failed: Option<io::Error>,
}

impl Recorder {
    /// A recorder that keeps the hash alone.
    pub fn new() -> Recorder {
        Recorder { hash: Xxh3::new(), entries: 0, last: 0, scratch: Vec::new(), file: None, failed: None }
    }

    /// A recorder that also writes the entries.
    pub fn to(mut file: Box<dyn Write>) -> io::Result<Recorder> {
        file.write_all(MAGIC)?;
        Ok(Recorder { file: Some(file), ..Recorder::new() })
    }

    /// Adds an entry whose bytes are these parts, one after the other.
    pub fn note(&mut self, at: Time, kind: Kind, instance: u32, parts: &[&[u8]]) {
        self.scratch.clear();
        number(&mut self.scratch, at - self.last);
        self.last = at;
        self.scratch.push(kind as u8);
        number(&mut self.scratch, instance.into());
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        number(&mut self.scratch, bytes as u64);
        for part in parts {
            self.scratch.extend_from_slice(part);
        }
        self.entries += 1;
        self.hash.update(&self.scratch);
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.scratch)
        {
            self.failed = Some(error);
            self.file = None;
        }
    }

    /// So many entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The hash so far.
    pub fn hash(&self) -> u128 {
        self.hash.digest128()
    }

    /// Writes out what is held back; an error tells that the file is not whole.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// LEB128.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// An entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Virtual time.
    pub at: Time,
    /// See [`Kind`]; a kind of a later version is kept as its number.
    pub kind: u8,
    /// Which instance; 0: none.
    pub instance: u32,
    /// See [`Kind`].
    pub bytes: Vec<u8>,
}

/// Reads a recording's entries.
pub struct Reader<R> {
    source: R,
    at: Time,
}

impl<R: io::BufRead> Reader<R> {
    /// Begins to read; an error if this is not a recording.
    pub fn new(mut source: R) -> io::Result<Reader<R>> {
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a recording"));
        }
        Ok(Reader { source, at: 0 })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a number in a recording is too long"))
    }

    fn entry(&mut self) -> io::Result<Entry> {
        self.at = self.at.saturating_add(self.number()?);
        let kind = self.byte()?;
        let instance = self.number()?.try_into().unwrap_or(u32::MAX);
        let length = self.number()?;
        let mut bytes = Vec::new();
        // What the file says of its length is not believed before the bytes are there.
        let read = io::Read::take(&mut self.source, length).read_to_end(&mut bytes)?;
        if read as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Entry { at: self.at, kind, instance, bytes })
    }
}

impl<R: io::BufRead> Iterator for Reader<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        match self.source.fill_buf() {
            Ok([]) => None,
            Ok(_) => Some(self.entry()),
            Err(error) => Some(Err(error)),
        }
    }
}

use io::Read as _;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn entries_come_back_and_are_golden() {
        let file = Shared::default();
        let mut recorder = Recorder::to(Box::new(file.clone())).unwrap();
        recorder.note(5, Kind::Output, 1, &[b"\x01", b"hi"]);
        recorder.note(305, Kind::Ended, 200, &[]);
        recorder.finish().unwrap();
        let bytes = file.0.take();
        assert_eq!(&bytes[16..], b"\x05\x02\x01\x03\x01hi\xac\x02\x04\xc8\x01\x00");
        let entries: Vec<Entry> = Reader::new(&bytes[..]).unwrap().collect::<io::Result<_>>().unwrap();
        assert_eq!(entries[0], Entry { at: 5, kind: 2, instance: 1, bytes: b"\x01hi".to_vec() });
        assert_eq!(entries[1], Entry { at: 305, kind: 4, instance: 200, bytes: Vec::new() });
        let mut again = Recorder::new();
        again.note(5, Kind::Output, 1, &[b"\x01hi"]);
        again.note(305, Kind::Ended, 200, &[]);
        assert_eq!((again.hash(), again.entries()), (recorder.hash(), 2));
        again.note(305, Kind::Ended, 200, &[]);
        assert_ne!(again.hash(), recorder.hash());
    }

    #[test]
    fn broken_recordings_are_errors() {
        assert!(Reader::new(&b"something else entirely"[..]).is_err());
        let broken = [MAGIC.as_slice(), b"\x05\x02\x01\xff\xff\xff\x7f"].concat();
        assert!(Reader::new(&broken[..]).unwrap().next().unwrap().is_err());
    }
}
