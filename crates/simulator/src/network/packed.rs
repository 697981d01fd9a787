//! Addresses as bytes of a recording.

use std::net::{IpAddr, SocketAddr};

/// Length of the IP address (4 or 16), its bytes, the port (big-endian).
pub(super) struct Packed {
    bytes: [u8; 19],
    length: usize,
}

impl Packed {
    pub(super) fn new(address: SocketAddr) -> Packed {
        let mut bytes = [0; 19];
        let length = match address.ip() {
            IpAddr::V4(ip) => {
                bytes[1..5].copy_from_slice(&ip.octets());
                5
            }
            IpAddr::V6(ip) => {
                bytes[1..17].copy_from_slice(&ip.octets());
                17
            }
        };
        bytes[0] = length as u8 - 1;
        bytes[length..length + 2].copy_from_slice(&address.port().to_be_bytes());
        Packed { bytes, length: length + 2 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
