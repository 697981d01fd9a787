//! One connection: its phases, and what goes in and out. What an option means is in
//! [`crate::options`], what a request is in [`crate::transmission`].

use crate::buffer::{Incoming, u32_at, u64_at};
use crate::export::{Config, Export, Tls};
use crate::options::{Negotiated, Wanted};
use crate::transmission::Request;
use crate::wire::{self, handshake, option};

/// What a session wants of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client wants an export: answer with [`Session::opened`] or [`Session::refused`]. Nothing
    /// else comes before.
    Open {
        /// Its name.
        name: Vec<u8>,
        /// The client merely asks about it: [`Event::Close`] follows the answer.
        only_info: bool,
    },
    /// The export that was opened for information is not needed any more.
    Close,
    /// Everything from here on is encrypted: send what is unsent, shake hands, with
    /// [`Session::take_rest`] as the first bytes received, then call [`Session::secured`].
    StartTls,
    /// Answer with one of [`Session`]'s `reply` functions, in any order.
    Request(Request),
    /// The client is done: finish what is under way, send what is unsent, close.
    End,
}

/// Why a connection has to be closed at once, after sending what is unsent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not what the protocol has at this place.
    #[error("the client does not speak NBD: {0}")]
    Magic(&'static str),
    /// A flag in answer to the server's that it has not offered.
    #[error("the client asks for unknown handshake flags ({0:#x})")]
    Flags(u32),
    /// An option for which no error can be told.
    #[error("the client asks for an export that cannot be had")]
    NoExport,
    /// It talks too much.
    #[error("the client sends options without end")]
    Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Client flags are to come.
    Flags,
    /// An option is to come.
    Options,
    /// The host has been asked for an export.
    Opening,
    /// It is opened for information: that it is not needed is to be told.
    Closing,
    /// TLS is being set up.
    Securing,
    Transmission,
    /// The end was told.
    Over,
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Config,
    phase: Phase,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Vec<u8>,
    sent: usize,
    /// Bytes of a payload that nobody wants.
    pub(crate) skip: usize,
    pub(crate) negotiated: Negotiated,
    pub(crate) export: Export,
    wanted: Wanted,
    options: u32,
}

impl Session {
    /// A connection at its beginning; the greeting waits to be sent.
    pub fn new(config: Config) -> Session {
        let mut outgoing = Vec::with_capacity(256);
        outgoing.extend(wire::MAGIC.to_be_bytes());
        outgoing.extend(wire::OPTION_MAGIC.to_be_bytes());
        outgoing.extend((handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES).to_be_bytes());
        Session {
            config,
            phase: Phase::Flags,
            incoming: Incoming::default(),
            outgoing,
            sent: 0,
            skip: 0,
            negotiated: Negotiated::default(),
            export: Export::default(),
            wanted: Wanted::default(),
            options: 0,
        }
    }

    // ---- bytes ----------------------------------------------------------------------------------

    /// Where to receive into; then call [`Session::received`].
    pub fn room(&mut self) -> &mut [u8] {
        self.incoming.room()
    }

    /// So many bytes were put into [`Session::room`].
    pub fn received(&mut self, count: usize) {
        self.incoming.received(count);
    }

    /// Takes received bytes from elsewhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.incoming.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.incoming.received(count);
            bytes = &bytes[count..];
        }
    }

    /// Bytes received and not yet used.
    pub fn unused(&self) -> usize {
        self.incoming.len()
    }

    /// What is to be sent; then call [`Session::sent`].
    pub fn unsent(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// So many bytes of [`Session::unsent`] were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        assert!(self.sent <= self.outgoing.len(), "sent what was unsent");
        if self.sent == self.outgoing.len() {
            self.sent = 0;
            self.outgoing.clear();
            // The room of a large read is given back.
            self.outgoing.shrink_to(1 << 20);
        }
    }

    // ---- phases ---------------------------------------------------------------------------------

    /// Whether an export is in use.
    pub fn is_transmitting(&self) -> bool {
        self.phase == Phase::Transmission
    }

    /// What the client wants next; `None`: more bytes, or an answer, have to come first.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            match self.phase {
                Phase::Flags => match self.client_flags()? {
                    true => self.phase = Phase::Options,
                    false => return Ok(None),
                },
                Phase::Options => match self.option()? {
                    Step::Again => {}
                    Step::More => return Ok(None),
                    Step::Open { name, only_info } => {
                        self.phase = Phase::Opening;
                        return Ok(Some(Event::Open { name, only_info }));
                    }
                    Step::Secure => {
                        self.phase = Phase::Securing;
                        return Ok(Some(Event::StartTls));
                    }
                    Step::Over => {
                        self.phase = Phase::Over;
                        return Ok(Some(Event::End));
                    }
                },
                Phase::Closing => {
                    self.phase = Phase::Options;
                    return Ok(Some(Event::Close));
                }
                Phase::Opening | Phase::Securing | Phase::Over => return Ok(None),
                Phase::Transmission => {
                    let event = self.transmission()?;
                    if event == Some(Event::End) {
                        self.phase = Phase::Over;
                    }
                    return Ok(event);
                }
            }
        }
    }

    fn client_flags(&mut self) -> Result<bool, Fault> {
        let bytes = self.incoming.bytes();
        if bytes.len() < 4 {
            return Ok(false);
        }
        let flags = u32_at(bytes, 0);
        let known = handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES;
        if flags & !u32::from(known) != 0 {
            return Err(Fault::Flags(flags));
        }
        self.incoming.used(4);
        self.negotiated.fixed = flags & u32::from(handshake::FIXED_NEWSTYLE) != 0;
        self.negotiated.no_zeroes = flags & u32::from(handshake::NO_ZEROES) != 0;
        Ok(true)
    }

    fn option(&mut self) -> Result<Step, Fault> {
        let bytes = self.incoming.bytes();
        if bytes.len() < wire::OPTION_BYTES {
            // What begins otherwise is not waited for.
            let magic = wire::OPTION_MAGIC.to_be_bytes();
            let begun = bytes.len().min(8);
            return match bytes[..begun] == magic[..begun] {
                true => Ok(Step::More),
                false => Err(Fault::Magic("no option's magic")),
            };
        }
        if u64_at(bytes, 0) != wire::OPTION_MAGIC {
            return Err(Fault::Magic("no option's magic"));
        }
        let (kind, length) = (u32_at(bytes, 8), u32_at(bytes, 12));
        if length > wire::MAX_OPTION_BYTES {
            self.option_reply(kind, wire::reply::ERR_TOO_BIG, b"");
            return Err(Fault::Options);
        }
        let length = length as usize;
        if bytes.len() < wire::OPTION_BYTES + length {
            return Ok(Step::More);
        }
        self.options += 1;
        if self.options > wire::MAX_OPTIONS {
            return Err(Fault::Options);
        }
        let data = bytes[wire::OPTION_BYTES..wire::OPTION_BYTES + length].to_vec();
        self.incoming.used(wire::OPTION_BYTES + length);
        let step = self.handle_option(kind, &data)?;
        if let Step::Open { .. } = step {
            self.wanted.option = kind;
        }
        Ok(step)
    }

    pub(crate) fn want(&mut self, name: &[u8], requests: Vec<u16>) {
        self.wanted = Wanted { option: 0, name: name.to_vec(), requests };
    }

    /// The export that an [`Event::Open`] asks for is there. What it is goes to the client, which
    /// from now on may use it, unless it merely asked.
    pub fn opened(&mut self, export: Export) {
        assert_eq!(self.phase, Phase::Opening, "an export was asked for");
        self.export = export;
        let wanted = std::mem::take(&mut self.wanted);
        self.phase = match wanted.option {
            option::INFO => Phase::Closing,
            _ => Phase::Transmission,
        };
        self.tell_opened(&wanted);
        if self.phase == Phase::Transmission && self.negotiated.contexts_of.as_deref() != Some(&wanted.name) {
            // Contexts belong to the export that they were asked for.
            self.negotiated.contexts_of = None;
        }
    }

    /// The export that an [`Event::Open`] asks for cannot be had. The client may ask for others; if
    /// it used the old option that has no errors, the connection has to be closed.
    pub fn refused(&mut self, why: &str) -> Result<(), Fault> {
        assert_eq!(self.phase, Phase::Opening, "an export was asked for");
        self.phase = Phase::Options;
        let wanted = std::mem::take(&mut self.wanted);
        if wanted.option == option::EXPORT_NAME {
            self.phase = Phase::Over;
            return Err(Fault::NoExport);
        }
        let why = &why.as_bytes()[..why.len().min(wire::MAX_STRING_BYTES)];
        self.option_reply(wanted.option, wire::reply::ERR_UNKNOWN, why);
        Ok(())
    }

    /// What was received behind the client's wish for TLS: it is no plain text.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.incoming.take()
    }

    /// TLS is on; what was agreed on without it is forgotten.
    pub fn secured(&mut self) {
        assert_eq!(self.phase, Phase::Securing, "TLS was asked for");
        let fixed = self.negotiated.fixed;
        let no_zeroes = self.negotiated.no_zeroes;
        self.negotiated = Negotiated { fixed, no_zeroes, secure: true, ..Negotiated::default() };
        self.phase = Phase::Options;
    }

    pub(crate) fn needs_tls(&self) -> bool {
        self.config.tls == Tls::Required && !self.negotiated.secure
    }
}

/// What an option comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is answered.
    Again,
    /// It is not all there.
    More,
    Open {
        name: Vec<u8>,
        only_info: bool,
    },
    Secure,
    Over,
}
