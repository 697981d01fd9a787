--- Methods of clients that ask about the server and its cluster, part of `splay.etcd`.
local url = require "socket.url"
local cjson = require "cjson"

local Client = {}

local function ask(self, target) return self:request("keys", "GET", target) end

local function machines(name)
  return "/v2/admin/machines" .. (name and "/" .. url.escape(name) or "")
end

--- The version of the server.
---
--- `cli:version().body.etcdcluster  --> "3.4.0"`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:version() return ask(self, "/version") end

--- What the leader counts of its followers.
---
--- `cli:statsLeader().body.followers  --> {}`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsLeader() return ask(self, "/v2/stats/leader") end

--- What the server says of itself.
---
--- `cli:statsSelf().body.state  --> "StateLeader"`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsSelf() return ask(self, "/v2/stats/self") end

--- How often what was done.
---
--- `cli:statsStore().body.watchers  --> 0`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:statsStore() return ask(self, "/v2/stats/store") end

--- The cluster's settings (etcd 0.4).
---
--- `cli:adminConfig().body.activeSize  --> 9`
---
--- Errors: as `request`.
---@async
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:adminConfig() return self:request("admin", "GET", "/v2/admin/config") end

--- Changes the cluster's settings (etcd 0.4).
---
--- `cli:setAdminConfig({ activeSize = 5 }).body.activeSize  --> 5`
---
--- Errors: as `request`; `nil, "reason"` too for what is no table or cannot be JSON.
---@async
---@param config { activeSize: integer?, removeDelay: number?, syncInterval: number? }
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setAdminConfig(config)
  if type(config) ~= "table" then return nil, "config must be table" end
  local ok, text = pcall(cjson.encode, config)
  if not ok then return nil, ('encoding error: "%s"'):format(tostring(text)) end
  return self:request("admin", "PUT", "/v2/admin/config", text, nil, "application/json")
end

--- The cluster's members, or one of them (etcd 0.4).
---
--- `cli:adminMachines().body[1].name  --> "default"`
---
--- Errors: as `request`; `nil, "name must be string"`.
---@async
---@param name string?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:adminMachines(name)
  if name ~= nil and type(name) ~= "string" then return nil, "name must be string" end
  return self:request("admin", "GET", machines(name))
end

--- Removes a member from the cluster (etcd 0.4).
---
--- `cli:removeAdminMachines("other").status  --> 200`
---
--- Errors: as `request`; `nil, "name must be string"`.
---@async
---@param name string
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:removeAdminMachines(name)
  if type(name) ~= "string" then return nil, "name must be string" end
  return self:request("admin", "DELETE", machines(name))
end

-- lua-etcd's document has them under both names.
Client.config, Client.setConfig = Client.adminConfig, Client.setAdminConfig
Client.machines, Client.removeMachine = Client.adminMachines, Client.removeAdminMachines

return Client
