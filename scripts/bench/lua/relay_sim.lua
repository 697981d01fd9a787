-- Events as small as they come: each node waits for a datagram in one thread and sends it on to a
-- node it picks at random; as many datagrams are under way as there are nodes.
--
-- Run:    splay sim relay_sim.lua -n 1000 --list-size 1 --for 10s
require "splay.base"
local socket = require "splay.socket"

local first, total, port = 0x0a000000, job.total, job.me.port
local random, floor = math.random, math.floor

local function address(position)
  local ip = first + position
  return ("10.%d.%d.%d"):format(floor(ip / 65536) % 256, floor(ip / 256) % 256, ip % 256)
end

events.run(function()
  local udp = assert(socket.udp())
  assert(udp:setsockname("*", port))
  events.sleep(1)
  local near = {}
  for n = 1, 8 do near[n] = address(random(total)) end
  udp:sendto("a small message", near[1], port)
  while true do
    local data = udp:receivefrom()
    udp:sendto(data, near[random(8)], port)
  end
end)
