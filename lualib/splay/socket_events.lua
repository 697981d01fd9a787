--- Kept for programs that wrap sockets themselves: the sockets are cooperative already.
local M = {}

--- Returns its argument, or the socket module.
---
--- `socket_events.wrap(socket)  --> socket`
---@param sock table?
---@return table
function M.wrap(sock) return sock or require "splay.socket" end

return M
