--- Logging with levels: `splay.log_main`, loaded when it is first used.
---
--- Since: 0.1
--- Manual: 'splay.log (and splay.out)'
return require "splay.lazy" "splay.log_main"
