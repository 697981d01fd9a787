//! Lua values as plain data, taken from one state and made anew in another: functions as bytecode
//! with their upvalues, tables with everything in them. What two functions share they share
//! afterwards as well.

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};

use mlua::ffi::{self, lua_State};

/// Tables in tables beyond this are refused: there is no end to them.
const MAX_DEPTH: usize = 100;

unsafe extern "C" {
    /// LuaJIT's: what two closures that share an upvalue agree on.
    fn lua_upvalueid(state: *mut lua_State, index: c_int, n: c_int) -> *mut c_void;
    /// LuaJIT's: has the first closure share the second's upvalue.
    fn lua_upvaluejoin(state: *mut lua_State, first: c_int, n1: c_int, second: c_int, n2: c_int);
}

/// A value that does not belong to any state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Portable {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Box<[u8]>),
    /// Index into [`Image::tables`].
    Table(usize),
    /// Index into [`Image::functions`].
    Function(usize),
    /// Something every state of a worker has.
    Name(String),
    /// Index into [`Image::collected`]: a value that is asked for afterwards.
    Collected(usize),
}

#[derive(Debug, Clone)]
struct Code {
    bytecode: Vec<u8>,
    /// Indices into [`Image::cells`].
    upvalues: Vec<usize>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    entries: Vec<(Portable, Portable)>,
    /// Name of the metatable, if it is one that every state has.
    metatable: Option<String>,
}

/// Values taken from a state.
#[derive(Debug, Clone, Default)]
pub struct Image {
    tables: Vec<Contents>,
    functions: Vec<Code>,
    /// Upvalues, each once.
    cells: Vec<Portable>,
    /// The values inside what `collect` has wrapped.
    collected: Vec<Portable>,
    roots: Vec<Portable>,
}

/// Takes values from a state.
struct Capture {
    state: *mut lua_State,
    image: Image,
    /// Stack indices of: names of what every state has; wrappers made by `collect`, as keys (0: there
    /// are none); the list of those that were met.
    names: c_int,
    wrappers: c_int,
    met: c_int,
    seen: HashMap<*const c_void, usize>,
    cells: HashMap<*const c_void, usize>,
    depth: usize,
}

impl Image {
    /// Takes the values at the stack indices `roots` of a state, and pushes an array of the wrappers
    /// that were met. `names` is the index of a table from what is not copied to its name,
    /// `wrappers` that of a table whose keys are what `collect` gave, or 0.
    ///
    /// # Safety
    /// `state` is open and belongs to this thread, and the indices are absolute and valid in it.
    ///
    /// # Errors
    /// What cannot be copied, by the name of its upvalue or key.
    pub unsafe fn capture(
        state: *mut lua_State,
        roots: &[c_int],
        names: c_int,
        wrappers: c_int,
    ) -> Result<Image, String> {
        // SAFETY: the caller's promise; everything pushed here is popped but the list.
        unsafe {
            ffi::lua_createtable(state, 0, 0);
            let met = ffi::lua_gettop(state);
            let mut capture = Capture {
                state,
                image: Image::default(),
                names,
                wrappers,
                met,
                seen: HashMap::new(),
                cells: HashMap::new(),
                depth: 0,
            };
            for &root in roots {
                let taken = capture.take(root);
                // After an error whatever was being looked at is still there.
                ffi::lua_settop(state, met);
                capture.image.roots.push(taken?);
            }
            Ok(capture.image)
        }
    }

    /// How many values `collect` has wrapped.
    pub fn collected(&self) -> usize {
        self.collected.len()
    }

    /// Makes the values anew in a state and pushes an array of them.
    ///
    /// # Safety
    /// As for [`Image::capture`].
    ///
    /// # Errors
    /// What is not there in this state.
    pub unsafe fn push_roots(&self, state: *mut lua_State) -> Result<(), String> {
        // SAFETY: the caller's promise; what was built besides is popped.
        unsafe {
            self.build(state)?;
            ffi::lua_settop(state, -2);
        }
        Ok(())
    }

    /// Makes the values anew: pushes an array of the roots, and one of functions and tables that
    /// [`Places`] refers to.
    ///
    /// # Safety
    /// As for [`Image::capture`]. Bytecode is trusted: the image was captured in this process.
    ///
    /// # Errors
    /// What is not there in this state.
    pub(super) unsafe fn build(&self, state: *mut lua_State) -> Result<Places, String> {
        let mut places = Places { of: vec![Place::Nowhere; self.collected.len()] };
        // SAFETY: the caller's promise; pushes and pops are balanced but for the two arrays.
        unsafe {
            if ffi::lua_checkstack(state, 40) == 0 {
                return Err("stack overflow".to_owned());
            }
            ffi::lua_createtable(state, self.roots.len() as c_int, 0);
            let roots = ffi::lua_gettop(state);
            ffi::lua_createtable(state, (self.tables.len() + self.functions.len()) as c_int, 0);
            let anchors = ffi::lua_gettop(state);
            for index in 0..self.tables.len() {
                ffi::lua_createtable(state, 0, 0);
                ffi::lua_rawseti_(state, anchors, index as c_int + 1);
            }
            for (index, code) in self.functions.iter().enumerate() {
                let bytes = &code.bytecode;
                let loaded =
                    ffi::luaL_loadbuffer(state, bytes.as_ptr().cast(), bytes.len(), c"=hook".as_ptr());
                if loaded != ffi::LUA_OK {
                    return Err("a function cannot be loaded".to_owned());
                }
                ffi::lua_rawseti_(state, anchors, (self.tables.len() + index) as c_int + 1);
            }
            let mut holders: HashMap<usize, (usize, c_int)> = HashMap::new();
            for (index, code) in self.functions.iter().enumerate() {
                ffi::lua_rawgeti_(state, anchors, (self.tables.len() + index) as c_int + 1);
                let function = ffi::lua_gettop(state);
                for (n, &cell) in code.upvalues.iter().enumerate() {
                    let n = n as c_int + 1;
                    if let Some(&(holder, at)) = holders.get(&cell) {
                        ffi::lua_rawgeti_(state, anchors, (self.tables.len() + holder) as c_int + 1);
                        lua_upvaluejoin(state, function, n, function + 1, at);
                        ffi::lua_settop(state, function);
                        continue;
                    }
                    holders.insert(cell, (index, n));
                    let value = &self.cells[cell];
                    if let Portable::Collected(id) = value {
                        places.of[*id] = Place::Upvalue(self.tables.len() + index, n);
                    }
                    self.push(state, anchors, value)?;
                    ffi::lua_setupvalue(state, function, n);
                }
                ffi::lua_settop(state, anchors);
            }
            for (index, contents) in self.tables.iter().enumerate() {
                ffi::lua_rawgeti_(state, anchors, index as c_int + 1);
                let table = ffi::lua_gettop(state);
                for (key, value) in &contents.entries {
                    if let Portable::Collected(id) = value {
                        places.of[*id] = Place::Field(index, key.clone());
                    }
                    self.push(state, anchors, key)?;
                    self.push(state, anchors, value)?;
                    ffi::lua_rawset(state, table);
                }
                if let Some(name) = &contents.metatable {
                    push_name(state, name)?;
                    ffi::lua_setmetatable(state, table);
                }
                ffi::lua_settop(state, anchors);
            }
            for (index, root) in self.roots.iter().enumerate() {
                self.push(state, anchors, root)?;
                ffi::lua_rawseti_(state, roots, index as c_int + 1);
            }
        }
        Ok(places)
    }

    /// Pushes the value at a place of what was built, whose anchors are at a stack index.
    ///
    /// # Safety
    /// As for [`Image::build`], in the state where it was called.
    pub(super) unsafe fn push_place(
        &self,
        state: *mut lua_State,
        anchors: c_int,
        place: &Place,
    ) -> Result<(), String> {
        // SAFETY: the caller's promise.
        unsafe {
            match place {
                Place::Nowhere => ffi::lua_pushnil(state),
                Place::Upvalue(index, n) => {
                    ffi::lua_rawgeti_(state, anchors, *index as c_int + 1);
                    ffi::lua_getupvalue(state, -1, *n);
                    ffi::lua_remove(state, -2);
                }
                Place::Field(index, key) => {
                    ffi::lua_rawgeti_(state, anchors, *index as c_int + 1);
                    self.push(state, anchors, key)?;
                    ffi::lua_rawget_(state, -2);
                    ffi::lua_remove(state, -2);
                }
            }
        }
        Ok(())
    }

    unsafe fn push(&self, state: *mut lua_State, anchors: c_int, value: &Portable) -> Result<(), String> {
        // SAFETY: the caller's promise; one value is pushed.
        unsafe {
            match value {
                Portable::Nil => ffi::lua_pushnil(state),
                Portable::Boolean(value) => ffi::lua_pushboolean(state, c_int::from(*value)),
                Portable::Number(value) => ffi::lua_pushnumber(state, *value),
                Portable::Text(text) => ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len()),
                Portable::Table(index) => ffi::lua_rawgeti_(state, anchors, *index as c_int + 1),
                Portable::Function(index) => {
                    ffi::lua_rawgeti_(state, anchors, (self.tables.len() + index) as c_int + 1);
                }
                Portable::Name(name) => push_name(state, name)?,
                Portable::Collected(id) => self.push(state, anchors, &self.collected[*id])?,
            }
        }
        Ok(())
    }
}

/// Where in a worker's state the values are that were wrapped by `collect`, in their order.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) of: Vec<Place>,
}

/// Where one of them is; indices are those of the array of functions and tables.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Nowhere,
    Upvalue(usize, c_int),
    Field(usize, Portable),
}

/// Pushes what a dotted name stands for in a state.
unsafe fn push_name(state: *mut lua_State, name: &str) -> Result<(), String> {
    // SAFETY: the caller's promise; one value is pushed.
    unsafe {
        ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        for part in name.split('.').filter(|part| *part != "_G") {
            if ffi::lua_type(state, -1) != ffi::LUA_TTABLE {
                return Err(format!("`{name}` is not there in hooks"));
            }
            ffi::lua_pushlstring_(state, part.as_ptr().cast(), part.len());
            ffi::lua_rawget_(state, -2);
            ffi::lua_remove(state, -2);
        }
        match ffi::lua_type(state, -1) {
            ffi::LUA_TNIL => Err(format!("`{name}` is not there in hooks")),
            _ => Ok(()),
        }
    }
}

impl Capture {
    /// Takes the value at a stack index.
    unsafe fn take(&mut self, index: c_int) -> Result<Portable, String> {
        let state = self.state;
        // SAFETY: the state is open; everything pushed is popped, but after an error, where the
        // caller cuts the stack.
        unsafe {
            if self.depth > MAX_DEPTH || ffi::lua_checkstack(state, 10) == 0 {
                return Err("tables are nested too deeply".to_owned());
            }
            match ffi::lua_type(state, index) {
                ffi::LUA_TNIL | ffi::LUA_TNONE => return Ok(Portable::Nil),
                ffi::LUA_TBOOLEAN => return Ok(Portable::Boolean(ffi::lua_toboolean(state, index) != 0)),
                ffi::LUA_TNUMBER => return Ok(Portable::Number(ffi::lua_tonumber(state, index))),
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let text = ffi::lua_tolstring(state, index, &raw mut length);
                    let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
                    return Ok(Portable::Text(bytes.into()));
                }
                _ => {}
            }
            if let Some(name) = self.name_of(index) {
                return Ok(Portable::Name(name));
            }
            let address = ffi::lua_topointer(state, index);
            match ffi::lua_type(state, index) {
                ffi::LUA_TTABLE => {
                    if let Some(&id) = self.seen.get(&address) {
                        return Ok(match self.is_wrapper(index) {
                            true => Portable::Collected(id),
                            false => Portable::Table(id),
                        });
                    }
                    self.depth += 1;
                    let taken = match self.is_wrapper(index) {
                        true => self.wrapper(index, address),
                        false => self.table(index, address),
                    };
                    self.depth -= 1;
                    taken
                }
                ffi::LUA_TFUNCTION if ffi::lua_iscfunction(state, index) == 0 => {
                    if let Some(&id) = self.seen.get(&address) {
                        return Ok(Portable::Function(id));
                    }
                    self.depth += 1;
                    let taken = self.function(index, address);
                    self.depth -= 1;
                    taken
                }
                ffi::LUA_TFUNCTION => Err("a native function cannot be copied".to_owned()),
                ffi::LUA_TTHREAD => Err("a coroutine cannot be copied".to_owned()),
                _ => Err("userdata cannot be copied".to_owned()),
            }
        }
    }

    unsafe fn name_of(&self, index: c_int) -> Option<String> {
        // SAFETY: as in `take`.
        unsafe {
            ffi::lua_pushvalue(self.state, index);
            ffi::lua_rawget_(self.state, self.names);
            let mut length = 0;
            let text = ffi::lua_tolstring(self.state, -1, &raw mut length);
            let name = (!text.is_null()).then(|| {
                String::from_utf8_lossy(std::slice::from_raw_parts(text.cast::<u8>(), length)).into_owned()
            });
            ffi::lua_settop(self.state, -2);
            name
        }
    }

    unsafe fn is_wrapper(&self, index: c_int) -> bool {
        if self.wrappers == 0 {
            return false;
        }
        // SAFETY: as in `take`.
        unsafe {
            ffi::lua_pushvalue(self.state, index);
            ffi::lua_rawget_(self.state, self.wrappers);
            let found = ffi::lua_toboolean(self.state, -1) != 0;
            ffi::lua_settop(self.state, -2);
            found
        }
    }

    unsafe fn wrapper(&mut self, index: c_int, address: *const c_void) -> Result<Portable, String> {
        let id = self.image.collected.len();
        self.seen.insert(address, id);
        self.image.collected.push(Portable::Nil);
        // SAFETY: as in `take`.
        unsafe {
            ffi::lua_pushvalue(self.state, index);
            ffi::lua_rawseti_(self.state, self.met, id as c_int + 1);
            ffi::lua_rawgeti_(self.state, index, 1);
            let inner = ffi::lua_gettop(self.state);
            self.image.collected[id] = self.take(inner)?;
            ffi::lua_settop(self.state, inner - 1);
        }
        Ok(Portable::Collected(id))
    }

    unsafe fn table(&mut self, index: c_int, address: *const c_void) -> Result<Portable, String> {
        let id = self.image.tables.len();
        self.seen.insert(address, id);
        self.image.tables.push(Contents::default());
        let state = self.state;
        // SAFETY: as in `take`; `index` is absolute.
        unsafe {
            if ffi::lua_getmetatable(state, index) != 0 {
                self.image.tables[id].metatable = self.name_of(ffi::lua_gettop(state));
                ffi::lua_settop(state, -2);
            }
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                let at = ffi::lua_gettop(state);
                let key = self.take(at - 1)?;
                let value = self.take(at).map_err(|reason| match &key {
                    Portable::Text(text) => format!("{}: {reason}", String::from_utf8_lossy(text)),
                    Portable::Number(number) => format!("[{number}]: {reason}"),
                    _ => reason,
                })?;
                self.image.tables[id].entries.push((key, value));
                ffi::lua_settop(state, at - 1);
            }
        }
        Ok(Portable::Table(id))
    }

    unsafe fn function(&mut self, index: c_int, address: *const c_void) -> Result<Portable, String> {
        unsafe extern "C-unwind" fn write(
            _: *mut lua_State,
            data: *const c_void,
            size: usize,
            out: *mut c_void,
        ) -> c_int {
            // SAFETY: `out` is the vector given to `lua_dump`, `data` has `size` bytes.
            unsafe {
                let out = &mut *out.cast::<Vec<u8>>();
                out.extend_from_slice(std::slice::from_raw_parts(data.cast::<u8>(), size));
            }
            0
        }
        let id = self.image.functions.len();
        self.seen.insert(address, id);
        let state = self.state;
        let mut bytecode: Vec<u8> = Vec::new();
        // SAFETY: as in `take`; the vector outlives the dump.
        unsafe {
            ffi::lua_pushvalue(state, index);
            let dumped = ffi::lua_dump_(state, write, (&raw mut bytecode).cast());
            ffi::lua_settop(state, -2);
            if dumped != 0 {
                return Err("a function cannot be copied".to_owned());
            }
            self.image.functions.push(Code { bytecode, upvalues: Vec::new() });
            for n in 1.. {
                let name = ffi::lua_getupvalue(state, index, n);
                if name.is_null() {
                    break;
                }
                let value = ffi::lua_gettop(state);
                let cell = lua_upvalueid(state, index, n).cast_const();
                let known = self.cells.get(&cell).copied();
                let number = match known {
                    Some(number) => number,
                    None => {
                        let number = self.image.cells.len();
                        self.cells.insert(cell, number);
                        self.image.cells.push(Portable::Nil);
                        let name = std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned();
                        self.image.cells[number] =
                            self.take(value).map_err(|reason| format!("upvalue {name}: {reason}"))?;
                        number
                    }
                };
                self.image.functions[id].upvalues.push(number);
                ffi::lua_settop(state, value - 1);
            }
        }
        Ok(Portable::Function(id))
    }
}

/// A name as the C API takes it.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).expect("zero bytes are replaced")
}
