-- A ring that survives crashes: Chord with a list of successors.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

local p = cli.parameters {
  crash = 0, -- the share of nodes that crash
  successors = 4, -- the length of the list
  period = 0.1, -- seconds between two rounds of maintenance
  timeout = 0.5, -- a node that is silent for so long has failed
  time = 4, -- crashes happen in the second half of these seconds
  patience = 10, -- for so long after that the ring may be out of order
}
local m = 24 -- bits of an identifier: the ring has 2^24 places
local n = { ip = job.me.ip, port = job.me.port, id = dht.id(job.me, m) }
successors = { n } -- the next ones on the ring, nearest first
predecessor = nil
local finger, next_finger = {}, 1
rpc.settings.default_timeout = p.timeout
events.l_o.level = 4 -- no warning when a round is late: somebody has not answered

-- Protocol ------------------------------------------------------------------------------------

local function closest_preceding_node(id)
  for i = m, 1, -1 do
    if finger[i] and dht.between(finger[i].id, n.id, id) then return finger[i], i end
  end
  return successors[1]
end

-- The node responsible for a place, or nil and a reason.
function find_successor(id)
  local successor = successors[1]
  if id == successor.id or dht.between(id, n.id, successor.id) then return successor end
  local hop, i = closest_preceding_node(id)
  local ok, results = rpc.acall(hop, { "find_successor", id }, 4 * p.timeout)
  if ok then return unpack(results) end
  if i and finger[i] == hop then finger[i] = nil end -- next time another way
  return nil, results
end

local function join(known)
  local successor
  repeat successor = rpc.call(known, { "find_successor", n.id }) until successor
  successors = { successor }
end

local function stabilize()
  local successor = successors[1]
  local ok, results = rpc.acall(successor, "predecessor")
  if not ok then
    table.remove(successors, 1) -- it has failed: the next one takes its place
    successors[1] = successors[1] or n
    return
  end
  local x = results[1]
  if x and dht.between(x.id, n.id, successor.id) then successor = x end
  ok, results = rpc.acall(successor, { "notify", n })
  if not ok then return end
  successors = misc.merge({ successor }, results[1])
  successors[p.successors + 1] = nil
end

function notify(candidate)
  if not predecessor or dht.between(candidate.id, predecessor.id, n.id) then
    predecessor = candidate
  end
  return successors
end

local function fix_fingers()
  next_finger = next_finger % m + 1
  finger[next_finger] = find_successor((n.id + 2 ^ (next_finger - 1)) % 2 ^ m)
end

local function check_predecessor()
  if predecessor and not rpc.ping(predecessor) then predecessor = nil end
end

-- Check ---------------------------------------------------------------------------------------

-- Whether the living nodes, and they alone, form one ring.
local function closed()
  local alive, reason = proof.alive(rpc, p.crash, nil, p.timeout)
  if not alive then return nil, reason end
  local count, at = 0, n
  repeat
    local after = rpc.call(at, "successors[1]")
    if not after then return nil, at.port .. " does not answer" end
    local back = rpc.call(after, "predecessor")
    if not back or back.id ~= at.id then
      return nil, ("%d is followed by %d, which does not know it"):format(at.port, after.port)
    end
    count, at = count + 1, after
  until at.id == n.id or count > #alive
  if count ~= #alive then return nil, ("%d of %d nodes"):format(count, #alive) end
  return true, count .. " nodes"
end

local started = misc.time()

local function property()
  if misc.time() < started + p.time then return nil, "too early to judge" end
  return closed()
end

view = { id = n.id, size = 2 ^ m, links = function() return { successors[1] } end }

events.run(function()
  cli.crash(p.crash, p.time, p.time / 2)
  assert(rpc.server(n))
  events.sleep(0.3)
  if job.position > 1 then join(job.nodes[1]) end
  events.periodic(p.period, { stabilize, fix_fingers, check_predecessor })
  proof.judge { what = "ring", rpc = rpc, property = property, limit = p.time + p.patience }
end)
