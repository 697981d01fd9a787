//! Stream sockets of the file system ("Unix sockets"): listening at a path and connecting to one.
//! What comes of it are the objects of [`super::stream`].

use std::path::PathBuf;

use super::guard::{self, RESTRICTED};
use super::object::{Attempt, Class, create, fail, text};
use crate::driver::{Family, SocketId, Transport};
use crate::host::Mode;
use crate::native;
use crate::vm::{Ctx, NativeResult, Return, Stack};

/// Connections that may wait to be accepted if the program does not say.
const BACKLOG: f64 = 128.0;

fn open(
    cx: &Ctx,
    stack: Stack,
    class: Class,
    begin: impl FnOnce(&Ctx, PathBuf) -> std::io::Result<SocketId>,
) -> NativeResult {
    let path = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
    // The sandbox has no file system of the machine's.
    if matches!(cx.mode(), Mode::Sandboxed(_)) || guard::open(cx, Transport::Tcp).is_err() {
        return Ok(fail(stack, RESTRICTED));
    }
    match begin(cx, PathBuf::from(path)) {
        Ok(id) => {
            let sock = create(cx, stack, class, Some(Family::V4), Some(id));
            sock.bound.set(true);
            sock.attempt.set(Attempt::Done);
            Ok(Return::Values(1))
        }
        Err(error) => {
            guard::closed(cx, Transport::Tcp);
            let why = match error.raw_os_error() {
                Some(libc::EAFNOSUPPORT) => "no Unix sockets here".to_owned(),
                _ => text(&error),
            };
            Ok(fail(stack, &why))
        }
    }
}

native! {
    /// `unix_listen(path[, backlog]) -> socket` that listens; the path must not exist.
    pub(super) fn unix_listen(cx, stack) {
        let backlog = stack.number(2).unwrap_or(BACKLOG).clamp(0.0, f64::from(i32::MAX)) as u32;
        open(cx, stack, Class::Server, |cx, path| cx.driver().listen_unix(cx.owner(), &path, backlog))
    }

    /// `unix_connect(path) -> socket` that is connected.
    pub(super) fn unix_connect(cx, stack) {
        open(cx, stack, Class::Client, |cx, path| cx.driver().connect_unix(cx.owner(), &path))
    }
}
