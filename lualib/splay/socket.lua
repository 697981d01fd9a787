--- The LuaSocket API made cooperative: `splay.socket_main`, loaded when it is first used.
return require "splay.lazy" "splay.socket_main"
