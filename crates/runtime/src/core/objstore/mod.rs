//! `splay.objstore_core`: stores as objects, and `exec` on them. What programs call is in
//! `splay.objstore` (Lua).

mod bufferlist;
mod handler;
pub(crate) mod ledger;
mod objclass;
mod plain;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use splay_objstore::request::Request;
use splay_objstore::{Applied, ApplyError, Draft, Errno, Flush, Limits, Store};

use self::handler::{Call, HandlerLimits, Outcome, Script};
use self::ledger::{Ledger, Place};
use super::function_table;
use crate::native;
use crate::vm::nested::MAX_MEMORY_BYTES;
use crate::vm::{Ctx, Kind, Module, NativeError, NativeResult, Return, Stack};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.objstore_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"open", open),
                (c"close", close),
                (c"exec", exec),
                (c"install", install),
                (c"classes", classes),
                (c"apply", apply),
                (c"whole", whole),
                (c"version", version),
                (c"versions", versions),
                (c"list", list),
                (c"stats", stats),
                (c"flush", flush),
                (c"forget_removed", forget_removed),
                (c"encode_bufferlist", encode_bufferlist),
            ],
        );
        stack.add_functions(&plain::FUNCTIONS);
    },
};

/// Bytes of compiled scripts that are kept.
const CACHE_BYTES: usize = 4 << 20;

/// In virtual time the clock cuts only what would never end: the count of steps decides.
const VIRTUAL_DEADLINE: Duration = Duration::from_secs(60);

/// Scripts that were run, compiled.
#[derive(Default)]
struct Scripts {
    by_source: FxHashMap<Vec<u8>, Rc<Script>>,
    weight: usize,
}

impl Scripts {
    fn get(&mut self, source: &[u8]) -> Rc<Script> {
        if let Some(script) = self.by_source.get(source) {
            return script.clone();
        }
        let script = Rc::new(Script::new("script", source));
        if self.weight + script.weight() > CACHE_BYTES {
            self.by_source.clear();
            self.weight = 0;
        }
        if script.weight() <= CACHE_BYTES {
            self.weight += script.weight();
            self.by_source.insert(source.to_vec(), script.clone());
        }
        script
    }
}

/// A store that is open.
struct Opened {
    store: Store,
    ledger: Rc<Ledger>,
    /// Dropped after the store.
    _place: Option<Place>,
}

/// What a store object stands for.
struct Shelf {
    opened: RefCell<Option<Opened>>,
    scripts: RefCell<Scripts>,
    classes: RefCell<BTreeMap<Vec<u8>, Rc<Script>>>,
    steps: Cell<u64>,
    memory_bytes: Cell<usize>,
    time: Cell<Duration>,
    /// The answer for a function that is not registered.
    unregistered: Cell<Errno>,
}

/// A full userdata of a store.
struct Handle {
    mark: *const u8,
    shelf: Option<Rc<Shelf>>,
}

static MARK: u8 = 0;

/// Registry reference of the metatable.
#[derive(Default)]
struct Library {
    metatable: Cell<i32>,
}

fn handle<'a>(stack: Stack, index: i32) -> Option<&'a mut Handle> {
    if stack.kind(index) != Kind::Userdata || stack.raw_len(index) != size_of::<Handle>() {
        return None;
    }
    let handle = stack.userdata(index).cast::<Handle>();
    // SAFETY: a full userdata of this size; the mark says whether it is one of ours. It is used only
    // while the value is on the stack, by one native at a time.
    unsafe { ((*handle).mark == &raw const MARK).then(|| &mut *handle) }
}

fn shelf(stack: Stack) -> Result<Rc<Shelf>, NativeError> {
    handle(stack, 1).and_then(|handle| handle.shelf.clone()).ok_or_else(|| stack.wrong_type(1, "store"))
}

impl Shelf {
    /// The open store.
    fn opened(&self) -> Result<RefMut<'_, Opened>, NativeError> {
        RefMut::filter_map(self.opened.borrow_mut(), Option::as_mut).map_err(|_| "the store is closed".into())
    }
}

/// `nil, message, number`.
fn refuse(stack: Stack, message: &str, errno: Errno) -> NativeResult {
    stack.push_nil();
    stack.push_str(message);
    stack.push_int(errno.0.into());
    Ok(Return::Values(3))
}

/// A field of the table at `index` that is a number not below 0.
fn amount(stack: Stack, index: i32, key: &std::ffi::CStr) -> Result<Option<f64>, NativeError> {
    stack.field(index, key);
    let (nil, number) = (stack.is_nil(-1), stack.number(-1));
    stack.pop(1);
    match number {
        Some(number) if number >= 0.0 => Ok(Some(number)),
        None if nil => Ok(None),
        _ => Err(format!("{}: a number from 0 on is expected", key.to_string_lossy()).into()),
    }
}

fn choice(stack: Stack, index: i32, key: &std::ffi::CStr) -> Result<Option<String>, NativeError> {
    stack.field(index, key);
    let text = if stack.is_nil(-1) { None } else { Some(stack.text(-1).unwrap_or_default()) };
    stack.pop(1);
    Ok(text)
}

/// Words of Lua: alone they are scripts, if wrong ones.
const KEYWORDS: &str = " and break do else elseif end false for function goto if in local nil not or \
                        repeat return then true until while ";

fn is_name(text: &[u8]) -> bool {
    let keyword = |word: &[u8]| KEYWORDS.split(' ').any(|keyword| keyword.as_bytes() == word);
    let word = text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
    word && !keyword(text)
}

fn failed(errno: Errno, error: String) -> Outcome {
    Outcome { ret: -errno.0, error: Some(error), ..Outcome::default() }
}

/// Runs what a client names: an installed class's handler, a method of the class `lua`, or a script.
fn call(cx: &Ctx, shelf: &Shelf, opened: &Opened, oid: &[u8], what: [&[u8]; 3]) -> Result<Outcome, String> {
    let [class, method, input] = what;
    let request;
    let script;
    let (mut handler, mut input) = (method, input);
    let mut unregistered = shelf.unregistered.get();
    if class == b"lua" {
        let read = match method {
            b"eval_json" => Request::from_json(input),
            b"eval_bufferlist" => Request::from_bufferlist(input),
            _ => return Ok(failed(Errno::EOPNOTSUPP, "no such method of the class lua".to_owned())),
        };
        request = match read {
            Ok(request) => request,
            Err(error) => return Ok(failed(Errno::EINVAL, error.to_string())),
        };
        script = shelf.scripts.borrow_mut().get(&request.script);
        (handler, input) = (&request.handler, &request.input);
    } else if is_name(class) {
        let installed = shelf.classes.borrow().get(class).cloned();
        let Some(installed) = installed else {
            let name = String::from_utf8_lossy(class);
            return Ok(failed(Errno::EOPNOTSUPP, format!("no class `{name}`")));
        };
        // What is not registered is no method.
        unregistered = Errno::EOPNOTSUPP;
        script = installed;
    } else {
        script = shelf.scripts.borrow_mut().get(class);
    }
    let (wall, virtual_time) = {
        let driver = cx.driver();
        (driver.wall(), driver.is_virtual())
    };
    let time = if virtual_time { shelf.time.get().max(VIRTUAL_DEADLINE) } else { shelf.time.get() };
    let limits = HandlerLimits {
        steps: shelf.steps.get(),
        memory_bytes: shelf.memory_bytes.get(),
        deadline: Instant::now().checked_add(time),
    };
    let transaction = opened.store.begin(oid, wall);
    handler::run(transaction, Call { script: &script, handler, input, unregistered }, limits)
}

/// Commits a draft; the version, and the changes if `ship`.
fn commit(
    cx: &Ctx,
    opened: &mut Opened,
    draft: Draft,
    ship: bool,
) -> Result<(u64, Option<Vec<u8>>), (Errno, String)> {
    opened.store.commit(draft, ship).map_err(|error| {
        opened.ledger.tell(cx);
        (error.errno(), error.to_string())
    })
}

native! {
    /// `open(settings) -> store`, or nil, message, number.
    fn open(cx, stack) {
        stack.check_table(1)?;
        let max_bytes = amount(stack, 1, c"max_bytes")?.map_or(u64::MAX, |bytes| bytes as u64);
        let mut limits = Limits::default();
        if let Some(bytes) = amount(stack, 1, c"max_object_bytes")? {
            // Lengths are four bytes on the disk.
            limits.max_object_bytes = (bytes as u64).min(1 << 30);
            limits.max_transaction_bytes = limits.max_object_bytes.max(limits.max_transaction_bytes);
        }
        let steps = amount(stack, 1, c"max_steps")?.unwrap_or(10e6) as u64;
        let memory_bytes = amount(stack, 1, c"max_memory")?.unwrap_or(16_777_216.0) as usize;
        if memory_bytes == 0 || memory_bytes > MAX_MEMORY_BYTES {
            return Err(format!("max_memory: from 1 to {MAX_MEMORY_BYTES} bytes are possible").into());
        }
        let time = amount(stack, 1, c"max_seconds")?.unwrap_or(5.0);
        let time = Duration::try_from_secs_f64(time).map_err(|_| "max_seconds: too many")?;
        let unregistered = match choice(stack, 1, c"compat")?.as_deref() {
            None | Some("upstream") => Errno::EIO,
            Some("2013") => Errno::EOPNOTSUPP,
            Some(_) => return Err("compat: \"upstream\" or \"2013\" is expected".into()),
        };
        let flush = match choice(stack, 1, c"flush")?.as_deref() {
            None | Some("commit") => Flush::EachCommit,
            Some("second") => Flush::EachSecond,
            Some("never") => Flush::Never,
            Some(_) => return Err("flush: \"commit\", \"second\" or \"never\" is expected".into()),
        };
        let ledger = Ledger::new(cx, max_bytes);
        let opened = match choice(stack, 1, c"directory")? {
            None => {
                let store = Store::memory(limits, ledger.clone());
                Opened { store, ledger, _place: None }
            }
            Some(name) => {
                let place = match Place::take(cx, &name) {
                    Ok(place) => place,
                    Err(message) => return refuse(stack, &message, Errno(24)),
                };
                match Store::open(&place.path, flush, limits, ledger.clone()) {
                    Ok(store) => Opened { store, ledger, _place: Some(place) },
                    Err(error) => {
                        ledger.tell(cx);
                        // A sandboxed program knows its folders by its own names.
                        let message = error.to_string().replace(&*place.path.to_string_lossy(), &name);
                        return refuse(stack, &message, error.errno());
                    }
                }
            }
        };
        let shelf = Shelf {
            opened: RefCell::new(Some(opened)),
            scripts: RefCell::default(),
            classes: RefCell::default(),
            steps: Cell::new(steps),
            memory_bytes: Cell::new(memory_bytes),
            time: Cell::new(time),
            unregistered: Cell::new(unregistered),
        };
        let library = cx.extension::<Library>();
        if library.metatable.get() == 0 {
            stack.new_table(0, 2);
            stack.push_native(collect);
            stack.set_field(-2, c"__gc");
            stack.push_bool(false);
            stack.set_field(-2, c"__metatable");
            library.metatable.set(stack.store());
        }
        let memory = stack.new_userdata(size_of::<Handle>()).cast::<Handle>();
        // SAFETY: a fresh userdata of this size; nothing reads it before it is filled.
        unsafe { memory.write(Handle { mark: &raw const MARK, shelf: Some(Rc::new(shelf)) }) };
        stack.stored(library.metatable.get());
        stack.set_metatable(-2);
        Ok(Return::Values(1))
    }

    /// Finaliser.
    fn collect(cx, stack) {
        if let Some(handle) = handle(stack, 1) {
            drop(handle.shelf.take());
        }
        Ok(Return::Values(0))
    }

    /// `close(store)`: nothing can be done with it any more.
    fn close(cx, stack) {
        shelf(stack)?.opened.borrow_mut().take();
        Ok(Return::Values(0))
    }

    /// `exec(store, oid, class, handler, input, ship)
    /// -> ret, output, { line ..., error = text }, levels, changes`
    fn exec(cx, stack) {
        let shelf = shelf(stack)?;
        let mut opened = shelf.opened()?;
        let (oid, class) = (stack.check_bytes(2)?, stack.check_bytes(3)?);
        let (method, input) = (stack.check_bytes(4)?, stack.check_bytes(5)?);
        let ship = stack.truth(6);
        let mut outcome = call(cx, &shelf, &opened, oid, [class, method, input])?;
        let mut changes = None;
        if let Some(draft) = outcome.draft.take() {
            match commit(cx, &mut opened, draft, ship) {
                Ok((_, encoded)) => changes = encoded,
                Err((errno, message)) => {
                    outcome.ret = -errno.0;
                    outcome.error = Some(message);
                }
            }
        } else if outcome.ret == -Errno::ENOSPC.0 {
            opened.ledger.tell(cx);
        }
        drop(opened);
        stack.push_int(outcome.ret.into());
        stack.push_bytes(&outcome.output);
        let lines = outcome.log.len() as i32;
        stack.new_table(lines, i32::from(outcome.error.is_some()));
        for (index, line) in (1..).zip(&outcome.log) {
            stack.push_bytes(&line.text);
            stack.raw_set_index(-2, index);
        }
        if let Some(error) = &outcome.error {
            stack.push_str(error);
            stack.set_field(-2, c"error");
        }
        if lines == 0 {
            stack.push_nil();
        } else {
            stack.new_table(lines, 0);
            for (index, line) in (1..).zip(&outcome.log) {
                stack.push_int(line.level);
                stack.raw_set_index(-2, index);
            }
        }
        match &changes {
            Some(changes) => stack.push_bytes(changes),
            None => stack.push_nil(),
        }
        Ok(Return::Values(5))
    }

    /// `install(store, name, script)`: a class; nil takes it away.
    fn install(cx, stack) {
        let shelf = shelf(stack)?;
        let name = stack.check_bytes(2)?;
        if !is_name(name) || name == b"lua" {
            let name = String::from_utf8_lossy(name);
            return refuse(stack, &format!("`{name}` cannot be the name of a class"), Errno::EINVAL);
        }
        if stack.is_nil(3) {
            let gone = shelf.classes.borrow_mut().remove(name).is_some();
            stack.push_bool(gone);
            return Ok(Return::Values(1));
        }
        let source = stack.check_bytes(3)?;
        let shown = String::from_utf8_lossy(name);
        if let Err(message) =
            crate::vm::compile_alone(&format!("={shown}"), &crate::compat::prepare(source))
        {
            return refuse(stack, &message, Errno::EINVAL);
        }
        let script = Rc::new(Script::new(&shown, source));
        shelf.classes.borrow_mut().insert(name.to_vec(), script);
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `classes(store) -> names`, in order.
    fn classes(cx, stack) {
        let shelf = shelf(stack)?;
        let classes = shelf.classes.borrow();
        stack.new_table(classes.len() as i32, 0);
        for (index, name) in (1..).zip(classes.keys()) {
            stack.push_bytes(name);
            stack.raw_set_index(-2, index);
        }
        Ok(Return::Values(1))
    }

    /// `apply(store, changes, force) -> "done" or "known"`, or nil, message, number; with a gap the
    /// version here is the fourth result.
    fn apply(cx, stack) {
        let shelf = shelf(stack)?;
        let mut opened = shelf.opened()?;
        let applied = opened.store.apply(stack.check_bytes(2)?, stack.truth(3));
        let error = match applied {
            Ok(applied) => {
                stack.push_str(if applied == Applied::Done { "done" } else { "known" });
                return Ok(Return::Values(1));
            }
            Err(error) => error,
        };
        opened.ledger.tell(cx);
        let errno = match &error {
            ApplyError::Decode(_) => Errno::EINVAL,
            ApplyError::Misfit(errno) => *errno,
            ApplyError::Store(error) => error.errno(),
            ApplyError::Gap { .. } => Errno::ESTALE,
        };
        let values = refuse(stack, &error.to_string(), errno)?;
        if let ApplyError::Gap { have, .. } = error {
            stack.push_int(have as i64);
            return Ok(Return::Values(4));
        }
        Ok(values)
    }

    /// `whole(store, oid) -> changes`, or nil if there never was such an object.
    fn whole(cx, stack) {
        let shelf = shelf(stack)?;
        match shelf.opened()?.store.whole(stack.check_bytes(2)?) {
            Some(changes) => stack.push_bytes(&changes),
            None => stack.push_nil(),
        }
        Ok(Return::Values(1))
    }

    /// `version(store, oid) -> integer`
    fn version(cx, stack) {
        let shelf = shelf(stack)?;
        let version = shelf.opened()?.store.version(stack.check_bytes(2)?);
        stack.push_int(version as i64);
        Ok(Return::Values(1))
    }

    /// `versions(store) -> { oid = version }`, removed objects too.
    fn versions(cx, stack) {
        let shelf = shelf(stack)?;
        let opened = shelf.opened()?;
        stack.new_table(0, 0);
        for (oid, version, _) in opened.store.versions() {
            stack.push_bytes(oid);
            stack.push_int(version as i64);
            stack.raw_set(-3);
        }
        Ok(Return::Values(1))
    }

    /// `list(store, after, max) -> names`
    fn list(cx, stack) {
        let shelf = shelf(stack)?;
        let opened = shelf.opened()?;
        let max = stack.check_number(3)?.clamp(0.0, 1e9) as usize;
        let names = opened.store.names(stack.check_bytes(2)?, max);
        stack.new_table(names.len() as i32, 0);
        for (index, name) in (1..).zip(names) {
            stack.push_bytes(name);
            stack.raw_set_index(-2, index);
        }
        Ok(Return::Values(1))
    }

    /// `stats(store) -> table`
    fn stats(cx, stack) {
        let shelf = shelf(stack)?;
        let stats = shelf.opened()?.store.statistics();
        stack.new_table(0, 4);
        for (key, value) in [
            (c"objects", stats.objects),
            (c"bytes", stats.bytes),
            (c"disk_bytes", stats.disk_bytes),
            (c"version", stats.version),
        ] {
            stack.push_number(value as f64);
            stack.set_field(-2, key);
        }
        Ok(Return::Values(1))
    }

    /// `flush(store) -> true`, or nil, message, number.
    fn flush(cx, stack) {
        let shelf = shelf(stack)?;
        let flushed = shelf.opened()?.store.flush();
        if let Err(error) = flushed {
            return refuse(stack, &error.to_string(), error.errno());
        }
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `forget_removed(store) -> count`, or nil, message, number.
    fn forget_removed(cx, stack) {
        let shelf = shelf(stack)?;
        let forgotten = shelf.opened()?.store.forget_removed();
        match forgotten {
            Ok(count) => stack.push_int(count as i64),
            Err(error) => return refuse(stack, &error.to_string(), error.errno()),
        }
        Ok(Return::Values(1))
    }

    /// `encode_bufferlist(script, handler, input) -> string` for the method `eval_bufferlist`.
    fn encode_bufferlist(cx, stack) {
        let part = |index| stack.check_bytes(index).map(<[u8]>::to_vec);
        let request = Request { script: part(1)?, handler: part(2)?, input: part(3)? };
        stack.push_bytes(&request.to_bufferlist());
        Ok(Return::Values(1))
    }
}
