-- A replicated block device: what NBD clients see as one disk is kept by several nodes.
--
-- H. Attiya, A. Bar-Noy, D. Dolev, "Sharing Memory Robustly in Message-Passing Systems", JACM 1995,
-- for one writer: every write has a number and is there once a majority of the replicas has it; a
-- read asks a majority and takes the newest. The writer is the front end, on the first node,
-- which speaks NBD to whoever connects. Left out: replicas that come back after a crash with
-- nothing (they would count for what they forgot), and a second front end.
--
-- Run:    splay run apps/nbd_replicas.lua -n 5      (a head list of all nodes)
--    or:  splay run apps/nbd_replicas.lua -n 5 -- serve, and beside it nbdinfo nbd://localhost:PORT
-- Parameters: size=4194304  bytes of the disk       port=0  of the front end; 0: the first node's
--    timeout=2  seconds for a replica's answer              port and the number of nodes
--    writes=60  of the client below                 kill=0  replicas that end while it writes
--    crash=0    share of the nodes that end at a random time, besides
--    serve      run on for other clients, without a client and a verdict
-- Prints: `disk at nbd://...`, then `disk correct: 5 replicas ...` or `disk wrong: reason`.
-- Proves: a client that writes here and there, over NBD, reads what it has written last while
--    a minority of the replicas crashes; in the end each block's newest write is at a majority.
require "splay.base"
local rpc, nbd = require "splay.rpc", require "splay.nbd"
local cli, proof, parallel = require "splay.cli", require "splay.proof", require "splay.parallel"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { size = 4194304, port = 0, timeout = 2, writes = 60, kill = 0, crash = 0,
  serve = false }
local me, total = job.position, #job.nodes
local majority = math.floor(total / 2) + 1
local BLOCK, EMPTY = 4096, ("\0"):rep(4096)

-- Replicas ------------------------------------------------------------------------------------

local numbers, blocks = {}, {} -- by block: the number of its last write, its bytes

-- Whole blocks; one that has a later write already keeps it.
function put(number, first, data)
  for i = 0, #data / BLOCK - 1 do
    if number > (numbers[first + i] or 0) then
      numbers[first + i], blocks[first + i] = number, data:sub(i * BLOCK + 1, (i + 1) * BLOCK)
    end
  end
end

function get(first, count)
  local found = {}
  for i = 1, count do
    local block = first + i - 1
    found[i] = { numbers[block] or 0, blocks[block] or "" } -- "": nothing was written
  end
  return found
end

function newest(first, count)
  local found = get(first, count)
  for i = 1, count do found[i] = found[i][1] end
  return found
end

-- Front end -----------------------------------------------------------------------------------

local silent = {} -- nodes that did not answer
local written = 0 -- number of the last write
local late = 0 -- answers that were older than the newest

-- The answers of a majority, as soon as there is one. The others may be late, or dead.
local function ask(...)
  local answers, missing, changed, call = {}, 0, {}, { ... }
  for position, node in ipairs(job.nodes) do
    events.thread(function()
      local ok, results
      if position == me then
        ok, results = true, { _G[call[1]](unpack(call, 2)) }
      elseif not silent[position] then
        ok, results = rpc.acall(node, call, p.timeout)
        silent[position] = not ok
      end
      if ok then answers[#answers + 1] = results[1] or true else missing = missing + 1 end
      events.fire(changed)
    end)
  end
  while #answers < majority do
    if missing > total - majority then error { errno = "EIO", message = "no majority answers" } end
    events.wait(changed)
  end
  return answers
end

local function read_blocks(first, count)
  local newest_of, bytes = {}, {}
  for _, answer in ipairs(ask("get", first, count)) do
    for i = 1, count do
      local number, data = answer[i][1], answer[i][2]
      if newest_of[i] and number ~= newest_of[i] then late = late + 1 end
      if number >= (newest_of[i] or 0) then
        newest_of[i], bytes[i] = number, #data > 0 and data or EMPTY
      end
    end
  end
  return table.concat(bytes)
end

local disk = { description = "kept by " .. total .. " nodes" }
function disk.get_size() return p.size end
function disk.can_multi_conn() return true end -- there is one front end, and nothing is cached
function disk.flush() end -- a majority has all that was acknowledged

function disk.pread(_, count, offset)
  local first = math.floor(offset / BLOCK)
  local last = math.floor((offset + count - 1) / BLOCK)
  local start = offset - first * BLOCK
  return read_blocks(first, last - first + 1):sub(start + 1, start + count)
end

-- A write that failed may have reached some: the next one has a higher number all the same.
function disk.pwrite(_, data, offset)
  local first = math.floor(offset / BLOCK)
  local before, rest = offset - first * BLOCK, -(offset + #data) % BLOCK
  if before > 0 then data = read_blocks(first, 1):sub(1, before) .. data end
  if rest > 0 then
    data = data .. read_blocks(math.floor((offset + #data - before) / BLOCK), 1):sub(-rest)
  end
  written = written + 1
  ask("put", written, first, data)
end

-- Check ---------------------------------------------------------------------------------------

local port = p.port > 0 and p.port or job.nodes[1].port + total
local outcome -- of the client: true, or what is wrong
local time = p.writes * 0.1 -- seconds that the client takes at least

local function client()
  local c, reason = nbd.connect(job.me.ip, port)
  if not c then return reason end
  local model = {} -- by piece of 512 bytes
  for i = 1, p.writes do
    local piece = math.random(0, c.size / 512 - 9)
    local data = ("%08d"):format(i):rep(64 * math.random(9))
    local ok, why = c:pwrite(data, piece * 512)
    if not ok then return ("write %d: %s"):format(i, why) end
    for j = 0, #data / 512 - 1 do model[piece + j] = data:sub(j * 512 + 1, (j + 1) * 512) end
    for _, at in ipairs(misc.random_pick(misc.table_keyset(model), 3)) do
      local read, lost = c:pread(512, at * 512)
      if read ~= model[at] then return ("piece %d: %s"):format(at, lost or "another") end
    end
    events.sleep(0.1)
  end
  for first = 0, c.size / 512 - 1, 256 do
    local pieces = {}
    for piece = first, math.min(first + 256, c.size / 512) - 1 do
      pieces[#pieces + 1] = model[piece] or EMPTY:sub(1, 512)
    end
    local read, lost = c:pread(#pieces * 512, first * 512)
    if read ~= table.concat(pieces) then
      return ("from piece %d in the end: %s"):format(first, lost or "others")
    end
  end
  c:close()
  return true
end

local function property()
  if outcome == nil then return nil, "the client has not finished" end
  if outcome ~= true then return nil, outcome end
  local count = math.ceil(p.size / BLOCK)
  local replies, alive = parallel.ask(rpc, job.nodes, { "newest", 0, count })
  if alive < majority then return nil, ("%d of %d replicas answer"):format(alive, total) end
  for block = 1, count do
    local newest_one, holders = 0, 0
    for _, found in pairs(replies) do newest_one = math.max(newest_one, found[block]) end
    for _, found in pairs(replies) do
      if found[block] == newest_one then holders = holders + 1 end
    end
    -- The dead may have been among those that acknowledged it.
    if holders < majority - (total - alive) then return nil, "block " .. block .. " is too rare" end
  end
  return true, ("%d replicas, %d of them alive, %d writes, %d late answers"):format(total, alive,
    written, late)
end

events.run(function()
  assert(rpc.server(job.me.port))
  if me == 1 then
    assert(nbd.serve(port, disk))
    print(("disk at nbd://%s:%d"):format(job.me.ip, port))
  elseif me > total - p.kill then
    events.thread(function()
      events.sleep(2 + time * (0.3 + 0.4 * math.random()))
      print "crashes"
      os.exit(0)
    end)
  end
  if p.serve then return end
  cli.crash(p.crash, time, 2)
  events.thread(function()
    events.sleep(2) -- all have started
    if me == 1 then outcome = client() end
  end)
  proof.judge { what = "disk", rpc = rpc, property = property, limit = 60 + 5 * time }
end)
