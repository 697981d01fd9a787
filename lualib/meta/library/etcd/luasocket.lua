---@meta etcd.luasocket
-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.

return require("splay.etcd")
