use mlua::{Function, Lua};
use proptest::prelude::*;

use super::*;

fn text(source: &str) -> String {
    String::from_utf8(prepare(source.as_bytes()).into_owned()).unwrap()
}

fn unchanged(source: &str) {
    assert!(
        matches!(prepare(source.as_bytes()), Cow::Borrowed(same) if same == source.as_bytes()),
        "{source}"
    );
}

/// What the prepared source returns, `tostring`ed and joined by blanks.
fn run(source: &str) -> String {
    let lua = Lua::new();
    let join: Function = lua
        .load("return function(...) local t={...} for i=1,select('#',...) do t[i]=tostring(t[i]) end return table.concat(t,' ') end")
        .eval()
        .unwrap();
    let chunk = lua.load(prepare(source.as_bytes()).into_owned()).into_function().unwrap();
    join.call(chunk.call::<mlua::MultiValue>(()).unwrap()).unwrap()
}

#[test]
fn ordinary_programs_are_not_copied() {
    unchanged("");
    unchanged("print('hello')");
    unchanged(
        "local a = '\\n\\065\\\\\\x41\\u{20ac}\\z  x' -- \\. and \\q\nlocal b = [[\\.]] --[==[ \\. ]==]",
    );
    unchanged("print(arg[1], ...)");
    unchanged("\x1bLJ\\. not source");
}

#[test]
fn a_shebang_line_disappears_but_is_counted() {
    assert_eq!(text("#!/usr/bin/lua\nprint(1)"), "\nprint(1)");
    assert_eq!(text("#!/usr/bin/lua"), "");
    assert_eq!(text("#x\r\nreturn '\\.'"), "\r\nreturn '.'");
    let lua = Lua::new();
    let error = lua.load(prepare(b"#!/x\nerror('here')").into_owned()).set_name("=app").exec().unwrap_err();
    assert!(error.to_string().contains("app:2: here"), "{error}");
}

#[test]
fn unknown_escapes_lose_their_backslash() {
    assert_eq!(text(r#"x = "a\.b\-c\%" .. '\q\é'"#), r#"x = "a.b-c%" .. 'qé'"#);
    assert_eq!(run(r#"return ("x.y"):match("^(%w+)\.(%w+)$")"#), "x y");
    assert_eq!(run(r#"return "\x4g\x41\u{41}\u{110000}\u41""#), "x4gAAu{110000}u41");
    // An escaped quote does not end the string, and neither does an escaped backslash escape it.
    assert_eq!(text(r#"x = "\"\." y = "\\" z = "\.""#), r#"x = "\"." y = "\\" z = ".""#);
    assert_eq!(run("return 'a\\\nb\\z\n   c\\.'"), "a\nbc.");
    // Long strings and comments have no escapes.
    assert_eq!(text("x = [=[\\.]]\\.]=] --'\\.\ny='\\.'"), "x = [=[\\.]]\\.]=] --'\\.\ny='.'");
    assert_eq!(text("--[[ ' ]] x='\\.'"), "--[[ ' ]] x='.'");
    assert_eq!(text("--[ ' \nx='\\.'"), "--[ ' \nx='.'");
    assert_eq!(text("x = t[t['\\.']]"), "x = t[t['.']]");
}

#[test]
fn vararg_functions_get_their_table() {
    assert_eq!(
        text("function f(a, ...) return arg.n end"),
        "function f(a, ...) local arg={n=select('#',...),...}; return arg.n end"
    );
    assert_eq!(run("local function f(...) return arg.n, arg[1], arg[3] end return f(7, nil, 9)"), "3 7 9");
    assert_eq!(run("local t = {f = function(self, ...) return unpack(arg) end} return t:f(1, 2)"), "1 2");
    assert_eq!(
        run("local t = {} function t.a() end function t:m(...) return #arg end return t:m(1, 2)"),
        "2"
    );
    assert_eq!(run("local f = function(...) return function() return arg[1] end end return f(5)()"), "5");
    assert_eq!(run("local function f(...) local arg = arg or {} return arg[1] end return f(5)"), "5");
    assert_eq!(
        run("return (function(...)\nfor i, v in ipairs(arg) do print = v end return print end)(3, 4)"),
        "4"
    );
    assert_eq!(run("local function f(...) arg = arg[1] return arg end return f(6)"), "6");
    // An inner function's dots are its own.
    assert_eq!(
        run(
            "local function f(...) local function g(...) return ... end return g(arg.n, arg[2]) end return f(1, 2)"
        ),
        "2 2"
    );
    assert_eq!(
        run(
            "local function f(...) repeat local x = arg.n until x == arg.n return x end return tostring(f(1))"
        ),
        "nil"
    );
}

#[test]
fn a_program_may_have_another_select() {
    assert_eq!(
        run(
            "local select = 1\nfunction f(...) return arg.n, select end local g = function(select, ...) return arg.n end return f(1, nil), g(1, 2)"
        ),
        "2 1"
    );
    assert_eq!(run("#!x\nlocal select = 1; return (function(...) return arg[1] end)(5)"), "5");
    assert_eq!(text("local select = ... return arg"), "local select = ... return arg");
}

#[test]
fn other_uses_of_the_name_stay() {
    for source in [
        "function f(...) return arg, ... end",
        "function f(...) local n = select('#', ...) return arg[1] end",
        "function f(a, ...) return a end print(arg[0])",
        "function f(arg, ...) return arg end",
        "function f(...) local arg = {} return arg[1] end",
        "function f(...) local function arg() return arg end return arg end",
        "function f(...) for arg = 1, 2 do print(arg) end end",
        "function f(...) for k, arg in pairs({}) do print(arg) end end",
        "function f(...) return function(arg) return arg end end",
        "function f(...) return x.arg, {arg = 1}, x:arg(), 'arg' end --arg",
        "function f(...) return argument, myarg, arg_ end",
        "function f(...) repeat local arg = 1 until arg == 2 end",
        "function f(...) arg.x.y( end",
        "arg = {...}",
    ] {
        unchanged(source);
    }
    assert_eq!(
        run(
            "arg = 'global' local function f(...) do local arg = 1 end local a = ... return arg end return f(1)"
        ),
        "global"
    );
}

#[test]
fn shadowing_ends_with_its_block() {
    for source in [
        "function f(...) do local arg = 1 end return arg end",
        "function f(...) for arg = 1, 2 do end return arg end",
        "function f(...) if x then local arg = 1 elseif arg then end end",
        "function f(...) if x then local arg = 1 else return arg end end",
        "function f(...) while arg do local arg = 1 end end",
        "function f(...) repeat local arg = 1 until arg == 2 return arg end",
        "function f(...) for i = 1, #arg do end end",
        "function f(...) local x, y = function(arg) end, arg end",
        "function f(...) return {[arg] = 1, 2; arg} end",
        "function f(...) g'x' {} :m [[y]] (arg) end",
        "function f(...) ::top:: goto top return -#arg .. not arg end",
        "function f(...) local continue, const = 1, arg; goto = 3 end",
    ] {
        assert_eq!(
            text(source),
            source.replacen("(...)", &format!("(...){}", " local arg={n=select('#',...),...};"), 1)
        );
    }
}

#[test]
fn hostile_sources_are_left_to_the_compiler() {
    for source in [
        "(".repeat(100_000),
        "{".repeat(100_000),
        "function f(...) ".repeat(50_000),
        "if arg then ".repeat(50_000),
        "x = ".to_string() + &"- ".repeat(100_000),
        "f(...) arg = '".into(),
        "function f(...) arg = [==[".into(),
        "function f(...) arg --[==[ ".into(),
    ] {
        let source = source + " ... arg";
        assert_eq!(text(&source), source);
    }
}

proptest! {
    #[test]
    fn any_bytes_keep_their_lines(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "function", "f", "(", "...", ")", "arg", "end", "local", "=", "\n", "'", "\\", ".", "{", "}", "[[", "]]",
                "--", "do", "repeat", "until", "for", "in", ",", "if", "then", "return", "\"", "#", "1e", "::",
            ]),
            0..60,
        ),
    ) {
        for source in [bytes, words.join(" ").into_bytes()] {
            let prepared = prepare(&source);
            let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(lines(&prepared), lines(&source));
        }
    }
}
