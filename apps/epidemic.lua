-- Epidemic broadcast: a message spreads like an infection, in O(log n) rounds.
--
-- A. Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987: push,
-- in the form where an infected node never recovers (section 1.3, anti-entropy). Left out: pull,
-- removal, comparing databases.
--
-- Run:    splay run apps/epidemic.lua -n 50     (a head list of all nodes)
--    or:  splay lua apps/epidemic.lua POSITION TOTAL, once per node
-- Prints: `infected in round 4` on every node, then `all infected: 50 nodes, 8 rounds` or
--    `not infected: 3 of 50 nodes` on the first one; then all end.
-- Proves: every node of the job has received the message, each told by an infected one.
require "splay.base"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local fanout = 2 -- nodes told in each round
local period = math.max(0.25, #job.nodes / 2500) -- seconds between two rounds

-- Protocol ------------------------------------------------------------------------------------

local message, round, infector, since -- nil until infected

local function push()
  round = round + 1
  for _, node in ipairs(misc.random_pick(job.nodes, fanout)) do
    rpc.acall(node, { "infect", message, round, job.me }, 6)
  end
end

function infect(text, at_round, from)
  if message then return end
  message, round, infector, since = text, at_round, from, at_round
  print("infected in round " .. round)
  events.periodic(period, push)
  events.thread(function() rpc.acall(job.nodes[1], { "report", job.position, round }) end)
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot tree` draws: who infected whom.
view = {
  parent = function() return message ~= nil and infector end,
  label = function() return since and "round " .. since end,
}

-- Check ---------------------------------------------------------------------------------------

local infected, missing, rounds = {}, #job.nodes, 0
local deadline = misc.time() + 30 + 40 * period

function report(position, at_round)
  if not infected[position] then missing = missing - 1 end
  infected[position], rounds = true, math.max(rounds, at_round)
end

events.run(function()
  assert(rpc.server(job.me.port))
  if job.position == 1 then infect("hello", 0) end
  repeat events.sleep(period) until missing == 0 or misc.time() > deadline
  if job.position > 1 then os.exit(1) end -- nobody has told this node to leave
  print(missing > 0 and ("not infected: %d of %d nodes"):format(missing, #job.nodes)
    or ("all infected: %d nodes, %d rounds"):format(#job.nodes, rounds))
  for i = 2, #job.nodes do rpc.acall(job.nodes[i], { "events.exit" }, 1) end
  os.exit(missing == 0 and 0 or 1)
end)
