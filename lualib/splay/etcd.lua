--- Clients of etcd's v2 API by lua-etcd's interface, and a store within the program. What waits
--- suspends the calling thread and no other; connections are kept for the next request.
---
--- ```lua
--- etcd.serve(2379)
--- local url = "http://127.0.0.1:2379"
--- local cli = etcd.new { host = url, peer = url }
--- cli:set("/message", "hello").status  --> 201
--- cli:get("/message").body.node.value  --> "hello"
--- ```
---
--- Every method gives what was answered, or nil and a reason. An answer is a table with `status`, a
--- number, `header`, fields by their names in small letters, and `body`, a table if it is JSON or
--- else a string; where the time is over it is `{ status = 408 }`. Values are kept as JSON:
--- `set("/k", "v")` stores `"v"` with its quotes, and only `get` of a key decodes it.
---
--- Since: 0.1
local cjson = require "cjson"
local transport = require "splay.etcd.transport"

local endpoint, once = transport.endpoint, transport.once
local normalise, escape, fields = transport.normalise, transport.escape, transport.fields
local type, pairs, ipairs, tostring, pcall = type, pairs, ipairs, tostring, pcall
local setmetatable, concat = setmetatable, table.concat

local M = {}

--- Redirections that are followed in a row.
local MOST_REDIRECTIONS = 5

local FORM = "application/x-www-form-urlencoded"

---@class splay.etcd.Options
---@field host string? URL of the server, `http://127.0.0.1:4001` if absent
---@field peer string? URL for the administration, `http://127.0.0.1:7001` if absent
---@field ttl integer? seconds that keys live if a call does not say it; -1, none, if absent
---@field prefix string? path before every key
---@field timeout integer? seconds of a request, 60 if absent; 0: no limit
---@field failover boolean? false: do not ask `peer` for other servers
---@field headers table<string, string>? more fields of every request

---@class splay.etcd.Answer
---@field status integer
---@field header table<string, string>?
---@field body any
---@field failover string? the server that answered in place of the one that was asked
---@field initFailoverURIs boolean? whether it is known now which other servers there are
---@field err string? why not

--- ```lua
--- etcd.serve(2379)
--- local url = "http://127.0.0.1:2379"
--- local cli = etcd.new { host = url, peer = url }
--- ```
---@class splay.etcd.Client
local Client = {}
Client.__index = Client

local function is_integer(v) return type(v) == "number" and v % 1 == 0 end
local function is_unsigned(v) return is_integer(v) and v >= 0 end

-- Asks which servers there are.
local function learn(self)
  local ask = {
    method = "GET", target = "/v2/admin/machines", timeout = self.timeout, headers = self.headers,
  }
  local answer, reason = once(self.admin, ask)
  if not answer or answer.status ~= 200 or type(answer.body) ~= "table" then
    return false, reason or "status " .. answer.status
  end
  local others = { keys = {}, admin = {} }
  for _, machine in ipairs(answer.body) do
    others.keys[#others.keys + 1] = type(machine.clientURL) == "string" and machine.clientURL or nil
    others.admin[#others.admin + 1] = type(machine.peerURL) == "string" and machine.peerURL or nil
  end
  self.others = others
  return true
end

-- Another server that has not been tried.
local function another(self, which, tried)
  for _, address in ipairs(self.others and self.others[which] or {}) do
    local where = endpoint(address)
    if where and not tried[where.address] then return where end
  end
end

--- Asks for anything else.
---
--- `cli:request("keys", "GET", "/health").body  --> "{\"health\":\"true\"}"`
---
--- Errors: `nil, "reason"`: those of connections, or what came is no HTTP or no JSON. That the
--- server refuses is no error but an answer: see its `status`.
---@async
---@param which "keys"|"admin" the server at `host`, or at `peer`
---@param method string
---@param target string path and query
---@param body string?
---@param timeout integer? seconds, 0: no limit
---@param kind string? of the body, a form if absent
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:request(which, method, target, body, timeout, kind)
  local learned, unlearned
  if self.failover and not self.others then learned, unlearned = learn(self) end
  local ask = {
    method = method, target = target, body = body, kind = kind or FORM,
    timeout = timeout or self.timeout, headers = self.headers,
  }
  local where, tried, hops, moved = self[which], {}, 0, nil
  local answer, reason, connected
  while where do
    tried[where.address] = true
    answer, reason, connected = once(where, ask)
    local location = answer and answer.status == 307 and answer.header.location
    if location and hops < MOST_REDIRECTIONS then
      hops = hops + 1
      where = endpoint(location)
    elseif answer or connected then
      break
    else
      where = another(self, which, tried)
    end
    moved = where or moved
  end
  if not answer then
    if reason == "timeout" then return { status = 408 } end
    return nil, reason
  end
  if moved then
    self[which] = moved
    answer.failover = moved.address
  end
  if learned ~= nil then answer.initFailoverURIs, answer.err = learned, unlearned end
  return answer
end

-- The target of a key, with a query.
local function target(self, key, query)
  local path = "/v2/keys" .. escape(self.prefix .. normalise(key), "/")
  local text = query and fields(query) or ""
  return text == "" and path or path .. "?" .. text
end

local function encode(value)
  local ok, text = pcall(cjson.encode, value)
  if not ok or value == nil then
    return nil, ('encoding error: "%s"'):format(ok and "nil has no value" or tostring(text))
  end
  return text
end

local function check_key(key, below)
  if type(key) ~= "string" then return "key must be string" end
  if below and normalise(key) == "/" then return "key should not be a slash" end
end

-- The body of a write; nil and what is wrong.
local function form(self, name, value, ttl)
  if ttl == nil then ttl = self.ttl end
  if not is_integer(ttl) then return nil, "ttl must be integer" end
  return fields { name, value, "ttl", ttl >= 0 and ttl or "" }
end

local function write(self, method, key, value, ttl, query)
  local wrong = check_key(key, method == "PUT")
  if wrong then return nil, wrong end
  local text, reason = encode(value)
  if not text then return nil, reason end
  local body
  body, reason = form(self, "value", text, ttl)
  if not body then return nil, reason end
  return self:request("keys", method, target(self, key, query), body)
end

--- The value of a key, decoded.
---
--- `cli:set("/k", { 1, 2 })`
--- `cli:get("/k").body.node.value  --> { 1, 2 }`
--- `cli:get("/none").body.errorCode  --> 100`
---
--- Errors: as `request`; `nil, "reason"` too for a key that is no string, or a value that is no
--- JSON.
---@async
---@param key string
---@param consistent boolean? ask the leader (etcd 0.4)
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:get(key, consistent)
  local wrong = check_key(key)
  if wrong then return nil, wrong end
  if consistent ~= nil and type(consistent) ~= "boolean" then
    return nil, "consistent must be boolean"
  end
  local query = { "consistent", consistent and "true" }
  local answer, reason = self:request("keys", "GET", target(self, key, query))
  local node = answer and answer.status == 200 and type(answer.body) == "table" and answer.body.node
  if node and not node.dir then
    local ok, value = pcall(cjson.decode, node.value)
    if not ok then return nil, tostring(value) end
    node.value = value
  end
  return answer, reason
end

--- Sets a key.
---
--- `cli:set("/k", "v", 10).body.node.value  --> "\"v\""`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:set(key, value, ttl) return write(self, "PUT", key, value, ttl) end

--- Sets a key that is not there.
---
--- `cli:setnx("/nx", "v").status  --> 201`
--- `cli:setnx("/nx", "v").status  --> 412`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setnx(key, value, ttl)
  return write(self, "PUT", key, value, ttl, { "prevExist", "false" })
end

--- Sets a key that is there, and was last changed at an index.
---
--- `cli:setx("/none", "v").status  --> 404`
---
--- Errors: as `set`; `nil, "modifiedIndex must be unsigned integer"`.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@param modifiedIndex integer?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setx(key, value, ttl, modifiedIndex)
  if modifiedIndex ~= nil and not is_unsigned(modifiedIndex) then
    return nil, "modifiedIndex must be unsigned integer"
  end
  local query = { "prevExist", "true", "prevIndex", modifiedIndex or false }
  return write(self, "PUT", key, value, ttl, query)
end

--- Adds a value to a directory, under a name that sorts behind those before.
---
--- `cli:push("/queue", "job").status  --> 201`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or ttl that can be none.
---@async
---@param key string
---@param value any JSON can have
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:push(key, value, ttl) return write(self, "POST", key, value, ttl) end

--- Removes a key, if its value and the index of its last change are those given.
---
--- `cli:set("/k", "v")`
--- `cli:delete("/k", "other").status  --> 412`
--- `cli:delete("/k", "v").status  --> 200`
---
--- Errors: as `request`; `nil, "reason"` too for a key, value or index that can be none.
---@async
---@param key string
---@param value any
---@param modifiedIndex integer?
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:delete(key, value, modifiedIndex)
  local wrong = check_key(key)
  if wrong then return nil, wrong end
  if modifiedIndex ~= nil and not is_unsigned(modifiedIndex) then
    return nil, "modifiedIndex must be unsigned integer"
  end
  local text, reason = false, nil
  if value ~= nil then
    text, reason = encode(value)
    if not text then return nil, reason end
  end
  local query = { "prevValue", text, "prevIndex", modifiedIndex or false }
  return self:request("keys", "DELETE", target(self, key, query))
end

local function wait(self, key, modifiedIndex, timeout, recursive)
  local wrong = check_key(key)
  if wrong then return nil, wrong end
  if modifiedIndex ~= nil and not is_unsigned(modifiedIndex) then
    return nil, "modifiedIndex must be unsigned integer"
  end
  if timeout ~= nil and not is_unsigned(timeout) then
    return nil, "timeout must be unsigned integer"
  end
  local query = { "wait", "true", "recursive", recursive, "waitIndex", modifiedIndex or false }
  return self:request("keys", "GET", target(self, key, query), nil, timeout)
end

--- Waits for a change of a key.
---
--- `local was = cli:set("/k", "v").body.node.modifiedIndex`
--- `cli:wait("/k", was).body.action  --> "set"`
--- `cli:wait("/k", was + 1, 1)  --> { status = 408 }`
---
--- Errors: as `request`; `nil, "reason"` too for a key, index or timeout that can be none.
---@async
---@param key string
---@param modifiedIndex integer? of the first change that counts; the next if absent
---@param timeout integer? seconds, 0: no limit
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:wait(key, modifiedIndex, timeout)
  return wait(self, key, modifiedIndex, timeout, false)
end

--- Waits for a change of a directory or of anything below it.
---
--- `local was = cli:set("/d/k", "v").body.node.modifiedIndex`
--- `cli:waitdir("/d", was).body.node.key  --> "/d/k"`
---
--- Errors: as `wait`.
---@async
---@param key string
---@param modifiedIndex integer? of the first change that counts; the next if absent
---@param timeout integer? seconds, 0: no limit
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:waitdir(key, modifiedIndex, timeout)
  return wait(self, key, modifiedIndex, timeout, "true")
end

--- What is in a directory. A key that is none is answered with status 404 and `node.dir` false.
---
--- `cli:set("/d/k", "v")`
--- `cli:readdir("/d").body.node.nodes[1].key  --> "/d/k"`
---
--- Errors: as `request`; `nil, "reason"` too for a parameter of the wrong type.
---@async
---@param key string
---@param recursive boolean? and all below
---@param consistent boolean? ask the leader (etcd 0.4)
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:readdir(key, recursive, consistent)
  local wrong = check_key(key)
  if wrong then return nil, wrong end
  if recursive ~= nil and type(recursive) ~= "boolean" then
    return nil, "recursive must be boolean"
  end
  if consistent ~= nil and type(consistent) ~= "boolean" then
    return nil, "consistent must be boolean"
  end
  local query = { "recursive", recursive and "true", "consistent", consistent and "true" }
  local answer, reason = self:request("keys", "GET", target(self, key, query))
  local node = answer and answer.status == 200 and type(answer.body) == "table" and answer.body.node
  if node and not node.dir then answer.status, node.dir = 404, false end
  return answer, reason
end

local function mkdir(self, key, ttl, query)
  local wrong = check_key(key, true)
  if wrong then return nil, wrong end
  local body, reason = form(self, "dir", "true", ttl)
  if not body then return nil, reason end
  return self:request("keys", "PUT", target(self, key, query), body)
end

--- Makes a directory.
---
--- `cli:mkdir("/made").body.node.dir  --> true`
---
--- Errors: as `request`; `nil, "reason"` too for a key or ttl that can be none.
---@async
---@param key string
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:mkdir(key, ttl) return mkdir(self, key, ttl) end

--- Makes a directory that is not there.
---
--- `cli:mkdirnx("/dnx").status  --> 201`
--- `cli:mkdirnx("/dnx").status  --> 412`
---
--- Errors: as `mkdir`.
---@async
---@param key string
---@param ttl integer? seconds it lives; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:mkdirnx(key, ttl) return mkdir(self, key, ttl, { "prevExist", "false" }) end

--- Removes a directory.
---
--- `cli:set("/d/k", "v")`
--- `cli:rmdir("/d").status  --> 403`
--- `cli:rmdir("/d", true).status  --> 200`
---
--- Errors: as `request`; `nil, "reason"` too for a parameter of the wrong type.
---@async
---@param key string
---@param recursive boolean? and all below
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:rmdir(key, recursive)
  local wrong = check_key(key)
  if wrong then return nil, wrong end
  if recursive ~= nil and type(recursive) ~= "boolean" then
    return nil, "recursive must be boolean"
  end
  local query = { "dir", "true", "recursive", recursive and "true" }
  return self:request("keys", "DELETE", target(self, key, query))
end

--- Changes how long a key or directory lives, unless it is changed meanwhile.
---
--- `cli:set("/k", "v")`
--- `cli:setTTL("/k", 10).body.node.ttl  --> 10`
---
--- Errors: as `mkdir`.
---@async
---@param key string
---@param ttl integer seconds; -1: for ever
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:setTTL(key, ttl)
  local wrong = check_key(key, true)
  if wrong then return nil, wrong end
  if not is_integer(ttl) then return nil, "ttl must be integer" end
  local answer, reason = self:request("keys", "GET", target(self, key))
  if not answer or answer.status ~= 200 then return answer, reason end
  local node = answer.body.node
  local query, body = { "prevExist", "true" }, nil
  if node.dir then
    body = form(self, "dir", "true", ttl)
  else
    -- etcd takes no empty value for a condition.
    query[3], query[4] = "prevValue", node.value ~= "" and node.value
    query[5], query[6] = "prevIndex", node.modifiedIndex
    body = form(self, "value", node.value, ttl)
  end
  return self:request("keys", "PUT", target(self, key, query), body)
end

--- Lets a key live on with its value: whoever waits for a change of it is not told.
---
--- `cli:set("/k", "v", 5)`
--- `cli:refresh("/k", 10).body.node.ttl  --> 10`
---
--- Errors: as `set`.
---@async
---@param key string
---@param ttl integer seconds
---@param value any? it must have
---@return splay.etcd.Answer? answer nil, "reason"
---@return string? reason
function Client:refresh(key, ttl, value)
  local wrong = check_key(key, true)
  if wrong then return nil, wrong end
  if not is_unsigned(ttl) then return nil, "ttl must be integer" end
  local text, reason = false, nil
  if value ~= nil then
    text, reason = encode(value)
    if not text then return nil, reason end
  end
  local query = { "prevExist", "true", "prevValue", text }
  local body = fields { "refresh", "true", "ttl", ttl }
  return self:request("keys", "PUT", target(self, key, query), body)
end

for name, method in pairs(require "splay.etcd.admin") do Client[name] = method end

--- Makes a client. It connects when it is first used.
---
--- `etcd.new { prefix = "/app", timeout = 5 }  --> ...`
--- `etcd.new { ttl = "x" }  --> nil, "opts.ttl must be int"`
---
--- Errors: `nil, "reason"`: an option of the wrong type, a URL that is none.
---@param opts splay.etcd.Options?
---@return splay.etcd.Client? client nil, "reason"
---@return string? reason
function M.new(opts)
  if opts ~= nil and type(opts) ~= "table" then return nil, "opts must be table" end
  opts = opts or {}
  for _, name in ipairs { "host", "peer", "prefix" } do
    if opts[name] ~= nil and type(opts[name]) ~= "string" then
      return nil, "opts." .. name .. " must be string"
    end
  end
  if opts.ttl ~= nil and not is_integer(opts.ttl) then return nil, "opts.ttl must be int" end
  if opts.timeout ~= nil and not is_unsigned(opts.timeout) then
    return nil, "opts.timeout must be unsigned integer"
  end
  local keys, reason = endpoint(opts.host or "http://127.0.0.1:4001")
  if not keys then return nil, reason end
  local admin
  admin, reason = endpoint(opts.peer or "http://127.0.0.1:7001")
  if not admin then return nil, reason end
  local prefix = opts.prefix and normalise(opts.prefix) or ""
  return setmetatable({
    keys = keys, admin = admin, prefix = prefix == "/" and "" or prefix, ttl = opts.ttl or -1,
    timeout = opts.timeout or 60, failover = opts.failover ~= false, headers = opts.headers or {},
  }, Client)
end

--- Runs a store that answers as etcd 3.4 does, within the program: nothing is kept on disk.
---
--- `etcd.serve(2380):stop()`
---
--- Errors: `nil, "reason"` if the port cannot be bound.
---@param port integer|table port, or node whose ip is bound
---@param name string? of the server, "default" if absent
---@return splay.etcd.Server? server nil, "reason" if it cannot listen
---@return string? reason
function M.serve(port, name) return require("splay.etcd.server").serve(port, name) end

return M
