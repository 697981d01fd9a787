//! Requests and their replies.

use crate::buffer::{u16_at, u32_at, u64_at};
use crate::session::{Event, Fault, Session};
use crate::wire::{self, CONTEXT_ID, Errno, MAX_PAYLOAD_BYTES, REQUEST_BYTES, chunk, command, flag};

/// What a request asks for; ranges are within the export and not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Answer with [`Session::reply_read`].
    Read,
    /// The bytes are [`Session::payload`] until the session is used again.
    Write,
    /// What is written has to be durable before the reply.
    Flush,
    /// The range may be given up.
    Trim,
    /// The range will be read soon.
    Cache,
    /// The range is to be zeroes. `may_trim`: it may become a hole. `fast`: only if that is faster
    /// than writing.
    WriteZeroes {
        /// It may become a hole.
        may_trim: bool,
        /// Only if it is faster than writing; answer ENOTSUP otherwise.
        fast: bool,
    },
    /// Answer with [`Session::reply_extents`].
    Extents {
        /// One is enough.
        one: bool,
    },
}

/// What a reply needs to know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    cookie: u64,
    offset: u64,
    length: u32,
    kind: u16,
    one: bool,
}

/// A request that the export can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub command: Command,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
    /// What was written has to be durable before the reply.
    pub fua: bool,
    /// For the reply.
    pub ticket: Ticket,
}

/// A run of bytes that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub length: u64,
    /// Nothing is allocated.
    pub hole: bool,
    /// It reads as zeroes.
    pub zero: bool,
}

impl Extent {
    fn status(self) -> u32 {
        u32::from(self.hole) | u32::from(self.zero) << 1
    }
}

impl Session {
    /// The next request that is not answered here.
    pub(crate) fn transmission(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if self.skip > 0 {
                let skipped = self.skip.min(self.incoming.len());
                self.incoming.used(skipped);
                self.skip -= skipped;
            }
            let bytes = self.incoming.bytes();
            if self.skip > 0 || bytes.len() < REQUEST_BYTES {
                let magic = wire::REQUEST_MAGIC.to_be_bytes();
                let begun = if self.skip > 0 { 0 } else { bytes.len().min(4) };
                return match bytes[..begun] == magic[..begun] {
                    true => Ok(None),
                    false => Err(Fault::Magic("no request's magic")),
                };
            }
            if u32_at(bytes, 0) != wire::REQUEST_MAGIC {
                return Err(Fault::Magic("no request's magic"));
            }
            let (flags, kind) = (u16_at(bytes, 4), u16_at(bytes, 6));
            let (cookie, offset, length) = (u64_at(bytes, 8), u64_at(bytes, 16), u32_at(bytes, 24));
            let one = flags & flag::REQ_ONE != 0;
            let ticket = Ticket { cookie, offset, length, kind, one };
            let payload = if kind == command::WRITE { length as usize } else { 0 };
            if kind == command::DISCONNECT {
                self.incoming.used(REQUEST_BYTES);
                return Ok(Some(Event::End));
            }
            match self.check(kind, flags, offset, length) {
                Err(errno) => {
                    self.incoming.used(REQUEST_BYTES);
                    self.skip = payload;
                    self.reply_error(ticket, errno);
                }
                Ok(Some(command)) => {
                    if bytes.len() < REQUEST_BYTES + payload {
                        return Ok(None);
                    }
                    self.incoming.used(REQUEST_BYTES + payload);
                    let fua = flags & flag::FUA != 0 && command != Command::Flush;
                    return Ok(Some(Event::Request(Request { command, offset, length, fua, ticket })));
                }
                // Nothing is known of what is allocated: all of it.
                Ok(None) => {
                    self.incoming.used(REQUEST_BYTES);
                    self.reply_extents(ticket, &[Extent { length: length.into(), hole: false, zero: false }]);
                }
            }
        }
    }

    /// Whether a request is one that this export can do, in nbdkit's order; `None`: it can be
    /// answered here.
    fn check(&self, kind: u16, flags: u16, offset: u64, length: u32) -> Result<Option<Command>, Errno> {
        let can = &self.export.abilities;
        let writes = matches!(kind, command::WRITE | command::TRIM | command::WRITE_ZEROES);
        if writes && !can.write {
            return Err(Errno::Eperm);
        }
        match kind {
            command::READ
            | command::WRITE
            | command::TRIM
            | command::CACHE
            | command::WRITE_ZEROES
            | command::BLOCK_STATUS => {
                let within = offset.checked_add(length.into()).is_some_and(|end| end <= self.export.size);
                // As nbdkit, for which nothing at all is out of range too.
                if !within || length == 0 {
                    let full = matches!(kind, command::WRITE | command::WRITE_ZEROES);
                    return Err(if full { Errno::Enospc } else { Errno::Einval });
                }
            }
            command::FLUSH if offset != 0 || length != 0 => return Err(Errno::Einval),
            command::FLUSH => {}
            _ => return Err(Errno::Einval),
        }
        let allowed = match kind {
            command::WRITE_ZEROES => flag::NO_HOLE | flag::FAST_ZERO,
            command::READ if self.negotiated.structured => flag::DF,
            command::BLOCK_STATUS => flag::REQ_ONE,
            _ => 0,
        };
        // A client may ask for FUA with anything, as long as it is offered at all.
        let fua = if can.write { flag::FUA } else { 0 };
        if flags & !(allowed | fua) != 0 {
            return Err(Errno::Einval);
        }
        if matches!(kind, command::READ | command::WRITE) && length > MAX_PAYLOAD_BYTES {
            return Err(Errno::Enomem);
        }
        let offered = match kind {
            command::FLUSH => can.flush,
            command::TRIM => can.trim,
            command::CACHE => can.cache,
            command::BLOCK_STATUS => self.negotiated.structured && self.negotiated.contexts_of.is_some(),
            _ => true,
        };
        if !offered {
            return Err(Errno::Einval);
        }
        let fast = flags & flag::FAST_ZERO != 0;
        if fast && !can.fast_zero {
            return Err(Errno::Enotsup);
        }
        Ok(Some(match kind {
            command::READ => Command::Read,
            command::WRITE => Command::Write,
            command::FLUSH => Command::Flush,
            command::TRIM => Command::Trim,
            command::CACHE => Command::Cache,
            command::WRITE_ZEROES => Command::WriteZeroes { may_trim: flags & flag::NO_HOLE == 0, fast },
            _ if can.extents => Command::Extents { one: flags & flag::REQ_ONE != 0 },
            _ => return Ok(None),
        }))
    }

    /// The bytes of the write that [`Session::next_event`] told last.
    pub fn payload(&self, request: &Request) -> &[u8] {
        match request.command {
            Command::Write => self.incoming.behind(request.length as usize),
            _ => &[],
        }
    }

    fn simple(&mut self, cookie: u64, error: u32) {
        let mut reply = [0; 16];
        reply[..4].copy_from_slice(&wire::SIMPLE_REPLY_MAGIC.to_be_bytes());
        reply[4..8].copy_from_slice(&error.to_be_bytes());
        reply[8..].copy_from_slice(&cookie.to_be_bytes());
        self.outgoing.extend_from_slice(&reply);
    }

    fn chunk(&mut self, cookie: u64, kind: u16, length: usize) {
        let mut head = [0; 20];
        head[..4].copy_from_slice(&wire::CHUNK_MAGIC.to_be_bytes());
        head[4..6].copy_from_slice(&chunk::DONE.to_be_bytes());
        head[6..8].copy_from_slice(&kind.to_be_bytes());
        head[8..16].copy_from_slice(&cookie.to_be_bytes());
        head[16..].copy_from_slice(&u32::try_from(length).expect("at most a payload").to_be_bytes());
        self.outgoing.extend_from_slice(&head);
    }

    /// Answers a read. Of more data than was asked for the beginning is taken; less is an error of
    /// the host's, and false is returned and nothing answered.
    #[must_use]
    pub fn reply_read(&mut self, ticket: Ticket, data: &[u8]) -> bool {
        let Some(data) = data.get(..ticket.length as usize) else { return false };
        self.outgoing.reserve(data.len() + 28);
        if self.negotiated.structured {
            self.chunk(ticket.cookie, chunk::OFFSET_DATA, data.len() + 8);
            self.outgoing.extend_from_slice(&ticket.offset.to_be_bytes());
        } else {
            self.simple(ticket.cookie, 0);
        }
        self.outgoing.extend_from_slice(data);
        true
    }

    /// Answers whatever is neither a read nor about extents.
    pub fn reply_done(&mut self, ticket: Ticket) {
        self.simple(ticket.cookie, 0);
    }

    /// Answers anything with an error.
    pub fn reply_error(&mut self, ticket: Ticket, errno: Errno) {
        let structured = self.negotiated.structured;
        if structured && matches!(ticket.kind, command::READ | command::BLOCK_STATUS) {
            self.chunk(ticket.cookie, chunk::ERROR, 6);
            self.outgoing.extend(errno.number().to_be_bytes());
            self.outgoing.extend([0, 0]); // no text
        } else {
            self.simple(ticket.cookie, errno.number());
        }
    }

    /// Tells the extents from the request's first byte on: neighbours that are alike become one, and
    /// what goes beyond the request is cut. Extents that tell nothing of the first byte are an error
    /// of the host's, which the client is told as one.
    pub fn reply_extents(&mut self, ticket: Ticket, extents: &[Extent]) {
        let mut left = u64::from(ticket.length);
        let mut told: Vec<(u32, u32)> = Vec::new();
        for extent in extents.iter().filter(|extent| extent.length > 0) {
            if left == 0 {
                break;
            }
            let length = extent.length.min(left);
            left -= length;
            let length = u32::try_from(length).expect("a part of the request");
            match told.last_mut() {
                Some(last) if last.1 == extent.status() => last.0 += length,
                Some(_) if ticket.one => break,
                _ => told.push((length, extent.status())),
            }
        }
        if told.is_empty() {
            return self.reply_error(ticket, Errno::Eio);
        }
        self.chunk(ticket.cookie, chunk::BLOCK_STATUS, 4 + told.len() * 8);
        self.outgoing.extend(CONTEXT_ID.to_be_bytes());
        for (length, status) in told {
            self.outgoing.extend(length.to_be_bytes());
            self.outgoing.extend(status.to_be_bytes());
        }
    }
}
