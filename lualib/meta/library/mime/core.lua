---@meta mime.core
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

return require("mime")
