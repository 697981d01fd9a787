-- Scribe, groups whose messages reach all members along a tree of Pastry routes.
--
-- M. Castro, P. Druschel, A.-M. Kermarrec, A. Rowstron, "SCRIBE: A large-scale and decentralized
-- application-level multicast infrastructure", IEEE Journal on Selected Areas in Communications
-- 20(8), 2002: creating, joining, leaving, multicasting (sections III-A to III-C), repair of the
-- tree (III-D). A member renews its place by routing the join again: what the paper does with
-- heartbeats from the parents. Left out: access control, replicas of the root's state, the
-- bottleneck remover.
--
-- Run:    splay run apps/scribe.lua -n 50 [-- groups=4 crash=0.1 ...]
--    or:  splay lua apps/scribe.lua POSITION TOTAL, once per node
-- Parameters: groups=4; renewal=1, seconds between two renewals of a place in a tree; crash=0,
--    share of nodes that crash within 15 seconds; stay, keeps all running after the verdict.
-- Prints: `groups correct: 50 nodes, 4 groups, 103 members, at most 6 children` or `groups wrong:
--    reason`, once, on the first node.
-- Proves: each node is in half of the groups, and some seconds later leaves one and joins another;
--    then a message sent to each group by a random node, member or not, reaches all its living
--    members exactly once and nobody else. That holds again after crashes.
--
-- As a module, for an application in the same folder:
--    local scribe = require "scribe"
--    scribe.start { period = 0.25 }            -- in a thread; settings of Pastry and `renewal`
--    local group = scribe.group "news"         -- the identifier of a group
--    scribe.create(group)
--    scribe.join(group, function(message, group) ... end)
--    scribe.multicast(group, message)
--    scribe.leave(group)
--    scribe.children(group)                    -- how many nodes this one passes messages to
--    scribe.parent(group)                      -- who passes them to this one
require "splay.base"
local dht = require "splay.dht"
local rpc = require "splay.urpc"
local pastry = require "pastry"

-- Protocol ------------------------------------------------------------------------------------

local M = {}
scribe = M -- the other nodes call functions by name

local me = pastry.me
local groups = {} -- identifier: children, parent, handler of a member, created (at its root)
local seen, seen_before = {}, {} -- stamps of messages of the last minutes
local settings = { renewal = 1, timeout = 3 }

function M.group(name) return dht.hex_id(name, 128) end

-- Routes a join, which ends at the next node of the tree: that is the parent.
local function renew(id) pastry.route(id, { scribe = "join", from = me }) end

local function tell_parent(id, group)
  local parent = group.parent
  group.parent = nil
  if parent then rpc.acall(parent, { "scribe.remove", id, me.id }, settings.timeout) end
end

local function enter(id)
  if not groups[id] then
    groups[id] = { children = {} }
    events.thread(function() renew(id) end)
  end
  return groups[id]
end

local function adopt(id, child)
  local expires = misc.time() + 3 * settings.renewal + settings.timeout
  enter(id).children[child.id] = { node = child, expires = expires }
end

-- A node that nobody needs in the tree leaves it.
local function prune(id)
  local group = groups[id]
  if group and not group.handler and not group.created and not next(group.children) then
    groups[id] = nil
    tell_parent(id, group)
  end
end

function M.remove(id, child)
  if groups[id] then groups[id].children[child] = nil end
  events.thread(function() prune(id) end)
end

function pastry.forward(id, message, hop)
  if message.scribe ~= "join" then return end
  if message.from.id ~= me.id then
    adopt(id, message.from)
    return false
  end
  local group = groups[id]
  if not group or group.parent and group.parent.id == hop.id then return end
  tell_parent(id, group)
  group.parent = hop
end

-- This node is the root of a group.
function pastry.deliver(id, message)
  if message.scribe == "create" then
    enter(id).created = true
  elseif message.scribe == "multicast" then
    M.spread(id, message.stamp, message.data)
  elseif message.from.id ~= me.id then
    adopt(id, message.from)
  elseif groups[id] then
    tell_parent(id, groups[id])
  end
end

function M.spread(id, stamp, data)
  local group = groups[id]
  if not group or seen[stamp] or seen_before[stamp] then return end
  seen[stamp] = true
  for key, child in pairs(group.children) do
    events.thread(function()
      local call = { "scribe.spread", id, stamp, data }
      if not rpc.acall(child.node, call, settings.timeout) then group.children[key] = nil end
    end)
  end
  if group.handler then events.thread(function() group.handler(data, id) end) end
end

function M.create(id) pastry.route(id, { scribe = "create" }) end

function M.join(id, handler) enter(id).handler = handler end

function M.leave(id)
  if groups[id] then groups[id].handler = nil end
  prune(id)
end

function M.multicast(id, data)
  pastry.route(id, { scribe = "multicast", stamp = rpc.get_key(), data = data })
end

function M.children(id) return groups[id] and misc.size(groups[id].children) or 0 end

-- Finds the way to the root again, which may be a new one, and forgets children that are silent.
local function maintain()
  for id, group in pairs(misc.merge(groups)) do
    for key, child in pairs(misc.merge(group.children)) do
      if child.expires < misc.time() then group.children[key] = nil end
    end
    prune(id)
    if groups[id] then events.thread(function() renew(id) end) end
  end
end

function M.start(changes)
  settings = misc.merge(changes or {}, settings)
  pastry.start(changes)
  events.periodic(settings.renewal, maintain)
  events.periodic(60, function() seen, seen_before = {}, seen end)
end

-- Picture -------------------------------------------------------------------------------------

-- The parent of this node in a group: nil at the root, false outside the tree.
function M.parent(id) return groups[id] ~= nil and groups[id].parent end

-- What `--plot tree` draws: the tree of the first group.
view.parent = function() return M.parent(M.group("group 1")) end

if package.loaded.scribe then return M end -- required, not run

-- Check ---------------------------------------------------------------------------------------

local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"

local p = cli.parameters { groups = 4, renewal = 1, crash = 0, stay = false }
local crash_time = p.crash > 0 and 15 or 0 -- seconds within which instances crash
local started, change_time = misc.time(), 6 -- seconds until memberships change
local ids, received, member = {}, {}, {}
for i = 1, p.groups do ids[i], received[i] = scribe.group("group " .. i), {} end

local function set_member(i, value)
  if member[i] == value then return end
  member[i] = value
  if not value then return scribe.leave(ids[i]) end
  scribe.join(ids[i], function(message)
    received[i][message] = (received[i][message] or 0) + 1
  end)
end

function M.send(i, message) scribe.multicast(ids[i], message) end

-- For each group: whether this node is a member, how often a message came, how many children.
function M.state(message)
  local state = {}
  for i = 1, p.groups do
    state[i] = {
      member = member[i] or false, count = received[i][message] or 0,
      children = scribe.children(ids[i]),
    }
  end
  return state
end

local attempt = 0

local function property()
  if misc.time() < started + math.max(crash_time, change_time) + 3 then
    return nil, "nodes are still changing"
  end
  local nodes, reason = proof.alive(rpc, p.crash)
  if not nodes then return nil, reason end
  attempt = attempt + 1
  for i = 1, p.groups do
    if not rpc.acall(misc.random_pick_one(nodes), { "scribe.send", i, attempt }, 30) then
      return nil, "cannot send"
    end
  end
  events.sleep(2)
  local states, count = parallel.ask(rpc, nodes, { "scribe.state", attempt })
  if count < #nodes then return nil, "a node does not tell its state" end
  local members, most = 0, 0
  for n, state in ipairs(states) do
    for i, group in ipairs(state) do
      if group.count ~= (group.member and 1 or 0) then
        return nil, ("message %d of group %d came %d times to %s %d"):format(
          attempt, i, group.count, group.member and "member" or "outsider", nodes[n].port)
      end
      members, most = members + (group.member and 1 or 0), math.max(most, group.children)
    end
  end
  return true, ("%d nodes, %d groups, %d members, at most %d children"):format(
    #nodes, p.groups, members, most), nodes
end

events.run(function()
  cli.crash(p.crash, crash_time)
  events.thread(function()
    proof.judge {
      what = "groups", rpc = rpc, property = property, limit = 90 + crash_time, stay = p.stay,
    }
  end)
  scribe.start { renewal = p.renewal }
  if job.position == 1 then
    for i = 1, p.groups do scribe.create(ids[i]) end
  end
  for i = 1, p.groups do set_member(i, math.random() < 0.5) end
  events.sleep(started + change_time - misc.time())
  local i = math.random(p.groups)
  set_member(i, not member[i])
  i = i % p.groups + 1
  set_member(i, not member[i])
end)
