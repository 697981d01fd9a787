//! The server's side of rpcq: calls of one connection run concurrently; a call that ran is not
//! run again when its caller reconnects and repeats it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::connect::ACCEPT_BURST;
use super::link::{self, Burst, Incoming, Outbound};
use super::serve::{Served, outcome, serve};
use crate::codec::benc::{self, Reader};
use crate::codec::llenc;
use crate::driver::{SocketId, SocketOption, Transport, Watch};
use crate::vm::{Ctx, End, Outcome, Service};

/// Answers kept per caller for repetition: at least any caller's window of unanswered calls.
const ANSWERS_KEPT: usize = 256;
/// Bytes of answers kept per caller.
const ANSWER_BYTES_KEPT: usize = 1 << 20;
/// How long a caller may stay away and still be recognised.
const SESSION_KEPT: Duration = Duration::from_secs(120);

/// What listens on a port.
pub struct Server {
    socket: SocketId,
    me: Weak<Server>,
    max: usize,
    parked: RefCell<VecDeque<(SocketId, SocketAddr)>>,
    connections: RefCell<FxHashMap<SocketId, Rc<Connection>>>,
    /// Callers by their address on their present or last connection.
    sessions: RefCell<FxHashMap<SocketAddr, Rc<Session>>>,
    burst: Burst,
}

/// What is known about one caller, across its connections.
#[derive(Default)]
struct Session {
    connection: RefCell<Weak<Connection>>,
    running: RefCell<FxHashSet<u64>>,
    answers: RefCell<VecDeque<(u64, Vec<u8>)>>,
    answer_bytes: Cell<usize>,
    /// The caller has lost a connection and come back.
    returned: Cell<bool>,
}

struct Connection {
    server: Weak<Server>,
    me: Weak<Connection>,
    socket: SocketId,
    from: Cell<SocketAddr>,
    session: RefCell<Rc<Session>>,
    out: RefCell<Outbound>,
    incoming: RefCell<Incoming>,
    flush_planned: Cell<bool>,
}

impl Server {
    /// Opens a server.
    pub fn open(cx: &Ctx, address: SocketAddr, max: usize, backlog: u32) -> Result<Rc<Server>, String> {
        let socket = link::listen(cx, address, backlog)?;
        let server = Rc::new_cyclic(|me| Server {
            socket,
            me: me.clone(),
            max,
            parked: RefCell::default(),
            connections: RefCell::default(),
            sessions: RefCell::default(),
            burst: Burst::default(),
        });
        cx.watch_service(socket, Watch::Readable, server.clone()).map_err(|error| link::text(&error))?;
        cx.hold();
        Ok(server)
    }

    /// Closes the listener and its connections.
    pub fn stop(&self, cx: &Ctx) {
        link::close(cx, Transport::Tcp, self.socket);
        let open: Vec<SocketId> = self.connections.borrow_mut().drain().map(|(socket, _)| socket).collect();
        for socket in open.into_iter().chain(self.parked.borrow_mut().drain(..).map(|(socket, _)| socket)) {
            link::close(cx, Transport::Tcp, socket);
        }
        cx.unhold();
    }

    fn begin(&self, cx: &Ctx, socket: SocketId, from: SocketAddr) {
        let session = Rc::new(Session::default());
        let connection = Rc::new_cyclic(|me| Connection {
            server: self.me.clone(),
            me: me.clone(),
            socket,
            from: Cell::new(from),
            session: RefCell::new(session.clone()),
            out: RefCell::default(),
            incoming: RefCell::default(),
            flush_planned: Cell::default(),
        });
        session.connection.replace(Rc::downgrade(&connection));
        self.sessions.borrow_mut().insert(from, session);
        let _ = cx.driver().set_option(socket, &SocketOption::NoDelay(true));
        self.connections.borrow_mut().insert(socket, connection.clone());
        if cx.watch_service(socket, Watch::Edge, connection.clone()).is_err() {
            connection.close(cx);
        }
    }
}

impl Service for Server {
    fn ready(&self, cx: &Ctx, socket: SocketId, _readable: bool, _writable: bool) {
        for n in 0..ACCEPT_BURST {
            if n == 1 && !self.burst.try_more() {
                return;
            }
            let accepted = link::accept(cx, socket);
            if n == 1 {
                self.burst.found(accepted.is_ok());
            }
            match accepted {
                Ok((socket, from)) if self.connections.borrow().len() < self.max => {
                    self.begin(cx, socket, from)
                }
                Ok(waiting) => self.parked.borrow_mut().push_back(waiting),
                Err(_) => return,
            }
        }
    }
}

impl Session {
    fn keep(&self, number: u64, frame: Vec<u8>) {
        let mut answers = self.answers.borrow_mut();
        let mut bytes = self.answer_bytes.get() + frame.len();
        answers.push_back((number, frame));
        while answers.len() > ANSWERS_KEPT || (bytes > ANSWER_BYTES_KEPT && answers.len() > 1) {
            if let Some((_, old)) = answers.pop_front() {
                bytes -= old.len();
            }
        }
        self.answer_bytes.set(bytes);
    }
}

impl Connection {
    /// Once closed, its socket id may be another's.
    fn is_open(&self) -> bool {
        self.server.upgrade().is_some_and(|server| {
            server.connections.borrow().get(&self.socket).is_some_and(|open| std::ptr::eq(&**open, self))
        })
    }

    fn close(&self, cx: &Ctx) {
        link::close(cx, Transport::Tcp, self.socket);
        let Some(server) = self.server.upgrade() else { return };
        server.connections.borrow_mut().remove(&self.socket);
        let from = self.from.get();
        let session = self.session.borrow().clone();
        let keep = Rc::downgrade(&server);
        cx.at(
            cx.now() + SESSION_KEPT,
            false,
            Box::new(move |_| {
                let Some(server) = keep.upgrade() else { return };
                let mut sessions = server.sessions.borrow_mut();
                if sessions.get(&from).is_some_and(|found| Rc::ptr_eq(found, &session)) {
                    sessions.remove(&from);
                }
            }),
        );
        let next = server.parked.borrow_mut().pop_front();
        if let Some((socket, from)) = next {
            cx.defer(Box::new(move |cx| server.begin(cx, socket, from)));
        }
    }

    fn frame(&self, cx: &Ctx, frame: &[u8]) -> Option<()> {
        let mut reader = Reader::new(frame).ok()?;
        let (mut number, mut call, mut ping, mut was) = (None, None, false, None);
        while let Some((key, value)) = reader.next_entry().ok()? {
            match key {
                b"n" => number = value.as_number(),
                b"call" => call = Some(value.raw()),
                b"type" => ping = value.as_bytes() == Some(b"ping"),
                b"was" => was = value.as_bytes(),
                _ => {}
            }
        }
        let number = number? as u64;
        if let Some(was) = was {
            self.resume_session(was);
        }
        if ping {
            self.send(cx, number, |out| out.extend_from_slice(b"d5:replyt"), false);
            return Some(());
        }
        let session = self.session.borrow().clone();
        if session.running.borrow().contains(&number) {
            return Some(());
        }
        // Numbers repeat only after a caller has come back.
        let known =
            || session.answers.borrow().iter().find(|(n, _)| *n == number).map(|(_, frame)| frame.clone());
        if session.returned.get()
            && let Some(known) = known()
        {
            self.out.borrow_mut().buffer().extend_from_slice(&known);
            self.plan_flush(cx);
            return Some(());
        }
        session.running.borrow_mut().insert(number);
        let answer = |session| Answer { session, number };
        match serve(cx, call?, || Box::new(answer(session.clone()))) {
            Served::Running => {}
            Served::Results(results) => answer(session).send(cx, |out| {
                out.extend_from_slice(&results);
                Ok(())
            }),
            Served::Error(error) => answer(session).send(cx, |_| Err(error)),
        }
        Some(())
    }

    /// The caller had another connection: go on with what is known about it.
    fn resume_session(&self, was: &[u8]) {
        let was: Option<SocketAddr> = std::str::from_utf8(was).ok().and_then(|text| text.parse().ok());
        let (Some(was), Some(server)) = (was, self.server.upgrade()) else { return };
        let mut sessions = server.sessions.borrow_mut();
        if was.ip() != self.from.get().ip() {
            return;
        }
        if let Some(session) = sessions.remove(&was) {
            session.connection.replace(self.me.clone());
            session.returned.set(true);
            sessions.insert(self.from.get(), session.clone());
            self.session.replace(session);
        }
    }

    fn send(&self, cx: &Ctx, number: u64, body: impl FnOnce(&mut Vec<u8>), keep: bool) {
        let mut out = self.out.borrow_mut();
        let start = out.buffer().len();
        llenc::write_frame_with::<()>(out.buffer(), |out| {
            body(out);
            out.extend_from_slice(b"1:n");
            benc::write_integer(out, number as i64);
            out.push(b'e');
            Ok(())
        })
        .expect("writing to memory cannot fail");
        if keep {
            let frame = out.buffer()[start..].to_vec();
            self.session.borrow().keep(number, frame);
        }
        drop(out);
        self.plan_flush(cx);
    }

    fn plan_flush(&self, cx: &Ctx) {
        if !self.flush_planned.replace(true)
            && let Some(me) = self.me.upgrade()
        {
            cx.defer(Box::new(move |cx| {
                me.flush_planned.set(false);
                if me.is_open() {
                    me.flush(cx);
                }
            }));
        }
    }

    fn flush(&self, cx: &Ctx) {
        let sent = self.out.borrow_mut().flush(cx, self.socket);
        if sent.is_err() {
            self.close(cx);
        }
    }
}

impl Service for Connection {
    fn ready(&self, cx: &Ctx, socket: SocketId, readable: bool, writable: bool) {
        if writable {
            self.flush(cx);
        }
        if !readable {
            return;
        }
        let over = link::with_chunk(|chunk| {
            loop {
                match link::recv(cx, socket, chunk) {
                    Ok(0) => return true,
                    Ok(length) => {
                        let mut incoming = self.incoming.take();
                        let mut understood = true;
                        let fed = incoming.feed(&chunk[..length], |frame| {
                            understood = self.frame(cx, frame).is_some();
                            understood
                        });
                        self.incoming.replace(incoming);
                        if fed.is_err() || !understood {
                            return true;
                        }
                        if length < chunk.len() {
                            return false;
                        }
                    }
                    Err(error) => return error.kind() != ErrorKind::WouldBlock,
                }
            }
        });
        if over {
            self.close(cx);
        }
    }
}

/// Sends the outcome of a call to its caller, on whatever connection it has by then.
struct Answer {
    session: Rc<Session>,
    number: u64,
}

impl Answer {
    /// `write` appends the results or gives the error's text.
    fn send(&self, cx: &Ctx, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) {
        self.session.running.borrow_mut().remove(&self.number);
        let body = |out: &mut Vec<u8>| {
            let start = out.len();
            out.extend_from_slice(b"d5:reply");
            if let Err(error) = write(out) {
                out.truncate(start);
                out.extend_from_slice(b"d5:error");
                benc::write_string(out, error.as_bytes());
            }
        };
        let connection = self.session.connection.borrow().upgrade();
        match connection {
            Some(connection) => connection.send(cx, self.number, body, true),
            // The caller is away: it will ask again.
            None => {
                let mut frame = Vec::new();
                llenc::write_frame_with::<()>(&mut frame, |out| {
                    body(out);
                    out.extend_from_slice(b"1:n");
                    benc::write_integer(out, self.number as i64);
                    out.push(b'e');
                    Ok(())
                })
                .expect("writing to memory cannot fail");
                self.session.keep(self.number, frame);
            }
        }
    }
}

impl End for Answer {
    fn ended(self: Box<Self>, cx: &Ctx, ended: Outcome<'_>) {
        self.send(cx, |out| outcome(&ended, out));
    }
}
