//! Any bytes as what an NBD client sends: handshake and requests, whole and in two pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use splay_nbd::{Abilities, Config, Event, Export, Session, Tls};

/// Answers everything; what was sent back, and how it ended.
fn converse(pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let mut session = Session::new(Config { tls: Tls::Allowed, ..Config::default() });
    let mut ended = None;
    for piece in pieces {
        session.feed(piece);
        while ended.is_none() {
            match session.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Open { .. })) => session.opened(Export {
                    size: 4096,
                    abilities: Abilities { write: true, flush: true, trim: true, extents: true, ..Abilities::default() },
                    ..Export::default()
                }),
                Ok(Some(Event::Close)) => {}
                Ok(Some(Event::StartTls)) => session.secured(),
                Ok(Some(Event::End)) => ended = Some(String::new()),
                Ok(Some(Event::Request(request))) => {
                    assert!(request.offset + u64::from(request.length) <= 4096);
                    match request.command {
                        splay_nbd::Command::Read => {
                            assert!(session.reply_read(request.ticket, &[7; 4096]));
                        }
                        splay_nbd::Command::Write => {
                            assert_eq!(session.payload(&request).len(), request.length as usize);
                            session.reply_done(request.ticket);
                        }
                        splay_nbd::Command::Extents { .. } => session.reply_extents(request.ticket, &[]),
                        _ => session.reply_done(request.ticket),
                    }
                }
                Err(fault) => ended = Some(fault.to_string()),
            }
        }
    }
    (session.unsent().to_vec(), ended)
}

fuzz_target!(|data: &[u8]| {
    let whole = converse(&[data]);
    let (first, second) = data.split_at(data.len() / 2);
    assert_eq!(converse(&[first, second]), whole);
});
