//! Datagrams one way, and a server's side of those that are answered.

use rustix::event::epoll;

use super::{BATCH, Done, Worker};
use crate::error::Error;

impl Worker<'_> {
    /// A one-way socket can be read (a server's) or written.
    pub(super) fn datagrams(&mut self, slot: usize, flags: epoll::EventFlags) -> Result<(), Error> {
        let size = self.options.buffer_size;
        let reads = !self.options.client;
        if !flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::OUT) {
            return Ok(());
        }
        for _ in 0..BATCH {
            let done = if reads { self.read(slot, size)? } else { self.write(slot, size, None)? };
            match done {
                Done::Bytes(count) => self.count(slot, count, 0),
                Done::Blocked | Done::Over => return Ok(()),
            }
            if !reads && !self.options.delay.is_zero() {
                std::thread::sleep(self.options.delay);
                break;
            }
        }
        if self.options.edge_trigger {
            let interest = self.flows[slot].interest;
            self.flows[slot].interest = epoll::EventFlags::empty();
            self.interest(slot, interest)?;
        }
        Ok(())
    }

    /// Requests have come: each is answered to where it came from.
    pub(super) fn answer_datagrams(&mut self, slot: usize) -> Result<(), Error> {
        // The sender's address must be known: a plain read would not tell it.
        let plain = !self.has_recvmsg;
        for _ in 0..BATCH {
            let done = match plain {
                true => self.receive(slot)?,
                false => self.read(slot, self.options.request_size)?,
            };
            let Done::Bytes(count) = done else { return Ok(()) };
            let Some(name) = self.message.name else {
                return Err(Error::Hook(
                    "server_recvmsg: the hook must call recvmsg or recvfrom: nobody to answer".to_owned(),
                ));
            };
            self.count(slot, count, 1);
            // One that does not go now is lost; the client asks again.
            self.write(slot, self.options.response_size, Some(name))?;
        }
        Ok(())
    }

    fn receive(&mut self, slot: usize) -> Result<Done, Error> {
        let fd = self.fd(slot);
        self.message.for_receiving(self.options.request_size);
        self.message.control_length = 0;
        match self.message.receive(fd, 0) {
            Ok(count) => {
                self.harvest.received_bytes += count as u64;
                if let Some(allowance) = &self.options.allowance {
                    allowance.received(count)?;
                }
                Ok(Done::Bytes(count))
            }
            Err(error) => self.failed("recvmsg", slot, error),
        }
    }
}
