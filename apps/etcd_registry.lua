-- A service with one leader and a registry of who is there, by keys in etcd, under crashes.
--
-- The first node runs a store with etcd's v2 API. The others register with it under a time to
-- live, which they renew as long as they are there: so the registry is a failure detector. They are
-- candidates of an election too: each waits for the one before it in line, and its place in line is
-- a key with a time to live. The leader numbers what it does by its term (L. Lamport's "fencing"),
-- and a resource, here on the first node, refuses terms older than one it has seen.
--
-- Run:    splay run apps/etcd_registry.lua -n 20      (a head list of all nodes)
--    or:  splay sim apps/etcd_registry.lua -n 20 -- crash=0.5
--    etcd=http://127.0.0.1:2379 uses a server that is there: `splay etcd`, or etcd itself.
-- Parameters: ttl=2   seconds after which a silent node is gone    work=0.5  between works
--    term=3   seconds after which a leader steps down              seconds=20  of the whole
--    crash=0  share of the nodes that end for good at a random time    etcd=  stay
-- Prints: `service correct: 20 nodes, 7 terms, ...` or `service wrong: reason`; then all end.
-- Proves: a leader's work is never refused or done by two of one term; after every end of a leader,
--    by crash too, there is another within three times to live; in the end the registry is made of
--    exactly the nodes that are alive, and every crash was told to the watcher.
require "splay.base"
local rpc = require "splay.rpc"
local cli, proof = require "splay.cli", require "splay.proof"
local etcd, patterns = require "splay.etcd", require "splay.etcd.patterns"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { ttl = 2, work = 0.5, term = 3, seconds = 20, crash = 0, etcd = "",
  stay = false }
local me = job.position
-- The store is beside the node's own port, which remote calls use.
local place = { ip = job.nodes[1].ip, port = job.nodes[1].port + 5000 }
local client = assert(etcd.new {
  host = p.etcd ~= "" and p.etcd or ("http://%s:%d"):format(place.ip, place.port),
  prefix = "/splay/" .. job.nodes[1].port, failover = false, timeout = 10,
})

-- Protocol ------------------------------------------------------------------------------------

local election = patterns.election(client, "/leader", { value = me, ttl = p.ttl })
local registry = patterns.registry(client, "/nodes", { ttl = p.ttl })

-- What the leader works on: on the first node, called by the others.
local seen = { term = 0, works = 0, terms = 0, refused = 0, gap = 0 }
function work(term, position)
  if term < seen.term or term == seen.term and position ~= seen.position then
    seen.refused = seen.refused + 1
    return false
  end
  local now = misc.time()
  if seen.last then seen.gap = math.max(seen.gap, now - seen.last) end
  if term ~= seen.term then seen.terms = seen.terms + 1 end
  seen.term, seen.position, seen.last, seen.works = term, position, now, seen.works + 1
  return true
end

local function be_candidate()
  while true do
    local term = election:campaign()
    local over = misc.time() + p.term
    while term and election:leads() and misc.time() < over do
      rpc.a_call(job.nodes[1], { "work", term, me }, 5)
      events.sleep(p.work)
    end
    election:resign()
    events.sleep(p.work)
  end
end

local function be_there()
  -- The store may not be there yet.
  while not registry:join(tostring(me), job.me) do events.sleep(0.2) end
  events.thread(be_candidate)
end

-- Check ---------------------------------------------------------------------------------------

local came, gone = {}, {}

local function watch()
  registry:watch(
    function(name) came[name], gone[name] = true, nil end,
    function(name) gone[name] = true end
  )
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local members, why = registry:members()
  if not members then return nil, "the registry cannot be read: " .. why end
  local there = {}
  for i = 1, #alive do
    for position, node in ipairs(job.nodes) do
      if position > 1 and node.ip == alive[i].ip and node.port == alive[i].port then
        there[tostring(position)] = true
      end
    end
  end
  for name in pairs(there) do
    if not members[name] then return nil, "node " .. name .. " is not in the registry" end
    if not came[name] or gone[name] then return nil, "nobody was told of node " .. name end
  end
  for name in pairs(members) do
    if not there[name] then return nil, "the registry has the dead node " .. name end
  end
  for name in pairs(came) do
    if not there[name] and not gone[name] then
      return nil, "nobody was told that node " .. name .. " is gone"
    end
  end
  if seen.terms < 2 then return nil, "there was no second leader" end
  local most = 3 * p.ttl + p.work
  if seen.gap > most then
    return nil, ("there was no leader for %.1f s, more than %.1f"):format(seen.gap, most)
  end
  return true, ("%d nodes, %d terms, %d works, %d late ones refused, gone: %d"):format(
    #alive, seen.terms, seen.works, seen.refused, misc.size(gone))
end

events.run(function()
  assert(rpc.server(job.me.port))
  if me == 1 then
    if p.etcd == "" then assert(etcd.serve(place)) end
    watch()
    events.sleep(p.seconds)
    proof.judge { what = "service", rpc = rpc, property = property, limit = p.seconds + 30,
      stay = p.stay }
    return
  end
  cli.crash(p.crash, p.seconds * 0.6, 3)
  be_there()
  proof.judge { what = "service", rpc = rpc, property = property, limit = p.seconds * 2 + 60,
    stay = p.stay }
end)
