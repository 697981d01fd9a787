-- Cyclon, an overlay in which every node knows a few random others, renewed all the time.
--
-- S. Voulgaris, D. Gavidia, M. van Steen, "CYCLON: Inexpensive Membership Management for
-- Unstructured P2P Overlays", Journal of Network and Systems Management 13(2), 2005: the
-- enhanced shuffle of section 2.2. Left out: joining by random walks (nodes start with a few
-- random entries of their list).
--
-- Run:    splay run apps/cyclon.lua -n 50       (a head list of all nodes, or a random one)
--    or:  splay lua apps/cyclon.lua POSITION TOTAL, once per node
-- Prints: `overlay correct: 50 nodes, views of 8, in-degree 5 to 12` or `overlay wrong: reason`,
--    once, on the first node; then all end. A last argument `stay` keeps the overlay running.
-- Proves: walking from the first node along views reaches every node of the job (so each is in
--    somebody's view); views are full, contain no node twice and never their owner; no node is
--    in more than four times as many views as it has entries.
require "splay.base"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local c = math.min(8, total - 1) -- entries of a view
local l = math.min(4, c) -- entries exchanged
local period = math.max(0.25, total / 2500) -- seconds between two shuffles
rpc.settings.default_timeout = 6

-- Protocol ------------------------------------------------------------------------------------

local me = { ip = job.me.ip, port = job.me.port, age = 0 }
view = {}

local function same(a, b) return a.ip == b.ip and a.port == b.port end

local function position_of(node)
  for i, entry in ipairs(view) do
    if same(entry, node) then return i end
  end
end

-- Takes in what was received: into empty places first, then over what was sent away.
local function merge(received, sent)
  for _, node in ipairs(received) do
    if not same(node, me) and not position_of(node) then
      local place = #view + 1
      while place > c and #sent > 0 do place = position_of(table.remove(sent)) or place end
      if place <= c then view[place] = node end
    end
  end
end

local function shuffle()
  for _, entry in ipairs(view) do entry.age = entry.age + 1 end
  if #view == 0 then return end
  table.sort(view, function(a, b) return a.age < b.age end)
  local q = table.remove(view) -- if it has failed, this is how it is forgotten
  local sent = misc.random_pick(view, l - 1)
  local received = rpc.call(q, { "exchange", misc.merge({ me }, sent) })
  if received then merge(received, sent) end
end

function exchange(received)
  local sent = misc.random_pick(view, l)
  local answer = misc.merge(sent)
  merge(received, sent)
  return answer
end

local function start()
  for _, node in ipairs(misc.shuffle(job.nodes)) do
    if #view < c and not same(node, me) then
      view[#view + 1] = { ip = node.ip, port = node.port, age = 0 }
    end
  end
  events.periodic(period, shuffle)
end

-- Check ---------------------------------------------------------------------------------------

local deadline = misc.time() + 30 + 40 * period
local stay = arg and arg[#arg] == "stay"

local function name(node) return node.ip .. ":" .. node.port end

-- All nodes reached along views, and a description; or nil and what is wrong.
local function crawl()
  local reached, seen, degree, degrees = { me }, { [name(me)] = true }, {}, {}
  for _, node in ipairs(reached) do -- grows meanwhile
    local entries, own = rpc.call(node, "view") or {}, {}
    for _, entry in ipairs(entries) do
      local key = name(entry)
      own[key], degree[key] = true, (degree[key] or 0) + 1
      if not seen[key] then seen[key], reached[#reached + 1] = true, entry end
    end
    if #entries < c - 1 or misc.size(own) < #entries or own[name(node)] then
      return nil, name(node) .. " has a wrong view"
    end
  end
  for i, node in ipairs(reached) do degrees[i] = degree[name(node)] or 0 end
  table.sort(degrees)
  local least, most = degrees[1], degrees[#degrees]
  if #reached ~= total then return nil, ("%d of %d nodes reached"):format(#reached, total) end
  if most > 4 * c then return nil, "a node is in " .. most .. " views" end
  return reached, ("%d nodes, views of %d, in-degree %d to %d"):format(total, c, least, most)
end

local function check()
  events.sleep(20 * period) -- twenty rounds wipe out the way it started
  local nodes, text
  repeat
    events.sleep(period)
    nodes, text = crawl()
  until nodes or misc.time() > deadline
  print("overlay " .. (nodes and "correct: " or "wrong: ") .. text)
  if stay then return end
  for _, node in ipairs(nodes or {}) do
    if not same(node, me) then rpc.acall(node, { "events.exit" }, 1) end
  end
  os.exit(nodes and 0 or 1)
end

events.run(function()
  assert(rpc.server(me.port))
  start()
  if job.position == 1 then return check() end
  events.sleep(deadline + 10 - misc.time())
  if not stay then os.exit(1) end -- nobody has told this node to leave
end)
