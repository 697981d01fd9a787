//! `splay.errno_core`: names, numbers and messages of errors, for `splay.errno`.

use splay_protocol::Errno;

use crate::vm::{Module, Stack};

/// The module: a table of arrays `{ number, name, message }`, and one of second names.
pub const MODULE: Module = Module { name: "splay.errno_core", open: |_, stack| open(stack) };

fn open(stack: Stack) {
    stack.new_table(0, 2);
    stack.new_table(Errno::all().count() as i32, 0);
    for (index, (errno, name, message)) in (1..).zip(Errno::all()) {
        stack.new_table(3, 0);
        stack.push_int(errno.0.into());
        stack.raw_set_index(-2, 1);
        stack.push_str(name);
        stack.raw_set_index(-2, 2);
        stack.push_str(message);
        stack.raw_set_index(-2, 3);
        stack.raw_set_index(-2, index);
    }
    stack.set_field(-2, c"all");
    stack.new_table(0, 3);
    for (name, errno) in Errno::aliases() {
        stack.push_str(name);
        stack.push_int(errno.0.into());
        stack.raw_set(-3);
    }
    stack.set_field(-2, c"aliases");
}
