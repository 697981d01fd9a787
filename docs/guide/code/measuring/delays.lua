-- Every instance measures how long calls to the others take; the first one gathers the figures.
require "splay.base"
local cli, nodes = require "splay.cli", require "splay.nodes"
local parallel, stats = require "splay.parallel", require "splay.stats"
local rpc = require "splay.urpc"

local p = cli.parameters { calls = 20, gap = 0.02 }
measured = nil -- a plain table: other instances can read it

local function measure()
  local delays, mine = stats.running(), {}
  for _ = 1, p.calls do
    local peer = misc.random_pick(nodes.without(job.nodes, job.me))
    local delay = rpc.ping(peer, 2)
    if delay then
      delays:add(delay * 1e3)
      mine[#mine + 1] = delay * 1e3
    end
    events.sleep(p.gap)
  end
  measured = delays
  return mine
end

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.3)
  local mine = measure()
  if job.position > 1 then return events.sleep(60) end -- until the first one ends all

  print("mine, in ms:", stats.summary(mine))
  events.sleep(0.5)
  local total, answers, count = stats.running(), parallel.ask(rpc, job.nodes, "measured")
  for i = 1, #job.nodes do
    if answers[i] then total:merge(answers[i]) end
  end
  print("all, in ms:", count .. " instances,", total:text())
  print(stats.histogram(0, 1, 5, mine):text(30))
  parallel.ask(rpc, nodes.without(job.nodes, job.me), "events.exit", 1)
  events.exit()
end)
