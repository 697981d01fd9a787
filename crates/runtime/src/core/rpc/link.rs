//! What the carriers ask of the network, with the instance's byte counts and limits applied.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::call::{literal, port_at};
use crate::codec::llenc::{self, Parsed};
use crate::core::socket::guard::{self, Restricted};
use crate::driver::{Family, SocketId, SocketOption, Transport};
use crate::vm::{Ctx, Kind, NativeResult, Return, Stack, add};

/// LuaSocket's text for an error.
pub fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => "closed".to_owned(),
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::TimedOut => "timeout".to_owned(),
        _ => crate::core::socket::text(error),
    }
}

/// `nil, error`.
pub fn nil_error(stack: Stack, error: &str) -> NativeResult {
    stack.push_nil();
    stack.push_str(error);
    Ok(Return::Values(2))
}

/// Family of an address.
pub fn family(address: &IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Reads what a server is to listen on: a port (any address) or a node.
pub fn listen_address(stack: Stack, index: i32) -> Result<(IpAddr, u16), String> {
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if stack.kind(index) != Kind::Table {
        let port = port_at(stack, index).ok_or("invalid port")?;
        return Ok((ANY, port));
    }
    stack.field(index, c"port");
    stack.field(index, c"ip");
    let port = port_at(stack, -2).ok_or_else(|| "parameter array without ip or port".to_owned());
    // A name is the host's own: any address serves it.
    let address = stack.bytes(-1).and_then(literal).unwrap_or(ANY);
    stack.pop(2);
    Ok((address, port?))
}

fn restricted(refused: Restricted) -> io::Error {
    io::Error::other(refused)
}

/// Opens a socket.
pub fn open(cx: &Ctx, transport: Transport, family: Family) -> Result<SocketId, String> {
    guard::open(cx, transport).map_err(|refused| refused.to_string())?;
    let opened = cx.driver().open(cx.owner(), transport, family);
    opened.map_err(|error| {
        guard::closed(cx, transport);
        text(&error)
    })
}

/// Closes a socket that [`open`], [`listen`] or [`accept`] gave.
pub fn close(cx: &Ctx, transport: Transport, socket: SocketId) {
    guard::closed(cx, transport);
    cx.close_socket(socket);
}

/// Accepts a connection. One beyond the instance's limit is closed.
pub fn accept(cx: &Ctx, listener: SocketId) -> io::Result<(SocketId, SocketAddr)> {
    let (socket, from) = cx.driver().accept(listener)?;
    match guard::open(cx, Transport::Tcp) {
        Ok(()) => Ok((socket, from)),
        Err(refused) => {
            cx.driver().close(socket);
            Err(restricted(refused))
        }
    }
}

/// The address to bind where a program asked for `address`.
fn permitted(cx: &Ctx, mut address: SocketAddr) -> SocketAddr {
    if let Some(ip) = guard::local_ip(cx).filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
        address.set_ip(ip);
    }
    address
}

/// Binds a UDP socket.
pub fn bind(cx: &Ctx, socket: SocketId, address: SocketAddr) -> Result<(), String> {
    let address = permitted(cx, address);
    cx.driver().bind(socket, address).map_err(|error| text(&error))
}

/// Opens a listening TCP socket.
pub fn listen(cx: &Ctx, address: SocketAddr, backlog: u32) -> Result<SocketId, String> {
    guard::may_bind(cx, address.port()).map_err(|refused| refused.to_string())?;
    let address = permitted(cx, address);
    let socket = open(cx, Transport::Tcp, family(&address.ip()))?;
    let listening = {
        let mut driver = cx.driver();
        driver
            .set_option(socket, &SocketOption::ReuseAddr(true))
            .and_then(|()| driver.bind(socket, address))
            .and_then(|()| driver.listen(socket, backlog))
    };
    listening.map(|()| socket).map_err(|error| {
        close(cx, Transport::Tcp, socket);
        text(&error)
    })
}

/// Whether the peer may be contacted.
pub fn check_peer(cx: &Ctx, peer: &SocketAddr) -> Result<(), String> {
    guard::may_reach(cx, peer.ip()).map_err(|refused| refused.to_string())
}

/// Sends a datagram; one that cannot or may not be sent is lost, as datagrams are.
pub fn send_to(cx: &Ctx, socket: SocketId, data: &[u8], to: SocketAddr) {
    if guard::may_send(cx, data.len()).is_err() {
        tracing::debug!(%to, "datagram beyond the limit");
        return;
    }
    if guard::drops_datagram(cx) {
        add(&cx.counters.sent_bytes, data.len() as u64);
        return;
    }
    match cx.driver().send_to(socket, data, to) {
        Ok(sent) => add(&cx.counters.sent_bytes, sent as u64),
        Err(error) => tracing::debug!(%to, %error, "datagram lost"),
    }
}

/// Receives a datagram. Those beyond the limit are read and lost.
pub fn recv_from(cx: &Ctx, socket: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (length, from) = cx.driver().recv_from(socket, buffer)?;
    guard::may_receive(cx).map_err(restricted)?;
    add(&cx.counters.received_bytes, length as u64);
    Ok((length, from))
}

/// Sends on a stream.
pub fn send(cx: &Ctx, socket: SocketId, data: &[u8]) -> io::Result<usize> {
    guard::may_send(cx, data.len()).map_err(restricted)?;
    let sent = cx.driver().send(socket, data)?;
    add(&cx.counters.sent_bytes, sent as u64);
    Ok(sent)
}

/// Receives from a stream.
pub fn recv(cx: &Ctx, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
    guard::may_receive(cx).map_err(restricted)?;
    let received = cx.driver().recv(socket, buffer)?;
    add(&cx.counters.received_bytes, received as u64);
    Ok(received)
}

/// Decides whether to try a second read on a ready socket: tries while that pays, and ever more
/// rarely when it does not (a read in vain costs about as much as the wake it may save).
#[derive(Debug, Default)]
pub struct Burst {
    skip: std::cell::Cell<u32>,
    misses: std::cell::Cell<u32>,
}

impl Burst {
    /// Whether to read again now.
    pub fn try_more(&self) -> bool {
        let skip = self.skip.get();
        self.skip.set(skip.saturating_sub(1));
        skip == 0
    }

    /// What the second read found.
    pub fn found(&self, something: bool) {
        let misses = if something { 0 } else { (self.misses.get() * 2).clamp(1, 32) };
        self.misses.set(misses);
        self.skip.set(misses);
    }
}

/// Bytes of a stream on their way in: whole frames are looked at where they were received.
#[derive(Debug, Default)]
pub struct Incoming {
    partial: Vec<u8>,
}

/// Longest frame accepted.
const MAX_FRAME_BYTES: usize = 256 << 20;
/// Bytes asked of the socket at once.
pub const CHUNK_BYTES: usize = 65_536;

thread_local! {
    /// Receive buffers of the worker: several if a handler receives in turn.
    static CHUNKS: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Runs `body` with a receive buffer of [`CHUNK_BYTES`].
pub fn with_chunk<R>(body: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut chunk = CHUNKS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; CHUNK_BYTES]);
    let result = body(&mut chunk);
    CHUNKS.with_borrow_mut(|chunks| chunks.push(chunk));
    result
}

impl Incoming {
    /// Takes received bytes and calls `frame` with every whole frame's payload until it returns
    /// false. `Err`: the stream is not made of frames.
    pub fn feed(&mut self, bytes: &[u8], mut frame: impl FnMut(&[u8]) -> bool) -> Result<(), ()> {
        if self.partial.is_empty() {
            let used = Self::frames(bytes, &mut frame)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            let mut data = std::mem::take(&mut self.partial);
            data.extend_from_slice(bytes);
            let used = Self::frames(&data, &mut frame)?;
            if used == data.len() {
                data = Vec::new();
            } else {
                data.drain(..used);
            }
            self.partial = data;
        }
        Ok(())
    }

    fn frames(data: &[u8], frame: &mut impl FnMut(&[u8]) -> bool) -> Result<usize, ()> {
        let mut used = 0;
        loop {
            match llenc::parse(&data[used..], MAX_FRAME_BYTES) {
                Parsed::Frame { payload } => {
                    let end = used + payload.end;
                    let go_on = frame(&data[used + payload.start..end]);
                    used = end;
                    if !go_on {
                        return Ok(data.len());
                    }
                }
                Parsed::NeedMore { .. } => return Ok(used),
                Parsed::Bad | Parsed::TooLong { .. } => return Err(()),
            }
            if used == data.len() {
                return Ok(used);
            }
        }
    }
}

/// Bytes of a stream on their way out.
#[derive(Debug, Default)]
pub struct Outbound {
    data: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// Where to append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Whether everything has been handed to the network.
    pub fn is_empty(&self) -> bool {
        self.sent == self.data.len()
    }

    /// Sends as much as the socket takes. `Ok(true)`: all.
    pub fn flush(&mut self, cx: &Ctx, socket: SocketId) -> io::Result<bool> {
        while self.sent < self.data.len() {
            match send(cx, socket, &self.data[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.data.clear();
        if self.data.capacity() > CHUNK_BYTES {
            self.data.shrink_to(1024);
        }
        Ok(true)
    }
}
