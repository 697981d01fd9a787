-- A ring, second step: every node keeps asking its successor for its predecessor.
require "splay.base"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

local m = 24 -- bits of an identifier: the ring has 2^24 places
local period = 0.1 -- seconds between two rounds of maintenance
local n = { ip = job.me.ip, port = job.me.port, id = dht.id(job.me, m) }
successor = n -- alone, a node is a ring of one
predecessor = nil

function find_successor(id)
  if id == successor.id or dht.between(id, n.id, successor.id) then return successor end
  return rpc.call(successor, { "find_successor", id })
end

local function join(known)
  successor = rpc.call(known, { "find_successor", n.id })
end

-- Has somebody come in between?
local function stabilize()
  local x = rpc.call(successor, "predecessor")
  if x and dht.between(x.id, n.id, successor.id) then successor = x end
  rpc.call(successor, { "notify", n })
end

-- A node believes to be the one before this one.
function notify(candidate)
  if not predecessor or dht.between(candidate.id, predecessor.id, n.id) then
    predecessor = candidate
  end
end

-- Walks once around, and tells how many nodes there are and what is wrong.
local function walk()
  local count, at = 0, n
  repeat
    local after = rpc.call(at, "successor")
    local back = rpc.call(after, "predecessor")
    if not back or back.id ~= at.id then return count, "not yet closed" end
    count, at = count + 1, after
  until at.id == n.id or count > #job.nodes
  return count, count == #job.nodes and "closed" or "some are missing"
end

view = { id = n.id, size = 2 ^ m, links = function() return { successor } end }

events.run(function()
  assert(rpc.server(n))
  events.sleep(0.3)
  if job.position > 1 then join(job.nodes[1]) end -- all at the same time
  events.periodic(period, stabilize)
  for _ = 1, 5 do
    events.sleep(0.5)
    if job.position == 1 then print("a ring of", walk()) end
  end
  events.sleep(0.5)
  events.exit()
end)
