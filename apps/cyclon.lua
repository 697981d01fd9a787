-- Cyclon, an overlay in which every node knows a few random others, renewed all the time.
--
-- S. Voulgaris, D. Gavidia, M. van Steen, "CYCLON: Inexpensive Membership Management for
-- Unstructured P2P Overlays", Journal of Network and Systems Management 13(2), 2005: the
-- enhanced shuffle of section 2.2. Left out: joining by random walks (nodes start with a few
-- random entries of their list). Added: a partner whose place stays empty comes back, or views
-- would shrink where nodes are few and have the same entries.
--
-- Run:    splay run apps/cyclon.lua -n 50       (a head list of all nodes, or a random one)
--    or:  splay lua apps/cyclon.lua POSITION TOTAL, once per node
-- Parameters: c=8 (entries of a view), l=4 (entries exchanged), period=0.25 (seconds; more for over
--    625 nodes), crash=0 (probability), stay.
-- Prints: `overlay correct: 50 nodes, views of 8, in-degree 5 to 12` or `overlay wrong: reason`,
--    once, on the first node; then all end.
-- Proves: walking from the first node along views reaches every living node (so each is in
--    somebody's view); views are full but for an entry, contain no node twice, never their owner,
--    and no dead node; no node is in more than four times as many views as they have entries.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local nodes, parallel = require "splay.nodes", require "splay.parallel"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  c = 8, l = 4, period = math.max(0.25, total / 2500), crash = 0, stay = false,
}
local c = math.min(p.c, total - 1)
local l = math.min(p.l, c)
rpc.settings.default_timeout = 2

-- Protocol ------------------------------------------------------------------------------------

local me = { ip = job.me.ip, port = job.me.port, age = 0 }
cache = {}

-- Takes in what was received: into empty places first, then over what was sent away.
local function merge(received, sent)
  for _, node in ipairs(nodes.without(received, me)) do
    if not nodes.find(cache, node) then
      local place = #cache + 1
      while place > c and #sent > 0 do place = nodes.find(cache, table.remove(sent)) or place end
      if place <= c then cache[place] = node end
    end
  end
end

local function shuffle()
  for _, entry in ipairs(cache) do entry.age = entry.age + 1 end
  if #cache == 0 then return end
  table.sort(cache, function(a, b) return a.age < b.age end)
  local q = table.remove(cache) -- if it has failed, this is how it is forgotten
  local sent = misc.random_pick(cache, l - 1)
  local received = rpc.call(q, { "exchange", misc.merge({ me }, sent) })
  if not received then return end
  merge(received, sent)
  if #cache < c and not nodes.find(cache, q) then
    q.age = 0 -- it lives, and nobody else has taken its place
    cache[#cache + 1] = q
  end
end

function exchange(received)
  local sent = misc.random_pick(cache, l)
  local answer = misc.merge(sent)
  merge(received, sent)
  return answer
end

local function start()
  for i, node in ipairs(misc.random_pick(nodes.without(job.nodes, me), c)) do
    cache[i] = { ip = node.ip, port = node.port, age = 0 }
  end
  events.sleep(p.period * math.random())
  events.periodic(p.period, shuffle, true)
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot graph` draws.
_G.view = { links = function() return cache end }

-- Check ---------------------------------------------------------------------------------------

local crash_time = p.crash > 0 and 20 * p.period or 0

-- Which nodes are reached along views from the first one, and the degree of each, by name.
local function crawl(views)
  local reached, degree = { nodes.name(me) }, { [nodes.name(me)] = 0 }
  for _, own in ipairs(reached) do -- grows meanwhile
    for _, entry in ipairs(views[own] or {}) do
      local other = nodes.name(entry)
      if not degree[other] then degree[other], reached[#reached + 1] = 0, other end
      degree[other] = degree[other] + 1
    end
  end
  return reached, degree
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local answers, views = parallel.ask(rpc, alive, "cache"), {}
  for i, node in ipairs(alive) do views[nodes.name(node)] = answers[i] or {} end
  for own, entries in pairs(views) do
    local seen = { [own] = true }
    if #entries < math.min(c, #alive - 1) - 1 then return nil, own .. " has a short view" end
    for _, entry in ipairs(entries) do
      local other = nodes.name(entry)
      if seen[other] then return nil, own .. " has a wrong view" end
      if not views[other] then return nil, own .. " knows a dead node" end
      seen[other] = true
    end
  end
  local reached, degree = crawl(views)
  if #reached ~= #alive then return nil, ("%d of %d nodes reached"):format(#reached, #alive) end
  local least, most = math.huge, 0
  for _, d in pairs(degree) do least, most = math.min(least, d), math.max(most, d) end
  if most > 4 * c then return nil, "a node is in " .. most .. " views" end
  return true, ("%d nodes, views of %d, in-degree %d to %d"):format(#alive, c, least, most)
end

events.run(function()
  assert(rpc.server(me.port))
  start()
  events.sleep(20 * p.period) -- twenty rounds wipe out the way it started
  cli.crash(p.crash, crash_time)
  events.sleep(crash_time)
  proof.judge { what = "overlay", rpc = rpc, property = property, limit = 60, stay = p.stay }
end)
