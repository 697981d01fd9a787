--- Names, numbers and messages of errors, as Linux has them (`errno`), wherever the program runs.
--- The names are fields of the module: `errno.ENOENT` is 2.
---
--- ```lua
--- errno.ENOENT             --> 2
--- errno.message("ENOENT")  --> "No such file or directory"
--- ```
---
--- Since: 0.2
local core = require "splay.errno_core"

---@class splay.errno
local M = {}

local numbers, names, messages = {}, {}, {}
for _, row in ipairs(core.all) do
  local number, name, message = row[1], row[2], row[3]
  numbers[name], names[number], messages[number] = number, name, message
end
for alias, number in pairs(core.aliases) do numbers[alias] = number end
setmetatable(M, { __index = function(_, name) return numbers[name] end })

--- The name of a number, negative or not.
---
--- `errno.name(-17)  --> "EEXIST"`
--- `errno.name(0)    --> nil`
---@param number integer
---@return string? name nil if there is no such error
function M.name(number) return names[number < 0 and -number or number] end

--- The number of a name.
---
--- `errno.number("EEXIST")       --> 17`
--- `errno.number("EWOULDBLOCK")  --> 11`
---@param name string
---@return integer? number nil if there is no such error
function M.number(name) return numbers[name] end

--- The message of a number, negative or not, or of a name.
---
--- `errno.message(-61)     --> "No data available"`
--- `errno.message("EIO")   --> "Input/output error"`
--- `errno.message(4711)    --> "Unknown error 4711"`
---@param error integer|string
---@return string
function M.message(error)
  local number = type(error) == "string" and numbers[error] or error
  if type(number) ~= "number" then return "Unknown error " .. tostring(error) end
  if number < 0 then number = -number end
  return messages[number] or "Unknown error " .. number
end

return M
