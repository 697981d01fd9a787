//! Native Lua 5.1 modules load in a plain run through `package.cpath`, and never in the sandbox.

mod support;

use std::process::Command;

use support::Place;

/// A module of one function, written against Lua 5.1's C API (declared here: no headers needed).
const SOURCE: &str = r#"
typedef struct lua_State lua_State;
double luaL_checknumber(lua_State *L, int n);
void lua_pushnumber(lua_State *L, double n);
void lua_createtable(lua_State *L, int elements, int fields);
void lua_pushcclosure(lua_State *L, int (*f)(lua_State *), int n);
void lua_setfield(lua_State *L, int index, const char *key);

static int twice(lua_State *L) {
  lua_pushnumber(L, 2 * luaL_checknumber(L, 1));
  return 1;
}

int luaopen_doubling(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcclosure(L, twice, 0);
  lua_setfield(L, -2, "twice");
  return 1;
}
"#;

/// A folder with the compiled module and an app that uses it.
fn prepared() -> Place {
    let place = Place::with(
        "if package.cpath then package.cpath = './?.so' end
         local m = require 'doubling'
         print(m and m.twice(21))",
    );
    place.write("doubling.c", SOURCE);
    let compiled = Command::new("cc")
        .current_dir(place.path())
        .args(["-shared", "-fPIC", "-o", "doubling.so", "doubling.c"])
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    place
}

#[test]
fn a_c_module_loads_in_a_plain_run() {
    let place = prepared();
    let outcome = place.lua(&["app.lua"], "").ended(0);
    assert_eq!(outcome.out, "42\n");
    assert!(place.run(1, &[]).ended(0).out.contains("42"));
}

#[test]
fn a_c_module_does_not_load_in_the_sandbox() {
    let outcome = prepared().run(1, &["--sandbox"]);
    assert!(outcome.out.contains("nil") && !outcome.out.contains("42"), "{outcome:?}");
}
