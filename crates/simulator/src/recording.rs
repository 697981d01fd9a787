//! The recording of a simulation: everything that crossed between an instance and its world, in
//! order. Its hash is the fingerprint of a run: two runs with the same hash were the same.
//!
//! A recording's file is [`MAGIC`] and, compressed by Zstandard, a header and entries. The header
//! is a length (LEB128) and so many bytes, whose meaning is the host's: what it needs to run the
//! same again. An entry is: nanoseconds since the last one (LEB128), kind (one byte), instance
//! (LEB128, 0: none), length (LEB128), bytes. The hash is XXH3 (128 bits) of the entries.

pub mod difference;

use std::io::{self, BufReader, Read as _, Write};

use xxhash_rust::xxh3::Xxh3;

use crate::network::Time;
use difference::{Checker, Difference};

/// First bytes of a recording's file.
pub const MAGIC: &[u8; 16] = b"splay recording\x02";

/// Zstandard's fastest level: what is recorded repeats itself enough.
const LEVEL: i32 = 1;

/// Entries are handed on to the hash and the compressor in pieces of this size: both are at their
/// best with more than an entry at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A header is text about one run; more is not one.
const MAX_HEADER_BYTES: u64 = 1 << 24;

/// What an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An instance was started; no bytes.
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
    /// A stream was asked for (`c`) or ended (`e`); bytes: which of them, from, to.
    Connection = 7,
    /// Random bytes were drawn; bytes: they.
    Random = 8,
    /// A name was asked for; bytes: it.
    Name = 9,
    /// Something was done from outside; bytes: what, in the language of scripts.
    Fault = 10,
}

impl Kind {
    /// The kind of a number in a recording; `None`: one of a later version.
    pub fn from_number(number: u8) -> Option<Kind> {
        const ALL: [Kind; 10] = [
            Kind::Started,
            Kind::Output,
            Kind::ThreadDied,
            Kind::Ended,
            Kind::Datagram,
            Kind::Stream,
            Kind::Connection,
            Kind::Random,
            Kind::Name,
            Kind::Fault,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

type Compressor = zstd::stream::write::Encoder<'static, Box<dyn Write>>;

/// Takes down a recording: always its hash, and its bytes if they are wanted.
pub struct Recorder {
    hash: Xxh3,
    entries: u64,
    last: Time,
    /// Entries that are not hashed and written yet.
    piece: Vec<u8>,
    /// The time before the first of them.
    piece_from: Time,
    file: Option<Compressor>,
    failed: Option<io::Error>,
    checker: Option<Checker>,
}

impl Recorder {
    /// A recorder that keeps the hash alone.
    pub fn new() -> Recorder {
        Recorder {
            hash: Xxh3::new(),
            entries: 0,
            last: 0,
            piece: Vec::with_capacity(PIECE_BYTES + 1024),
            piece_from: 0,
            file: None,
            failed: None,
            checker: None,
        }
    }

    /// A recorder that also writes the entries, after a header.
    pub fn to(mut file: Box<dyn Write>, header: &[u8]) -> io::Result<Recorder> {
        file.write_all(MAGIC)?;
        let mut file = Compressor::new(file, LEVEL)?;
        let mut length = Vec::new();
        number(&mut length, header.len() as u64);
        file.write_all(&length)?;
        file.write_all(header)?;
        Ok(Recorder { file: Some(file), ..Recorder::new() })
    }

    /// A recorder that compares the run with an earlier one.
    pub fn checking(earlier: impl Iterator<Item = io::Result<Entry>> + 'static) -> Recorder {
        Recorder { checker: Some(Checker::new(earlier)), ..Recorder::new() }
    }

    /// Adds an entry whose bytes are these parts, one after the other.
    pub fn note(&mut self, at: Time, kind: Kind, instance: u32, parts: &[&[u8]]) {
        let piece = &mut self.piece;
        number(piece, at - self.last);
        self.last = at;
        piece.push(kind as u8);
        number(piece, instance.into());
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        number(piece, bytes as u64);
        for part in parts {
            piece.extend_from_slice(part);
        }
        self.entries += 1;
        if let Some(checker) = &mut self.checker {
            checker.compare(at, kind as u8, instance, parts);
        }
        if piece.len() >= PIECE_BYTES {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.hash.update(&self.piece);
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&self.piece)
        {
            self.failed = Some(error);
            self.file = None;
        }
        self.piece.clear();
        self.piece_from = self.last;
    }

    /// The last entries, at most so many; fewer where a piece has just been handed on.
    pub fn tail(&self, most: usize) -> Vec<Entry> {
        let (mut at, mut rest) = (self.piece_from, &self.piece[..]);
        let mut tail = std::collections::VecDeque::new();
        while let Some(entry) = entry_of(&mut rest, &mut at) {
            tail.push_back(entry);
            if tail.len() > most {
                tail.pop_front();
            }
        }
        tail.into()
    }

    /// So many entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The hash so far.
    pub fn hash(&self) -> u128 {
        let mut hash = self.hash.clone();
        hash.update(&self.piece);
        hash.digest128()
    }

    /// From now on nothing is compared any more.
    pub fn stop_checking(&mut self) {
        self.checker = None;
    }

    /// Where the run first differed from the earlier one it is compared with.
    pub fn difference(&self) -> Option<&Difference> {
        self.checker.as_ref().and_then(Checker::difference)
    }

    /// The run is over: what the earlier one had besides is a difference too.
    pub fn end_of_check(&mut self) -> Option<&Difference> {
        self.checker.as_mut().and_then(Checker::end)
    }

    /// Writes out what is held back; an error tells that the file is not whole. Nothing is
    /// written any more.
    pub fn finish(&mut self) -> io::Result<()> {
        self.hand_on();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.file.take() {
            Some(file) => file.finish()?.flush(),
            None => Ok(()),
        }
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

/// The hash that recordings use.
pub fn hash(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// The entry that bytes begin with.
fn entry_of(rest: &mut &[u8], at: &mut Time) -> Option<Entry> {
    let mut read = || {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let (&byte, after) = rest.split_first()?;
            *rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    };
    *at += read()?;
    // Kinds are below 128: one byte.
    let kind = read()? as u8;
    let (instance, length) = (read()? as u32, read()? as usize);
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Entry { at: *at, kind, instance, bytes: bytes.to_vec() })
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
pub struct Reader {
    source: BufReader<zstd::stream::read::Decoder<'static, BufReader<Box<dyn io::Read + Send>>>>,
    at: Time,
}

impl Reader {
    /// Begins to read: gives the header too; an error if this is not a recording.
    pub fn open(mut file: Box<dyn io::Read + Send>) -> io::Result<(Reader, Vec<u8>)> {
        let broken = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let mut magic = Vec::new();
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            let version = MAGIC.len() - 1;
            return Err(match magic.get(..version) == Some(&MAGIC[..version]) {
                true => broken("a recording of another version of splay"),
                false => broken("not a recording"),
            });
        }
        let source = BufReader::new(zstd::stream::read::Decoder::new(file)?);
        let mut reader = Reader { source, at: 0 };
        let length = reader.number()?;
        if length > MAX_HEADER_BYTES {
            return Err(broken("the header of the recording is too long"));
        }
        let header = reader.bytes(length)?;
        Ok((reader, header))
    }

    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // What the file says of its length is not believed before the bytes are there.
        let read = io::Read::take(&mut self.source, length).read_to_end(&mut bytes)?;
        if read as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
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
        let bytes = self.bytes(length)?;
        Ok(Entry { at: self.at, kind, instance, bytes })
    }
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        match io::BufRead::fill_buf(&mut self.source) {
            Ok([]) => None,
            Ok(_) => Some(self.entry()),
            Err(error) => Some(Err(error)),
        }
    }
}

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

    fn read(bytes: &[u8]) -> io::Result<(Vec<Entry>, Vec<u8>)> {
        let (reader, header) = Reader::open(Box::new(io::Cursor::new(bytes.to_vec())))?;
        Ok((reader.collect::<io::Result<_>>()?, header))
    }

    #[test]
    fn entries_come_back_and_are_golden() {
        let file = Shared::default();
        let mut recorder = Recorder::to(Box::new(file.clone()), b"{}").unwrap();
        recorder.note(5, Kind::Output, 1, &[b"\x01", b"hi"]);
        recorder.note(305, Kind::Ended, 200, &[]);
        recorder.finish().unwrap();
        let bytes = file.0.take();
        assert_eq!(&bytes[..16], MAGIC);
        let plain = zstd::decode_all(&bytes[16..]).unwrap();
        assert_eq!(&plain[..], b"\x02{}\x05\x02\x01\x03\x01hi\xac\x02\x04\xc8\x01\x00");
        let (entries, header) = read(&bytes).unwrap();
        assert_eq!(header, b"{}");
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
    fn the_hash_does_not_depend_on_the_pieces() {
        let mut recorder = Recorder::new();
        let mut whole = Vec::new();
        for n in 0..5000_u64 {
            let bytes = [n as u8; 23];
            recorder.note(n * 7, Kind::Random, 3, &[&bytes]);
            number(&mut whole, if n == 0 { 0 } else { 7 });
            whole.extend_from_slice(&[Kind::Random as u8, 3, 23]);
            whole.extend_from_slice(&bytes);
        }
        assert_eq!(recorder.hash(), xxhash_rust::xxh3::xxh3_128(&whole));
    }

    #[test]
    fn broken_recordings_are_errors() {
        assert!(read(b"something else entirely").is_err());
        let other = read(b"splay recording\x01...").unwrap_err();
        assert_eq!(other.to_string(), "a recording of another version of splay");
        let packed = |plain: &[u8]| [MAGIC.as_slice(), &zstd::encode_all(plain, 1).unwrap()].concat();
        assert!(read(&packed(b"\x00\x05\x02\x01\x01x")).is_ok());
        assert!(read(&packed(b"\x00\x05\x02\x01\xff\xff\xff\x7f")).is_err());
        assert!(read(&packed(b"\xff\xff\xff\x7f")).is_err());
        let mut cut = packed(b"\x00\x05\x02\x01\x01x");
        cut.truncate(cut.len() - 3);
        assert!(read(&cut).is_err());
    }
}
