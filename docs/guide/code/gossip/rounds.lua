-- A rumor that counts its rounds: how many does it take to reach everybody?
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"
local rpc = require "splay.urpc"

local p = cli.parameters { fanout = 2, period = 0.1, rounds = 30 }
local round -- in which this node has heard it
rounds = nil -- the same, for the judge

local function tell()
  round = round + 1
  for _, node in ipairs(misc.random_pick(job.nodes, p.fanout)) do
    rpc.acall(node, { "hear", round }, 1)
  end
end

function hear(at_round)
  if round then return end
  round, rounds = at_round, at_round
  events.periodic(p.period, tell)
end

-- Everybody has heard it; and the last of them in which round.
local function property()
  local heard, count = parallel.ask(rpc, job.nodes, "rounds")
  local last, missing = 0, 0
  for i = 1, #job.nodes do
    if heard[i] then last = math.max(last, heard[i]) else missing = missing + 1 end
  end
  if missing > 0 then return false, missing .. " have heard nothing" end
  return true, ("%d nodes in %d rounds"):format(count, last)
end

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.3)
  if job.position == 1 then hear(0) end
  proof.judge {
    what = "rumor", rpc = rpc, property = property, limit = p.rounds * p.period, every = p.period,
  }
end)
