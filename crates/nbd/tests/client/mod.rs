//! What a client sends, in bytes, and what it is answered.
#![allow(dead_code)] // each test binary uses a part

use splay_nbd::{Abilities, Command, Config, Event, Export, Extent, Fault, Request, Session};

pub fn option(kind: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    [&b"IHAVEOPT"[..], &kind.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

pub fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let magic = 0x0003_e889_0455_65a9_u64.to_be_bytes();
    [&magic[..], &option.to_be_bytes(), &kind.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// An error reply without text.
pub fn refusal(option: u32, error: u32) -> Vec<u8> {
    reply(option, (1 << 31) + error, b"")
}

/// Name and requests for information, of INFO and GO.
pub fn wishes(name: &[u8], requests: &[u16]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap().to_be_bytes();
    let count = u16::try_from(requests.len()).unwrap().to_be_bytes();
    let requests: Vec<u8> = requests.iter().flat_map(|request| request.to_be_bytes()).collect();
    [&length[..], name, &count, &requests].concat()
}

/// Name and queries, of the options about contexts.
pub fn queries(name: &[u8], queries: &[&[u8]]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut data = [&length(name)[..], name, &u32::try_from(queries.len()).unwrap().to_be_bytes()].concat();
    for query in queries {
        data.extend(length(query));
        data.extend(*query);
    }
    data
}

pub fn request(flags: u16, kind: u16, cookie: u64, offset: u64, length: u32, payload: &[u8]) -> Vec<u8> {
    [
        &0x2560_9513_u32.to_be_bytes()[..],
        &flags.to_be_bytes(),
        &kind.to_be_bytes(),
        &cookie.to_be_bytes(),
        &offset.to_be_bytes(),
        &length.to_be_bytes(),
        payload,
    ]
    .concat()
}

pub fn simple(error: u32, cookie: u64) -> Vec<u8> {
    [&0x6744_6698_u32.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat()
}

pub fn chunk(kind: u16, cookie: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [
        &0x668e_33ef_u32.to_be_bytes()[..],
        &1_u16.to_be_bytes(),
        &kind.to_be_bytes(),
        &cookie.to_be_bytes(),
        &length.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// A disk in memory behind a session.
pub struct Server {
    pub session: Session,
    pub disk: Vec<u8>,
    pub abilities: Abilities,
    /// What it was asked, in order.
    pub asked: Vec<Event>,
    pub ended: Option<Result<(), Fault>>,
}

pub const FULL: Abilities = Abilities {
    write: true,
    flush: true,
    trim: true,
    rotational: false,
    multi_conn: false,
    cache: false,
    extents: false,
    fast_zero: false,
};

impl Server {
    pub fn new(config: Config, size: usize, abilities: Abilities) -> Server {
        Server {
            session: Session::new(config),
            disk: vec![0; size],
            abilities,
            asked: Vec::new(),
            ended: None,
        }
    }

    /// One whose handshake is over; `structured` and the context are agreed on.
    pub fn transmitting(size: usize, abilities: Abilities, structured: bool) -> Server {
        let mut server = Server::new(Config::default(), size, abilities);
        let mut message = vec![0, 0, 0, 3];
        if structured {
            message.extend(option(8, b""));
            message.extend(option(10, &queries(b"", &[b"base:allocation"])));
        }
        message.extend(option(7, &wishes(b"", &[])));
        server.exchange(&message);
        assert!(server.session.is_transmitting());
        server.asked.clear();
        server
    }

    /// Feeds bytes and gives what is sent back.
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.feed(bytes);
        while self.ended.is_none() {
            match self.session.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => self.answer(event),
                Err(fault) => self.ended = Some(Err(fault)),
            }
        }
        let sent = self.session.unsent().to_vec();
        self.session.sent(sent.len());
        sent
    }

    fn answer(&mut self, event: Event) {
        self.asked.push(event.clone());
        match event {
            Event::Open { .. } => self.session.opened(Export {
                size: self.disk.len() as u64,
                abilities: self.abilities,
                ..Export::default()
            }),
            Event::Close => {}
            Event::StartTls => self.session.secured(),
            Event::End => self.ended = Some(Ok(())),
            Event::Request(request) => self.perform(request),
        }
    }

    fn perform(&mut self, request: Request) {
        let Request { offset, length, ticket, .. } = request;
        let range = offset as usize..offset as usize + length as usize;
        match request.command {
            Command::Read => assert!(self.session.reply_read(ticket, &self.disk[range])),
            Command::Write => {
                self.disk[range].copy_from_slice(self.session.payload(&request));
                self.session.reply_done(ticket);
            }
            Command::Trim | Command::WriteZeroes { .. } => {
                self.disk[range].fill(0);
                self.session.reply_done(ticket);
            }
            Command::Flush | Command::Cache => self.session.reply_done(ticket),
            Command::Extents { .. } => {
                let zero = self.disk[range].iter().all(|byte| *byte == 0);
                self.session.reply_extents(ticket, &[Extent { length: length.into(), hole: zero, zero }]);
            }
        }
    }
}
