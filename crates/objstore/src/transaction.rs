//! A transaction on one object: reads see its own writes, and nothing of it is seen by others until
//! the store commits what it has become. Errors are those of RADOS.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use splay_protocol::Errno;

use crate::changes::Mutation;
use crate::object::{Object, entry_bytes};
use crate::store::{Draft, Limits};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Writes to the data that are kept apart from what they change; more are merged.
const MAX_PATCHES: usize = 16;

/// Whose beginning of the data is seen: the object's as it was, or none of it.
#[derive(Debug)]
enum Data {
    /// The object's own up to a size, under writes that came later.
    Patched { kept: usize, patches: Vec<(usize, Vec<u8>)> },
    /// All of it.
    Whole(Vec<u8>),
}

/// What became of a map: `None` for what was removed.
#[derive(Debug, Default)]
struct Overlay {
    /// Nothing of the map as it was is seen.
    hidden: bool,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Overlay {
    fn get<'a>(&'a self, base: Option<&'a Map>, key: &[u8]) -> Option<&'a [u8]> {
        match self.changed.get(key) {
            Some(changed) => changed.as_deref(),
            None if self.hidden => None,
            None => base?.get(key).map(Vec::as_slice),
        }
    }

    fn clear(&mut self) {
        self.hidden = true;
        self.changed.clear();
    }

    /// Entries after a key, or all of them, in order, until `visit` returns false.
    fn walk<'a>(
        &'a self,
        base: Option<&'a Map>,
        after: Bound<&[u8]>,
        mut visit: impl FnMut(&'a [u8], &'a [u8]) -> bool,
    ) {
        let range = (after, Bound::Unbounded);
        let mut changed = self.changed.range::<[u8], _>(range).peekable();
        let base = base.filter(|_| !self.hidden);
        let mut old = base.map(|base| base.range::<[u8], _>(range)).into_iter().flatten().peekable();
        loop {
            let take_old = match (old.peek(), changed.peek()) {
                (None, None) => return,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((key, _)), Some((other, _))) => key < other,
            };
            let (key, value) = if take_old {
                let (key, value) = old.next().expect("peeked");
                (key, Some(value.as_slice()))
            } else {
                let (key, value) = changed.next().expect("peeked");
                old.next_if(|(other, _)| *other == key);
                (key, value.as_deref())
            };
            if let Some(value) = value
                && !visit(key, value)
            {
                return;
            }
        }
    }
}

/// A view of one object and the changes made to it so far.
#[derive(Debug)]
pub struct Transaction<'a> {
    oid: &'a [u8],
    base: Option<&'a Object>,
    version: u64,
    now: Duration,
    limits: Limits,
    /// What the store has room for.
    room: u64,
    /// What the slot of the object counts for once it is there.
    slot_bytes: u64,
    /// What the object counted for before, and counts for now.
    base_bytes: u64,
    bytes: u64,
    exists: bool,
    data: Data,
    size: usize,
    xattrs: Overlay,
    omap: Overlay,
    header: Cow<'a, [u8]>,
    mtime: Duration,
    mutations: Vec<Mutation>,
    /// What the mutations weigh.
    weight: u64,
}

type Outcome<T> = Result<T, Errno>;

impl<'a> Transaction<'a> {
    #[allow(clippy::too_many_arguments)] // what a store knows of an object
    pub(crate) fn new(
        oid: &'a [u8],
        base: Option<&'a Object>,
        base_bytes: u64,
        slot_bytes: u64,
        version: u64,
        now: Duration,
        limits: Limits,
        room: u64,
    ) -> Transaction<'a> {
        let size = base.map_or(0, |base| base.data.len());
        Transaction {
            oid,
            base,
            version,
            // What the encoding holds.
            now: Duration::from_micros(now.as_micros() as u64),
            limits,
            room,
            slot_bytes,
            base_bytes,
            bytes: if base.is_some() { base_bytes } else { 0 },
            exists: base.is_some(),
            data: Data::Patched { kept: size, patches: Vec::new() },
            size,
            xattrs: Overlay::default(),
            omap: Overlay::default(),
            header: Cow::Borrowed(base.map_or(&[], |base| &base.header)),
            mtime: base.map_or(Duration::ZERO, |base| base.mtime),
            mutations: Vec::new(),
            weight: 0,
        }
    }

    /// Version of the object when the transaction began; 0: there never was one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the object counts for now.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether anything has changed.
    pub fn has_changed(&self) -> bool {
        !self.mutations.is_empty()
    }

    /// What is to be committed; `None` if nothing has changed.
    pub fn finish(self) -> Option<Draft> {
        (!self.mutations.is_empty()).then(|| Draft {
            oid: self.oid.to_vec(),
            base: self.version,
            at: self.now,
            bytes: self.bytes,
            mutations: self.mutations,
        })
    }

    // ---- what all changes have in common ---------------------------------------------------

    /// Admits a mutation after which the object counts for `grown - shrunk` bytes more.
    fn admit(&mut self, mutation: Mutation, grown: u64, shrunk: u64) -> Outcome<()> {
        let created = if self.exists { 0 } else { self.slot_bytes };
        let bytes = (self.bytes + grown + created).saturating_sub(shrunk);
        if bytes > self.bytes && bytes.saturating_sub(self.base_bytes) > self.room {
            return Err(Errno::ENOSPC);
        }
        let weight = self.weight + mutation.weight();
        if weight > self.limits.max_transaction_bytes {
            return Err(Errno::EFBIG);
        }
        self.weight = weight;
        self.bytes = bytes;
        self.exists = true;
        self.mtime = self.now;
        self.mutations.push(mutation);
        Ok(())
    }

    fn must_exist(&self) -> Outcome<()> {
        if self.exists { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn xattr_base(&self) -> Option<&'a Map> {
        self.base.map(|base| &base.xattrs)
    }

    fn omap_base(&self) -> Option<&'a Map> {
        self.base.map(|base| &base.omap)
    }

    // ---- life ------------------------------------------------------------------------------

    /// Makes the object. `EEXIST` if it is there and `exclusive`.
    pub fn create(&mut self, exclusive: bool) -> Outcome<()> {
        match (self.exists, exclusive) {
            (true, true) => Err(Errno::EEXIST),
            (true, false) => Ok(()),
            (false, _) => self.admit(Mutation::Create, 0, 0),
        }
    }

    /// Removes the object and all it holds. `ENOENT` if there is none.
    pub fn remove(&mut self) -> Outcome<()> {
        self.must_exist()?;
        // What was written before is of no use any more, for the replicas neither.
        self.mutations.clear();
        self.weight = Mutation::Remove.weight();
        self.bytes = 0;
        self.exists = false;
        self.data = Data::Whole(Vec::new());
        self.size = 0;
        self.xattrs.clear();
        self.omap.clear();
        self.header = Cow::Borrowed(&[]);
        if self.base.is_some() {
            self.mutations.push(Mutation::Remove);
        }
        Ok(())
    }

    /// Size in bytes and time of the last change. `ENOENT` if there is no object.
    pub fn stat(&self) -> Outcome<(u64, Duration)> {
        self.must_exist()?;
        Ok((self.size as u64, self.mtime))
    }

    // ---- data ------------------------------------------------------------------------------

    /// Bytes from `offset` on, fewer at the end of the data; with `length` 0 all up to the end.
    /// `ENOENT` if there is no object (with `length` 0: nothing), `EINVAL` for what is negative.
    pub fn read(&self, offset: i64, length: i64) -> Outcome<Vec<u8>> {
        let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(Errno::EINVAL);
        };
        if length > 0 {
            self.must_exist()?;
        }
        let from = offset.min(self.size);
        let to = if length == 0 { self.size } else { offset.saturating_add(length).min(self.size) };
        Ok(self.bytes_between(from, to.max(from)))
    }

    fn bytes_between(&self, from: usize, to: usize) -> Vec<u8> {
        match &self.data {
            Data::Whole(data) => data[from..to].to_vec(),
            Data::Patched { kept, patches } => {
                let own = self.base.map_or(&[][..], |base| &base.data[..*kept]);
                let mut bytes = own[from.min(*kept)..to.min(*kept)].to_vec();
                bytes.resize(to - from, 0);
                for (at, patch) in patches {
                    let (first, last) = ((*at).max(from), (at + patch.len()).min(to));
                    if first < last {
                        bytes[first - from..last - from].copy_from_slice(&patch[first - at..last - at]);
                    }
                }
                bytes
            }
        }
    }

    /// Makes the data one array if `always`, or if many writes have come together.
    fn merge(&mut self, always: bool) {
        if let Data::Patched { patches, .. } = &self.data
            && (always || patches.len() >= MAX_PATCHES)
        {
            self.data = Data::Whole(self.bytes_between(0, self.size));
        }
    }

    /// Writes bytes from `offset` on. `EFBIG` for a negative offset and beyond the largest size.
    pub fn write(&mut self, offset: i64, data: &[u8]) -> Outcome<()> {
        let Ok(at) = usize::try_from(offset) else { return Err(Errno::EFBIG) };
        let end = at.checked_add(data.len()).filter(|end| *end as u64 <= self.limits.max_object_bytes);
        let Some(end) = end else { return Err(Errno::EFBIG) };
        let grown = if data.is_empty() { 0 } else { end.saturating_sub(self.size) };
        self.admit(Mutation::Write { offset: at as u64, data: data.to_vec() }, grown as u64, 0)?;
        if data.is_empty() {
            return Ok(());
        }
        self.merge(false);
        match &mut self.data {
            Data::Whole(whole) => {
                if whole.len() < end {
                    whole.resize(end, 0);
                }
                whole[at..end].copy_from_slice(data);
            }
            Data::Patched { patches, .. } => patches.push((at, data.to_vec())),
        }
        self.size = self.size.max(end);
        Ok(())
    }

    /// Replaces all data. `EFBIG` beyond the largest size.
    pub fn write_full(&mut self, data: &[u8]) -> Outcome<()> {
        if data.len() as u64 > self.limits.max_object_bytes {
            return Err(Errno::EFBIG);
        }
        self.admit(Mutation::WriteFull { data: data.to_vec() }, data.len() as u64, self.size as u64)?;
        self.data = Data::Whole(data.to_vec());
        self.size = data.len();
        Ok(())
    }

    /// Appends to the data.
    pub fn append(&mut self, data: &[u8]) -> Outcome<()> {
        self.write(self.size as i64, data)
    }

    /// Cuts the data or fills it up with zeroes. `EINVAL` for a negative size, `EFBIG` beyond the
    /// largest.
    pub fn truncate(&mut self, size: i64) -> Outcome<()> {
        let Ok(size) = usize::try_from(size) else { return Err(Errno::EINVAL) };
        if size as u64 > self.limits.max_object_bytes {
            return Err(Errno::EFBIG);
        }
        self.admit(Mutation::Truncate { size: size as u64 }, size as u64, self.size as u64)?;
        self.merge(true);
        if let Data::Whole(data) = &mut self.data {
            data.resize(size, 0);
        }
        self.size = size;
        Ok(())
    }

    // ---- attributes --------------------------------------------------------------------------

    /// An attribute. `ENOENT` without an object, `ENODATA` without the attribute.
    pub fn xattr(&self, name: &[u8]) -> Outcome<&[u8]> {
        self.must_exist()?;
        self.xattrs.get(self.xattr_base(), name).ok_or(Errno::ENODATA)
    }

    /// All attributes, by name in order. `ENOENT` without an object.
    pub fn xattrs(&self) -> Outcome<Vec<(&[u8], &[u8])>> {
        self.must_exist()?;
        let mut all = Vec::new();
        self.xattrs.walk(self.xattr_base(), Bound::Unbounded, |name, value| {
            all.push((name, value));
            true
        });
        Ok(all)
    }

    /// Sets an attribute.
    pub fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Outcome<()> {
        let old = self.xattrs.get(self.xattr_base(), name).map_or(0, |old| entry_bytes(name, old));
        let mutation = Mutation::SetXattr { name: name.to_vec(), value: value.to_vec() };
        self.admit(mutation, entry_bytes(name, value), old)?;
        self.xattrs.changed.insert(name.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    /// Removes an attribute. `ENOENT` without an object, `ENODATA` without the attribute.
    pub fn remove_xattr(&mut self, name: &[u8]) -> Outcome<()> {
        let old = entry_bytes(name, self.xattr(name)?);
        self.admit(Mutation::RemoveXattr { name: name.to_vec() }, 0, old)?;
        self.xattrs.changed.insert(name.to_vec(), None);
        Ok(())
    }

    // ---- map ---------------------------------------------------------------------------------

    /// A value of the map. `ENOENT` without it.
    pub fn value(&self, key: &[u8]) -> Outcome<&[u8]> {
        self.omap.get(self.omap_base(), key).ok_or(Errno::ENOENT)
    }

    /// Sets a value of the map.
    pub fn set_value(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        let old = self.omap.get(self.omap_base(), key).map_or(0, |old| entry_bytes(key, old));
        let mutation = Mutation::SetKey { key: key.to_vec(), value: value.to_vec() };
        self.admit(mutation, entry_bytes(key, value), old)?;
        self.omap.changed.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    /// At most `max` entries in the order of the keys' bytes, of keys that begin with `prefix` and
    /// come after `after` (an empty one: all do, but the empty key).
    pub fn entries(&self, after: &[u8], prefix: &[u8], max: usize) -> Vec<(&[u8], &[u8])> {
        let mut found = Vec::new();
        if max == 0 {
            return found;
        }
        let from = if prefix > after { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.omap.walk(self.omap_base(), from, |key, value| {
            if !key.starts_with(prefix) {
                return false;
            }
            found.push((key, value));
            found.len() < max
        });
        found
    }

    /// Removes an entry, if it is there. `ENOENT` without an object.
    pub fn remove_key(&mut self, key: &[u8]) -> Outcome<()> {
        self.must_exist()?;
        let old = self.omap.get(self.omap_base(), key).map(|old| entry_bytes(key, old));
        let Some(old) = old else { return Ok(()) };
        self.admit(Mutation::RemoveKey { key: key.to_vec() }, 0, old)?;
        self.omap.changed.insert(key.to_vec(), None);
        Ok(())
    }

    /// Removes all entries; the header stays. `ENOENT` without an object.
    pub fn clear_map(&mut self) -> Outcome<()> {
        self.must_exist()?;
        let mut old = 0;
        self.omap.walk(self.omap_base(), Bound::Unbounded, |key, value| {
            old += entry_bytes(key, value);
            true
        });
        self.admit(Mutation::ClearMap, 0, old)?;
        self.omap.clear();
        Ok(())
    }

    /// Header of the map; empty without one.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Sets the header of the map.
    pub fn set_header(&mut self, header: &[u8]) -> Outcome<()> {
        let old = self.header.len() as u64;
        self.admit(Mutation::SetHeader { header: header.to_vec() }, header.len() as u64, old)?;
        self.header = Cow::Owned(header.to_vec());
        Ok(())
    }

    // ---- of others ---------------------------------------------------------------------------

    /// Makes a change that another store made.
    pub(crate) fn repeat(&mut self, mutation: &Mutation) -> Outcome<()> {
        match mutation {
            Mutation::Create => self.create(false),
            Mutation::Remove => self.remove(),
            Mutation::Write { offset, data } => {
                self.write(i64::try_from(*offset).map_err(|_| Errno::EFBIG)?, data)
            }
            Mutation::WriteFull { data } => self.write_full(data),
            Mutation::Truncate { size } => self.truncate(i64::try_from(*size).map_err(|_| Errno::EFBIG)?),
            Mutation::SetXattr { name, value } => self.set_xattr(name, value),
            Mutation::RemoveXattr { name } => self.remove_xattr(name),
            Mutation::SetKey { key, value } => self.set_value(key, value),
            Mutation::RemoveKey { key } => self.remove_key(key),
            Mutation::ClearMap => self.clear_map(),
            Mutation::SetHeader { header } => self.set_header(header),
        }
    }
}
