--- Small functions that every application uses: tables, random choice, time, ring arithmetic.
--- Numbers and text, exceptions and evaluation are in `splay.misc_more`, loaded on first use:
--- thousands of instances share a process and most of them never need it.
---
--- Since: 0.1
--- Manual: 'splay.misc'
local core = require "splay.misc_core"

local pairs, type, next, select = pairs, type, next, select
local random, maxn = math.random, table.maxn

---@class splay.misc
local M = {}

--- Seconds since 1970, as a float.
---
--- `misc.time()  --> such as 1700000000.123456`
---
--- Manual: 'splay.misc'
---@return number seconds
function M.time() return 0 end
M.time = core.time

--- Seconds since 1970 and microseconds.
---
--- `misc.ctime()  --> such as 1700000000, 123456`
---@return integer seconds
---@return integer microseconds
function M.ctime() return 0, 0 end
M.ctime = core.ctime

-- `path` maps the tables being copied to their copies, so that a table inside itself is the copy
-- inside itself; a table found twice side by side is copied twice.
local function dup(t, path)
  local copy = {}
  for k, v in pairs(t) do
    if type(v) == "table" then
      path = path or {}
      path[t] = copy
      copy[k] = path[v] or dup(v, path)
    else
      copy[k] = v
    end
  end
  if path then path[t] = nil end
  return copy
end

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
function M.dup(e)
  if type(e) ~= "table" then return e end
  return dup(e)
end

local function equal(a, b, path)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  path = path or {}
  if path[a] == b then return true end
  path[a] = b
  for k, v in pairs(a) do
    if not equal(v, b[k], path) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  path[a] = nil
  return true
end

--- Whether two values are the same, tables by content.
---
--- `misc.equal({1, {a = 2}}, {1, {a = 2}})  --> true`
---
--- Manual: 'splay.misc'
---@param o1 any
---@param o2 any
---@return boolean
function M.equal(o1, o2) return equal(o1, o2) end
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
function M.split(s, sep)
  if sep == "" then return { s } end
  sep = sep or " "
  if #sep:match("%%*$") % 2 == 1 then sep = sep .. "%" end
  local parts = {}
  for part in s:gmatch("[^" .. sep .. "]+") do parts[#parts + 1] = part end
  return parts
end

--- The number of elements of a table, whatever their keys.
---
--- `misc.size({"a", nil, "c", key = 1})  --> 3`
---
--- Manual: 'splay.misc'
---@param t table
---@return integer
function M.size(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

--- The highest positive numeric key of a table, holes or not.
---
--- `misc.isize({"a", nil, "c", key = 1})  --> 3`
---
--- Manual: 'splay.misc'
---@param t table
---@return number
function M.isize(t) return maxn(t) end

--- Whether a table has no element.
---
--- `misc.empty({})  --> true`
---@param t table
---@return boolean
function M.empty(t) return next(t) == nil end

--- The keys of a table, as an array in no particular order.
---
--- `misc.table_keyset({ a = 1, b = 2 })  --> such as { "a", "b" }`
---
--- Manual: 'splay.misc'
---@param t table
---@return any[]
function M.table_keyset(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  return keys
end

--- One random element of an array.
---
--- `misc.random_pick_one({ "a", "b" })  --> such as "b"`
---@generic T
---@param a T[]
---@return T? # nil for an empty array
function M.random_pick_one(a)
  local n = #a
  if n > 0 then return a[random(n)] end
end
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
function M.random_pick(a, n)
  local total = #a
  if not n then return total > 0 and a[random(total)] or nil end
  local pool, picked = {}, {}
  for i = 1, total do pool[i] = a[i] end
  for i = 1, n < total and n or total do
    local j = random(i, total)
    picked[i] = pool[j]
    pool[j] = pool[i]
  end
  return picked
end

--- A new array with the same elements in random order.
---
--- `misc.shuffle({ 1, 2, 3 })  --> such as { 2, 3, 1 }`
---
--- Manual: 'splay.misc'
---@generic T
---@param a T[]
---@return T[]
function M.shuffle(a) return M.random_pick(a, #a) end

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
function M.between_c(i, a, b)
  if a < b then return a < i and i < b end
  if b < a then return a < i or i < b end
  return false
end

--- `mult` times a string; either order of arguments.
---
--- `misc.gen_string(3)  --> "aaa"`
--- `misc.gen_string(2, "xy")  --> "xyxy"`
---
--- Manual: 'splay.misc'
---@param mult integer
---@param string string? default: "a"
---@return string
function M.gen_string(mult, string)
  if type(mult) == "string" and type(string) ~= "string" then mult, string = string, mult end
  return (string or "a"):rep(mult or 1)
end

local function is_array(t)
  return M.size(t) == #t
end

local function merge(a, b)
  local merged = {}
  if is_array(a) and is_array(b) then
    local n = #a
    for i = 1, n do merged[i] = a[i] end
    for i = 1, #b do merged[n + i] = b[i] end
  else
    for k, v in pairs(b) do merged[k] = v end
    for k, v in pairs(a) do merged[k] = v end
  end
  return merged
end

--- A new table out of others, two by two from the left: arrays are concatenated; if one is not
--- an array, keys are merged and the first table that has a key decides its value.
---
--- `misc.merge({1, 2}, {3})  --> {1, 2, 3}`
--- `misc.merge({a = 1}, {a = 2, b = 3})  --> {a = 1, b = 3}`
---
--- Manual: 'splay.misc'
---@param ... table? nil counts as empty
---@return table
function M.merge(...)
  local merged = merge((...) or {}, {})
  for i = 2, select("#", ...) do
    local t = select(i, ...)
    if t then merged = merge(merged, t) end
  end
  return merged
end

--- The rest arrives with the first name that is not here.
return setmetatable(M, {
  __index = function(t, key)
    setmetatable(t, nil)
    for name, f in pairs(require "splay.misc_more") do
      if t[name] == nil then t[name] = f end
    end
    return t[key]
  end,
})
