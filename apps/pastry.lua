-- Pastry, a ring of nodes that passes a message to the node closest to its key in O(log n) hops.
--
-- A. Rowstron, P. Druschel, "Pastry: Scalable, decentralized object location and routing for
-- large-scale peer-to-peer systems", Middleware 2001: identifiers of 128 bits in digits of 4,
-- routing table, leaf set, the routing procedure of section 2.3, arrival and departure of nodes
-- as in 2.4, short routes as in 2.5 (a closer node takes a place in the table). Left out: the
-- neighborhood set (any known node serves for a start), malicious nodes.
--
-- Run:    splay run apps/pastry.lua -n 50 [-- crash=0.1 leafs=16 ...]
--    or:  splay lua apps/pastry.lua POSITION TOTAL, once per node
-- Parameters: leafs=16, of the leaf set; period=0.25 (longer in large rings), seconds between two
--    rounds of keep-alives; timeout=3, seconds after which a silent node has failed; proximity,
--    whether near nodes take the places of far ones (on); crash=0, share of nodes that crash
--    within 15 seconds; stay, keeps the ring running after the verdict.
-- Prints: `ring correct: 50 nodes, 1.2 hops` or `ring wrong: reason`, once, on the first node.
-- Proves: the leaf set of each living node holds exactly those of the living nodes that are next
--    to it on both sides; every entry of a routing table has the prefix of its place; random keys
--    looked up from random nodes lead to the living node closest to the key, in at most
--    log16(n) + 2 hops on average. That holds again after crashes.
--
-- As a module, for an application in the same folder:
--    local pastry = require "pastry"
--    function pastry.deliver(key, message, hops) ... end -- this node is the closest to the key
--    function pastry.forward(key, message, next) ... end -- passing by; false stops the message
--    function pastry.new_leafs(leafs) ... end            -- the leaf set has changed
--    pastry.start { leafs = 16 }                         -- in a thread: returns once it has joined
--    pastry.route(key, message)                          -- any data that a remote call can carry
--    local node, hops = pastry.lookup(key)               -- who is the closest to a key
require "splay.base"
local dht = require "splay.dht"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

-- Protocol ------------------------------------------------------------------------------------

local M = {}
pastry = M -- the other nodes call functions by name

local bits = 128 -- of an identifier: 32 digits of 4
local max_hops = 40 -- a message that has come so far is lost: the ring was out of order
local settings = { leafs = 16, timeout = 3, proximity = true }
settings.period = math.max(0.25, (job.total or #job.nodes) / 2500)

local me = { ip = job.me.ip, port = job.me.port, id = dht.hex_id(job.me, bits) }
local sides = { {}, {} } -- the leaf set: nodes above and below this one, nearest first
local rows = {} -- rows[p + 1][d]: a node that shares p digits with this one, then has digit d
local silent = {} -- identifiers of nodes that did not answer: until when others' word is not taken
local joined = false
M.me = me

-- For the application to replace.
function M.deliver() end
function M.forward() end
function M.new_leafs() end

-- State: who is known ---

-- All nodes of the leaf set: in a small ring some are on both sides.
function M.leafs()
  local all, seen = {}, {}
  for _, side in ipairs(sides) do
    for _, leaf in ipairs(side) do
      if not seen[leaf.id] then all[#all + 1], seen[leaf.id] = leaf, true end
    end
  end
  return all
end

-- The entries of a row of the routing table.
function M.row(number)
  local entries = {}
  for d = 0, 15 do
    local entry = rows[number] and rows[number][d]
    if entry then entries[#entries + 1] = entry end
  end
  return entries
end

-- The entry of a place of the routing table.
function M.entry(number, d) return rows[number] and rows[number][d] end

-- The place of a node in the routing table: row and digit.
local function place(node)
  local p = dht.common_digits(me.id, node.id)
  return p + 1, dht.digit(node.id, p + 1)
end

local function insert(number, node)
  local side, i = sides[number], 1
  while side[i] and side[i].id ~= node.id do
    local near, far = me.id, side[i].id
    if number == 2 then near, far = far, near end
    if dht.between(node.id, near, far) then break end
    i = i + 1
  end
  if i > settings.leafs / 2 or side[i] and side[i].id == node.id then return false end
  table.insert(side, i, node)
  side[settings.leafs / 2 + 1] = nil
  return true
end

local exchange

-- Takes note of a node that others know, unless it failed to answer a short time ago.
local function learn(node, present)
  if node.id == me.id or (silent[node.id] or 0) > misc.time() then return end
  silent[node.id] = nil
  local number, d = place(node)
  rows[number] = rows[number] or {}
  rows[number][d] = rows[number][d] or node
  local above, below = insert(1, node), insert(2, node)
  if not above and not below then return end
  if not present then events.thread(function() exchange(node) end) end
  M.new_leafs(M.leafs())
end

local function learn_all(nodes)
  for _, node in ipairs(nodes) do learn(node) end
end

-- A node that calls is alive, whatever was thought of it.
local function greet(node)
  silent[node.id] = nil
  learn(node, true)
end

-- Repair: what a failed node leaves open is asked from others ---

local function repair_entry(number, d)
  for from = number, number + 1 do
    for _, node in ipairs(M.row(from)) do
      local ok, result = rpc.acall(node, { "pastry.entry", number, d }, settings.timeout)
      if ok and result[1] then learn(result[1]) end
      if M.entry(number, d) then return end
    end
  end
end

local function forget(node)
  silent[node.id] = misc.time() + 20 * settings.timeout
  local number, d = place(node)
  local entry = M.entry(number, d)
  if entry and entry.id == node.id then
    rows[number][d] = nil
    events.thread(function() repair_entry(number, d) end)
  end
  for _, side in ipairs(sides) do
    for i, leaf in ipairs(side) do
      if leaf.id == node.id then
        table.remove(side, i)
        M.new_leafs(M.leafs())
        local last = side[#side]
        if last then events.thread(function() exchange(last) end) end
        break
      end
    end
  end
end

local meeting = {} -- identifiers of nodes whose answer to `meet` is awaited

-- Tells a node of this one and its leafs, and learns its leafs.
function exchange(node)
  if meeting[node.id] then return end
  meeting[node.id] = true
  local ok, result = rpc.acall(node, { "pastry.meet", me, M.leafs() }, settings.timeout)
  meeting[node.id] = nil
  if ok then learn_all(result[1]) else forget(node) end
end

function M.meet(from, leafs)
  greet(from)
  learn_all(leafs)
  return M.leafs()
end

-- Routing ---

local function closer(key, a, b)
  return dht.ring_distance(b.id, key) < dht.ring_distance(a.id, key) and b or a
end

-- The closest to a key of this node and its leafs, or nil if the key lies beyond them.
local function closest_leaf(key)
  if key == me.id then return me end
  for number, side in ipairs(sides) do
    local last = me
    for _, leaf in ipairs(side) do
      local from, to = last.id, leaf.id
      if number == 2 then from, to = to, from end
      if key == leaf.id or dht.between(key, from, to) then return closer(key, last, leaf) end
      last = leaf
    end
    -- Not full: all nodes that are known are here, and next comes this one again.
    if #side < settings.leafs / 2 then return closer(key, me, last) end
  end
end

-- Where a message goes from here: to a leaf, to a node that shares more digits with the key, or
-- else to any that shares as many and is closer.
local function next_hop(key)
  local leaf = closest_leaf(key)
  if leaf then return leaf end
  local p = dht.common_digits(me.id, key)
  local entry = M.entry(p + 1, dht.digit(key, p + 1))
  if entry then return entry end
  local best = me
  local function consider(node)
    if dht.common_digits(node.id, key) >= p then best = closer(key, best, node) end
  end
  for _, node in ipairs(M.leafs()) do consider(node) end
  for number in pairs(rows) do
    for _, node in ipairs(M.row(number)) do consider(node) end
  end
  return best
end

local function deliver(key, message, hops)
  if type(message) ~= "table" or not message.asker then
    M.deliver(key, message, hops)
  elseif message.asker.id == me.id then
    M.found(message.event, me, hops)
  else
    rpc.acall(message.asker, { "pastry.found", message.event, me, hops }, settings.timeout)
  end
end

-- Sends a message towards the node closest to a key; returns when it has left this node. Each
-- hop answers at once: one that does not is forgotten, and the message takes another way.
function M.route(key, message, hops)
  hops = hops or 0
  local asked = type(message) == "table" and message.asker
  while hops < max_hops do
    local hop = next_hop(key)
    if hop == me then return deliver(key, message, hops) end
    if not asked and M.forward(key, message, hop) == false then return end
    local call = { "pastry.receive", key, message, hops + 1, me }
    if rpc.acall(hop, call, settings.timeout) then return end
    forget(hop)
  end
end

function M.receive(key, message, hops, from)
  greet(from)
  events.thread(function() M.route(key, message, hops) end)
end

local lookups = 0

-- The node closest to a key, and the number of hops to it; nil, "timeout" if the ring is broken.
function M.lookup(key)
  for _ = 1, 4 do
    lookups = lookups + 1
    local event = "pastry.found " .. lookups
    events.thread(function() M.route(key, { asker = me, event = event }) end)
    local ok, node, hops = events.wait(event, 2 * settings.timeout)
    if ok then return node, hops end
  end
  return nil, "timeout"
end

function M.found(event, node, hops) events.fire(event, node, hops) end

-- Arrival: each node on the way to the newcomer's identifier sends it rows, the last its leafs ---

function M.admit(newcomer, row)
  if not joined then return false end
  local hop = next_hop(newcomer.id)
  local last = hop == me or hop.id == newcomer.id
  local nodes, shared = { me }, place(newcomer)
  for number = row, shared do nodes = misc.merge(nodes, M.row(number)) end
  if last then nodes = misc.merge(nodes, M.leafs()) end
  events.thread(function()
    rpc.acall(newcomer, { "pastry.welcome", nodes, last }, settings.timeout)
    if last then return end
    local call = { "pastry.admit", newcomer, shared + 1 }
    if not rpc.acall(hop, call, settings.timeout) then forget(hop) end -- the newcomer tries again
  end)
  return true
end

function M.welcome(nodes, last)
  learn_all(nodes)
  joined = joined or last
  if last then events.fire("pastry.joined") end
end

local function join(known)
  while not joined do
    local ok, result = rpc.acall(known, { "pastry.admit", me, 1 }, settings.timeout)
    if ok and result[1] and not joined then events.wait("pastry.joined", settings.timeout) end
    if not joined then
      events.sleep(settings.period)
      known = misc.random_pick_one(job.nodes) -- this one says no to itself
    end
  end
  for number in pairs(rows) do
    for _, node in ipairs(M.row(number)) do events.thread(function() exchange(node) end) end
  end
end

-- Maintenance ---

local turn = 0

-- The nearest node on each side hears of this one in each round, the other leafs in turn.
local function keep_alive()
  local leafs = M.leafs()
  if #leafs == 0 then return end
  turn = turn % #leafs + 1
  for _, leaf in pairs { sides[1][1], sides[2][1], leafs[turn] } do
    events.thread(function() exchange(leaf) end)
  end
end

-- Asks a random entry of a random row for its row, and takes the nodes with a shorter round trip.
local function refresh_row()
  local number = misc.random_pick_one(misc.table_keyset(rows))
  local entry = number and misc.random_pick_one(M.row(number))
  if not entry then return end
  local ok, result = rpc.acall(entry, { "pastry.row", number }, settings.timeout)
  if not ok then return forget(entry) end
  for _, node in ipairs(result[1]) do
    learn(node)
    local row, d = place(node)
    local present = M.entry(row, d)
    if settings.proximity and node.id ~= me.id and present and present.id ~= node.id then
      local new, old = rpc.ping(node, settings.timeout), rpc.ping(present, settings.timeout)
      if not old then forget(present) end
      if new and new < (old or math.huge) and rows[row][d] == present then rows[row][d] = node end
    end
  end
end

-- Serves the other nodes, joins through one of the job's and keeps the state in order. The ring
-- grows exponentially: not all come at once to the first node.
function M.start(changes)
  for name, value in pairs(changes or {}) do settings[name] = value end
  assert(rpc.server(me.port))
  joined = job.position == 1
  if not joined then
    events.sleep(2 * settings.period * math.log(job.position))
    join(job.nodes[1])
  end
  events.periodic(settings.period, keep_alive)
  events.periodic(4 * settings.period, refresh_row, true)
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot ring` draws.
view = { id = me.id, bits = bits, links = function()
  local above, below = sides[1][1], sides[2][1]
  local links = { { to = above, kind = "successor" }, { to = below, kind = "predecessor" } }
  for number in pairs(rows) do
    links[#links + 1] = { to = M.row(number), kind = "routing table" }
  end
  links[#links + 1] = { to = M.leafs(), kind = "leaf" }
  return links
end }

if package.loaded.pastry then return M end -- required, not run

-- Check ---------------------------------------------------------------------------------------

local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"

local p = cli.parameters {
  leafs = settings.leafs, period = settings.period, timeout = settings.timeout,
  proximity = true, crash = 0, stay = false,
}
local total = job.total or #job.nodes
local crash_time = p.crash > 0 and 15 or 0 -- seconds within which instances crash
local started = misc.time()

-- What a node knows, for the one who judges.
function M.state()
  local entries = {}
  for number in pairs(rows) do
    for d, node in pairs(rows[number]) do entries[#entries + 1] = { number, d, node.id } end
  end
  local ids = { {}, {} }
  for number, side in ipairs(sides) do
    for i, leaf in ipairs(side) do ids[number][i] = leaf.id end
  end
  return { id = me.id, sides = ids, entries = entries }
end

-- Whether the leafs of the i-th of nodes in the order of the ring are its neighbours.
local function leafs_right(states, i)
  for number, step in ipairs { 1, -1 } do
    local leafs = states[i].sides[number]
    local expected = math.min(p.leafs / 2, #states - 1)
    if #leafs ~= expected then return false end
    for k = 1, expected do
      if leafs[k] ~= states[(i - 1 + step * k) % #states + 1].id then return false end
    end
  end
  return true
end

local function entries_right(state)
  for _, entry in ipairs(state.entries) do
    local shared = dht.common_digits(state.id, entry[3])
    if shared + 1 ~= entry[1] or dht.digit(entry[3], shared + 1) ~= entry[2] then return false end
  end
  return true
end

local function property()
  if misc.time() < started + crash_time + 1 then return nil, "instances are still crashing" end
  local nodes, reason = proof.alive(rpc, p.crash)
  if not nodes then return nil, reason end
  local answers, count = parallel.ask(rpc, nodes, "pastry.state")
  if count < #nodes then return nil, "a node does not tell its state" end
  local states = misc.dup(answers)
  table.sort(states, function(a, b) return a.id < b.id end)
  for i, state in ipairs(states) do
    if not leafs_right(states, i) then return nil, state.id .. " has other leafs" end
    if not entries_right(state) then return nil, state.id .. " has a misplaced entry" end
  end
  local hops, asked = 0, 40
  local function metric(a, b) return dht.ring_distance(a, b) end
  for _ = 1, asked do
    local key = dht.random_id(bits)
    local found, n = rpc.call(misc.random_pick_one(nodes), { "pastry.lookup", key }, 30)
    if not found then return nil, "a lookup is lost" end
    if found.id ~= dht.closest(states, key, 1, metric)[1].id then
      return nil, ("lookup of %s leads to %s"):format(key, found.id)
    end
    hops = hops + n
  end
  if hops / asked > math.log(#nodes) / math.log(16) + 2 then
    return nil, ("%.1f hops"):format(hops / asked)
  end
  return true, ("%d nodes, %.1f hops"):format(#nodes, hops / asked), nodes
end

events.run(function()
  cli.crash(p.crash, crash_time)
  M.start { leafs = p.leafs, period = p.period, timeout = p.timeout, proximity = p.proximity }
  proof.judge {
    what = "ring", rpc = rpc, property = property, stay = p.stay,
    limit = 60 + crash_time + 12 * p.period * math.log(total + 1),
  }
end)
