-- A rumor: who has heard it tells a few random nodes in every round.
require "splay.base"
local rpc = require "splay.urpc"

local fanout = 2 -- nodes told in each round
local period = 0.2 -- seconds between two rounds
local rumor, teller -- nil until heard

local function tell()
  for _, node in ipairs(misc.random_pick(job.nodes, fanout)) do
    rpc.acall(node, { "hear", rumor, job.me }, 1)
  end
end

function hear(text, from)
  if rumor then return end
  rumor, teller = text, from
  print("heard: " .. text)
  events.periodic(period, tell)
end

-- For a picture of who has told whom: splay run rumor.lua -n 20 --plot tree
view = { parent = function() return teller end, label = job.position }

events.run(function()
  assert(rpc.server(job.me))
  events.sleep(0.2)
  if job.position == 1 then hear("the well is poisoned") end
  events.sleep(4)
  if not rumor then print("heard nothing") end
  events.exit()
end)
