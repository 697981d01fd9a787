-- Chord as a load for the simulator: datagrams that are forwarded and answered directly, fixed
-- periods, a steady rate of lookups. The protocol for people to read is apps/chord.lua.
--
-- Run:    splay sim chord_sim.lua -n 10000 --list-size 1 --for 1200s
-- Prints: once, on the first node, after `duration` seconds: how many nodes a message that goes
--    along the successors has met, and the sums it has collected on the way. Then all end.
require "splay.base"
local benc = require "splay.benc"
local dht = require "splay.dht"
local socket = require "splay.socket"

local p = require("splay.cli").parameters {
  bits = 24, -- of an identifier
  stabilize = 20, -- seconds between two rounds of stabilization
  fingers = 120, -- seconds between two repairs of a finger
  check = 120, -- seconds between two looks at the predecessor
  lookup = 10, -- seconds between two lookups of a node
  join = 100, -- seconds over which nodes join
  duration = 1000, -- seconds until the first node takes stock
}

local ring, log2, floor = 2 ^ p.bits, math.log(2), math.floor
local random, encode, decode = math.random, benc.encode, benc.decode
local me = job.me
local id = dht.id(me, p.bits)
local successor, predecessor, silent = nil, nil, false
local finger = {} -- [i]: the first node known at a distance of 2^i to 2^(i+1)
local sent, asked, answered, hops = 0, 0, 0, 0
local udp
local begun = misc.time()

local function distance(from, to) return (to - from) % ring end

-- Whether x is in (a, b] of the ring; (a, a] is all of it.
local function within(x, a, b)
  return a == b or distance(a, x) <= distance(a, b) and x ~= a
end

local function send(node, message)
  sent = sent + 1
  udp:sendto(encode(message), node[2], node[3])
end

local self = { id, me.ip, me.port }

-- A node becomes the finger of its interval if it is nearer to where that begins.
local function learn(node)
  local d = distance(id, node[1])
  if d == 0 then return end
  local i = floor(math.log(d) / log2)
  local known = finger[i]
  if not known or d < distance(id, known[1]) then finger[i] = node end
end

local function closest_preceding(key)
  local d = distance(id, key)
  for i = d > 0 and floor(math.log(d) / log2) or p.bits - 1, 0, -1 do
    local node = finger[i]
    if node and distance(id, node[1]) < d then return node end
  end
  return successor
end

local handlers = {}

-- find, key, who asks, tag, hops so far
function handlers.find(m)
  local key, count = m[2], m[5]
  if not successor then return end
  if predecessor and within(key, predecessor[1], id) then
    return send(m[3], { "found", m[4], self, count })
  end
  if within(key, id, successor[1]) then
    if successor[1] == id then return send(m[3], { "found", m[4], self, count }) end
    return send(m[3], { "found", m[4], successor, count })
  end
  m[5] = count + 1
  if m[5] > 100 then return end
  send(closest_preceding(key), m)
end

function handlers.found(m)
  local tag, node = m[2], m[3]
  learn(node)
  if tag == "lookup" then
    answered = answered + 1
    hops = hops + m[4]
  elseif tag == "join" and not successor then
    successor = node
    send(node, { "join", self })
  end
end

-- A new node before this one: it gets the fingers of this one, and whom to follow.
function handlers.join(m)
  local node, known = m[2], {}
  for _, other in pairs(finger) do known[#known + 1] = other end
  local before = predecessor
  if not before or within(node[1], before[1], id) then predecessor = node end
  send(node, { "welcome", self, before or self, known })
end

function handlers.welcome(m)
  for _, node in ipairs(m[4]) do learn(node) end
  if within(id, m[3][1], m[2][1]) then
    predecessor = m[3]
    send(m[3], { "follow", self })
  end
end

function handlers.follow(m)
  local node = m[2]
  if within(node[1], id, successor[1]) then successor = node end
  learn(node)
end

function handlers.stabilize(m)
  send(m[2], { "before", predecessor or self })
end

function handlers.before(m)
  local node = m[2]
  if node[1] ~= id and within(node[1], id, successor[1]) and node[1] ~= successor[1] then
    successor = node
    learn(node)
  end
  send(successor, { "notify", self })
end

function handlers.notify(m)
  local node = m[2]
  if not predecessor or node[1] ~= predecessor[1] and within(node[1], predecessor[1], id) then
    predecessor = node
  end
end

function handlers.ping(m) send(m[2], { "pong" }) end

function handlers.pong() silent = false end

-- walk, nodes met, laps, sums of sent, asked, answered, hops
function handlers.walk(m)
  if m[2] > 0 and job.position == 1 then
    local ok = m[2] == job.total and m[3] == 1
    print(("ring %s: %d of %d nodes in %d laps"):format(ok and "correct" or "wrong",
      m[2], job.total, m[3]))
    print(("%.1f messages a node, %.1f lookups a node, %.2f%% answered, %.2f hops"):format(
      m[4] / m[2], m[5] / m[2], m[6] / m[5] * 100, m[7] / m[6]))
    send(successor, { "bye" })
    events.thread(function() os.exit(ok and 0 or 1) end)
    return
  end
  if m[2] > job.total then return end
  m[2], m[4], m[5] = m[2] + 1, m[4] + sent, m[5] + asked
  m[6], m[7] = m[6] + answered, m[7] + hops
  if successor[1] <= id then m[3] = m[3] + 1 end
  send(successor, m)
end

function handlers.bye()
  if job.position > 1 then
    send(successor, { "bye" })
    events.thread(function() os.exit(0) end)
  end
end

local function look_up(key, tag)
  handlers.find { "find", key, self, tag, 0 }
end

local next_finger = p.bits
local function fix_finger()
  next_finger = next_finger > 0 and finger[next_finger - 1] and next_finger - 1 or p.bits - 1
  look_up((id + 2 ^ next_finger) % ring, "finger")
end

local function check_predecessor()
  if silent then predecessor = nil end
  if not predecessor then return end
  silent = true
  send(predecessor, { "ping", self })
end

local function receive()
  while true do
    local data = udp:receivefrom()
    if data then
      local m = decode(data)
      handlers[m[1]](m)
    end
  end
end

local function every(period, f)
  events.thread(function()
    events.sleep(random() * period)
    while true do
      f()
      events.sleep(period)
    end
  end)
end

events.run(function()
  udp = assert(socket.udp())
  assert(udp:setsockname("*", me.port))
  events.thread(receive)
  if job.position == 1 then
    successor = self
  else
    local first = job.nodes[1]
    first = { dht.id(first, p.bits), first.ip, first.port }
    events.sleep(p.join * (job.position - 1 + random()) / job.total)
    repeat
      send(first, { "find", id, self, "join", 0 })
      events.sleep(5)
    until successor
  end
  every(p.stabilize, function() send(successor, { "stabilize", self }) end)
  every(p.fingers, fix_finger)
  every(p.check, check_predecessor)
  every(p.lookup, function()
    asked = asked + 1
    look_up(floor(random() * ring), "lookup")
  end)
  if job.position == 1 then
    events.sleep(begun + p.duration - misc.time())
    handlers.walk { "walk", 0, 0, 0, 0, 0, 0 }
  end
end)
