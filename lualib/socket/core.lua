--- LuaSocket's native part: here the same table as `socket`.
return require "splay.socket"
