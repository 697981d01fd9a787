-- Anti-entropy: copies of a database become equal, two random ones at a time.
--
-- A. Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987:
-- anti-entropy by push, pull or both, checksums before whole comparisons (section 1.3), deletion
-- by death certificates with a fixed threshold (section 2). Left out: recent update lists, peeling
-- back, dormant death certificates.
--
-- Run:    splay run apps/antientropy.lua -n 50      (a head list of all nodes)
--    or:  splay lua apps/antientropy.lua POSITION TOTAL, once per node
-- Parameters: mode=both (push, pull or both), writes=5 (of each node to its own entry), period=0.25
--    (seconds; more for over 625 nodes), keep=60 (seconds that a death certificate lives), crash=0
--    (probability), stay.
-- Prints: `copies correct: 50 nodes, 76 entries, equal after 5.1 s` (death certificates included)
--    or `copies wrong: reason`, once, on the first node; then all end.
-- Proves: after nodes have written their own entry several times, all written one entry at the
--    same time, and half of them deleted one each, all living nodes hold the same database; in
--    it each living node's entry has its last value and what has been deleted is absent.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"
local crypto = require "crypto"
local rpc = require "splay.rpcq" -- whole databases may be larger than a datagram

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  mode = "both", writes = 5, period = math.max(0.25, total / 2500), keep = 60, crash = 0,
  stay = false,
}
local others = require("splay.nodes").without(job.nodes, job.me)
rpc.settings.default_timeout = 3

-- Protocol ------------------------------------------------------------------------------------

-- By key: { value, version, origin, sum }. Versions count up, also past those that were seen; the
-- origin decides between writes that did not know of each other. A death certificate has no
-- value, but the time it was `written` at, by the clock of this node.
local entries = {}
local latest, sum = 0, 0 -- highest version seen; checksum of all entries

local function newer(a, b)
  if not b or a.version ~= b.version then return not b or a.version > b.version end
  return a.origin > b.origin
end

-- Equal databases have equal sums, others probably not.
local function replace(key, entry)
  local old = entries[key]
  sum = (sum + (entry and entry.sum or 0) - (old and old.sum or 0)) % 2 ^ 40
  entries[key] = entry
end

local function accept(key, entry)
  latest = math.max(latest, entry.version)
  local dead = entry.value == nil
  if dead and entry.age > p.keep or not newer(entry, entries[key]) then return end
  local text = ("%s %d %d"):format(key, entry.version, entry.origin)
  replace(key, {
    value = entry.value, version = entry.version, origin = entry.origin,
    written = dead and misc.time() - entry.age or nil,
    sum = tonumber(crypto.evp.digest("sha1", text):sub(1, 10), 16),
  })
end

function write(key, value)
  accept(key, { value = value, version = latest + 1, origin = job.position, age = 0 })
end

local function delete(key) write(key, nil) end

function read(key) return entries[key] and entries[key].value end

local function bury()
  for _, key in ipairs(misc.table_keyset(entries)) do
    local entry = entries[key]
    if entry.written and misc.time() - entry.written > p.keep then replace(key, nil) end
  end
end

local function versions()
  local all = {}
  for key, entry in pairs(entries) do
    all[key] = { version = entry.version, origin = entry.origin }
  end
  return all
end

-- Our entries that are newer than those of another.
local function news_for(theirs)
  local news, now = {}, misc.time()
  for key, entry in pairs(entries) do
    if newer(entry, theirs[key]) then
      news[key] = { value = entry.value, version = entry.version, origin = entry.origin,
        age = entry.written and now - entry.written }
    end
  end
  return news
end

local function take(news)
  for key, entry in pairs(news) do accept(key, entry) end
end

-- Whether our database is equal; if not, what is in it.
function compare(their_sum) return their_sum == sum or versions() end

-- Takes what is newer there; answers with what is newer here, if asked for.
function resolve(news, theirs)
  local answer = theirs and news_for(theirs)
  take(news)
  return answer
end

local function exchange()
  bury()
  local partner = misc.random_pick_one(others)
  if not partner then return end -- alone, there is nothing to learn
  local theirs = rpc.call(partner, { "compare", sum })
  if not theirs or theirs == true then return end
  local push = p.mode ~= "pull" and news_for(theirs) or {}
  local pull = p.mode ~= "push" and versions() or nil
  take(rpc.call(partner, { "resolve", push, pull }) or {})
end

-- Check ---------------------------------------------------------------------------------------

local writing = 2 * p.writes * p.period
local crash_time = p.crash > 0 and writing or 0
local began, changed = misc.time(), nil -- start; last change of the database

local function write_all()
  for i = 1, p.writes do
    events.sleep(2 * p.period * math.random())
    write("entry " .. job.position, i)
    if i == 1 then write("shared", "by " .. job.position) end
    if i == 1 and job.position % 2 == 0 then write("temporary " .. job.position, "soon gone") end
  end
  if job.position % 2 == 0 then delete("temporary " .. job.position) end
end

local function watch()
  local last
  repeat
    if sum ~= last then last, changed = sum, misc.time() end
  until not events.sleep(p.period / 5)
end

function report() return { position = job.position, sum = sum, changed = changed } end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local reports, answered = parallel.ask(rpc, alive, { "report" })
  if answered < #alive then return nil, #alive - answered .. " nodes do not report" end
  local last = 0
  for _, one in ipairs(reports) do
    if one.sum ~= sum then return nil, "node " .. one.position .. " has another database" end
    last = math.max(last, one.changed)
  end
  for _, one in ipairs(reports) do
    local i = one.position
    if read("entry " .. i) ~= p.writes then return nil, "entry " .. i .. " is old" end
    if read("temporary " .. i) then return nil, "temporary " .. i .. " is still there" end
  end
  if not read("shared") then return nil, "the shared entry is missing" end
  return true, ("%d nodes, %d entries, equal after %.1f s"):format(
    #alive, misc.size(entries), last - began)
end

events.run(function()
  assert(rpc.server(job.me.port))
  events.sleep(1 + p.period * math.random())
  events.periodic(p.period, exchange, true)
  events.thread(watch)
  events.thread(write_all)
  cli.crash(p.crash, crash_time)
  events.sleep(writing)
  proof.judge { what = "copies", rpc = rpc, property = property, limit = 60, stay = p.stay }
end)
