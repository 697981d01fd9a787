--- LuaSocket's module: the cooperative sockets of `splay.socket`.
---
--- Since: 0.1
return require "splay.socket"
