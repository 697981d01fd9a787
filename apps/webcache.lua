-- A cooperative web cache: the browsers' own caches, joined by Pastry into a large one.
--
-- S. Iyer, A. Rowstron, P. Druschel, "Squirrel: A decentralized peer-to-peer web cache", PODC
-- 2002: the home-store model (section 4.1). Each node is an HTTP proxy for the browser beside it.
-- What it has not it asks, by HTTP too, from the home of the URL, which is the node closest to its
-- digest; that one asks the origin, conditionally if its copy is stale. Copies are kept for a
-- time and the least recently used make room. Left out: the directory model, methods other than
-- GET, the origin's own rules on caching.
--
-- Run:    splay run apps/webcache.lua -n 50 [-- entries=100 ttl=5 ...]
--    or:  splay lua apps/webcache.lua POSITION TOTAL, once per node; with `stay` each node goes on
--         as a proxy at the port of its node: curl -x 127.0.0.1:20002 http://example.org/
-- Parameters: entries=100, of each node's cache; ttl=5, seconds for which a copy is fresh;
--    requests=20, of each node in each of two rounds; objects=100, among which it chooses, the
--    n-th with a probability like 1/n; crash=0, share of nodes that crash within 15 seconds; stay.
-- Prints: `cache correct: 50 nodes, 2000 requests: 21% here, 68% at home, 3% renewed, 8% from the
--    origin` or `cache wrong: reason`, once, on the first node, which is the origin as well.
-- Proves: all answers are byte for byte what the origin has, also in a second round, when half of
--    the objects have changed there and the copies are stale; the counts of all nodes add up to
--    what was asked, those of the origin to the misses; it sent no version of an object twice
--    (this not after crashes, which take copies along).
require "splay.base"
local dht = require "splay.dht"
local crypto = require "crypto"
local http = require "socket.http"
local ltn12 = require "ltn12"
local net = require "splay.net"
local rpc = require "splay.urpc"
local pastry = require "pastry"

-- Protocol ------------------------------------------------------------------------------------

local M = {}
webcache = M -- the other nodes call functions by name

local me = pastry.me
local cache, used, pending = {}, 0, {} -- copies by URL; a clock for them; URLs being fetched
local settings = { entries = 100, ttl = 120 }
http.TIMEOUT = 10

-- A copy that is still fresh.
local function fresh(url)
  local copy = cache[url]
  if not copy or copy.expires < misc.time() then return nil end
  used = used + 1
  copy.used = used
  return copy
end

local function keep(url, copy, age)
  if copy.code ~= 200 then return copy end
  used = used + 1
  copy.used, copy.expires = used, misc.time() + settings.ttl - age
  cache[url] = copy
  if misc.size(cache) > settings.entries then
    local oldest = url
    for other in pairs(cache) do
      if cache[other].used < cache[oldest].used then oldest = other end
    end
    cache[oldest] = nil
  end
  return copy
end

local function fetch(url, headers, proxy)
  local parts = {}
  local ok, code, fields = http.request {
    url = url, headers = headers, proxy = proxy, sink = ltn12.sink.table(parts), redirect = false,
  }
  if not ok then return nil, code end
  local body, kind = table.concat(parts), fields["content-type"]
  return { code = code, body = body, type = kind, tag = fields.etag }, fields
end

-- This node is the home of a URL. One request to the origin is enough for all who wait.
local function at_home(url)
  while pending[url] do events.wait(url, 60) end
  local copy, stale = fresh(url), cache[url]
  if copy then return copy, "home" end
  pending[url] = true
  copy = fetch(url, { ["if-none-match"] = stale and stale.tag })
  pending[url] = nil
  events.fire(url)
  if not copy then return { code = 502, body = "the origin does not answer\n" }, "error" end
  if copy.code == 304 then return keep(url, stale, 0), "renewed" end
  return keep(url, copy, 0), "origin"
end

-- What a URL gives, and where it came from: "here", "home", "renewed" or "origin".
function M.get(url)
  local copy, fields = fresh(url), nil
  if copy then return copy, "here" end
  for _ = 1, 3 do
    local home = pastry.lookup(dht.hex_id(url, 128))
    if home and home.id == me.id then return at_home(url) end
    if home then
      copy, fields = fetch(url, { ["x-home"] = "yes" }, ("http://%s:%d"):format(home.ip, home.port))
      if copy then return keep(url, copy, tonumber(fields.age) or 0), fields["x-cache"] end
    end
  end
  copy = fetch(url) -- the ring is out of order: as without it
  return copy or { code = 502, body = "the origin does not answer\n" }, "origin"
end

-- Pages of this node's own, if the application sets it: path and fields of the request.
function M.origin() return { code = 404, body = "no such page\n" } end

-- Answers a browser, a node for which this one is the home, or a request for an own page.
local function answer(sock)
  sock:settimeout(30)
  local target, headers = (sock:receive("*l") or ""):match("^GET (%S+) HTTP/1%.%d$"), {}
  repeat
    local line = sock:receive("*l")
    local name, value = (line or ""):match("^([^:]+):%s*(.*)$")
    if name then headers[name:lower()] = value end
  until not line or line == ""
  local copy, from = { code = 501, body = "GET alone is understood\n" }, "error"
  if target and not target:find("^http://") then copy = M.origin(target, headers)
  elseif target and headers["x-home"] then copy, from = at_home(target)
  elseif target then copy, from = M.get(target) end
  local age = copy.expires and math.max(0, settings.ttl - copy.expires + misc.time()) or 0
  sock:send(("HTTP/1.1 %d \r\nContent-Length: %d\r\nContent-Type: %s\r\nETag: %s\r\nAge: %.3f\r\n")
    :format(copy.code, #copy.body, copy.type or "text/plain", copy.tag or '""', age)
    .. ("X-Cache: %s\r\nConnection: close\r\n\r\n"):format(from) .. copy.body)
end

function M.start(changes)
  settings = misc.merge(changes, settings)
  assert(net.server(me, answer, nil, nil, 1024)) -- many may ask for the same at once
  pastry.start()
end

-- Check ---------------------------------------------------------------------------------------

local cli, proof = require "splay.cli", require "splay.proof"
local parallel = require "splay.parallel"

local p = cli.parameters {
  entries = 100, ttl = 5, requests = 20, objects = 100, crash = 0, stay = false,
}
local crash_time = p.crash > 0 and 15 or 0 -- seconds within which instances crash
local started, start_time = misc.time(), 3 + 2 * math.log(#job.nodes)
local version, sent = 1, {} -- at the origin: sent[tag] counts how often

-- What the origin has at a path in a version: the objects with even numbers change.
local function page(path, number)
  local n = tonumber(path:match("^/(%d+)$"))
  if not n then return nil end
  local line = ("%s, version %d\n"):format(path, n % 2 == 0 and number or 1)
  return line:rep(1 + n * 37 % 1000)
end

-- Requests of a browser beside this node.
function M.browse(origin, number)
  local counts = { here = 0, home = 0, renewed = 0, origin = 0, error = 0, wrong = 0 }
  for _ = 1, p.requests do
    local path = "/" .. math.floor((p.objects + 1) ^ math.random())
    if crash_time > 0 then events.sleep(math.random()) end
    local url = ("http://%s:%d%s"):format(origin.ip, origin.port, path)
    local copy, fields = fetch(url, nil, ("http://%s:%d"):format(me.ip, me.port))
    local from = copy and fields["x-cache"] or "error"
    counts[from] = counts[from] + 1
    if not copy or copy.body ~= page(path, number) then counts.wrong = counts.wrong + 1 end
  end
  return counts
end

local function origin(path, headers)
  local body = page(path, version)
  if not body then return { code = 404, body = "no such page\n" } end
  local tag = '"' .. crypto.evp.digest("sha1", body) .. '"'
  if headers["if-none-match"] == tag then return { code = 304, body = "", tag = tag } end
  sent[tag] = (sent[tag] or 0) + 1
  return { code = 200, body = body, tag = tag }
end

local function property()
  if misc.time() < started + start_time then return nil, "nodes are still joining" end
  local sum, all, nodes, reason = {}, 0, nil, nil
  sent = {}
  for _ = 1, 2 do -- instances crash while the first is under way
    if version > 1 then events.sleep(math.max(crash_time, p.ttl + 0.5)) end
    nodes, reason = proof.alive(rpc, p.crash)
    if not nodes then return nil, reason end
    version = version + 1
    local call = { "webcache.browse", { ip = me.ip, port = me.port }, version }
    local answers, count = parallel.ask(rpc, nodes, call, p.crash > 0 and 30 or 60)
    if count < #nodes and p.crash == 0 then return nil, "a node does not answer" end
    for _, counts in pairs(answers) do
      for from, n in pairs(counts) do sum[from] = (sum[from] or 0) + n end
    end
    all = all + count * p.requests
  end
  if sum.wrong > 0 then return nil, sum.wrong .. " answers are not what the origin has" end
  if sum.here + sum.home + sum.renewed + sum.origin ~= all then return nil, "counts differ" end
  local pages = 0
  for tag, n in pairs(sent) do
    if n > 1 and p.crash == 0 then return nil, ("page %s was sent %d times"):format(tag, n) end
    pages = pages + n
  end
  if pages < sum.origin or pages > sum.origin and p.crash == 0 then
    return nil, ("the origin sent %d pages, %d were received"):format(pages, sum.origin)
  end
  local share = {}
  for _, from in ipairs { "here", "home", "renewed", "origin" } do
    share[#share + 1] = ("%.0f%%"):format(100 * sum[from] / all)
  end
  local text = "%d nodes, %d requests: %s here, %s at home, %s renewed, %s from the origin"
  return true, text:format(#nodes, all, unpack(share)), nodes
end

events.run(function()
  cli.crash(p.crash, crash_time)
  if job.position == 1 then M.origin = origin end
  events.thread(function()
    proof.judge {
      what = "cache", rpc = rpc, property = property, limit = 120 + crash_time, stay = p.stay,
    }
  end)
  M.start { entries = p.entries, ttl = p.ttl }
end)
