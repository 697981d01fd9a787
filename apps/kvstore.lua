-- A replicated key-value store that always takes writes, in the manner of Dynamo.
--
-- G. DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store", SOSP 2007: consistent
-- hashing with virtual nodes (4.1, 4.2), replication on the first nodes of a key's preference
-- list (4.3), versions whose conflicts the client resolves (4.4), sloppy quorums N, R, W (4.5),
-- hinted handoff (4.6), read repair (5), anti-entropy between replicas (4.7) that compares a
-- digest for each key where the paper has Merkle trees; failures are found out by calls (4.8.3).
-- Version clocks are dotted (N. Preguica et al., "Dotted Version Vectors", 2010): two clients
-- that write through the same node never overwrite each other. Once a node fails to answer, an
-- operation waits for all N others instead of R or W. Left out: changes of the membership (the
-- ring is that of job.nodes), deleting, storage on disk.
--
-- Run:    splay run apps/kvstore.lua -n 50      (a head list of all nodes)
-- Parameters: n=3 r=2 w=2   replicas, answers to a read, to a write       tokens=16  virtual nodes
--    period=0.5  seconds between rounds of handoff and anti-entropy       timeout=2  of a call
--    rounds=5    what each node's client does         stay  run on
--    crash=0     share of the nodes that end for good at a random time
-- Prints: `store correct: 50 nodes ...` or `store wrong: reason`; then all end.
-- Proves: a client of each node writes a key of its own and, together with others, fills a cart;
--    meanwhile every tenth node falls silent for a while. A read at any node shows what was
--    acknowledged before; in the end no item is missing in a cart, each key's first N living
--    nodes hold the same versions of it, and no hint waits for a living node.
require "splay.base"
local rpc = require "splay.rpc"
local cli, dht = require "splay.cli", require "splay.dht"
local proof, parallel = require "splay.proof", require "splay.parallel"
local benc, crypto = require "splay.benc", require "crypto"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { n = 3, r = 2, w = 2, tokens = 16, period = 0.5, timeout = 2, rounds = 5,
  crash = 0, stay = false }
local me, total = job.position, #job.nodes
p.n, p.r, p.w = math.min(p.n, total), math.min(p.r, total), math.min(p.w, total)

-- Protocol ------------------------------------------------------------------------------------

-- Nodes go by their position in the job.
local store = {} -- by key: versions of which none has seen another
local hinted = {} -- by node: the keys it has missed
local suspected = {} -- by node: whether it did not answer and has not done so since
local clock = 0 -- number of the last version made here
local count = { hints = 0, repairs = 0, exchanges = 0 }

local ring = {}
for position, node in ipairs(job.nodes) do
  for i = 1, p.tokens do
    ring[#ring + 1] = { id = dht.id(node.ip .. ":" .. node.port .. "/" .. i), position = position }
  end
end
table.sort(ring, function(a, b) return a.id < b.id end)

-- The first nodes met from the key on, each once.
local function preference_list(key, length)
  local id, list, met, low, high = dht.id(key), {}, {}, 1, #ring + 1
  while low < high do -- the first token from the key on
    local middle = math.floor((low + high) / 2)
    if ring[middle].id < id then low = middle + 1 else high = middle end
  end
  for i = low, low + #ring - 1 do
    local position = ring[(i - 1) % #ring + 1].position
    if not met[position] then list[#list + 1] = position end
    met[position] = true
    if #list == length then break end
  end
  return list
end

-- The nodes that ought to hold a key now as far as this one knows.
local function replicas(key)
  local list = {}
  for _, position in ipairs(preference_list(key, 3 * p.n)) do
    if #list < p.n and not suspected[position] then list[#list + 1] = position end
  end
  return list
end

local function call(position, what, timeout)
  if position == me then return true, _G[what[1]](unpack(what, 2, 5)) end
  if suspected[position] then return false end
  local ok, results = rpc.acall(job.nodes[position], what, timeout or p.timeout)
  if not ok then suspected[position] = true end
  return ok, ok and results[1]
end

local function probe()
  for _, position in ipairs(misc.table_keyset(suspected)) do
    if rpc.ping(job.nodes[position], p.timeout) then suspected[position] = nil end
  end
end

local function contains(list, position)
  for _, other in ipairs(list) do
    if other == position then return true end
  end
  return false
end

-- A version is a value, the dot (node and number) that names it, and the past it has seen: for
-- each node a number.
local function merge(some, others)
  local all, known, result = {}, {}, {}
  for _, version in ipairs(misc.merge(some, others)) do
    local dot = version.node .. "." .. version.number
    if not known[dot] then all[#all + 1] = version end
    known[dot] = true
  end
  for _, version in ipairs(all) do
    local seen = false
    for _, other in ipairs(all) do
      seen = seen or (other.past[version.node] or 0) >= version.number
    end
    if not seen then result[#result + 1] = version end
  end
  return result
end

local function context_of(versions)
  local context = {}
  for _, version in ipairs(versions) do
    for node, number in pairs(version.past) do
      context[node] = math.max(context[node] or 0, number)
    end
    context[version.node] = math.max(context[version.node] or 0, version.number)
  end
  return context
end

local function digest(versions)
  local dots = {}
  for i, version in ipairs(versions or {}) do dots[i] = version.node .. "." .. version.number end
  table.sort(dots)
  return table.concat(dots, " ")
end

function fetch(key) return store[key] or {} end

local function hint(key, position)
  hinted[position] = hinted[position] or {}
  hinted[position][key] = true
end

-- Keeps versions, perhaps in place of a node that has missed them.
function keep(key, versions, missed_by)
  local home = preference_list(key, p.n)
  store[key] = merge(fetch(key), versions)
  if missed_by then
    hint(key, missed_by)
  elseif not contains(home, me) then
    for _, position in ipairs(home) do hint(key, position) end
  end
  return true
end

-- Asks the first n nodes of the key's list, and for each that fails the next one. Returns their
-- answers when there are enough, or nil; more may come.
local function quorum(key, enough, question)
  local list, last = preference_list(key, 3 * p.n), p.n
  local answers, failed = { pending = p.n }, false
  for i = 1, p.n do
    events.thread(function()
      local position, missed_by = list[i], nil
      while position do
        local ok, answer = call(position, question(missed_by))
        if ok then
          answers[#answers + 1] = { position = position, missed_by = missed_by, versions = answer }
          break
        end
        failed, missed_by, last = true, missed_by or position, last + 1
        position = list[last]
      end
      answers.pending = answers.pending - 1
      events.fire(answers)
    end)
  end
  repeat events.wait(answers)
  until answers.pending == 0 or #answers >= enough and not failed
  return #answers >= enough and answers or nil
end

-- Once all have answered, those that lack a version get it.
local function repair(key, answers)
  while answers.pending > 0 do events.wait(answers) end
  local versions = {}
  for _, answer in ipairs(answers) do versions = merge(versions, answer.versions) end
  for _, answer in ipairs(answers) do
    if digest(answer.versions) ~= digest(versions) then
      count.repairs = count.repairs + 1
      call(answer.position, { "keep", key, versions, answer.missed_by })
    end
  end
end

-- The values of a key, several after a conflict, and their context for `put`; or nil.
function get(key)
  local answers = quorum(key, p.r, function() return { "fetch", key } end)
  if not answers then return nil, "unavailable" end
  local versions, values = {}, {}
  for _, answer in ipairs(answers) do versions = merge(versions, answer.versions) end
  for i, version in ipairs(versions) do values[i] = version.value end
  events.thread(function() repair(key, answers) end)
  return values, context_of(versions)
end

-- Makes a version; runs on a node that holds the key.
function coordinate(key, value, context)
  -- Whoever sees this version must have seen all that were made here before.
  if not store[key] then
    for _, answer in ipairs(quorum(key, p.r, function() return { "fetch", key } end) or {}) do
      keep(key, answer.versions)
    end
  end
  clock = math.max(clock + 1, math.floor(misc.time() * 1000)) -- greater than before a restart
  keep(key, { { value = value, node = me, number = clock, past = context or {} } })
  local versions = store[key]
  local function question(missed_by) return { "keep", key, versions, missed_by } end
  return quorum(key, p.w, question) ~= nil
end

-- Writes a value in place of those that the context has seen; true if it is acknowledged.
function put(key, value, context)
  for _, position in ipairs(preference_list(key, 3 * p.n)) do
    local ok, done = call(position, { "coordinate", key, value, context }, 4 * p.timeout)
    if ok then return done end
  end
  return false
end

-- Gives nodes that are back what they have missed, and forgets it if others hold it.
local function hand_off()
  for _, position in ipairs(misc.table_keyset(hinted)) do
    for _, key in ipairs(misc.table_keyset(hinted[position])) do
      hinted[position][key] = nil -- a write meanwhile sets it again
      if not call(position, { "keep", key, store[key] }) then
        hinted[position][key] = true
        break
      end
      count.hints = count.hints + 1
      local needed = contains(replicas(key), me)
      for _, keys in pairs(hinted) do needed = needed or keys[key] end
      if not needed then store[key] = nil end
    end
  end
end

-- The versions of those keys of which this node has others.
function differing(digests)
  local result = {}
  for key, theirs in pairs(digests) do
    if digest(fetch(key)) ~= theirs then result[key] = fetch(key) end
  end
  return result
end

-- Makes the keys shared with a random other replica the same.
local function anti_entropy()
  local shared = {}
  for key, versions in pairs(store) do
    local list = replicas(key)
    for _, position in ipairs(contains(list, me) and list or {}) do
      shared[position] = shared[position] or {}
      shared[position][key] = digest(versions)
    end
  end
  shared[me] = nil
  local position = misc.random_pick(misc.table_keyset(shared))
  if not position then return end
  local ok, theirs = call(position, { "differing", shared[position] })
  for key, versions in pairs(ok and theirs or {}) do
    count.exchanges = count.exchanges + 1
    keep(key, versions)
    call(position, { "keep", key, store[key] })
  end
end

-- Check ---------------------------------------------------------------------------------------

local carts = math.ceil(total / 5)
local run_time = 4 + total / 5 -- seconds that the clients take
local acked, writes, finished, problem = {}, 0, false, nil

-- An operation at a random node that answers.
local function at_random(...)
  while true do
    local ok, results = rpc.acall(misc.random_pick(job.nodes), { ... }, 10 * p.timeout)
    if ok and results[1] then return unpack(results) end
    events.sleep(p.period * math.random())
  end
end

local function items_of(values)
  local items = {}
  for _, value in ipairs(values) do
    for item in pairs(value) do items[item] = true end
  end
  return items
end

-- Adds an item to what a key holds, in place of all conflicting versions, until acknowledged.
local function add(key, item)
  repeat
    local values, context = at_random("get", key)
    local items = items_of(values)
    items[item] = true
  until at_random("put", key, items, context)
  writes = writes + 1
  acked[#acked + 1] = { key, item }
  if not items_of(at_random("get", key))[item] then
    problem = ("item %s is not in %s"):format(item, key)
  end
end

local function client()
  for i = 1, p.rounds do
    add("own " .. me, me .. "." .. i)
    add("cart " .. me % carts, me .. "." .. i)
    events.sleep(2 * math.random() * run_time / p.rounds)
  end
  finished = true
end

function fall_silent(seconds)
  events.thread(function()
    events.sleep(p.period / 2) -- so that the answer leaves
    rpc.stop_server(job.me.port)
    events.sleep(seconds)
    assert(rpc.server(job.me.port))
  end)
  return true
end

-- Every tenth node, one after another: a quorum outlives less than R of its nodes.
local silenced, settled = 0, false
local function disturb()
  events.sleep(3)
  for _ = 1, math.ceil(total / 10) do
    local node = job.nodes[math.random(math.min(2, total), total)]
    if rpc.call(node, { "fall_silent", 4 * p.period }, p.timeout) then silenced = silenced + 1 end
    events.sleep(10 * p.period)
  end
  settled = true
end

function report()
  local digests, waiting = {}, {}
  for key, versions in pairs(store) do digests[key] = digest(versions) end
  for position, keys in pairs(hinted) do waiting[position] = next(keys) end
  return { digests = digests, waiting = waiting, acked = acked, finished = finished,
    problem = problem, count = count }
end

local function property()
  local reports, alive = parallel.ask(rpc, job.nodes, "report")
  local keys, sum = {}, { hints = 0, repairs = 0, exchanges = 0, writes = 0 }
  if not settled then return nil, "nodes are still falling silent" end
  for i, r in pairs(reports) do
    if r.problem then return nil, r.problem end
    if not r.finished then return nil, ("client %d has not finished"):format(i) end
    for key in pairs(r.digests) do keys[key] = true end
    for position in pairs(r.waiting) do
      if reports[position] then return nil, ("%d has a hint for %d"):format(i, position) end
    end
    for name, n in pairs(r.count) do sum[name] = sum[name] + n end
  end
  for key in pairs(keys) do
    local first, holders = nil, 0
    for _, position in ipairs(preference_list(key, total)) do
      local held = reports[position] and (reports[position].digests[key] or "nothing")
      if held and holders < p.n then
        first, holders = first or held, holders + 1
        if held ~= first then return nil, ("%s differs at %d"):format(key, position) end
      end
    end
    keys[key] = items_of(get(key) or {})
  end
  for _, r in pairs(reports) do
    for _, write in ipairs(r.acked) do
      if not (keys[write[1]] or {})[write[2]] then
        return nil, ("%s has lost %s"):format(write[1], write[2])
      end
      sum.writes = sum.writes + 1
    end
  end
  return true, ("%d nodes, %d keys, %d writes, %d silent for a while, %d hints, %d repairs, "
    .. "%d exchanges"):format(alive, misc.size(keys), sum.writes, silenced, sum.hints,
    sum.repairs, sum.exchanges)
end

events.run(function()
  assert(rpc.server(job.me.port))
  events.periodic(p.period, { probe, hand_off, anti_entropy })
  cli.crash(p.crash, run_time, 1)
  events.thread(function()
    events.sleep(2 + math.random()) -- all have started
    client()
  end)
  if me == 1 then events.thread(disturb) end
  proof.judge { what = "store", rpc = rpc, property = property, stay = p.stay,
    limit = 60 + 4 * run_time + total * p.period }
end)
