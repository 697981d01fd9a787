--- A peer-sampling service: each instance knows a few random others, renewed all the time.
---
--- M. Jelasity et al., "Gossip-based Peer Sampling", ACM Transactions on Computer Systems 25(3),
--- 2007: the framework of figure 1, with its parameters of peer selection, view propagation,
--- healing (H) and swapping (S). Left out: the queue of peers that avoids repeated samples.
---
--- ```lua
--- local sampling = peer_sampling.new { me = job.me, rpc = rpc }
--- function exchange_views(received) return sampling:answer(received) end
--- sampling:start(job.nodes)
--- sampling:peer()  --> such as { ip = "127.0.0.1", port = 20003, age = 0 }
--- sampling:stop()
--- ```
---
--- Since: 0.1
local misc, nodes = require "splay.misc", require "splay.nodes"

local M = {}

---@class splay.peer_sampling.settings
---@field me splay.Node this node; other fields travel along in the entries that stand for it
---@field rpc table the module to call with
---@field call string? the global function that passes a call to `answer`; default
--- "exchange_views"
---@field c integer? entries of a view, default 8
---@field H integer? healing: so many of the oldest entries go first, default 1
---@field S integer? swapping: so many of the entries sent away go next, default c / 2 - H
---@field pull boolean? whether the other sends entries back, default true
---@field tail boolean? exchange with the oldest entry, not with a random one; default true
---@field period number? seconds between two exchanges, default 1

---@class splay.peer_sampling.entry: splay.Node
---@field age number rounds since the node has said this of itself

--- `local sampling = peer_sampling.new { me = job.me, rpc = rpc }`
--- `sampling:start(job.nodes)`
---@class splay.peer_sampling
---@field view splay.peer_sampling.entry[]
local Sampling = {}
Sampling.__index = Sampling

--- Makes a service that does not run yet.
---
--- `local s = peer_sampling.new { me = job.me, rpc = rpc, c = 20, H = 1, S = 9 }`
---@param settings splay.peer_sampling.settings
---@return splay.peer_sampling
function M.new(settings)
  local s = setmetatable(misc.merge(settings, {
    call = "exchange_views", c = 8, H = 1, pull = true, tail = true, period = 1, view = {},
  }), Sampling)
  s.S = s.S or math.max(0, math.floor(s.c / 2) - s.H)
  return s
end

--- The entries to send: this node as new, then random others, the oldest only if the rest is not
--- enough. Also these others as a set.
---
--- `sampling:buffer()[1].port  --> 20001`
---@return splay.peer_sampling.entry[] buffer
---@return table<splay.peer_sampling.entry, true> sent
function Sampling:buffer()
  local order = misc.shuffle(self.view)
  table.sort(order, function(a, b) return a.age > b.age end)
  local old = {}
  for i = 1, math.min(self.H, #order) do old[i] = order[i] end
  for _ = 1, #old do table.remove(order, 1) end
  local candidates = misc.merge(misc.shuffle(order), old)
  local buffer, sent = { misc.merge({ age = 0 }, self.me) }, {}
  for i = 1, math.min(math.ceil(self.c / 2) - 1, #candidates) do
    local entry = candidates[i]
    buffer[i + 1], sent[entry] = misc.dup(entry), true
  end
  return buffer, sent
end

--- Makes the next view, out of the present one and what has come in: no node twice, then without
--- the oldest, those sent away, and random ones, as many as there are too many.
---
--- `sampling:select({ { ip = "127.0.0.1", port = 20009, age = 0 } }, {})`
--- `#sampling.view  --> 3`
---@param received splay.peer_sampling.entry[]
---@param sent table<splay.peer_sampling.entry, true>
function Sampling:select(received, sent)
  local youngest, view = { [nodes.name(self.me)] = { age = -1 } }, {}
  local all = misc.merge(self.view, received)
  for _, entry in ipairs(all) do
    local seen = youngest[nodes.name(entry)]
    if not seen or entry.age < seen.age then youngest[nodes.name(entry)] = entry end
  end
  for _, entry in ipairs(all) do
    if youngest[nodes.name(entry)] == entry then view[#view + 1] = entry end
  end
  local function surplus(at_most) return math.min(at_most, #view - self.c) end
  for _ = 1, surplus(self.H) do
    local oldest = 1
    for i = 2, #view do
      if view[i].age > view[oldest].age then oldest = i end
    end
    table.remove(view, oldest)
  end
  local swapped = surplus(self.S)
  for i = #view, 1, -1 do
    if swapped > 0 and sent[view[i]] then
      table.remove(view, i)
      swapped = swapped - 1
    end
  end
  for _ = 1, surplus(#view) do table.remove(view, math.random(#view)) end
  self.view = view
end

--- Starts with some known nodes, then exchanges entries in every period.
---
--- `#sampling.view  --> 2`
---@param list splay.Node[] this one among them or not
function Sampling:start(list)
  local known = {}
  for i, node in ipairs(list) do known[i] = misc.merge(node, { age = 0 }) end
  self:select(known, {})
  local events = require "splay.events"
  self.ticker = events.thread(function()
    events.sleep(self.period * math.random()) -- nodes started together take turns
    repeat self:exchange() until not events.sleep(self.period)
  end)
end

--- Ends the exchanges this node begins; it still answers those of others.
---
--- `sampling:stop()`
function Sampling:stop() require("splay.events").kill(self.ticker) end

--- One exchange, the active thread of the paper. A node that does not answer is forgotten.
---
--- `sampling:exchange() -- nobody answers: the node is forgotten`
--- `#sampling.view  --> 1`
---@async
function Sampling:exchange()
  local partner = self.view[1]
  if not partner then return end
  if self.tail then
    for _, entry in ipairs(self.view) do
      if entry.age > partner.age then partner = entry end
    end
  else
    partner = misc.random_pick_one(self.view)
  end
  local buffer, sent = self:buffer()
  local ok, results = self.rpc.acall(partner, { self.call, buffer })
  if not ok then
    nodes.remove(self.view, partner)
  elseif self.pull then
    self:select(results[1], sent)
  end
  for _, entry in ipairs(self.view) do entry.age = entry.age + 1 end
end

--- What another node's exchange is answered with, the passive thread of the paper; to be called
--- by the global function named `call`.
---
--- ```lua
--- local node = { ip = "127.0.0.1", port = 20009, age = 0 }
--- #sampling:answer({ node })  --> 3
--- #sampling.view              --> 3
--- ```
---@param received splay.peer_sampling.entry[]
---@return splay.peer_sampling.entry[]? sent nil without `pull`
function Sampling:answer(received)
  local buffer, sent
  if self.pull then buffer, sent = self:buffer() end
  self:select(received, sent or {})
  for _, entry in ipairs(self.view) do entry.age = entry.age + 1 end
  return buffer
end

--- A random node, or some different ones.
---
--- `sampling:peer().ip  --> "127.0.0.1"`
--- `#sampling:peer(2)   --> 2`
---@param n integer? how many, at most those known
---@return splay.peer_sampling.entry|splay.peer_sampling.entry[]|nil
function Sampling:peer(n) return misc.random_pick(self.view, n) end

return M
