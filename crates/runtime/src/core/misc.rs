//! `splay.misc_core`: the clock.

use crate::native;
use crate::vm::{Module, Return};

use super::function_table;

/// The module.
pub const MODULE: Module = Module {
    name: "splay.misc_core",
    open: |_, stack| function_table(stack, &[(c"time", time), (c"ctime", ctime), (c"now", now)]),
};

native! {
    /// `time() -> seconds since 1970` (microseconds resolution and better).
    fn time(cx, stack) {
        let wall = cx.wall();
        stack.push_number(wall.as_secs_f64());
        Ok(Return::Values(1))
    }

    /// `ctime() -> seconds, microseconds` since 1970.
    fn ctime(cx, stack) {
        let wall = cx.wall();
        stack.push_int(wall.as_secs() as i64);
        stack.push_int(i64::from(wall.subsec_micros()));
        Ok(Return::Values(2))
    }

    /// `now() -> seconds` on the monotonic clock.
    fn now(cx, stack) {
        let now = cx.now();
        stack.push_number(now.as_secs_f64());
        Ok(Return::Values(1))
    }
}
