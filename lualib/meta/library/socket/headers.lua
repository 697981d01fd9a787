---@meta socket.headers
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class socket.headers
local M = {}

--- The usual spelling by the name in small letters.
---
--- `headers.canonic["content-type"]  --> "Content-Type"`
---@type table<string, string>
M.canonic = nil

return M
