--- The LuaSocket API made cooperative: `splay.socket_main`, loaded when it is first used.
---
--- Since: 0.1
return require "splay.lazy" "splay.socket_main"
