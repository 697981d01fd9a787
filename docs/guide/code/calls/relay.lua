-- A request that travels: each node answers at once and passes it on in a thread of its own; the
-- last one calls back the first.
require "splay.base"
local rpc = require "splay.urpc"

function travel(request)
  request.hops = request.hops + 1
  events.thread(function()
    if job.position == #job.nodes then
      rpc.call(request.from, { "arrived", job.position, request.hops })
    else
      rpc.call(job.nodes[job.position + 1], { "travel", request })
    end
  end)
end

function arrived(position, hops) events.fire("arrived", position, hops) end

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.2)
  if job.position == 1 then
    rpc.call(job.nodes[2], { "travel", { from = job.me, hops = 0 } })
    print("arrived", events.wait("arrived", 5))
  end
  events.sleep(0.5)
  events.exit()
end)
