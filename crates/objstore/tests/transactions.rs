//! Random transactions beside a model that is too simple to be wrong: results, errors, what is
//! committed, what a replica has, what a directory brings back, what all counts for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use splay_objstore::{Applied, ApplyError, Bounded, Errno, Flush, Limits, Object, Space, Store, Transaction};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Create(bool),
    Remove,
    Stat,
    Read(i64, i64),
    Write(i64, Vec<u8>),
    WriteFull(Vec<u8>),
    Append(Vec<u8>),
    Truncate(i64),
    Xattr(u8),
    Xattrs,
    SetXattr(u8, Vec<u8>),
    RemoveXattr(u8),
    Value(u8),
    SetValue(u8, Vec<u8>),
    Entries(u8, Option<u8>, usize),
    RemoveKey(u8),
    ClearMap,
    Header,
    SetHeader(Vec<u8>),
}

/// What a step gives, as text.
type Told = Result<String, Errno>;

fn key(number: u8) -> Vec<u8> {
    // Keys that are prefixes of others, and one that sorts by bytes and not by value.
    [&b""[..], b"a", b"aa", b"ab", b"b", b"\xff", b"10", b"9"][number as usize % 8].to_vec()
}

fn told(result: Result<impl std::fmt::Debug, Errno>) -> Told {
    result.map(|value| format!("{value:?}"))
}

fn owned(entries: Vec<(&[u8], &[u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn real(transaction: &mut Transaction<'_>, step: &Step) -> Told {
    match step {
        Step::Create(exclusive) => told(transaction.create(*exclusive)),
        Step::Remove => told(transaction.remove()),
        Step::Stat => told(transaction.stat()),
        Step::Read(offset, length) => told(transaction.read(*offset, *length)),
        Step::Write(offset, data) => told(transaction.write(*offset, data)),
        Step::WriteFull(data) => told(transaction.write_full(data)),
        Step::Append(data) => told(transaction.append(data)),
        Step::Truncate(size) => told(transaction.truncate(*size)),
        Step::Xattr(name) => told(transaction.xattr(&key(*name)).map(<[u8]>::to_vec)),
        Step::Xattrs => told(transaction.xattrs().map(owned)),
        Step::SetXattr(name, value) => told(transaction.set_xattr(&key(*name), value)),
        Step::RemoveXattr(name) => told(transaction.remove_xattr(&key(*name))),
        Step::Value(name) => told(transaction.value(&key(*name)).map(<[u8]>::to_vec)),
        Step::SetValue(name, value) => told(transaction.set_value(&key(*name), value)),
        Step::Entries(after, prefix, max) => {
            let prefix = prefix.map(key).unwrap_or_default();
            told(Ok(owned(transaction.entries(&key(*after), &prefix, *max))))
        }
        Step::RemoveKey(name) => told(transaction.remove_key(&key(*name))),
        Step::ClearMap => told(transaction.clear_map()),
        Step::Header => told(Ok(transaction.header().to_vec())),
        Step::SetHeader(header) => told(transaction.set_header(header)),
    }
}

const LARGEST: usize = 300;

fn write(object: &mut Object, at: usize, data: &[u8]) {
    if !data.is_empty() {
        let end = at + data.len();
        object.data.resize(object.data.len().max(end), 0);
        object.data[at..end].copy_from_slice(data);
    }
}

/// The same by the book: a whole copy of the object.
fn model(object: &mut Option<Object>, now: Duration, step: &Step) -> Told {
    let there = object.is_some();
    let changed = |object: &mut Option<Object>, change: &mut dyn FnMut(&mut Object)| {
        let object = object.get_or_insert_default();
        change(object);
        object.mtime = now;
        told(Ok(()))
    };
    let empty = Object::default();
    let seen = object.as_ref().unwrap_or(&empty);
    let entries = |map: &Map| map.clone().into_iter().collect::<Vec<_>>();
    match step {
        Step::Create(true) if there => Err(Errno::EEXIST),
        Step::Create(_) if there => told(Ok(())),
        Step::Create(_) => changed(object, &mut |_| {}),
        Step::Remove if there => {
            *object = None;
            told(Ok(()))
        }
        Step::Remove | Step::Stat | Step::RemoveKey(_) | Step::ClearMap if !there => Err(Errno::ENOENT),
        Step::Xattr(_) | Step::Xattrs | Step::RemoveXattr(_) if !there => Err(Errno::ENOENT),
        Step::Stat => told(Ok((seen.data.len() as u64, seen.mtime))),
        Step::Read(offset, length) if *offset < 0 || *length < 0 => Err(Errno::EINVAL),
        Step::Read(_, length) if *length > 0 && !there => Err(Errno::ENOENT),
        Step::Read(offset, length) => {
            let length = if *length == 0 { usize::MAX } else { *length as usize };
            told(Ok(seen.data.iter().skip(*offset as usize).take(length).copied().collect::<Vec<_>>()))
        }
        Step::Write(offset, data) if *offset < 0 || *offset as usize + data.len() > LARGEST => {
            let _ = data;
            Err(Errno::EFBIG)
        }
        Step::Write(offset, data) => changed(object, &mut |object| write(object, *offset as usize, data)),
        Step::WriteFull(data) => changed(object, &mut |object| object.data = data.clone()),
        Step::Append(data) if seen.data.len() + data.len() > LARGEST => Err(Errno::EFBIG),
        Step::Append(data) => changed(object, &mut |object| object.data.extend_from_slice(data)),
        Step::Truncate(size) if *size < 0 => Err(Errno::EINVAL),
        Step::Truncate(size) if *size as usize > LARGEST => Err(Errno::EFBIG),
        Step::Truncate(size) => changed(object, &mut |object| object.data.resize(*size as usize, 0)),
        Step::Xattr(name) => told(seen.xattrs.get(&key(*name)).cloned().ok_or(Errno::ENODATA)),
        Step::Xattrs => told(Ok(entries(&seen.xattrs))),
        Step::SetXattr(name, value) => changed(object, &mut |object| {
            object.xattrs.insert(key(*name), value.clone());
        }),
        Step::RemoveXattr(name) if !seen.xattrs.contains_key(&key(*name)) => Err(Errno::ENODATA),
        Step::RemoveXattr(name) => changed(object, &mut |object| {
            object.xattrs.remove(&key(*name));
        }),
        Step::Value(name) => told(seen.omap.get(&key(*name)).cloned().ok_or(Errno::ENOENT)),
        Step::SetValue(name, value) => changed(object, &mut |object| {
            object.omap.insert(key(*name), value.clone());
        }),
        Step::Entries(after, prefix, max) => {
            let (after, prefix) = (key(*after), prefix.map(key).unwrap_or_default());
            let mut found = entries(&seen.omap);
            found.retain(|(key, _)| *key > after && key.starts_with(&prefix));
            found.truncate(*max);
            told(Ok(found))
        }
        Step::RemoveKey(name) if !seen.omap.contains_key(&key(*name)) => told(Ok(())),
        Step::RemoveKey(name) => changed(object, &mut |object| {
            object.omap.remove(&key(*name));
        }),
        Step::ClearMap => changed(object, &mut |object| object.omap.clear()),
        Step::Header => told(Ok(seen.header.clone())),
        Step::SetHeader(header) => changed(object, &mut |object| object.header = header.clone()),
        Step::Remove => unreachable!("both cases are above"),
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => any::<bool>().prop_map(Step::Create),
        1 => Just(Step::Remove),
        1 => Just(Step::Stat),
        1 => (-2..400_i64, -1..60_i64).prop_map(|(offset, length)| Step::Read(offset, length)),
        4 => (-1..290_i64, bytes()).prop_map(|(offset, data)| Step::Write(offset, data)),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::WriteFull),
        1 => bytes().prop_map(Step::Append),
        1 => (-1..310_i64).prop_map(Step::Truncate),
        1 => any::<u8>().prop_map(Step::Xattr),
        1 => Just(Step::Xattrs),
        2 => (any::<u8>(), bytes()).prop_map(|(name, value)| Step::SetXattr(name, value)),
        1 => any::<u8>().prop_map(Step::RemoveXattr),
        1 => any::<u8>().prop_map(Step::Value),
        3 => (any::<u8>(), bytes()).prop_map(|(key, value)| Step::SetValue(key, value)),
        2 => (any::<u8>(), any::<Option<u8>>(), 0..6_usize)
            .prop_map(|(after, prefix, max)| Step::Entries(after, prefix, max)),
        1 => any::<u8>().prop_map(Step::RemoveKey),
        1 => Just(Step::ClearMap),
        1 => Just(Step::Header),
        1 => bytes().prop_map(Step::SetHeader),
    ];
    prop::collection::vec(step, 0..30)
}

/// Which object, whether it is committed, what is done.
fn transactions() -> impl Strategy<Value = Vec<(u8, bool, Vec<Step>)>> {
    prop::collection::vec((0..2_u8, prop::bool::weighted(0.8), steps()), 1..12)
}

fn unbounded() -> Rc<dyn Space> {
    Rc::new(Bounded::new(u64::MAX))
}

fn counted(object: &Object) -> u64 {
    object.bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn transactions_do_what_a_copy_of_the_object_does(transactions in transactions()) {
        let limits = Limits { max_object_bytes: LARGEST as u64, ..Limits::default() };
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), Flush::Never, limits, unbounded()).unwrap();
        let mut replica = Store::memory(limits, unbounded());
        let mut objects: [Option<Object>; 2] = [None, None];
        for (number, (which, commit, steps)) in transactions.into_iter().enumerate() {
            let now = Duration::from_secs(number as u64 + 1);
            let (oid, mut copy) = ([b'o', which], objects[which as usize].clone());
            let mut transaction = store.begin(&oid, now);
            for step in &steps {
                prop_assert_eq!(real(&mut transaction, step), model(&mut copy, now, step), "{:?}", step);
            }
            let draft = transaction.finish();
            if !commit {
                continue;
            }
            if let Some(draft) = draft {
                let before = store.version(&oid);
                let (version, shipped) = store.commit(draft, true).unwrap();
                prop_assert!(version > before);
                let shipped = shipped.unwrap();
                prop_assert_eq!(replica.apply(&shipped, false).unwrap(), Applied::Done);
                prop_assert_eq!(replica.apply(&shipped, false).unwrap(), Applied::Known);
                // Any change is the object's last.
                if let Some(copy) = &mut copy {
                    copy.mtime = now;
                }
            }
            prop_assert_eq!(store.object(&oid), copy.as_ref());
            prop_assert_eq!(replica.object(&oid), copy.as_ref());
            objects[which as usize] = copy;
        }
        let statistics = store.statistics();
        let there = objects.iter().flatten();
        prop_assert_eq!(statistics.objects, there.clone().count() as u64);
        let slots = store.versions().map(|(oid, ..)| oid.len() as u64 + 64).sum::<u64>();
        prop_assert_eq!(statistics.bytes, slots + there.map(counted).sum::<u64>());
        let versions = |store: &Store| {
            store.versions().map(|(oid, version, there)| (oid.to_vec(), version, there)).collect::<Vec<_>>()
        };
        prop_assert_eq!(versions(&store), versions(&replica));

        // A store that knows nothing is told whole objects.
        let mut late = Store::memory(limits, unbounded());
        for (oid, ..) in versions(&store) {
            late.apply(&store.whole(&oid).unwrap(), false).unwrap();
        }
        prop_assert_eq!(versions(&store), versions(&late));

        // And the directory brings all back.
        let before = versions(&store);
        drop(store);
        let again = Store::open(folder.path(), Flush::Never, limits, unbounded()).unwrap();
        prop_assert_eq!(versions(&again), before);
        prop_assert_eq!(again.statistics().bytes, statistics.bytes);
        for (which, object) in objects.iter().enumerate() {
            let oid = [b'o', which as u8];
            prop_assert_eq!(again.object(&oid), object.as_ref());
            prop_assert_eq!(late.object(&oid), object.as_ref());
        }
    }
}

#[test]
fn a_full_store_says_so_and_stays_as_it_is() {
    let space = Rc::new(Bounded::new(1000));
    let mut store = Store::memory(Limits::default(), space.clone());
    let mut transaction = store.begin(b"o", Duration::ZERO);
    assert_eq!(transaction.write(0, &[7; 2000]), Err(Errno::ENOSPC));
    assert_eq!(transaction.stat(), Err(Errno::ENOENT));
    assert_eq!(transaction.write(0, &[7; 600]), Ok(()));
    assert_eq!(transaction.set_xattr(b"x", &[0; 400]), Err(Errno::ENOSPC));
    // What replaces more than it adds fits.
    assert_eq!(transaction.write_full(&[8; 800]), Ok(()));
    let draft = transaction.finish().unwrap();
    store.commit(draft, false).unwrap();
    assert_eq!(space.room(), 1000 - 800 - 65);
    let mut transaction = store.begin(b"o", Duration::ZERO);
    transaction.remove().unwrap();
    let draft = transaction.finish().unwrap();
    store.commit(draft, false).unwrap();
    assert_eq!(space.room(), 1000 - 65);
    assert_eq!(store.forget_removed().unwrap(), 1);
    assert_eq!(space.room(), 1000);
}

#[test]
fn a_transaction_on_an_object_that_changed_meanwhile_is_refused() {
    let mut store = Store::memory(Limits::default(), unbounded());
    let draft = |store: &Store| {
        let mut transaction = store.begin(b"o", Duration::ZERO);
        transaction.append(b"x").unwrap();
        transaction.finish().unwrap()
    };
    let (first, second) = (draft(&store), draft(&store));
    store.commit(first, false).unwrap();
    assert_eq!(store.commit(second, false).unwrap_err().errno(), Errno::ESTALE);
    assert_eq!(store.object(b"o").unwrap().data, b"x");
}

#[test]
fn changes_with_some_missing_before_are_refused() {
    let mut store = Store::memory(Limits::default(), unbounded());
    let mut replica = Store::memory(Limits::default(), unbounded());
    let mut shipped = Vec::new();
    for _ in 0..3 {
        let mut transaction = store.begin(b"o", Duration::ZERO);
        transaction.append(b"x").unwrap();
        let draft = transaction.finish().unwrap();
        shipped.push(store.commit(draft, true).unwrap().1.unwrap());
    }
    replica.apply(&shipped[0], false).unwrap();
    let gap = replica.apply(&shipped[2], false).unwrap_err();
    assert!(matches!(gap, ApplyError::Gap { have: 1, base: 2 }), "{gap}");
    replica.apply(&store.whole(b"o").unwrap(), false).unwrap();
    assert_eq!(replica.object(b"o"), store.object(b"o"));
    assert_eq!(replica.version(b"o"), 3);
}

#[test]
fn a_whole_object_may_replace_one_that_went_another_way() {
    let store = |data: &[u8]| {
        let mut store = Store::memory(Limits::default(), unbounded());
        for _ in 0..2 {
            let mut transaction = store.begin(b"o", Duration::ZERO);
            transaction.append(data).unwrap();
            let draft = transaction.finish().unwrap();
            store.commit(draft, false).unwrap();
        }
        store
    };
    let (one, mut other) = (store(b"one"), store(b"other"));
    let whole = one.whole(b"o").unwrap();
    assert_eq!(other.apply(&whole, false).unwrap(), Applied::Known);
    assert_eq!(other.object(b"o").unwrap().data, b"otherother");
    assert_eq!(other.apply(&whole, true).unwrap(), Applied::Done);
    assert_eq!(other.object(b"o"), one.object(b"o"));
    assert_eq!(other.statistics(), one.statistics());
}

#[test]
fn changes_of_others_obey_the_limits() {
    let mut store = Store::memory(Limits::default(), unbounded());
    let limits = Limits { max_object_bytes: 10, ..Limits::default() };
    let mut small = Store::memory(limits, unbounded());
    let mut transaction = store.begin(b"o", Duration::ZERO);
    transaction.write(20, b"x").unwrap();
    let draft = transaction.finish().unwrap();
    let shipped = store.commit(draft, true).unwrap().1.unwrap();
    assert!(matches!(small.apply(&shipped, false), Err(ApplyError::Misfit(Errno::EFBIG))));
    assert!(matches!(small.apply(b"nonsense", false), Err(ApplyError::Decode(_))));
    assert_eq!(small.statistics().objects, 0);
}
