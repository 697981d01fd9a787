//! Request and reply as datagrams between two sockets.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::ensure;
use rustix::event::epoll::EventFlags;
use rustix::net::{self, RecvFlags, SendFlags, SocketType};

use super::{DATAGRAM_REPLY, DATAGRAM_REQUEST, Poll, bind_loopback, socket, tried};

const CLIENT: u64 = 0;
const SERVER: u64 = 1;

/// Client, server and what watches both.
pub(super) struct Pair {
    poll: Poll,
    client: OwnedFd,
    server: OwnedFd,
    address: SocketAddrV4,
}

impl Pair {
    pub(super) fn new() -> anyhow::Result<Pair> {
        let poll = Poll::new()?;
        let (client, server) = (socket(SocketType::DGRAM)?, socket(SocketType::DGRAM)?);
        bind_loopback(&client)?;
        let address = bind_loopback(&server)?;
        poll.add(client.as_fd(), CLIENT, EventFlags::IN)?;
        poll.add(server.as_fd(), SERVER, EventFlags::IN)?;
        Ok(Pair { poll, client, server, address })
    }

    fn request(&self) -> anyhow::Result<()> {
        net::sendto(&self.client, DATAGRAM_REQUEST, SendFlags::empty(), &self.address)?;
        Ok(())
    }

    /// Makes `calls` calls, at most `flight` unanswered at a time.
    pub(super) fn round(&mut self, calls: u32, flight: u32) -> anyhow::Result<()> {
        let mut buffer = [0_u8; 8192];
        let (mut sent, mut answered) = (flight.min(calls), 0);
        for _ in 0..sent {
            self.request()?;
        }
        while answered < calls {
            self.poll.wait()?;
            for at in 0..self.poll.ready.len() {
                let server = self.poll.ready[at].data.u64() == SERVER;
                // No more than this can be there, so one call at a time costs one read a wake.
                for _ in 0..flight {
                    if server {
                        let Some((length, _, from)) =
                            tried(net::recvfrom(&self.server, &mut buffer, RecvFlags::empty()))?
                        else {
                            break;
                        };
                        ensure!(buffer[..length] == *DATAGRAM_REQUEST, "not the request");
                        let from = from.expect("a bound datagram socket names the sender");
                        net::sendto(&self.server, DATAGRAM_REPLY, SendFlags::empty(), &from)?;
                    } else {
                        let Some((length, _, _)) =
                            tried(net::recvfrom(&self.client, &mut buffer, RecvFlags::empty()))?
                        else {
                            break;
                        };
                        ensure!(buffer[..length] == *DATAGRAM_REPLY, "not the reply");
                        answered += 1;
                        if sent < calls {
                            sent += 1;
                            self.request()?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
