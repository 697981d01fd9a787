//! A script: run from top to bottom in the main thread, with the test in the middle where it calls
//! `run()`, or at its end.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::ffi::{self, lua_State};

use super::hooks::LuaHooks;
use super::image::{Image, c_string};
use super::state::{Reach, State, error_text};
use crate::engine;
use crate::error::Error;
use crate::hooks::Hook;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::signal::Stop;

/// A script to be run.
pub struct Script<'a> {
    /// Its name in messages.
    pub name: &'a str,
    /// Its text.
    pub source: &'a [u8],
}

/// What the test inside a script came to.
type Result = std::result::Result<Outcome, Error>;

impl Script<'_> {
    /// Runs the script and its test.
    ///
    /// # Errors
    /// What the script raised, with its line; what the test failed with.
    pub fn run(&self, options: &Options, stop: &Stop) -> Result {
        let state = State::open(Reach::Whole).map_err(Error::Hook)?;
        let outcome: Rc<RefCell<Option<Result>>> = Rc::default();
        let role = if options.client { "client" } else { "server" };
        let start = {
            let (outcome, options, stop) = (outcome.clone(), options.clone(), stop.clone());
            let names = state.names;
            let start = move |lua: &mlua::Lua, (hooks, wrappers): (mlua::Table, mlua::Table)| {
                let result = test(lua, hooks, wrappers, names, role, &options, &stop);
                let text = result.as_ref().err().map(ToString::to_string);
                *outcome.borrow_mut() = Some(result);
                text.map_or(Ok(()), |text| Err(mlua::Error::runtime(text)))
            };
            state.lua.create_function(start).map_err(|error| Error::Hook(error.to_string()))?
        };
        let prepared: mlua::Function = state
            .lua
            .load(include_str!("script.lua"))
            .set_name("=script")
            .call((start, role))
            .map_err(|error| Error::Hook(error.to_string()))?;
        let failed = |text: String| match outcome.borrow_mut().take() {
            Some(Err(error)) => error,
            _ => Error::Hook(text),
        };
        self.main(state.raw).map_err(failed)?;
        if outcome.borrow().is_none() {
            prepared.call::<()>(()).map_err(|error| failed(error.to_string()))?;
        }
        let result = outcome.borrow_mut().take();
        // A script may catch what `run` raises; the test has failed all the same.
        result.unwrap_or_else(|| Err(Error::Hook(format!("{}: the test did not run", self.name))))
    }

    /// Runs the text of the script.
    fn main(&self, state: *mut lua_State) -> std::result::Result<(), String> {
        // A first line for the shell is none of Lua's; the others keep their numbers.
        let source = match self.source.strip_prefix(b"#") {
            Some(_) => &self.source[self.source.iter().position(|&byte| byte == b'\n').unwrap_or(0)..],
            None => self.source,
        };
        let name = c_string(&format!("@{}", self.name));
        // SAFETY: the state is this thread's own; the stack is left as it was.
        unsafe {
            let loaded = match source.first() {
                // Bytecode of a file is not trusted.
                Some(0x1b) => return Err(format!("{}: bytecode is not run", self.name)),
                _ => ffi::luaL_loadbuffer(state, source.as_ptr().cast(), source.len(), name.as_ptr()),
            };
            if loaded != ffi::LUA_OK || ffi::lua_pcall(state, 0, 0, 0) != ffi::LUA_OK {
                return Err(error_text(state));
            }
        }
        Ok(())
    }
}

/// The test in the middle of a script: hooks go out to the workers, collected values come home.
fn test(
    lua: &mlua::Lua,
    hooks: mlua::Table,
    wrappers: mlua::Table,
    names: i32,
    role: &'static str,
    options: &Options,
    stop: &Stop,
) -> Result {
    let broken = |error: mlua::Error| Error::Hook(error.to_string());
    let mut set: Vec<Hook> = Vec::new();
    let mut functions = mlua::MultiValue::new();
    for hook in Hook::ALL {
        if let Some(function) = hooks.raw_get::<Option<mlua::Function>>(hook.name()).map_err(broken)? {
            set.push(hook);
            functions.push_back(mlua::Value::Function(function));
        }
    }
    let count = functions.len() as i32;
    functions.push_front(mlua::Value::Table(wrappers));
    let mut captured = Err(String::new());
    // SAFETY: called protected, with the wrappers and the functions as the only values; what is
    // left on top is the list of wrappers met, or nil.
    let met: mlua::Value = unsafe {
        lua.exec_raw(functions, |state| {
            ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, names);
            let roots: Vec<i32> = (2..2 + count).collect();
            captured = Image::capture(state, &roots, count + 2, 1);
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        })
    }
    .map_err(broken)?;
    let image = captured.map_err(|text| Error::Hook(format!("{role} hooks: {text}")))?;
    let wrapped = image.collected();
    let hooks = LuaHooks::new(image, set, role, Reach::Whole, options.num_threads);
    let outcome = engine::run(options, &hooks, stop)?;
    if wrapped > 0
        && let mlua::Value::Table(met) = met
    {
        distribute(lua, &met, wrapped, hooks.gathered())?;
    }
    Ok(outcome)
}

/// Fills the wrappers with what each worker collected.
fn distribute(
    lua: &mlua::Lua,
    met: &mlua::Table,
    wrapped: usize,
    gathered: Vec<Option<Image>>,
) -> std::result::Result<(), Error> {
    let broken = |error: mlua::Error| Error::Hook(error.to_string());
    for (worker, image) in gathered.into_iter().enumerate() {
        let Some(image) = image else { continue };
        let mut built = Ok(());
        // SAFETY: called protected.
        let values: mlua::Table = unsafe {
            lua.exec_raw((), |state| {
                built = image.push_roots(state);
            })
        }
        .map_err(broken)?;
        built.map_err(|text| Error::Hook(format!("collect: {text}")))?;
        for id in 1..=wrapped {
            let wrapper: mlua::Table = met.raw_get(id).map_err(broken)?;
            let value: mlua::Value = values.raw_get(id).map_err(broken)?;
            wrapper.raw_set(worker + 1, value).map_err(broken)?;
        }
    }
    Ok(())
}
