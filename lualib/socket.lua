--- LuaSocket's module: the cooperative sockets of `splay.socket`.
return require "splay.socket"
