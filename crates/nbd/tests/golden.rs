//! What nbdkit 1.32 answers a raw client, byte for byte, and what the specification says where it
//! was not asked.

mod client;

use client::{FULL, Server, chunk, option, queries, refusal, reply, request, simple, wishes};
use splay_nbd::{Abilities, Command, Config, Event, Extent, Fault, Listed, Names, Session, Tls};

const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const LIST: u32 = 3;
const STARTTLS: u32 = 5;
const INFO: u32 = 6;
const GO: u32 = 7;
const STRUCTURED: u32 = 8;
const LIST_META: u32 = 9;
const SET_META: u32 = 10;

const UNSUP: u32 = 1;
const POLICY: u32 = 2;
const INVALID: u32 = 3;
const TLS_REQD: u32 = 5;
const UNKNOWN: u32 = 6;

fn negotiating() -> Server {
    let mut server = Server::new(Config::default(), 1 << 20, FULL);
    let greeting = server.exchange(&[0, 0, 0, 3]);
    assert_eq!(greeting, b"NBDMAGICIHAVEOPT\0\x03");
    server
}

fn context(kind: u32, id: u32) -> Vec<u8> {
    reply(kind, 4, &[&id.to_be_bytes()[..], b"base:allocation"].concat())
}

#[test]
fn options() {
    let mut server = negotiating();
    let mut asks = |kind, data: &[u8], expected: &[Vec<u8>]| {
        assert_eq!(server.exchange(&option(kind, data)), expected.concat(), "option {kind}, {data:?}");
    };
    let ack = |kind| reply(kind, 1, b"");
    asks(99, b"", &[refusal(99, UNSUP)]);
    asks(11, b"", &[refusal(11, UNSUP)]);
    asks(STARTTLS, b"", &[refusal(STARTTLS, POLICY)]);
    asks(SET_META, &queries(b"", &[b"base:allocation"]), &[refusal(SET_META, INVALID)]);
    asks(STRUCTURED, b"x", &[refusal(STRUCTURED, INVALID)]);
    asks(STRUCTURED, b"", &[ack(STRUCTURED)]);
    asks(STRUCTURED, b"", &[ack(STRUCTURED)]);
    asks(LIST, b"", &[reply(LIST, 2, &[0; 4]), ack(LIST)]);
    asks(LIST, b"x", &[refusal(LIST, INVALID)]);
    asks(LIST_META, &queries(b"", &[]), &[context(LIST_META, 0), ack(LIST_META)]);
    asks(LIST_META, &queries(b"", &[b"base:"]), &[context(LIST_META, 0), ack(LIST_META)]);
    asks(LIST_META, &queries(b"", &[b"qemu:"]), &[ack(LIST_META)]);
    asks(LIST_META, &queries(b"", &[b"foo"]), &[ack(LIST_META)]);
    asks(SET_META, &queries(b"", &[b"base:allocation"]), &[context(SET_META, 1), ack(SET_META)]);
    asks(SET_META, &[0; 3], &[refusal(SET_META, INVALID)]);
    let export = [&[0, 0][..], &(1_u64 << 20).to_be_bytes(), &0x8ed_u16.to_be_bytes()].concat();
    asks(INFO, &wishes(b"", &[1, 2, 3]), &[reply(INFO, 3, &export), reply(INFO, 3, &[0, 1]), ack(INFO)]);
    asks(GO, b"\0\0\0\x05ab", &[refusal(GO, INVALID)]);
    asks(GO, &wishes(b"", &[]), &[reply(GO, 3, &export), ack(GO)]);
    assert!(server.session.is_transmitting());
    let open = |only_info| Event::Open { name: Vec::new(), only_info };
    assert_eq!(server.asked, [open(true), Event::Close, open(false)]);
}

#[test]
fn the_old_option() {
    let size_and_flags = [&(1_u64 << 20).to_be_bytes()[..], &0x86d_u16.to_be_bytes()].concat();
    let mut server = negotiating();
    assert_eq!(server.exchange(&option(EXPORT_NAME, b"any")), size_and_flags);
    let mut padded = Server::new(Config::default(), 1 << 20, FULL);
    padded.exchange(&[0, 0, 0, 1]);
    assert_eq!(padded.exchange(&option(EXPORT_NAME, b"")), [&size_and_flags[..], &[0; 124]].concat());
    // Clients of the time before errors in answer to options.
    let mut old = Server::new(Config::default(), 1 << 20, FULL);
    old.exchange(&[0, 0, 0, 0]);
    assert!(old.exchange(&option(LIST, b"")).is_empty());
    assert!(matches!(old.ended, Some(Err(Fault::Magic(_)))));
}

#[test]
fn unknown_flags_and_magics_end_it() {
    let mut session = Session::new(Config::default());
    session.feed(&[0, 0, 0, 7]);
    assert_eq!(session.next_event(), Err(Fault::Flags(7)));
    let mut server = negotiating();
    server.exchange(b"GET / HTTP/1.0\r\n\r\n");
    assert!(matches!(server.ended, Some(Err(Fault::Magic(_)))));
    let mut server = Server::transmitting(512, FULL, true);
    server.exchange(b"GET ");
    assert!(matches!(server.ended, Some(Err(Fault::Magic(_)))));
    let mut server = negotiating();
    server.exchange(&[&b"IHAVEOPT"[..], &7_u32.to_be_bytes(), &u32::MAX.to_be_bytes()].concat());
    assert_eq!(server.ended, Some(Err(Fault::Options)));
}

#[test]
fn abort_is_acknowledged() {
    let mut server = negotiating();
    assert_eq!(server.exchange(&option(ABORT, b"")), reply(ABORT, 1, b""));
    assert_eq!(server.ended, Some(Ok(())));
}

#[test]
fn several_exports() {
    let listed = |name: &[u8], text: &[u8]| Listed { name: name.to_vec(), description: text.to_vec() };
    let names = Names::Only(vec![listed(b"a", b"first"), listed(b"b", b"")]);
    let mut server = Server::new(Config { names, tls: Tls::Off }, 512, FULL);
    server.exchange(&[0, 0, 0, 3]);
    let list = [reply(LIST, 2, b"\0\0\0\x01afirst"), reply(LIST, 2, b"\0\0\0\x01b"), reply(LIST, 1, b"")];
    assert_eq!(server.exchange(&option(LIST, b"")), list.concat());
    assert_eq!(server.exchange(&option(GO, &wishes(b"", &[]))), refusal(GO, UNKNOWN));
    // A context belongs to the export it was asked for.
    server.exchange(&option(STRUCTURED, b""));
    server.exchange(&option(SET_META, &queries(b"a", &[b"base:allocation"])));
    server.exchange(&option(GO, &wishes(b"b", &[])));
    let status = chunk(0x8001, 1, &[0, 0, 0, 22, 0, 0]);
    assert_eq!(server.exchange(&request(0, 7, 1, 0, 512, b"")), status);
}

#[test]
fn tls_comes_first_where_it_must() {
    let config = Config { tls: Tls::Required, ..Config::default() };
    let mut server = Server::new(config.clone(), 512, FULL);
    server.exchange(&[0, 0, 0, 3]);
    assert_eq!(server.exchange(&option(GO, &wishes(b"", &[]))), refusal(GO, TLS_REQD));
    assert_eq!(server.exchange(&option(STRUCTURED, b"")), refusal(STRUCTURED, TLS_REQD));
    assert_eq!(server.exchange(&option(STARTTLS, b"x")), refusal(STARTTLS, INVALID));
    assert_eq!(server.exchange(&option(STARTTLS, b"")), reply(STARTTLS, 1, b""));
    assert_eq!(server.asked, [Event::StartTls]);
    assert_eq!(server.exchange(&option(STARTTLS, b"")), refusal(STARTTLS, INVALID));
    server.exchange(&option(GO, &wishes(b"", &[])));
    assert!(server.session.is_transmitting());
    let mut old = Server::new(config, 512, FULL);
    old.exchange(&[0, 0, 0, 3]);
    old.exchange(&option(EXPORT_NAME, b""));
    assert_eq!(old.ended, Some(Err(Fault::NoExport)));
}

#[test]
fn what_follows_the_wish_for_tls_is_no_option() {
    let mut session = Session::new(Config { tls: Tls::Allowed, ..Config::default() });
    session.feed(&[&[0, 0, 0, 3][..], &option(STARTTLS, b""), &option(STRUCTURED, b"")].concat());
    assert_eq!(session.next_event(), Ok(Some(Event::StartTls)));
    assert_eq!(session.next_event(), Ok(None));
    assert_eq!(session.take_rest(), option(STRUCTURED, b""));
}

#[test]
fn a_refused_export() {
    let mut session = Session::new(Config::default());
    session.feed(&[&[0, 0, 0, 3][..], &option(GO, &wishes(b"x", &[]))].concat());
    session.sent(18);
    assert_eq!(session.next_event(), Ok(Some(Event::Open { name: b"x".to_vec(), only_info: false })));
    assert_eq!(session.refused("no"), Ok(()));
    assert_eq!(session.unsent(), reply(GO, (1 << 31) + UNKNOWN, b"no"));
    session.feed(&option(EXPORT_NAME, b""));
    assert!(matches!(session.next_event(), Ok(Some(Event::Open { .. }))));
    assert_eq!(session.refused("no"), Err(Fault::NoExport));
}

#[test]
fn replies_of_requests() {
    let mut server = Server::transmitting(4096, FULL, true);
    let mut asks = |bytes: Vec<u8>, expected: Vec<u8>| assert_eq!(server.exchange(&bytes), expected);
    asks(request(0, 1, 7, 10, 3, b"abc"), simple(0, 7));
    let data = [&9_u64.to_be_bytes()[..], b"\0abc\0"].concat();
    asks(request(0, 0, 8, 9, 5, b""), chunk(1, 8, &data));
    asks(request(4, 0, 9, 9, 5, b""), chunk(1, 9, &data)); // DF
    asks(request(0, 3, 1, 0, 0, b""), simple(0, 1));
    asks(request(1, 3, 1, 0, 0, b""), simple(0, 1)); // FUA means nothing
    asks(request(0, 4, 2, 0, 512, b""), simple(0, 2));
    asks(request(0, 6, 3, 0, 512, b""), simple(0, 3));
    let all = [1_u32, 4096, 0].map(u32::to_be_bytes).concat();
    asks(request(0, 7, 4, 0, 4096, b""), chunk(5, 4, &all));
}

#[test]
fn requests_that_are_wrong() {
    let mut server = Server::transmitting(4096, FULL, true);
    let mut asks = |bytes: Vec<u8>, errno| assert_eq!(server.exchange(&bytes), simple(errno, 1), "{bytes:?}");
    asks(request(0, 42, 1, 0, 0, b""), 22);
    asks(request(64, 4, 1, 0, 1, b""), 22);
    asks(request(64, 1, 1, 0, 1, b"x"), 22);
    asks(request(2, 1, 1, 0, 1, b"x"), 22); // NO_HOLE is of zeroes alone
    asks(request(0, 3, 1, 1, 0, b""), 22);
    asks(request(0, 3, 1, 0, 1, b""), 22);
    asks(request(0, 5, 1, 0, 1, b""), 22); // not offered
    asks(request(0, 1, 1, 0, 0, b""), 28);
    asks(request(0, 4, 1, 0, 0, b""), 22);
    asks(request(0, 1, 1, 4095, 2, b"xy"), 28);
    asks(request(0, 6, 1, 4096, 1, b""), 28);
    asks(request(0, 4, 1, u64::MAX, 1, b""), 22);
    asks(request(16, 6, 1, 0, 1, b""), 95); // FAST_ZERO
    let mut reads = |bytes: Vec<u8>, errno: u8| {
        assert_eq!(server.exchange(&bytes), chunk(0x8001, 1, &[0, 0, 0, errno, 0, 0]));
    };
    reads(request(0, 0, 1, 4095, 2, b""), 22);
    reads(request(0, 0, 1, 0, 0, b""), 22);
    reads(request(8, 0, 1, 0, 1, b""), 22);
    assert!(server.asked.is_empty(), "the disk hears of none");

    let mut plain = Server::transmitting(4096, FULL, false);
    assert_eq!(plain.exchange(&request(0, 0, 1, 4095, 2, b"")), simple(22, 1));
    assert_eq!(plain.exchange(&request(4, 0, 1, 0, 2, b"")), simple(22, 1));
    assert_eq!(plain.exchange(&request(0, 7, 1, 0, 512, b"")), simple(22, 1));
    assert_eq!(plain.exchange(&request(0, 0, 1, 0, 2, b"")), [simple(0, 1), vec![0, 0]].concat());
}

#[test]
fn nothing_is_written_to_what_is_read_only() {
    let mut server = Server::transmitting(4096, Abilities::default(), true);
    for bytes in [request(0, 1, 1, 0, 1, b"x"), request(0, 4, 1, 0, 1, b""), request(0, 6, 1, 0, 1, b"")] {
        assert_eq!(server.exchange(&bytes), simple(1, 1));
    }
    assert_eq!(server.exchange(&request(0, 3, 1, 0, 0, b"")), simple(22, 1));
}

#[test]
fn a_write_beyond_all_limits_is_skipped() {
    let mut server = Server::transmitting(1 << 30, FULL, true);
    let length = splay_nbd::MAX_PAYLOAD_BYTES + 1;
    assert_eq!(server.exchange(&request(0, 1, 5, 0, length, b"")), simple(12, 5));
    let piece = vec![1; 1 << 20];
    for _ in 0..64 {
        assert!(server.exchange(&piece).is_empty());
    }
    assert_eq!(server.exchange(&[&[1][..], &request(0, 3, 6, 0, 0, b"")].concat()), simple(0, 6));
}

#[test]
fn zeroes_and_durable_writes() {
    let mut server = Server::transmitting(4096, FULL, true);
    let requests = [
        request(1, 1, 1, 0, 1, b"x"),
        request(2, 6, 2, 0, 8, b""),
        request(1, 6, 3, 0, 8, b""),
        request(1, 4, 4, 0, 8, b""),
    ];
    server.exchange(&requests.concat());
    let asked: Vec<(Command, bool)> = server
        .asked
        .iter()
        .map(|event| match event {
            Event::Request(request) => (request.command, request.fua),
            other => panic!("{other:?}"),
        })
        .collect();
    let zeroes = |may_trim| Command::WriteZeroes { may_trim, fast: false };
    assert_eq!(
        asked,
        [(Command::Write, true), (zeroes(false), false), (zeroes(true), true), (Command::Trim, true)]
    );
}

#[test]
fn extents_are_joined_and_cut() {
    let mut server = Server::transmitting(1 << 20, Abilities { extents: true, ..FULL }, true);
    let ask = |one| request(if one { 8 } else { 0 }, 7, 1, 0, 1000, b"");
    let mut tell = |one, extents: &[(u64, bool)]| {
        server.session.feed(&ask(one));
        let Ok(Some(Event::Request(request))) = server.session.next_event() else { panic!("a request") };
        assert_eq!(request.command, Command::Extents { one });
        let extents: Vec<Extent> =
            extents.iter().map(|&(length, hole)| Extent { length, hole, zero: hole }).collect();
        server.session.reply_extents(request.ticket, &extents);
        let sent = server.session.unsent().to_vec();
        server.session.sent(sent.len());
        sent
    };
    let told = |runs: &[u32]| {
        chunk(5, 1, &[&[1][..], runs].concat().iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>())
    };
    let list = [(100, false), (0, true), (100, false), (300, true), (9000, false)];
    assert_eq!(tell(false, &list), told(&[200, 0, 300, 3, 500, 0]));
    assert_eq!(tell(true, &list), told(&[200, 0]));
    assert_eq!(tell(false, &[]), chunk(0x8001, 1, &[0, 0, 0, 5, 0, 0]));
}

#[test]
fn short_data_is_no_answer() {
    let mut session = Server::transmitting(4096, FULL, true).session;
    session.feed(&request(0, 0, 1, 0, 4, b""));
    let Ok(Some(Event::Request(asked))) = session.next_event() else { panic!("a request") };
    assert!(!session.reply_read(asked.ticket, b"abc"));
    assert!(session.unsent().is_empty());
    assert!(session.reply_read(asked.ticket, b"abcdef"));
    assert_eq!(session.unsent(), chunk(1, 1, b"\0\0\0\0\0\0\0\0abcd"));
}
