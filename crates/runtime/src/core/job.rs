//! The global `job` of an instance (manual, "Local execution vs. deployment").

use splay_protocol::{Job, ListType, Node};

use crate::native;
use crate::vm::{Return, Stack};

/// Pushes the job table.
pub(super) fn push(stack: Stack, job: &Job) {
    stack.new_table(0, 10);
    push_node(stack, &job.me);
    stack.set_field(-2, c"me");
    for (name, number) in [(c"position", job.position), (c"total", job.total)] {
        stack.push_int(i64::from(number));
        stack.set_field(-2, name);
    }
    stack.push_str(&job.reference);
    stack.set_field(-2, c"ref");
    stack.push_str(match job.list_type {
        ListType::Head => "head",
        ListType::Random => "random",
    });
    stack.set_field(-2, c"list_type");
    // `nodes` is an array that can also be called: both forms are in use.
    stack.new_table(job.nodes.len() as i32, 0);
    for (n, node) in job.nodes.iter().enumerate() {
        push_node(stack, node);
        stack.raw_set_index(-2, n as i32 + 1);
    }
    stack.new_table(0, 1);
    stack.push_value(-2);
    stack.push_closure(live_nodes, 1);
    stack.push_value(-1);
    stack.insert(-4);
    stack.set_field(-2, c"__call");
    stack.set_metatable(-2);
    stack.set_field(-3, c"nodes");
    stack.set_field(-2, c"get_live_nodes");
}

fn push_node(stack: Stack, node: &Node) {
    stack.new_table(0, 2);
    stack.push_str(&node.ip);
    stack.set_field(-2, c"ip");
    stack.push_int(i64::from(node.port));
    stack.set_field(-2, c"port");
}

native! {
    /// `job.nodes()` and `job.get_live_nodes()`: the list itself.
    fn live_nodes(cx, stack) {
        stack.push_value(mlua::ffi::lua_upvalueindex(1));
        Ok(Return::Values(1))
    }
}
