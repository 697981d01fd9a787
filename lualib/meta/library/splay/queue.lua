---@meta splay.queue
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

--- ```lua
--- local q = queue.new()
--- q.insert("a")
--- q.size()  --> 1
--- ```
---@class splay.queue
---@field insert fun(o: any) adds at the end
---@field get fun(): any takes the oldest; nil when empty
---@field size fun(): integer
---@field empty fun(): boolean
---@field flush fun() forgets all

local M = {}

--- A new queue, whose functions are called with a dot.
---
--- `local q = queue.new(); q.insert("a"); q.insert("b")`
--- `q.get()  --> "a"`
---@return splay.queue
function M.new() end

return M
