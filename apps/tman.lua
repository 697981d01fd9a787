-- T-Man, nodes that sort themselves into a ring or a torus by gossip, out of a random overlay.
--
-- M. Jelasity, A. Montresor, O. Babaoglu, "T-Man: Gossip-based Fast Overlay Topology
-- Construction", Computer Networks 53(13), 2009: the active and passive threads of figure 1 over a
-- peer-sampling service, a ring and a torus (section 4), old descriptors dropped under failures
-- (section 6). Left out: start and termination of synchronised runs.
--
-- Run:    splay run apps/tman.lua -n 50             (a head list of all nodes, or a random one)
--    or:  splay lua apps/tman.lua POSITION TOTAL, once per node
-- Parameters: shape=ring (ring: sorted by identifier; torus: a grid by position, closed at its
--    edges), m=10 (descriptors of a message), psi=5 (partners are the best so many), c=20
--    (descriptors kept), period=0.25 (seconds; more for over 625 nodes), age=20 (rounds that a
--    descriptor lives), crash=0 (probability), stay.
-- Prints: `ring correct: 50 nodes, after 7 rounds` or `ring wrong: reason`, once, on the first
--    node; then all end.
-- Proves: of the nodes alive, every one knows the next and the previous one in the order of the
--    identifiers (ring), or all its neighbours in the grid (torus), and holds them for its best.
require "splay.base"
local cli, dht, proof = require "splay.cli", require "splay.dht", require "splay.proof"
local parallel, peer_sampling = require "splay.parallel", require "splay.peer_sampling"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  shape = "ring", m = 10, psi = 5, c = 20, period = math.max(0.25, total / 2500), age = 20,
  crash = 0, stay = false,
}
rpc.settings.default_timeout = 2

-- Protocol ------------------------------------------------------------------------------------

-- What is gossiped about a node: its place in the shape, and rounds since it has said so.
local bits = 40
local width = math.ceil(math.sqrt(total)) -- of the torus
while total % width > 0 do width = width + 1 end
local height = total / width

local me = { ip = job.me.ip, port = job.me.port, age = 0 }
me.id = dht.id(me, bits)
me.x, me.y = (job.position - 1) % width, math.floor((job.position - 1) / width)

local view, round = {}, 0

-- Distances in the shapes. A node of the ring needs neighbours on either side: the better of its
-- two ranks counts, that among the nodes upwards and that downwards.
local rank = {
  ring = function(base, nodes)
    local ranks = {}
    for _, way in ipairs { { base.id, 1 }, { base.id, -1 } } do
      local order = misc.merge(nodes)
      local function along(node) return way[2] * (node.id - way[1]) % 2 ^ bits end
      table.sort(order, function(a, b) return along(a) < along(b) end)
      for i, node in ipairs(order) do ranks[node] = math.min(ranks[node] or i, i) end
    end
    return ranks
  end,
  torus = function(base, nodes)
    local ranks = {}
    local function around(a, b, size) return math.min((a - b) % size, (b - a) % size) end
    for _, node in ipairs(nodes) do
      ranks[node] = around(node.x, base.x, width) + around(node.y, base.y, height)
    end
    return ranks
  end,
}

-- The best nodes for a node, best first, at most so many; not itself.
local function best(base, nodes, count)
  local others = {}
  for _, node in ipairs(nodes) do
    if node.id ~= base.id then others[#others + 1] = node end
  end
  local ranks = rank[p.shape](base, others)
  table.sort(others, function(a, b)
    if ranks[a] ~= ranks[b] then return ranks[a] < ranks[b] end
    return a.id < b.id
  end)
  for i = #others, count + 1, -1 do others[i] = nil end
  return others
end

-- One descriptor of each node, the youngest, as a copy; none that is too old.
local function merge(...)
  local youngest, merged = {}, {}
  for _, node in ipairs(misc.merge(...)) do
    local seen = node.id and youngest[node.id]
    if node.id and node.age <= p.age and (not seen or node.age < seen.age) then
      youngest[node.id] = node
    end
  end
  for _, node in pairs(youngest) do merged[#merged + 1] = misc.dup(node) end
  return merged
end

local sampling = peer_sampling.new { me = me, rpc = rpc, period = p.period }

function exchange_views(received) return sampling:answer(received) end

local function message_for(partner)
  return best(partner, merge(view, { me }, sampling.view), p.m)
end

local function gossip()
  round = round + 1
  for _, node in ipairs(view) do node.age = node.age + 1 end
  local partner = misc.random_pick_one(best(me, view, p.psi)) or sampling:peer()
  if not (partner and partner.id) then return end
  local received = rpc.call(partner, { "exchange", me, message_for(partner) })
  if received then view = best(me, merge(view, received), p.c) end
end

function exchange(partner, received)
  local answer = message_for(partner)
  view = best(me, merge(view, received), p.c)
  return answer
end

local function start()
  local known = {} -- their descriptors come with the first views
  for i, node in ipairs(misc.random_pick(job.nodes, 8)) do
    known[i] = { ip = node.ip, port = node.port, age = p.age }
  end
  sampling:start(known)
  events.sleep(p.period * (2 + math.random()))
  events.periodic(p.period, gossip, true) -- ages go on while a dead node is waited for
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot graph` draws.
_G.view = { id = me.id, bits = bits, links = function()
  return best(me, view, p.shape == "ring" and 2 or 4)
end }

-- Check ---------------------------------------------------------------------------------------

local crash_time = p.crash > 0 and 20 * p.period or 0

function report() return { me = me, best = best(me, view, 8) } end

-- For each identifier, the set of those that must come first in the view of its node.
local function neighbours(nodes)
  local sets, at = {}, {}
  local function add(node, other)
    if other and other ~= node then sets[node.id][other.id] = true end
  end
  table.sort(nodes, function(a, b) return a.id < b.id end)
  for _, node in ipairs(nodes) do sets[node.id], at[node.y * width + node.x] = {}, node end
  for i, node in ipairs(nodes) do
    if p.shape == "ring" then
      add(node, nodes[i % #nodes + 1])
      add(node, nodes[(i - 2) % #nodes + 1])
    else
      for _, step in ipairs { { 1, 0 }, { -1, 0 }, { 0, 1 }, { 0, -1 } } do
        add(node, at[(node.y + step[2]) % height * width + (node.x + step[1]) % width])
      end
    end
  end
  return sets
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local reports, answered = parallel.ask(rpc, alive, { "report" })
  if answered < #alive then return nil, #alive - answered .. " nodes do not report" end
  local nodes = {}
  for i, one in ipairs(reports) do nodes[i] = one.me end
  local sets = neighbours(nodes)
  for _, one in ipairs(reports) do
    local set = sets[one.me.id]
    for i = 1, misc.size(set) do
      if not one.best[i] or not set[one.best[i].id] then
        return nil, one.me.port .. " does not know its neighbours"
      end
    end
  end
  return true, ("%d nodes, after %d rounds"):format(#alive, round)
end

events.run(function()
  assert(rpc.server(me.port))
  events.thread(start)
  cli.crash(p.crash, crash_time)
  events.sleep(crash_time)
  proof.judge {
    what = p.shape, rpc = rpc, property = property, every = p.period, limit = 60, stay = p.stay,
  }
end)
