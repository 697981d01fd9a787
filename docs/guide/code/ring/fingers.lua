-- A ring, third step: fingers, which lead far around the ring, make lookups short.
require "splay.base"
local cli, nodes = require "splay.cli", require "splay.nodes"
local parallel, stats = require "splay.parallel", require "splay.stats"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

local p = cli.parameters { fingers = true, lookups = 100, time = 5 }
local m = 24 -- bits of an identifier: the ring has 2^24 places
local period = 0.1 -- seconds between two rounds of maintenance
local n = { ip = job.me.ip, port = job.me.port, id = dht.id(job.me, m) }
successor = n -- alone, a node is a ring of one
predecessor = nil
local finger, next_finger = {}, 1 -- finger[i]: the node responsible for n.id + 2^(i-1)

-- The farthest node known that still comes before a place.
local function closest_preceding_node(id)
  for i = m, 1, -1 do
    if finger[i] and dht.between(finger[i].id, n.id, id) then return finger[i] end
  end
  return successor
end

-- The node responsible for a place, and how many hops away it was learnt.
function find_successor(id)
  if id == successor.id or dht.between(id, n.id, successor.id) then return successor, 0 end
  local found, hops = rpc.call(closest_preceding_node(id), { "find_successor", id })
  if found then return found, hops + 1 end
end

local function join(known)
  successor = rpc.call(known, { "find_successor", n.id })
end

local function stabilize()
  local x = rpc.call(successor, "predecessor")
  if x and dht.between(x.id, n.id, successor.id) then successor = x end
  rpc.call(successor, { "notify", n })
end

function notify(candidate)
  if not predecessor or dht.between(candidate.id, predecessor.id, n.id) then
    predecessor = candidate
  end
end

-- One finger in each round.
local function fix_fingers()
  next_finger = next_finger % m + 1
  finger[next_finger] = find_successor((n.id + 2 ^ (next_finger - 1)) % 2 ^ m)
end

view = {
  id = n.id, size = 2 ^ m,
  links = function() return { successor, { to = finger, kind = "finger" } } end,
}

events.run(function()
  assert(rpc.server(n))
  events.sleep(0.3)
  if job.position > 1 then join(job.nodes[1]) end
  events.periodic(period, stabilize)
  if p.fingers then events.periodic(period, fix_fingers) end
  if job.position > 1 then return events.sleep(60) end -- until the first one ends all

  events.sleep(p.time)
  local hops = stats.running()
  for _ = 1, p.lookups do
    local found, count = find_successor(math.random(0, 2 ^ m - 1))
    if found then hops:add(count) end
  end
  print("hops:", hops:text())
  parallel.ask(rpc, nodes.without(job.nodes, job.me), "events.exit")
  events.exit()
end)
