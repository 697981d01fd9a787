---@meta splay.socket_events
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.socket_events
local M = {}

--- Returns its argument, or the socket module.
---
--- `socket_events.wrap(socket) == socket  --> true`
---@param sock table?
---@return table
function M.wrap(sock) end

return M
