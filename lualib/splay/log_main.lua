--- Leveled logging. The module is itself a log object (the global `log`); every part of it and of
--- each object can be replaced.
---
--- ```lua
--- local l_o = log.new(2, "[mylog]")
--- l_o:info("test", 5)   --> prints [mylog] N: test    5
--- l_o:debug("details")  --> false
--- ```
---
--- Manual: 'splay.log (and splay.out)'
local select, tostring, concat = select, tostring, table.concat
local getmetatable, setmetatable = getmetatable, setmetatable

--- `local l_o = log.new(2, "[my_log]")`
--- `l_o:warn("low")  --> prints [my_log] W: low`
---@class splay.log.Object
---@field level integer? smallest level that is logged; nil: `log.global_level`
---@field prefix string? put before each line
---@field filter nil|fun(level: integer, ...): boolean whether to log; replaces the level rule
---@field write nil|fun(level: integer, ...): string makes the line (without the prefix)
---@field out nil|fun(line: string) where lines go
---@field debug fun(self: splay.log.Object, ...: any): boolean logs at level 1; false: not emitted
---@field d fun(self: splay.log.Object, ...: any): boolean as `debug`
---@field notice fun(self: splay.log.Object, ...: any): boolean logs at level 2; false: not emitted
---@field info fun(self: splay.log.Object, ...: any): boolean as `notice`
---@field n fun(self: splay.log.Object, ...: any): boolean as `notice`
---@field i fun(self: splay.log.Object, ...: any): boolean as `notice`
---@field warning fun(self: splay.log.Object, ...: any): boolean logs at level 3; false: not emitted
---@field warn fun(self: splay.log.Object, ...: any): boolean as `warning`
---@field w fun(self: splay.log.Object, ...: any): boolean as `warning`
---@field error fun(self: splay.log.Object, ...: any): boolean logs at level 4; false: not emitted
---@field e fun(self: splay.log.Object, ...: any): boolean as `error`
---@field print fun(self: splay.log.Object, ...: any): boolean logs at level 5; false: not emitted
---@field p fun(self: splay.log.Object, ...: any): boolean as `print`

---@class splay.log: splay.log.Object
local M = {}

--- Level of objects without one of their own: 1 debug, 2 notice, 3 warning, 4 error, 5 print.
---
--- ```lua
--- log.global_level = 1
--- log:debug("seen")  --> prints D: seen
--- log.global_level = 3
--- ```
---
--- Manual: 'splay.log (and splay.out)'
M.global_level = 3

local labels = { "D: ", "N: ", "W: ", "E: ", "" }

--- Where lines go unless an object has its own `out`: standard output.
---
--- ```lua
--- local out = log.global_out
--- log.global_out = require("splay.out").file("app.log")
--- log.global_out = out
--- ```
---@param line string
M.global_out = require("splay.out").print()

-- Lines on standard output keep their level, for whoever collects them.
local plain_out, mark = M.global_out, require("splay.base_core").level

--- Makes the line of a message: label of the level, values separated by four blanks.
---
--- `log.global_write(3, "a", nil)  --> "W: a    nil"`
---
--- Manual: 'splay.log (and splay.out)'
---@param level integer
---@param ... any
---@return string
function M.global_write(level, ...)
  local n = select("#", ...)
  local label = labels[level] or ""
  if n == 0 then return label end
  if n == 1 then return label .. tostring((...)) end
  local parts = { ... }
  for i = 1, n do parts[i] = tostring(parts[i]) end
  return label .. concat(parts, "    ")
end

--- The level rule.
---
--- `log.global_filter(2, 3)  --> false`
---@param level integer of the message
---@param limit integer? of the object
---@return boolean emit
function M.global_filter(level, limit)
  return level >= (limit or M.global_level or 3)
end

local methods = {}
local object = { __index = methods }
local level_rule = M.global_filter
local compatible_write
local complained = false

local function emit(level, self, ...)
  local filter = self.filter
  if filter then
    if not filter(level, ...) then return false end
  elseif not M.global_filter(level, self.level) then
    return false
  end
  local write = self.write
  if not write or write == compatible_write then write = M.global_write end
  local line = write(level, ...)
  local prefix = self.prefix
  if prefix then line = prefix .. " " .. line end
  local out = self.out or M.global_out
  if out == plain_out then
    mark(level)
    out(line)
    mark(0)
  else
    out(line)
  end
  return true
end

-- `log.print("x")` instead of `log:print("x")`: complain once, lose nothing.
local function misused(level, ...)
  if not complained then
    complained = true
    M.global_out("invalid call, use 'log:', not 'log.'")
  end
  emit(level, M, ...)
  return false
end

-- Whether it is this module, or the table that stands for it (see splay.lazy).
local function is_module(self)
  return type(self) == "table" and self.global_out ~= nil
end

local function method(level)
  return function(self, ...)
    if getmetatable(self) ~= object and not is_module(self) then
      return misused(level, self, ...)
    end
    -- Most messages end here.
    if level < (self.level or M.global_level or 3) and not self.filter
      and M.global_filter == level_rule then
      return false
    end
    return emit(level, self, ...)
  end
end

local level_names = { "debug d", "notice info n i", "warning warn w", "error e", "print p" }
for level, names in ipairs(level_names) do
  local log_at = method(level)
  for name in names:gmatch("%a+") do methods[name] = log_at end
end

--- A new log object.
---
--- `local l_o = log.new(2, "[my_log]")`
--- `l_o:info("ready")  --> prints [my_log] N: ready`
---
--- Manual: 'splay.log (and splay.out)'
---@param level integer? default: `log.global_level`, whatever it is at the time of a message
---@param prefix string?
---@return splay.log.Object
function M.new(level, prefix)
  return setmetatable({ level = level, prefix = prefix }, object)
end

--- Logs a text (name from early versions of the libraries).
---
--- `log.write("joined", 4)  --> prints E: joined`
---@param text any
---@param level integer? default 5
---@return boolean emitted
function M.write(text, level)
  return emit(tonumber(level) or 5, M, text)
end
compatible_write = M.write

--- Sets `log.global_level` (name from early versions of the libraries).
---
--- `log.set_level(3)`
---@param level integer
function M.set_level(level) M.global_level = level end

return setmetatable(M, object)
