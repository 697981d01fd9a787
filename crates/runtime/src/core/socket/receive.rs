//! Receiving from a connection: a line, a number of bytes or everything, across as many pieces
//! as the network makes of it.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use super::guard::{self, RESTRICTED};
use super::object::{Sock, fail, text};
use super::stream::{later, unwatch, wait_for};
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Interest, NativeError, NativeResult, Request, Return, Stack, Wait};

/// Bytes asked of the system at once. One buffer per worker serves all sockets.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's buffer for one call of a driver; `use_it` must not run Lua.
pub(super) fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(SCRATCH_BYTES, 0);
        use_it(scratch)
    })
}

/// What is to be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Line,
    All,
    /// So many bytes more.
    Count(usize),
}

/// One receive operation.
struct Receive {
    sock: Rc<Sock>,
    pattern: Pattern,
    /// The prefix and what has come so far.
    data: Vec<u8>,
    /// Bytes of `data` that are the prefix.
    prefix: usize,
}

/// How a step ended.
enum Step {
    /// `data` is what was asked for.
    Done,
    /// Nothing more for now.
    Blocked,
    /// The connection or a limit says no.
    Failed(String),
}

impl Receive {
    /// Takes what the operation needs from `bytes`: how many were used, and whether it is over.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        match &mut self.pattern {
            Pattern::All => {
                self.data.extend_from_slice(bytes);
                (bytes.len(), false)
            }
            Pattern::Count(missing) => {
                let used = bytes.len().min(*missing);
                self.data.extend_from_slice(&bytes[..used]);
                *missing -= used;
                (used, *missing == 0)
            }
            Pattern::Line => {
                let end = bytes.iter().position(|&byte| byte == b'\n');
                let line = &bytes[..end.unwrap_or(bytes.len())];
                match line.contains(&b'\r') {
                    false => self.data.extend_from_slice(line),
                    true => self.data.extend(line.iter().filter(|&&byte| byte != b'\r')),
                }
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
        }
    }

    fn step(&mut self, cx: &Ctx) -> Step {
        if self.sock.is_dirty() {
            let (bytes, head) = self.sock.take_buffer();
            let (used, over) = self.take(&bytes[head..]);
            self.sock.put_back(bytes, head + used);
            if over {
                return Step::Done;
            }
        }
        loop {
            if guard::may_receive(cx).is_err() {
                return Step::Failed(RESTRICTED.to_owned());
            }
            let step = with_scratch(|scratch| {
                let received = self.sock.receive_some(cx, scratch);
                match received {
                    Ok(0) if self.pattern == Pattern::All && self.data.len() > self.prefix => {
                        Some(Step::Done)
                    }
                    Ok(0) => Some(Step::Failed("closed".to_owned())),
                    Ok(count) => {
                        let (used, over) = self.take(&scratch[..count]);
                        if used < count {
                            self.sock.put_back(scratch[used..count].to_vec(), 0);
                        }
                        over.then_some(Step::Done)
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Step::Blocked),
                    Err(error) => Some(Step::Failed(text(&error))),
                }
            });
            if let Some(step) = step {
                return step;
            }
        }
    }
}

fn push_partial(stack: Stack, text: &str, partial: &[u8]) -> i32 {
    fail(stack, text);
    stack.push_bytes(if text == RESTRICTED { b"" } else { partial });
    3
}

impl Request for Receive {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        match self.step(cx) {
            Step::Done => {
                stack.push_bytes(&self.data);
                Some(1)
            }
            Step::Blocked => None,
            Step::Failed(text) => Some(push_partial(stack, &text, &self.data)),
        }
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        Wait::Over(push_partial(stack, "timeout", &self.data))
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

fn pattern(stack: Stack) -> Result<Pattern, NativeError> {
    if let Some(count) = stack.number(2) {
        if count.is_nan() || count < 0.0 {
            return Err(NativeError::Argument(2, "invalid receive pattern".to_owned()));
        }
        return Ok(Pattern::Count(count.clamp(0.0, 1e15) as usize));
    }
    match stack.bytes(2) {
        None if stack.is_nil(2) => Ok(Pattern::Line),
        Some(name) => match name.strip_prefix(b"*").unwrap_or(name).first() {
            Some(b'l') => Ok(Pattern::Line),
            Some(b'a') => Ok(Pattern::All),
            _ => Err(NativeError::Argument(2, "invalid receive pattern".to_owned())),
        },
        None => Err(stack.wrong_type(2, "string")),
    }
}

/// The body of `receive`: pattern and prefix are arguments 2 and 3.
pub(super) fn begin(cx: &Ctx, stack: Stack, sock: Rc<Sock>) -> NativeResult {
    let mut pattern = pattern(stack)?;
    let prefix = if stack.is_nil(3) { &[] } else { stack.check_bytes(3)? };
    if let Pattern::Count(count) = &mut pattern {
        if *count <= prefix.len() && !prefix.is_empty() {
            stack.push_value(3);
            return Ok(Return::Values(1));
        }
        *count -= prefix.len();
    }
    if guard::may_receive(cx).is_err() {
        return Ok(Return::Values(push_partial(stack, RESTRICTED, b"")));
    }
    let mut receive = Receive { sock, pattern, data: prefix.to_vec(), prefix: prefix.len() };
    match receive.step(cx) {
        Step::Done => {
            stack.push_bytes(&receive.data);
            Ok(Return::Values(1))
        }
        Step::Failed(text) => later(cx, stack, move |stack| push_partial(stack, &text, &receive.data)),
        Step::Blocked if receive.sock.is_impatient() => {
            Ok(Return::Values(push_partial(stack, "timeout", &receive.data)))
        }
        Step::Blocked => {
            if let Err(outside) = cx.waiter() {
                // Nobody can wait here: what was taken is not lost.
                let Receive { sock, data, prefix, .. } = receive;
                sock.unread(data[prefix..].to_vec());
                return Err(outside);
            }
            let deadline = receive.sock.deadline(cx);
            let sock = receive.sock.clone();
            wait_for(cx, stack, &sock, Interest::Read, Box::new(receive), deadline)
        }
    }
}
