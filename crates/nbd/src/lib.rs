//! The server's side of the NBD protocol (network block device), as
//! [its specification](https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md) has it: the
//! fixed newstyle handshake, structured replies, block status. Owns the bytes of one connection and
//! no socket: what was received goes in, [`Event`]s come out; answers go in, bytes to send come out.
//! What a client asks amiss is answered here and never reaches the host.
//!
//! ```
//! use splay_nbd::{Abilities, Config, Event, Export, Session};
//!
//! let mut session = Session::new(Config::default());
//! assert_eq!(&session.unsent()[..8], b"NBDMAGIC");
//! session.sent(18);
//! // Client flags, then GO for the export "" without requests for information.
//! let mut message = vec![0, 0, 0, 3];
//! message.extend(b"IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0");
//! session.feed(&message);
//! let Ok(Some(Event::Open { name, .. })) = session.next_event() else { panic!("GO opens") };
//! assert!(name.is_empty());
//! session.opened(Export { size: 512, abilities: Abilities::default(), ..Export::default() });
//! assert!(session.is_transmitting());
//! ```

mod buffer;
mod export;
mod options;
mod session;
mod transmission;
mod wire;

pub use export::{Abilities, BlockSizes, Config, Export, Listed, Names, Tls};
pub use session::{Event, Fault, Session};
pub use transmission::{Command, Extent, Request, Ticket};
pub use wire::{Errno, MAX_PAYLOAD_BYTES};
