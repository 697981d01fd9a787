---@meta cjson.safe
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

return require("cjson")
