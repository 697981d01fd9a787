-- Vivaldi, coordinates from which nodes tell how far away others are without asking them.
--
-- F. Dabek, R. Cox, F. Kaashoek, R. Morris, "Vivaldi: A Decentralized Network Coordinate System",
-- SIGCOMM 2004: the adaptive timestep of figure 3, in the plane with heights (section 5.4). Left
-- out: other spaces, choice of distant neighbours.
--
-- Delays: on one machine all nodes are equally close. So the node that is asked holds its answer
--    back for a time that a hidden map gives to each pair: distance in a square of 60 by 60 ms,
--    plus a last mile of 1 to 10 ms at either end, times a random 0.95 to 1.05. What the protocol
--    sees is the round-trip time it measures, which is that plus the real one. With
--    synthetic=false nothing is held back: the network's own delays (of a testbed, or of a
--    simulated topology) are mapped.
--
-- Run:    splay run apps/vivaldi.lua -n 50          (a head list of all nodes, or a random one)
--    or:  splay lua apps/vivaldi.lua POSITION TOTAL, once per node
-- Parameters: neighbours=16 (nodes measured, fewer if there are not as many), cc=0.25, ce=0.25
--    (the paper's constants), period=0.1 (seconds between two measurements; more for over 250
--    nodes), synthetic=true, bound=0.2 (median relative error), crash=0 (probability), stay.
-- Prints: `coordinates correct: 50 nodes, relative error: 50 % 0.08, 90 % 0.27 (444 pairs)` or
--    `coordinates wrong: reason`, once, on the first node; then all end.
-- Proves: the median of |predicted - measured| / measured, over random pairs of living nodes, of
--    which most have never measured each other, is below the bound.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local dht, nodes = require "splay.dht", require "splay.nodes"
local parallel, stats = require "splay.parallel", require "splay.stats"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  neighbours = 16, cc = 0.25, ce = 0.25, period = math.max(0.1, total / 2500), synthetic = true,
  bound = 0.2, crash = 0, stay = false,
}
rpc.settings.default_timeout = 2
rpc.settings.retry_number = 0 -- an answer to a retransmission would be timed wrongly

-- Delays --------------------------------------------------------------------------------------

-- A node's hidden place, in seconds: on the map, and how far it is to the map.
local function hidden_place(node)
  local digits = dht.hex_id(node)
  local function part(i) return tonumber(digits:sub(4 * i + 1, 4 * i + 4), 16) / 65536 end
  return { x = 0.06 * part(0), y = 0.06 * part(1), mile = 0.001 + 0.009 * part(2) }
end

local here = hidden_place(job.me)

local function hold_back(from)
  if not p.synthetic then return end
  local there = hidden_place(from)
  local distance = math.sqrt((here.x - there.x) ^ 2 + (here.y - there.y) ^ 2)
  events.sleep((distance + here.mile + there.mile) * (0.95 + 0.1 * math.random()))
end

-- Protocol ------------------------------------------------------------------------------------

local me = { ip = job.me.ip, port = job.me.port }
local at = { x = 0, y = 0, height = 0.001, error = 1 } -- coordinates in seconds; relative error

-- What another is asked: the answer takes one round trip.
function coordinates(from)
  hold_back(from)
  return at
end

local function distance(a, b)
  return math.sqrt((a.x - b.x) ^ 2 + (a.y - b.y) ^ 2) + a.height + b.height
end

-- The direction from b to a: a unit of distance, heights included; random if they are in one place.
local function direction(a, b)
  local x, y = a.x - b.x, a.y - b.y
  if x == 0 and y == 0 then x, y = math.random() - 0.5, math.random() - 0.5 end
  local length = math.sqrt(x * x + y * y)
  local whole = length + a.height + b.height
  return x / whole, y / whole, (a.height + b.height) / whole
end

-- Figure 3: the sample moves this node as a spring would, as far as the other is more certain.
local function update(rtt, other)
  local weight = at.error / (at.error + other.error)
  local off = rtt - distance(at, other)
  local x, y, height = direction(at, other)
  local step = p.cc * weight * off
  at.error = math.min(1, math.abs(off) / rtt * p.ce * weight + at.error * (1 - p.ce * weight))
  at.x, at.y = at.x + step * x, at.y + step * y
  at.height = math.max(0.0001, at.height + step * height)
end

local function measure(node)
  local start = misc.time()
  local other = rpc.call(node, { "coordinates", me })
  return other and misc.time() - start, other
end

local others = nodes.without(job.nodes, job.me)
local neighbours = misc.random_pick(others, p.neighbours)

local function sample()
  local node = misc.random_pick_one(neighbours)
  local rtt, other = measure(node)
  if rtt then update(rtt, other) end
end

-- Check ---------------------------------------------------------------------------------------

local learning = 100 * p.period -- time for so many samples
local crash_time = p.crash > 0 and learning / 2 or 0

-- The relative errors this node makes in predicting its distance from nodes.
function assess(some)
  return parallel.each(some, function(node)
    local rtt, other = measure(node)
    return rtt and math.abs(distance(at, other) - rtt) / rtt or -1
  end)
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local errors = {}
  parallel.each(alive, function(node)
    local some = misc.random_pick(nodes.without(alive, node), 9)
    for _, e in ipairs(rpc.call(node, { "assess", some }, 10) or {}) do
      if e >= 0 then errors[#errors + 1] = e end
    end
  end, 8)
  if #errors < 4 * #alive and #alive > 4 then return nil, "nodes do not answer" end
  local half, most = stats.percentile(errors, 50, 90)
  local text = ("%d nodes, relative error: 50 %% %.3f, 90 %% %.3f (%d pairs)"):format(
    #alive, half, most, #errors)
  return half < p.bound, text
end

assert(#others > 0, "vivaldi needs two nodes: there is no distance to predict")

events.run(function()
  assert(rpc.server(me.port))
  events.sleep(1 + p.period * math.random())
  events.periodic(p.period, sample, true)
  cli.crash(p.crash, crash_time)
  events.sleep(learning)
  proof.judge {
    what = "coordinates", rpc = rpc, property = property, limit = 60, every = 2, stay = p.stay,
  }
end)
