//! What a transaction changed, as data: mutations in order, and between which versions. A store
//! writes it to its directory, a primary ships it to its replicas.

use std::time::Duration;

/// One change of an object. All but `Remove` make the object if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// The object is there.
    Create,
    /// The object and all it held are gone.
    Remove,
    /// Bytes from an offset on; what lies between the old end and the offset becomes zero.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// Other data.
    WriteFull {
        /// All of it.
        data: Vec<u8>,
    },
    /// Another size, zeroes added or the end cut off.
    Truncate {
        /// In bytes.
        size: u64,
    },
    /// An attribute.
    SetXattr {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// No such attribute any more.
    RemoveXattr {
        /// Its name.
        name: Vec<u8>,
    },
    /// An entry of the map.
    SetKey {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// No such entry any more.
    RemoveKey {
        /// Its key.
        key: Vec<u8>,
    },
    /// No entries any more; the header stays.
    ClearMap,
    /// The header of the map.
    SetHeader {
        /// All of it.
        header: Vec<u8>,
    },
}

/// What one transaction changed on one object, or all there is of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Which object.
    pub oid: Vec<u8>,
    /// Its version before; 0: there never was such an object.
    pub base: u64,
    /// Its version after.
    pub version: u64,
    /// When, since 1970.
    pub at: Duration,
    /// Not a change of the object at `base` but the object itself, made from nothing; without
    /// mutations there is no object.
    pub whole: bool,
    /// In order.
    pub mutations: Vec<Mutation>,
}

/// Bytes that are no changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no changes of an object: {0}")]
pub struct DecodeError(&'static str);

/// First byte of the encoding.
const FORMAT: u8 = 1;

const WHOLE: u8 = 1;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        let length = self.u32()? as usize;
        Ok(self.take(length)?.to_vec())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("objects are smaller than 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

impl Mutation {
    /// Bytes it carries, roughly: what holding it costs.
    pub(crate) fn weight(&self) -> u64 {
        let carried = match self {
            Mutation::Create | Mutation::Remove | Mutation::Truncate { .. } | Mutation::ClearMap => 0,
            Mutation::Write { data, .. } | Mutation::WriteFull { data } => data.len(),
            Mutation::SetXattr { name, value } => name.len() + value.len(),
            Mutation::SetKey { key, value } => key.len() + value.len(),
            Mutation::RemoveXattr { name: bytes }
            | Mutation::RemoveKey { key: bytes }
            | Mutation::SetHeader { header: bytes } => bytes.len(),
        };
        carried as u64 + size_of::<Mutation>() as u64
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Mutation::Create => out.push(1),
            Mutation::Remove => out.push(2),
            Mutation::Write { offset, data } => {
                out.push(3);
                out.extend_from_slice(&offset.to_le_bytes());
                put(out, data);
            }
            Mutation::WriteFull { data } => {
                out.push(4);
                put(out, data);
            }
            Mutation::Truncate { size } => {
                out.push(5);
                out.extend_from_slice(&size.to_le_bytes());
            }
            Mutation::SetXattr { name, value } => {
                out.push(6);
                put(out, name);
                put(out, value);
            }
            Mutation::RemoveXattr { name } => {
                out.push(7);
                put(out, name);
            }
            Mutation::SetKey { key, value } => {
                out.push(8);
                put(out, key);
                put(out, value);
            }
            Mutation::RemoveKey { key } => {
                out.push(9);
                put(out, key);
            }
            Mutation::ClearMap => out.push(10),
            Mutation::SetHeader { header } => {
                out.push(11);
                put(out, header);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Mutation, DecodeError> {
        Ok(match from.byte()? {
            1 => Mutation::Create,
            2 => Mutation::Remove,
            3 => Mutation::Write { offset: from.u64()?, data: from.bytes()? },
            4 => Mutation::WriteFull { data: from.bytes()? },
            5 => Mutation::Truncate { size: from.u64()? },
            6 => Mutation::SetXattr { name: from.bytes()?, value: from.bytes()? },
            7 => Mutation::RemoveXattr { name: from.bytes()? },
            8 => Mutation::SetKey { key: from.bytes()?, value: from.bytes()? },
            9 => Mutation::RemoveKey { key: from.bytes()? },
            10 => Mutation::ClearMap,
            11 => Mutation::SetHeader { header: from.bytes()? },
            _ => return Err(DecodeError("an unknown mutation")),
        })
    }
}

impl Changes {
    /// As bytes; see docs/reference/objstore.md.
    pub fn encode(&self) -> Vec<u8> {
        let carried: u64 = self.mutations.iter().map(Mutation::weight).sum();
        let mut out = Vec::with_capacity(carried as usize + self.oid.len() + 64);
        out.push(FORMAT);
        out.push(if self.whole { WHOLE } else { 0 });
        put(&mut out, &self.oid);
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&(self.at.as_micros() as u64).to_le_bytes());
        out.extend_from_slice(&(self.mutations.len() as u32).to_le_bytes());
        for mutation in &self.mutations {
            mutation.encode(&mut out);
        }
        out
    }

    /// Reads what [`Changes::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Changes, DecodeError> {
        let mut from = Reader(bytes);
        if from.byte()? != FORMAT {
            return Err(DecodeError("an unknown format"));
        }
        let whole = match from.byte()? {
            0 => false,
            WHOLE => true,
            _ => return Err(DecodeError("an unknown kind")),
        };
        let (oid, base, version) = (from.bytes()?, from.u64()?, from.u64()?);
        let at = Duration::from_micros(from.u64()?);
        let count = from.u32()?;
        let mut mutations = Vec::with_capacity((count as usize).min(from.0.len()));
        for _ in 0..count {
            mutations.push(Mutation::decode(&mut from)?);
        }
        if !from.0.is_empty() {
            return Err(DecodeError("bytes after its end"));
        }
        if version <= base {
            return Err(DecodeError("versions that do not grow"));
        }
        Ok(Changes { oid, base, version, at, whole, mutations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Changes {
        Changes {
            oid: b"a".to_vec(),
            base: 1,
            version: 2,
            at: Duration::from_micros(3),
            whole: false,
            mutations: vec![
                Mutation::Create,
                Mutation::Remove,
                Mutation::Write { offset: 4, data: b"bc".to_vec() },
                Mutation::WriteFull { data: b"d".to_vec() },
                Mutation::Truncate { size: 5 },
                Mutation::SetXattr { name: b"e".to_vec(), value: b"f".to_vec() },
                Mutation::RemoveXattr { name: b"g".to_vec() },
                Mutation::SetKey { key: b"h".to_vec(), value: Vec::new() },
                Mutation::RemoveKey { key: b"i".to_vec() },
                Mutation::ClearMap,
                Mutation::SetHeader { header: b"j".to_vec() },
            ],
        }
    }

    #[test]
    fn golden_bytes() {
        let expected: &[&[u8]] = &[
            b"\x01\x00\x01\0\0\0a\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x0b\0\0\0",
            b"\x01\x02\x03\x04\0\0\0\0\0\0\0\x02\0\0\0bc\x04\x01\0\0\0d\x05\x05\0\0\0\0\0\0\0",
            b"\x06\x01\0\0\0e\x01\0\0\0f\x07\x01\0\0\0g\x08\x01\0\0\0h\0\0\0\0\x09\x01\0\0\0i\x0a",
            b"\x0b\x01\0\0\0j",
        ];
        assert_eq!(example().encode(), expected.concat());
        assert_eq!(Changes::decode(&expected.concat()), Ok(example()));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_means_something() {
        let whole = example().encode();
        for length in 0..whole.len() {
            assert!(Changes::decode(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            // Whatever comes of it, it is no panic and no huge allocation.
            let _ = Changes::decode(&changed);
        }
        let error = Changes::decode(&[&whole[..], b"x"].concat()).unwrap_err();
        assert_eq!(error.to_string(), "no changes of an object: bytes after its end");
    }
}
