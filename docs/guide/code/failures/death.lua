-- Instance 2 dies while instance 1 is waiting for its answer, and stays dead.
require "splay.base"
local rpcs = { require "splay.rpc", require "splay.urpc" }

function think()
  events.sleep(10)
  return "thought"
end

local function ask(rpc, node)
  local started = misc.time()
  local ok, reason = rpc.acall(node, { "think" }, 2)
  print(rpc.mode, ok, reason, ("after %.1f s"):format(misc.time() - started))
end

events.run(function()
  for _, rpc in ipairs(rpcs) do assert(rpc.server(job.me)) end
  if job.position == 2 then
    events.sleep(1)
    os.exit(0) -- at once: nobody is told
  end
  events.sleep(0.5)
  local node, left = job.nodes[2], 2
  for _, rpc in ipairs(rpcs) do
    events.thread(function()
      ask(rpc, node) -- it dies meanwhile
      ask(rpc, node) -- it is dead
      left = left - 1
      if left == 0 then events.exit() end
    end)
  end
end)
