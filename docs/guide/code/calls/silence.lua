-- What the caller sees of a node that is slow, of one that is not there, and of too much data.
require "splay.base"
local rpcs = {
  rpc = require "splay.rpc",
  urpc = require "splay.urpc",
  rpcq = require "splay.rpcq",
}

ran = 0

function slow()
  events.sleep(0.5)
  ran = ran + 1
  return "done"
end

function echo(text) return #text end

-- rpc and urpc can share a number; rpcq, which uses TCP too, needs one of its own.
local function node_of(name, node)
  return { ip = node.ip, port = node.port + (name == "rpcq" and 10 or 0) }
end

local function ask(name)
  local rpc, server = rpcs[name], node_of(name, job.nodes[1])
  print(name, "too slow", rpc.acall(server, { "slow" }, 0.2))
  local nowhere = { ip = server.ip, port = server.port + 5 }
  print(name, "nobody", rpc.acall(nowhere, { "slow" }, 0.5))
  print(name, "large", rpc.call(server, { "echo", ("x"):rep(20000) }))
  events.sleep(0.5)
  print(name, "ran", rpc.call(server, "ran"))
end

events.run(function()
  for name, rpc in pairs(rpcs) do assert(rpc.server(node_of(name, job.me))) end
  events.sleep(0.2)
  if job.position == 2 then
    for _, name in ipairs { "rpc", "urpc", "rpcq" } do ask(name) end
  else
    events.sleep(6)
  end
  events.exit()
end)
