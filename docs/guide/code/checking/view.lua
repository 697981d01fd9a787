-- Collects what others pick; two threads may do so at the same time.
require "splay.base"
local rpc = require "splay.rpc"

local view = {}

function pick() return misc.random_pick(job.nodes) end

local function ask(node)
  -- Known, and harmless as long as a single thread asks.
  view[#view + 1] = rpc.call(node, { "pick" }) -- splay: allow(torn-update)
end

events.run(function()
  assert(rpc.server(job.me))
  for _, node in ipairs(job.nodes) do ask(node) end
  print(#view .. " picked")
  events.exit()
end)
