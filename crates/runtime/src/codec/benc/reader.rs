//! Bencode without Lua: measuring values and looking into message envelopes without copying.

use super::{DecodeError, MAX_DEPTH};

/// Length in bytes of the one encoded value `data` starts with.
pub fn skip(data: &[u8]) -> Result<usize, DecodeError> {
    let mut cursor = Cursor { data, offset: 0 };
    cursor.skip_value()?;
    Ok(cursor.offset)
}

/// A position in encoded bytes.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub data: &'a [u8],
    pub offset: usize,
}

impl<'a> Cursor<'a> {
    pub fn peek(&self) -> Result<u8, DecodeError> {
        self.data.get(self.offset).copied().ok_or(DecodeError::Truncated)
    }

    pub fn unexpected(&self) -> DecodeError {
        match self.peek() {
            Ok(byte) => DecodeError::Unexpected { byte, offset: self.offset },
            Err(truncated) => truncated,
        }
    }

    /// Reads `<length>:<bytes>`.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.offset;
        let mut length = 0usize;
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => {
                    length = length * 10 + usize::from(digit - b'0');
                    // Longer than any input, and far from overflowing.
                    if length > isize::MAX as usize / 100 {
                        return Err(DecodeError::BadLength { offset: start });
                    }
                    self.offset += 1;
                }
                b':' => break,
                _ => return Err(DecodeError::BadLength { offset: start }),
            }
        }
        self.offset += 1;
        let rest = &self.data[self.offset..];
        let text = rest.get(..length).ok_or(DecodeError::Truncated)?;
        self.offset += length;
        Ok(text)
    }

    /// Reads `i<number>e`.
    pub fn number(&mut self) -> Result<f64, DecodeError> {
        let start = self.offset + 1;
        let mut at = start;
        let negative = self.data.get(at) == Some(&b'-');
        at += usize::from(negative);
        let digits = at;
        let mut magnitude = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.data.get(at)
            && at - digits < 15
        {
            magnitude = magnitude * 10 + u64::from(digit - b'0');
            at += 1;
        }
        if self.data.get(at) == Some(&b'e') && at > digits {
            self.offset = at + 1;
            // At most fifteen digits: exact.
            #[allow(clippy::cast_precision_loss)]
            let number = magnitude as f64;
            return Ok(if negative { -number } else { number });
        }
        let rest = self.data.get(start..).ok_or(DecodeError::Truncated)?;
        let length = memchr::memchr(b'e', rest).ok_or(DecodeError::Truncated)?;
        self.offset = start + length + 1;
        parse_number(&rest[..length]).ok_or(DecodeError::BadNumber { offset: start })
    }

    /// Moves behind one value of any kind.
    pub fn skip_value(&mut self) -> Result<(), DecodeError> {
        // Bit 0 of `dictionaries` says whether the innermost open table is a dictionary, bit 0
        // of `awaiting` whether a value must follow its last key.
        let (mut depth, mut dictionaries, mut awaiting) = (0usize, 0u128, 0u128);
        loop {
            match self.peek()? {
                b'0'..=b'9' => drop(self.string()?),
                b'i' => drop(self.number()?),
                b't' | b'f' => self.offset += 1,
                b'n' => {
                    if dictionaries & !awaiting & 1 != 0 {
                        return Err(DecodeError::BadKey { offset: self.offset });
                    }
                    self.offset += 1;
                }
                open @ (b'l' | b'd') => {
                    if depth == MAX_DEPTH {
                        return Err(DecodeError::TooDeep);
                    }
                    depth += 1;
                    dictionaries = dictionaries << 1 | u128::from(open == b'd');
                    awaiting <<= 1;
                    self.offset += 1;
                    continue;
                }
                b'e' if depth > 0 && awaiting & 1 == 0 => {
                    depth -= 1;
                    dictionaries >>= 1;
                    awaiting >>= 1;
                    self.offset += 1;
                }
                _ => return Err(self.unexpected()),
            }
            if depth == 0 {
                return Ok(());
            }
            awaiting ^= dictionaries & 1;
        }
    }
}

/// What Lua's string to number conversion accepts: decimals with an optional exponent, `0x`
/// integers, `inf` and `nan`, with blanks around.
fn parse_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if magnitude.starts_with(['+', '-']) {
        return None;
    }
    let hexadecimal = magnitude.strip_prefix("0x").or_else(|| magnitude.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) if !digits.is_empty() && digits.len() <= 16 => {
            // Rounds like any number too long for a double.
            #[allow(clippy::cast_precision_loss)]
            let number = u64::from_str_radix(digits, 16).ok()? as f64;
            number
        }
        Some(_) => return None,
        None => magnitude.parse::<f64>().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// One encoded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// Its encoding.
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The bytes, if it is a string.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        self.0.first().filter(|byte| byte.is_ascii_digit())?;
        Cursor { data: self.0, offset: 0 }.string().ok()
    }

    /// The number, if it is one.
    pub fn as_number(self) -> Option<f64> {
        self.0.first().filter(|byte| **byte == b'i')?;
        Cursor { data: self.0, offset: 0 }.number().ok()
    }

    /// The boolean, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.0 {
            b"t" => Some(true),
            b"f" => Some(false),
            _ => None,
        }
    }

    /// Whether it is `nil`.
    pub fn is_nil(self) -> bool {
        self.0 == b"n"
    }

    /// Whether it is a list or a dictionary.
    pub fn is_table(self) -> bool {
        matches!(self.0.first(), Some(b'l' | b'd'))
    }
}

/// Walks over the string keys of an encoded dictionary; entries with other keys are passed over.
#[derive(Debug, Clone)]
pub struct Reader<'a>(Cursor<'a>);

impl<'a> Reader<'a> {
    /// Reads the dictionary `data` starts with.
    pub fn new(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor { data, offset: 0 };
        if cursor.peek()? != b'd' {
            return Err(cursor.unexpected());
        }
        cursor.offset = 1;
        Ok(Reader(cursor))
    }

    /// The next entry, or `None` behind the last one.
    pub fn next_entry(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, DecodeError> {
        let cursor = &mut self.0;
        loop {
            let key = match cursor.peek()? {
                b'e' => return Ok(None),
                b'0'..=b'9' => Some(cursor.string()?),
                b'n' => return Err(DecodeError::BadKey { offset: cursor.offset }),
                _ => {
                    cursor.skip_value()?;
                    None
                }
            };
            let start = cursor.offset;
            cursor.skip_value()?;
            if let Some(key) = key {
                return Ok(Some((key, Value(&cursor.data[start..cursor.offset]))));
            }
        }
    }

    /// The value of `key` among the entries not walked over yet.
    pub fn find(&self, key: &[u8]) -> Result<Option<Value<'a>>, DecodeError> {
        let mut rest = self.clone();
        while let Some((name, value)) = rest.next_entry()? {
            if name == key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// Walks over the items of an encoded list.
#[derive(Debug, Clone)]
pub struct Items<'a>(Cursor<'a>);

impl<'a> Items<'a> {
    /// Reads the list `data` starts with.
    pub fn new(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor { data, offset: 0 };
        if cursor.peek()? != b'l' {
            return Err(cursor.unexpected());
        }
        cursor.offset = 1;
        Ok(Items(cursor))
    }

    /// The next item (`n` items included), or `None` behind the last one.
    pub fn next_item(&mut self) -> Result<Option<Value<'a>>, DecodeError> {
        let cursor = &mut self.0;
        if cursor.peek()? == b'e' {
            return Ok(None);
        }
        let start = cursor.offset;
        cursor.skip_value()?;
        Ok(Some(Value(&cursor.data[start..cursor.offset])))
    }
}
