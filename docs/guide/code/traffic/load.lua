-- How long calls take while a stream fills the line between instances 1 and 2, and without it.
require "splay.base"
local rpc, traffic, stats = require "splay.rpc", require "splay.traffic", require "splay.stats"

local function calls(what)
  local delays = stats.running()
  for _ = 1, 20 do
    delays:add(assert(rpc.ping(job.nodes[2], 30)))
    events.sleep(0.1)
  end
  print(("%s: %.0f ms a call"):format(what, delays.mean * 1e3))
end

function leave() os.exit(0) end

events.run(function()
  assert(rpc.server(job.me.port))
  traffic.start { rpc = rpc }
  if job.position ~= 1 then return end
  events.sleep(1)
  calls("alone")
  local load = traffic.load(job.nodes[2], { workload = "tcp_stream", length = 30 })
  events.sleep(3)
  calls("under load")
  load:stop()
  rpc.acall(job.nodes[2], { "leave" }, 1)
  os.exit(0)
end)
