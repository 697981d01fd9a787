---@meta splay.misc
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.misc
local M = {}

--- Seconds since 1970, as a float.
---
--- `misc.time()  --> such as 1700000000.123456`
---
--- Manual: 'splay.misc'
---@return number seconds
function M.time() end

--- Seconds since 1970 and microseconds.
---
--- `misc.ctime()  --> such as 1700000000, 123456`
---@return integer seconds
---@return integer microseconds
function M.ctime() end

--- A deep copy of a value (generally a table); keys and metatables are not copied.
---
--- ```lua
--- local a = { s = "hello" }
--- local b = misc.dup(a)
--- b.s = "world"
--- a.s  --> "hello"
--- ```
---
--- Manual: 'splay.misc'
---@generic T
---@param e T
---@return T
function M.dup(e) end

--- Whether two values are the same, tables by content.
---
--- `misc.equal({1, {a = 2}}, {1, {a = 2}})  --> true`
---
--- Manual: 'splay.misc'
---@param o1 any
---@param o2 any
---@return boolean
function M.equal(o1, o2) end

M.equals = M.equal

--- The parts of a string between separators; empty parts are left out.
--- `sep` is a set of characters, written as inside `[]` of a Lua pattern (`"%s"` is any space).
---
--- `misc.split("a, b,,c", ", ")  --> {"a", "b", "c"}`
---
--- Manual: 'splay.misc'
---@param s string
---@param sep string? default: a blank
---@return string[]
function M.split(s, sep) end

--- The number of elements of a table, whatever their keys.
---
--- `misc.size({"a", nil, "c", key = 1})  --> 3`
---
--- Manual: 'splay.misc'
---@param t table
---@return integer
function M.size(t) end

--- The highest positive numeric key of a table, holes or not.
---
--- `misc.isize({"a", nil, "c", key = 1})  --> 3`
---
--- Manual: 'splay.misc'
---@param t table
---@return number
function M.isize(t) end

--- Whether a table has no element.
---
--- `misc.empty({})  --> true`
---@param t table
---@return boolean
function M.empty(t) end

--- The keys of a table, as an array in no particular order.
---
--- `misc.table_keyset({ a = 1, b = 2 })  --> such as { "a", "b" }`
---
--- Manual: 'splay.misc'
---@param t table
---@return any[]
function M.table_keyset(t) end

--- One random element of an array.
---
--- `misc.random_pick_one({ "a", "b" })  --> such as "b"`
---@generic T
---@param a T[]
---@return T? # nil for an empty array
function M.random_pick_one(a) end

M.random_peek_one = M.random_pick_one

--- One random element of an array, or an array of `n` elements at different places.
---
--- `misc.random_pick({ 1, 2, 3 })  --> such as 2`
--- `misc.random_pick({ 1, 2, 3 }, 2)  --> such as { 3, 1 }`
---
--- Manual: 'splay.misc'
---@param a any[]
---@param n integer? at most as many as there are are picked
---@return any
function M.random_pick(a, n) end

--- A new array with the same elements in random order.
---
--- `misc.shuffle({ 1, 2, 3 })  --> such as { 2, 3, 1 }`
---
--- Manual: 'splay.misc'
---@generic T
---@param a T[]
---@return T[]
function M.shuffle(a) end

--- Whether `i` lies strictly between `a` and `b`, walking clockwise on a ring.
---
--- `misc.between_c(1, 250, 5)  --> true`
--- `misc.between_c(5, 3, 3)  --> false`
---
--- Manual: 'splay.misc'
---@param i number
---@param a number
---@param b number
---@return boolean
function M.between_c(i, a, b) end

--- `mult` times a string; either order of arguments.
---
--- `misc.gen_string(3)  --> "aaa"`
--- `misc.gen_string(2, "xy")  --> "xyxy"`
---
--- Manual: 'splay.misc'
---@param mult integer
---@param string string? default: "a"
---@return string
function M.gen_string(mult, string) end

--- A new table out of others, two by two from the left: arrays are concatenated; if one is not
--- an array, keys are merged and the first table that has a key decides its value.
---
--- `misc.merge({1, 2}, {3})  --> {1, 2, 3}`
--- `misc.merge({a = 1}, {a = 2, b = 3})  --> {a = 1, b = 3}`
---
--- Manual: 'splay.misc'
---@param ... table? nil counts as empty
---@return table
function M.merge(...) end

--- A string of random letters and digits.
---
--- `misc.random_string(4)  --> such as "x7Qd"`
---@param n integer length
---@return string
function M.random_string(n) end

--- Copies of the elements of both tables, one after the other (`misc.merge` is the newer way).
---
--- `misc.table_concat({1}, {2, a = 3})  --> {1, 2, 3}`
---@param t1 table
---@param t2 table
---@return table
function M.table_concat(t1, t2) end

--- The bytes a hexadecimal text stands for.
---
--- `misc.hash_ascii_to_byte("414243")  --> "ABC"`
---
--- Manual: 'splay.misc'
---@param s string
---@return string
function M.hash_ascii_to_byte(s) end

--- The number a big-endian byte string stands for.
---
--- `misc.to_int("\1\2")  --> 258`
---@param s string
---@return integer
function M.to_int(s) end

--- A number as big-endian bytes.
---
--- `misc.to_string(258)  --> "\0\0\1\2"`
---@param int integer
---@param size integer? number of bytes, default 4
---@return string
function M.to_string(int, size) end

--- Converts an integer from one base to another; exact at any length.
---
--- `misc.convert_base(255)  --> "ff"`
--- `misc.convert_base("1010", 2, 10)  --> "10"`
---
--- Errors: `nil, "reason"` if the input is not a number in that base. Raises for other bases than 2
--- to 36.
--- Manual: 'splay.misc'
---@param input string|number digits of either case, may start with "-"
---@param b1 integer? base of the input, 2 to 36, default 10
---@param b2 integer? base of the result, 2 to 36, default 16
---@return string? converted nil, "reason" if the input is not a number in that base
---@return string? reason
function M.convert_base(input, b1, b2) end

--- A decimal integer in another base.
---
--- `misc.dec_to_base(10, 2)  --> "1010"`
---
--- Errors: `nil, "reason"` if `n` is not an integer.
---@param n string|number
---@param b integer? default 16
---@return string? digits nil, "reason" if `n` is not an integer
---@return string? reason
function M.dec_to_base(n, b) end

--- The number that digits in some base stand for.
---
--- `misc.base_to_dec("ff", 16)  --> 255`
---
--- Errors: `nil, "reason"` if `s` is not an integer in that base.
---@param s string|number
---@param b integer? default 16
---@return number? value nil, "reason" if `s` is not an integer in that base
---@return string? reason
function M.base_to_dec(s, b) end

--- A number written without exponent: integers exactly, fractions as short as reads back.
---
--- `misc.to_dec_string(1e20)  --> "100000000000000000000"`
--- `misc.to_dec_string(1.5e-7)  --> "0.00000015"`
---@param n number
---@return string
function M.to_dec_string(n) end

--- A value as Lua source text, every byte of its strings written `\ddd`.
---
--- `misc.stringify({ "A" })  --> '{[1]="\\065"}'`
---
--- Errors: raises for functions, and for tables that contain themselves.
---@param v any no functions, no cycles: these raise an error
---@return string
function M.stringify(v) end

--- A function that calls `assert` on what `func` returns.
---
--- `misc.assert_function(io.open)("missing")  --> error missing: No such file or directory`
---
--- Manual: 'splay.misc'
---@param func function
---@return function
function M.assert_function(func) end

--- An object like another, whose functions call `assert` on what they return.
---
--- `misc.assert_object(socket.tcp()):connect("127.0.0.1", 1)  --> error connection refused`
---
--- Manual: 'splay.misc'
---@generic T
---@param object T
---@return T
function M.assert_object(object) end

--- The value of a global variable, or of a field reached from one, given its name as text.
--- A name is a path, never code.
---
--- `ring = { { x = 5 } }`
--- `misc.path("ring[1].x")  --> 5`
---
--- Errors: `nil, "invalid name: ..."`. Raises where a part of the path is nil.
---@param name string
---@return any value nil if there is none, or nil, "invalid name: ..."
---@return string? reason
function M.path(name) end

--- Calls a function by name, or reads a variable, as a remote call does on its server.
---
--- `misc.call({"math.max", 1, 5})  --> {5}`
--- `misc.call("math.pi")  --> {3.1415926535898}`
---
--- Errors: `nil, "invalid function name: ..."`. What the function raises is raised.
---@param proc string|any[] a name, or an array of a name and the arguments
---@return any[]? results nil, "invalid function name: ..." if it is no function but has arguments
---@return string? reason
function M.call(proc) end

--- Runs Lua source text.
---
--- `misc.run("return 1 + 1")  --> 2`
---
--- Errors: `nil, "reason"` where the text is not Lua or raises.
---@param code string
---@return any ... its results, or nil, "reason"
function M.run(code) end

--- Raises an exception that `misc.try` can catch by name.
---
--- `misc.throw("runtime", "division by 0")  --> error division by 0`
---
--- Errors: raises, always.
--- Manual: 'Error handling in Lua/SPLAY'
---@param name string
---@param value any
function M.throw(name, value) end

--- Calls a function; an exception it throws goes to the handler of that name. Other errors, and
--- exceptions without a handler, are raised again unchanged.
---
--- `misc.try(function() misc.throw("runtime", "no") end, { runtime = print })  --> prints no`
---
--- Errors: raises what is not caught.
--- Manual: 'Error handling in Lua/SPLAY'
---@param f function
---@param catch table<string, fun(value: any)>
function M.try(f, catch) end

--- A set: its members are its array part; beside them it keeps a queue of items per key.
---
--- `local s = misc.set(); s:insert("a"); s:insert("a"); #s  --> 1`
--- `s:push("k", 1); s:push("k", 2); s:pop("k")  --> 1`
---@return table set with insert(value), remove(value), push(key, item), pop(key)
function M.set() end

--- An amount of bytes in other units (a kilobyte is 1024 bytes).
---
--- `misc.bitcalc(1048576).megabytes  --> 1`
---@param bytes number
---@return table<string, number> units bits, bytes, kilobits, kilobytes ... terabits, terabytes
function M.bitcalc(bytes) end

return M
