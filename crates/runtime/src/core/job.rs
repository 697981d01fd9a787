//! The global `job` of an instance (manual, "Local execution vs. deployment").

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use splay_protocol::{Job, ListType, Node};

use crate::native;
use crate::vm::{Ctx, Kind, Return, Stack};

/// Longest list that is made with the job table. A node takes about 120 bytes, so that 5,000
/// instances which all know each other would take 3 GB: longer lists wait until they are asked for.
const MADE_AT_ONCE: usize = 64;

/// The list of an instance that has not asked for it yet.
#[derive(Default)]
struct Unmade(RefCell<Option<Arc<[Node]>>>);

/// What may change while an instance runs.
#[derive(Default)]
struct Live {
    /// Registry reference of the job table; 0: there is none.
    job: Cell<i32>,
    /// Who is there now, not asked for since it changed.
    unmade: RefCell<Option<Arc<[Node]>>>,
    /// Registry reference of the table that tells who is there; 0: nothing has changed so far.
    nodes: Cell<i32>,
}

/// Tells the instance which nodes are there now.
pub(crate) fn set_live_nodes(cx: &Ctx, nodes: Arc<[Node]>) {
    cx.extension::<Live>().unmade.replace(Some(nodes));
}

/// Pushes the function `job.on_stop`, if the program has set it.
pub(crate) fn push_on_stop(cx: &Ctx, stack: Stack) -> bool {
    let job = cx.extension::<Live>().job.get();
    if job == 0 {
        return false;
    }
    stack.stored(job);
    stack.push_str("on_stop");
    stack.raw_get(-2);
    stack.remove(-2);
    let found = stack.kind(-1) == Kind::Function;
    if !found {
        stack.pop(1);
    }
    found
}

/// Pushes the job table.
pub(super) fn push(cx: &Ctx, stack: Stack, job: &Job) {
    stack.new_table(0, 8);
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
    if !job.name.is_empty() {
        stack.push_str(&job.name);
        stack.set_field(-2, c"name");
    }
    stack.new_table(0, job.environment.len() as i32);
    for (name, value) in job.environment.iter() {
        stack.push_str(name);
        stack.push_str(value);
        stack.raw_set(-3);
    }
    stack.set_field(-2, c"env");
    if job.nodes.len() <= MADE_AT_ONCE {
        set_nodes(stack, &job.nodes);
    } else {
        *cx.extension::<Unmade>().0.borrow_mut() = Some(job.nodes.clone());
        stack.new_table(0, 1);
        stack.push_native(nodes_on_demand);
        stack.set_field(-2, c"__index");
        stack.set_metatable(-2);
    }
    stack.push_value(-1);
    cx.extension::<Live>().job.set(stack.store());
}

/// Sets `nodes` and `get_live_nodes` of the job table on top. `nodes` is an array that can also be
/// called: both forms are in use.
fn set_nodes(stack: Stack, nodes: &[Node]) {
    push_nodes(stack, nodes);
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

fn push_nodes(stack: Stack, nodes: &[Node]) {
    stack.new_table(nodes.len() as i32, 0);
    for (n, node) in nodes.iter().enumerate() {
        push_node(stack, node);
        stack.raw_set_index(-2, n as i32 + 1);
    }
}

fn push_node(stack: Stack, node: &Node) {
    stack.new_table(0, 2);
    stack.push_str(&node.ip);
    stack.set_field(-2, c"ip");
    stack.push_int(i64::from(node.port));
    stack.set_field(-2, c"port");
}

native! {
    /// `__index` of a job table whose list is not made yet.
    fn nodes_on_demand(cx, stack) {
        if matches!(stack.bytes(2), Some(b"nodes" | b"get_live_nodes")) {
            let unmade = cx.extension::<Unmade>().0.take();
            if let Some(nodes) = unmade {
                stack.set_top(2);
                stack.push_value(1);
                set_nodes(stack, &nodes);
                stack.pop(1);
            }
            stack.raw_get(1);
        } else {
            stack.push_nil();
        }
        Ok(Return::Values(1))
    }

    /// `job.nodes()` and `job.get_live_nodes()`: the list itself, or who is there if that has changed.
    fn live_nodes(cx, stack) {
        let live = cx.extension::<Live>();
        let unmade = live.unmade.take();
        if let Some(nodes) = unmade {
            push_nodes(stack, &nodes);
            let before = live.nodes.replace(stack.store());
            if before != 0 {
                stack.forget(before);
            }
        }
        match live.nodes.get() {
            0 => stack.push_value(mlua::ffi::lua_upvalueindex(1)),
            nodes => stack.stored(nodes),
        }
        Ok(Return::Values(1))
    }
}
