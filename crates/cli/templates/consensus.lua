-- Consensus: all instances agree on one of the values they propose, by Paxos for one decision
-- (L. Lamport, "Paxos Made Simple", 2001). A majority must be there; nobody needs to be the leader.
--
-- Run:    splay run consensus.lua -n 5
-- Test:   splay test consensus_test.lua
-- Prints: `decided: value of 3` on every instance, the same on all.
require "splay.base"
local rpc = require "splay.rpc"

local M = {}

-- Settings: change them here, or from a test.
M.pause = 1 -- seconds for the others to start
M.linger = 6 -- seconds for which a node answers after it has decided
M.backoff = 0.5 -- longest pause in seconds before the next try
M.timeout = 2 -- seconds until a call is given up

-- Acceptor: called by other nodes ---------------------------------------------------------------

M.promised = 0 -- no proposal with a lower number is accepted any more
M.accepted = nil -- {number, value} accepted last
M.decided = nil

-- true and what has been accepted (or nil); or false and the number promised to another.
function prepare(number)
  if number <= M.promised then return false, M.promised end
  M.promised = number
  return true, M.accepted
end

function accept(number, value)
  if number < M.promised then return false, M.promised end
  M.promised, M.accepted = number, { number, value }
  return true
end

function learn(value)
  M.decided = M.decided or value
  events.fire("decided")
  return true
end

-- Proposer ----------------------------------------------------------------------------------------

-- Calls all nodes: an array of the results of those that have answered with true first, and the
-- highest number that a refusal named.
local function call_all(call)
  local yes, highest = {}, 0
  for i = 1, #job.nodes do
    local ok, results = rpc.acall(job.nodes[i], call, M.timeout)
    if ok and results[1] then
      yes[#yes + 1] = results
    elseif ok then
      highest = math.max(highest, results[2])
    end
  end
  return yes, highest
end

local function majority(answers) return #answers > #job.nodes / 2 end

-- Tries once with a number that no other node uses: the value decided, or nil and the highest
-- number heard of.
function M.propose(number, value)
  local promises, highest = call_all({ "prepare", number })
  if not majority(promises) then return nil, highest end
  -- The heart of it: what may have been decided before must be proposed again.
  local last = 0
  for _, results in ipairs(promises) do
    local before = results[2]
    if before and before[1] > last then last, value = before[1], before[2] end
  end
  local accepted
  accepted, highest = call_all({ "accept", number, value })
  if not majority(accepted) then return nil, highest end
  return value
end

-- Proposes until there is a decision.
function M.decide(value)
  local highest = 0
  while not M.decided do
    local turn = math.floor(highest / #job.nodes) + 1
    local chosen, heard = M.propose(turn * #job.nodes + job.position, value)
    if chosen then
      learn(chosen)
      call_all({ "learn", chosen })
    else
      highest = math.max(highest, heard, turn * #job.nodes)
      events.wait("decided", math.random() * M.backoff)
    end
  end
  return M.decided
end

function M.main()
  assert(rpc.server(job.me))
  events.sleep(M.pause + math.random() * M.backoff)
  print("decided: " .. M.decide("value of " .. job.position))
  events.sleep(M.linger)
  events.exit()
end

-- Required by its test, the file has no job and only offers its functions.
if job then events.run(M.main) end

return M
