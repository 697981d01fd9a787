-- Rumor mongering: news spreads as long as it is news, and those who spread it lose interest.
--
-- A. Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987:
-- complex epidemics (section 1.4) in all variants: push, pull or both; blind or with feedback;
-- with a counter or a coin. Left out: connection limits and hunting, minimization, spatial
-- distributions.
--
-- Run:    splay run apps/rumor.lua -n 50            (a head list of all nodes)
--    or:  splay lua apps/rumor.lua POSITION TOTAL, once per node
-- Parameters: mode=push (push, pull or both), feedback=true (interest is lost in contacts with
--    those who knew; false: in any), counter=true (after k such; false: with probability 1/k in
--    each), k=4, rumors=10, period=0.25 (seconds; more for over 625 nodes), crash=0
--    (probability), stay.
-- Prints: `rumors correct: 50 nodes, residue 0.4 %, 4.5 messages a node, ...` or `rumors wrong:
--    reason`, once, on the first node; then all end.
-- Proves: every rumor dies out, and has then missed no more than a share of the living nodes that
--    is several times what the paper finds for many nodes (its tables 1 to 3), and at most k + 3
--    contacts for each node and rumor were spent in pushing it.
require "splay.base"
local cli, proof = require "splay.cli", require "splay.proof"
local parallel, stats = require "splay.parallel", require "splay.stats"
local rpc = require "splay.urpc"

job = job or require("splay.utils").generate_job(arg[1], arg[2], 20001)

local total = job.total or #job.nodes
local p = cli.parameters {
  mode = "push", feedback = true, counter = true, k = 4, rumors = 10,
  period = math.max(0.25, total / 2500), crash = 0, stay = false,
}
local others = require("splay.nodes").without(job.nodes, job.me)
rpc.settings.default_timeout = 2

-- Protocol ------------------------------------------------------------------------------------

-- A node that lacks a rumor is susceptible; infective while `hot`; then removed.
local rumors = {} -- by name: { text, started, delay, hot, contacts }
local hot, sent = 0, 0 -- rumors that are, messages of one rumor to one node

local function hear(name, text, started)
  if rumors[name] then return end
  local delay = misc.time() - started
  rumors[name] = { text = text, started = started, delay = delay, hot = true, contacts = 0 }
  hot = hot + 1
end

-- An infective node has had a contact: was it of use?
local function lose_interest(rumor, useful)
  if useful and p.feedback or not rumor.hot then return end
  rumor.contacts = rumor.contacts + 1
  local lost = math.random() < 1 / p.k
  if p.counter then lost = rumor.contacts >= p.k end
  if lost then rumor.hot, hot = false, hot - 1 end
end

local function hot_rumors()
  local news = {}
  for name, rumor in pairs(rumors) do
    if rumor.hot then news[name] = { text = rumor.text, started = rumor.started } end
  end
  return news
end

-- Takes in news; tells which of it was new.
local function receive(news)
  local useful = {}
  for name, one in pairs(news) do
    useful[name] = not rumors[name]
    hear(name, one.text, one.started)
  end
  return useful
end

-- Called by another node with its news, and the names of all it knows if it wants ours.
function contact(news, known)
  local useful = receive(news)
  if not known then return useful end
  local answer = {}
  for name, one in pairs(hot_rumors()) do
    if not news[name] then
      answer[name], sent = one, sent + 1
      lose_interest(rumors[name], not known[name])
    end
  end
  return useful, answer
end

local function gossip()
  local pushes, pulls = p.mode ~= "pull", p.mode ~= "push"
  local news, known = pushes and hot_rumors() or {}, nil
  if pulls then
    known = {}
    for name in pairs(rumors) do known[name] = true end
  elseif hot == 0 then
    return
  end
  local partner = misc.random_pick_one(others)
  local useful, answer = rpc.call(partner, { "contact", news, known })
  if not useful then return end -- it has not been met
  for name in pairs(news) do
    sent = sent + 1
    lose_interest(rumors[name], useful[name])
  end
  receive(answer or {})
end

-- Check ---------------------------------------------------------------------------------------

local telling = p.rumors * p.period
local crash_time = p.crash > 0 and telling or 0
local most_missed = math.min(1, 0.05 + 5 * math.exp(-p.k)) -- chance is large where nodes are few

function report()
  local delays = {}
  for name, rumor in pairs(rumors) do delays[name] = rumor.delay end
  return { hot = hot, sent = sent, delays = delays }
end

local function property()
  local alive, reason = proof.alive(rpc, p.crash)
  if not alive then return nil, reason end
  local reports, answered = parallel.ask(rpc, alive, { "report" })
  if answered < #alive then return nil, #alive - answered .. " nodes do not report" end
  local messages, missed, delays = 0, 0, stats.running()
  for i = 1, #alive do
    if reports[i].hot > 0 then return nil, alive[i].port .. " is still infective" end
    messages = messages + reports[i].sent
    for _, delay in pairs(reports[i].delays) do delays:add(delay / p.period) end
    missed = missed + p.rumors - misc.size(reports[i].delays)
  end
  missed, messages = missed / #alive / p.rumors, messages / #alive / p.rumors
  local text = ("%d nodes, residue %.1f %%, %.1f messages a node, delay %.1f rounds, last %.1f")
    :format(#alive, 100 * missed, messages, delays.mean, delays.max)
  return missed <= most_missed and messages <= p.k + 3, text
end

assert(#others > 0, "rumor needs two nodes: there is nobody to tell")

events.run(function()
  assert(rpc.server(job.me.port))
  events.sleep(p.period * (1 + math.random()))
  events.periodic(p.period, gossip, true)
  cli.crash(p.crash, crash_time)
  if job.position == 1 then
    for i = 1, p.rumors do
      hear("rumor " .. i, ("it is said that %d"):format(i), misc.time())
      events.sleep(p.period)
    end
  end
  proof.judge { what = "rumors", rpc = rpc, property = property, limit = 60, stay = p.stay }
end)
