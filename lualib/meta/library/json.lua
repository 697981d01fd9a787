---@meta json
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class json
local M = {}

--- Tells programs that this library is the one of the original SPLAY: always true.
M.leo = true

--- Stands for null in what is encoded. (Null is decoded to nil.)
---
--- `json.encode({ 1, json.null })  --> "[1,null]"`
---@return nil
function M.null() end

--- Encodes a value. A table with positive whole keys (`{}` too) is an array, holes are null; of
--- any other table, functions and the like are left out.
---
--- `json.encode({ a = { 1, "two" } })  --> '{"a":[1,"two"]}'`
---
--- Errors: raises for what JSON cannot say and for tables nested deeper than 200.
---@param value any
---@return string text
function M.encode(value) end

--- Decodes the value at a position of a text. Raises an error if there is none.
---
--- `json.decode("[1,null,3]")  --> { 1, nil, 3 }, 11`
---
--- Errors: raises if there is no value at the position.
---@param text string
---@param start? integer default 1
---@return any value
---@return integer next position behind the value
function M.decode(text, start) end

return M
