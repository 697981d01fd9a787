-- SplitStream, a file that reaches all nodes in stripes along parallel trees, so that the work of
-- passing it on is shared: a node inside one tree is a leaf of the others.
--
-- M. Castro, P. Druschel, A.-M. Kermarrec, A. Nandi, A. Rowstron, A. Singh, "SplitStream:
-- High-Bandwidth Multicast in Cooperative Environments", SOSP 2003: stripes as Scribe groups whose
-- identifiers differ in their first digit (section 3.1). Blocks that a tree loses while it is
-- repaired are asked from neighbours on the ring. Left out: bounds on the number of children
-- (push-down, the spare capacity group: 3.2 to 3.4), erasure coding.
--
-- Run:    splay run apps/splitstream.lua -n 50 [-- file=photo.jpg to=copy. ...]
--    or:  splay lua apps/splitstream.lua POSITION TOTAL, once per node
-- Parameters: file, what the first node sends (default: random bytes); size=512, of these, in
--    kilobytes; to, beginning of the names of the copies, followed by the position (default:
--    temporary files); rate=1024, kilobytes a second at the source; limit=90, seconds after which
--    the file is late; crash=0, share of nodes that crash within 15 seconds; stay, keeps all
--    running after the verdict.
-- Prints: `file correct: 50 nodes, 524288 bytes, digest 1f0c..., 12 blocks repaired, nodes are
--    inside 0.9 of 16 trees, at most 4` or `file wrong: reason`, once, on the first node.
-- Proves: each living node has written a file which, read back, has the digest of the original;
--    nodes are inside a few trees only, 2 on average at most.
require "splay.base"
local crypto = require "crypto"
local rpc = require "splay.urpc"
local pastry = require "pastry"
local scribe = require "scribe"

-- Protocol ------------------------------------------------------------------------------------

local M = {}
splitstream = M -- the other nodes call functions by name

local stripes = 16 -- one for each value of the first digit
local block_size = 4096 -- bytes: a remote call over UDP carries 8 kB at most
local have, missing = {}, nil -- numbers of the blocks written; how many are not
local file, active -- where they are written; whether blocks have come lately
M.info = nil -- what is known of the file: size and digest
M.repaired = 0

local function stripe(name, number)
  return ("%x"):format(number % stripes) .. scribe.group(name):sub(2)
end

local function begin(info, handle)
  M.info, file = info, handle
  missing = math.ceil(info.size / block_size)
end

local function write(number, data)
  if have[number] then return end
  file:seek("set", (number - 1) * block_size)
  file:write(data)
  have[number], missing = true, missing - 1
end

-- A block for a neighbour.
function M.block(number)
  if not have[number] then return nil end
  file:seek("set", (number - 1) * block_size)
  return file:read(block_size)
end

-- Asks neighbours for what the trees have not brought, once nothing comes any more.
local function repair(open)
  local busy, node = active, misc.random_pick_one(pastry.leafs())
  active = false
  if busy or not node then return end
  if not M.info then
    local info = rpc.call(node, "splitstream.info", 3)
    if info and not M.info then begin(info, open()) end
    return
  end
  for number = 1, math.ceil(M.info.size / block_size) do
    local data = not have[number] and rpc.call(node, { "splitstream.block", number }, 3)
    if data and not have[number] then
      write(number, data)
      M.repaired = M.repaired + 1
    end
  end
end

-- Receives the file that will come under a name; `open` returns the file to write.
function M.receive(name, open)
  for number = 1, stripes do
    scribe.join(stripe(name, number), function(message)
      active = true
      if not M.info then begin(message.info, open()) end
      write(message.number, message.data)
    end)
  end
  events.thread(function()
    while not M.finished() do
      events.sleep(1)
      repair(open)
    end
  end)
end

-- Sends a file to all who receive under that name, at so many bytes a second.
function M.send(name, handle, rate)
  local text = handle:seek("set", 0) and handle:read("*a")
  local info = { size = #text, digest = crypto.evp.digest("sha1", text) }
  begin(info, handle)
  for number = 1, missing do have[number] = true end
  for number = 1, missing do
    local data = text:sub((number - 1) * block_size + 1, number * block_size)
    local message = { info = info, number = number, data = data }
    events.thread(function() scribe.multicast(stripe(name, number), message) end)
    events.sleep(block_size / rate)
  end
  missing = 0
end

function M.finished() return missing == 0 end

-- Picture -------------------------------------------------------------------------------------

-- What `--plot tree` draws: the tree of one stripe; `--plot graph`, those of four.
view.parent = function() return scribe.parent(stripe("file", 1)) end
view.links = function()
  local links = {}
  for number = 1, 4 do
    local parent = scribe.parent(stripe("file", number))
    links[number] = { to = parent, kind = "stripe " .. number }
  end
  return links
end

-- Check ---------------------------------------------------------------------------------------

local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"

local p = cli.parameters {
  file = "", size = 512, to = "", rate = 1024, limit = 90, crash = 0, stay = false,
}
local crash_time = p.crash > 0 and 15 or 0 -- seconds within which instances crash
local started, start_time = misc.time(), 6 + 2 * math.log(#job.nodes)

local function original()
  if p.file ~= "" then return assert(io.open(p.file, "rb")) end
  local handle = io.tmpfile()
  for _ = 1, p.size do handle:write(crypto.rand.bytes(1024)) end
  return handle
end

local function copy()
  if p.to == "" then return io.tmpfile() end
  return assert(io.open(p.to .. job.position, "w+b"))
end

-- The digest of what is in the file, and in how many trees this node is inside.
function M.state()
  if not M.finished() then return { digest = "incomplete" } end
  file:seek("set", 0)
  local inside = 0
  for number = 1, stripes do
    if scribe.children(stripe("file", number)) > 0 then inside = inside + 1 end
  end
  local digest = crypto.evp.digest("sha1", file:read("*a"))
  return { digest = digest, inside = inside, repaired = M.repaired }
end

local function property()
  if not M.finished() or misc.time() < started + crash_time + 1 then
    return nil, "the file is on its way"
  end
  local nodes, reason = proof.alive(rpc, p.crash)
  if not nodes then return nil, reason end
  local states, count = parallel.ask(rpc, nodes, "splitstream.state")
  if count < #nodes then return nil, "a node does not tell its state" end
  local inside, most, repaired = 0, 0, 0
  for i, state in ipairs(states) do
    if state.digest ~= M.info.digest then
      return nil, ("digest of node %d: %s"):format(nodes[i].port, state.digest)
    end
    inside, most = inside + state.inside / #nodes, math.max(most, state.inside)
    repaired = repaired + state.repaired
  end
  local text = ("%d nodes, %d bytes, digest %s, %d blocks repaired, "):format(
    #nodes, M.info.size, M.info.digest, repaired)
  local shape = ("nodes are inside %.1f of %d trees, at most %d"):format(inside, stripes, most)
  -- With fewer nodes than stripes, a node has to be inside several.
  return inside <= math.max(2, 2 * stripes / #nodes), text .. shape, nodes
end

events.run(function()
  cli.crash(p.crash, crash_time)
  events.thread(function()
    proof.judge { what = "file", rpc = rpc, property = property, limit = p.limit, stay = p.stay }
  end)
  scribe.start {}
  if job.position > 1 then return M.receive("file", copy) end
  events.sleep(started + start_time - misc.time())
  M.send("file", original(), p.rate * 1024)
end)
