//! Numbers of the protocol, as they are on the wire.

/// `NBDMAGIC`
pub const MAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub const CHUNK_MAGIC: u32 = 0x668e_33ef;

/// Bytes of a request without its payload.
pub const REQUEST_BYTES: usize = 28;
/// Bytes of an option without its data.
pub const OPTION_BYTES: usize = 16;

/// Most bytes of one read or write: nbdkit's limit, twice what clients are told to use.
pub const MAX_PAYLOAD_BYTES: u32 = 64 << 20;
/// Most bytes of an option's data: names are at most 4096, and there are at most a few.
pub const MAX_OPTION_BYTES: u32 = 32 << 10;
/// Longest name or description.
pub const MAX_STRING_BYTES: usize = 4096;
/// A client that sends more options does nothing but that.
pub const MAX_OPTIONS: u32 = 1024;

/// Handshake flags, of both sides.
pub mod handshake {
    pub const FIXED_NEWSTYLE: u16 = 1;
    pub const NO_ZEROES: u16 = 2;
}

/// Options of the handshake.
pub mod option {
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const STARTTLS: u32 = 5;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
}

/// Replies to options.
pub mod reply {
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    pub const ERR_UNSUP: u32 = (1 << 31) + 1;
    pub const ERR_POLICY: u32 = (1 << 31) + 2;
    pub const ERR_INVALID: u32 = (1 << 31) + 3;
    pub const ERR_TLS_REQD: u32 = (1 << 31) + 5;
    pub const ERR_UNKNOWN: u32 = (1 << 31) + 6;
    pub const ERR_TOO_BIG: u32 = (1 << 31) + 9;
}

/// Items of information about an export.
pub mod info {
    pub const EXPORT: u16 = 0;
    pub const NAME: u16 = 1;
    pub const DESCRIPTION: u16 = 2;
    pub const BLOCK_SIZE: u16 = 3;
}

/// Transmission flags: what an export can do.
pub mod ability {
    pub const HAS_FLAGS: u16 = 1;
    pub const READ_ONLY: u16 = 1 << 1;
    pub const FLUSH: u16 = 1 << 2;
    pub const FUA: u16 = 1 << 3;
    pub const ROTATIONAL: u16 = 1 << 4;
    pub const TRIM: u16 = 1 << 5;
    pub const WRITE_ZEROES: u16 = 1 << 6;
    pub const DF: u16 = 1 << 7;
    pub const MULTI_CONN: u16 = 1 << 8;
    pub const CACHE: u16 = 1 << 10;
    pub const FAST_ZERO: u16 = 1 << 11;
}

/// Types of requests.
pub mod command {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISCONNECT: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const CACHE: u16 = 5;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
}

/// Flags of requests.
pub mod flag {
    pub const FUA: u16 = 1;
    pub const NO_HOLE: u16 = 2;
    pub const DF: u16 = 4;
    pub const REQ_ONE: u16 = 8;
    pub const FAST_ZERO: u16 = 16;
}

/// Chunks of structured replies.
pub mod chunk {
    pub const DONE: u16 = 1;
    pub const OFFSET_DATA: u16 = 1;
    pub const BLOCK_STATUS: u16 = 5;
    pub const ERROR: u16 = 0x8001;
}

/// The only metadata context there is.
pub const BASE_ALLOCATION: &[u8] = b"base:allocation";
/// The number that `base:allocation` has in replies, once it was asked for.
pub const CONTEXT_ID: u32 = 1;

/// Errors that a reply can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the operating system's names
pub enum Errno {
    Eperm,
    Eio,
    Enomem,
    Einval,
    Enospc,
    Eoverflow,
    Enotsup,
    Eshutdown,
}

impl Errno {
    /// Its number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Errno::Eperm => 1,
            Errno::Eio => 5,
            Errno::Enomem => 12,
            Errno::Einval => 22,
            Errno::Enospc => 28,
            Errno::Eoverflow => 75,
            Errno::Enotsup => 95,
            Errno::Eshutdown => 108,
        }
    }

    /// The error of a name of the operating system, `ENOSPC`; those that no reply can carry become
    /// what clients are used to in their place. `None` for what is no such name.
    pub fn named(name: &str) -> Option<Errno> {
        Some(match name {
            "EPERM" | "EACCES" | "EROFS" => Errno::Eperm,
            "EIO" | "ETIMEDOUT" | "ENODEV" | "ENXIO" => Errno::Eio,
            "ENOMEM" => Errno::Enomem,
            "EINVAL" => Errno::Einval,
            "ENOSPC" | "EDQUOT" | "EFBIG" => Errno::Enospc,
            "EOVERFLOW" => Errno::Eoverflow,
            "ENOTSUP" | "EOPNOTSUPP" => Errno::Enotsup,
            "ESHUTDOWN" => Errno::Eshutdown,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_name() {
        assert_eq!(Errno::named("ENOSPC").map(Errno::number), Some(28));
        assert_eq!(Errno::named("EROFS"), Some(Errno::Eperm));
        assert_eq!(Errno::named("nonsense"), None);
    }
}
