-- A ring, first step: every node joins by asking a node it knows for its place.
require "splay.base"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

local m = 24 -- bits of an identifier: the ring has 2^24 places
local n = { ip = job.me.ip, port = job.me.port, id = dht.id(job.me, m) }
successor = n -- alone, a node is a ring of one

-- The node responsible for a place: the first one at or after it.
function find_successor(id)
  if id == successor.id or dht.between(id, n.id, successor.id) then return successor end
  return rpc.call(successor, { "find_successor", id })
end

local function join(known)
  successor = rpc.call(known, { "find_successor", n.id })
end

view = { id = n.id, size = 2 ^ m, links = function() return { successor } end }

events.run(function()
  assert(rpc.server(n))
  events.sleep(0.2 * job.position)
  if job.position > 1 then join(job.nodes[1]) end
  events.sleep(0.2 * (#job.nodes - job.position) + 0.5)
  print(("%8d is followed by %8d"):format(n.id, successor.id))
  events.sleep(0.5)
  events.exit()
end)
