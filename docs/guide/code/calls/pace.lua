-- How long a small call takes over rpc, urpc and rpcq: one after the other, and fifty at a time.
require "splay.base"
local cli, parallel = require "splay.cli", require "splay.parallel"

local p = cli.parameters { over = "urpc", calls = 500, width = 50 }
local rpc = require("splay." .. p.over)

function add(a, b) return a + b end

local function microseconds(started, calls)
  return ("%.0f us a call"):format((misc.time() - started) / calls * 1e6)
end

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.2)
  if job.position == 2 then
    local server, started = job.nodes[1], misc.time()
    for i = 1, p.calls do assert(rpc.call(server, { "add", i, 1 }) == i + 1) end
    print(p.over, "one after the other", microseconds(started, p.calls))

    started = misc.time()
    parallel.times(p.width, function()
      for i = 1, p.calls / p.width do rpc.call(server, { "add", i, 1 }) end
    end)
    print(p.over, p.width .. " at a time", microseconds(started, p.calls))
    rpc.call(server, { "events.exit" })
    events.exit()
  end
end)
