//! Lua values to bencode. Reads the Lua stack without creating anything in the Lua heap.

use std::io::Write;
use std::slice;

use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

use super::reader::Cursor;
use super::{EncodeError, MAX_DEPTH};

/// Appends the value at `index` to `out`; on error `out` and the stack are as before.
///
/// # Safety
/// `l` is a live Lua state and `index` one of its valid stack indices, or a pseudo-index.
pub unsafe fn encode(l: *mut lua_State, index: c_int, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    // SAFETY: forwarded.
    unsafe { guarded(l, out, |encoder| encoder.value(index, 0)) }
}

/// Appends the stack slots `first..=last` (absolute indices; none if `last < first`) as one
/// table. Without nils that is a list; with nils a dictionary from position to value, as older
/// encoders wrote it, in which a trailing nil is kept as `n` (they read that as absent).
///
/// # Safety
/// `l` is a live Lua state and `first..=last` are valid absolute stack indices of it.
pub unsafe fn encode_range(
    l: *mut lua_State,
    first: c_int,
    last: c_int,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    // SAFETY: forwarded; the indices are valid as the caller promised.
    unsafe {
        let holes = (first..=last).any(|i| ffi::lua_type(l, i) == ffi::LUA_TNIL);
        guarded(l, out, |encoder| {
            if !holes {
                encoder.out.push(b'l');
                for index in first..=last {
                    encoder.value(index, 1)?;
                }
            } else {
                encoder.out.push(b'd');
                for index in first..=last {
                    if index == last || ffi::lua_type(l, index) != ffi::LUA_TNIL {
                        write_integer(encoder.out, i64::from(index - first + 1));
                        encoder.value(index, 1)?;
                    }
                }
            }
            encoder.out.push(b'e');
            Ok(())
        })
    }
}

/// Runs `body` and undoes its pushes and, when it fails, its output.
///
/// # Safety
/// As [`encode`].
unsafe fn guarded(
    l: *mut lua_State,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let mut encoder = Encoder { l, out, entries: Vec::new() };
    // SAFETY: `l` is live; the top only shrinks back to what it was.
    unsafe {
        let top = ffi::lua_gettop(l);
        body(&mut encoder).inspect_err(|_| {
            ffi::lua_settop(l, top);
            encoder.out.truncate(start);
        })
    }
}

/// Appends a string.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
    out.push(b':');
    out.extend_from_slice(text);
}

/// Appends an integer.
pub fn write_integer(out: &mut Vec<u8>, number: i64) {
    out.push(b'i');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(b'e');
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    // Beyond 2^63 the cast saturates and the comparison fails.
    #[allow(clippy::cast_precision_loss)]
    if number as i64 as f64 == number && number < 9.2e18 {
        return write_integer(out, number as i64);
    }
    out.push(b'i');
    if number.is_nan() {
        out.extend_from_slice(b"nan");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" });
    } else if number.fract() == 0.0 {
        write!(out, "{number:.0}").expect("writing to a Vec cannot fail");
    } else {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(number);
        if text.contains('e') {
            // An exponent would end the number: `Display` writes plain decimals.
            write!(out, "{number}").expect("writing to a Vec cannot fail");
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b'e');
}

/// One key and value of a dictionary, as offsets into the output.
struct Entry {
    /// Kinds of keys, in the order they are written.
    class: Class,
    /// Orders keys of one class as far as 64 bits reach.
    rank: u64,
    /// Where the encoded key starts; empty if it is implied (see [`Encoder::list_to_entries`]).
    key: usize,
    /// Where the bytes to compare start, up to `value`.
    text: usize,
    value: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Number,
    String,
    Boolean,
    Table,
}

struct Encoder<'a> {
    l: *mut lua_State,
    out: &'a mut Vec<u8>,
    /// Entries of all dictionaries now being written, innermost last.
    entries: Vec<Entry>,
}

impl Encoder<'_> {
    /// # Safety
    /// `index` is valid in the state.
    unsafe fn value(&mut self, index: c_int, depth: usize) -> Result<(), EncodeError> {
        // SAFETY: `index` is valid; each accessor is used on the type it is for.
        unsafe {
            match ffi::lua_type(self.l, index) {
                ffi::LUA_TSTRING => write_string(self.out, self.bytes(index)),
                ffi::LUA_TNUMBER => write_number(self.out, ffi::lua_tonumber(self.l, index)),
                ffi::LUA_TTABLE => return self.table(index, depth),
                ffi::LUA_TBOOLEAN => {
                    self.out.push(if ffi::lua_toboolean(self.l, index) != 0 { b't' } else { b'f' });
                }
                ffi::LUA_TNIL => self.out.push(b'n'),
                ffi::LUA_TFUNCTION => return Err(EncodeError::Unsupported("function")),
                ffi::LUA_TTHREAD => return Err(EncodeError::Unsupported("thread")),
                ffi::LUA_TUSERDATA | ffi::LUA_TLIGHTUSERDATA => {
                    return Err(EncodeError::Unsupported("userdata"));
                }
                _ => return Err(EncodeError::Unsupported("cdata")),
            }
        }
        Ok(())
    }

    /// The bytes of the string at `index`, valid while the value stays on the stack.
    ///
    /// # Safety
    /// There is a string at `index`.
    unsafe fn bytes<'b>(&self, index: c_int) -> &'b [u8] {
        let mut length = 0;
        // SAFETY: a string's bytes stay in place while it is reachable, here from the stack.
        unsafe {
            let start = ffi::lua_tolstring(self.l, index, &mut length);
            slice::from_raw_parts(start.cast(), length)
        }
    }

    /// # Safety
    /// There is a table at `index`.
    unsafe fn table(&mut self, index: c_int, depth: usize) -> Result<(), EncodeError> {
        if depth >= MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        // SAFETY: each level needs three slots and every fourth makes room for four levels;
        // `lua_next` sees the table under its key, and keys it returned itself.
        unsafe {
            if depth % 4 <= 1 && ffi::lua_checkstack(self.l, 16) == 0 {
                return Err(EncodeError::StackFull);
            }
            let table = if index < 0 && index > ffi::LUA_REGISTRYINDEX { index - 1 } else { index };
            let start = self.out.len();
            let base = self.entries.len();
            let mut is_list = true;
            let mut position = 1.0;
            self.out.push(b'l');
            ffi::lua_pushnil(self.l);
            while ffi::lua_next(self.l, table) != 0 {
                if is_list
                    && ffi::lua_type(self.l, -2) == ffi::LUA_TNUMBER
                    && ffi::lua_tonumber(self.l, -2) == position
                {
                    self.value(-1, depth + 1)?;
                    position += 1.0;
                } else {
                    if is_list {
                        is_list = false;
                        self.list_to_entries(start + 1);
                    }
                    self.entry(depth)?;
                }
                ffi::lua_settop(self.l, -2);
            }
            if !is_list {
                self.sort_entries(start, base);
            }
        }
        self.out.push(b'e');
        Ok(())
    }

    /// Appends the key and value on top of the stack.
    ///
    /// # Safety
    /// A key and its value are on top of the stack.
    unsafe fn entry(&mut self, depth: usize) -> Result<(), EncodeError> {
        let key = self.out.len();
        let mut text = key;
        // SAFETY: the key is at -2, the value at -1.
        let (class, rank) = unsafe {
            match ffi::lua_type(self.l, -2) {
                ffi::LUA_TSTRING => {
                    let bytes = self.bytes(-2);
                    write_string(self.out, bytes);
                    text = self.out.len() - bytes.len();
                    let mut prefix = [0; 8];
                    let shared = bytes.len().min(8);
                    prefix[..shared].copy_from_slice(&bytes[..shared]);
                    (Class::String, u64::from_be_bytes(prefix))
                }
                ffi::LUA_TNUMBER => {
                    let number = ffi::lua_tonumber(self.l, -2);
                    write_number(self.out, number);
                    (Class::Number, number_rank(number))
                }
                kind => {
                    self.value(-2, depth + 1)?;
                    let class = if kind == ffi::LUA_TBOOLEAN { Class::Boolean } else { Class::Table };
                    (class, 0)
                }
            }
        };
        let value = self.out.len();
        // SAFETY: as above.
        unsafe { self.value(-1, depth + 1)? };
        self.entries.push(Entry { class, rank, key, text, value, end: self.out.len() });
        Ok(())
    }

    /// Turns the list items written from `start` on into entries with the keys 1, 2, ...
    fn list_to_entries(&mut self, start: usize) {
        let mut cursor = Cursor { data: self.out, offset: start };
        let mut number = 1.0;
        while cursor.offset < self.out.len() {
            let value = cursor.offset;
            cursor.skip_value().expect("items were just written");
            let (key, end) = (value, cursor.offset);
            let rank = number_rank(number);
            self.entries.push(Entry { class: Class::Number, rank, key, text: key, value, end });
            number += 1.0;
        }
    }

    /// Brings the entries from `base` on into their order, in a dictionary starting at `start`;
    /// makes it a list if their keys are 1..n after all.
    fn sort_entries(&mut self, start: usize, base: usize) {
        let out = &mut *self.out;
        let entries = &mut self.entries[base..];
        entries.sort_unstable_by(|a, b| {
            (a.class, a.rank)
                .cmp(&(b.class, b.rank))
                .then_with(|| out[a.text..a.value].cmp(&out[b.text..b.value]))
                // Different tables as keys can look the same.
                .then_with(|| out[a.value..a.end].cmp(&out[b.value..b.end]))
        });
        let is_list = (1u32..)
            .zip(entries.iter())
            .all(|(n, e)| e.class == Class::Number && e.rank == number_rank(f64::from(n)));
        let in_place = entries.iter().all(|e| e.key < e.value)
            && entries.windows(2).all(|pair| pair[0].end == pair[1].key);
        if !is_list {
            out[start] = b'd';
        }
        if is_list || !in_place {
            let end = out.len();
            out.reserve(end - start);
            for entry in entries.iter() {
                if is_list {
                    out.extend_from_within(entry.value..entry.end);
                } else {
                    if entry.key == entry.value {
                        write_number(out, rank_number(entry.rank));
                    }
                    out.extend_from_within(entry.key..entry.end);
                }
            }
            out.drain(start + 1..end);
        }
        self.entries.truncate(base);
    }
}

const SIGN: u64 = 1 << 63;

/// Maps numbers to integers of the same order.
fn number_rank(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits & SIGN != 0 { !bits } else { bits | SIGN }
}

fn rank_number(rank: u64) -> f64 {
    f64::from_bits(if rank & SIGN != 0 { rank & !SIGN } else { !rank })
}
