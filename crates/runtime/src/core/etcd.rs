//! `splay.etcd_core`: etcd stores inside an instance. Requests are read from sockets in Lua, where
//! it waits; what they do and what is answered is decided here. Nothing is kept on disk.

use std::cell::RefCell;

use slab::Slab;
use splay_etcd::error::{Code, KeyError};
use splay_etcd::service::{Entry, Outcome, Service};
use splay_etcd::{Call, Member, Reply, Request, Write};

use crate::native;
use crate::vm::{Ctx, Module, NativeError, Return, Stack};

use super::function_table;

/// The module.
pub const MODULE: Module = Module {
    name: "splay.etcd_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"open", open),
                (c"close", close),
                (c"handle", handle),
                (c"notices", notices),
                (c"unwatch", unwatch),
                (c"expire", expire),
            ],
        );
    },
};

/// Stores of an instance that may be open.
const MOST_STORES: usize = 16;

/// Memory of a store, in bytes: it is not in what Lua counts. Writes are refused beyond it.
const MOST_BYTES: usize = 64 << 20;

/// Stores by the numbers that Lua knows them by.
#[derive(Default)]
struct Stores(RefCell<Slab<Service>>);

/// Nanoseconds since 1970.
fn wall(cx: &Ctx) -> i64 {
    i64::try_from(cx.driver().wall().as_nanos()).unwrap_or(i64::MAX)
}

fn with<T>(cx: &Ctx, stack: Stack, work: impl FnOnce(&mut Service) -> T) -> Result<T, NativeError> {
    let number = stack.check_number(1)?;
    let stores = cx.extension::<Stores>();
    let mut stores = stores.0.borrow_mut();
    let store = stores.get_mut(number as usize).ok_or("the store is closed")?;
    Ok(work(store))
}

fn text(stack: Stack, index: i32) -> Result<String, NativeError> {
    stack.text(index).ok_or_else(|| stack.wrong_type(index, "string"))
}

native! {
    /// `open(name, url) -> store` or nil and a reason.
    fn open(cx, stack) {
        let (name, url) = (text(stack, 1)?, text(stack, 2)?);
        let stores = cx.extension::<Stores>();
        let mut stores = stores.0.borrow_mut();
        if stores.len() == MOST_STORES {
            stack.push_nil();
            stack.push_str("too many stores");
            return Ok(Return::Values(2));
        }
        let member = Member::new(&name, vec![url.clone()], vec![url]);
        let store = stores.insert(Service::new(member, wall(cx)));
        stack.push_int(store as i64);
        Ok(Return::Values(1))
    }

    /// `close(store)`
    fn close(cx, stack) {
        let number = stack.check_number(1)?;
        cx.extension::<Stores>().0.borrow_mut().try_remove(number as usize);
        Ok(Return::Values(0))
    }

    /// `handle(store, method, target, content_type, body, close) -> answer`, the bytes to send; or
    /// `head, watcher, stream, first` where the body comes in chunks: `first` is one that is there
    /// already.
    fn handle(cx, stack) {
        let method = text(stack, 2)?;
        let request = Request {
            method: &method,
            target: stack.check_bytes(3)?,
            content_type: stack.bytes(4),
            body: stack.bytes(5).unwrap_or_default(),
        };
        let (close, now) = (stack.truth(6), wall(cx));
        let (reply, watch) = with(cx, stack, |store| {
            let call = Call::read(&request, now);
            let full = store.bytes() > MOST_BYTES && matches!(&call, Call::Write { write, .. }
                if !matches!(write, Write::Delete { .. } | Write::CompareAndDelete { .. }));
            if full {
                let error = KeyError::request(Code::RaftInternal, "etcdserver: no space");
                return (Reply::from(error).http(store.member(), now, false, close), None);
            }
            match store.call(call, now) {
                Outcome::Reply(reply) => (reply.http(store.member(), now, method == "HEAD", close), None),
                Outcome::Write { entry, brief } => {
                    let reply = store.apply(entry, brief);
                    (reply.http(store.member(), now, false, close), None)
                }
                Outcome::Watch { head, watcher, stream, first } => {
                    (head.chunked(store.member(), now, close), Some((watcher, stream, first)))
                }
            }
        })?;
        stack.push_bytes(&reply);
        let Some((watcher, stream, first)) = watch else { return Ok(Return::Values(1)) };
        stack.push_int(watcher as i64);
        stack.push_bool(stream);
        match first {
            Some(first) => stack.push_bytes(&first),
            None => stack.push_nil(),
        }
        Ok(Return::Values(4))
    }

    /// `notices(store) -> {watcher, body, last, watcher, body, last ...}` since it was last asked;
    /// or nothing if there are none.
    fn notices(cx, stack) {
        let notices = with(cx, stack, Service::take_notices)?;
        if notices.is_empty() {
            return Ok(Return::Values(0));
        }
        stack.new_table(notices.len() as i32 * 3, 0);
        for (at, notice) in (0..).step_by(3).zip(notices) {
            stack.push_int(notice.watcher as i64);
            stack.raw_set_index(-2, at + 1);
            stack.push_bytes(&notice.body);
            stack.raw_set_index(-2, at + 2);
            stack.push_bool(notice.last);
            stack.raw_set_index(-2, at + 3);
        }
        Ok(Return::Values(1))
    }

    /// `unwatch(store, watcher)`: nobody listens to it any more.
    fn unwatch(cx, stack) {
        let watcher = stack.check_number(2)?;
        with(cx, stack, |store| store.unwatch(watcher as u64))?;
        Ok(Return::Values(0))
    }

    /// `expire(store) -> more`: removes keys that have come to their end; whether others will.
    fn expire(cx, stack) {
        let now = wall(cx);
        let more = with(cx, stack, |store| {
            if store.next_end().is_some_and(|end| end <= now) {
                store.apply(Entry { now, write: Write::Expire }, true);
            }
            store.next_end().is_some()
        })?;
        stack.push_bool(more);
        Ok(Return::Values(1))
    }
}
