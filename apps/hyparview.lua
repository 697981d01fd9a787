-- HyParView and Plumtree: a small symmetric overlay that mends itself, and a broadcast tree in it.
--
-- J. Leitao, J. Pereira, L. Rodrigues, "HyParView: a Membership Protocol for Reliable Gossip-Based
-- Broadcast", DSN 2007: algorithms 1 to 3 (join, active view, shuffle), repair out of the passive
-- view. The same authors, "Epidemic Broadcast Trees", SRDS 2007 (Plumtree): eager and lazy push,
-- graft and prune, tree optimization. A call that is not answered stands for a broken TCP
-- connection; neighbours ask each other in every round whether they still are. Left out: leaving
-- on purpose, several announcements in one message.
--
-- Run:    splay run apps/hyparview.lua -n 50        (a head list: all nodes join through the first)
--    or:  splay lua apps/hyparview.lua POSITION TOTAL, once per node
-- Parameters: active=5, passive=30 (nodes of the views), arwl=6, prwl=3 (steps of a random walk
--    until a node is taken into the active and passive view), ka=3, kp=4 (entries of a shuffle out
--    of either view), period=1 (seconds between two shuffles), timeout=0.5 (seconds from an
--    announcement to a graft), threshold=3 (hops a shorter way must save), messages=10, crash=0
--    (probability), stay.
-- Prints: `broadcast correct: 50 nodes, 10 messages, redundancy 0.00, ...` or `broadcast wrong:
--    reason`, once, on the first node; then all end.
-- Proves: active views hold living nodes only, at most so many, and are symmetric; messages from
--    random nodes, sent after the crashes, reach every living node. It tells also how many copies
--    came in for each that was needed (redundancy), and what share of those sent by the first
--    node during the crashes has arrived.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local nodes, parallel = require "splay.nodes", require "splay.parallel"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters {
  active = 5, passive = 30, arwl = 6, prwl = 3, ka = 3, kp = 4, period = 1, timeout = 0.5,
  threshold = 3, messages = 10, crash = 0, stay = false,
}
local total = job.total or #job.nodes
rpc.settings.default_timeout = 2

-- Protocol: HyParView -------------------------------------------------------------------------

local me = { ip = job.me.ip, port = job.me.port }
local active, passive = {}, {}
local name, same, pick = nodes.name, nodes.same, misc.random_pick_one
local neighbour_up, neighbour_down, failed -- below

-- A message: its receiver learns who sends it; if it cannot be delivered, that node has failed.
local function send(node, message, ...)
  local call = { message, me, ... }
  events.thread(function()
    if not rpc.acall(node, call) then failed(node) end
  end)
end

local function add_passive(node, replaced)
  if same(node, me) or nodes.find(active, node) or nodes.find(passive, node) then return end
  if #passive >= p.passive then
    local old
    repeat old = table.remove(replaced or {}) until not old or nodes.remove(passive, old)
    if not old then table.remove(passive, math.random(#passive)) end
  end
  passive[#passive + 1] = node
end

local function leave(node)
  if not nodes.remove(active, node) then return end
  neighbour_down(node)
  add_passive(node)
end

local function add_active(node)
  if same(node, me) or nodes.find(active, node) then return end
  nodes.remove(passive, node)
  while #active >= p.active do
    local dropped = pick(active)
    send(dropped, "disconnect")
    leave(dropped)
  end
  active[#active + 1] = node
  neighbour_up(node)
end

function disconnect(from) leave(from) end

function connect(from) add_active(from) end

function join(new)
  add_active(new)
  for _, node in ipairs(nodes.without(active, new)) do send(node, "forward_join", new, p.arwl) end
end

function forward_join(from, new, steps)
  local next_hop = pick(nodes.without(active, from, new))
  if steps == 0 or not next_hop then
    if same(new, me) or nodes.find(active, new) then return end
    add_active(new)
    return send(new, "connect")
  end
  if steps == p.prwl then add_passive(new) end
  send(next_hop, "forward_join", new, steps - 1)
end

-- Somebody asks to be a neighbour; who has no other is not refused.
function neighbour(from, urgent)
  if not urgent and #active >= p.active and not nodes.find(active, from) then return false end
  add_active(from)
  return true
end

local repairing = false

-- Fills the active view out of the passive one.
local function repair()
  if repairing then return end
  repairing = true
  for _, node in ipairs(misc.shuffle(passive)) do
    if #active >= p.active then break end
    local ok, results = rpc.acall(node, { "neighbour", me, #active == 0 })
    if not ok then nodes.remove(passive, node) elseif results[1] then add_active(node) end
  end
  repairing = false
end

failed = function(node)
  nodes.remove(passive, node)
  if nodes.remove(active, node) then
    neighbour_down(node)
    repair()
  end
end

function is_neighbour(from) return nodes.find(active, from) ~= nil end

-- The neighbour relation is symmetric, or ends.
local function verify()
  parallel.each(misc.merge(active), function(node)
    local ok, results = rpc.acall(node, { "is_neighbour", me })
    if not ok then failed(node) elseif not results[1] then leave(node) end
  end)
end

local function integrate(received, sent)
  for _, node in ipairs(received) do add_passive(node, sent) end
end

local function shuffle()
  local target = pick(active)
  if not target then return end
  local some = misc.merge(misc.random_pick(active, p.ka), misc.random_pick(passive, p.kp), { me })
  send(target, "shuffle_walk", me, some, p.arwl)
end

function shuffle_walk(from, origin, received, steps)
  local next_hop = pick(nodes.without(active, from, origin))
  if steps > 1 and next_hop then
    return send(next_hop, "shuffle_walk", origin, received, steps - 1)
  end
  if same(origin, me) then return end
  local sent = misc.random_pick(passive, #received)
  send(origin, "shuffle_reply", sent, received)
  integrate(received, sent)
end

function shuffle_reply(_, received, sent) integrate(received, sent) end

local function join_through(contact)
  repeat local ok = rpc.acall(contact, { "join", me }) until ok
  add_active(contact)
end

-- Protocol: Plumtree --------------------------------------------------------------------------

local lazy = {} -- names of the neighbours that get announcements only; the others are eager
local got = {} -- by message: { payload, hops }
local announced = {} -- by message that is missing: array of { node, hops }
local copies = 0 -- payloads that came in

neighbour_up = function(node) lazy[name(node)] = nil end
neighbour_down = neighbour_up

local function push(id, from)
  for _, node in ipairs(nodes.without(active, from)) do
    if lazy[name(node)] then send(node, "i_have", id, got[id].hops)
    else send(node, "gossip", id, got[id].payload, got[id].hops) end
  end
end

local function deliver(id, payload, hops, from)
  got[id] = { payload = payload, hops = hops + 1 }
  push(id, from)
end

function gossip(from, id, payload, hops)
  copies = copies + 1
  if got[id] then -- two ways lead here: one is enough
    if nodes.find(active, from) then lazy[name(from)] = true end
    return send(from, "prune")
  end
  lazy[name(from)] = nil
  for _, other in ipairs(announced[id] or {}) do
    if hops - other.hops >= p.threshold then -- a shorter way becomes part of the tree
      lazy[name(other.node)], lazy[name(from)] = nil, true
      send(other.node, "graft")
      send(from, "prune")
      break
    end
  end
  announced[id] = nil
  deliver(id, payload, hops, from)
end

function prune(from)
  if nodes.find(active, from) then lazy[name(from)] = true end
end

function graft(from, id)
  lazy[name(from)] = nil
  if id and got[id] then send(from, "gossip", id, got[id].payload, got[id].hops) end
end

function i_have(from, id, hops)
  if got[id] then return end
  local list = announced[id] or {}
  list[#list + 1] = { node = from, hops = hops }
  if announced[id] then return end
  announced[id] = list
  events.thread(function()
    local wait = p.timeout
    while events.sleep(wait) and not got[id] and #list > 0 do
      local first = table.remove(list, 1)
      lazy[name(first.node)], wait = nil, p.timeout / 2
      send(first.node, "graft", id)
    end
    announced[id] = nil -- one that comes later starts anew
  end)
end

local count = 0

function broadcast(payload)
  count = count + 1
  local id = name(me) .. "/" .. count
  deliver(id, payload, -1, me)
  return id
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot graph` draws.
view = { links = function() return active end }

-- Check ---------------------------------------------------------------------------------------

local join_time = math.log(job.position) / 2 -- the overlay doubles in each third of a second
local settling = math.log(total) / 2 + 3 * p.period
local crash_time = p.crash > 0 and 10 * p.period or 0

function report() return { active = active, copies = copies } end

function lacks(ids)
  local n = 0
  for _, id in ipairs(ids) do n = n + (got[id] and 0 or 1) end
  return n
end

-- Sends messages from random nodes, one after another, in a time: their identifiers.
local function send_some(senders, time)
  local ids = {}
  for i = 1, p.messages do
    events.sleep(time / p.messages)
    ids[#ids + 1] = rpc.call(pick(senders), { "broadcast", "message " .. i })
  end
  events.sleep(6 * p.timeout)
  return ids
end

local function sum(list)
  local s = 0
  for _, x in pairs(list) do s = s + x end
  return s
end

local function views_are_right(alive, reports)
  local has, links = {}, 0
  for i, node in ipairs(alive) do
    has[name(node)] = {}
    for _, other in ipairs(reports[i].active) do has[name(node)][name(other)] = true end
  end
  for own, others in pairs(has) do
    if misc.size(others) > p.active then return nil, own .. " has too many neighbours" end
    for other in pairs(others) do
      if not has[other] then return nil, own .. " has a dead neighbour" end
      if not has[other][own] then return nil, own .. " is not its neighbour's neighbour" end
      links = links + 1
    end
  end
  return links / #alive
end

local meanwhile = "" -- what became of messages sent during the crashes

local function reports_of(alive)
  local reports, answered = parallel.ask(rpc, alive, { "report" })
  return answered == #alive and reports
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local before = reports_of(alive)
  local ids = send_some(alive, 2 * p.period)
  local reports, lacking = reports_of(alive), parallel.ask(rpc, alive, { "lacks", ids })
  if not before or not reports then return nil, "nodes do not report" end
  local degree
  degree, reason = views_are_right(alive, reports)
  if not degree then return nil, reason end
  local copies_sent = -#ids * (#alive - 1)
  for i in ipairs(alive) do
    if lacking[i] ~= 0 then return nil, name(alive[i]) .. " lacks messages" end
    copies_sent = copies_sent + reports[i].copies - before[i].copies
  end
  return #ids == p.messages, ("%d nodes, %d messages, redundancy %.2f, %.1f neighbours%s"):format(
    #alive, #ids, copies_sent / #ids / (#alive - 1), degree, meanwhile)
end

events.run(function()
  assert(rpc.server(me.port))
  events.sleep(join_time)
  if job.position > 1 then join_through(job.nodes[1]) end
  events.sleep(p.period * math.random())
  events.periodic(p.period, function() verify() repair() shuffle() end, true)
  events.sleep(settling - join_time)
  cli.crash(p.crash, crash_time)
  if job.position == 1 and p.crash > 0 then
    local ids = send_some({ me }, crash_time)
    local alive = proof.alive(rpc, p.crash)
    local lost = sum(parallel.ask(rpc, alive, { "lacks", ids })) / #ids / #alive
    meanwhile = (", %.1f %% reached during the crashes"):format(100 * (1 - lost))
  else
    events.sleep(crash_time)
  end
  proof.judge { what = "broadcast", rpc = rpc, property = property, limit = 60, stay = p.stay }
end)
