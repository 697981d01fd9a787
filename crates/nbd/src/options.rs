//! The options of the handshake: what each means, and its answer.

use crate::buffer::{u16_at, u32_at};
use crate::export::{Names, Tls};
use crate::session::{Fault, Session, Step};
use crate::wire::{self, BASE_ALLOCATION, CONTEXT_ID, info, option, reply};

/// What client and server have agreed on.
#[derive(Debug, Default)]
pub(crate) struct Negotiated {
    /// The client understands errors in answer to options.
    pub fixed: bool,
    /// It does without the padding after EXPORT_NAME.
    pub no_zeroes: bool,
    pub structured: bool,
    /// The export for which `base:allocation` was asked.
    pub contexts_of: Option<Vec<u8>>,
    pub secure: bool,
}

/// The option that an export is opened for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub option: u32,
    pub name: Vec<u8>,
    pub requests: Vec<u16>,
}

/// A name of the length before it, and what is behind.
fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32_at(data.get(..4)?, 0) as usize;
    let rest = &data[4..];
    (length <= wire::MAX_STRING_BYTES && length <= rest.len()).then(|| rest.split_at(length))
}

/// The name and the requests for information of GO and INFO.
fn wishes(data: &[u8]) -> Option<(&[u8], Vec<u16>)> {
    let (name, rest) = string(data)?;
    let count = u16_at(rest.get(..2)?, 0) as usize;
    let requests = &rest[2..];
    (requests.len() == count * 2)
        .then(|| (name, requests.chunks_exact(2).map(|request| u16_at(request, 0)).collect()))
}

/// The name and the queries of the options about contexts.
fn queries(data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (name, rest) = string(data)?;
    let count = u32_at(rest.get(..4)?, 0);
    let mut rest = &rest[4..];
    let mut queries = Vec::new();
    for _ in 0..count {
        let (query, behind) = string(rest)?;
        queries.push(query);
        rest = behind;
    }
    rest.is_empty().then_some((name, queries))
}

impl Session {
    pub(crate) fn option_reply(&mut self, option: u32, kind: u32, data: &[u8]) {
        self.outgoing.extend(wire::OPTION_REPLY_MAGIC.to_be_bytes());
        self.outgoing.extend(option.to_be_bytes());
        self.outgoing.extend(kind.to_be_bytes());
        self.outgoing.extend(u32::try_from(data.len()).expect("short").to_be_bytes());
        self.outgoing.extend(data);
    }

    fn answer(&mut self, option: u32, kind: u32) -> Result<Step, Fault> {
        self.option_reply(option, kind, b"");
        Ok(Step::Again)
    }

    /// Answers an option, or tells what it takes.
    pub(crate) fn handle_option(&mut self, kind: u32, data: &[u8]) -> Result<Step, Fault> {
        if kind == option::EXPORT_NAME {
            if self.needs_tls() || data.len() > wire::MAX_STRING_BYTES || !self.config.names.contains(data) {
                return Err(Fault::NoExport);
            }
            self.want(data, Vec::new());
            return Ok(Step::Open { name: data.to_vec(), only_info: false });
        }
        if !self.negotiated.fixed {
            // Such a client knows no answers.
            return if kind == option::ABORT {
                Ok(Step::Over)
            } else {
                Err(Fault::Magic("options not negotiated"))
            };
        }
        if self.needs_tls() && !matches!(kind, option::STARTTLS | option::ABORT) {
            return self.answer(kind, reply::ERR_TLS_REQD);
        }
        match kind {
            option::ABORT => {
                self.option_reply(kind, reply::ACK, b"");
                Ok(Step::Over)
            }
            option::LIST => self.list(data),
            option::STARTTLS => self.start_tls(data),
            option::INFO | option::GO => self.open(kind, data),
            option::STRUCTURED_REPLY => {
                if !data.is_empty() {
                    return self.answer(kind, reply::ERR_INVALID);
                }
                self.negotiated.structured = true;
                self.answer(kind, reply::ACK)
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(kind, data),
            _ => self.answer(kind, reply::ERR_UNSUP),
        }
    }

    fn list(&mut self, data: &[u8]) -> Result<Step, Fault> {
        if !data.is_empty() {
            return self.answer(option::LIST, reply::ERR_INVALID);
        }
        let entry = |name: &[u8], description: &[u8]| {
            [&u32::try_from(name.len()).expect("short").to_be_bytes()[..], name, description].concat()
        };
        let entries: Vec<Vec<u8>> = match &self.config.names {
            Names::Any => vec![entry(b"", b"")],
            Names::Only(list) => list.iter().map(|one| entry(&one.name, &one.description)).collect(),
        };
        for entry in entries {
            self.option_reply(option::LIST, reply::SERVER, &entry);
        }
        self.answer(option::LIST, reply::ACK)
    }

    fn start_tls(&mut self, data: &[u8]) -> Result<Step, Fault> {
        if !data.is_empty() || self.negotiated.secure {
            return self.answer(option::STARTTLS, reply::ERR_INVALID);
        }
        if self.config.tls == Tls::Off {
            return self.answer(option::STARTTLS, reply::ERR_POLICY);
        }
        self.option_reply(option::STARTTLS, reply::ACK, b"");
        Ok(Step::Secure)
    }

    fn open(&mut self, kind: u32, data: &[u8]) -> Result<Step, Fault> {
        let Some((name, requests)) = wishes(data) else { return self.answer(kind, reply::ERR_INVALID) };
        if !self.config.names.contains(name) {
            return self.answer(kind, reply::ERR_UNKNOWN);
        }
        self.want(name, requests);
        Ok(Step::Open { name: name.to_vec(), only_info: kind == option::INFO })
    }

    fn contexts(&mut self, kind: u32, data: &[u8]) -> Result<Step, Fault> {
        let set = kind == option::SET_META_CONTEXT;
        if !self.negotiated.structured {
            return self.answer(kind, reply::ERR_INVALID);
        }
        let Some((name, queries)) = queries(data) else { return self.answer(kind, reply::ERR_INVALID) };
        if !self.config.names.contains(name) {
            return self.answer(kind, reply::ERR_UNKNOWN);
        }
        let listed = !set && (queries.is_empty() || queries.contains(&&b"base:"[..]));
        let found = listed || queries.contains(&BASE_ALLOCATION);
        if set {
            self.negotiated.contexts_of = found.then(|| name.to_vec());
        }
        if found {
            let id = if set { CONTEXT_ID } else { 0 };
            self.option_reply(kind, reply::META_CONTEXT, &[&id.to_be_bytes()[..], BASE_ALLOCATION].concat());
        }
        self.answer(kind, reply::ACK)
    }

    /// Tells a client about the export that was opened for it.
    pub(crate) fn tell_opened(&mut self, wanted: &Wanted) {
        let size = self.export.size.to_be_bytes();
        let flags = self.export.flags(self.negotiated.structured).to_be_bytes();
        if wanted.option == option::EXPORT_NAME {
            self.outgoing.extend(size);
            self.outgoing.extend(flags);
            if !self.negotiated.no_zeroes {
                self.outgoing.extend([0; 124]);
            }
            return;
        }
        let item = |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], data].concat();
        let mut items = vec![item(info::EXPORT, &[&size[..], &flags].concat())];
        if wanted.requests.contains(&info::NAME) {
            items.push(item(info::NAME, &wanted.name));
        }
        if let Some(text) = &self.export.description
            && wanted.requests.contains(&info::DESCRIPTION)
        {
            items.push(item(info::DESCRIPTION, &text[..text.len().min(wire::MAX_STRING_BYTES)]));
        }
        if let Some(sizes) = self.export.block_sizes
            && wanted.requests.contains(&info::BLOCK_SIZE)
        {
            let sizes = [sizes.minimum, sizes.preferred, sizes.maximum].map(u32::to_be_bytes);
            items.push(item(info::BLOCK_SIZE, &sizes.concat()));
        }
        for item in items {
            self.option_reply(wanted.option, reply::INFO, &item);
        }
        self.option_reply(wanted.option, reply::ACK, b"");
    }
}
