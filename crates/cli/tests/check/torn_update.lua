-- Values read before a wait and written after it.
require "splay.base"
local rpc = require "splay.rpc"
local view, state = {}, { count = 0 }
total = 0

local function ask(node) return rpc.call(node, { "answer" }) end
function answer() return 1 end
local function twice(node) return 2 * ask(node) end

events.run(function()
  local node = job.me
  view[#view + 1] = ask(node)
  view[#view + 1] = { node, pcall(twice, node) }
  state.count = state.count + twice(node)
  state.count = twice(node) + state.count -- read after the wait
  total = math.max(total, rpc.ping(node))
  view = misc.merge(view, ask(node))
  view[#view + 1] = answer()
  local own, sum = {}, 0
  own[#own + 1] = ask(node) -- nobody else has it
  sum = sum + ask(node)
  total = total or ask(node)
  view[#view + 1] = ask(node) -- splay: allow(torn-update)
  -- splay: allow(blocks, torn-update)
  view[#view + 1] = ask(node)
end)
