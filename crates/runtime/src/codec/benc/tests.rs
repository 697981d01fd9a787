use std::collections::BTreeMap;

use mlua::ffi;

use super::*;

mod properties;

/// A Lua state of its own for each test.
struct State(*mut ffi::lua_State);

impl State {
    fn new() -> Self {
        // SAFETY: creates a state that `drop` closes.
        unsafe {
            let l = ffi::luaL_newstate();
            assert!(!l.is_null());
            ffi::luaL_openlibs(l);
            State(l)
        }
    }

    fn top(&self) -> i32 {
        // SAFETY: the state is live.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// Leaves on the stack what `return <expression>` returns.
    fn run(&self, expression: &str) {
        let code = format!("return {expression}");
        // SAFETY: the state is live and the call protected.
        unsafe {
            ffi::lua_settop(self.0, 0);
            let loaded = ffi::luaL_loadbufferx(
                self.0,
                code.as_ptr().cast(),
                code.len(),
                c"test".as_ptr(),
                std::ptr::null(),
            );
            assert_eq!(loaded, ffi::LUA_OK, "{code}");
            assert_eq!(ffi::lua_pcall(self.0, 0, ffi::LUA_MULTRET, 0), ffi::LUA_OK, "{code}");
        }
    }

    fn encode(&self, expression: &str) -> Result<String, EncodeError> {
        self.run(expression);
        let top = self.top();
        let mut out = b"before".to_vec();
        // SAFETY: there is one value on the stack.
        let result = unsafe { encode(self.0, -1, &mut out) };
        assert_eq!(self.top(), top, "balanced stack");
        assert_eq!(&out[..6], b"before");
        let text = out[6..].escape_ascii().to_string();
        assert!(result.is_ok() || text.is_empty());
        result.map(|()| text)
    }

    fn decode(&self, data: &[u8]) -> Result<Tree, DecodeError> {
        let top = self.top();
        // SAFETY: the state is live.
        unsafe {
            let result = decode(self.0, data);
            let pushed = i32::from(result.is_ok());
            assert_eq!(self.top(), top + pushed, "balanced stack");
            let used = result?;
            assert!(used <= data.len());
            assert_eq!(skip(data), Ok(used), "{}", data.escape_ascii());
            let tree = Tree::read(self.0);
            ffi::lua_settop(self.0, top);
            Ok(tree)
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: the state is live until here.
        unsafe { ffi::lua_close(self.0) }
    }
}

/// A Lua value outside Lua.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tree {
    Nil,
    Boolean(bool),
    /// Bits of the number, `-0` as `0`.
    Number(u64),
    String(Vec<u8>),
    Table(BTreeMap<Tree, Tree>),
}

fn number(value: f64) -> Tree {
    Tree::Number((value + 0.0).to_bits())
}

fn string(text: &str) -> Tree {
    Tree::String(text.into())
}

fn list(items: impl IntoIterator<Item = Tree>) -> Tree {
    Tree::Table((1u32..).map(|i| number(f64::from(i))).zip(items).collect())
}

impl Tree {
    /// # Safety
    /// The state is live.
    unsafe fn push(&self, l: *mut ffi::lua_State) {
        // SAFETY: each branch pushes one value; nesting in tests is shallow.
        unsafe {
            assert_ne!(ffi::lua_checkstack(l, 4), 0);
            match self {
                Tree::Nil => ffi::lua_pushnil(l),
                Tree::Boolean(value) => ffi::lua_pushboolean(l, i32::from(*value)),
                Tree::Number(bits) => ffi::lua_pushnumber(l, f64::from_bits(*bits)),
                Tree::String(text) => ffi::lua_pushlstring_(l, text.as_ptr().cast(), text.len()),
                Tree::Table(entries) => {
                    ffi::lua_createtable(l, 0, 0);
                    for (key, value) in entries {
                        key.push(l);
                        value.push(l);
                        ffi::lua_rawset(l, -3);
                    }
                }
            }
        }
    }

    /// Reads the value on top of the stack.
    ///
    /// # Safety
    /// There is a value on the stack.
    unsafe fn read(l: *mut ffi::lua_State) -> Tree {
        // SAFETY: accessors match the type; `lua_next` sees its own keys.
        unsafe {
            assert_ne!(ffi::lua_checkstack(l, 4), 0);
            match ffi::lua_type(l, -1) {
                ffi::LUA_TNIL => Tree::Nil,
                ffi::LUA_TBOOLEAN => Tree::Boolean(ffi::lua_toboolean(l, -1) != 0),
                ffi::LUA_TNUMBER => number(ffi::lua_tonumber(l, -1)),
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let start = ffi::lua_tolstring(l, -1, &mut length);
                    Tree::String(std::slice::from_raw_parts(start.cast(), length).to_vec())
                }
                ffi::LUA_TTABLE => {
                    let mut entries = BTreeMap::new();
                    ffi::lua_pushnil(l);
                    while ffi::lua_next(l, -2) != 0 {
                        let value = Tree::read(l);
                        ffi::lua_settop(l, -2);
                        entries.insert(Tree::read(l), value);
                    }
                    Tree::Table(entries)
                }
                other => panic!("unexpected type {other}"),
            }
        }
    }
}

#[test]
fn values_have_their_golden_bytes() {
    let state = State::new();
    for (expression, bytes) in [
        ("nil", "n"),
        ("true", "t"),
        ("false", "f"),
        ("''", "0:"),
        ("'abc'", "3:abc"),
        ("0", "i0e"),
        ("-0", "i0e"),
        ("-7", "i-7e"),
        ("3.7", "i3.7e"),
        ("0.5", "i0.5e"),
        ("-0.1", "i-0.1e"),
        ("0.00000015", "i0.00000015e"),
        ("2^53", "i9007199254740992e"),
        ("2^53-1", "i9007199254740991e"),
        ("-2^63", "i-9223372036854775808e"),
        ("2^64", "i18446744073709551616e"),
        ("1e23", "i99999999999999991611392e"),
        ("1/0", "iinfe"),
        ("-1/0", "i-infe"),
        ("0/0", "inane"),
        ("{}", "le"),
        ("{1, 2, 3}", "li1ei2ei3ee"),
        ("{[3]=3, [2]=2, [1]=1}", "li1ei2ei3ee"),
        ("{1, nil, 3}", "di1ei1ei3ei3ee"),
        ("{[2]='x'}", "di2e1:xe"),
        ("{[0]='z', 'a'}", "di0e1:zi1e1:ae"),
        ("{[1.5]='x'}", "di1.5e1:xe"),
        ("{[true]='x'}", "dt1:xe"),
        ("{[true]=1, [false]=2, b=3, [-1]=4, [1]=5, a=6}", "di-1ei4ei1ei5e1:ai6e1:bi3efi2eti1ee"),
        ("{[{7}]=1}", "dli7eei1ee"),
        ("{[{}]=2, [{}]=1}", "dlei1elei2ee"),
        ("{'a', x={y='z'}}", "di1e1:a1:xd1:y1:zee"),
        ("{{1, x=2}, {3, {4}}, y=5}", "di1edi1ei1e1:xi2eei2eli3eli4eee1:yi5ee"),
        ("{type='call', call={'echo', 1, 'two'}}", "d4:calll4:echoi1e3:twoe4:type4:calle"),
        ("{type='ping'}", "d4:type4:pinge"),
        ("{reply={1}, n=7}", "d1:ni7e5:replyli1eee"),
        ("{aaaaaaaab=1, aaaaaaaaa=2, aaaaaaaa=3}", "d8:aaaaaaaai3e9:aaaaaaaaai2e9:aaaaaaaabi1ee"),
    ] {
        assert_eq!(state.encode(expression).as_deref(), Ok(bytes), "{expression}");
    }
}

#[test]
fn what_has_no_encoding_is_an_error() {
    let state = State::new();
    let cyclic = "(function() local t = {} t.t = t return t end)()";
    let nested =
        |n: usize| format!("(function() local t = 1 for i = 1, {n} do t = {{t}} end return t end)()");
    for (expression, error) in [
        ("print", EncodeError::Unsupported("function")),
        ("{1, {x=print}}", EncodeError::Unsupported("function")),
        ("{[print]=1}", EncodeError::Unsupported("function")),
        ("{1, io.stdout}", EncodeError::Unsupported("userdata")),
        ("coroutine.create(print)", EncodeError::Unsupported("thread")),
        (cyclic, EncodeError::TooDeep),
        (&nested(MAX_DEPTH + 1), EncodeError::TooDeep),
    ] {
        assert_eq!(state.encode(expression), Err(error), "{expression}");
    }
    assert_eq!(state.encode(&nested(MAX_DEPTH)), Ok("l".repeat(128) + "i1e" + &"e".repeat(128)));
}

#[test]
fn mixed_tables_nested_in_each_other_take_linear_time() {
    let state = State::new();
    let code = "(function() local t = 1 for i = 1, 100 do t = {t, x = i} end return t end)()";
    assert!(state.encode(code).unwrap().len() < 3000);
}

#[test]
fn what_older_encoders_wrote_is_decoded() {
    let state = State::new();
    let table = |entries: Vec<(Tree, Tree)>| Tree::Table(entries.into_iter().collect());
    for (bytes, value) in [
        (&b"n"[..], Tree::Nil),
        (b"i3.7e", number(3.7)),
        (b"i 0x10 e", number(16.0)),
        (b"iinfe", number(f64::INFINITY)),
        (b"i-infe", number(f64::NEG_INFINITY)),
        (b"i9007199254741000e", number(9007199254741000.0)),
        (b"i-12345678901234567890e", number(-12345678901234567890.0)),
        (b"i+5e", number(5.0)),
        (b"i007e", number(7.0)),
        (b"03:abc", string("abc")),
        (b"l1:ani2ee", list([string("a"), number(2.0)])),
        (b"di1e1:xe", list([string("x")])),
        (b"dt1:xe", table(vec![(Tree::Boolean(true), string("x"))])),
        (b"dle1:xe", table(vec![(list([]), string("x"))])),
        (b"d1:ane", list([])),
        (b"d1:bi1e1:ai2ee", table(vec![(string("a"), number(2.0)), (string("b"), number(1.0))])),
        (b"d1:ai1e1:ai2ee", table(vec![(string("a"), number(2.0))])),
        (b"i1etrailing", number(1.0)),
        (
            b"d4:calll4:echoi1e3:twoe4:type4:calle",
            table(vec![
                (string("call"), list([string("echo"), number(1.0), string("two")])),
                (string("type"), string("call")),
            ]),
        ),
    ] {
        assert_eq!(state.decode(bytes), Ok(value), "{}", bytes.escape_ascii());
    }
    assert!(matches!(state.decode(b"i-nane"), Ok(Tree::Number(bits)) if f64::from_bits(bits).is_nan()));
}

#[test]
fn hostile_bytes_are_errors() {
    let state = State::new();
    use DecodeError::*;
    for (bytes, error) in [
        (&b""[..], Truncated),
        (b"i5", Truncated),
        (b"i", Truncated),
        (b"5:ab", Truncated),
        (b"5", Truncated),
        (b"l", Truncated),
        (b"li1e", Truncated),
        (b"d1:a", Truncated),
        (b"d", Truncated),
        (b"e", Unexpected { byte: b'e', offset: 0 }),
        (b"x", Unexpected { byte: b'x', offset: 0 }),
        (b"lxe", Unexpected { byte: b'x', offset: 1 }),
        (b"d1:ae", Unexpected { byte: b'e', offset: 4 }),
        (b"ie", BadNumber { offset: 1 }),
        (b"i-e", BadNumber { offset: 1 }),
        (b"i--5e", BadNumber { offset: 1 }),
        (b"i5xe", BadNumber { offset: 1 }),
        (b"i0xe", BadNumber { offset: 1 }),
        (b"1x", BadLength { offset: 0 }),
        (b"99999999999999999999999999:x", BadLength { offset: 0 }),
        (b"9999999999:x", Truncated),
        (b"dn1:xe", BadKey { offset: 1 }),
    ] {
        assert_eq!(state.decode(bytes), Err(error), "{}", bytes.escape_ascii());
        assert_eq!(skip(bytes), Err(error), "{}", bytes.escape_ascii());
    }
    assert_eq!(state.decode(b"dinane1:xe"), Err(BadKey { offset: 1 }));
    for open in ["l", "d1:a", "dl"] {
        let deep = open.repeat(1_000_000);
        assert_eq!(state.decode(deep.as_bytes()), Err(TooDeep));
        assert_eq!(skip(deep.as_bytes()), Err(TooDeep));
    }
    let deepest = "l".repeat(MAX_DEPTH) + &"e".repeat(MAX_DEPTH);
    assert!(state.decode(deepest.as_bytes()).is_ok());
}

#[test]
fn ranges_keep_their_positions() {
    let state = State::new();
    for (values, bytes, count) in [
        ("", "le", 0),
        ("1, 2", "li1ei2ee", 2),
        ("nil", "di1ene", 1),
        ("1, nil, 3", "di1ei1ei3ei3ee", 3),
        ("nil, 'err', nil", "di2e3:erri3ene", 3),
        ("{1}, nil, nil", "di1eli1eei3ene", 3),
    ] {
        state.run(values);
        let given = state.top();
        assert_eq!(given, count, "{values}");
        let mut out = Vec::new();
        // SAFETY: the slots are those `run` left.
        let (used, decoded) = unsafe {
            encode_range(state.0, 1, given, &mut out).unwrap();
            decode_list_values(state.0, &out).unwrap()
        };
        assert_eq!(out.escape_ascii().to_string(), bytes, "{values}");
        assert_eq!((used, decoded), (out.len(), given));
        for index in 1..=given {
            let read = |index| {
                // SAFETY: both indices are on the stack.
                unsafe {
                    ffi::lua_pushvalue(state.0, index);
                    let tree = Tree::read(state.0);
                    ffi::lua_settop(state.0, -2);
                    tree
                }
            };
            assert_eq!(read(index), read(index + given), "{values}");
        }
    }
}

#[test]
fn lists_are_spread_from_any_form() {
    let state = State::new();
    let spread = |bytes: &[u8], passed| {
        // SAFETY: the state is live; the values are read off again from the top.
        unsafe {
            let top = state.top();
            let result = decode_list_values_from(state.0, bytes, passed);
            let mut values = Vec::new();
            while state.top() > top {
                values.insert(0, Tree::read(state.0));
                ffi::lua_settop(state.0, -2);
            }
            result.map(|(used, count)| {
                assert_eq!((used, usize::try_from(count).unwrap()), (bytes.len(), values.len()));
                values
            })
        }
    };
    let (one, x) = (number(1.0), string("x"));
    assert_eq!(spread(b"li1en1:xe", 0), Ok(vec![one.clone(), Tree::Nil, x.clone()]));
    assert_eq!(spread(b"li1en1:xe", 1), Ok(vec![Tree::Nil, x.clone()]));
    assert_eq!(spread(b"li1ee", 5), Ok(vec![]));
    assert_eq!(spread(b"di3e1:xi1ei1ee", 0), Ok(vec![one, Tree::Nil, x.clone()]));
    assert_eq!(spread(b"di3e1:xi1ei1ee", 2), Ok(vec![x]));
    assert_eq!(spread(b"de", 0), Ok(vec![]));
    assert_eq!(spread(b"d1:ai1ee", 0), Err(DecodeError::BadKey { offset: 1 }));
    assert_eq!(spread(b"di0ei1ee", 0), Err(DecodeError::BadKey { offset: 1 }));
    assert_eq!(spread(b"di999999999ei1ee", 0), Err(DecodeError::TooManyValues));
    let long = |n| "l".to_string() + &"t".repeat(n) + "e";
    assert_eq!(spread(long(MAX_VALUES).as_bytes(), 0).map(|v| v.len()), Ok(MAX_VALUES));
    assert_eq!(spread(long(100_000).as_bytes(), 0), Err(DecodeError::TooManyValues));
    assert_eq!(spread(b"li1e", 0), Err(DecodeError::Truncated));
    assert_eq!(spread(b"i1e", 0), Err(DecodeError::Unexpected { byte: b'i', offset: 0 }));
}

#[test]
fn envelopes_are_read_without_lua() {
    let data = b"d1:ni7ei5e4:five4:calll4:echoi1ee5:replyt4:type4:calletail";
    let mut reader = Reader::new(data).unwrap();
    assert_eq!(reader.find(b"n").unwrap().and_then(Value::as_number), Some(7.0));
    assert_eq!(reader.find(b"type").unwrap().and_then(Value::as_bytes), Some(&b"call"[..]));
    assert_eq!(reader.find(b"reply").unwrap().and_then(Value::as_bool), Some(true));
    assert_eq!(reader.find(b"none"), Ok(None));
    let call = reader.find(b"call").unwrap().unwrap();
    assert!(call.is_table());
    assert_eq!(call.raw(), b"l4:echoi1ee");
    let mut items = Items::new(call.raw()).unwrap();
    assert_eq!(items.next_item().unwrap().and_then(Value::as_bytes), Some(&b"echo"[..]));
    assert_eq!(items.next_item().unwrap().and_then(Value::as_number), Some(1.0));
    assert_eq!((items.next_item(), items.next_item()), (Ok(None), Ok(None)));
    let mut names = Vec::new();
    while let Some((name, _)) = reader.next_entry().unwrap() {
        names.push(name);
    }
    assert_eq!(names, [&b"n"[..], b"call", b"reply", b"type"]);
    assert!(Reader::new(b"le").is_err());
    assert_eq!(Reader::new(b"d1:a").unwrap().next_entry(), Err(DecodeError::Truncated));
    assert_eq!(Reader::new(b"d").unwrap().next_entry(), Err(DecodeError::Truncated));
}
