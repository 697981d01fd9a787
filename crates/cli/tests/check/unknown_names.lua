-- Modules and members that do not exist.
require "splay.base"
local urpc = require "splay.urcp"
local rpc = splay.rpc
local sleep, format = events.slepe, string.fromat
local own = require "unknown_names_part"

if table.pack then print(table.pack(1)) end
print(table.unpack({}), misc.no_such_thing_at_all)
misc.mine = function() return sleep, format, urpc end
events.run(function()
  print(misc.mine(), misc.random_pik({ 1 }), own.anything)
  rpc.cal(job.me, "x")
  log:wran("no such level")
  log:warn("a level")
end)
