---@meta socket
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

return require("splay.socket")
