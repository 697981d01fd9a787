---@meta splay.luasocket
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.luasocket
local M = {}

--- Returns its argument, or the socket module.
---
--- `luasocket.wrap(socket) == socket  --> true`
---@param sock table?
---@return table
function M.wrap(sock) end

return M
