//! The bytes of logs and snapshots.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::service::{Entry, State};

/// Beginning of a log.
pub const LOG: &[u8; 16] = b"splay-etcd log 1";

/// Beginning of a snapshot.
const SNAPSHOT: &[u8; 16] = b"splay-etcd snap1";

/// Beginning of a record: lets those behind a damaged one be found.
const MARK: &[u8; 4] = b"\xf5rec";

/// Mark, length and checksum.
const HEAD: usize = 12;

/// Changes that were written at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch<'a> {
    /// Number of the first.
    pub first: u64,
    /// In order; at least one.
    pub entries: Cow<'a, [Entry]>,
}

/// What is at a place of a log.
#[derive(Debug)]
pub enum Found {
    /// A record, and where the next begins.
    Batch(Batch<'static>, usize),
    /// Nothing more.
    End,
    /// Something that is no whole record, with none behind it.
    Torn,
    /// Where, and what is wrong.
    Damaged(usize, &'static str),
}

fn checksum(length: [u8; 4], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data is encoded into memory")
}

/// Appends a record.
pub fn write(out: &mut Vec<u8>, batch: &Batch<'_>) {
    let payload = encode(batch);
    let length = u32::try_from(payload.len()).expect("a batch is smaller than 4 GiB").to_le_bytes();
    out.extend_from_slice(MARK);
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, &payload));
    out.extend_from_slice(&payload);
}

/// The payload of a whole record, and where it ends.
fn payload(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(HEAD)?;
    let length: [u8; 4] = head[4..8].try_into().ok()?;
    let payload = rest.get(..u32::from_le_bytes(length) as usize)?;
    let whole = head.starts_with(MARK) && checksum(length, payload) == head[8..];
    whole.then_some((payload, at + HEAD + payload.len()))
}

/// What is at a place; 0 is the beginning of the file.
pub fn next(bytes: &[u8], at: usize) -> Found {
    let at = if at == 0 {
        if bytes.len() < LOG.len() && LOG.starts_with(bytes) {
            return Found::Torn;
        }
        if !bytes.starts_with(LOG) {
            return Found::Damaged(0, "it does not begin as a log of this version does");
        }
        LOG.len()
    } else {
        at
    };
    if at == bytes.len() {
        return Found::End;
    }
    match payload(bytes, at) {
        Some((payload, next)) => match postcard::from_bytes::<Batch<'static>>(payload) {
            Ok(batch) if !batch.entries.is_empty() => Found::Batch(batch, next),
            _ => Found::Damaged(at, "a record is whole and makes no sense"),
        },
        None => {
            // One batch is on the disk before the next is written: what is torn is the last.
            let marks = memchr::memmem::find_iter(&bytes[at + 1..], MARK).map(|offset| at + 1 + offset);
            match marks.into_iter().any(|mark| payload(bytes, mark).is_some()) {
                true => Found::Damaged(at, "a record is wrong, and whole ones follow it"),
                false => Found::Torn,
            }
        }
    }
}

/// A snapshot's file.
pub fn snapshot_bytes(state: &State) -> Vec<u8> {
    let payload = encode(state);
    let checksum = crc32fast::hash(&payload).to_le_bytes();
    [&SNAPSHOT[..], &checksum, &payload].concat()
}

/// The opposite; or where what is wrong.
pub fn snapshot(bytes: &[u8]) -> Result<State, (u64, String)> {
    let start = SNAPSHOT.len();
    if !bytes.starts_with(SNAPSHOT) {
        return Err((0, "it does not begin as a snapshot of this version does".to_owned()));
    }
    let (checksum, payload) =
        bytes[start..].split_at_checked(4).ok_or((start as u64, "it is too short".to_owned()))?;
    if crc32fast::hash(payload).to_le_bytes() != *checksum {
        return Err((start as u64, "its checksum is another".to_owned()));
    }
    postcard::from_bytes(payload).map_err(|error| (start as u64 + 4, error.to_string()))
}
