//! Connections on which bytes go one way, or both, as fast as they can.

use rustix::event::epoll;

use super::{BATCH, Done, Worker};
use crate::error::Error;

impl Worker<'_> {
    /// A connection can be read or written.
    pub(super) fn stream(&mut self, slot: usize, flags: epoll::EventFlags) -> Result<(), Error> {
        let mut more = false;
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP) {
            match self.stream_in(slot)? {
                Some(left) => more |= left,
                None => return Ok(()),
            }
        }
        if flags.contains(epoll::EventFlags::OUT) {
            match self.stream_out(slot)? {
                Some(left) => more |= left,
                None => return Ok(()),
            }
        }
        if more && self.options.edge_trigger {
            // Asking again has epoll tell again.
            let interest = self.flows[slot].interest;
            self.flows[slot].interest = epoll::EventFlags::empty();
            self.interest(slot, interest)?;
        }
        Ok(())
    }

    /// Reads; whether there may be more, `None` if the flow is gone.
    fn stream_in(&mut self, slot: usize) -> Result<Option<bool>, Error> {
        let want = self.options.buffer_size;
        for _ in 0..BATCH {
            match self.read(slot, want)? {
                Done::Bytes(count) => {
                    self.count(slot, count, 0);
                    // Less than asked for is all there was.
                    if count < want && !self.options.edge_trigger {
                        return Ok(Some(false));
                    }
                }
                Done::Blocked => return Ok(Some(false)),
                Done::Over => {
                    self.remove(slot);
                    return Ok(None);
                }
            }
        }
        Ok(Some(true))
    }

    /// Writes; whether more may go, `None` if the flow is gone.
    fn stream_out(&mut self, slot: usize) -> Result<Option<bool>, Error> {
        for _ in 0..BATCH {
            match self.write(slot, self.options.buffer_size, None)? {
                Done::Bytes(_) => {}
                Done::Blocked => return Ok(Some(false)),
                Done::Over => {
                    self.remove(slot);
                    return Ok(None);
                }
            }
            if !self.options.delay.is_zero() {
                std::thread::sleep(self.options.delay);
                return Ok(Some(true));
            }
        }
        Ok(Some(true))
    }
}
