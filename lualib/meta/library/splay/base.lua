---@meta splay.base
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

---@class splay.base
local M = {}

return M
