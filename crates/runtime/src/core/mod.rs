//! Native library modules, and the native part of the globals every instance has.

mod base;
mod base64;
mod benc;
pub(crate) mod check;
mod crypto;
mod data_bits;
mod errno;
mod etcd;
mod events;
mod http;
pub(crate) mod job;
mod json;
mod mime;
mod misc;
mod native_library;
mod nbd;
pub(crate) mod objstore;
mod rpc;
pub(crate) mod sandbox;
pub mod socket;
mod traffic;

use mlua::ffi;
use splay_protocol::seed::SplitMix64;

use crate::host::InstanceConfig;
use crate::vm::{Ctx, Module, Stack};

/// Every native module that `require` can open.
pub static MODULES: &[Module] = &[
    events::MODULE,
    mime::MODULE,
    misc::MODULE,
    base::MODULE,
    base64::MODULE,
    benc::MODULE,
    check::MODULE,
    crypto::MODULE,
    crypto::MD5_MODULE,
    data_bits::MODULE,
    errno::MODULE,
    etcd::MODULE,
    http::MODULE,
    json::MODULE,
    objstore::MODULE,
    nbd::MODULE,
    rpc::RPC,
    rpc::URPC,
    rpc::RPCQ,
    sandbox::MODULE,
    socket::MODULE,
    socket::tls::MODULE,
    traffic::MODULE,
];

/// Sets the native globals.
pub(crate) fn install(cx: &Ctx, stack: Stack, config: &InstanceConfig) {
    base::install(cx, stack, config);
    sandbox::install(cx, config);
}

/// Seeds `math.random`. LuaJIT's first numbers are alike for seeds that are alike, so the seed is
/// mixed first; what a program gives to `math.randomseed` itself is left as it is.
pub(crate) fn seed_random(stack: Stack, seed: u64) {
    stack.global(c"math");
    stack.field(-1, c"randomseed");
    // A double holds 53 bits exactly.
    stack.push_number((SplitMix64::new(seed).next_u64() >> 11) as f64);
    stack.call(1, 0);
    stack.pop(1);
}

/// Pushes a table of native functions.
pub(crate) fn function_table(stack: Stack, functions: &[(&std::ffi::CStr, ffi::lua_CFunction)]) {
    stack.new_table(0, functions.len() as i32);
    stack.add_functions(functions);
}
