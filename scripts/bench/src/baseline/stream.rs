//! Length-prefixed frames over one lasting connection; what one wake produced goes out in one write.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{FRAME_REPLY, FRAME_REQUEST, Poll, listener, no_delay, socket, tried};

const CLIENT: u64 = 0;

/// One end of the connection.
struct End {
    socket: OwnedFd,
    /// Received and not yet taken apart.
    incoming: Vec<u8>,
    /// To be written at the end of the turn.
    outgoing: Vec<u8>,
}

impl End {
    fn new(socket: OwnedFd) -> End {
        End { socket, incoming: Vec::with_capacity(65_536), outgoing: Vec::with_capacity(65_536) }
    }

    /// Reads what is there and hands each whole frame on.
    fn frames(&mut self, mut frame: impl FnMut(&[u8], &mut Vec<u8>)) -> anyhow::Result<()> {
        let mut buffer = [0_u8; 16_384];
        if let Some((length, _)) = tried(net::recv(&self.socket, &mut buffer, RecvFlags::empty()))? {
            ensure!(length > 0, "the connection was closed");
            self.incoming.extend_from_slice(&buffer[..length]);
        }
        let mut taken = 0;
        while let Some((header, body)) = split_frame(&self.incoming[taken..])? {
            let whole = &self.incoming[taken..taken + header + body];
            taken += header + body;
            frame(whole, &mut self.outgoing);
        }
        self.incoming.drain(..taken);
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if !self.outgoing.is_empty() {
            let sent = net::send(&self.socket, &self.outgoing, SendFlags::NOSIGNAL)?;
            ensure!(sent == self.outgoing.len(), "the send buffer is smaller than one turn");
            self.outgoing.clear();
        }
        Ok(())
    }
}

/// Lengths of the header and the body of a frame that is wholly there.
fn split_frame(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let body: usize = std::str::from_utf8(&bytes[..newline])?.parse().context("length of a frame")?;
    Ok((bytes.len() > newline + body).then_some((newline + 1, body)))
}

/// Both ends of one connection and what watches them.
pub(super) struct Pair {
    poll: Poll,
    client: End,
    server: End,
}

impl Pair {
    pub(super) fn new() -> anyhow::Result<Pair> {
        let poll = Poll::new()?;
        let (listener, address) = listener()?;
        let client = socket(SocketType::STREAM)?;
        match net::connect(&client, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // On the loopback interface the connection is already waiting.
        let server = net::accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        no_delay(&client)?;
        no_delay(&server)?;
        poll.add(client.as_fd(), CLIENT, EventFlags::IN)?;
        poll.add(server.as_fd(), CLIENT + 1, EventFlags::IN)?;
        Ok(Pair { poll, client: End::new(client), server: End::new(server) })
    }

    /// Makes `calls` calls, at most `flight` unanswered at a time.
    pub(super) fn round(&mut self, calls: u32, flight: u32) -> anyhow::Result<()> {
        let (mut sent, mut answered) = (flight.min(calls), 0);
        for _ in 0..sent {
            self.client.outgoing.extend_from_slice(FRAME_REQUEST);
        }
        self.client.flush()?;
        while answered < calls {
            self.poll.wait()?;
            for at in 0..self.poll.ready.len() {
                if self.poll.ready[at].data.u64() == CLIENT {
                    let mut wrong = false;
                    self.client.frames(|frame, out| {
                        wrong |= frame != FRAME_REPLY;
                        answered += 1;
                        if sent < calls {
                            sent += 1;
                            out.extend_from_slice(FRAME_REQUEST);
                        }
                    })?;
                    ensure!(!wrong, "not the reply");
                    self.client.flush()?;
                } else {
                    let mut wrong = false;
                    self.server.frames(|frame, out| {
                        wrong |= frame != FRAME_REQUEST;
                        out.extend_from_slice(FRAME_REPLY);
                    })?;
                    ensure!(!wrong, "not the request");
                    self.server.flush()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_where_they_end() {
        assert_eq!(split_frame(b"").unwrap(), None);
        assert_eq!(split_frame(b"3").unwrap(), None);
        assert_eq!(split_frame(b"3\nab").unwrap(), None);
        assert_eq!(split_frame(b"3\nabc").unwrap(), Some((2, 3)));
        assert_eq!(split_frame(b"3\nabc2\n").unwrap(), Some((2, 3)));
        assert!(split_frame(b"x\n").is_err());
    }

    #[test]
    fn the_sample_frames_are_whole() {
        for frame in [FRAME_REQUEST, FRAME_REPLY, super::super::CALL_REQUEST, super::super::CALL_REPLY] {
            let (header, body) = split_frame(frame).unwrap().unwrap();
            assert_eq!(header + body, frame.len());
        }
    }
}
