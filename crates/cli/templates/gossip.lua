-- Gossip: a rumor starts at one instance and spreads; who knows it tells a few others each round.
--
-- Run:    splay run gossip.lua -n 5
-- Test:   splay test gossip_test.lua
-- Prints: `heard "hello" in round 2` on every instance.
require "splay.base"
local rpc = require "splay.urpc" -- datagrams: short messages, no connections

local M = {}

-- Settings: change them here, or from a test.
M.fanout = 2 -- nodes told in each round
M.period = 0.25 -- seconds between two rounds
M.linger = 5 -- seconds for which a node that knows the rumor passes it on
M.patience = 60 -- seconds until a node that has heard nothing gives up

M.rumor = nil -- what is known, since which round, and from whom
M.round = nil
M.teller = nil

-- Called by other nodes: true if it was news.
function hear(rumor, round, from)
  if M.rumor then return false end
  M.rumor, M.round, M.teller = rumor, round, from
  events.fire("heard")
  return true
end

-- One round: tells a few random nodes. None of them needs to answer.
function M.push()
  M.round = M.round + 1
  for _, node in ipairs(misc.random_pick(job.nodes, M.fanout)) do
    events.thread(function() rpc.acall(node, { "hear", M.rumor, M.round, job.me }, 2) end)
  end
end

-- What `splay run --plot tree` draws: who told whom.
view = { parent = function() return M.rumor ~= nil and M.teller end }

function M.main()
  assert(rpc.server(job.me))
  if job.position == 1 then
    hear("hello", 0)
  elseif not M.rumor and not events.wait("heard", M.patience) then
    print("heard nothing")
    os.exit(1) -- a status that `splay run` counts as a failure
  end
  print(("heard %q in round %d"):format(M.rumor, M.round))
  local ticker = events.periodic(M.period, M.push)
  events.sleep(M.linger)
  events.kill(ticker)
  events.exit()
end

-- Required by its test, the file has no job and only offers its functions.
if job then events.run(M.main) end

return M
