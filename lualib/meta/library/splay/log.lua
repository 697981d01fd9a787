---@meta splay.log
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

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

--- Where lines go unless an object has its own `out`: standard output.
---
--- ```lua
--- local out = log.global_out
--- log.global_out = require("splay.out").file("app.log")
--- log.global_out = out
--- ```
---@param line string
function M.global_out(line) end

--- Makes the line of a message: label of the level, values separated by four blanks.
---
--- `log.global_write(3, "a", nil)  --> "W: a    nil"`
---
--- Manual: 'splay.log (and splay.out)'
---@param level integer
---@param ... any
---@return string
function M.global_write(level, ...) end

--- The level rule.
---
--- `log.global_filter(2, 3)  --> false`
---@param level integer of the message
---@param limit integer? of the object
---@return boolean emit
function M.global_filter(level, limit) end

--- A new log object.
---
--- `local l_o = log.new(2, "[my_log]")`
--- `l_o:info("ready")  --> prints [my_log] N: ready`
---
--- Manual: 'splay.log (and splay.out)'
---@param level integer? default: `log.global_level`, whatever it is at the time of a message
---@param prefix string?
---@return splay.log.Object
function M.new(level, prefix) end

--- Logs a text (name from early versions of the libraries).
---
--- `log.write("joined", 4)  --> prints E: joined`
---@param text any
---@param level integer? default 5
---@return boolean emitted
function M.write(text, level) end

--- Sets `log.global_level` (name from early versions of the libraries).
---
--- `log.set_level(3)`
---@param level integer
function M.set_level(level) end

return M
