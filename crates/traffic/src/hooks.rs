//! Where hooks take part: what they are called with and what they answer. Each worker thread has
//! its own [`Hooks`], made in that thread by the [`HookFactory`] of the test.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::error::Error;

/// Room for control messages, bytes.
pub const CONTROL_BYTES: usize = 512;

/// An address with what `getaddrinfo` says beside it: `struct addrinfo`.
#[derive(Debug, Clone)]
pub struct AddrInfo {
    /// `AI_*`.
    pub flags: i32,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub socktype: i32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: i32,
    /// What is bound or connected to.
    pub address: SocketAddr,
    /// The name that was looked up.
    pub canonical_name: Option<String>,
}

impl AddrInfo {
    /// `AF_INET` or `AF_INET6`.
    pub fn family(&self) -> i32 {
        match self.address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        }
    }
}

/// Control messages must begin where a header may.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// What `recvmsg(2)` and `sendmsg(2)` work on: `struct msghdr` with its one buffer. A worker has
/// one for all its flows.
pub struct Message {
    buffer: Box<[u8]>,
    /// Bytes of the buffer in use: `iov_len`.
    pub length: usize,
    control: Box<Control>,
    /// `msg_controllen`; before a call the room there is, afterwards what was filled.
    pub control_length: usize,
    /// Where a datagram came from, or goes to.
    pub name: Option<SocketAddr>,
    /// `msg_flags`, set by a receiving call.
    pub flags: i32,
}

impl Message {
    /// With a buffer of so many bytes.
    pub fn new(bytes: usize) -> Message {
        Message {
            buffer: vec![0; bytes].into_boxed_slice(),
            length: bytes,
            control: Box::new(Control([0; CONTROL_BYTES])),
            control_length: 0,
            name: None,
            flags: 0,
        }
    }

    /// The buffer, as far as it is in use.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// The control messages of the last call.
    pub fn control(&self) -> &[u8] {
        &self.control.0[..self.control_length.min(CONTROL_BYTES)]
    }

    /// Makes it ready to receive: so many bytes, room for control messages, no address.
    pub(crate) fn for_receiving(&mut self, length: usize) {
        self.length = length.min(self.buffer.len());
        self.control_length = CONTROL_BYTES;
        self.name = None;
        self.flags = 0;
    }

    /// Makes it ready to send: so many bytes, to `name` if the socket has no peer.
    pub(crate) fn for_sending(&mut self, length: usize, name: Option<SocketAddr>) {
        self.length = length.min(self.buffer.len());
        self.control_length = 0;
        self.name = name;
        self.flags = 0;
    }

    /// `recvmsg(2)` into this message.
    pub fn receive(&mut self, fd: RawFd, flags: i32) -> io::Result<usize> {
        let mut name = crate::net::RawAddress::empty();
        let mut part = libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: self.length };
        // SAFETY: all zeros is a header without name, buffers or control messages.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = name.room();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = self.control.0.as_mut_ptr().cast();
        header.msg_controllen = self.control_length.min(CONTROL_BYTES);
        // SAFETY: every pointer of the header leads to memory of the length beside it, which lives
        // through the call.
        let count = unsafe { libc::recvmsg(fd, &raw mut header, flags) };
        if count < 0 {
            self.control_length = 0;
            return Err(io::Error::last_os_error());
        }
        self.control_length = header.msg_controllen;
        self.flags = header.msg_flags;
        self.name = name.get(header.msg_namelen);
        Ok(count as usize)
    }

    /// `sendmsg(2)` of this message, without control messages.
    pub fn send(&mut self, fd: RawFd, flags: i32) -> io::Result<usize> {
        let name = self.name.map(socket2::SockAddr::from);
        let mut part = libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: self.length };
        // SAFETY: as above.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        if let Some(name) = &name {
            header.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_namelen = name.len();
        }
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        // SAFETY: as above; the kernel only reads what `msg_name` leads to.
        let count = unsafe { libc::sendmsg(fd, &raw const header, flags | libc::MSG_NOSIGNAL) };
        if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
    }
}

/// What there are hooks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// After `socket(2)`.
    Socket,
    /// Before `close(2)`.
    Close,
    /// In place of a write.
    Sendmsg,
    /// In place of a read.
    Recvmsg,
    /// When the error queue has something.
    Recverr,
}

impl Hook {
    /// All of them.
    pub const ALL: [Hook; 5] = [Hook::Socket, Hook::Close, Hook::Sendmsg, Hook::Recvmsg, Hook::Recverr];

    /// `socket`, `close`, `sendmsg`, `recvmsg`, `recverr`.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Socket => "socket",
            Hook::Close => "close",
            Hook::Sendmsg => "sendmsg",
            Hook::Recvmsg => "recvmsg",
            Hook::Recverr => "recverr",
        }
    }
}

/// The hooks of one worker thread.
pub trait Hooks {
    /// Whether there is such a hook: the others are never called.
    fn has(&self, hook: Hook) -> bool;
    /// Called after a socket was made ([`Hook::Socket`]) or before it is closed ([`Hook::Close`]).
    fn socket(&mut self, hook: Hook, fd: RawFd, address: &AddrInfo) -> Result<(), Error>;
    /// Reads or writes. The inner error is one of the socket, which is met as if a plain read or
    /// write had failed so; the outer one ends the test.
    fn packet(
        &mut self,
        hook: Hook,
        fd: RawFd,
        message: &mut Message,
        flags: i32,
    ) -> Result<io::Result<usize>, Error>;
    /// The thread is about to end.
    fn finish(&mut self) -> Result<(), Error>;
}

/// Makes the hooks of each worker thread, in that thread.
pub trait HookFactory: Sync {
    /// The hooks of one worker; `None`: it has none.
    fn open(&self, worker: usize) -> Result<Option<Box<dyn Hooks + '_>>, Error>;
    /// Called from the thread that started the test when a worker has not ended though it was
    /// told to: whatever it runs should be cut short.
    fn interrupt(&self) {}
}

/// No hooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

impl HookFactory for NoHooks {
    fn open(&self, _worker: usize) -> Result<Option<Box<dyn Hooks + '_>>, Error> {
        Ok(None)
    }
}
