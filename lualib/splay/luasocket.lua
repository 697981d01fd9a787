--- Kept for programs that wrap sockets themselves: `connect`, `bind` and the others are there.
---
--- Since: 0.1
local M = {}

--- Returns its argument, or the socket module.
---
--- `luasocket.wrap(socket) == socket  --> true`
---@param sock table?
---@return table
function M.wrap(sock) return sock or require "splay.socket" end

return M
