-- Counts, and tells the others: an application that its test can require.
require "splay.base"
local rpc = require "splay.rpc"

local M = {}

M.count = 0

-- Called by other instances.
function add(n)
  if type(n) ~= "number" then error("a number is wanted", 0) end
  M.count = M.count + n
  return M.count
end

function M.add_at(node, n)
  local ok, results = rpc.acall(node, { "add", n }, 2)
  if not ok then return nil, results end
  return results[1]
end

function M.main()
  assert(rpc.server(job.me))
  events.sleep(0.3)
  print("the first one has counted", M.add_at(job.nodes[1], 1))
  events.sleep(0.3)
  events.exit()
end

if job then events.run(M.main) end -- required by its test, it has no job

return M
