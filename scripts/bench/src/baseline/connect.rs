//! One connection a call: connect, request, reply, close.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::ensure;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{CALL_REPLY, CALL_REQUEST, Poll, listener, socket, tried};

const LISTENER: u64 = u64::MAX;

/// What the owner of a connection does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Client: send the request as soon as the connection stands.
    Connecting,
    /// Client: read the reply and close.
    Asked,
    /// Server: read the request, answer.
    Accepted,
    /// Server: wait for the client's close.
    Answered,
}

/// The listener and all connections, both ends.
pub(super) struct Pair {
    poll: Poll,
    listener: OwnedFd,
    address: SocketAddrV4,
    open: Vec<Option<(OwnedFd, Stage)>>,
    free: Vec<usize>,
}

impl Pair {
    pub(super) fn new() -> anyhow::Result<Pair> {
        let poll = Poll::new()?;
        let (listener, address) = listener()?;
        poll.add(listener.as_fd(), LISTENER, EventFlags::IN)?;
        Ok(Pair { poll, listener, address, open: Vec::new(), free: Vec::new() })
    }

    fn keep(&mut self, socket: OwnedFd, stage: Stage, flags: EventFlags) -> anyhow::Result<()> {
        let at = self.free.pop().unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() - 1
        });
        self.poll.add(socket.as_fd(), at as u64, flags)?;
        self.open[at] = Some((socket, stage));
        Ok(())
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let client = socket(SocketType::STREAM)?;
        match net::connect(&client, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.keep(client, Stage::Connecting, EventFlags::IN | EventFlags::OUT | EventFlags::ET)
    }

    /// Makes `calls` calls, at most `flight` unanswered at a time.
    pub(super) fn round(&mut self, calls: u32, flight: u32) -> anyhow::Result<()> {
        let (mut sent, mut answered) = (flight.min(calls), 0);
        for _ in 0..sent {
            self.connect()?;
        }
        while answered < calls {
            self.poll.wait()?;
            for at in 0..self.poll.ready.len() {
                let token = self.poll.ready[at].data.u64();
                if token == LISTENER {
                    self.accept(flight)?;
                } else if self.advance(token as usize)? {
                    answered += 1;
                    if sent < calls {
                        sent += 1;
                        self.connect()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, at_most: u32) -> anyhow::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        for _ in 0..at_most {
            let Some(server) = tried(net::accept_with(&self.listener, flags))? else { break };
            self.keep(server, Stage::Accepted, EventFlags::IN)?;
        }
        Ok(())
    }

    /// Does what the connection is ready for; true when a call has ended.
    fn advance(&mut self, at: usize) -> anyhow::Result<bool> {
        let Some((socket, stage)) = &mut self.open[at] else { return Ok(false) };
        let mut buffer = [0_u8; 8192];
        match *stage {
            Stage::Connecting => {
                net::send(&*socket, CALL_REQUEST, SendFlags::NOSIGNAL)?;
                *stage = Stage::Asked;
                return Ok(false);
            }
            Stage::Asked => {
                let Some((length, _)) = tried(net::recv(&*socket, &mut buffer, RecvFlags::empty()))? else {
                    return Ok(false);
                };
                ensure!(buffer[..length] == *CALL_REPLY, "not the reply");
            }
            Stage::Accepted => {
                let Some((length, _)) = tried(net::recv(&*socket, &mut buffer, RecvFlags::empty()))? else {
                    return Ok(false);
                };
                ensure!(buffer[..length] == *CALL_REQUEST, "not the request");
                net::send(&*socket, CALL_REPLY, SendFlags::NOSIGNAL)?;
                *stage = Stage::Answered;
                return Ok(false);
            }
            Stage::Answered => {
                let Some((length, _)) = tried(net::recv(&*socket, &mut buffer, RecvFlags::empty()))? else {
                    return Ok(false);
                };
                ensure!(length == 0, "more than one request");
            }
        }
        // Closing takes the socket out of the epoll as well.
        let client = *stage == Stage::Asked;
        self.open[at] = None;
        self.free.push(at);
        Ok(client)
    }
}
