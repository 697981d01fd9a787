require "splay.base"
local rpc = require "splay.rpc"

function greet(name)
  return "hello " .. name .. ", this is instance " .. job.position
end

events.run(function()
  rpc.server(job.me)
  events.sleep(0.5)
  local peer = misc.random_pick(job.nodes())
  print(rpc.call(peer, {"greet", "instance " .. job.position}))
  events.sleep(0.5)
  events.exit()
end)
