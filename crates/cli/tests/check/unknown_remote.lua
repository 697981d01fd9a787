-- Remote calls of functions that are not there.
require "splay.base"
local rpc, urpc = require "splay.rpc", require "splay.urpc"
local function hidden() end
state = { size = 1 }

function notify(node) return node, hidden end

events.run(function()
  rpc.call(job.me, { "notfy", job.me })
  urpc.acall(job.me.ip, job.me.port, "hidden", 3)
  rpc.call(job.me, { "notify", job.me }, 5)
  rpc.call(job.me, "state.size")
  rpc.call(job.me, { "events.exit" })
end)
