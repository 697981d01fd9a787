//! A directory after crashes: torn anywhere, damaged anywhere, killed while it is rewritten.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use splay_objstore::{Bounded, DirectoryError, Errno, Flush, Limits, Space, Store, StoreError};

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, Flush::Never, Limits::default(), Rc::new(Bounded::new(u64::MAX)))
}

fn append(store: &mut Store, oid: &[u8], data: &[u8]) -> Result<u64, StoreError> {
    let mut transaction = store.begin(oid, Duration::from_secs(1));
    transaction.append(data).expect("room for it");
    let draft = transaction.finish().expect("a change");
    Ok(store.commit(draft, false)?.0)
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains("objects.")).collect();
    logs.sort();
    logs
}

#[test]
fn a_log_torn_anywhere_has_all_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = vec![8];
    {
        let mut store = open(folder.path()).unwrap();
        for number in 0..5_u8 {
            append(&mut store, b"o", &[number; 9]).unwrap();
            ends.push(store.statistics().disk_bytes);
        }
    }
    let log = logs(folder.path()).pop().unwrap();
    let whole = std::fs::read(&log).unwrap();
    for length in 0..=whole.len() {
        std::fs::write(&log, &whole[..length]).unwrap();
        let mut store = open(folder.path()).unwrap();
        let kept = ends.iter().filter(|end| **end <= length as u64).count().saturating_sub(1);
        let size = store.object(b"o").map_or(0, |object| object.data.len());
        assert_eq!(size, kept * 9, "{length}");
        // And it goes on from there.
        append(&mut store, b"o", b"more").unwrap();
        drop(store);
        let store = open(folder.path()).unwrap();
        assert_eq!(store.object(b"o").unwrap().data.len(), kept * 9 + 4, "{length}");
        assert_eq!(store.version(b"o"), kept as u64 + 1);
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let last = {
        let mut store = open(folder.path()).unwrap();
        append(&mut store, b"o", b"first").unwrap();
        append(&mut store, b"o", b"second").unwrap();
        let last = store.statistics().disk_bytes as usize;
        append(&mut store, b"o", b"third").unwrap();
        last
    };
    let log = logs(folder.path()).pop().unwrap();
    let whole = std::fs::read(&log).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&log, &damaged).unwrap();
        match open(folder.path()) {
            // The last record may have been torn off: nothing tells.
            Ok(store) => {
                assert!(at >= last, "damage at {at} was not found");
                assert_eq!(store.object(b"o").unwrap().data, b"firstsecond");
            }
            Err(StoreError::Directory(error @ DirectoryError::Damaged { .. })) => {
                assert!(at < last, "{at}: {error}");
                assert_eq!(error.errno(), Errno::EIO);
            }
            Err(other) => panic!("{at}: {other}"),
        }
    }
}

#[test]
fn a_log_is_rewritten_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let space = Rc::new(Bounded::new(u64::MAX));
    let mut store = Store::open(folder.path(), Flush::EachSecond, Limits::default(), space.clone()).unwrap();
    for number in 0..100_u32 {
        let mut transaction = store.begin(b"o", Duration::from_secs(u64::from(number)));
        transaction.write_full(&[number as u8; 100_000]).unwrap();
        transaction.set_value(&number.to_le_bytes(), b"v").unwrap();
        let draft = transaction.finish().unwrap();
        store.commit(draft, false).unwrap();
    }
    let statistics = store.statistics();
    assert!(statistics.disk_bytes < 2_000_000, "{statistics:?}");
    assert_eq!(space.room(), u64::MAX - statistics.disk_bytes);
    assert_eq!(logs(folder.path()).len(), 1);
    let before = store.object(b"o").cloned();
    drop(store);
    assert_eq!(space.room(), u64::MAX);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.object(b"o").cloned(), before);
    assert_eq!(store.version(b"o"), 100);
}

#[test]
fn what_a_rewriting_left_half_done_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    append(&mut open(folder.path()).unwrap(), b"o", b"kept").unwrap();
    std::fs::write(folder.path().join("objects.0000000000000002.new"), b"SPLYOBJ1half").unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.object(b"o").unwrap().data, b"kept");
    assert_eq!(logs(folder.path()).len(), 1);
    drop(store);
    // Whole, but the old one was still there when the program ended.
    let old = logs(folder.path()).pop().unwrap();
    std::fs::copy(&old, folder.path().join("objects.0000000000000002")).unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.object(b"o").unwrap().data, b"kept");
    assert!(!old.exists());
}

#[test]
fn one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Directory(DirectoryError::InUse(_))), "{error}");
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn a_bounded_log_makes_room_before_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let space = Rc::new(Bounded::new(20_000));
    let mut store = Store::open(folder.path(), Flush::Never, Limits::default(), space.clone()).unwrap();
    // Much more in all than there is room for, but never at the same time.
    for number in 0..100_u8 {
        let mut transaction = store.begin(b"o", Duration::ZERO);
        transaction.write_full(&[number; 2000]).unwrap();
        let draft = transaction.finish().unwrap();
        store.commit(draft, false).unwrap();
    }
    let mut refused = None;
    for number in 0..20_u8 {
        let oid = [number];
        let mut transaction = store.begin(&oid, Duration::ZERO);
        let fits = transaction.write_full(&[number; 2000]);
        let outcome = match (fits, transaction.finish()) {
            (Ok(()), Some(draft)) => store.commit(draft, false).map_err(|error| error.errno()).map(drop),
            (fits, _) => fits,
        };
        refused = refused.or(outcome.err());
    }
    assert_eq!(refused, Some(Errno::ENOSPC), "20 times 2000 bytes do not fit");
    assert!(space.room() < 20_000);
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.object(b"o").unwrap().data, [99; 2000]);
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(file.path()).unwrap_err().to_string();
    assert!(error.starts_with("make the folder `"), "{error}");
}
