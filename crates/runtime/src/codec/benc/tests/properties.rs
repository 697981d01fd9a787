//! What holds for every value and for any bytes.

use std::collections::BTreeMap;

use mlua::ffi;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{State, Tree, list, number, string};
use crate::codec::benc::*;

/// Keys: anything but nil and not-a-number.
fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        any::<bool>().prop_map(Tree::Boolean),
        (-20i32..20).prop_map(|n| number(f64::from(n))),
        any::<i64>().prop_map(|n| number(n as f64)),
        prop::num::f64::ANY.prop_filter("no NaN", |n| !n.is_nan()).prop_map(number),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Tree::String),
        "[a-c]{0,10}".prop_map(|text| string(&text)),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    scalar().prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(list),
            prop::collection::btree_map(scalar(), inner, 0..8).prop_map(Tree::Table),
        ]
    })
}

/// Plain BitTorrent data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Torrent {
    announce: String,
    #[serde(rename = "creation date")]
    created: i64,
    files: Vec<BTreeMap<String, i64>>,
    tags: BTreeMap<String, Vec<String>>,
}

proptest! {
    #[test]
    fn trees_come_back(value in tree()) {
        let state = State::new();
        let mut out = Vec::new();
        // SAFETY: the value is pushed first.
        unsafe {
            value.push(state.0);
            encode(state.0, 1, &mut out).unwrap();
            prop_assert_eq!(ffi::lua_gettop(state.0), 1);
        }
        prop_assert_eq!(state.decode(&out), Ok(value));
        // Nothing shorter is a value.
        for end in 0..out.len() {
            prop_assert!(skip(&out[..end]).is_err());
            prop_assert!(state.decode(&out[..end]).is_err());
        }
    }

    #[test]
    fn equal_tables_have_equal_bytes(entries in prop::collection::btree_map(scalar(), scalar(), 0..20), seed in any::<u64>()) {
        let state = State::new();
        let mut shuffled: Vec<_> = entries.iter().collect();
        shuffled.sort_by_key(|(key, _)| {
            let mut hash = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&(seed, format!("{key:?}")), &mut hash);
            std::hash::Hasher::finish(&hash)
        });
        let (mut sorted, mut other) = (Vec::new(), Vec::new());
        // SAFETY: both tables are pushed before they are encoded.
        unsafe {
            Tree::Table(entries.clone()).push(state.0);
            ffi::lua_createtable(state.0, 0, 0);
            for (key, value) in shuffled {
                key.push(state.0);
                value.push(state.0);
                ffi::lua_rawset(state.0, -3);
            }
            encode(state.0, 1, &mut sorted).unwrap();
            encode(state.0, 2, &mut other).unwrap();
        }
        prop_assert_eq!(sorted, other);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        tokens in prop::collection::vec(
            prop::sample::select(vec!["l", "d", "e", "i", "1", ":", "-", "n", "t", "f", "1:a", "i1e", "i2e", "0:", "inan", "9"]),
            0..40,
        ),
    ) {
        let state = State::new();
        for data in [bytes, tokens.concat().into_bytes()] {
            let result = state.decode(&data);
            if result.is_err() && !matches!(result, Err(DecodeError::BadKey { .. })) {
                prop_assert_eq!(skip(&data).err(), result.err());
            }
            let top = state.top();
            // SAFETY: the state is live.
            let spread = unsafe { decode_list_values(state.0, &data) };
            let count = spread.map_or(0, |(_, count)| count);
            prop_assert_eq!(state.top(), top + count);
            if let Ok(mut reader) = Reader::new(&data) {
                while let Ok(Some(_)) = reader.next_entry() {}
            }
        }
    }

    #[test]
    fn bittorrent_data_agrees_with_another_codec(
        announce in ".{0,20}", created in -(1i64 << 53)..1 << 53,
        files in prop::collection::vec(prop::collection::btree_map("[a-z ]{0,10}", -1000i64..1000, 0..6), 0..4),
        tags in prop::collection::btree_map(".{0,12}", prop::collection::vec(".{0,5}", 0..3), 0..12),
    ) {
        let torrent = Torrent { announce, created, files, tags };
        let theirs = serde_bencode::to_bytes(&torrent).unwrap();
        let state = State::new();
        let mut ours = Vec::new();
        // SAFETY: `decode` pushes the value that is encoded.
        unsafe {
            decode(state.0, &theirs).unwrap();
            encode(state.0, -1, &mut ours).unwrap();
        }
        // An empty Lua table is a list; their decoder wants `de` where a dictionary belongs.
        let empty_dictionaries = torrent.tags.is_empty() || torrent.files.iter().any(BTreeMap::is_empty);
        if !empty_dictionaries {
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(serde_bencode::from_bytes::<Torrent>(&ours).unwrap(), torrent);
        }
    }
}
