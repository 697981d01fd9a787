--- LuaSocket's native part: here the same table as `socket`.
---
--- Since: 0.1
return require "splay.socket"
