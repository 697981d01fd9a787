//! `splay.tls_core`: TLS over the connections of `splay.socket_core`. A wrapped connection is a
//! socket object like any other, with a layer between it and the driver and a few
//! methods more; the old object is closed, without its connection.

mod context;
pub(super) mod layer;

use std::ffi::c_void;
use std::io::ErrorKind;
use std::rc::Rc;

use super::object::{self, Class, Library, Sock, create_secure, fail, text, this};
use super::stream::unwatch;
use crate::core::function_table;
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Interest, Kind, Module, NativeError, Request, Return, Stack, Wait};
use context::{Context, Settings};
use layer::Layer;

/// The module.
pub const MODULE: Module = Module { name: "splay.tls_core", open };

fn open(cx: &Ctx, stack: Stack) {
    let library = cx.extension::<Library>();
    let mut methods = super::TCP_METHODS.to_vec();
    methods.extend_from_slice(&[
        (c"dohandshake", dohandshake),
        (c"sni", sni),
        (c"info", info),
        (c"getalpn", getalpn),
        (c"peercertificate", peercertificate),
        (c"want", want),
    ]);
    library.secure_metatable.set(object::make_metatable(stack, "tls", &methods));
    function_table(stack, &[(c"context", context), (c"wrap", wrap)]);
    stack.new_table(0, 2);
    stack.push_native(collect_context);
    stack.set_field(-2, c"__gc");
    stack.push_str("tls context");
    stack.set_field(-2, c"__metatable");
    cx.extension::<Contexts>().metatable.set(stack.store());
}

/// Contexts of an instance that may be alive: they are not in the memory that Lua counts.
const MOST_CONTEXTS: u32 = 64;

/// Registry reference of the contexts' metatable, and how many are alive.
#[derive(Default)]
struct Contexts {
    metatable: std::cell::Cell<i32>,
    alive: std::cell::Cell<u32>,
}

/// What a context's userdata contains. The mark tells it from any other userdata.
#[repr(C)]
struct Handle {
    mark: *const u8,
    /// `None` once collected.
    context: Option<Context>,
}

static MARK: u8 = 0;

fn handle(stack: Stack, index: i32) -> Option<*mut Handle> {
    if stack.kind(index) != Kind::Userdata || stack.raw_len(index) != size_of::<Handle>() {
        return None;
    }
    let memory = stack.userdata(index).cast::<Handle>();
    // SAFETY: a full userdata of at least this size; the mark says whether it is one of ours.
    (unsafe { (*memory).mark } == &raw const MARK).then_some(memory)
}

fn context_at(stack: Stack, index: i32) -> Result<Context, NativeError> {
    let found = handle(stack, index).and_then(|memory| {
        // SAFETY: one of our userdata, initialised by `push_context`, alive on the stack.
        unsafe { (*memory).context.clone() }
    });
    found.ok_or_else(|| stack.wrong_type(index, "tls context"))
}

fn push_context(cx: &Ctx, stack: Stack, context: Context) {
    let memory: *mut c_void = stack.new_userdata(size_of::<Handle>());
    let handle = Handle { mark: &raw const MARK, context: Some(context) };
    // SAFETY: a fresh userdata of this size, 8-aligned; nothing reads it before it is filled.
    unsafe { memory.cast::<Handle>().write(handle) };
    let contexts = cx.extension::<Contexts>();
    contexts.alive.set(contexts.alive.get() + 1);
    stack.stored(contexts.metatable.get());
    stack.set_metatable(-2);
}

/// The layer of `self`.
fn layer_of(sock: &Sock) -> Result<Rc<Layer>, NativeError> {
    sock.layer().ok_or_else(|| "not a TLS connection".into())
}

/// A handshake under way.
struct Handshake {
    sock: Rc<Sock>,
    layer: Rc<Layer>,
    thread: ThreadId,
}

fn push_refusal(stack: Stack, text: &str) -> i32 {
    stack.push_bool(false);
    stack.push_str(text);
    2
}

/// `None`: the other side, or room to send, has to be waited for.
fn shake_hands(cx: &Ctx, stack: Stack, sock: &Sock, layer: &Layer) -> Option<i32> {
    match layer.shake_hands(cx, sock) {
        Ok(()) => {
            stack.push_bool(true);
            Some(1)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => Some(push_refusal(stack, &text(&error))),
    }
}

impl Handshake {
    fn watch(&self, cx: &Ctx) -> std::io::Result<()> {
        let interest = if self.layer.wants_write() { Interest::Write } else { Interest::Read };
        cx.watch_thread(self.sock.open_id()?, interest, self.thread)
    }
}

impl Request for Handshake {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let results = shake_hands(cx, stack, &self.sock, &self.layer);
        if results.is_none()
            && let Err(error) = self.watch(cx)
        {
            return Some(push_refusal(stack, &text(&error)));
        }
        results
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        Wait::Over(push_refusal(stack, "timeout"))
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

/// The string field of the table at 1; it stays on the stack.
fn text_field<'a>(stack: Stack, key: &std::ffi::CStr) -> Result<Option<&'a [u8]>, NativeError> {
    stack.field(1, key);
    match stack.kind(-1) {
        Kind::Nil => Ok(None),
        Kind::String => Ok(stack.bytes(-1)),
        _ => Err(format!("'{}' must be a string", key.to_string_lossy()).into()),
    }
}

fn flag(stack: Stack, key: &std::ffi::CStr) -> bool {
    stack.field(1, key);
    let set = stack.truth(-1);
    stack.pop(1);
    set
}

fn version(stack: Stack, key: &std::ffi::CStr, default: u8) -> u8 {
    stack.field(1, key);
    let version = stack.number(-1).map_or(default, |version| version as u8);
    stack.pop(1);
    version
}

fn alpn(stack: Stack) -> Vec<Vec<u8>> {
    let mut protocols = Vec::new();
    stack.field(1, c"alpn");
    if stack.kind(-1) == Kind::Table {
        for n in 1.. {
            stack.raw_get_index(-1, n);
            let protocol = stack.bytes(-1).map(<[u8]>::to_vec);
            stack.pop(1);
            match protocol {
                Some(protocol) => protocols.push(protocol),
                None => break,
            }
        }
    }
    stack.pop(1);
    protocols
}

native! {
    /// `__gc` of contexts.
    fn collect_context(cx, stack) {
        if let Some(memory) = handle(stack, 1) {
            // SAFETY: one of our userdata, initialised by `push_context`; no reference into it is
            // alive while it is collected.
            let context = unsafe { (*memory).context.take() };
            let contexts = cx.extension::<Contexts>();
            contexts.alive.set(contexts.alive.get() - u32::from(context.is_some()));
        }
        Ok(Return::Values(0))
    }

    /// `context{server, verify, authorities, certificate, key, oldest, newest, alpn} -> context` or
    /// nil and a reason. Certificates and keys are texts in PEM form.
    fn context(cx, stack) {
        stack.check_table(1)?;
        let contexts = cx.extension::<Contexts>();
        if contexts.alive.get() >= MOST_CONTEXTS {
            stack.collect_garbage();
        }
        if contexts.alive.get() >= MOST_CONTEXTS {
            return Ok(fail(stack, "too many TLS contexts"));
        }
        let settings = Settings {
            server: flag(stack, c"server"),
            verify: flag(stack, c"verify"),
            versions: (version(stack, c"oldest", 2), version(stack, c"newest", 3)),
            alpn: alpn(stack),
            authorities: text_field(stack, c"authorities")?,
            certificate: text_field(stack, c"certificate")?,
            key: text_field(stack, c"key")?,
        };
        match settings.build() {
            Ok(context) => push_context(cx, stack, context),
            Err(error) => return Ok(fail(stack, &error.to_string())),
        }
        Ok(Return::Values(1))
    }

    /// `wrap(socket, context[, server_name]) -> connection`: takes the connection over.
    fn wrap(cx, stack) {
        let sock = this(stack, &[Class::Client])?.clone();
        let context = context_at(stack, 2)?;
        if sock.layer().is_some() {
            return Err(NativeError::Argument(1, "a TLS connection already".to_owned()));
        }
        let Ok(id) = sock.open_id() else { return Ok(fail(stack, "closed")) };
        let name = match stack.text(3) {
            Some(name) => name,
            None => match cx.driver().peer_address(id) {
                Ok(peer) => peer.ip().to_string(),
                Err(error) => return Ok(fail(stack, &text(&error))),
            },
        };
        let (early, head) = sock.take_buffer();
        let layer = Layer::new(context, name, early[head..].to_vec());
        create_secure(cx, stack, &sock, layer);
        Ok(Return::Values(1))
    }

    /// `c:dohandshake() -> true`, or false and a reason.
    fn dohandshake(cx, stack) {
        let sock = this(stack, &[Class::Client])?.clone();
        let layer = layer_of(&sock)?;
        if let Some(results) = shake_hands(cx, stack, &sock, &layer) {
            return Ok(Return::Values(results));
        }
        if sock.is_impatient() {
            return Ok(Return::Values(push_refusal(stack, if layer.wants_write() { "wantwrite" } else { "wantread" })));
        }
        let deadline = sock.deadline(cx);
        let request = Handshake { sock: sock.clone(), layer, thread: cx.thread()? };
        match request.watch(cx) {
            Ok(()) => cx.suspend(Box::new(request), deadline),
            Err(error) => Ok(Return::Values(push_refusal(stack, &text(&error)))),
        }
    }

    /// `c:sni(name) -> boolean`: the server's name, before the handshake.
    fn sni(cx, stack) {
        let layer = layer_of(this(stack, &[Class::Client])?)?;
        let name = stack.text(2).ok_or_else(|| stack.wrong_type(2, "string"))?;
        let set = layer.set_name(&name);
        stack.push_bool(set);
        Ok(Return::Values(1))
    }

    /// `c:info([field]) -> {protocol, cipher}` or one of them; nil and a reason before the
    /// handshake is over.
    fn info(cx, stack) {
        let layer = layer_of(this(stack, &[Class::Client])?)?;
        let agreed = match layer.agreed() {
            Ok(agreed) => agreed,
            Err(error) => return Ok(fail(stack, &text(&error))),
        };
        match stack.bytes(2) {
            Some(b"protocol") => stack.push_str(agreed.version),
            Some(b"cipher") => stack.push_str(agreed.cipher),
            Some(_) => stack.push_nil(),
            None => {
                stack.new_table(0, 2);
                stack.push_str(agreed.version);
                stack.set_field(-2, c"protocol");
                stack.push_str(agreed.cipher);
                stack.set_field(-2, c"cipher");
            }
        }
        Ok(Return::Values(1))
    }

    /// `c:getalpn() -> protocol` or nil.
    fn getalpn(cx, stack) {
        let layer = layer_of(this(stack, &[Class::Client])?)?;
        match layer.agreed().ok().and_then(|agreed| agreed.alpn) {
            Some(protocol) => stack.push_bytes(&protocol),
            None => stack.push_nil(),
        }
        Ok(Return::Values(1))
    }

    /// `c:peercertificate([n]) -> der` of the other side, 1 is its own; nil if there is none.
    fn peercertificate(cx, stack) {
        let layer = layer_of(this(stack, &[Class::Client])?)?;
        let position = if stack.is_nil(2) { 1.0 } else { stack.check_number(2)? };
        let chain = match layer.peer_certificates() {
            Ok(chain) => chain,
            Err(error) => return Ok(fail(stack, &text(&error))),
        };
        match (position as usize).checked_sub(1).and_then(|index| chain.get(index)) {
            Some(certificate) => stack.push_bytes(certificate),
            None => stack.push_nil(),
        }
        Ok(Return::Values(1))
    }

    /// `c:want() -> "read", "write" or "nothing"`: what an unfinished operation waits for.
    fn want(cx, stack) {
        let layer = layer_of(this(stack, &[Class::Client])?)?;
        stack.push_str(if layer.wants_write() { "write" } else if layer.agreed().is_ok() { "nothing" } else { "read" });
        Ok(Return::Values(1))
    }
}
