//! Bencode with SPLAY's extensions, read from and written to the raw Lua stack.
//!
//! | Lua value | bytes |
//! |---|---|
//! | `nil`, `true`, `false` | `n`, `t`, `f` |
//! | string | `<length>:<bytes>` |
//! | number | `i` digits `e`; fractions in plain decimal notation, `iinfe`, `i-infe`, `inane` |
//! | table whose keys are exactly 1..n | `l` items `e` |
//! | any other table | `d` (key value)* `e` |
//!
//! Keys are written in one order whatever the table's own: numbers ascending, strings bytewise
//! (as BitTorrent wants them), `false`, `true`, then tables by their bytes. Decoders here accept
//! any order, duplicates (the last one wins) and everything older encoders wrote.
//!
//! Nothing here allocates from a length found in the input, and nesting is bounded, so hostile
//! bytes cost at most time linear in their number.

mod decode;
mod encode;
mod reader;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_list_values, decode_list_values_from};
pub use encode::{encode, encode_range, write_integer, write_string};
pub use reader::{Items, Reader, Value, skip};

/// Deepest nesting of tables. Far beyond what messages use, and small enough for the native
/// stack of a thread.
pub const MAX_DEPTH: usize = 128;

/// Most values [`decode_list_values`] puts on a Lua stack: half of what LuaJIT allows one C
/// function.
pub const MAX_VALUES: usize = 4000;

/// Why a value could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Functions, userdata, threads and cdata have no encoding.
    #[error("cannot encode a {0} value")]
    Unsupported(&'static str),
    /// Nested beyond [`MAX_DEPTH`], which every cyclic table is.
    #[error("table is cyclic or nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The Lua stack cannot grow.
    #[error("no room on the Lua stack")]
    StackFull,
}

/// Why bytes are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("truncated data")]
    Truncated,
    /// A byte that starts no value.
    #[error("unexpected byte 0x{byte:02x} at offset {offset}")]
    Unexpected {
        /// The byte.
        byte: u8,
        /// Where it is.
        offset: usize,
    },
    /// Text between `i` and `e` that is no number.
    #[error("malformed number at offset {offset}")]
    BadNumber {
        /// Where the text starts.
        offset: usize,
    },
    /// A string length that is no length.
    #[error("malformed string length at offset {offset}")]
    BadLength {
        /// Where the length starts.
        offset: usize,
    },
    /// A dictionary key that Lua does not allow: nil or not-a-number.
    #[error("invalid dictionary key at offset {offset}")]
    BadKey {
        /// Where the key starts.
        offset: usize,
    },
    /// Nested beyond [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More values than [`MAX_VALUES`], or the Lua stack cannot grow.
    #[error("too many values")]
    TooManyValues,
}
