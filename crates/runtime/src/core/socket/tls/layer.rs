//! TLS between a socket object and the driver: what the object sends is encrypted, what it
//! receives decrypted. Nothing here waits: what cannot go on is `WouldBlock`.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};

use rustls::Connection;

use super::context::Context;
use crate::core::socket::object::Sock;
use crate::vm::Ctx;

/// Bytes encrypted at once, the largest record.
const RECORD_BYTES: usize = 16 * 1024;

/// Bytes of unread data dropped at once, and how often, when a connection ends.
const DROP_BYTES: usize = 4096;
const MOST_DROPS: usize = 16;

/// What comes before the handshake, what there is after it has begun, and what is left of it.
enum State {
    /// The server's name is known when the handshake begins.
    Prepared {
        context: Context,
        name: String,
    },
    Begun(Box<Connection>),
    /// Why nothing goes any more.
    Broken(String),
}

/// The layer of one socket.
pub(in crate::core::socket) struct Layer {
    state: RefCell<State>,
    /// Received before the layer was there.
    early: RefCell<Vec<u8>>,
}

/// The driver's socket as rustls sees it.
struct Wire<'a> {
    cx: &'a Ctx,
    sock: &'a Sock,
    early: &'a RefCell<Vec<u8>>,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut early = self.early.borrow_mut();
        if early.is_empty() {
            return self.sock.receive_raw(self.cx, buffer);
        }
        let count = buffer.len().min(early.len());
        buffer[..count].copy_from_slice(&early[..count]);
        early.drain(..count);
        Ok(count)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.sock.send_raw(self.cx, data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text of a TLS error, certificates under the words that LuaSec has for them.
fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            let reason = match reason {
                rustls::CertificateError::UnknownIssuer => "unknown issuer".to_owned(),
                rustls::CertificateError::NotValidForName
                | rustls::CertificateError::NotValidForNameContext { .. } => {
                    "not valid for this name".to_owned()
                }
                rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                    "expired".to_owned()
                }
                other => other.to_string(),
            };
            format!("certificate verify failed ({reason})")
        }
        other => format!("tls: {other}"),
    }
}

fn broken(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

impl Layer {
    /// A layer whose handshake is to come; `early` was received already.
    pub(super) fn new(context: Context, name: String, early: Vec<u8>) -> Layer {
        Layer { state: RefCell::new(State::Prepared { context, name }), early: RefCell::new(early) }
    }

    /// Sets the server's name; false after the handshake has begun.
    pub(super) fn set_name(&self, name: &str) -> bool {
        match &mut *self.state.borrow_mut() {
            State::Prepared { name: known, .. } => {
                name.clone_into(known);
                true
            }
            _ => false,
        }
    }

    fn wire<'a>(&'a self, cx: &'a Ctx, sock: &'a Sock) -> Wire<'a> {
        Wire { cx, sock, early: &self.early }
    }

    /// Uses the session of a layer whose handshake is over.
    fn established<T>(&self, use_it: impl FnOnce(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        match &mut *self.state.borrow_mut() {
            State::Begun(connection) if !connection.is_handshaking() => use_it(connection),
            State::Broken(text) => Err(broken(text)),
            _ => Err(broken("handshake not done")),
        }
    }

    /// Takes what has come and hands it to the session; `Ok(0)` is the end of the connection.
    fn take(connection: &mut Connection, wire: &mut Wire<'_>) -> io::Result<usize> {
        let count = connection.read_tls(wire)?;
        if let Err(error) = connection.process_new_packets() {
            // The other side is told why, if it can be.
            let _ = Layer::flush_session(connection, wire);
            return Err(broken(&explain(&error)));
        }
        Ok(count)
    }

    fn flush_session(connection: &mut Connection, wire: &mut Wire<'_>) -> io::Result<()> {
        while connection.wants_write() {
            connection.write_tls(wire)?;
        }
        Ok(())
    }

    /// Goes on with the handshake: `Ok` when it is over.
    pub(super) fn shake_hands(&self, cx: &Ctx, sock: &Sock) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if let State::Prepared { context, name } = &*state {
            let session = context.session(name).map_err(|error| broken(&error.to_string()))?;
            *state = State::Begun(Box::new(session));
        }
        let connection = match &mut *state {
            State::Begun(connection) => connection,
            State::Broken(text) => return Err(broken(text)),
            State::Prepared { .. } => unreachable!("the session has begun above"),
        };
        let mut wire = self.wire(cx, sock);
        let result = loop {
            if let Err(error) = Layer::flush_session(connection, &mut wire) {
                break Err(error);
            }
            if !connection.is_handshaking() {
                break Ok(());
            }
            match Layer::take(connection, &mut wire) {
                Ok(0) => break Err(broken("closed")),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = &result
            && error.kind() != ErrorKind::WouldBlock
        {
            *state = State::Broken(crate::core::socket::object::text(error));
        }
        result
    }

    /// Whether the handshake waits for room to send, not for the other side.
    pub(super) fn wants_write(&self) -> bool {
        matches!(&*self.state.borrow(), State::Begun(connection) if connection.wants_write())
    }

    /// Receives; 0 is the end, whether or not the other side has announced it.
    pub(in crate::core::socket) fn receive(
        &self,
        cx: &Ctx,
        sock: &Sock,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut wire = self.wire(cx, sock);
        let result = self.established(|connection| {
            loop {
                match connection.reader().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                    result => return result,
                }
                let taken = Layer::take(connection, &mut wire);
                if connection.wants_write() {
                    // An answer to a message of the protocol; if there is no room for it now, it
                    // goes with the next thing sent.
                    let _ = Layer::flush_session(connection, &mut wire);
                }
                taken?;
            }
        });
        if let Err(error) = &result
            && error.kind() == ErrorKind::Other
            && let Ok(mut state) = self.state.try_borrow_mut()
            && matches!(&*state, State::Begun(connection) if !connection.is_handshaking())
        {
            *state = State::Broken(error.to_string());
        }
        result
    }

    /// Sends a part of `data`. What was taken may have to be flushed later, see [`Layer::flush`].
    pub(in crate::core::socket) fn send(&self, cx: &Ctx, sock: &Sock, data: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire(cx, sock);
        self.established(|connection| {
            Layer::flush_session(connection, &mut wire)?;
            let count = connection.writer().write(&data[..data.len().min(RECORD_BYTES)])?;
            match Layer::flush_session(connection, &mut wire) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                _ => Ok(count),
            }
        })
    }

    /// Whether encrypted bytes wait for room.
    pub(in crate::core::socket) fn has_unsent(&self) -> bool {
        self.wants_write()
    }

    /// Sends what waits for room.
    pub(in crate::core::socket) fn flush(&self, cx: &Ctx, sock: &Sock) -> io::Result<()> {
        let mut wire = self.wire(cx, sock);
        self.established(|connection| Layer::flush_session(connection, &mut wire))
    }

    /// Whether decrypted or undecrypted bytes wait in the layer.
    pub(in crate::core::socket) fn is_dirty(&self) -> bool {
        if !self.early.borrow().is_empty() {
            return true;
        }
        match &mut *self.state.borrow_mut() {
            State::Begun(connection) => {
                let mut reader = connection.reader();
                matches!(io::BufRead::fill_buf(&mut reader), Ok(bytes) if !bytes.is_empty())
            }
            _ => false,
        }
    }

    /// Announces the end, as far as there is room to. What has come and nobody has read, such as
    /// session tickets, is dropped: closed over it, a connection would be reset, and the other
    /// side lose what was sent last.
    pub(in crate::core::socket) fn finish(&self, cx: &Ctx, sock: &Sock) {
        let mut wire = self.wire(cx, sock);
        let _ = self.established(|connection| {
            connection.send_close_notify();
            Layer::flush_session(connection, &mut wire)?;
            let mut dropped = [0; DROP_BYTES];
            (0..MOST_DROPS).try_for_each(|_| match wire.read(&mut dropped)? {
                0 => Err(broken("closed")),
                _ => Ok(()),
            })
        });
    }

    /// Version, cipher suite and application protocol, once they are agreed on.
    pub(super) fn agreed(&self) -> io::Result<Agreement> {
        self.established(|connection| {
            let version = match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            };
            let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
            Ok(Agreement {
                version,
                cipher: suite.unwrap_or_default().trim_start_matches("TLS13_"),
                alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            })
        })
    }

    /// The other side's certificates in DER form, its own first.
    pub(super) fn peer_certificates(&self) -> io::Result<Vec<Vec<u8>>> {
        self.established(|connection| {
            let chain = connection.peer_certificates().unwrap_or_default();
            Ok(chain.iter().map(|certificate| certificate.to_vec()).collect())
        })
    }
}

/// What a handshake has settled.
pub(super) struct Agreement {
    pub(super) version: &'static str,
    pub(super) cipher: &'static str,
    pub(super) alpn: Option<Vec<u8>>,
}
