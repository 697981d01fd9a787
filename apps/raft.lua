-- Raft: servers that agree on one log of commands, whoever crashes, as long as a majority lives.
--
-- D. Ongaro and J. Ousterhout, "In Search of an Understandable Consensus Algorithm", USENIX ATC
-- 2014, extended version: leader election and log replication (figure 2), compaction and
-- InstallSnapshot in chunks (figure 13). From D. Ongaro's thesis, Stanford 2014: changes of the
-- configuration by a single server, which first catches up (4.1 to 4.2.2), servers that ignore
-- candidates while they hear a leader (4.2.3), leaders that step down without a majority (6.2),
-- sessions for which a command runs exactly once however often it is sent (6.3). Left out:
-- pre-votes, reads beside the log, leadership transfer, expiry of sessions.
--
-- Run:    splay run apps/raft.lua -n 50        (a head list of all nodes)
-- Parameters: period=0.1    seconds between heartbeats; elections begin after ten without
--    requests=20   commands of each node's client       compact=20  entries between snapshots
--    files=PREFIX  keep stable storage in files PREFIX-<port>, else it is kept in memory
--    crash=0       share of the nodes that end for good at a random time    stay  run on
-- Prints: `log correct: 50 nodes, 1000 requests ...` or `log wrong: reason`; then all end.
-- Proves: while every node's client increments one counter, the last node joins, a minority with
--    the leader crashes and comes back with its stable storage, a leader is removed and joins
--    again. Then all have applied the same commands, none ever replaced one it had applied, each
--    increment counted and was answered once (some are sent twice), no term had two leaders.
require "splay.base"
local rpc = require "splay.urpc"
local cli, proof, parallel = require "splay.cli", require "splay.proof", require "splay.parallel"
local benc, crypto = require "splay.benc", require "crypto"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local p = cli.parameters { period = 0.1, requests = 20, compact = 20, files = "", crash = 0,
  stay = false }
local me, total = job.position, #job.nodes
local timeout = 10 * p.period -- seconds without a leader before an election, at least
local spread = timeout * math.max(1, total / 10) -- and at most so many more
local packet, largest = 6000, 1500 -- bytes of a message, of a command
local keep = 8 -- entries that stay in the log beneath a snapshot, for followers a little behind

-- Protocol ------------------------------------------------------------------------------------

-- Servers go by their position in the job. An entry is a table with its term and what it is for:
-- `config`, `register`, or `session`, `sequence` and `operation`; a new leader's has nothing.
local saw_leader, saw_entry -- functions of the check
-- Stable storage: it changes by records alone, of which its file consists.
local disk, config, config_index, journal

local function last_index() return disk.base + #disk.log end
local function entry_at(index) return disk.log[index - disk.base] end

local function term_at(index)
  if index == disk.base then return disk.base_term end
  return (entry_at(index) or {}).term
end

local function replay(record)
  if record.vote then
    disk.term, disk.vote = record.term, record.vote
  elseif record.entries then
    for index = last_index(), record.after + 1, -1 do disk.log[index - disk.base] = nil end
    for _, entry in ipairs(record.entries) do disk.log[#disk.log + 1] = entry end
  else
    local agrees, rest = term_at(record.base) == record.base_term, {}
    for i = record.base + 1, agrees and last_index() or 0 do rest[#rest + 1] = entry_at(i) end
    disk.log, disk.base, disk.base_term = rest, record.base, record.base_term
    disk.snapshot = record.snapshot
  end
  -- The latest configuration in the log holds, committed or not.
  config, config_index = disk.snapshot.config, disk.snapshot.index
  for i, entry in ipairs(disk.log) do
    if entry.config then config, config_index = entry.config, disk.base + i end
  end
end

local function store(record)
  replay(record)
  if not journal then return end
  if record.snapshot then
    assert(journal:replace { { term = disk.term, vote = disk.vote }, record,
      { after = disk.base, entries = disk.log } })
  else
    assert(journal:append(record))
  end
end

local function recover()
  disk = { term = 0, vote = 0, base = 0, base_term = 0, log = {} }
  local first = {} -- all but the last are in the first configuration
  for i = 1, math.max(1, total - 1) do first[i] = i end
  replay { base = 0, base_term = 0, snapshot = { index = 0, config = first, state = "" } }
  if p.files == "" then return end
  local opened, records = require("splay.journal").open(p.files .. "-" .. job.me.port)
  journal = assert(opened, records)
  for _, record in ipairs(records) do replay(record) end
end

-- Volatile state.
local role, leader = "down", nil -- "leader", "candidate", "follower"
local commit_index, machine, waiting = 0, nil, {}
local heard, deadline = 0, 0 -- when the leader was heard, when an election begins
local next_index, match_index, contact, replicating, joining
local receiving, received -- index of the snapshot that arrives, its beginning

local function without(server)
  local others = {}
  for _, other in ipairs(config) do
    if other ~= server then others[#others + 1] = other end
  end
  return others
end

local function member(server) return #without(server) < #config end
local function leads(term) return role == "leader" and disk.term == term end
local function wait_for_leader() deadline = misc.time() + timeout + math.random() * spread end
local function call(server, what) return rpc.acall(job.nodes[server], what, 5 * p.period) end

local function follow(term, server)
  if term > disk.term or role == "leader" then leader = nil end
  if term > disk.term then store { term = term, vote = 0 } end
  if role == "leader" or server then wait_for_leader() end
  role = "follower"
  if server then
    leader, heard = server, misc.time()
    saw_leader(term, server)
  end
end

-- The state machine: named numbers, and for each session its last command's answer.
local operations = {}
function operations.get(data, name) return data[name] end
function operations.set(data, name, value) data[name] = value return value end
function operations.add(data, name, n) return operations.set(data, name, (data[name] or 0) + n) end

local function apply(entry)
  if entry.register then machine.sessions[machine.index] = { sequence = 0 } end
  if not entry.session then return machine.index end
  local session = machine.sessions[entry.session]
  if not session or entry.sequence < session.sequence then return nil end
  if entry.sequence > session.sequence then
    local operation = operations[entry.operation[1]]
    session.sequence = entry.sequence
    session.answer = operation and operation(machine.data, unpack(entry.operation, 2))
  end
  return session.answer
end

local function apply_committed()
  while machine.index < commit_index do
    local entry = entry_at(machine.index + 1)
    machine.index = machine.index + 1
    machine.digest = crypto.evp.digest("sha1", machine.digest .. benc.encode(entry))
    machine.config = entry.config or machine.config
    saw_entry(machine.index, machine.digest)
    local waiter = waiting[machine.index] or {}
    waiter.done, waiter.answer = waiter.term == entry.term, apply(entry)
    events.fire(waiter)
  end
  if machine.index - disk.snapshot.index < p.compact then return end
  local base = math.max(disk.base, machine.index - keep)
  store { base = base, base_term = term_at(base), snapshot = { index = machine.index,
    term = term_at(machine.index), config = machine.config, state = benc.encode(machine) } }
end

local function advance_commit()
  local matched = {}
  for i, server in ipairs(config) do
    matched[i] = server == me and last_index() or match_index[server] or 0
  end
  table.sort(matched, function(a, b) return a > b end)
  local index = matched[math.floor(#matched / 2) + 1]
  if index <= commit_index or term_at(index) ~= disk.term then return end
  commit_index = index
  events.fire("log")
  apply_committed()
  if commit_index >= config_index and not member(me) then follow(disk.term) end
end

function request_vote(term, candidate, index, index_term)
  if term < disk.term or role == "leader" or misc.time() < heard + timeout then
    return disk.term, false
  end
  if term > disk.term then follow(term) end
  local last_term = term_at(last_index())
  if disk.vote ~= 0 and disk.vote ~= candidate or index_term < last_term
    or index_term == last_term and index < last_index() then return term, false end
  store { term = term, vote = candidate }
  wait_for_leader()
  return term, true
end

function append_entries(term, server, index, index_term, entries, commit)
  if term < disk.term then return disk.term, false end
  follow(term, server)
  -- What lies beneath the log is committed, thus the same. Up to there the leader may go back.
  if index >= disk.base and term_at(index) ~= index_term then return term, false, commit_index end
  local last = index + #entries
  while entries[1] and (index < disk.base or term_at(index + 1) == entries[1].term) do
    index = index + 1
    table.remove(entries, 1)
  end
  if entries[1] then store { after = index, entries = entries } end
  commit_index = math.max(commit_index, math.min(commit, last))
  apply_committed()
  return term, true, last
end

-- Returns how much of the snapshot is here.
function install_snapshot(term, server, snapshot, offset, size)
  if term < disk.term then return disk.term, 0 end
  follow(term, server)
  if receiving ~= snapshot.index then receiving, received = snapshot.index, "" end
  if offset ~= #received then return term, #received end
  received = received .. snapshot.state
  if #received == size and snapshot.index > commit_index then
    snapshot.state = received
    store { base = snapshot.index, base_term = snapshot.term, snapshot = snapshot }
    machine, commit_index = benc.decode(snapshot.state), snapshot.index
    saw_entry(machine.index, machine.digest, true)
  end
  return term, #received
end

local function answered(server, term, ok, reply)
  if ok and leads(term) and reply[1] > term then follow(reply[1]) end
  if ok and leads(term) then contact[server] = misc.time() end
  return ok and leads(term)
end

local function matches(server, index)
  match_index[server], next_index[server] = index, index + 1
  advance_commit()
end

local function send_snapshot(server, term)
  local whole, offset = disk.snapshot, 0
  while offset < #whole.state do
    local part = misc.merge({ state = whole.state:sub(offset + 1, offset + packet) }, whole)
    local ok, reply = call(server, { "install_snapshot", term, me, part, offset, #whole.state })
    if not answered(server, term, ok, reply) then return end
    offset = reply[2]
  end
  matches(server, whole.index)
end

local function send_entries(server, term)
  local index = (next_index[server] or last_index() + 1) - 1
  if index < disk.base then return send_snapshot(server, term) end
  local entries, bytes, commit = {}, 0, commit_index
  while bytes < packet and entry_at(index + #entries + 1) do
    entries[#entries + 1] = entry_at(index + #entries + 1)
    bytes = bytes + #benc.encode(entries[#entries])
  end
  local ok, reply = call(server,
    { "append_entries", term, me, index, term_at(index), entries, commit })
  if not answered(server, term, ok, reply) then return end
  if reply[2] then matches(server, reply[3]) else next_index[server] = reply[3] + 1 end
  return commit
end

-- Keeps a follower's log the same as this one, until it is no longer one and knows it.
local function replicate_to(server)
  if server == me or replicating[server] then return end
  replicating[server] = true
  local term = disk.term
  events.thread(function()
    while leads(term) do
      local commit = send_entries(server, term)
      if not leads(term) then return end -- the tables are of another term
      if not member(server) and joining ~= server and commit_index >= config_index
        and (commit or config_index) >= config_index then break end
      if not commit or next_index[server] > last_index() and commit == commit_index then
        events.wait("log", p.period)
      end
    end
    replicating[server] = nil
  end)
end

-- Appends an entry and waits until it is applied; whether it was, and the answer.
local function propose(entry)
  if role ~= "leader" then return false, leader end
  entry.term = disk.term
  store { after = last_index(), entries = { entry } }
  local waiter = { term = disk.term }
  waiting[last_index()] = waiter
  events.fire("log")
  advance_commit()
  if not waiter.done then events.wait(waiter, 2 * timeout) end
  return waiter.done or false, waiter.answer
end

local function lead()
  role, leader = "leader", me
  saw_leader(disk.term, me)
  next_index, match_index, contact, replicating, joining = {}, {}, {}, {}, nil
  for _, server in ipairs(config) do
    contact[server] = misc.time()
    replicate_to(server)
  end
  propose {}
end

local function campaign()
  local term, last, votes = disk.term + 1, { last_index(), term_at(last_index()) }, 0
  store { term = term, vote = me }
  role, leader = "candidate", nil
  local function count()
    votes = votes + 1
    if role == "candidate" and disk.term == term and votes > #config / 2 then lead() end
  end
  for _, server in ipairs(config) do
    events.thread(server == me and count or function()
      local ok, reply = call(server, { "request_vote", term, me, unpack(last) })
      if not ok or role == "down" then return end
      if reply[1] > disk.term then follow(reply[1]) elseif reply[2] then count() end
    end)
  end
end

-- Looks after elections, for ever.
local function watch()
  while true do
    events.sleep(math.max(p.period / 10, deadline - misc.time()))
    local now, silent = misc.time(), 0
    if role == "leader" then
      for _, server in ipairs(without(me)) do
        if contact[server] < now - timeout then silent = silent + 1 end
      end
      deadline = now + timeout / 2
      if silent >= #config / 2 then follow(disk.term) end
    elseif role ~= "down" and now >= deadline then
      wait_for_leader()
      if member(me) or config_index > commit_index then campaign() end
    end
  end
end

-- Called by clients: true and the answer, or false and the leader, if it is known.
function register_client() return propose { register = true } end

function execute(session, sequence, operation)
  if #benc.encode(operation) > largest then return true, nil, "too long" end
  return propose { session = session, sequence = sequence, operation = operation }
end

-- Adds a server to the configuration or removes it.
function change_config(server, present)
  -- One change at a time, and none before an entry of this term is committed.
  local term, patience = disk.term, misc.time() + 2 * timeout
  if role ~= "leader" or joining or config_index > commit_index
    or term_at(commit_index) ~= term then return false, leader end
  if member(server) == present then return true, present end
  if present then
    joining, next_index[server], match_index[server] = server, nil, nil
    replicate_to(server)
    repeat
      local target, start = last_index(), misc.time()
      repeat
        events.sleep(p.period / 4)
        if leads(term) and misc.time() > patience then joining = nil end
        if not leads(term) or not joining then return false, leader end
      until (match_index[server] or 0) >= target
    until misc.time() < start + timeout -- a round of replication that short will do
  end
  contact[server], joining = misc.time(), nil
  return propose { config = misc.merge(without(server), present and { server } or {}) }
end

local function start()
  if not disk or journal then recover() end
  role, leader, waiting, receiving, heard = "follower", nil, {}, nil, 0
  commit_index = disk.snapshot.index
  machine = commit_index > 0 and benc.decode(disk.snapshot.state)
    or { index = 0, digest = "", sessions = {}, data = {}, config = disk.snapshot.config }
  wait_for_leader()
  assert(rpc.server(job.me.port))
end

-- Check ---------------------------------------------------------------------------------------

local history, leaders, installed, problem = {}, {}, 0, nil
local acked, finished, failing, counter = {}, false, false, nil
local run_time = 100 * p.period + total / 5 -- seconds that the clients take

-- The digest is that of all entries up to this one.
function saw_entry(index, digest, from_snapshot)
  if from_snapshot then installed = installed + 1 end
  if (history[index] or digest) ~= digest then problem = me .. " replaced entry " .. index end
  history[index] = digest
end
function saw_leader(term, server)
  if (leaders[term] or server) ~= server then problem = "two leaders in term " .. term end
  leaders[term] = server
end

-- Calls the leader, whoever it is, until it answers.
local believed = me
local function ask(...)
  while true do
    local ok, reply = rpc.acall(job.nodes[believed], { ... }, 3 * timeout)
    if ok and reply[1] then return reply[2] end
    believed = ok and reply[2] or math.random(total)
    events.sleep(p.period * (1 + math.random()))
  end
end

local function client()
  local session = ask("register_client")
  for i = 1, p.requests do
    acked[i] = ask("execute", session, i, { "add", counter, 1 })
    if math.random() < 0.2 and ask("execute", session, i, { "add", counter, 1 }) ~= acked[i] then
      problem = "a second answer to client " .. me
    end
    events.sleep(math.random() * 2 * run_time / p.requests)
  end
  finished = true
end

function begin(name)
  if not counter then events.thread(client) end
  counter = name
end

function fail_for(seconds)
  if failing then return false end
  failing = true
  events.thread(function()
    events.sleep(p.period) -- so that the answer leaves
    role = "down"
    rpc.stop_server(job.me.port)
    if journal then journal:close() end
    events.sleep(seconds)
    start()
    failing = false
  end)
  return true
end

function report()
  return { finished = finished, problem = problem, acked = acked, leaders = leaders,
    installed = installed, index = machine.index, digest = machine.digest,
    value = machine.data[counter or ""] }
end

-- What the first node does to the cluster.
local crashed, changed = 0, false
local function disturb()
  events.sleep(2 * timeout)
  parallel.ask(rpc, job.nodes, { "begin", "count " .. misc.time() }) -- files may know another
  events.sleep(run_time / 4)
  if rpc.ping(job.nodes[total], timeout) then ask("change_config", total, true) end
  events.sleep(run_time / 4)
  ask("register_client")
  local alive = misc.shuffle(proof.alive(rpc, 1))
  local minority = #alive - math.floor(total / 2) - 1
  for _, node in ipairs(misc.merge({ job.nodes[believed] }, alive)) do
    local fails = crashed < minority and rpc.call(node, { "fail_for", 4 * timeout }, timeout)
    if fails then crashed = crashed + 1 end
  end
  events.sleep(6 * timeout + spread)
  ask("register_client")
  local first = believed
  if total > 1 then ask("change_config", first, false) end -- somebody has to be left
  events.sleep(2 * timeout)
  ask("change_config", first, true)
  changed = true
end

local function property()
  local reports, count = parallel.ask(rpc, job.nodes, "report")
  local value, answers, snapshots, first = 0, {}, 0, nil
  if not changed or count <= total / 2 then return nil, "no majority of " .. total end
  for i, r in pairs(reports) do
    first = first or r
    problem = problem or r.problem
    if not r.finished then return nil, ("client %d lacks answers"):format(i) end
    if r.index ~= first.index or r.digest ~= first.digest then
      return nil, ("server %d has not applied what others have"):format(i)
    end
    for _, answer in ipairs(r.acked) do
      if answers[answer] then return nil, ("%d was answered twice"):format(answer) end
      answers[answer], value = true, value + 1
    end
    for term, server in pairs(r.leaders) do saw_leader(term, server) end
    snapshots = snapshots + r.installed
  end
  if problem then return nil, problem end
  -- Clients that have crashed cannot tell how many increments they made.
  if first.value < value or first.value > value + (total - count) * p.requests then
    return nil, ("%d increments, but the counter is %s"):format(value, tostring(first.value))
  end
  return true, ("%d nodes, %d requests, %d crashes, %d leaders, %d snapshots sent"):format(
    count, value, total - count + crashed, misc.size(leaders), snapshots)
end

events.run(function()
  start()
  events.thread(watch)
  cli.crash(p.crash, run_time / 4)
  if me == 1 then events.thread(disturb) end
  proof.judge { what = "log", rpc = rpc, property = property, stay = p.stay,
    limit = 4 * run_time + 60 * timeout + 4 * spread }
end)
