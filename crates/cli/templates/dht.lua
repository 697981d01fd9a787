-- A distributed hash table in which every instance knows all others: a key belongs to the nodes
-- that follow its hash on a ring. (For many nodes, replace `owners` by a lookup: Chord, Pastry.)
--
-- Run:    splay run dht.lua -n 5
-- Test:   splay test dht_test.lua
-- Prints: `10 of 10 values found` on every instance.
require "splay.base"
local rpc = require "splay.rpc"
local crypto = require "crypto"

local M = {}

-- Settings: change them here, or from a test.
M.replicas = 2 -- nodes that keep each value
M.values = 10 -- values that each node stores and reads again
M.pause = 2 -- seconds for the others to start, and at the end to finish

-- The place of a text on the ring, as 40 hexadecimal digits: their order is that of the numbers.
function M.hash(text) return crypto.evp.digest("sha1", text) end

-- The nodes that keep a key, the first one first: those whose hash follows the key's.
function M.owners(key)
  local ring = {}
  for i = 1, #job.nodes do
    local node = job.nodes[i]
    ring[i] = { place = M.hash(node.ip .. ":" .. node.port), node = node }
  end
  table.sort(ring, function(a, b) return a.place < b.place end)
  local first, place = 1, M.hash(key)
  while first <= #ring and ring[first].place < place do first = first + 1 end
  local owners = {}
  for i = 0, math.min(M.replicas, #ring) - 1 do
    owners[i + 1] = ring[(first - 1 + i) % #ring + 1].node
  end
  return owners
end

-- Called by other nodes.
local stored = {}

function store(key, value)
  stored[key] = value
  return true
end

function fetch(key) return stored[key] end

-- Stores a value on all its owners: how many have it now.
function M.put(key, value)
  local kept = 0
  for _, node in ipairs(M.owners(key)) do
    local ok = rpc.call(node, { "store", key, value })
    if ok then kept = kept + 1 end
  end
  return kept
end

-- The value of a key, from the first owner that has it; or nil.
function M.get(key)
  for _, node in ipairs(M.owners(key)) do
    local value = rpc.call(node, { "fetch", key })
    if value ~= nil then return value end
  end
end

-- What `splay run --plot ring` draws.
view = {
  links = function() return job.nodes end,
  label = function() return misc.size(stored) .. " values" end,
}

function M.main()
  assert(rpc.server(job.me))
  events.sleep(M.pause)
  local found = 0
  for i = 1, M.values do M.put(job.position .. "/" .. i, i) end
  for i = 1, M.values do
    if M.get(job.position .. "/" .. i) == i then found = found + 1 end
  end
  print(("%d of %d values found"):format(found, M.values))
  events.sleep(M.pause)
  os.exit(found == M.values and 0 or 1)
end

-- Required by its test, the file has no job and only offers its functions.
if job then events.run(M.main) end

return M
