--- Who is there: the registry of `splay.etcd.patterns`, its own part.
local events = require "splay.events"
local cjson = require "cjson"
local core = require "splay.misc_core"
local lease = require "splay.etcd.lease"

local ipairs, pairs, pcall, type = ipairs, pairs, pcall, type

local M = {}

local RETRY = lease.RETRY
local keep, index_of, reason_of = lease.keep, lease.index_of, lease.reason_of

--- ```lua
--- etcd.serve(2379)
--- local cli = etcd.new { host = "http://127.0.0.1:2379", failover = false }
--- local registry = patterns.registry(cli, "/nodes")
--- ```
---@class splay.etcd.Registry
---@field key string? own entry's, nil without one
local Registry = {}
Registry.__index = Registry

function Registry:_lose()
  -- Others take it for gone: it comes back by itself.
  self.key = nil
  local name, value = self.name, self.value
  events.thread(function()
    while self.name == name and not self.key and not self:join(name, value) do
      events.sleep(RETRY)
    end
  end)
end

--- Is there from now on, under a name, until it leaves or the server does not hear from it.
---
--- `registry:join("c", { port = 1 })  --> true`
--- `registry:leave()  --> true`
---
--- Errors: `nil, "reason"`: why the server cannot be reached, or what it says.
---@async
---@param name string without slashes
---@param value any? what others see, true if absent
---@return true? joined nil, "reason"
---@return string? reason
function Registry:join(name, value)
  if value == nil then value = true end
  local asked = core.now()
  local key = self.dir .. "/" .. name
  local answer, reason = self.cli:set(key, value, self.ttl)
  if not answer or answer.status > 201 then return nil, reason_of(answer, reason) end
  self.name, self.value = name, value
  if self.key ~= key then keep(self, self.cli, key, self.ttl) end
  self.valid_until = asked + self.ttl
  return true
end

--- Is there no more.
---
--- `registry:leave()  --> false`
---@async
---@return boolean left false: it was not there, or the server could not be told
function Registry:leave()
  local key = self.key
  self.key, self.name = nil, nil
  local answer = key and self.cli:delete(key)
  return answer ~= nil and answer.status == 200
end

-- Values by name, and the answer they are from.
local function read(self)
  local answer, reason = self.cli:readdir(self.dir)
  if answer and answer.status == 404 then return {}, answer end
  if not answer or answer.status ~= 200 then return nil, reason_of(answer, reason) end
  local members = {}
  for _, node in ipairs(answer.body.node.nodes or {}) do
    local ok, value = pcall(cjson.decode, node.value)
    if ok then members[node.key:match("[^/]+$")] = value end
  end
  return members, answer
end

--- Who is there: values by name.
---
--- `registry:join("a", 1)`
--- `registry:members()  --> { a = 1 }`
--- `registry:leave()  --> true`
---
--- Errors: as `join`.
---@async
---@return table<string, any>? members nil, "reason"
---@return string? reason
function Registry:members()
  local members, reason = read(self)
  if not members then return nil, reason end
  return members
end

--- Calls functions when one comes and when one goes, at first for all that are there. What
--- happens while the server cannot be reached is told afterwards.
---
--- ```lua
--- registry:watch(function(name) print(name .. " came") end)
--- registry:join("b")
--- events.sleep(1)  --> prints b came
--- registry:leave()
--- ```
---@param came fun(name: string, value: any)?
---@param gone fun(name: string, value: any)?
---@return string thread ends the watch when killed
function Registry:watch(came, gone)
  local known = {}
  local function set(name, value)
    local old = known[name]
    known[name] = value
    if value ~= nil and old == nil and came then came(name, value) end
    if value == nil and old ~= nil and gone then gone(name, old) end
  end
  local function look()
    local members, answer = read(self)
    if not members then return end
    local left = {}
    for name in pairs(known) do if members[name] == nil then left[#left + 1] = name end end
    for _, name in ipairs(left) do set(name, nil) end
    for name, value in pairs(members) do set(name, value) end
    return index_of(answer)
  end
  return events.thread(function()
    local index
    while true do
      index = index or look()
      -- Asked again from time to time: the server may have been started anew.
      local answer = index and self.cli:waitdir(self.dir, index + 1, self.ttl * 4)
      local event = answer and answer.status == 200 and answer.body
      local node = type(event) == "table" and event.node
      if node and not node.dir and event.action ~= "get" then
        index = node.modifiedIndex
        local name, value = node.key:match("[^/]+$"), nil
        if node.value then
          local ok, decoded = pcall(cjson.decode, node.value)
          value = ok and decoded or true
        end
        set(name, value)
      else
        index = nil
        if not answer then events.sleep(RETRY) end
      end
    end
  end)
end

--- Makes one; see `splay.etcd.patterns`.
---@param cli splay.etcd.Client
---@param dir string
---@param opts { ttl: integer? }?
---@return splay.etcd.Registry
function M.new(cli, dir, opts)
  return setmetatable({ cli = cli, dir = dir, ttl = opts and opts.ttl or lease.TTL }, Registry)
end

return M
