---@meta splay.errno
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.errno
local M = {}

--- The name of a number, negative or not.
---
--- `errno.name(-17)  --> "EEXIST"`
--- `errno.name(0)    --> nil`
---@param number integer
---@return string? name nil if there is no such error
function M.name(number) end

--- The number of a name.
---
--- `errno.number("EEXIST")       --> 17`
--- `errno.number("EWOULDBLOCK")  --> 11`
---@param name string
---@return integer? number nil if there is no such error
function M.number(name) end

--- The message of a number, negative or not, or of a name.
---
--- `errno.message(-61)     --> "No data available"`
--- `errno.message("EIO")   --> "Input/output error"`
--- `errno.message(4711)    --> "Unknown error 4711"`
---@param error integer|string
---@return string
function M.message(error) end

return M
