//! `splay.crypto_core` and `splay.md5_core`: digests, keyed digests and randomness.

use std::ffi::CStr;

use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;
use mlua::ffi;
use ripemd::Ripemd160;
use sha1::{Digest as _, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::native;
use crate::vm::{Ctx, Module, NativeError, NativeResult, Return, Stack};

use super::function_table;

/// The module behind `crypto`.
pub const MODULE: Module = Module {
    name: "splay.crypto_core",
    open: |_, stack| {
        stack.new_table(0, 3);
        function_table(stack, &[(c"new", evp_new), (c"digest", evp_digest)]);
        stack.set_field(-2, c"evp");
        function_table(stack, &[(c"new", hmac_new), (c"digest", hmac_digest)]);
        stack.set_field(-2, c"hmac");
        function_table(
            stack,
            &[
                (c"bytes", rand_bytes),
                (c"pseudo_bytes", rand_bytes),
                (c"add", rand_add),
                (c"seed", rand_add),
                (c"status", rand_status),
                (c"cleanup", rand_cleanup),
            ],
        );
        stack.set_field(-2, c"rand");
    },
};

/// The module behind the file names of `splay.restricted_io`.
pub const MD5_MODULE: Module =
    Module { name: "splay.md5_core", open: |_, stack| function_table(stack, &[(c"hex", md5_hex)]) };

/// MD5 in hexadecimal: the names of files in the sandbox.
pub(crate) fn md5_of(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

macro_rules! algorithms {
    ($($variant:ident: $($name:literal)|+),*) => {
        /// A digest being computed. Owns no memory: dropping it can do no more than clear it.
        #[derive(Clone)]
        enum Digest { $($variant($variant)),* }

        /// A keyed digest being computed. Owns no memory: dropping it can do no more than clear it.
        #[derive(Clone)]
        enum Keyed { $($variant(Hmac<$variant>)),* }

        impl Digest {
            fn new(name: &[u8]) -> Option<Digest> {
                $(if [$($name),+].iter().any(|have: &&str| have.as_bytes() == name) {
                    return Some(Digest::$variant($variant::new()));
                })*
                None
            }
        }

        impl Keyed {
            fn new(name: &[u8], key: &[u8]) -> Option<Keyed> {
                Some(match Digest::new(name)? {
                    $(Digest::$variant(_) => Keyed::$variant(
                        Hmac::new_from_slice(key).expect("keys of any length are allowed"))),*
                })
            }
        }

        impl Hash for Digest {
            const TYPE: &'static CStr = c"crypto.evp";

            fn update(&mut self, bytes: &[u8]) {
                match self { $(Digest::$variant(digest) => sha1::Digest::update(digest, bytes)),* }
            }

            fn finish(self) -> Vec<u8> {
                match self { $(Digest::$variant(digest) => digest.finalize().to_vec()),* }
            }
        }

        impl Hash for Keyed {
            const TYPE: &'static CStr = c"crypto.hmac";

            fn update(&mut self, bytes: &[u8]) {
                match self { $(Keyed::$variant(keyed) => keyed.update(bytes)),* }
            }

            fn finish(self) -> Vec<u8> {
                match self { $(Keyed::$variant(keyed) => keyed.finalize().into_bytes().to_vec()),* }
            }
        }
    };
}

algorithms! {
    Md5: "md5",
    Sha1: "sha1" | "sha-1",
    Sha224: "sha224" | "sha-224",
    Sha256: "sha256" | "sha-256",
    Sha384: "sha384" | "sha-384",
    Sha512: "sha512" | "sha-512",
    Ripemd160: "ripemd160" | "rmd160" | "ripemd"
}

/// What `crypto.evp` and `crypto.hmac` objects have in common.
trait Hash: Clone {
    /// Name of their metatable in the registry.
    const TYPE: &'static CStr;
    fn update(&mut self, bytes: &[u8]);
    fn finish(self) -> Vec<u8>;
}

/// What a Lua object holds: the state it started in, for `reset`, and the current one.
#[derive(Clone)]
struct Object<H> {
    initial: H,
    current: H,
}

/// Lua aligns userdata to 8 bytes: so much more is asked for to align any [`Object`].
const SLACK: usize = 16;

fn align<H>(memory: *mut std::ffi::c_void) -> *mut Object<H> {
    const { assert!(align_of::<Object<H>>() <= SLACK) };
    memory.wrapping_byte_add(memory.align_offset(align_of::<Object<H>>())).cast()
}

fn push_object<H: Hash>(stack: Stack, object: Object<H>, methods: &[(&CStr, ffi::lua_CFunction)]) {
    let memory = align::<H>(stack.new_userdata(size_of::<Object<H>>() + SLACK));
    // SAFETY: the memory is aligned and large enough; what owns no memory may be freed by Lua
    // without being dropped. `luaL_newmetatable` pushes the registry's table of that name.
    let new = unsafe {
        memory.write(object);
        ffi::luaL_newmetatable_(stack.raw(), H::TYPE.as_ptr()) != 0
    };
    if new {
        stack.push_value(-1);
        stack.set_field(-2, c"__index");
        stack.add_functions(methods);
        // Scripts may call methods through the metatable only on objects of its type.
        stack.push_bool(false);
        stack.set_field(-2, c"__metatable");
    }
    stack.set_metatable(-2);
}

/// The object at 1; raises for anything else.
fn object<'a, H: Hash>(stack: Stack) -> &'a mut Object<H> {
    // SAFETY: checked to be an object made by `push_object` for this type, which Lua keeps alive
    // and unmoved while it is on the stack; only one native function uses it at a time.
    unsafe { &mut *align::<H>(ffi::luaL_checkudata(stack.raw(), 1, H::TYPE.as_ptr())) }
}

fn algorithm(stack: Stack, index: i32) -> Result<Vec<u8>, NativeError> {
    Ok(stack.check_bytes(index)?.to_ascii_lowercase())
}

fn invalid_type() -> NativeError {
    NativeError::Message("invalid digest type".to_owned())
}

/// Pushes a digest, in hexadecimal unless the value at `raw` is true.
fn give(stack: Stack, digest: Vec<u8>, raw: i32) -> NativeResult {
    if stack.truth(raw) && raw <= stack.top() {
        stack.push_bytes(&digest);
    } else {
        stack.push_str(&hex::encode(digest));
    }
    Ok(Return::Values(1))
}

fn update<H: Hash>(stack: Stack) -> NativeResult {
    object::<H>(stack).current.update(stack.check_bytes(2)?);
    stack.set_top(1);
    Ok(Return::Values(1))
}

fn digest<H: Hash>(stack: Stack) -> NativeResult {
    let object = object::<H>(stack);
    if !stack.is_nil(2) {
        object.current.update(stack.check_bytes(2)?);
    }
    give(stack, object.current.clone().finish(), 3)
}

fn reset<H: Hash>(stack: Stack) -> NativeResult {
    let object = object::<H>(stack);
    object.current = object.initial.clone();
    Ok(Return::Values(0))
}

const EVP: &[(&CStr, ffi::lua_CFunction)] = &[
    (c"update", evp_update),
    (c"digest", evp_object_digest),
    (c"clone", evp_clone),
    (c"reset", evp_reset),
    (c"__tostring", evp_tostring),
];

const HMAC: &[(&CStr, ffi::lua_CFunction)] = &[
    (c"update", hmac_update),
    (c"digest", hmac_object_digest),
    (c"clone", hmac_clone),
    (c"reset", hmac_reset),
    (c"__tostring", hmac_tostring),
];

fn display<H: Hash>(stack: Stack) -> NativeResult {
    object::<H>(stack);
    stack.push_str(&format!("{}: {:p}", H::TYPE.to_string_lossy(), stack.pointer(1)));
    Ok(Return::Values(1))
}

/// Most random bytes given at once.
const MOST_RANDOM: f64 = 16.0 * 1024.0 * 1024.0;

fn random(cx: &Ctx, stack: Stack) -> NativeResult {
    let count = stack.check_number(1)?;
    if !(0.0..=MOST_RANDOM).contains(&count) {
        return Err(NativeError::Argument(1, "number of bytes out of range".to_owned()));
    }
    let mut bytes = vec![0; count as usize];
    cx.driver().fill_random(&mut bytes);
    stack.push_bytes(&bytes);
    Ok(Return::Values(1))
}

native! {
    /// `evp.new(type) -> digest object`
    fn evp_new(cx, stack) {
        let initial = Digest::new(&algorithm(stack, 1)?).ok_or_else(invalid_type)?;
        push_object(stack, Object { current: initial.clone(), initial }, EVP);
        Ok(Return::Values(1))
    }

    /// `evp.digest(type, bytes[, raw]) -> digest`
    fn evp_digest(cx, stack) {
        let mut digest = Digest::new(&algorithm(stack, 1)?).ok_or_else(invalid_type)?;
        digest.update(stack.check_bytes(2)?);
        give(stack, digest.finish(), 3)
    }

    /// `object:update(bytes) -> object`
    fn evp_update(cx, stack) { update::<Digest>(stack) }

    /// `object:digest([bytes[, raw]]) -> digest` of all bytes so far; more may follow.
    fn evp_object_digest(cx, stack) { digest::<Digest>(stack) }

    /// `object:clone() -> object` in the same state
    fn evp_clone(cx, stack) {
        push_object(stack, object::<Digest>(stack).clone(), EVP);
        Ok(Return::Values(1))
    }

    /// `object:reset()`: forgets all bytes.
    fn evp_reset(cx, stack) { reset::<Digest>(stack) }

    fn evp_tostring(cx, stack) { display::<Digest>(stack) }

    /// `hmac.new(type, key) -> keyed digest object`
    fn hmac_new(cx, stack) {
        let name = algorithm(stack, 1)?;
        let initial = Keyed::new(&name, stack.check_bytes(2)?).ok_or_else(invalid_type)?;
        push_object(stack, Object { current: initial.clone(), initial }, HMAC);
        Ok(Return::Values(1))
    }

    /// `hmac.digest(type, bytes, key[, raw]) -> digest`
    fn hmac_digest(cx, stack) {
        let name = algorithm(stack, 1)?;
        let bytes = stack.check_bytes(2)?;
        let mut keyed = Keyed::new(&name, stack.check_bytes(3)?).ok_or_else(invalid_type)?;
        keyed.update(bytes);
        give(stack, keyed.finish(), 4)
    }

    /// As for a digest object.
    fn hmac_update(cx, stack) { update::<Keyed>(stack) }

    /// As for a digest object.
    fn hmac_object_digest(cx, stack) { digest::<Keyed>(stack) }

    /// As for a digest object.
    fn hmac_clone(cx, stack) {
        push_object(stack, object::<Keyed>(stack).clone(), HMAC);
        Ok(Return::Values(1))
    }

    /// As for a digest object.
    fn hmac_reset(cx, stack) { reset::<Keyed>(stack) }

    fn hmac_tostring(cx, stack) { display::<Keyed>(stack) }

    /// `rand.bytes(n) -> bytes`, from the driver: repeatable in the simulator.
    fn rand_bytes(cx, stack) { random(cx, stack) }

    /// `rand.add(bytes)`, `rand.seed(bytes)`: the source needs no help.
    fn rand_add(cx, stack) {
        stack.check_bytes(1)?;
        Ok(Return::Values(0))
    }

    /// `rand.status() -> true`: there is always enough randomness.
    fn rand_status(cx, stack) {
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `rand.cleanup()`: there is nothing to clean up.
    fn rand_cleanup(cx, stack) { Ok(Return::Values(0)) }

    /// `hex(bytes) -> digest` in hexadecimal.
    fn md5_hex(cx, stack) {
        stack.push_str(&md5_of(stack.check_bytes(1)?));
        Ok(Return::Values(1))
    }
}
