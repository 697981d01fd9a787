//! `socket.select`: waits until one of many sockets is ready, without keeping the worker.

use std::rc::Rc;

use super::object::{Library, Sock, sock_at};
use crate::core::events::deadline_in;
use crate::driver::{Readiness, SocketId};
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Interest, Kind, NativeError, NativeResult, Request, Return, Stack, Wait};

/// One element of a list given to select.
struct Element {
    /// Position in the list.
    position: i32,
    sock: Rc<Sock>,
}

struct Select {
    /// Registry references of the two lists; 0: not given.
    lists: [i32; 2],
    reading: Vec<Element>,
    writing: Vec<Element>,
}

fn readiness(cx: &Ctx, sock: &Sock) -> Readiness {
    let ready = Readiness { readable: true, writable: true };
    match sock.id.get() {
        // A closed socket is ready to say so.
        None => {
            if sock.closed.get() {
                ready
            } else {
                Readiness::default()
            }
        }
        Some(id) => cx.driver().readiness(id).unwrap_or(ready),
    }
}

/// The socket behind a list's element: one of ours, or an object with `getfd` (and `dirty`)
/// that stands for one. The flag says that it has buffered data.
fn element(cx: &Ctx, stack: Stack) -> Option<(Rc<Sock>, bool)> {
    if let Some(sock) = sock_at(stack, -1) {
        return Some((sock.clone(), sock.is_dirty()));
    }
    if !matches!(stack.kind(-1), Kind::Table | Kind::Userdata) {
        return None;
    }
    let call = |name| {
        stack.field(-1, name);
        let callable = stack.kind(-1) == Kind::Function;
        if callable {
            stack.push_value(-2);
            stack.call(1, 1);
        }
        callable
    };
    call(c"getfd");
    let wanted = stack.number(-1);
    stack.pop(1);
    let wanted = wanted.filter(|number| *number >= 0.0)?;
    let library = cx.extension::<Library>();
    let found =
        library.open.borrow().iter().find_map(|(&id, sock)| {
            (f64::from(number_of(cx, id)) == wanted).then(|| sock.upgrade()).flatten()
        })?;
    call(c"dirty");
    let dirty = stack.truth(-1) && stack.kind(-1) != Kind::Function;
    stack.pop(1);
    let dirty = dirty || found.is_dirty();
    Some((found, dirty))
}

/// What `getfd` shows: the system's number, or the simulation's.
pub(super) fn number_of(cx: &Ctx, id: SocketId) -> i32 {
    cx.driver().descriptor(id).unwrap_or(id.0 as i32)
}

fn elements(cx: &Ctx, stack: Stack, index: i32, dirty: &mut Vec<i32>) -> Result<Vec<Element>, NativeError> {
    let mut list = Vec::new();
    if stack.is_nil(index) {
        return Ok(list);
    }
    stack.check_table(index)?;
    for position in 1.. {
        stack.raw_get_index(index, position);
        if stack.is_nil(-1) {
            stack.pop(1);
            break;
        }
        if let Some((sock, has_data)) = element(cx, stack) {
            if has_data {
                dirty.push(position);
            }
            list.push(Element { position, sock });
        }
        stack.pop(1);
    }
    Ok(list)
}

/// Pushes the ready elements of a list: by number, and each as the key of its number.
fn push_ready(stack: Stack, list: i32, positions: &[i32]) {
    stack.new_table(positions.len() as i32, positions.len() as i32);
    if list == 0 {
        return;
    }
    stack.stored(list);
    for (n, &position) in positions.iter().enumerate() {
        let n = n as i32 + 1;
        stack.raw_get_index(-1, position);
        stack.push_value(-1);
        stack.raw_set_index(-4, n);
        stack.push_int(n.into());
        stack.raw_set(-4);
    }
    stack.pop(1);
}

impl Select {
    fn ready(&self, cx: &Ctx, dirty: &[i32]) -> [Vec<i32>; 2] {
        let reading = self.reading.iter().filter(|element| {
            dirty.contains(&element.position)
                || element.sock.is_dirty()
                || readiness(cx, &element.sock).readable
        });
        let writing = self.writing.iter().filter(|element| readiness(cx, &element.sock).writable);
        [reading.map(|element| element.position).collect(), writing.map(|element| element.position).collect()]
    }

    fn push(&self, stack: Stack, ready: &[Vec<i32>; 2]) -> i32 {
        for (list, positions) in self.lists.iter().zip(ready) {
            push_ready(stack, *list, positions);
        }
        if ready.iter().all(Vec::is_empty) {
            stack.push_str("timeout");
            return 3;
        }
        2
    }

    fn forget_lists(&mut self, cx: &Ctx) {
        for list in std::mem::take(&mut self.lists) {
            if list != 0 {
                cx.main_stack().forget(list);
            }
        }
    }
}

impl Request for Select {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let ready = self.ready(cx, &[]);
        if ready.iter().all(Vec::is_empty) {
            return None;
        }
        Some(self.push(stack, &ready))
    }

    fn expired(&mut self, cx: &Ctx, stack: Stack) -> Wait {
        let ready = self.ready(cx, &[]);
        Wait::Over(self.push(stack, &ready))
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        for element in self.reading.iter().chain(&self.writing) {
            super::stream::unwatch(cx, &element.sock, thread);
        }
        self.forget_lists(cx);
    }
}

fn watch_all(cx: &Ctx, select: &Select, thread: ThreadId) {
    for (list, interest) in [(&select.reading, Interest::Read), (&select.writing, Interest::Write)] {
        for element in list {
            if let Some(id) = element.sock.id.get() {
                // What cannot be watched will not become ready.
                let _ = cx.watch_thread(id, interest, thread);
            }
        }
    }
}

fn begin(cx: &Ctx, stack: Stack) -> NativeResult {
    stack.set_top(3);
    let timeout = stack.number(3).filter(|timeout| *timeout >= 0.0);
    let mut dirty = Vec::new();
    let reading = elements(cx, stack, 1, &mut dirty)?;
    let writing = elements(cx, stack, 2, &mut Vec::new())?;
    let store = |index: i32| {
        if stack.is_nil(index) {
            return 0;
        }
        stack.push_value(index);
        stack.store()
    };
    let lists = [store(1), store(2)];
    let mut select = Select { lists, reading, writing };
    let ready = select.ready(cx, &dirty);
    if timeout == Some(0.0) || ready.iter().any(|list| !list.is_empty()) {
        let results = select.push(stack, &ready);
        select.forget_lists(cx);
        return Ok(Return::Values(results));
    }
    let thread = match cx.waiter() {
        Ok(thread) => thread,
        Err(outside) => {
            select.forget_lists(cx);
            return Err(outside);
        }
    };
    watch_all(cx, &select, thread);
    let deadline = timeout.map(|timeout| deadline_in(cx, timeout));
    cx.suspend(Box::new(select), deadline)
}

native! {
    /// `select(recvt, sendt[, timeout]) -> readable, writable[, "timeout"]`
    pub(super) fn select(cx, stack) {
        begin(cx, stack)
    }
}
