-- Instances call functions of each other: each adds to a counter of a random other instance.
--
-- Run:    splay run rpc.lua -n 5
-- Test:   splay test rpc_test.lua
-- Prints: `instance 4 has counted 1 for me`, or why the call has failed.
require "splay.base"
local rpc = require "splay.rpc"

local M = {}

-- Settings: change them here, or from a test.
M.pause = 1 -- seconds for the others to start, and at the end to finish their calls
M.timeout = 5 -- seconds until a call is given up

-- What others may call is global: they name it. Arguments and results are plain data.
local count = 0

function add(n)
  if type(n) ~= "number" then error("a number is wanted", 0) end
  count = count + n
  return job.position, count
end

-- Calls `add` on a node: what is to be said about it.
function M.ask(node)
  -- true and an array of the results; or false and the reason: a timeout, an error over there.
  local ok, results = rpc.acall(node, { "add", 1 }, M.timeout)
  if not ok then return ("%s:%d did not answer: %s"):format(node.ip, node.port, results) end
  return ("instance %d has counted %d for me"):format(results[1], results[2])
end

function M.main()
  assert(rpc.server(job.me)) -- answers from now on, in threads of its own
  events.sleep(M.pause)
  local peer = misc.random_pick(job.nodes)
  print(M.ask(peer))
  events.sleep(M.pause)
  events.exit() -- the server would go on for ever
end

-- Required by its test, the file has no job and only offers its functions.
if job then events.run(M.main) end

return M
