//! `splay.base_core` and the native globals: output, `os.exit`, `loadstring`, thread names.

use std::path::Path;

use crate::host::{EndReason, InstanceConfig, Mode, Stream};
use crate::native;
use crate::vm::{
    Ctx, Kind, Module, NativeError, Return, Stack, load_file, load_source, name_of, request_mark,
};

use super::function_table;

/// The module: what the prelude needs.
pub const MODULE: Module = Module {
    name: "splay.base_core",
    open: |cx, stack| {
        function_table(
            stack,
            &[
                (c"write", write),
                (c"running", running),
                (c"exit", exit),
                (c"flush", flush),
                (c"level", level),
            ],
        );
        stack.push_light(request_mark());
        stack.set_field(-2, c"request");
        stack.push_str(match cx.mode() {
            Mode::Interpreter => "interpreter",
            Mode::Hosted => "hosted",
            Mode::Sandboxed(_) => "sandboxed",
        });
        stack.set_field(-2, c"mode");
    },
};

/// Sets the native globals of an instance.
pub(super) fn install(cx: &Ctx, stack: Stack, config: &InstanceConfig) {
    if !matches!(cx.mode(), Mode::Interpreter) {
        stack.push_native(print);
        stack.set_global(c"print");
    }
    stack.push_value(mlua::ffi::LUA_GLOBALSINDEX);
    stack.add_functions(&[(c"loadstring", loadstring), (c"loadfile", loadfile), (c"dofile", dofile)]);
    stack.pop(1);
    stack.global(c"os");
    stack.push_native(exit);
    stack.set_field(-2, c"exit");
    stack.pop(1);
    stack.global(c"coroutine");
    stack.push_native(running);
    stack.set_field(-2, c"running");
    stack.pop(1);
    // `tostring(thread)` is the thread's name.
    push_any_thread(stack);
    stack.new_table(0, 2);
    stack.push_native(thread_display);
    stack.set_field(-2, c"__tostring");
    stack.push_bool(false);
    stack.set_field(-2, c"__metatable");
    stack.set_metatable(-2);
    stack.pop(1);
    push_arguments(stack, config);
    if let Some(job) = &config.job {
        super::job::push(cx, stack, job);
        stack.set_global(c"job");
    }
}

fn push_any_thread(stack: Stack) {
    // SAFETY: pushes the main thread object of a live state.
    unsafe { mlua::ffi::lua_pushthread(stack.raw()) };
}

/// `arg`: the command line, with the program's name at 0. A confined program finds it where it was
/// given arguments, as the original's jobs did, and not its name, which is a path of the host.
fn push_arguments(stack: Stack, config: &InstanceConfig) {
    let confined = matches!(config.mode, Mode::Sandboxed(_));
    if confined && config.arguments.is_empty() {
        return;
    }
    stack.new_table(config.arguments.len() as i32, 1);
    if !confined {
        stack.push_str(&config.program.name);
        stack.raw_set_index(-2, 0);
    }
    for (n, argument) in config.arguments.iter().enumerate() {
        stack.push_str(argument);
        stack.raw_set_index(-2, n as i32 + 1);
    }
    stack.set_global(c"arg");
}

fn nil_and_message(stack: Stack, message: &str) -> Return {
    stack.push_nil();
    stack.push_str(message);
    Return::Values(2)
}

native! {
    /// `print(...)`: one line of the instance's output.
    fn print(cx, stack) {
        let count = stack.top();
        let mut line = Vec::with_capacity(80);
        for index in 1..=count {
            if index > 1 {
                line.push(b'\t');
            }
            stack.push_display(index);
            let text = stack.bytes(-1).ok_or("'tostring' must return a string to 'print'")?;
            line.extend_from_slice(text);
            stack.pop(1);
        }
        line.push(b'\n');
        cx.write(Stream::Out, &line);
        Ok(Return::Values(0))
    }

    /// `write(stream, ...)`: stream 1 is output, 2 is errors; strings and numbers only.
    fn write(cx, stack) {
        let stream = if stack.check_number(1)? == 2.0 { Stream::Err } else { Stream::Out };
        for index in 2..=stack.top() {
            cx.write(stream, stack.check_bytes(index)?);
        }
        Ok(Return::Values(0))
    }

    /// `level(n)`: lines written from now on belong to a message of `splay.log` of that level.
    fn level(cx, stack) {
        let level = stack.check_number(1)?;
        cx.level.set(if (1.0..=4.0).contains(&level) { level as u8 } else { 0 });
        Ok(Return::Values(0))
    }

    /// `flush()`: nothing is held back but unfinished lines.
    fn flush(cx, stack) {
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `os.exit([code])`: ends the instance.
    fn exit(cx, stack) {
        let code = match stack.kind(1) {
            Kind::None | Kind::Nil => 0,
            Kind::Boolean => i32::from(!stack.truth(1)),
            _ => stack.check_number(1)? as i32,
        };
        cx.end(EndReason::Exit(code));
        Ok(Return::Suspend)
    }

    /// `coroutine.running()`: nil in the main chunk, as in Lua 5.1.
    fn running(cx, stack) {
        if cx.mark_escaped(stack) {
            push_any_thread(stack);
        } else {
            stack.push_nil();
        }
        Ok(Return::Values(1))
    }

    /// `tostring` of a coroutine: the thread's name, or an address for the program's own ones.
    fn thread_display(cx, stack) {
        let text = match stack.thread(1).and_then(|state| cx.thread_of(state)) {
            Some(id) => name_of(id),
            None => format!("thread: {:p}", stack.pointer(1)),
        };
        stack.push_str(&text);
        Ok(Return::Values(1))
    }

    /// `loadstring(source[, name])`: function, or nil and a message.
    fn loadstring(cx, stack) {
        let source = stack.check_bytes(1)?;
        let name = match stack.bytes(2) {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => String::from_utf8_lossy(source).into_owned(),
        };
        Ok(match load_source(stack, &name, source) {
            Ok(()) => Return::Values(1),
            Err(message) => nil_and_message(stack, &message),
        })
    }

    /// `loadfile(name)`: function, or nil and a message.
    fn loadfile(cx, stack) {
        let name = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        Ok(match load_file(stack, Path::new(&name)) {
            Ok(()) => Return::Values(1),
            Err(message) => nil_and_message(stack, &message),
        })
    }

    /// `dofile(name)`: runs a file and returns its results.
    fn dofile(cx, stack) {
        let name = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        load_file(stack, Path::new(&name)).map_err(NativeError::Message)?;
        let before = stack.top() - 1;
        stack.call(0, mlua::ffi::LUA_MULTRET);
        Ok(Return::Values(stack.top() - before))
    }
}
