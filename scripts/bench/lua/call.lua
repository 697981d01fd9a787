-- Remote calls between two instances of one process: what a call costs both sides together.
-- Arguments: mode (rpc, urpc, rpcq), calls in a round, calls in flight, rounds, pause between them.
require "splay.base"

local mode = arg[1]
local calls, flight = tonumber(arg[2]), tonumber(arg[3])
local rounds, pause = tonumber(arg[4]), tonumber(arg[5])
local rpc = require("splay." .. mode)
local server = job.nodes[1]

function echo(...)
  return ...
end

function stop()
  events.exit()
end

local function call_many(count)
  for _ = 1, count do
    local one, two = rpc.call(server, {"echo", 1, "two"})
    if one ~= 1 or two ~= "two" then
      error("wrong answer: " .. tostring(one) .. ", " .. tostring(two))
    end
  end
end

local function round()
  if flight == 1 then
    call_many(calls)
    return
  end
  local left = flight
  for _ = 1, flight do
    events.thread(function()
      call_many(calls / flight)
      left = left - 1
      if left == 0 then
        events.fire("round over")
      end
    end)
  end
  events.wait("round over")
end

local function client()
  if mode == "rpcq" then
    rpc.settings.window_size = flight
  end
  while not rpc.ping(server, 1) do
    events.sleep(0.05)
  end
  round()
  local best_cpu, its_wall
  for _ = 1, rounds do
    events.sleep(pause)
    local cpu, wall = os.clock(), misc.time()
    round()
    cpu, wall = (os.clock() - cpu) / calls, (misc.time() - wall) / calls
    if not best_cpu or cpu < best_cpu then
      best_cpu, its_wall = cpu, wall
    end
  end
  print(string.format("BENCH cpu %.4f us", best_cpu * 1e6))
  print(string.format("BENCH wall %.4f us", its_wall * 1e6))
  rpc.acall(server, "stop")
  events.exit()
end

events.run(function()
  if job.position == 1 then
    assert(rpc.server(server))
  else
    client()
  end
end)
