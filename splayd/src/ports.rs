//! Which ports the seats of jobs have: consecutive ranges out of the configured one, none twice,
//! each tried before it is given.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// The splayd's ports.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    last: u16,
    /// Ranges that are taken: first port and how many.
    taken: BTreeMap<u16, u16>,
    /// Where the search goes on: ports given back rest as long as possible.
    cursor: u16,
}

impl Ports {
    /// All ports from `first` to `last`, free.
    pub fn new(first: u16, last: u16) -> Ports {
        Ports { first, last, taken: BTreeMap::new(), cursor: first }
    }

    /// Takes `count` consecutive ports that can be bound; `None` if there are none.
    pub fn reserve(&mut self, count: u16) -> Option<u16> {
        self.reserve_if(count, can_bind)
    }

    /// Gives a range back.
    pub fn release(&mut self, first: u16) {
        self.taken.remove(&first);
    }

    fn reserve_if(&mut self, count: u16, free: impl Fn(u16) -> bool) -> Option<u16> {
        let count = count.max(1);
        let length = u32::from(self.last - self.first) + 1;
        // Every start is tried once, from the cursor on and then from the beginning.
        let mut tried = 0;
        let mut at = u32::from(self.cursor);
        while tried < length {
            let end = at + u32::from(count) - 1;
            if end > u32::from(self.last) {
                tried += u32::from(self.last).saturating_sub(at) + 1;
                at = u32::from(self.first);
                continue;
            }
            let start = at as u16;
            let skip = match self.overlap(start, end as u16) {
                Some(after) => after - at,
                None => match (start..=end as u16).rev().find(|&port| !free(port)) {
                    Some(busy) => u32::from(busy) + 1 - at,
                    None => {
                        self.taken.insert(start, count);
                        self.cursor = if end as u16 == self.last { self.first } else { end as u16 + 1 };
                        return Some(start);
                    }
                },
            };
            tried += skip;
            at += skip;
            if at > u32::from(self.last) {
                at = u32::from(self.first);
            }
        }
        None
    }

    /// The port after a taken range that overlaps.
    fn overlap(&self, start: u16, end: u16) -> Option<u32> {
        let (&first, &count) = self.taken.range(..=end).next_back()?;
        let after = u32::from(first) + u32::from(count);
        (after > u32::from(start)).then_some(after)
    }
}

/// Whether both a TCP and a UDP socket can have the port.
fn can_bind(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn busy_ports_are_passed_over() {
        let mut ports = Ports::new(100, 109);
        assert_eq!(ports.reserve_if(3, |port| port != 101), Some(102));
        assert_eq!(ports.reserve_if(3, |_| true), Some(105));
        assert_eq!(ports.reserve_if(3, |_| true), None);
        assert_eq!(ports.reserve_if(2, |_| true), Some(108));
        assert_eq!(ports.reserve_if(2, |_| true), Some(100));
        ports.release(105);
        assert_eq!(ports.reserve_if(3, |_| true), Some(105));
        assert_eq!(ports.reserve_if(1, |_| true), None);
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let held = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert_eq!(Ports::new(port, port).reserve(1), None);
        drop(held);
    }

    proptest! {
        #[test]
        fn no_port_is_given_twice(orders in prop::collection::vec((1u16..6, any::<bool>()), 0..60)) {
            let mut ports = Ports::new(65500, 65535);
            let mut held: Vec<(u16, u16)> = Vec::new();
            for (count, give_back) in orders {
                if give_back && !held.is_empty() {
                    let (first, _) = held.remove(0);
                    ports.release(first);
                } else if let Some(first) = ports.reserve_if(count, |port| port % 7 != 0) {
                    let range = first..=first + (count - 1);
                    prop_assert!(range.clone().all(|port| port >= 65500 && port % 7 != 0));
                    for (other, many) in &held {
                        prop_assert!(range.clone().all(|port| port < *other || port - other >= *many));
                    }
                    held.push((first, count));
                }
            }
        }
    }
}
