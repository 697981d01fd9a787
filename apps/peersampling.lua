-- Peer sampling: every node knows a few random others, and forgets the dead.
--
-- M. Jelasity et al., "Gossip-based Peer Sampling", ACM Transactions on Computer Systems 25(3),
-- 2007. The protocol is the library `splay.peer_sampling`, on which other applications build; it
-- implements the framework of figure 1. Here it runs by itself under any of its policies.
--
-- Run:    splay run apps/peersampling.lua -n 50      (a head list of all nodes, or a random one)
--    or:  splay lua apps/peersampling.lua POSITION TOTAL, once per node
-- Parameters: c=8 (entries of a view), H=1 (healing), S=3 (swapping), pull=true, tail=true (how
--    the partner is chosen: the oldest entry; false: a random one), period=0.25 (seconds; more
--    for over 625 nodes), crash=0 (probability), stay.
-- Prints: `views correct: 50 nodes, in-degree 4 to 13, deviation 2.1, ...` or `views wrong:
--    reason`, once, on the first node; then all end.
-- Proves: views are full, hold no node twice, never their owner and no dead node; the graph of
--    all views is connected; no node is in more than four times as many views as they have
--    entries. (Under policies that do not swap, the last may fail: this is the paper's point.)
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local name = require("splay.nodes").name
local parallel, stats = require "splay.parallel", require "splay.stats"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  c = 8, H = 1, S = 3, pull = true, tail = true, period = math.max(0.25, total / 2500), crash = 0,
  stay = false,
}
local c = math.min(p.c, total - 1)
rpc.settings.default_timeout = 2

-- Protocol ------------------------------------------------------------------------------------

local sampling = require("splay.peer_sampling").new {
  me = job.me, rpc = rpc, c = c, H = p.H, S = p.S, pull = p.pull, tail = p.tail, period = p.period,
}

function exchange_views(received) return sampling:answer(received) end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot graph` draws.
view = { links = function() return sampling.view end }

-- Check ---------------------------------------------------------------------------------------

local crash_time = p.crash > 0 and 20 * p.period or 0

function sample() return sampling.view end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local views = parallel.ask(rpc, alive, { "sample" })
  local full = math.min(c, #alive - 1)
  local degree, links = {}, {}
  for _, node in ipairs(alive) do degree[name(node)], links[name(node)] = 0, {} end
  for i, node in ipairs(alive) do
    local own, known = name(node), {}
    for _, entry in ipairs(views[i] or {}) do
      local other = name(entry)
      if known[other] or other == own then return nil, own .. " has a wrong view" end
      if not degree[other] then return nil, own .. " knows a dead node" end
      known[other], degree[other] = true, degree[other] + 1
      table.insert(links[own], other)
      table.insert(links[other], own)
    end
    if misc.size(known) < full then return nil, own .. "'s view is not full" end
  end
  local reached, seen = { name(alive[1]) }, { [name(alive[1])] = true }
  for _, node in ipairs(reached) do -- grows meanwhile
    for _, other in ipairs(links[node]) do
      if not seen[other] then seen[other], reached[#reached + 1] = true, other end
    end
  end
  if #reached < #alive then
    return nil, ("%d of %d nodes are connected"):format(#reached, #alive)
  end
  local degrees = stats.running()
  for _, d in pairs(degree) do degrees:add(d) end
  if degrees.max > 4 * c then return nil, "a node is in " .. degrees.max .. " views" end
  return true, ("%d nodes, in-degree %d to %d, deviation %.1f"):format(
    #alive, degrees.min, degrees.max, degrees:deviation())
end

events.run(function()
  assert(rpc.server(job.me.port))
  sampling:start(misc.random_pick(job.nodes, c + 1))
  events.sleep(20 * p.period) -- twenty rounds wipe out the way it started
  cli.crash(p.crash, crash_time)
  events.sleep(crash_time)
  proof.judge { what = "views", rpc = rpc, property = property, limit = 60, stay = p.stay }
end)
