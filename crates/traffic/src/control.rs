//! The control connection: a client tells the secret and hears the magic number, so that it knows
//! the server's threads are there; when its time is over it says the number and stops writing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

use crate::error::Error;
use crate::net;
use crate::options::Options;
use crate::signal::{Signal, Stop};

/// What a client says first; neper's and rushit's do so as well.
const SECRET: &[u8; 26] = b"neper control port secret\0";

/// A server that is not there by then will not come.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// Time between two attempts.
const RETRY: Duration = Duration::from_millis(100);

/// Someone who says nothing for so long is no client.
const SILENCE: Duration = Duration::from_secs(5);

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// One of the descriptors is ready.
    Ready,
    /// Somebody stopped the test.
    Stopped,
    /// A worker has something to tell.
    Worker,
    /// The time is over.
    Time,
}

/// Waits until one of `descriptors` can be read, or something else wants attention.
pub(crate) fn wait(
    descriptors: &[BorrowedFd<'_>],
    stop: &Stop,
    workers: &Signal,
    until: Option<Instant>,
) -> Result<Woken, Error> {
    loop {
        if stop.is_asked() {
            return Ok(Woken::Stopped);
        }
        let mut polled: Vec<PollFd<'_>> = [stop.signal().as_fd(), workers.as_fd()]
            .into_iter()
            .chain(descriptors.iter().copied())
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout =
            left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(0) => return Ok(Woken::Time),
            Ok(_) if !polled[1].revents().is_empty() => {
                workers.lower();
                return Ok(Woken::Worker);
            }
            Ok(_) if polled[2..].iter().any(|fd| !fd.revents().is_empty()) => return Ok(Woken::Ready),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("poll", "control connections", error.into())),
        }
    }
}

/// A client's control connection.
pub(crate) struct Client {
    stream: TcpStream,
    magic: [u8; 4],
}

impl Client {
    /// Connects, trying for a while, and waits until the server is ready.
    pub(crate) fn connect(options: &Options, stop: &Stop) -> Result<Client, Error> {
        let host = options.host.as_deref().unwrap_or_default();
        let peer = format!("{host}:{}", options.control_port);
        let failed = |reason: &str| Error::Control { peer: peer.clone(), reason: reason.to_owned() };
        let lost = |error: io::Error| failed(&error.to_string());
        let address = net::resolve(host, options.control_port, options.family)?;
        let nobody = Signal::new().map_err(|error| Error::system("eventfd", "", error))?;
        let until = Instant::now() + options.patience.unwrap_or(CONNECT_PATIENCE);
        let stream = loop {
            match attempt(options, address, until) {
                Ok(stream) => break stream,
                Err(AttemptError::Other(error)) => return Err(error),
                Err(AttemptError::Connect(error)) if Instant::now() + RETRY >= until => {
                    return Err(lost(error));
                }
                Err(AttemptError::Connect(_)) => {}
            }
            if wait(&[], stop, &nobody, Some(Instant::now() + RETRY))? == Woken::Stopped {
                return Err(Error::Stopped);
            }
        };
        let mut client = Client { stream, magic: options.magic.to_be_bytes() };
        client.stream.write_all(SECRET).map_err(lost)?;
        if wait(&[client.stream.as_fd()], stop, &nobody, Some(until + SILENCE))? == Woken::Stopped {
            return Err(Error::Stopped);
        }
        let mut said = [0; 4];
        let _ = client.stream.set_read_timeout(Some(SILENCE));
        client.stream.read_exact(&mut said).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                failed("the server hung up: it has its clients already, or is none")
            }
            _ => lost(error),
        })?;
        if said != client.magic {
            let number = u32::from_be_bytes(said);
            return Err(failed(&format!("magic mismatch: {} expected, {number} received", options.magic)));
        }
        Ok(client)
    }

    /// Tells the server that this client's time is over.
    pub(crate) fn finish(mut self) {
        // If the server is gone there is nobody to tell.
        let _ = self.stream.write_all(&self.magic);
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

enum AttemptError {
    Connect(io::Error),
    Other(Error),
}

fn attempt(
    options: &Options,
    address: std::net::SocketAddr,
    until: Instant,
) -> Result<TcpStream, AttemptError> {
    let (socket, _) = net::open(options, address, false).map_err(AttemptError::Other)?;
    net::bind_local(options, &socket).map_err(AttemptError::Other)?;
    let patience = until.saturating_duration_since(Instant::now()).clamp(RETRY, net::CONNECT_PATIENCE);
    socket.connect_timeout(&address.into(), patience).map_err(AttemptError::Connect)?;
    socket.set_nonblocking(false).map_err(AttemptError::Connect)?;
    Ok(socket.into())
}

/// What a server knows of one that connected.
struct Guest {
    stream: TcpStream,
    since: Instant,
    heard: Vec<u8>,
    accepted: bool,
}

/// A server's side: where clients come to.
pub(crate) struct Server {
    listener: Socket,
    magic: [u8; 4],
    wanted: usize,
    accepted: usize,
    finished: usize,
    guests: Vec<Guest>,
    /// Those that did not know the secret.
    pub(crate) invalid: u64,
}

impl Server {
    /// Listens.
    pub(crate) fn listen(options: &Options) -> Result<Server, Error> {
        let address = net::listening(options, options.control_port)?;
        let (listener, _) = net::open(options, address, false)?;
        listener
            .set_reuse_address(true)
            .map_err(|error| Error::system("setsockopt", "SO_REUSEADDR", error))?;
        net::bind(options, &listener, address)?;
        listener.listen(128).map_err(|error| Error::system("listen", address, error))?;
        Ok(Server {
            listener,
            magic: options.magic.to_be_bytes(),
            wanted: options.num_clients,
            accepted: 0,
            finished: 0,
            guests: Vec::new(),
            invalid: 0,
        })
    }

    /// Serves clients until all of them have finished or a worker or somebody else wants attention.
    pub(crate) fn serve(
        &mut self,
        stop: &Stop,
        workers: &Signal,
        until: Option<Instant>,
    ) -> Result<Option<Woken>, Error> {
        while self.finished < self.wanted {
            let mut descriptors = vec![self.listener.as_fd()];
            descriptors.extend(self.guests.iter().map(|guest| guest.stream.as_fd()));
            let silent =
                self.guests.iter().filter(|guest| !guest.accepted).map(|guest| guest.since + SILENCE);
            let patience = until.filter(|_| self.accepted < self.wanted);
            let next = silent.chain(patience).min();
            match wait(&descriptors, stop, workers, next)? {
                Woken::Ready => self.look(),
                Woken::Time if patience.is_some_and(|until| Instant::now() >= until) => {
                    return Ok(Some(Woken::Time));
                }
                Woken::Time => self.look(),
                other => return Ok(Some(other)),
            }
        }
        Ok(None)
    }

    fn look(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            let _ = socket.set_nonblocking(true);
            let stream = TcpStream::from(socket);
            self.guests.push(Guest { stream, since: Instant::now(), heard: Vec::new(), accepted: false });
        }
        let mut guests = std::mem::take(&mut self.guests);
        guests.retain_mut(|guest| self.keeps(guest));
        self.guests = guests;
    }

    /// Hears one guest; false if it is done with.
    fn keeps(&mut self, guest: &mut Guest) -> bool {
        let mut bytes = [0; 64];
        let ended = loop {
            match guest.stream.read(&mut bytes) {
                Ok(0) => break true,
                Ok(count) => guest.heard.extend(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
            if guest.heard.len() > SECRET.len() + self.magic.len() {
                break true;
            }
        };
        if !guest.accepted {
            let length = guest.heard.len().min(SECRET.len());
            let wrong = guest.heard[..length] != SECRET[..length];
            if wrong || ended && length < SECRET.len() || guest.since.elapsed() >= SILENCE {
                self.invalid += 1;
                return false;
            }
            if length < SECRET.len() {
                return true;
            }
            if self.accepted >= self.wanted || guest.stream.write_all(&self.magic).is_err() {
                return false;
            }
            guest.accepted = true;
            self.accepted += 1;
        }
        let done = guest.heard.len() >= SECRET.len() + self.magic.len() || ended;
        self.finished += usize::from(done);
        !done
    }
}
