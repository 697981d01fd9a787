--- Scripts of nbdkit, part of `splay.nbd`: `load`, `loadstring`. They are written for Lua 5.3:
--- their operators are made calls (`splay.nbd_core.lua53`), and they find what 5.3's libraries have
--- in addition.

local core = require "splay.nbd_core"

local type, pcall, tonumber, error, setmetatable = type, pcall, tonumber, error, setmetatable
local floor = math.floor
local bit = require "bit"

local M = {}

-- Integers ---------------------------------------------------------------------------------------

local WORD = 2 ^ 32

local function operand(a, what)
  local number = tonumber(a)
  if not number then
    error(("attempt to perform %s on a %s value"):format(what, type(a)), 3)
  end
  return number
end

local function idiv(a, b)
  if type(a) ~= "number" then a = operand(a, "arithmetic") end
  if type(b) ~= "number" then b = operand(b, "arithmetic") end
  if b == 0 then error("attempt to perform 'n//0'", 2) end
  return floor(a / b)
end

-- The two 32-bit halves of a 64-bit integer, as numbers from 0.
local function halves(a)
  a = operand(a, "bitwise operation")
  if a == 2 ^ 64 then return WORD - 1, WORD - 1 end -- what the literal 0xffffffffffffffff becomes
  if a ~= floor(a) or a < -2 ^ 63 or a > 2 ^ 64 then
    error("number has no integer representation", 3)
  end
  return floor(a / WORD) % WORD, a % WORD
end

local function whole(high, low)
  if high >= 2 ^ 31 then high = high - WORD end
  local result = high * WORD + low
  if result - high * WORD ~= low then
    error("the result needs more than 53 bits, which numbers do not have here", 3)
  end
  return result
end

local function small(a) return type(a) == "number" and a >= 0 and a < 2 ^ 31 and a == floor(a) end

local function binary(f)
  return function(a, b)
    if small(a) and small(b) then return f(a, b) end
    local ah, al = halves(a)
    local bh, bl = halves(b)
    return whole(f(ah, bh) % WORD, f(al, bl) % WORD)
  end
end

local band, bor, bxor = binary(bit.band), binary(bit.bor), binary(bit.bxor)

local function bnot(a)
  local high, low = halves(a)
  return whole(WORD - 1 - high, WORD - 1 - low)
end

local shl

local function shr(a, n)
  n = operand(n, "bitwise operation")
  if n < 0 then return shl(a, -n) end
  local high, low = halves(a)
  if n >= 64 then return 0 end
  if n >= 32 then return floor(high / 2 ^ (n - 32)) end
  local step = 2 ^ n
  return whole(floor(high / step), floor(low / step) + (high % step) * (WORD / step))
end

function shl(a, n)
  n = operand(n, "bitwise operation")
  if n < 0 then return shr(a, -n) end
  if small(a) and n < 22 then return a * 2 ^ n end
  local high, low = halves(a)
  if n >= 64 then return 0 end
  if n >= 32 then return whole(low * 2 ^ (n - 32) % WORD, 0) end
  local step = 2 ^ n
  return whole((high * step + floor(low * step / WORD)) % WORD, low * step % WORD)
end

-- Put before a script that has such operators, on its first line.
local PREFIX = "local __idiv,__band,__bor,__bxor,__bnot,__shl,__shr=...;"

-- What scripts find ------------------------------------------------------------------------------

local math53 = setmetatable({
  maxinteger = 2 ^ 53, mininteger = -2 ^ 53,
  type = function(x)
    if type(x) ~= "number" then return nil end
    return x == floor(x) and x <= 2 ^ 53 and x >= -2 ^ 53 and "integer" or "float"
  end,
  tointeger = function(x)
    local number = type(x) == "number" and x or nil
    if number and number == floor(number) and number <= 2 ^ 53 and number >= -2 ^ 53 then
      return number
    end
    return nil
  end,
  ult = function(a, b)
    local ah, al = halves(a)
    local bh, bl = halves(b)
    return ah < bh or ah == bh and al < bl
  end,
}, { __index = math })

local table53 = setmetatable({
  unpack = unpack,
  pack = function(...) return { n = select("#", ...), ... } end,
}, { __index = table })

local string53 = setmetatable(require "splay.nbd_pack", { __index = string })

local function environment()
  local env = setmetatable({ math = math53, table = table53, string = string53 }, { __index = _G })
  env._G = env
  return env
end

-- Loading ----------------------------------------------------------------------------------------

local CALLBACKS = {
  "open", "close", "get_size", "pread", "pwrite", "flush", "trim", "zero", "cache", "extents",
  "can_write", "can_flush", "can_trim", "can_cache", "can_extents", "can_multi_conn",
  "can_fast_zero", "is_rotational", "block_size", "dump_plugin",
}

-- "key=value", in order.
local function pairs_of(parameters)
  local list = {}
  for i, one in ipairs(parameters or {}) do
    local key, value = one:match("^([^=]*)=(.*)$")
    list[i] = { key or "script", value or one }
  end
  if #list == 0 then
    for key, value in pairs(parameters or {}) do list[#list + 1] = { key, tostring(value) } end
    table.sort(list, function(a, b) return a[1] < b[1] end)
  end
  return list
end

local function run(f, env, ...)
  local ok, e = pcall(f, ...)
  if ok then return true end
  if type(e) == "table" then e = e.message or e.errno end
  return false, type(e) == "string" and e or "(null)"
end

--- See `nbd.loadstring`.
---@async
---@param source string
---@param name string
---@param parameters nil|table<string, string>|string[]
---@return splay.nbd.Plugin? plugin nil, "reason"
---@return string? reason
function M.loadstring(source, name, parameters)
  local text, rewritten = core.lua53(source)
  local chunk, reason = loadstring(rewritten and PREFIX .. text or text, "@" .. name)
  if not chunk then return nil, "could not parse Lua script " .. reason end
  local env = environment()
  setfenv(chunk, env)
  local ok
  if rewritten then
    ok, reason = run(chunk, env, idiv, band, bor, bxor, bnot, shl, shr)
  else
    ok, reason = run(chunk, env)
  end
  if not ok then return nil, "could not run Lua script: " .. reason end
  for _, callback in ipairs { "open", "get_size", "pread" } do
    if type(rawget(env, callback)) ~= "function" then
      return nil, name .. ": one of the required callbacks 'open', 'get_size' or 'pread' is not "
        .. "defined by this Lua script.  nbdkit requires these callbacks."
    end
  end
  local list = pairs_of(parameters)
  local config = rawget(env, "config")
  if #list > 0 and not config then
    return nil, name .. ": this plugin does not need command line configuration"
  end
  for _, one in ipairs(list) do
    ok, reason = run(config, env, one[1], one[2])
    if not ok then return nil, "config: " .. reason end
  end
  local complete = rawget(env, "config_complete")
  if complete then
    ok, reason = run(complete, env)
    if not ok then return nil, "config_complete: " .. reason end
  end
  local plugin = {}
  for _, callback in ipairs(CALLBACKS) do
    local f = rawget(env, callback)
    if type(f) == "function" then plugin[callback] = f end
  end
  for _, field in ipairs { "description", "parallel" } do plugin[field] = rawget(env, field) end
  return plugin
end

--- See `nbd.load`.
---@async
---@param path string
---@param parameters nil|table<string, string>|string[]
---@return splay.nbd.Plugin? plugin nil, "reason"
---@return string? reason
function M.load(path, parameters)
  local file, reason = io.open(path, "rb")
  if not file then
    return nil, "could not parse Lua script cannot open " .. reason
  end
  local source
  source, reason = file:read("*a")
  file:close()
  if not source then
    return nil, ("could not parse Lua script cannot read %s: %s"):format(path, tostring(reason))
  end
  return M.loadstring(source, path, parameters)
end

return M
