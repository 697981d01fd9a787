-- Instance 2 asks instance 1: functions, variables, several results, mistakes.
require "splay.base"
local rpc = require "splay.rpc"

-- What is global can be called from elsewhere.
limits = { low = 0, high = 100, names = { "first", "second" } }

function divide(a, b)
  if b == 0 then error("division by zero", 0) end
  return math.floor(a / b), a % b
end

local function ask(server)
  print("call", rpc.call(server, { "divide", 17, 5 }))
  print("variable", rpc.call(server, "limits.high"))
  print("part of a table", rpc.call(server, "limits.names[2]"))
  local all = rpc.call(server, "limits")
  print("whole table", all.low, all.high, #all.names)

  print("mistake", rpc.call(server, { "divide", 1, 0 }))
  print("no function", rpc.call(server, { "divid", 17, 5 })) -- splay: allow(unknown-remote)
  print("no variable", rpc.call(server, "divid")) -- splay: allow(unknown-remote)

  local ok, results = rpc.acall(server, { "divide", 17, 5 })
  print("acall", ok, results[1], results[2])
  print("acall", rpc.acall(server, { "divide", 1, 0 }))

  print("ecall", pcall(rpc.ecall, server, { "divide", 1, 0 }))
  local remote = rpc.proxy(server)
  print("proxy", remote:divide(17, 5))
end

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.2)
  if job.position == 2 then ask(job.nodes[1]) end
  events.sleep(0.3)
  events.exit()
end)
