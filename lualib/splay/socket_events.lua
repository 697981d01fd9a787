--- Kept for programs that wrap sockets themselves: the sockets are cooperative already.
---
--- Since: 0.1
local M = {}

--- Returns its argument, or the socket module.
---
--- `socket_events.wrap(socket) == socket  --> true`
---@param sock table?
---@return table
function M.wrap(sock) return sock or require "splay.socket" end

return M
