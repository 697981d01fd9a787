-- Chord, a ring of nodes that finds the one responsible for a key in O(log n) steps.
--
-- I. Stoica et al., "Chord: A Scalable Peer-to-peer Lookup Protocol for Internet Applications",
-- IEEE/ACM Transactions on Networking 11(1), 2003: the pseudocode of figure 6, with the successor
-- list of section IV-E.3. Left out: moving keys, voluntary departure.
--
-- Run:    splay run apps/chord.lua -n 50
--    or:  splay lua apps/chord.lua POSITION TOTAL, once per node
-- Needs:  a head list, of which only the first node is used: all join through it
--    (--list-size 1 keeps thousands of instances small)
-- Prints: `ring correct: 50 nodes` or `ring wrong: reason`, once, on the first node; then all
--    end. An argument `stay` keeps the ring running after that; `after=60` puts it off, under
--    churn that is over by then and leaves the first node alone; `timeout=1` notices failures soon.
-- Proves: following successors from the first node meets every node of the job (under churn: that
--    is there) exactly once, in the order of their identifiers, each being the predecessor of the
--    next; lookups of random keys return the node that this ring makes responsible.
require "splay.base"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local m = 40 -- bits of an identifier
local r = 8 -- length of the successor list
local p = require("splay.cli").parameters { stay = false, after = 0, timeout = 6 }
local total = job.total or #job.nodes
local period = math.max(0.25, total / 2500) -- seconds between two rounds of maintenance
local join_time = 4 * period * math.log(job.position) -- the ring doubles every three rounds
rpc.settings.default_timeout = p.timeout -- a node silent for that long has failed

-- Protocol ------------------------------------------------------------------------------------

local n = { ip = job.me.ip, port = job.me.port }
n.id = dht.id(n, m)
predecessor, successors = nil, { n }
local finger, next_finger = {}, 1
local between = dht.between -- open interval (a, b) of the ring; (a, a) is all but a

local function closest_preceding_node(id)
  for i = m, 2, -1 do
    if finger[i] and between(finger[i].id, n.id, id) then return finger[i], i end
  end
  return successors[1]
end

function find_successor(id)
  local successor = successors[1]
  if id == successor.id or between(id, n.id, successor.id) then return successor end
  local next_hop, i = closest_preceding_node(id)
  local ok, result = rpc.acall(next_hop, { "find_successor", id })
  if ok then return result[1] end
  if i then finger[i] = nil end
end

local function join(known)
  local successor
  repeat successor = rpc.call(known, { "find_successor", n.id }) until successor
  successors = { successor }
end

local function stabilize()
  local ok, result = rpc.acall(successors[1], "predecessor")
  if not ok then
    table.remove(successors, 1)
    successors[1] = successors[1] or n -- then predecessors lead back into the ring
    if successors[1] == n and not predecessor then join(job.nodes()[1]) end
    return
  end
  local x = result[1]
  if x and between(x.id, n.id, successors[1].id) then table.insert(successors, 1, x) end
  ok, result = rpc.acall(successors[1], { "notify", n })
  if ok then successors = misc.merge({ successors[1] }, result[1]) end
  successors[r + 1] = nil
end

function notify(candidate)
  if not predecessor or between(candidate.id, predecessor.id, n.id) then
    predecessor = candidate
  end
  return successors
end

local function fix_fingers()
  next_finger = next_finger < m and next_finger + 1 or 2
  finger[next_finger] = find_successor((n.id + 2 ^ (next_finger - 1)) % 2 ^ m)
end

local function check_predecessor()
  if predecessor and not rpc.ping(predecessor) then predecessor = nil end
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot ring` draws.
view = { id = n.id, size = 2 ^ m, links = function()
  return {
    { to = successors[1], kind = "successor" }, { to = predecessor, kind = "predecessor" },
    { to = finger, kind = "finger" },
  }
end }

-- Check ---------------------------------------------------------------------------------------

local deadline = misc.time() + p.after + 30 + 12 * period * math.log(total + 1)

-- How many nodes are there: all, unless some come and go.
local function present()
  local live = job.get_live_nodes()
  return live == job.nodes and total or #live
end

-- The nodes met along the successors, or nil and what is wrong.
local function walk()
  local ring, laps, total = { n }, 0, present()
  repeat
    local at = ring[#ring]
    local after = rpc.call(at, "successors[1]")
    local back = after and rpc.call(after, "predecessor")
    if not after then return nil, at.port .. " does not answer" end
    if not back or back.id ~= at.id then
      return nil, ("%d follows %d, which is not its predecessor"):format(after.port, at.port)
    end
    if after.id <= at.id then laps = laps + 1 end
    ring[#ring + 1] = after
  until after.id == n.id or #ring > total
  ring[#ring] = nil
  if laps ~= 1 or #ring ~= total then
    return nil, ("%d of %d nodes in %d laps"):format(#ring, total, laps)
  end
  return ring
end

local function lookups_agree(ring)
  table.sort(ring, function(a, b) return a.id < b.id end)
  for _ = 1, 20 do
    local key, owner = math.random(0, 2 ^ 31) * 2 ^ (m - 31) % 2 ^ m, ring[1]
    for i = #ring, 1, -1 do
      if ring[i].id >= key then owner = ring[i] end
    end
    local found = find_successor(key)
    if not found or found.id ~= owner.id then return nil, ("lookup of %d"):format(key) end
  end
  return true
end

local function check()
  local ring, ok, reason
  events.sleep(p.after)
  repeat
    events.sleep(2 * period)
    ring, reason = walk()
    if ring then ok, reason = lookups_agree(ring) end
  until ok or misc.time() > deadline
  print(ok and "ring correct: " .. #ring .. " nodes" or "ring wrong: " .. reason)
  if p.stay then return end
  for _, node in ipairs(ok and ring or {}) do
    if node.id ~= n.id then rpc.acall(node, { "events.exit" }, 1) end
  end
  os.exit(ok and 0 or 1)
end

assert(job.list_type ~= "random", "chord needs a head list: all nodes join through the first")

local function leave_in_the_end()
  events.sleep(deadline + 10 - misc.time())
  if not p.stay then os.exit(1) end -- nobody has told this node to leave
end

events.run(function()
  assert(rpc.server(n.port))
  if job.position > 1 then events.thread(leave_in_the_end) end
  events.sleep(join_time)
  if job.position > 1 then join(job.nodes[1]) end
  events.periodic(period, stabilize)
  events.periodic(period, fix_fingers)
  events.periodic(period, check_predecessor)
  if job.position == 1 then check() end
end)
