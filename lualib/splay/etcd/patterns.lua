--- What programs agree by, made of keys in etcd: lines, locks, elections, barriers, counters and
--- registries. They work on a client of `splay.etcd`, whichever server it talks to.
---
--- Whoever holds something does so for a while: it lets its key live on, and loses it when the
--- server does not hear from it for `ttl` seconds. It stops believing so earlier, by its own clock.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local lock = patterns.lock(cli, "/locks/a")
--- lock:acquire()  --> such as 4
--- lock:release()  --> true
--- ```
---
--- Since: 0.1
local events = require "splay.events"
local cjson = require "cjson"
local core = require "splay.misc_core"
local lease = require "splay.etcd.lease"

local ipairs, pcall, type = ipairs, pcall, type

local M = {}

local TTL, RETRY = lease.TTL, lease.RETRY
local keep, index_of, reason_of = lease.keep, lease.index_of, lease.reason_of

-- Whole seconds left until a time, for the server; nil: the time is over.
local function left(deadline)
  if not deadline then return 0 end
  local seconds = deadline - core.now()
  if seconds > 0 then return math.ceil(seconds) end
end

---@class splay.etcd.LineOptions
---@field ttl integer? seconds that a place lives without its holder, 5 if absent
---@field value any? what others see of the holder
---@field lost fun()? called when the place is lost

--- A place in a line: the first in it holds what the line is for. Each waits for the one before it
--- alone, so that an end does not wake them all.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local line = patterns.line(cli, "/line", { value = "me" })
--- ```
---@class splay.etcd.Line
---@field key string? of the place, nil without one
---@field index integer? at which the place was taken: grows from holder to holder
local Line = {}
Line.__index = Line

--- A line in a directory.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.line(cli, "/places"):enter()  --> such as 4
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions?
---@return splay.etcd.Line
function M.line(cli, dir, opts)
  opts = opts or {}
  local line = { cli = cli, dir = dir, ttl = opts.ttl or TTL, value = opts.value, lost = opts.lost }
  if line.value == nil then line.value = true end
  return setmetatable(line, Line)
end

function Line:_lose()
  self.key, self.index, self.first = nil, nil, nil
  if self.lost then self.lost() end
  events.fire(self)
end

-- The places, in order.
local function places(self)
  local answer, reason = self.cli:readdir(self.dir)
  if answer and answer.status == 404 then return {}, answer end
  if not answer or answer.status ~= 200 then return nil, reason_of(answer, reason) end
  local nodes = answer.body.node.nodes or {}
  table.sort(nodes, function(a, b) return a.createdIndex < b.createdIndex end)
  return nodes, answer
end

--- Joins the end of the line and waits until it is the first in it.
---
--- `line:enter()  --> such as 4`
--- `line:held()   --> true`
--- `line:leave()  --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"` if the server forgot the place, or why it cannot be
--- reached; then there is no place any more.
---@async
---@param timeout number? seconds
---@return integer? index of the place, which grows from holder to holder; nil, "reason"
---@return string? reason
function Line:enter(timeout)
  local deadline = timeout and core.now() + timeout
  if not self.key then
    local asked = core.now()
    local answer, reason = self.cli:push(self.dir, self.value, self.ttl)
    if not answer or answer.status ~= 201 then return nil, reason_of(answer, reason) end
    self.index = answer.body.node.createdIndex
    -- The key as the client names it, without its prefix.
    keep(self, self.cli, self.dir .. "/" .. answer.body.node.key:match("[^/]+$"), self.ttl)
    self.valid_until = asked + self.ttl
  end
  local own = self.key:match("[^/]+$")
  while self.key do
    local nodes, answer = places(self)
    local before, found
    for _, node in ipairs(nodes or {}) do
      local name = node.key:match("[^/]+$")
      if name == own then
        found = true
        break
      end
      before = name
    end
    if nodes and not found then
      if self.key then self:_lose() end
      break
    end
    if nodes and not before then
      self.first = true
      return self.index
    end
    local seconds = left(deadline)
    if not seconds then
      self:leave()
      return nil, "timeout"
    end
    if nodes then
      -- A look from time to time: the server may have been started anew, without its past.
      local most = self.ttl * 2
      if seconds == 0 or seconds > most then seconds = most end
      self.cli:wait(self.dir .. "/" .. before, index_of(answer) + 1, seconds)
    else
      events.sleep(RETRY)
    end
  end
  return nil, "lost"
end

--- Whether it is the first in the line, as far as can be known without asking.
---
--- `line:held()  --> false`
---@return boolean
function Line:held() return self.first == true and core.now() < self.valid_until end

--- Gives up its place.
---
--- `line:leave()  --> false`
---@async
---@return boolean left false: there was no place, or the server could not be told
function Line:leave()
  local key = self.key
  if not key then return false end
  self.key, self.index, self.first = nil, nil, nil
  local answer = self.cli:delete(key)
  return answer ~= nil and answer.status == 200
end

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local lock = patterns.lock(cli, "/lock")
--- ```
---@class splay.etcd.Lock
local Lock = {}
Lock.__index = Lock

--- A lock: one holder at a time, in the order in which they came.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.lock(cli, "/locks/b", { ttl = 2 }):held()  --> false
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions?
---@return splay.etcd.Lock
function M.lock(cli, dir, opts)
  return setmetatable({ line = M.line(cli, dir, opts) }, Lock)
end

--- Waits for the lock. The number it gives grows from holder to holder: what the lock protects can
--- refuse a holder that was slow and has lost it.
---
--- `lock:acquire(10)  --> such as 4`
--- `lock:release()    --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"`, or why the server cannot be reached.
---@async
---@param timeout number? seconds
---@return integer? token nil, "reason"
---@return string? reason
function Lock:acquire(timeout) return self.line:enter(timeout) end

--- Whether it has the lock still, as far as can be known without asking.
---
--- `lock:held()  --> false`
---@return boolean
function Lock:held() return self.line:held() end

--- Gives the lock to the next.
---
--- `lock:release()  --> false`
---@async
---@return boolean released false: it was not held, or the server could not be told
function Lock:release() return self.line:leave() end

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local election = patterns.election(cli, "/leader", { value = "node 1" })
--- ```
---@class splay.etcd.Election
local Election = {}
Election.__index = Election

--- An election: of the candidates one leads at a time.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.election(cli, "/leaders", { value = job.me }):leads()  --> false
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts splay.etcd.LineOptions? `value`: what others see of the leader
---@return splay.etcd.Election
function M.election(cli, dir, opts)
  return setmetatable({ line = M.line(cli, dir, opts) }, Election)
end

--- Is a candidate and waits until it leads.
---
--- `election:campaign()  --> such as 4`
--- `election:resign()    --> true`
---
--- Errors: `nil, "timeout"`, `nil, "lost"`, or why the server cannot be reached.
---@async
---@param timeout number? seconds
---@return integer? term grows from leader to leader; nil, "reason"
---@return string? reason
function Election:campaign(timeout) return self.line:enter(timeout) end

--- Whether it leads, as far as can be known without asking.
---
--- `election:leads()  --> false`
---@return boolean
function Election:leads() return self.line:held() end

--- Waits until it does not lead any more.
---
--- `election:campaign()`
--- `events.thread(function() events.sleep(1) election:resign() end)`
--- `election:wait_end()`
---@async
function Election:wait_end()
  while self:leads() do
    events.wait(self.line, self.line.valid_until - core.now())
  end
end

--- Leads no more, and is no candidate.
---
--- `election:resign()  --> false`
---@async
---@return boolean resigned false: it was none, or the server could not be told
function Election:resign()
  local left_line = self.line:leave()
  events.fire(self.line)
  return left_line
end

--- Who leads.
---
--- `election:leader()  --> nil, nil`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says.
---@async
---@return any value of the leader; nil without one, or nil, "reason"
---@return integer|string|nil term
function Election:leader()
  local nodes, reason = places(self.line)
  if not nodes then return nil, reason end
  if not nodes[1] then return nil, nil end
  local ok, value = pcall(cjson.decode, nodes[1].value)
  return ok and value or nil, nodes[1].createdIndex
end

--- Waits until so many have come to a barrier; whoever comes later goes through at once.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.barrier(cli, "/start", 1)  --> true
--- ```
---
--- Errors: `nil, "timeout"`, or why the server cannot be reached.
---@async
---@param cli splay.etcd.Client
---@param dir string
---@param count integer how many are waited for
---@param timeout number? seconds
---@return true? open nil, "reason"
---@return string? reason
function M.barrier(cli, dir, count, timeout)
  local deadline = timeout and core.now() + timeout
  local open = dir .. "/_open"
  local answer, reason = cli:push(dir .. "/arrived", true)
  if not answer or answer.status ~= 201 then return nil, reason_of(answer, reason) end
  answer, reason = cli:readdir(dir .. "/arrived")
  if not answer or answer.status ~= 200 then return nil, reason_of(answer, reason) end
  if #(answer.body.node.nodes or {}) >= count then
    answer, reason = cli:set(open, true)
    if not answer or answer.status > 201 then return nil, reason_of(answer, reason) end
    return true
  end
  while true do
    answer, reason = cli:get(open)
    if not answer then return nil, reason_of(answer, reason) end
    if answer.status == 200 then return true end
    local seconds = left(deadline)
    if not seconds then return nil, "timeout" end
    if answer.status ~= 404 then return nil, reason_of(answer) end
    answer = cli:wait(open, index_of(answer) + 1, seconds)
    if not answer then events.sleep(RETRY) end
  end
end

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local counter = patterns.counter(cli, "/count")
--- ```
---@class splay.etcd.Counter
local Counter = {}
Counter.__index = Counter

--- A number that many add to.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.counter(cli, "/visits"):add()  --> 1
--- ```
---@param cli splay.etcd.Client
---@param key string
---@return splay.etcd.Counter
function M.counter(cli, key) return setmetatable({ cli = cli, key = key }, Counter) end

--- The number; 0 if nobody has added to it.
---
--- `counter:get()  --> 0, nil`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says; "not a number" if
--- the key has another value.
---@async
---@return number? value nil, "reason"
---@return integer|string|nil index of its last change, nil if there was none
function Counter:get()
  local answer, reason = self.cli:get(self.key)
  if answer and answer.status == 404 then return 0, nil end
  if not answer or answer.status ~= 200 then return nil, reason_of(answer, reason) end
  local node = answer.body.node
  if type(node.value) ~= "number" then return nil, "not a number" end
  return node.value, node.modifiedIndex
end

--- Adds to the number: nothing of what others add at the same time is lost.
---
--- `counter:add(2)  --> 2`
--- `counter:add()   --> 3`
---
--- Errors: as `get`.
---@async
---@param amount number? 1 if absent
---@return number? value after it; nil, "reason"
---@return string? reason
function Counter:add(amount)
  while true do
    local value, index = self:get()
    if not value then return nil, index end
    value = value + (amount or 1)
    local answer, reason
    if index then
      answer, reason = self.cli:setx(self.key, value, -1, index)
    else
      answer, reason = self.cli:setnx(self.key, value, -1)
    end
    local status = answer and answer.status
    if status == 200 or status == 201 then return value end
    if status ~= 412 and status ~= 404 then return nil, reason_of(answer, reason) end
  end
end

--- A registry: who is there, by the names they gave themselves.
---
--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- patterns.registry(cli, "/members", { ttl = 2 }):members()  --> {}
--- ```
---@param cli splay.etcd.Client
---@param dir string
---@param opts { ttl: integer? }? seconds after which one that is not heard from is gone
---@return splay.etcd.Registry
function M.registry(cli, dir, opts) return require("splay.etcd.registry").new(cli, dir, opts) end

return M
