--- Logging with levels: `splay.log_main`, loaded when it is first used.
return require "splay.lazy" "splay.log_main"
