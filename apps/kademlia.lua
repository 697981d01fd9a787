-- Kademlia, a hash table spread over nodes that know many others close by and few far away, where
-- near and far are the exclusive or of identifiers.
--
-- P. Maymounkov, D. Mazieres, "Kademlia: A Peer-to-peer Information System Based on the XOR
-- Metric", IPTPS 2002: k-buckets with eviction by ping (2.2), parallel lookups, store and
-- find-value with a copy on the closest node that lacked it, bucket refresh, republishing and
-- expiry (2.3, 2.5). Left out: splitting of the bucket tree beyond one bucket for each distance
-- (2.4), accelerated lookups (4.2), storing at newcomers at once (republishing reaches them).
--
-- Run:    splay run apps/kademlia.lua -n 50     (a head list: all nodes join through the first)
--    or:  splay lua apps/kademlia.lua POSITION TOTAL, once per node
-- Parameters: k=8 (contacts of a bucket, copies of a value), alpha=3 (calls of a lookup at a
--    time), refresh=10 (seconds), expire=600 (seconds), crash=0 (probability), stay.
-- Prints: `table correct: 50 nodes, 50 values, ...` or `table wrong: reason`, once, on the first
--    node; then all end.
-- Proves: lookups of random identifiers from random nodes find the k closest nodes alive; every
--    value that a living node has stored, and every one that a crashed node had, is found from
--    random nodes; an identifier nobody has stored is not found.
require "splay.base"
local cli, dht = require "splay.cli", require "splay.dht"
local parallel, proof = require "splay.parallel", require "splay.proof"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters {
  k = 8, alpha = 3, refresh = 10, expire = 600, crash = 0, stay = false,
}
local total = job.total or #job.nodes
rpc.settings.default_timeout = 2

-- Protocol ------------------------------------------------------------------------------------

local n = { ip = job.me.ip, port = job.me.port, id = dht.hex_id(job.me) }
local buckets, pinging, looked_up = {}, {}, {} -- by the number of bits in common with n.id
local values = {} -- by key: { value, expires, republish, published here }

local function index_of(id) return dht.common_bits(n.id, id) end

local function position_in(bucket, id)
  for i, contact in ipairs(bucket) do
    if contact.id == id then return i end
  end
end

-- A node has been heard of by its own words. Buckets are sorted by last word, oldest first.
local function update(contact)
  if contact.id == n.id then return end
  local index = index_of(contact.id)
  local bucket = buckets[index] or {}
  buckets[index] = bucket
  local at = position_in(bucket, contact.id)
  if at then
    table.insert(bucket, (table.remove(bucket, at)))
  elseif #bucket < p.k then
    bucket[#bucket + 1] = contact
  elseif not pinging[index] then -- full: the newcomer takes the place of a dead node only
    pinging[index] = true
    events.thread(function()
      local oldest = bucket[1]
      local alive = rpc.ping(oldest)
      at = position_in(bucket, oldest.id)
      if at then
        table.remove(bucket, at)
        bucket[#bucket + 1] = alive and oldest or contact
      end
      pinging[index] = nil
    end)
  end
end

local function forget(contact)
  local bucket = buckets[index_of(contact.id)]
  local at = bucket and position_in(bucket, contact.id)
  if at then table.remove(bucket, at) end
end

local function closest_known(id)
  local known = {}
  for _, bucket in pairs(buckets) do
    for _, contact in ipairs(bucket) do known[#known + 1] = contact end
  end
  return dht.closest(known, id, p.k)
end

-- What one node asks another; the first argument is who asks.

function find_node(from, id)
  update(from)
  return { nodes = closest_known(id) }
end

function find_value(from, key)
  update(from)
  local entry = values[key]
  if entry and entry.expires > misc.time() then return { value = entry.value } end
  return { nodes = closest_known(key) }
end

function store(from, key, value, lifetime)
  update(from)
  local entry = values[key] or { mine = false }
  entry.value, entry.expires = value, misc.time() + lifetime
  entry.republish = misc.time() + p.refresh * (1 + math.random()) -- one of k will be first
  values[key] = entry
end

local function call(contact, name, ...)
  local ok, results = rpc.acall(contact, { name, n, ... })
  if ok then update(contact) else forget(contact) end
  return ok and (results[1] or true)
end

-- Asks closer and closer nodes, alpha at a time, until the k closest that answer have been asked:
-- these nodes; or, looking for a value, nil and the value.
local function lookup(id, name)
  local state, heard = { [n.id] = "self" }, {} -- "known", "asked", "answered" ...; all nodes
  local asking, value, place = 0, nil, nil
  local changed = {} -- the event that there may be somebody to ask
  looked_up[index_of(id)] = misc.time()

  local function learn(contacts)
    for _, contact in ipairs(contacts) do
      if not state[contact.id] then
        state[contact.id], heard[#heard + 1] = "known", contact
      end
    end
    heard = dht.closest(heard, id)
  end

  local function next_to_ask()
    for i = 1, math.min(p.k, #heard) do
      if state[heard[i].id] == "known" then return heard[i] end
    end
  end

  local function ask(contact)
    state[contact.id], asking = "asked", asking + 1
    local answer = call(contact, name, id)
    asking = asking - 1
    if answer then
      state[contact.id] = answer.value and "has it" or "answered"
      if answer.value then value = answer.value else learn(answer.nodes) end
    else
      for i, other in ipairs(heard) do
        if other == contact then table.remove(heard, i) break end
      end
    end
    events.fire(changed)
  end

  learn(closest_known(id))
  parallel.times(p.alpha, function()
    repeat
      local contact = next_to_ask()
      if contact then ask(contact) elseif asking > 0 then events.wait(changed) end
    until value or (not contact and asking == 0)
  end)
  for _, contact in ipairs(heard) do -- the closest one that did not have it gets a copy
    place = place or state[contact.id] == "answered" and contact
  end
  if value and place then call(place, "store", id, value, p.expire) end
  if value then return nil, value end
  return dht.closest(misc.merge(heard, { n }), id, p.k)
end

local function publish(key, value, lifetime)
  parallel.each(lookup(key, "find_node"), function(contact)
    if contact.id == n.id then store(n, key, value, lifetime)
    else call(contact, "store", key, value, lifetime) end
  end)
end

function put(key, value)
  publish(key, value, p.expire)
  local entry = values[key] or { value = value, expires = misc.time() + p.expire }
  entry.mine, entry.republish, values[key] = true, misc.time() + p.refresh, entry
end

function get(key)
  local entry = values[key]
  if entry then return entry.value end
  local _, value = lookup(key, "find_value")
  return value
end

-- An identifier that has exactly so many bits in common with n.id.
local function random_id_at(index)
  local id
  repeat
    local digits = math.floor(index / 4)
    id = n.id:sub(1, digits) .. dht.random_id(160 - 4 * digits)
  until dht.common_bits(n.id, id) == index
  return id
end

local function refresh()
  local now = misc.time()
  for _, index in ipairs(misc.table_keyset(buckets)) do
    if now - (looked_up[index] or 0) > p.refresh then lookup(random_id_at(index), "find_node") end
  end
  for _, key in ipairs(misc.table_keyset(values)) do
    local entry = values[key]
    local lifetime = entry.mine and p.expire or entry.expires - now
    if lifetime < 0 then
      values[key] = nil
    elseif entry.republish < now then
      entry.republish = now + p.refresh
      publish(key, entry.value, lifetime)
    end
  end
end

local function join(known)
  repeat until rpc.ping(known)
  update(known)
  lookup(n.id, "find_node")
  local nearest = 0
  for index, bucket in pairs(buckets) do
    if #bucket > 0 then nearest = math.max(nearest, index) end
  end
  for index = 0, nearest - 1 do lookup(random_id_at(index), "find_node") end
end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot graph` draws.
view = { links = function()
  local all = {}
  for _, bucket in pairs(buckets) do all[#all + 1] = { to = bucket, kind = "contact" } end
  return all
end }

-- Check ---------------------------------------------------------------------------------------

local join_time = math.log(job.position) / 2 -- the overlay doubles in each third of a second
local joined_all = math.log(total) / 2 + 4 -- and values are stored
local crash_time = p.crash > 0 and 1.5 * p.refresh or 0

local function key_of(position) return dht.hex_id("key " .. position) end

function locate(id) return lookup(id, "find_node") end

-- Whether a node finds the k living nodes closest to an identifier.
local function finds(node, id, alive)
  local found = rpc.call(node, { "locate", id }, 20) or {}
  for i, right in ipairs(dht.closest(alive, id, p.k)) do
    if not found[i] or found[i].id ~= right.id then return false end
  end
  return true
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  for i, node in ipairs(alive) do
    alive[i] = { ip = node.ip, port = node.port, id = dht.hex_id(node) }
  end
  local lookups = parallel.times(20, function()
    return finds(misc.random_pick_one(alive), dht.random_id(), alive) and "right"
  end)
  if misc.size(lookups) < 20 then return nil, misc.size(lookups) .. " of 20 lookups" end
  local got = parallel.times(total, function(i)
    return rpc.call(misc.random_pick_one(alive), { "get", key_of(i) }, 20) == "value " .. i
  end)
  for i = 1, total do
    if not got[i] then return nil, "value " .. i .. " is not found" end
  end
  if get(dht.random_id()) then return nil, "something is found that nobody has stored" end
  return true, ("%d nodes, %d values, 20 lookups"):format(#alive, total)
end

events.run(function()
  assert(rpc.server(n.port))
  events.sleep(join_time)
  local first = job.nodes[1]
  if job.position > 1 then join { ip = first.ip, port = first.port, id = dht.hex_id(first) } end
  events.thread(function()
    repeat refresh() until not events.sleep(p.refresh / 4)
  end)
  events.sleep(joined_all - 2 - join_time)
  put(key_of(job.position), "value " .. job.position)
  events.sleep(2)
  cli.crash(p.crash, crash_time)
  events.sleep(crash_time)
  proof.judge { what = "table", rpc = rpc, property = property, limit = 90, stay = p.stay }
end)
