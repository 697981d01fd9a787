-- Threads that never run.
require "splay.base"
local rpc = require "splay.rpc"

rpc.server(20000)
events.thread(function() print("never printed") end)
