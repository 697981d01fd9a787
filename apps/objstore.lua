-- A replicated object store: a handler runs once, at its object's primary, which ships the changes.
--
-- N. Watkins et al., "DataMods: Programmable File System Services", PDSW 2012, and the object
-- classes of RADOS (S. Weil et al., "RADOS: A Scalable, Reliable Storage Service", PDSW 2007):
-- a handler is code next to an object; its primary runs it and replicates what it changed. Where
-- RADOS has a map of the cluster kept by monitors, a primary here is elected for each object by a
-- majority of its replicas, with ballots as in L. Lamport, "Paxos Made Simple", 2001: the winner
-- takes over the latest state of a majority and brings it to a majority before it runs anything.
-- Left out: changes of the membership, storage on disk, scrubbing.
--
-- Run:    splay run apps/objstore.lua -n 50      (a head list of all nodes)
-- Parameters: n=3 replicas   tokens=16 virtual nodes   rounds=10 of each node's client
--    pause=0.3 seconds between two   timeout=2 of a call   shared=4 objects that all clients use
--    crash=0 share of the nodes that end for good at a random time   stay, run on
-- Prints: `objects correct: 50 nodes ...` or `objects wrong: reason`; then all end.
-- Proves: each node's client counts, by a handler, in an object of its own and in those that it
--    shares. In the end each counter holds every count that was acknowledged and none that was not
--    tried, and the living replicas of each object hold the same; of objects of which a majority
--    lives.
require "splay.base"
local rpc = require "splay.rpc"
local cli, dht = require "splay.cli", require "splay.dht"
local proof, parallel = require "splay.proof", require "splay.parallel"
local objstore, errno = require "splay.objstore", require "splay.errno"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { n = 3, tokens = 16, rounds = 10, pause = 0.3, timeout = 2, shared = 4,
  crash = 0, stay = false }
local me, total = job.position, #job.nodes
p.n = math.min(p.n, total)
local majority = math.floor(p.n / 2) + 1
local UNKNOWN = -errno.ETIMEDOUT -- it may have been done

-- Placement -----------------------------------------------------------------------------------

local ring = {}
for position, node in ipairs(job.nodes) do
  for i = 1, p.tokens do
    ring[#ring + 1] = { id = dht.id(node.ip .. ":" .. node.port .. "/" .. i), position = position }
  end
end
table.sort(ring, function(a, b) return a.id < b.id end)

-- The replicas of an object: the first nodes met from its identifier on.
local function group(oid)
  local id, list, met, first = dht.id(oid), {}, {}, 1
  while ring[first] and ring[first].id < id do first = first + 1 end
  for i = first, first + #ring - 1 do
    local position = ring[(i - 1) % #ring + 1].position
    if not met[position] then list[#list + 1] = position end
    met[position] = true
    if #list == p.n then return list end
  end
  return list
end

-- Replicas ------------------------------------------------------------------------------------

local store = objstore.open { classes = { counter = [[
  function add(input, output)
    local ok, old = pcall(cls.map_get_val, "count")
    local new = bufferlist.new()
    new:append(tostring((ok and tonumber(old:str()) or 0) + tonumber(input:str())))
    cls.map_set_val("count", new)
    output:append(new:str())
  end
  function get(_, output)
    local ok, count = pcall(cls.map_get_val, "count")
    output:append(ok and count:str() or "0")
  end
  cls.register(add)
  cls.register(get)
]] } }

-- By object: the ballot promised, and that under which its state was made.
local promised, accepted = {}, {}

-- Answers a candidate: how late the state here is, or the ballot it must exceed.
function promise(oid, ballot)
  if ballot <= (promised[oid] or 0) then return false, promised[oid] end
  promised[oid] = ballot
  return true, accepted[oid] or 0, store:version(oid)
end

function state(oid) return store:whole(oid) end

-- Takes what a primary ships: nothing, changes of the state that it made before, or all of it.
function accept(oid, ballot, changes, whole)
  if ballot < (promised[oid] or 0) then return "no" end
  promised[oid] = ballot
  if whole then
    if changes and not store:apply(changes, true) then return "no" end
    accepted[oid] = ballot
    return "yes"
  end
  if accepted[oid] ~= ballot then return "gap" end
  if changes and not store:apply(changes) then return "gap" end
  return "yes"
end

-- Primaries -----------------------------------------------------------------------------------

local locks, ballots = {}, {} -- by object: one operation at a time; the ballot this node won

-- Calls a function of all other replicas; answers by position.
local function others(oid, call)
  local nodes, answers = {}, {}
  for _, position in ipairs(group(oid)) do
    if position ~= me then nodes[#nodes + 1] = position end
  end
  parallel.each(nodes, function(position)
    local ok, answer = rpc.acall(job.nodes[position], call, p.timeout)
    if ok then answers[position] = answer end
    return true
  end)
  return answers
end

-- Ships a state or changes to the others; whether a majority has it.
local function replicate(oid, ballot, changes, whole)
  if accept(oid, ballot, whole and changes, whole) ~= "yes" then return false end
  local have = 1
  local answers = others(oid, { "accept", oid, ballot, changes or false, whole })
  for position, answer in pairs(answers) do
    local word = answer[1]
    if word == "gap" then
      local call = { "accept", oid, ballot, store:whole(oid) or false, true }
      local ok, again = rpc.acall(job.nodes[position], call, p.timeout)
      word = ok and again[1]
    end
    if word == "yes" then have = have + 1 end
  end
  return have >= majority
end

-- Makes this node the object's primary, with the latest state of a majority.
local function win(oid)
  local counter = math.floor((promised[oid] or 0) / total) + 1
  local ballot = counter * total + me - 1
  local ok, last, version = promise(oid, ballot)
  if not ok then return nil end
  local have, latest = 1, nil
  for position, answer in pairs(others(oid, { "promise", oid, ballot })) do
    if answer[1] then
      have = have + 1
      if answer[2] > last or answer[2] == last and answer[3] > version then
        latest, last, version = position, answer[2], answer[3]
      end
    else -- the next attempt begins above
      promised[oid] = math.max(promised[oid], answer[2])
    end
  end
  if have < majority then return nil end
  if latest then
    local reached, answer = rpc.acall(job.nodes[latest], { "state", oid }, p.timeout)
    if not reached or not answer[1] or not store:apply(answer[1], true) then return nil end
  end
  if promised[oid] ~= ballot or not replicate(oid, ballot, store:whole(oid), true) then
    return nil
  end
  ballots[oid] = ballot
  return ballot
end

local function locked(oid, f)
  locks[oid] = locks[oid] or events.lock()
  local lock = locks[oid]
  lock:lock()
  local answer = f()
  lock:unlock()
  return answer
end

-- Runs a handler here, as the object's primary: return value, output, log.
function execute(oid, class, handler, input)
  return locked(oid, function()
    local ballot = ballots[oid]
    if not ballot or promised[oid] ~= ballot then ballot = win(oid) end
    if not ballot then return { -errno.EAGAIN, "", {} } end
    local ret, output, lines, changes = store:exec(oid, class, handler, input, true)
    if not replicate(oid, ballot, changes, false) then
      ballots[oid] = nil
      return { UNKNOWN, "", lines }
    end
    return { ret, output, lines }
  end)
end

-- Clients -------------------------------------------------------------------------------------

local suspected = {} -- by node: until when it is not asked first

-- Runs a handler at the object's primary. What fails before it has begun is tried again.
local function exec(oid, class, handler, input, again)
  local answer
  for attempt = 1, 12 do
    local list = group(oid)
    table.sort(list, function(a, b)
      local x, y = suspected[a] or 0, suspected[b] or 0
      return x < y
    end)
    local position = list[1]
    local ok, results = rpc.acall(job.nodes[position], { "execute", oid, class, handler, input },
      4 * p.timeout)
    answer = ok and results[1] or { UNKNOWN, "", {} }
    if not ok then suspected[position] = misc.time() end
    if answer[1] ~= -errno.EAGAIN and (answer[1] ~= UNKNOWN or not again) then break end
    if answer[1] == -errno.EAGAIN then suspected[position] = misc.time() end
    events.sleep(0.1 * attempt * (1 + math.random()))
  end
  return answer[1], answer[2], answer[3]
end

-- Check ---------------------------------------------------------------------------------------

local counted, tried = {}, {} -- by object: counts acknowledged, and all that were tried

local function count(oid)
  tried[oid] = (tried[oid] or 0) + 1
  local ret = exec(oid, "counter", "add", "1")
  if ret == 0 then counted[oid] = (counted[oid] or 0) + 1 end
end

local done = false

local function client()
  for round = 1, p.rounds do
    count("own " .. me)
    count("shared " .. (me + round) % p.shared)
    events.sleep(p.pause * 2 * math.random())
  end
  done = true
end

function report() return { position = me, counted = counted, tried = tried, done = done } end

function digest(oid) return (store:map_get_val(oid, "count")) or "0" end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local living = {}
  for _, node in ipairs(alive) do
    for position, other in ipairs(job.nodes) do
      if node.ip == other.ip and node.port == other.port then living[position] = true end
    end
  end
  local reports, answered = parallel.ask(rpc, alive, { "report" })
  if answered < #alive then return nil, #alive - answered .. " nodes do not report" end
  local least, most, sure = {}, {}, {}
  for _, one in ipairs(reports) do
    if not one.done then return nil, "node " .. one.position .. " still counts" end
    for oid, n in pairs(one.counted) do least[oid] = (least[oid] or 0) + n end
    for oid, n in pairs(one.tried) do most[oid] = (most[oid] or 0) + n end
  end
  local objects, lost, counts = 0, 0, 0
  local oids = misc.table_keyset(most)
  table.sort(oids)
  parallel.each(oids, function(oid)
    local there = {}
    for _, position in ipairs(group(oid)) do
      if living[position] then there[#there + 1] = position end
    end
    if #there < majority then
      lost = lost + 1
      return true
    end
    objects = objects + 1
    local ret, output = exec(oid, "counter", "get", "", true)
    local value = tonumber(output)
    if ret ~= 0 then
      sure[oid] = oid .. " cannot be read: " .. ret
    elseif value < (least[oid] or 0) then
      sure[oid] = ("%s has %d of %d counts"):format(oid, value, least[oid])
    elseif value > most[oid] + (total - #alive) * p.rounds then
      sure[oid] = ("%s has %d counts, %d were tried"):format(oid, value, most[oid])
    end
    counts = counts + (value or 0)
    for _, position in ipairs(there) do
      local ok, answer = rpc.acall(job.nodes[position], { "digest", oid }, p.timeout)
      if not ok or answer[1] ~= output then
        sure[oid] = sure[oid] or oid .. ": node " .. position .. " holds something else"
      end
    end
    return true
  end)
  local wrong = next(sure)
  if wrong then return nil, sure[wrong] end
  local without = lost > 0 and (", %d without a majority"):format(lost) or ""
  return true, ("%d nodes, %d objects, %d counts%s"):format(#alive, objects, counts, without)
end

local length = p.rounds * p.pause

events.run(function()
  assert(rpc.server(job.me.port))
  events.sleep(1)
  events.thread(client)
  cli.crash(p.crash, length)
  events.sleep(length + 2)
  proof.judge { what = "objects", rpc = rpc, property = property, limit = 120, stay = p.stay }
end)
