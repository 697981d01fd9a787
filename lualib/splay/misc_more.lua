--- The rarer half of `splay.misc` (use it through that module): numbers and text, sets,
--- exceptions, evaluation of names.
local type, tostring, tonumber, pairs, select = type, tostring, tonumber, pairs, select
local floor = math.floor

---@class splay.misc
local M = {}

--- A string of random letters and digits.
---
--- `misc.random_string(4)  --> such as "x7Qd"`
---@param n integer length
---@return string
function M.random_string(n)
  local letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
  local out = {}
  for i = 1, n do
    local at = math.random(#letters)
    out[i] = letters:sub(at, at)
  end
  return table.concat(out)
end

--- Copies of the elements of both tables, one after the other (`misc.merge` is the newer way).
---
--- `misc.table_concat({1}, {2, a = 3})  --> {1, 2, 3}`
---@param t1 table
---@param t2 table
---@return table
function M.table_concat(t1, t2)
  local dup = require("splay.misc").dup
  local all = dup(t1)
  local n = #t2
  for i = 1, n do all[#all + 1] = dup(t2[i]) end
  for k, v in pairs(t2) do
    local listed = type(k) == "number" and k >= 1 and k <= n and k % 1 == 0
    if not listed then all[#all + 1] = dup(v) end
  end
  return all
end

--- The bytes a hexadecimal text stands for.
---
--- `misc.hash_ascii_to_byte("414243")  --> "ABC"`
---
--- Manual: 'splay.misc'
---@param s string
---@return string
function M.hash_ascii_to_byte(s)
  return (s:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- The number a big-endian byte string stands for.
---
--- `misc.to_int("\1\2")  --> 258`
---@param s string
---@return integer
function M.to_int(s)
  local n = 0
  for i = 1, #s do n = n * 256 + s:byte(i) end
  return n
end

--- A number as big-endian bytes.
---
--- `misc.to_string(258)  --> "\0\0\1\2"`
---@param int integer
---@param size integer? number of bytes, default 4
---@return string
function M.to_string(int, size)
  local bytes = {}
  for i = size or 4, 1, -1 do
    bytes[i] = string.char(int % 256)
    int = floor(int / 256)
  end
  return table.concat(bytes)
end

local digits = "0123456789abcdefghijklmnopqrstuvwxyz"

local function check_base(base, level)
  base = tonumber(base)
  if not base or base < 2 or base > 36 or base % 1 ~= 0 then
    error("base must be an integer from 2 to 36", level + 1)
  end
  return base
end

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
function M.convert_base(input, b1, b2)
  b1, b2 = check_base(b1 or 10, 2), check_base(b2 or 16, 2)
  if type(input) == "number" then input = ("%.0f"):format(floor(input)) end
  local sign, text = tostring(input):lower():match("^%s*(%-?)(%w+)%s*$")
  if not text then return nil, "not a number: " .. tostring(input) end
  local number = {} -- digits in base b2, lowest first
  for i = 1, #text do
    local carry = digits:find(text:sub(i, i), 1, true) - 1
    if carry >= b1 then return nil, ("not a number in base %d: %s"):format(b1, text) end
    for j = 1, #number do
      local v = number[j] * b1 + carry
      number[j], carry = v % b2, floor(v / b2)
    end
    while carry > 0 do
      number[#number + 1] = carry % b2
      carry = floor(carry / b2)
    end
  end
  local out = {}
  for i = #number, 1, -1 do
    out[#out + 1] = digits:sub(number[i] + 1, number[i] + 1)
  end
  if #out == 0 then return "0" end
  return sign .. table.concat(out)
end

--- A decimal integer in another base.
---
--- `misc.dec_to_base(10, 2)  --> "1010"`
---
--- Errors: `nil, "reason"` if `n` is not an integer.
---@param n string|number
---@param b integer? default 16
---@return string? digits nil, "reason" if `n` is not an integer
---@return string? reason
function M.dec_to_base(n, b)
  return M.convert_base(n, 10, check_base(b or 16, 2))
end

--- The number that digits in some base stand for.
---
--- `misc.base_to_dec("ff", 16)  --> 255`
---
--- Errors: `nil, "reason"` if `s` is not an integer in that base.
---@param s string|number
---@param b integer? default 16
---@return number? value nil, "reason" if `s` is not an integer in that base
---@return string? reason
function M.base_to_dec(s, b)
  local text, reason = M.convert_base(s, check_base(b or 16, 2), 10)
  if not text then return nil, reason end
  return tonumber(text)
end

--- A number written without exponent: integers exactly, fractions as short as reads back.
---
--- `misc.to_dec_string(1e20)  --> "100000000000000000000"`
--- `misc.to_dec_string(1.5e-7)  --> "0.00000015"`
---@param n number
---@return string
function M.to_dec_string(n)
  if type(n) ~= "number" then return tostring(n) end
  if n ~= n or n == math.huge or n == -math.huge then return tostring(n) end
  if n % 1 == 0 then return ("%.0f"):format(n) end
  local text
  for precision = 14, 17 do
    text = ("%." .. precision .. "g"):format(n)
    if tonumber(text) == n then break end
  end
  local sign, whole, fraction, exponent = text:match("^(%-?)(%d+)%.?(%d*)e([-+]%d+)$")
  if not exponent then return text end
  -- A fraction has a negative exponent here: large numbers with 17 digits are integers.
  return sign .. "0." .. ("0"):rep(-tonumber(exponent) - 1) .. whole .. fraction
end

local function literal(v, path)
  local kind = type(v)
  if kind == "string" then
    return '"' .. v:gsub(".", function(c) return ("\\%03d"):format(c:byte()) end) .. '"'
  elseif kind == "number" then
    if v ~= v then return "(0/0)" end
    if v == math.huge then return "(1/0)" end
    if v == -math.huge then return "(-1/0)" end
    return ("%.17g"):format(v)
  elseif kind == "boolean" or kind == "nil" then
    return tostring(v)
  elseif kind ~= "table" then
    error("cannot stringify a " .. kind, 0)
  end
  if path[v] then error("cannot stringify a table that contains itself", 0) end
  path[v] = true
  local parts = {}
  for k, e in pairs(v) do
    parts[#parts + 1] = "[" .. literal(k, path) .. "]=" .. literal(e, path)
  end
  path[v] = nil
  return "{" .. table.concat(parts, ",") .. "}"
end

--- A value as Lua source text, every byte of its strings written `\ddd`.
---
--- `misc.stringify({ "A" })  --> '{[1]="\\065"}'`
---
--- Errors: raises for functions, and for tables that contain themselves.
---@param v any no functions, no cycles: these raise an error
---@return string
function M.stringify(v) return literal(v, {}) end

--- A function that calls `assert` on what `func` returns.
---
--- `misc.assert_function(io.open)("missing")  --> error missing: No such file or directory`
---
--- Manual: 'splay.misc'
---@param func function
---@return function
function M.assert_function(func)
  return function(...) return assert(func(...)) end
end

local function swap_first(from, to, first, ...)
  if first == from then return to, ... end
  return first, ...
end

--- An object like another, whose functions call `assert` on what they return.
---
--- `misc.assert_object(socket.tcp()):connect("127.0.0.1", 1)  --> error connection refused`
---
--- Manual: 'splay.misc'
---@generic T
---@param object T
---@return T
function M.assert_object(object)
  local wrapper = {}
  return setmetatable(wrapper, {
    __index = function(_, key)
      local value = object[key]
      if type(value) ~= "function" then return value end
      return function(...)
        return swap_first(object, wrapper, assert(value(swap_first(wrapper, object, ...))))
      end
    end,
    __newindex = function(_, key, value) object[key] = value end,
    __tostring = function() return tostring(object) end,
  })
end

-- Parsed names. Names come from other nodes: the table is emptied when it grows.
local paths, known = {}, 0

local escapes = { n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v" }

local function unescape(text)
  text = text:gsub("\\(%d%d?%d?)", function(code)
    return tonumber(code) < 256 and string.char(tonumber(code)) or nil
  end)
  return (text:gsub("\\(.)", escapes):gsub("\\([\\'\"])", "%1"))
end

local function parse(name)
  local first, at = name:match("^%s*([%a_][%w_]*)%s*()")
  if not first then return nil end
  local keys = { first }
  while at <= #name do
    local key, after = name:match("^%.%s*([%a_][%w_]*)%s*()", at)
    if not key then
      key, after = name:match("^%[%s*(%-?[%d.]+[eExX]?[%x]*)%s*%]%s*()", at)
      key = tonumber(key)
    end
    if not key then
      local quote, start = name:match("^%[%s*(['\"])()", at)
      local stop = start
      while stop and name:sub(stop, stop) ~= quote do
        if stop > #name then return nil end
        stop = stop + (name:sub(stop, stop) == "\\" and 2 or 1)
      end
      if stop then
        key, after = unescape(name:sub(start, stop - 1)), name:match("^%s*%]%s*()", stop + 1)
      end
    end
    if key == nil or not after then return nil end
    keys[#keys + 1], at = key, after
  end
  return keys
end

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
function M.path(name)
  local keys = paths[name]
  if not keys then
    keys = type(name) == "string" and parse(name)
    if not keys then return nil, "invalid name: " .. tostring(name) end
    if known >= 200 then paths, known = {}, 0 end
    paths[name], known = keys, known + 1
  end
  local value = _G[keys[1]]
  for i = 2, #keys do
    if value == nil then
      error(("attempt to index '%s' (a nil value)"):format(tostring(keys[i - 1])), 0)
    end
    value = value[keys[i]]
  end
  return value
end

--- Calls a function by name, or reads a variable, as a remote call does on its server.
---
--- `misc.call({"math.max", 1, 5})  --> {5}`
--- `misc.call("math.pi")  --> {3.1415926535898}`
---
--- Errors: `nil, "invalid function name: ..."`. What the function raises is raised.
---@param proc string|any[] a name, or an array of a name and the arguments
---@return any[]? results nil, "invalid function name: ..." if it is no function but has arguments
---@return string? reason
function M.call(proc)
  if type(proc) ~= "table" then proc = { proc } end
  local n = table.maxn(proc)
  local value, reason = M.path(proc[1])
  if type(value) == "function" then return { value(unpack(proc, 2, n)) } end
  if reason or n > 1 then return nil, "invalid function name: " .. tostring(proc[1]) end
  return { value }
end

local function results(ok, ...)
  if ok then return ... end
  return nil, (...)
end

--- Runs Lua source text.
---
--- `misc.run("return 1 + 1")  --> 2`
---
--- Errors: `nil, "reason"` where the text is not Lua or raises.
---@param code string
---@return any ... its results, or nil, "reason"
function M.run(code)
  local f, reason = loadstring(code)
  if not f then return nil, reason end
  return results(pcall(f))
end

local exception = {
  __tostring = function(e)
    return ("exception %s: %s"):format(tostring(e.exception[1]), tostring(e.exception[2]))
  end,
}

--- Raises an exception that `misc.try` can catch by name.
---
--- `misc.throw("runtime", "division by 0")  --> error division by 0`
---
--- Errors: raises, always.
--- Manual: 'Error handling in Lua/SPLAY'
---@param name string
---@param value any
function M.throw(name, value)
  error(setmetatable({ exception = { name, value, name = name, value = value } }, exception), 0)
end

--- Calls a function; an exception it throws goes to the handler of that name. Other errors, and
--- exceptions without a handler, are raised again unchanged.
---
--- `misc.try(function() misc.throw("runtime", "no") end, { runtime = print })  --> prints no`
---
--- Errors: raises what is not caught.
--- Manual: 'Error handling in Lua/SPLAY'
---@param f function
---@param catch table<string, fun(value: any)>
function M.try(f, catch)
  local ok, e = pcall(f)
  if ok then return end
  local thrown = type(e) == "table" and e.exception
  local handler = type(thrown) == "table" and catch and catch[thrown[1]]
  if not handler then error(e, 0) end
  handler(thrown[2])
end

--- A set: its members are its array part; beside them it keeps a queue of items per key.
---
--- `local s = misc.set(); s:insert("a"); s:insert("a"); #s  --> 1`
--- `s:push("k", 1); s:push("k", 2); s:pop("k")  --> 1`
---@return table set with insert(value), remove(value), push(key, item), pop(key)
function M.set()
  local places, queues = {}, {}
  local methods = {}
  function methods.insert(self, value)
    if places[value] then return end
    self[#self + 1] = value
    places[value] = #self
  end
  function methods.remove(self, value)
    local at = places[value]
    if not at then return end
    local last = self[#self]
    self[at], places[last] = last, at
    self[#self], places[value] = nil, nil
  end
  function methods.push(_, key, item)
    queues[key] = queues[key] or require("splay.queue").new()
    queues[key].insert(item)
  end
  function methods.pop(_, key)
    local queue = queues[key]
    if not queue then return nil end
    local item = queue.get()
    if queue.empty() then queues[key] = nil end
    return item
  end
  return setmetatable({}, { __index = methods })
end

--- An amount of bytes in other units (a kilobyte is 1024 bytes).
---
--- `misc.bitcalc(1048576).megabytes  --> 1`
---@param bytes number
---@return table<string, number> units bits, bytes, kilobits, kilobytes ... terabits, terabytes
function M.bitcalc(bytes)
  local units, scale = {}, 1
  for _, prefix in ipairs { "", "kilo", "mega", "giga", "tera" } do
    units[prefix .. "bits"], units[prefix .. "bytes"] = bytes * 8 / scale, bytes / scale
    scale = scale * 1024
  end
  return units
end

return M
