//! Whatever a client sends, and however it arrives, nothing breaks; and a disk keeps what is written.

mod client;

use client::{FULL, Server, option, queries, request, wishes};
use proptest::prelude::*;
use splay_nbd::{Config, MAX_PAYLOAD_BYTES, Tls};

/// A message: mostly well-formed, so that what is behind it is reached.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        bytes.clone(),
        (0..14_u32, bytes.clone()).prop_map(|(kind, data)| option(kind, &data)),
        (6..8_u32, bytes.clone(), proptest::collection::vec(any::<u16>(), 0..4))
            .prop_map(|(kind, name, requests)| option(kind, &wishes(&name, &requests))),
        (9..11_u32).prop_map(|kind| option(kind, &queries(b"", &[b"base:allocation", b"base:"]))),
        (any::<u16>(), 0..9_u16, 0..9000_u64, 0..9000_u32, bytes).prop_map(
            |(flags, kind, offset, length, data)| request(flags % 32, kind, 1, offset, length, &data)
        ),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(message(), 0..12).prop_map(|messages| messages.concat())
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        bytes in conversation(),
        begun in any::<bool>(),
        cuts in proptest::collection::vec(1..50_usize, 1..20),
    ) {
        let fresh = || match begun {
            true => Server::transmitting(8192, FULL, true),
            false => {
                let config = Config { tls: Tls::Allowed, ..Config::default() };
                let mut server = Server::new(config, 8192, FULL);
                server.exchange(&[0, 0, 0, 3]);
                server
            }
        };
        let (mut whole, mut cut) = (fresh(), fresh());
        let expected = whole.exchange(&bytes);
        let mut answered = Vec::new();
        let mut rest = &bytes[..];
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(*length));
            answered.extend(cut.exchange(piece));
            rest = behind;
        }
        prop_assert_eq!(answered, expected);
        prop_assert_eq!(cut.asked, whole.asked);
        prop_assert_eq!(cut.ended, whole.ended);
        prop_assert_eq!(cut.disk, whole.disk);
    }

    #[test]
    fn memory_grows_with_what_has_come(length in 1..MAX_PAYLOAD_BYTES) {
        // A write is announced, and little of it follows.
        let mut server = Server::transmitting(1 << 27, FULL, true);
        server.exchange(&request(0, 1, 1, 0, length, &[0; 1000]));
        prop_assert!(server.session.room().len() < 1 << 20);
    }

    #[test]
    fn a_disk_keeps_what_is_written(
        writes in proptest::collection::vec((0..8000_u64, proptest::collection::vec(any::<u8>(), 1..192)), 1..20),
        structured in any::<bool>(),
    ) {
        let mut server = Server::transmitting(8192, FULL, structured);
        let mut model = vec![0; 8192];
        for (cookie, (offset, data)) in writes.iter().enumerate() {
            model[*offset as usize..][..data.len()].copy_from_slice(data);
            let length = u32::try_from(data.len()).unwrap();
            server.exchange(&request(0, 1, cookie as u64, *offset, length, data));
        }
        let read = server.exchange(&request(0, 0, 1, 0, 8192, b""));
        prop_assert_eq!(&read[read.len() - 8192..], &model[..]);
    }
}
